"""Metrics against independent computations: loops, closed forms, trigonometry, scikit-free references."""

import math

import numpy as np
import pytest

from pvit_data.errors import FormatError
from pvit_model.tasks import average_precision as ap_of
from pvit_model.tasks import boxes, depth, normal, pose3d, segm
from pvit_model.tasks.action import ActionMeter, majority


def test_depth_by_hand() -> None:
    prediction = np.array([1.0, 2.0, 4.0, 9.0])
    target = np.array([1.0, 1.0, 5.0, 1.0])
    valid = np.array([True, True, True, False])
    found = depth.result(depth.sums(prediction, target, valid))
    assert found["rmse"] == pytest.approx(math.sqrt((0 + 1 + 1) / 3))
    assert found["absrel"] == pytest.approx((0 + 1 + 0.2) / 3)
    # Ratios 1, 2 and 1.25: only the first is below 1.25; 1.25 itself is below 1.25^2; 2 exceeds 1.25^3 = 1.953.
    assert (found["delta1"], found["delta2"], found["delta3"]) == pytest.approx((1 / 3, 2 / 3, 2 / 3))


def test_sums_add_up_over_batches() -> None:
    rng = np.random.default_rng(0)
    p, t = rng.uniform(0.5, 5, (2, 40, 3))
    valid = rng.random((40, 3)) < 0.7
    halves = depth.sums(p[:17], t[:17], valid[:17]) + depth.sums(p[17:], t[17:], valid[17:])
    assert np.allclose(halves, depth.sums(p, t, valid))


def test_nothing_measured_is_nan_and_no_error() -> None:
    none = np.zeros(3, bool)
    assert math.isnan(depth.result(depth.sums(np.ones(3), np.ones(3), none))["rmse"])
    assert math.isnan(normal.result(normal.sums(np.ones((3, 3)), np.ones((3, 3)), none))["mean_deg"])
    assert math.isnan(segm.result(segm.sums(np.zeros(3, int), np.zeros(3, int), none, 4).reshape(4, 4))["miou"])
    assert math.isnan(pose3d.result(pose3d.sums(np.ones((3, 3)), np.ones((3, 3)), none))["mpjpe_mm"])
    assert math.isnan(boxes.result(boxes.sums(np.ones((3, 4)), np.ones((3, 4)), none))["iou"])


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 10.0, 22.4, 90.0, 179.999999, 180.0])
def test_angles_of_turned_vectors(degrees: float) -> None:
    a = np.array([[0.0, 0.0, 2.0]])
    b = 5 * np.array([[math.sin(math.radians(degrees)), 0.0, math.cos(math.radians(degrees))]])
    assert normal.angles(a, b)[0] == pytest.approx(degrees, abs=1e-9)


def test_normal_thresholds() -> None:
    turns = np.radians([5.0, 15.0, 25.0, 60.0])
    target = np.tile([0.0, 0.0, 1.0], (4, 1))
    prediction = np.stack([np.sin(turns), np.zeros(4), np.cos(turns)], axis=1)
    found = normal.result(normal.sums(prediction, target, np.ones(4, bool)))
    assert found["mean_deg"] == pytest.approx(26.25)
    assert (found["under11"], found["under22"], found["under30"]) == (0.25, 0.5, 0.75)


def test_miou_by_sets() -> None:
    rng = np.random.default_rng(1)
    target, prediction = rng.integers(0, 4, (2, 500))  # class 4 of 5 never occurs and must not count
    valid = rng.random(500) < 0.8
    found = segm.result(segm.sums(prediction, target, valid, 5).reshape(5, 5))
    places = [i for i in range(500) if valid[i]]
    ious = []
    for c in range(4):
        a = {i for i in places if target[i] == c}
        b = {i for i in places if prediction[i] == c}
        ious.append(len(a & b) / len(a | b))
    assert found["miou"] == pytest.approx(sum(ious) / 4)
    assert found["accuracy"] == pytest.approx(sum(target[i] == prediction[i] for i in places) / len(places))
    assert found["classes"] == 4


def test_mpjpe_in_millimetres() -> None:
    target = np.zeros((2, 25, 3))
    prediction = target.copy()
    prediction[0, :, 1] = 0.1
    prediction[1, :, 2] = 0.3
    valid = np.ones((2, 25), bool)
    valid[1, 5:] = False
    found = pose3d.result(pose3d.sums(prediction, target, valid))
    assert found["mpjpe_mm"] == pytest.approx((25 * 100 + 5 * 300) / 30)
    assert found["pck150"] == pytest.approx(25 / 30)


def test_iou_of_slots() -> None:
    same = np.array([0.5, 0.5, 0.4, 0.2])
    moved = np.array([0.7, 0.5, 0.4, 0.2])  # overlaps by half its width: 1 / 3
    found = boxes.result(boxes.sums(np.stack([same, moved]), np.stack([same, same]), np.ones(2, bool)))
    assert found["iou"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["recall50"] == 0.5
    assert boxes.iou(np.zeros(4), np.zeros(4)) == 0


def naive_ap50(found: list[ap_of.Detections], truth: list[ap_of.Detections]) -> float:
    """AP at IoU 0.5 of one class, 101 recall points, greedy matching, written from the definition."""
    order = sorted(((s, i, k) for i, d in enumerate(found) for k, s in enumerate(d.score)), key=lambda row: -row[0])
    used: set[tuple[int, int]] = set()
    hits = []
    for _, image, k in order:
        best, match = 0.5, None
        for j in range(len(truth[image].xyxy)):
            overlap = float(boxes.iou(found[image].xyxy[k], truth[image].xyxy[j]))
            if (image, j) not in used and overlap >= best:
                best, match = overlap, (image, j)
        hits.append(match is not None)
        if match:
            used.add(match)
    total = sum(len(d.xyxy) for d in truth)
    tp = np.cumsum(hits)
    precision, recall = tp / np.arange(1, len(hits) + 1), tp / total
    levels = [max((p for p, r in zip(precision, recall, strict=True) if r >= level), default=0.0)
              for level in np.linspace(0, 1, 101)]  # fmt: skip
    return float(np.mean(levels))


def test_average_precision_against_the_definition() -> None:
    rng = np.random.default_rng(3)
    truth, found = [], []
    for _ in range(6):
        corner = rng.uniform(0, 0.6, (3, 2))
        xyxy = np.concatenate([corner, corner + rng.uniform(0.2, 0.4, (3, 2))], axis=1)
        truth.append(ap_of.Detections(xyxy, [7] * 3))
        false = rng.uniform(0, 0.4, (2, 4)) + np.array([0, 0, 0.4, 0.4])
        noisy = np.concatenate([xyxy + rng.normal(0, 0.03, (3, 4)), false])
        found.append(ap_of.Detections(noisy, [7] * 5, rng.random(5).tolist()))
    ap = ap_of.average_precision(found, truth)
    assert ap["ap50"] == pytest.approx(naive_ap50(found, truth), abs=1e-9)
    assert 0 < ap["ap"] <= ap["ap50"] < 1
    assert math.isnan(ap_of.average_precision(found, [ap_of.Detections(np.zeros((0, 4)), [])] * 6)["ap"])
    assert ap_of.average_precision([ap_of.Detections(np.zeros((0, 4)), [])] * 6, truth)["ap"] == 0


def test_views_are_summed_as_probabilities() -> None:
    """Two views vote 0 weakly, one votes 1 strongly: mean logits would say 1, summed probabilities say 0."""
    meter = ActionMeter(3, views=3)
    views = [[1.0, 0.0, -9.0], [1.0, 0.0, -9.0], [-4.0, 9.0, -9.0]]
    for logits in views:
        meter.add(["a"], np.array([logits]), np.array([0]))
    scores = sum(np.exp(v) / np.exp(v).sum() for v in np.array(views))
    assert meter.counts((1, 2)) == {"videos": 1.0, "top1": float(scores.argmax() == 0), "top2": 1.0}


def test_topk_counts_each_video_once() -> None:
    meter = ActionMeter(6)
    meter.add(["a", "b"], np.array([[3.0, 2, 1, 0, 0, 0], [0, 1.0, 2, 3, 4, 5]]), np.array([1, 0]))
    assert meter.counts() == {"videos": 2.0, "top1": 0.0, "top5": 1.0}


def test_a_missing_or_extra_view_is_an_error() -> None:
    meter = ActionMeter(3, views=2)
    meter.add(["a"], np.zeros((1, 3)), np.array([0]))
    with pytest.raises(FormatError, match="1 of 1 videos got other than 2 views, first 'a'"):
        meter.counts()
    meter.add(["a"], np.zeros((1, 3)), np.array([0]))
    with pytest.raises(FormatError, match="more than the 2 views"):
        meter.add(["a"], np.zeros((1, 3)), np.array([0]))
    with pytest.raises(FormatError, match="label 1 in one view, 0 in another"):
        meter.add(["a"], np.zeros((1, 3)), np.array([1]))


def test_majority_share() -> None:
    share, error = majority(np.array([0.0, 70.0, 0.0, 30.0]))
    assert share == 0.7
    assert error == pytest.approx(math.sqrt(0.7 * 0.3 / 100))
