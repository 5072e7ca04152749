"""The constant predictor of a source: each task's own, fitted once on a few of the source's training samples.

Only targets that are compared with a constant are fitted; a source with none is not read. What was fitted is kept with
the run, named by everything that it depends on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pvit_data.errors import PvitError
from pvit_data.loading.batch import Batch, Targets
from pvit_data.reading.dataset import ShardDataset
from pvit_data.storage.files import read_regular, require_unlinked
from pvit_model.network.inference import Inference
from pvit_model.network.tensor_file import save_tensors
from pvit_model.ranks import all_reduce, all_reduce_shaped
from pvit_model.tasks import get_task
from pvit_model.tasks.constant import Constant

FOLDER = "constants"
CLIPS = "clips"
MAX_BYTES = 1 << 28
SEPARATOR = "//"


class ConstantPredictor:
    """Fits a constant for targets of some batches and predicts it as the network's heads would.

    Args:
        inference: gives label spaces and loss options.
        names: target names; those whose task has no constant are left out.

    Attributes:
        clips: number of clips it was fitted on.
    """

    def __init__(self, inference: Inference, names: Iterable[str]) -> None:
        self.clips = 0
        options = inference.losses()
        made = {n: get_task(n).constant(inference.num_ids(n), options.of(n)) for n in names}
        self._fitted: dict[str, Constant] = {n: c for n, c in made.items() if c is not None}
        self._known: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """The targets that are compared."""
        return tuple(self._fitted)

    def fit(self, batches: Iterable[Batch]) -> ConstantPredictor:
        """Takes in batches; may be called again."""
        for batch in batches:
            self.clips += len(batch.keys)
            for name, targets in batch.targets.items():
                if name in self._fitted and len(targets.rows):
                    self._fitted[name].add(targets.value.cpu(), targets.valid.cpu())
                    self._known.add(name)
        return self

    def add_up(self) -> None:
        """Takes in what the other ranks have fitted; every rank must ask."""
        counts = [self.clips, *(name in self._known for name in self._fitted)]
        total, *known = all_reduce(torch.tensor(counts, dtype=torch.float64)).tolist()
        self.clips = int(total)
        self._known = {name for name, many in zip(self._fitted, known, strict=True) if many}
        for constant in self._fitted.values():
            sums = {name: all_reduce_shaped(value) for name, value in constant.sums().items()}
            constant.restore(sums)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def predict(self, name: str, like: Targets, for_loss: bool = False) -> Float[Tensor, "r ..."]:
        """The constant for each supervised row, laid out as the network's head would.

        Args:
            name: target name.
            like: gives the number of rows.
            for_loss: the constant that is best for the loss rather than for the metrics.
        """
        return self._fitted[name].predict(like, for_loss)

    def save(self, path: Path) -> None:
        """Keeps what was fitted.

        Raises:
            OSError: if it cannot be written.
        """
        tensors = {
            f"{target}{SEPARATOR}{name}": value.contiguous()
            for target in sorted(self._known)
            for name, value in self._fitted[target].sums().items()
        }
        save_tensors(path, tensors | {CLIPS: torch.tensor(self.clips)})

    def fits(self, kept: Mapping[str, Tensor]) -> bool:
        """Whether a file holds what `save` writes: a number of clips, and the sums of targets that are compared."""
        sums = _by_target(kept)
        clips = sums.pop(CLIPS, {}).get("")
        if clips is None or clips.ndim or sums.keys() - self._fitted.keys():
            return False
        return all(found.keys() == self._fitted[t].sums().keys() for t, found in sums.items())

    def restore(self, kept: Mapping[str, Tensor]) -> None:
        """Takes what was kept in place of fitting."""
        sums = _by_target(kept)
        self.clips = int(sums.pop(CLIPS)[""])
        for target, found in sums.items():
            self._fitted[target].restore(found)
        self._known = set(sums)


def _by_target(kept: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    sums: dict[str, dict[str, Tensor]] = {}
    for key, value in kept.items():
        target, _, name = key.partition(SEPARATOR)
        sums.setdefault(target, {})[name] = value
    return sums


def kept_at(
    run: Path | None, ds: ShardDataset, inference: Inference, names: Sequence[str]
) -> Path | None:
    """Where a run keeps the constants fitted on these samples; None without a run."""
    if run is None:
        return None
    values = {
        "data": [ds.digest_of(source) for source in sorted(ds.sources)],
        "keys": digest(ds.value("key", i) for i in range(len(ds))),
        "clip": inference.clip.model_dump(mode="json"),
        "targets": {n: [inference.num_ids(n), repr(inference.losses().of(n))] for n in names},
    }
    name = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]
    return run / FOLDER / f"{name}.safetensors"


def digest(lines: Iterable[str]) -> str:
    """sha256 of lines with breaks between them."""
    found = hashlib.sha256()
    for number, line in enumerate(lines):
        found.update(("\n" * bool(number) + line).encode())
    return found.hexdigest()


def fit_once(
    constant: ConstantPredictor, batches: Iterable[Batch], kept: Path | None, is_main: bool = True
) -> ConstantPredictor:
    """Takes what a run has kept, or fits on the batches of all ranks and keeps it. Every rank must ask.

    Args:
        constant: a fresh one.
        batches: this rank's; not begun where the run has the constants.
        kept: the file, or None.
        is_main: whether this rank writes it.
    """
    known = _read(kept)
    if known is not None and not constant.fits(known):
        known = None
    ranks, having = all_reduce(torch.tensor([1.0, float(known is not None)])).tolist()
    if known is not None and ranks == having:
        constant.restore(known)
        return constant
    constant.fit(batches).add_up()
    if kept is not None and is_main:
        # A run that nobody may write to is evaluated all the same.
        with suppress(OSError, PvitError):
            require_unlinked(kept.parents[1], kept)
            constant.save(kept)
    return constant


def _read(path: Path | None) -> dict[str, Tensor] | None:
    """The tensors that a run has kept, if they are there and whole. Not mapped: the file may change meanwhile."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    if path is None:
        return None
    try:
        return load(read_regular(path, MAX_BYTES))
    except (OSError, SafetensorError):
        return None
