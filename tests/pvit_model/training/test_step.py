"""One step: the same gradient however a global batch is cut into micro-batches and ranks, nothing on non-finite."""

import contextlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from pvit_data.loading.batch import Batch, Targets
from pvit_model import create_model
from pvit_model.network.total_loss import UncertaintyWeights
from pvit_model.recipes.config import LossConfig, OptimConfig, RunConfig
from pvit_model.tasks import LossOptions
from pvit_model.training.engine import make_accelerator, release
from pvit_model.training.optim import make_optimizer
from pvit_model.training.step import StepOptions, Stepper, split_batch

NAMES = ("action", "depth", "boxes", "segm/things")
ROWS = {"action": [0, 1, 2, 3], "depth": [0, 2], "boxes": [6, 7], "segm/things": [5]}
"""Boxes and segmentation are supervised in the second half of the batch only."""
WEIGHTS = {name: LossConfig().weight_of(name) for name in NAMES}


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)

    def values(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    targets = {
        "action": (torch.tensor([0, 1, 2, 0]), torch.ones(4, dtype=torch.bool)),
        "depth": (1 + values(2, 2, 8, 8), values(2, 2, 8, 8) < 0.7),
        "boxes": (0.2 + 0.5 * values(2, 2, 4, 4), values(2, 2, 4) < 0.6),
        "segm/things": ((3 * values(1, 2, 8, 8)).long(), values(1, 2, 8, 8) < 0.9),
    }
    packed = {name: Targets(torch.tensor(ROWS[name]), *pair) for name, pair in targets.items()}
    return Batch(0, [f"k{i}" for i in range(8)], ["s"] * 8, values(8, 3, 4, 32, 32), packed)


def make_stepper(
    accumulate: int = 1, balance: UncertaintyWeights | None = None, **options: object
) -> tuple[Stepper, torch.nn.Module]:
    torch.manual_seed(0)
    model = create_model(
        "mvitv2_xxs", tasks=["depth", "boxes", "segm"], num_classes=3, segm_spaces={"things": 3}, clip=[4, 32, 32],
        depth=2, stages=[1], dense_layers=[0, 1], embed_dim=8, dense_width=8, dense_dropout=0.0, dropout=0.0,
        **options,
    )  # fmt: skip
    accelerator = make_accelerator(RunConfig(timeout_s=30))
    learned = [("loss_balance", balance.log_variance)] if balance else []
    optimizer = make_optimizer(model, OptimConfig(name="sgd", lr=1.0, momentum=0.0, weight_decay=0.0), learned)
    wrapped, stepping = accelerator.prepare(model, optimizer)
    settings = StepOptions(weights=WEIGHTS, losses=LossOptions(), accumulate=accumulate, balance=balance)
    return Stepper(wrapped, stepping, accelerator, settings), model


def difference(model: torch.nn.Module, start: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The gradient: what plain SGD at rate 1 took away."""
    return {name: start[name] - p.detach() for name, p in model.named_parameters()}


def take_step(accumulate: int, learned: bool = False) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    balance = UncertaintyWeights([*NAMES, "normal"]) if learned else None
    stepper, model = make_stepper(accumulate, balance)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    try:
        size = stepper.accelerator.num_processes
        batch = split_batch(make_batch(), size)[stepper.accelerator.process_index]
        result = stepper.step(batch)
        gradient = difference(model, start) | ({"balance": -balance.log_variance.detach()} if balance else {})
        return gradient, result.losses | {"total": result.total}
    finally:
        release(stepper.accelerator)


def assert_equal_gradients(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """1e-5 over the whole gradient, 1e-4 per tensor, tensors below 1e-6 of the largest norm left out."""
    assert a.keys() == b.keys()
    total = torch.stack([(a[n] - b[n]).square().sum() for n in a]).sum().sqrt()
    norms = {n: float(a[n].norm()) for n in a}
    assert total / torch.tensor(list(norms.values())).norm() < 1e-5
    for name, norm in norms.items():
        if norm >= 1e-6 * max(norms.values()):
            assert float((a[name] - b[name]).norm()) / norm < 1e-4, name


@pytest.mark.parametrize("accumulate", [2, 4, 8])
def test_accumulation_changes_nothing(accumulate: int) -> None:
    whole, losses = take_step(1)
    parts, same = take_step(accumulate)
    assert_equal_gradients(whole, parts)
    assert losses == pytest.approx(same, rel=1e-5)


def test_learned_factors_get_their_own_gradient() -> None:
    """Of exp(-s) w L + s at s = 0: 1 - w L where a target has labels, 0 where it has none; the network's is as without.

    However the batch is cut; `test_two_ranks_give_the_gradient_of_one` does the same on two ranks.
    """
    plain, losses = take_step(1)
    for accumulate in (1, 4):
        gradient, _ = take_step(accumulate, learned=True)
        expected = [1 - WEIGHTS[name] * losses[name] for name in NAMES]
        assert gradient.pop("balance").tolist() == pytest.approx([*expected, 0.0], rel=1e-4)
        assert_equal_gradients(plain, gradient)


def test_the_gradient_is_clipped_as_a_whole() -> None:
    """Plain SGD at rate 1 moves by the clipped gradient: in its direction, as far as the limit."""
    whole, _ = take_step(1)
    stepper, model = make_stepper()
    limit = 0.5 * float(torch.cat([g.flatten() for g in whole.values()]).norm())
    stepper.options = replace(stepper.options, clip_norm=limit)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    result = stepper.step(make_batch())
    release(stepper.accelerator)
    assert result.grad_norm == pytest.approx(2 * limit, rel=1e-5)  # before clipping
    moved = torch.cat([x.flatten() for x in difference(model, start).values()])
    expected = torch.cat([0.5 * x.flatten() for x in whole.values()])
    assert float((moved - expected).norm() / expected.norm()) < 1e-5


def test_micro_batches_keep_their_targets() -> None:
    batch = make_batch()
    parts = split_batch(batch, 3)
    assert [len(p.keys) for p in parts] == [2, 3, 3]
    for name, targets in batch.targets.items():
        starts = [0, 2, 5]
        rows = torch.cat([p.targets[name].rows + s for p, s in zip(parts, starts, strict=True)])
        assert rows.tolist() == targets.rows.tolist()
        assert torch.equal(torch.cat([p.targets[name].value for p in parts]), targets.value)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from safetensors.torch import save_file
import torch, test_step as t
import torch.distributed as dist
gradient, losses = t.take_step(1, learned=True)
import os
if os.environ["RANK"] == "0":
    numbers = {{"loss " + k: torch.tensor(v, dtype=torch.float64) for k, v in losses.items()}}
    save_file(gradient | numbers, {out!r})
"""


def test_two_ranks_give_the_gradient_of_one(tmp_path: Path) -> None:
    """Boxes and segmentation are supervised on the second rank only; counts are summed over both."""
    script, out = tmp_path / "script.py", tmp_path / "out.safetensors"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), out=str(out)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = load_file(out)
    gradient, losses = take_step(1, learned=True)
    assert_equal_gradients(gradient, {k: v for k, v in found.items() if not k.startswith("loss ")})
    assert losses == pytest.approx({k[5:]: float(v) for k, v in found.items() if k.startswith("loss ")}, rel=1e-5)


def poison_target(batch: Batch) -> None:
    batch.targets["depth"].value[0, 0, 0] = float("nan")
    batch.targets["depth"].valid[0, 0, 0] = True


def poison_clip(batch: Batch) -> None:
    batch.video[3, 0, 0, 0, 0] = float("inf")


@pytest.mark.parametrize(("poison", "names"), [(poison_target, {"depth"}), (poison_clip, {"action"})])
def test_non_finite_loss_leaves_the_weights(poison: object, names: set[str]) -> None:
    stepper, model = make_stepper()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = make_batch()
    poison(batch)  # type: ignore[operator]
    result = stepper.step(batch)
    release(stepper.accelerator)
    assert result.skipped
    assert names <= set(result.nonfinite)
    assert all(torch.equal(start[n], p) for n, p in model.named_parameters())


def test_non_finite_gradient_leaves_the_weights() -> None:
    stepper, model = make_stepper()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.head.weight.register_hook(lambda grad: grad * float("inf"))
    result = stepper.step(make_batch())
    release(stepper.accelerator)
    assert (result.skipped, result.nonfinite) == (True, ("gradient",))
    assert all(torch.equal(start[n], p) for n, p in model.named_parameters())


def test_a_batch_without_labels_is_a_step_of_nothing() -> None:
    stepper, model = make_stepper()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = make_batch()
    for name, t in batch.targets.items():
        batch.targets[name] = Targets(t.rows[:0], t.value[:0], t.valid[:0])
    result = stepper.step(batch)
    release(stepper.accelerator)
    assert (result.losses, result.total, result.skipped) == ({}, 0.0, False)
    assert all(torch.equal(start[n], p) for n, p in model.named_parameters())


def test_an_unlabelled_task_adds_nothing_to_the_others() -> None:
    """Without its labels, a task's term is exactly 0: the gradient is bit-equal to a run without that term."""
    gradients = []
    for drop in ("rows", "weight"):
        stepper, model = make_stepper()
        start = {name: p.detach().clone() for name, p in model.named_parameters()}
        batch = make_batch()
        if drop == "rows":
            t = batch.targets["depth"]
            batch.targets["depth"] = Targets(t.rows[:0], t.value[:0], t.valid[:0])
        else:
            stepper.names.remove("depth")
            del stepper.weights["depth"]
        stepper.step(batch)
        release(stepper.accelerator)
        gradients.append(difference(model, start))
    assert all(torch.equal(gradients[0][n], gradients[1][n]) for n in gradients[0])


class Asked(TorchDispatchMode):
    """Counts how often Python asks for a number that a tensor holds: on an accelerator each waits for all its work."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.times += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("accumulate", [1, 4])
def test_forward_and_backward_never_wait_for_the_device(accumulate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The textbook attention stands for the fused one, whose CPU stand-in checks its ids one by one."""
    stepper, _ = make_stepper(accumulate, attention="matmul")
    original, asked = Stepper._backward, Asked()

    def watched(self: Stepper, *args: object) -> torch.Tensor:
        with asked:
            return original(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Stepper, "_backward", watched)
    result = stepper.step(make_batch())
    release(stepper.accelerator)
    assert result.losses.keys() == set(NAMES)
    assert asked.times == 0
    with asked:
        torch.ones(3).sum().item()
    assert asked.times == 1


class Scaled:
    """An optimiser behind a gradient scaler, as accelerate wraps it for fp16."""

    def __init__(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        self.optimizer, self.scaler = optimizer, scaler
        self.param_groups = optimizer.param_groups

    def zero_grad(self, set_to_none: bool) -> None:
        self.optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step_was_skipped = self.scaler.get_scale() < before


def test_scaled_gradients_step_and_skip() -> None:
    """fp16's scaler, on a CPU in float32: the same gradient as without, and good steps follow bad ones."""
    plain, _ = take_step(1)
    _, model = make_stepper()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = Scaled(make_optimizer(model, OptimConfig(name="sgd", lr=1.0, momentum=0.0, weight_decay=0.0)), scaler)
    accelerator = SimpleNamespace(
        scaler=scaler, num_processes=1, autocast=contextlib.nullcontext,
        backward=lambda loss: scaler.scale(loss).backward(),
        unscale_gradients=lambda _: scaler.unscale_(optimizer.optimizer),
    )  # fmt: skip
    stepper = Stepper(model, optimizer, accelerator, StepOptions(weights=WEIGHTS))  # type: ignore[arg-type]
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    bad = make_batch()
    poison_target(bad)
    for _ in range(2):
        result = stepper.step(bad)
        assert (result.skipped, "depth" in result.nonfinite) == (True, True)
    hook = model.head.weight.register_hook(lambda grad: grad * float("inf"))
    while scaler.get_scale() >= 1:
        result = stepper.step(make_batch())
        assert (result.skipped, result.nonfinite) == (True, ())  # an overflow is the scaler's business
    result = stepper.step(make_batch())
    assert (result.skipped, result.nonfinite) == (True, ("gradient",))  # what is not scaled up did not overflow
    hook.remove()
    assert all(torch.equal(start[n], p) for n, p in model.named_parameters())
    assert not stepper.step(make_batch()).skipped
    assert_equal_gradients(plain, difference(model, start))
