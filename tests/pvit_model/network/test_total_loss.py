"""Every loss against an independent float64 reference, entry by entry."""

import itertools
import math

import numpy as np
import pytest
import torch

from pvit_data.loading.batch import Targets
from pvit_model.network.pvit import PViTOutput
from pvit_model.network.total_loss import UncertaintyWeights, task_losses, total_loss
from pvit_model.tasks import LossOptions, LossSum
from pvit_model.tasks.boxes import giou, match, to_xyxy

R, T, H, W = 3, 2, 4, 5


def output(name: str, prediction: torch.Tensor) -> PViTOutput:
    tasks = {name: prediction, "action": torch.zeros(0, 3)} if name != "action" else {name: prediction}
    return PViTOutput(torch.zeros(4, 3), torch.zeros(0), torch.zeros(0), tasks, True)


def loss_of(
    name: str, prediction: torch.Tensor, value: torch.Tensor, valid: torch.Tensor, options: LossOptions | None = None
) -> LossSum:
    targets = {name: Targets(torch.arange(len(value)), value, valid)}
    return task_losses(output(name, prediction), targets, options)[name]


def maps(*channels: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(R, T, H, W, *channels, generator=torch.Generator().manual_seed(seed))


def mask(*shape: int, seed: int = 9) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.4


def agree(loss: LossSum, total: float, count: int) -> None:
    assert int(loss.count) == count
    assert math.isclose(float(loss.sum), total, rel_tol=1e-6, abs_tol=1e-6)
    assert math.isclose(float(loss.mean), total / count, rel_tol=1e-6)


@pytest.mark.parametrize("literal", [False, True])
def test_depth(literal: bool) -> None:
    prediction, value, valid = maps() * 12, maps(seed=1) * 15, mask(R, T, H, W)
    value[~valid] = float("nan")
    total = sum(
        (float(p) / 5 - 1 - (min(float(z), 10.0) / 5 - 1)) ** 2 / (H * W if literal else 1)
        for p, z in zip(prediction[valid].double(), value[valid].double(), strict=True)
    )
    agree(loss_of("depth", prediction, value, valid, LossOptions(literal=literal)), total, int(valid.sum()))


def test_scale_invariant_depth() -> None:
    prediction, value, valid = maps() * 5 + 0.5, maps(seed=1) * 5 + 0.5, mask(R, T, H, W)
    total = 0.0
    for r, t in itertools.product(range(R), range(T)):
        d = (prediction[r, t].double().log() - value[r, t].double().log())[valid[r, t]].numpy()
        total += len(d) * ((d**2).mean() - d.mean() ** 2 / 2)
    options = LossOptions(depth="scale-invariant")
    agree(loss_of("depth", prediction, value, valid, options), total, int(valid.sum()))
    doubled = loss_of("depth", prediction * 2, value, valid, options)
    assert float(doubled.mean) != pytest.approx(total / int(valid.sum()))  # half of the mean error counts


@pytest.mark.parametrize("kind", ["mse", "cosine"])
def test_normals(kind: str) -> None:
    prediction, value, valid = (
        maps(3) - 0.5,
        torch.nn.functional.normalize(maps(3, seed=1) - 0.5, dim=-1),
        mask(R, T, H, W),
    )
    p, n = prediction[valid].double().numpy(), value[valid].double().numpy()
    if kind == "mse":
        total = float(((p - n) ** 2).sum() / 3)
    else:
        total = float((1 - (p * n).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(n, axis=1)).sum())
    options = LossOptions(normal=kind)
    agree(loss_of("normal", prediction, value, valid, options), total, int(valid.sum()))


def test_segmentation() -> None:
    scores, valid = torch.randn(R, 6, T, H, W), mask(R, T, H, W)
    ids = torch.randint(0, 6, (R, T, H, W))
    stored = torch.where(valid, ids, 255)
    total = 0.0
    for r, t, h, w in itertools.product(range(R), range(T), range(H), range(W)):
        if valid[r, t, h, w]:
            x = scores[r, :, t, h, w].double().numpy()
            total += float(np.log(np.exp(x).sum()) - x[int(ids[r, t, h, w])])
    agree(loss_of("segm/any", scores, stored, valid), total, int(valid.sum()))


@pytest.mark.parametrize(("kind", "literal"), [("mse", False), ("mse", True), ("huber", False)])
def test_pose(kind: str, literal: bool) -> None:
    prediction, value, valid = torch.randn(R, T, 25, 3) * 0.2, torch.randn(R, T, 25, 3) * 0.2, mask(R, T, 25)
    total = 0.0
    for p, j in zip(prediction[valid].double().numpy(), value[valid].double().numpy(), strict=True):
        distance = float(np.sqrt(((p - j) ** 2).sum()))
        if kind == "huber":
            total += distance**2 / 2 if distance <= 0.1 else 0.1 * (distance - 0.05)
        else:
            total += distance**2 / 3 / (75 if literal else 1)
    options = LossOptions(pose3d=kind, literal=literal)
    agree(loss_of("pose3d", prediction, value, valid, options), total, int(valid.sum()))


def box_cost(a: np.ndarray, b: np.ndarray) -> float:
    """L1 on cxcywh and 1 - GIoU on corners, with plain numbers."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    left, right = max(ax - aw / 2, bx - bw / 2), min(ax + aw / 2, bx + bw / 2)
    top, bottom = max(ay - ah / 2, by - bh / 2), min(ay + ah / 2, by + bh / 2)
    inter = max(0.0, right - left) * max(0.0, bottom - top)
    union = aw * ah + bw * bh - inter
    hull = (max(ax + aw / 2, bx + bw / 2) - min(ax - aw / 2, bx - bw / 2)) * (
        max(ay + ah / 2, by + bh / 2) - min(ay - ah / 2, by - bh / 2)
    )
    return float(np.abs(a - b).sum() + 1 - (inter / union - (hull - union) / hull))


def some_boxes(seed: int) -> torch.Tensor:
    return torch.rand(R, T, 4, 4, generator=torch.Generator().manual_seed(seed)) * 0.4 + 0.1


def test_boxes() -> None:
    prediction, value, valid = some_boxes(0), some_boxes(1), mask(R, T, 4)
    pairs = zip(prediction[valid].double().numpy(), value[valid].double().numpy(), strict=True)
    agree(loss_of("boxes", prediction, value, valid), sum(box_cost(p, b) for p, b in pairs), int(valid.sum()))


def test_boxes_matched_by_cost() -> None:
    """The cheapest of all 24 assignments of predictions to slots, in every frame."""
    prediction, value, valid = some_boxes(0), some_boxes(1), mask(R, T, 4)
    total = 0.0
    for r, t in itertools.product(range(R), range(T)):
        p, b = prediction[r, t].double().numpy(), value[r, t].double().numpy()
        total += min(
            sum(box_cost(p[order[slot]], b[slot]) for slot in range(4) if valid[r, t, slot])
            for order in itertools.permutations(range(4))
        )
    agree(loss_of("boxes", prediction, value, valid, LossOptions(boxes="hungarian")), total, int(valid.sum()))
    order = match(prediction, value, valid)
    assert (order.sort(-1).values == torch.arange(4)).all()


def test_giou_prefers_near_boxes() -> None:
    """Equation 7 prints + GIoU; ours falls as disjoint boxes approach."""
    fixed = to_xyxy(torch.tensor([0.2, 0.5, 0.1, 0.1]))
    near, far = (to_xyxy(torch.tensor([x, 0.5, 0.1, 0.1])) for x in (0.4, 0.8))
    assert giou(fixed, near) > giou(fixed, far)
    assert float(giou(fixed, fixed)) == pytest.approx(1.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_action(smoothing: float) -> None:
    logits, value = torch.randn(R, 6), torch.tensor([1, 5, 0])
    valid = torch.tensor([True, False, True])
    total = 0.0
    for row in (0, 2):
        x = logits[row].double().numpy()
        log_p = x - np.log(np.exp(x).sum())
        total += -(1 - smoothing) * log_p[int(value[row])] - smoothing * log_p.mean()
    agree(loss_of("action", logits, value, valid, LossOptions(label_smoothing=smoothing)), float(total), 2)


EMPTY = {
    "depth": (maps(), maps(seed=1), (R, T, H, W)),
    "normal": (maps(3), maps(3, seed=1), (R, T, H, W)),
    "segm/a": (torch.randn(R, 5, T, H, W), torch.full((R, T, H, W), 255), (R, T, H, W)),
    "pose3d": (torch.randn(R, T, 25, 3), torch.randn(R, T, 25, 3), (R, T, 25)),
    "boxes": (some_boxes(0), some_boxes(1), (R, T, 4)),
    "action": (torch.randn(R, 3), torch.zeros(R, dtype=torch.long), (R,)),
}
OPTIONS = (LossOptions(), LossOptions(depth="scale-invariant", normal="cosine", pose3d="huber", boxes="hungarian"))


@pytest.mark.parametrize("name", list(EMPTY))
@pytest.mark.parametrize("options", OPTIONS, ids=["paper", "alternatives"])
def test_nothing_valid_is_exactly_zero(name: str, options: LossOptions) -> None:
    """Sum, mean and gradient, also where the invalid entries hold NaN."""
    prediction, value, shape = EMPTY[name]
    prediction = prediction.clone().requires_grad_()
    if value.is_floating_point():
        value = torch.full_like(value, float("nan"))
    loss = loss_of(name, prediction, value, torch.zeros(shape, dtype=torch.bool), options)
    assert (float(loss.sum.detach()), float(loss.mean.detach()), int(loss.count)) == (0.0, 0.0, 0)
    (gradient,) = torch.autograd.grad(loss.mean, prediction)
    assert torch.count_nonzero(gradient) == 0
    assert not gradient.isnan().any()


@pytest.mark.parametrize("name", list(EMPTY))
@pytest.mark.parametrize("options", OPTIONS, ids=["paper", "alternatives"])
def test_invalid_entries_reach_no_gradient(name: str, options: LossOptions) -> None:
    prediction, value, shape = EMPTY[name]
    prediction, valid = prediction.clone().requires_grad_(), mask(*shape)
    assert valid.any()
    value = value.clone() if name != "segm/a" else torch.where(valid, 2, 255)
    if value.is_floating_point():
        value[~valid] = float("nan")
    (gradient,) = torch.autograd.grad(loss_of(name, prediction, value, valid, options).mean, prediction)
    assert gradient.isfinite().all()
    assert torch.count_nonzero(gradient) > 0


def test_losses_of_a_whole_batch_use_the_targets_rows() -> None:
    prediction, value, valid = maps() * 9, maps(seed=1)[:2] * 9, mask(2, T, H, W)
    rows = torch.tensor([0, 2])
    whole = PViTOutput(torch.zeros(R, 3), torch.zeros(0), torch.zeros(0), {"depth": prediction})
    got = task_losses(whole, {"depth": Targets(rows, value, valid)})["depth"]
    torch.testing.assert_close(got.mean, loss_of("depth", prediction[rows], value, valid).mean)


def test_totals() -> None:
    losses = {
        "depth": LossSum(torch.tensor(6.0), torch.tensor(3)),
        "boxes": LossSum(torch.tensor(0.0), torch.tensor(0)),
    }
    assert float(total_loss(losses, {"depth": 0.5})) == 1.0
    learned = UncertaintyWeights(["depth", "boxes"])
    with torch.no_grad():
        learned.log_variance.copy_(torch.tensor([0.3, 0.7]))
    total = learned(losses, {"depth": 0.5})
    assert float(total.detach()) == pytest.approx(math.exp(-0.3) * 1.0 + 0.3)
    total.backward()
    assert learned.log_variance.grad is not None
    assert learned.log_variance.grad[1] == 0
