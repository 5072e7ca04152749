"""Metrics of classes against loops, and against numbers by hand."""

import math

import numpy as np
import pytest

from pvit_data.errors import FormatError
from pvit_data.scoring.metrics import classes, multilabel, precision, views


def loops_top_k(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Softmax per view, summed, best k; written with Python's numbers."""
    hits = 0
    for video, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total = [0.0] * len(video[0])
        for view in video:
            top = max(view)
            exps = [math.exp(value - top) for value in view]
            for c, value in enumerate(exps):
                total[c] += value / sum(exps)
        order = sorted(range(len(total)), key=lambda c: (-total[c], c))
        hits += label in order[:k]
    return hits / len(labels)


@pytest.mark.parametrize("shape", [(40, 3, 7), (25, 1, 12), (30, 5, 6)])
def test_top_k_equals_loops(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    logits = rng.normal(size=shape) * 3
    labels = rng.integers(0, shape[2], shape[0])
    found = classes.top_k(views.summed(logits), labels)
    assert found["top1"] == pytest.approx(loops_top_k(logits, labels, 1), abs=1e-12)
    assert found["top5"] == pytest.approx(loops_top_k(logits, labels, 5), abs=1e-12)


def test_summed_softmax_ranks_other_than_averaged_logits() -> None:
    """Two doubtful views for class 1, one very sure view for class 0."""
    logits = np.array([[[0.0, 1.0, -9.0], [0.0, 1.0, -9.0], [30.0, 0.0, 0.0]]])
    assert views.summed(logits).argmax() == 0
    logits = np.array([[[-20.0, 1.0, 0.0], [0.9, 1.0, 0.0], [0.9, 1.0, 0.0]], [[9.0, 0.0, 0.0], [0, 2, 0], [0, 2, 0]]])
    assert views.summed(logits)[1].argmax() == 1
    assert logits[1].mean(axis=0).argmax() == 0


def test_equal_scores_rank_by_id() -> None:
    assert classes.ranks(np.array([[0.5, 0.5, 0.1]]), np.array([1])).tolist() == [1]
    assert classes.best(np.array([[0.5, 0.5]])).tolist() == [0]


def test_ties_bound_top_k() -> None:
    """All ways to break them, tried: added to the scores in every order of the classes."""
    from itertools import permutations

    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 3, (30, 5)) / 2, rng.integers(0, 5, 30)
    for k in (1, 3):
        share, low, high = classes.ties(scores, labels, k)
        hits = [(classes.ranks(scores + np.array(order) * 1e-3, labels) < k) for order in permutations(range(5))]
        assert low == pytest.approx(np.all(hits, axis=0).mean())
        assert high == pytest.approx(np.any(hits, axis=0).mean())
        ordered = [sorted(row, reverse=True) for row in scores.tolist()]
        assert share == pytest.approx(sum(row[k - 1] == row[k] for row in ordered) / 30)


@pytest.mark.parametrize("whole", [1, 100])
def test_probabilities_are_added_up_as_they_are(whole: int) -> None:
    """The logits' result, to rounding, also of numbers with four decimals; logits are not taken for probabilities."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(50, 3, 60)) * 4
    assert views.whole_of(logits) is None
    assert views.whole_of(np.abs(logits)) is None
    each = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True) * whole
    for numbers, tolerance in ((each, 1e-12), (each.astype(np.float32), 1e-6), (each.round(4), 2e-4)):
        assert views.whole_of(numbers) == whole
        np.testing.assert_allclose(views.summed(numbers), views.summed(logits), atol=tolerance)


def test_sigmoids_are_added_up_as_they_are() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(40, 3, 20)) * 4
    assert views.whole_of(logits, exclusive=False) is None
    numbers = 1 / (1 + np.exp(-logits))
    assert views.whole_of(numbers, exclusive=False) == 1
    np.testing.assert_allclose(
        views.summed(numbers, exclusive=False), views.summed(logits, exclusive=False), atol=1e-12
    )


def test_logarithms_of_zero_are_scores_and_nan_is_none() -> None:
    assert views.summed(np.array([[[0.0, -np.inf]]])).tolist() == [[1.0, 0.0]]
    for bad in (np.nan, np.inf):
        with pytest.raises(
            FormatError, match="logits: 1 of 2 videos have scores that are NaN or infinite, first row 1"
        ):
            views.summed(np.array([[[0.0, 1.0]], [[bad, 1.0]]]))


def test_class_accuracies_by_hand() -> None:
    labels, predicted = np.array([0, 0, 0, 0, 1, 1, 3]), np.array([0, 0, 0, 1, 1, 0, 2])
    counts = classes.confusion(labels, predicted, 4)
    assert counts.tolist() == [[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    np.testing.assert_allclose(classes.class_accuracies(counts), [0.75, 0.5, np.nan, 0.0])
    assert classes.mean_class_accuracy(counts) == pytest.approx((0.75 + 0.5 + 0.0) / 3)


def loops_ap(scores: list[float], positive: list[bool]) -> float:
    """Mean over positives of the precision at their threshold: equal scores count together."""
    values = []
    for score, right in zip(scores, positive, strict=True):
        if right:
            above = [p for s, p in zip(scores, positive, strict=True) if s >= score]
            values.append(sum(above) / len(above))
    return sum(values) / len(values)


@pytest.mark.parametrize("decimals", [1, 8])
def test_multilabel_precision_equals_loops(decimals: int) -> None:
    """With ties and without. Thresholds with several positives weigh as many."""
    rng = np.random.default_rng(decimals)
    scores = rng.random((60, 5)).round(decimals)
    positive = rng.random((60, 5)) < 0.2
    positive[:, 4] = False
    mean, each = multilabel.mean_average_precision(scores, positive)
    expected = [loops_ap(scores[:, c].tolist(), positive[:, c].tolist()) for c in range(4)]
    np.testing.assert_allclose(each[:4], expected, atol=1e-12)
    assert math.isnan(each[4])
    assert mean == pytest.approx(np.mean(expected))


def loops_pascal(scores: list[float], right: list[bool], total: int) -> float:
    """The area under the envelope, step by step over recall."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    recall, points, hits = [0.0], [0.0], 0
    for n, row in enumerate(order, 1):
        hits += right[row]
        recall.append(hits / total)
        points.append(hits / n)
    area = 0.0
    for n in range(1, len(recall)):
        area += (recall[n] - recall[n - 1]) * max(points[n:])
    return area


def test_pascal_precision_equals_loops() -> None:
    rng = np.random.default_rng(3)
    for size in (1, 2, 7, 40):
        scores, right = rng.random(size), rng.random(size) < 0.5
        total = int(right.sum()) + 3
        expected = loops_pascal(scores.tolist(), right.tolist(), total)
        assert precision.average_precision(scores, right, total) == pytest.approx(expected, abs=1e-12)


def test_orders_of_equal_scores_bound_precision() -> None:
    """All orders of five detections with one score, tried."""
    from itertools import permutations

    right = np.array([True, False, True, False, False])
    same = np.full(5, 0.5)
    values = [precision.average_precision(same, right[list(order)], 2) for order in permutations(range(5))]
    assert precision.average_precision(same, right, 2, "low") == pytest.approx(min(values))
    assert precision.average_precision(same, right, 2, "high") == pytest.approx(max(values))


def test_nothing_to_find_is_no_number() -> None:
    assert math.isnan(precision.average_precision(np.array([0.5]), np.array([False]), 0))
    assert precision.average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0.0
