"""Reusable checks for tests: `assert_exact_resume` holds a loader to its promise to resume exactly at any step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pvit_data.loading.batch import Batch


def assert_exact_resume(
    make_loader: Callable[[int], Iterable[Batch]],
    steps: int,
    resume_at: Iterable[int] | None = None,
) -> None:
    """Fails unless a loader made for any step continues bit for bit as an undisturbed one.

    Args:
        make_loader: `make_loader(start_step)` makes a loader that begins there.
        steps: length of the undisturbed run from step 0.
        resume_at: the steps to resume at; default: every step from 0.

    Raises:
        AssertionError: naming step and field of the first difference.

    Example:
        >>> import numpy as np, pvit_data
        >>> spaces = {"action": pvit_data.LabelSpace("verbs", ("open", "close"))}
        >>> with pvit_data.ShardWriter("data", "mine", spaces=spaces) as writer:
        ...     for key in "abc":
        ...         writer.write(pvit_data.Sample(key=key, rgb=np.zeros((4, 48, 64, 3), np.uint8), action=1))
        >>> source = pvit_data.MixtureSource(pvit_data.open("data"), "downstream")
        >>> mixture = pvit_data.Mixture([source], batch_size=2, seed=0)
        >>> def make_loader(step):
        ...     return pvit_data.loader(mixture, start_step=step)
        >>> pvit_data.testing.assert_exact_resume(make_loader, steps=3)
    """
    truth = list(itertools.islice(make_loader(0), steps))
    assert len(truth) == steps, f"the loader ended after {len(truth)} of {steps} batches"
    for start in range(steps) if resume_at is None else resume_at:
        resumed = itertools.islice(make_loader(start), steps - start)
        for expected, batch in itertools.zip_longest(truth[start:], resumed):
            assert batch is not None, f"resumed at {start}: no batch {expected.step}"
            assert_equal_batches(batch, expected, f"resumed at {start}, batch {expected.step}")


def assert_equal_batches(batch: Batch, expected: Batch, where: str = "batch") -> None:
    """Fails unless two batches are equal bit for bit: step, keys, pixels and every target.

    Raises:
        AssertionError: naming the first difference.
    """
    import torch

    for name in ("step", "keys", "sources"):
        got, want = getattr(batch, name), getattr(expected, name)
        assert got == want, f"{where}: {name} is {got}, expected {want}"
    assert torch.equal(batch.video, expected.video), f"{where}: video differs"
    assert batch.targets.keys() == expected.targets.keys(), (
        f"{where}: targets are {sorted(batch.targets)}"
    )
    for name, targets in expected.targets.items():
        for part in ("rows", "value", "valid"):
            same = torch.equal(getattr(batch.targets[name], part), getattr(targets, part))
            assert same, f"{where}: {name}.{part} differs"
