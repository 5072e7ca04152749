"""Sound predictions, however bad they are, give no finding."""

from pathlib import Path

import numpy as np
import pytest

from pvit_data.scoring.doctor.permuted import permuted
from pvit_data.scoring.doctor.permuted_columns import permuted_columns
from tests.pvit_data.scoring import made
from tests.pvit_data.scoring.boxes_by_loops import Row

K = 174


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("number", "videos"), [(174, 200), (174, 2000), (10, 100), (4, 60)])
def test_untrained(seed: int, number: int, videos: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, number, videos)
    result = made.diagnose_classes(tmp_path, rng.normal(size=(videos, 3, number)), labels, number)
    assert made.found(result) == set()


@pytest.mark.parametrize(("number", "videos"), [(2, 2), (2, 3), (2, 10), (3, 4), (2, 20), (3, 24)])
def test_random_answers_of_a_few_videos(number: int, videos: int) -> None:
    """Fewer than one of a thousand."""
    rng = np.random.default_rng(videos)
    ids = [str(n) for n in range(videos)]
    tries = (rng.integers(0, number, (2, videos)) for _ in range(1000))
    assert sum(permuted(labels, said, ids, number, {}) is not None for labels, said in tries) < 2


@pytest.mark.parametrize(("number", "videos"), [(2, 8), (3, 30), (5, 60), (10, 150)])
def test_columns_of_random_scores(number: int, videos: int) -> None:
    rng = np.random.default_rng(number)
    ids = [str(n) for n in range(videos)]
    for _ in range(100):
        flags = rng.random((videos, number)) < 0.2
        assert permuted_columns(rng.normal(size=flags.shape), flags, ids) is None
        assert permuted_columns(rng.normal(size=flags.shape) + flags, flags, ids) is None


def skewed(rng: np.random.Generator, number: int, videos: int) -> np.ndarray:
    """Labels of which some classes are frequent."""
    share = rng.dirichlet(np.full(number, 0.3))
    return rng.choice(number, videos, p=share)


@pytest.mark.parametrize("kind", ["constant", "prior", "prior-argmax"])
def test_constant_and_class_prior(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    labels = skewed(rng, K, 1500)
    share = np.bincount(labels, minlength=K) / len(labels)
    logits = np.zeros((len(labels), 3, K))
    if kind == "constant":
        logits[:, :, 17] = 5
    elif kind == "prior":  # drawn from it
        logits[np.arange(len(labels)), :, rng.choice(K, len(labels), p=share)] = 5
    else:
        logits += np.log(share + 1e-6)
    assert made.found(made.diagnose_classes(tmp_path, logits, labels, K)) == set()


def test_random_flips(tmp_path: Path) -> None:
    """30 % of the clips of left/right classes were flipped."""
    rng = np.random.default_rng(2)
    names = made.names_of(60)
    labels = np.concatenate(
        [rng.integers(0, 60, 800), rng.choice([n for n, t in enumerate(names) if "left" in t], 400)]
    )
    logits = made.network(labels, 60, 0.8, rng)
    swap = np.array(
        [
            names.index(
                t.replace("left to right", "RL")
                .replace("right to left", "left to right")
                .replace("RL", "right to left")
            )
            for t in names
        ]
    )
    flipped = rng.random(len(labels)) < 0.3
    logits[flipped] = logits[flipped][:, :, swap]
    assert made.found(made.diagnose_classes(tmp_path, logits, labels, 60)) == set()


@pytest.mark.parametrize("top1", [0.03, 0.1, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("number", [174, 12])
def test_trained_weak_and_strong(top1: float, number: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    labels = skewed(rng, number, 1200)
    assert made.found(made.diagnose_classes(tmp_path, made.network(labels, number, top1, rng), labels, number)) == set()


@pytest.mark.parametrize("top1", [0.02, 0.5])
def test_fewer_videos_than_classes(top1: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, K, 60)
    assert made.found(made.diagnose_classes(tmp_path, made.network(labels, K, top1, rng), labels, K)) == set()


@pytest.mark.parametrize("seed", range(3))
def test_five_shot(seed: int, tmp_path: Path) -> None:
    """86 new classes, a weak network that prefers some of them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 86, 2500)
    logits = made.network(labels, 86, 0.3, rng) + 2 * rng.normal(size=86)
    assert made.found(made.diagnose_classes(tmp_path, logits, labels, 86)) == set()


def test_one_class_has_most_videos(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    labels = np.where(rng.random(600) < 0.6, 7, rng.integers(0, 30, 600))
    for top1 in (0.0, 0.2, 0.6):
        assert made.found(made.diagnose_classes(tmp_path, made.network(labels, 30, top1, rng), labels, 30)) == set()


@pytest.mark.parametrize("number", [2, 12, 60])
def test_two_classes_are_truly_confused(number: int, tmp_path: Path) -> None:
    """Each is taken for the other in six of ten videos."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, number, 900)
    seen = labels.copy()
    pair = np.isin(labels, (0, 1)) & (rng.random(900) < 0.6)
    seen[pair] = 1 - labels[pair]
    (tmp_path / "x").mkdir()
    logits = made.network(seen, number, 0.7, rng)
    result = made.diagnose_classes(tmp_path, logits, labels, number, classes=None)
    assert made.found(result) == set()


@pytest.mark.parametrize("form", ["summed", "mean", "log", "logits"])
def test_forms_of_combined_scores(form: str, tmp_path: Path) -> None:
    from pvit_data.scoring.metrics.views import summed

    rng = np.random.default_rng(7)
    labels = rng.integers(0, K, 800)
    logits = made.network(labels, K, 0.6, rng)
    total = summed(logits)
    rows = {"summed": total, "mean": total / 3, "log": np.log(total / 3), "logits": logits.mean(axis=1)}[form]
    result = made.diagnose_classes(tmp_path, rows, labels, K)
    assert made.found(result) == set()
    (information,) = result.findings
    told = {
        "summed": "sums of softmax over 3 views",
        "mean": "add up to 1",
        "log": "logarithms",
        "logits": "rows are logits",
    }
    assert told[form] in information.seen


def test_partial(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 30, 400)
    logits = made.network(labels, 30, 0.6, rng)
    assert made.found(made.diagnose_classes(tmp_path, logits, labels, 30, predicted=300, partial=True)) == set()


@pytest.mark.parametrize("kind", ["recall", "less", "jitter", "empty", "eighty", "poor", "many", "movement"])
def test_detections(kind: str, tmp_path: Path) -> None:
    """Detector recall .5 and .3; jittered boxes; seconds without people; all 80 classes; random scores; boxes
    everywhere; only the classes of movement."""
    truth = made.movies()
    rng = np.random.default_rng(9)
    rows = {
        "recall": lambda: made.detections(truth, 0.5),
        "less": lambda: made.detections(truth, 0.3),
        "movement": lambda: made.detections(truth, classes=range(1, 15)),
        "jitter": lambda: made.detections(truth, jitter=0.05),
        "empty": lambda: made.detections(truth, false=1.0),
        "eighty": lambda: made.detections(truth, classes=range(1, 81)),
        "poor": lambda: [r._replace(score=float(rng.random())) for r in made.detections(truth)],
        "many": lambda: [*made.detections(truth), *made.detections(truth, jitter=0.1, seed=4)],
    }[kind]()
    assert made.found(made.diagnose_boxes(tmp_path, truth, rows)) == set()


@pytest.mark.parametrize("kind", ["few seconds", "one second", "some people"])
def test_few_boxes_that_are_right(kind: str, tmp_path: Path) -> None:
    """Of two seconds or a single one of each movie, or of one person in twenty: recall is low, boxes are not
    wrong."""
    truth = made.movies()
    rows = {
        "few seconds": lambda: [r for r in made.detections(truth) if r.second in (903, 933)],
        "one second": lambda: [r for r in made.detections(truth) if r.second == 903],
        "some people": lambda: made.detections(truth, 0.05, false=0.1),
    }[kind]()
    result = made.diagnose_boxes(tmp_path, truth, rows, partial=True)
    assert result.details["recall"] < 0.15
    assert made.found(result) == set()


@pytest.mark.parametrize("recall", [0.45, 0.2])
def test_people_who_sit_still_before_one_camera(recall: float, tmp_path: Path) -> None:
    """Boxes of other seconds are as good there; boxes that are wrong are still found."""
    rng = np.random.default_rng(10)
    places = [np.array([x, 0.2, x + 0.2, 0.8]) for x in (0.1, 0.4, 0.7)]
    truth = [
        Row("aaaaaaaaaaa", second, tuple(np.round(place + rng.normal(0, 0.01, 4), 3).tolist()), 12)
        for second in range(902, 942)
        for place in places
    ]
    rows = made.detections(truth, recall, false=0)
    assert made.found(made.diagnose_boxes(tmp_path, truth, rows)) == set()
    halved = [r._replace(box=tuple(v / 2 for v in r.box)) for r in rows]
    assert made.found(made.diagnose_boxes(tmp_path, truth, halved)) == {"boxes match nothing"}


@pytest.mark.parametrize("length", [None, 240])
def test_answers(length: int | None, tmp_path: Path) -> None:
    """OSCC always yes; PNR always 8, noisy, random."""
    rows = made.clips(length=length)
    yes = {row["unique_id"]: True for row in rows}
    assert made.found(made.diagnose_clips(tmp_path, rows, yes, "oscc")) == set()
    steps = {row["unique_id"]: row["parent_end_frame"] - row["parent_start_frame"] for row in rows}
    assert made.found(made.diagnose_clips(tmp_path, rows, {k: n / 2 for k, n in steps.items()})) == set()
    for noise in (0.2, 1.0, 3.0):
        assert made.found(made.diagnose_clips(tmp_path, rows, made.in_frames(rows, noise))) == set()
    rng = np.random.default_rng(0)
    assert (
        made.found(made.diagnose_clips(tmp_path, rows, {k: n / 16 * int(rng.integers(16)) for k, n in steps.items()}))
        == set()
    )
