"""Each fault, planted in three strengths, is found and named, and nothing else is."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.pvit_data.scoring import made

STRENGTHS = [0.95, 0.6, 0.3]
"""Top-1 of the network whose predictions are spoilt."""


@pytest.mark.parametrize("top1", STRENGTHS)
@pytest.mark.parametrize(("number", "videos"), [(174, 3000), (48, 600), (10, 300)])
def test_permuted_classes(top1: float, number: int, videos: int, tmp_path: Path) -> None:
    """Under 20 classes a weak network is no proof."""
    rng = np.random.default_rng(number)
    labels = rng.integers(0, number, videos)
    logits = made.network(labels, number, top1, rng)[:, :, rng.permutation(number)]
    result = made.diagnose_classes(tmp_path, logits, labels, number)
    expected = {"permuted classes"} if number >= 20 or top1 >= 0.6 else set()
    assert made.found(result) == expected
    if expected:
        assert "(--classes FILE)" in result.wrong[0].remedy


def test_permuted_classes_of_twenty_videos(tmp_path: Path) -> None:
    labels = np.arange(20) % 2
    logits = made.network(1 - labels, 2, 1.0, np.random.default_rng(0))
    assert made.found(made.diagnose_classes(tmp_path, logits, labels, 2)) == {"permuted classes"}


@pytest.mark.parametrize("top1", [0.65, 0.75, 0.95])
def test_yes_and_no_exchanged(top1: float, tmp_path: Path) -> None:
    """Published networks are right in 64 % to 75 % of the clips."""
    rng = np.random.default_rng(1)
    rows = made.clips(number=1000)
    right = rng.random(1000) < top1
    answers = {
        row["unique_id"]: bool(row["state_change"] != is_right) for row, is_right in zip(rows, right, strict=True)
    }
    assert made.found(made.diagnose_clips(tmp_path, rows, answers, "oscc")) == {"answers exchanged"}
    weak = {row["unique_id"]: bool(row["state_change"] == (rng.random() < 0.47)) for row in rows}
    assert made.found(made.diagnose_clips(tmp_path, rows, weak, "oscc")) == set()


@pytest.mark.parametrize("strength", [1, 2, 4])
def test_permuted_columns_of_several_classes(strength: float, tmp_path: Path) -> None:
    """Logits of a class that a video has are higher by so many standard deviations."""
    rng = np.random.default_rng(0)
    flags = rng.random((400, 30)) < 0.08
    logits = rng.normal(size=(400, 2, 30)) + strength * flags[:, None] - 2
    later = made.diagnose_several(tmp_path, np.roll(logits, 1, axis=2), flags)
    assert made.found(later) == {"permuted classes"}
    assert "moved by +1: do the ids count from 1?" in later.wrong[0].remedy
    mixed = made.diagnose_several(tmp_path, logits[:, :, rng.permutation(30)], flags)
    assert made.found(mixed) == {"permuted classes"}
    assert "(--classes FILE)" in mixed.wrong[0].remedy
    assert made.found(made.diagnose_several(tmp_path, logits, flags)) == set()


@pytest.mark.parametrize("top1", STRENGTHS)
def test_known_orders_are_named(top1: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    number = 40
    labels = rng.integers(1, number - 1, 900)
    logits = made.network(labels, number, top1, rng)
    later = made.diagnose_classes(tmp_path, np.roll(logits, 1, axis=2), labels, number)
    assert "ids that count from 1" in later.wrong[0].remedy
    earlier = made.diagnose_classes(tmp_path, np.roll(logits, -1, axis=2), labels, number)
    assert "ids that are one too low" in earlier.wrong[0].remedy
    # Order of a label file (SomethingElse): truth by the alphabet, columns by the values.
    names = made.names_of(number)
    values = {name: int(v) for name, v in zip(names, rng.permutation(number), strict=True)}
    (tmp_path / "labels.json").write_text(json.dumps(values))
    rows = [{"id": str(n), "template": names[k]} for n, k in enumerate(labels)]
    (tmp_path / "validation.json").write_text(json.dumps(rows))
    columns = np.empty_like(logits)
    columns[:, :, [values[name] for name in names]] = logits
    np.savez(tmp_path / "p.npz", ids=np.arange(len(labels)), logits=columns)
    how = made.ScoreOptions(
        protocol=made.find_protocol("topk", "something-else"), truth=str(tmp_path / "validation.json"), diagnose=True
    )
    result = made.score(tmp_path / "p.npz", "topk", how)
    assert "follow the values of the label file" in result.wrong[0].remedy
    # A file that was named and should not have been.
    plain = made.diagnose_classes(tmp_path, logits, labels, number)
    assert made.found(plain) == set()
    (tmp_path / "other.json").write_text(json.dumps(rng.permutation(names).tolist()))
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps(names))
    np.savez(tmp_path / "p.npz", ids=[f"v{n:06d}" for n in range(len(labels))], logits=logits)
    how = made.ScoreOptions(
        protocol=made.find_protocol("topk", "diving48"), truth=str(tmp_path / "truth.csv"), diagnose=True,
        classes=tmp_path / "other.json",
    )  # fmt: skip
    result = made.score(tmp_path / "p.npz", "topk", how)
    assert "follow the truth's order already, without --classes" in result.wrong[0].remedy


@pytest.mark.parametrize("share", [1.0, 0.85, 0.7])
def test_left_and_right_swapped(share: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    number = 60
    names = made.names_of(number)
    pairs = [
        (a, b)
        for a in range(number)
        for b in range(number)
        if "left to" in names[a] and names[b] == names[a].replace("left to right", "right to left")
    ]
    assert len(pairs) == 3
    labels = np.concatenate([rng.integers(0, number, 1500), rng.choice([k for p in pairs for k in p], 200)])
    logits = made.network(labels, number, 0.8, rng)
    swap = np.arange(number)
    for a, b in pairs:
        swap[a], swap[b] = b, a
    mirrored = rng.random(len(labels)) < share
    logits[mirrored] = logits[mirrored][:, :, swap]
    result = made.diagnose_classes(tmp_path, logits, labels, number)
    assert made.found(result) == {"left and right swapped"}


def test_classes_that_are_only_shifted_are_not_called_mirrored(tmp_path: Path) -> None:
    """Where left and right are neighbours a shift by one moves one to the other."""
    rng = np.random.default_rng(3)
    names = [f"{verb} from {way}" for verb in "abcdefghij" for way in ("left to right", "right to left")]
    labels = rng.integers(0, 20, 1200)
    logits = np.roll(made.network(labels, 20, 0.9, rng), 1, axis=2)
    (tmp_path / "classes.txt").write_text("\n".join(names))
    result = made.diagnose_classes(tmp_path, logits, labels, 20, classes=tmp_path / "classes.txt")
    assert made.found(result) == {"permuted classes"}


@pytest.mark.parametrize("number", [1, 20, 400])
def test_leak(number: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 30, 500)
    logits = made.network(labels, 30, 0.7, rng)
    ids = [f"v{n:06d}" for n in range(number)] + [f"t{n}" for n in range(500)]
    (tmp_path / "train.csv").write_text("id,label\n" + "".join(f"{i},0\n" for i in ids))
    result = made.diagnose_classes(tmp_path, logits, labels, 30, train_list=tmp_path / "train.csv")
    assert made.found(result) == {"leak"}
    assert result.wrong[0].seen.startswith(f"{number:,} of the 500 ids")


def test_leak_is_seen_in_the_official_list_beside_the_truth(tmp_path: Path) -> None:
    truth = made.movies()
    (tmp_path / "ava_train_v2.2.csv").write_text("aaaaaaaaaaa,0902,0.1,0.1,0.5,0.5,1,0\nzzzzzzzzzzz,0902,0,0,1,1,1,0\n")
    assert made.found(made.diagnose_boxes(tmp_path, truth, made.detections(truth))) == {"leak"}
    rows = made.clips()
    (tmp_path / "fho_oscc-pnr_train.json").write_text(json.dumps(rows[:3]))
    assert made.found(made.diagnose_clips(tmp_path, rows, made.in_frames(rows))) == {"leak"}


RECALLS = [0.95, 0.6, 0.35]


@pytest.mark.parametrize("recall", RECALLS)
@pytest.mark.parametrize("shift", [-902, -901, -900, -2, -1, 1, 2, 900, 902])
def test_shifted_seconds(shift: int, recall: float, tmp_path: Path) -> None:
    truth = made.movies()
    rows = [r._replace(second=r.second + shift) for r in made.detections(truth, recall)]
    result = made.diagnose_boxes(tmp_path, truth, rows)
    assert made.found(result) == {"seconds shifted"}
    assert f"({-shift:+d})" in result.wrong[0].remedy


@pytest.mark.parametrize("recall", RECALLS)
def test_boxes_in_other_units_and_orders(recall: float, tmp_path: Path) -> None:
    truth = made.movies()
    rows = made.detections(truth, recall)

    def name_of(change: object) -> set[str]:
        changed = [r._replace(box=tuple(change(*r.box))) for r in rows]  # type: ignore[operator]
        return made.found(made.diagnose_boxes(tmp_path, truth, changed))

    assert name_of(lambda a, b, c, d: (a * 640, b * 360, c * 640, d * 360)) == {"box units"}
    assert name_of(lambda a, b, c, d: (b, a, d, c)) == {"box axes"}
    assert name_of(lambda a, b, c, d: (a, b, c - a, d - b)) == {"box axes"}
    assert name_of(lambda a, b, c, d: ((a + c) / 2, (b + d) / 2, c - a, d - b)) == {"box axes"}
    assert name_of(lambda a, b, c, d: (a, c, b, d)) == {"box axes"}
    assert name_of(lambda a, b, c, d: (1 - c, b, 1 - a, d)) == {"box axes"}


@pytest.mark.parametrize("recall", RECALLS)
def test_movies_exchanged(recall: float, tmp_path: Path) -> None:
    truth = made.movies()
    other = {"aaaaaaaaaaa": "bbbbbbbbbbb", "bbbbbbbbbbb": "aaaaaaaaaaa"}
    rows = [r._replace(video=other[r.video]) for r in made.detections(truth, recall)]
    result = made.diagnose_boxes(tmp_path, truth, rows)
    assert made.found(result) == {"movies exchanged"}
    assert "first: those of aaaaaaaaaaa are under bbbbbbbbbbb" in result.wrong[0].seen


@pytest.mark.parametrize("recall", RECALLS)
@pytest.mark.parametrize("fault", ["crop", "scaled twice", "backwards", "frames"])
def test_boxes_that_match_nothing(fault: str, recall: float, tmp_path: Path) -> None:
    """Boxes of a crop; shares that were divided again; seconds from the end; numbers of frames as seconds."""
    truth = made.movies()
    change = {
        "crop": lambda r: r._replace(box=tuple(2 * v - 0.9 for v in r.box)),
        "scaled twice": lambda r: r._replace(box=tuple(v / 320 for v in r.box)),
        "backwards": lambda r: r._replace(second=902 + 941 - r.second),
        "frames": lambda r: r._replace(second=r.second * 30),
    }[fault]
    result = made.diagnose_boxes(tmp_path, truth, [change(r) for r in made.detections(truth, recall)])
    assert made.found(result) == {"boxes match nothing"}


@pytest.mark.parametrize("top", [9.0, 5.0, 2.0])
def test_actions_renumbered(top: float, tmp_path: Path) -> None:
    """Detections whose network counts the 60 classes from 1; the weakest one is hardly better than chance."""
    from pvit_data.scoring.metrics.ava import EVALUATED

    truth = made.movies()
    rng = np.random.default_rng(int(top))
    rows = [
        r._replace(action=EVALUATED.index(r.action) + 1, score=float(r.score * top / 9 + rng.random() * (1 - top / 9)))
        for r in made.detections(truth)
    ]
    result = made.diagnose_boxes(tmp_path, truth, rows)
    assert made.found(result) == {"actions renumbered"}
    right = [r._replace(action=EVALUATED[r.action - 1]) for r in rows]
    (tmp_path / "right").mkdir()
    good = made.diagnose_boxes(tmp_path / "right", truth, right)
    assert made.found(good) == set()
    assert f"mAP is {good.values['mAP']:.4f} instead of {result.values['mAP']:.4f}" in result.wrong[0].seen


@pytest.mark.parametrize("top", [9.0, 6.0, 4.0])
def test_actions_in_another_order(top: float, tmp_path: Path) -> None:
    """Counted from another number, or in any order; of six movies, with boxes that are right."""
    rng = np.random.default_rng(int(top))

    def six(rows: list[made.Row]) -> list[made.Row]:
        return [r._replace(video=f"{r.video[:-1]}{r.second % 3}") for r in rows]

    truth = six(made.movies())
    sound = [
        r._replace(score=float(r.score * top / 9 + rng.random() * (1 - top / 9)))
        for r in six(made.detections(made.movies(), classes=range(1, 81)))
    ]
    assert made.found(made.diagnose_boxes(tmp_path, truth, sound)) == set()
    shuffled = [0, *(1 + rng.permutation(80)).tolist()]
    for change in (lambda a: a % 80 + 1, lambda a: shuffled[a]):
        rows = [r._replace(action=change(r.action)) for r in sound]
        assert made.found(made.diagnose_boxes(tmp_path, truth, rows)) == {"actions reordered"}


@pytest.mark.parametrize("more", [20, 1, -3])
def test_other_label_maps(more: int, tmp_path: Path) -> None:
    """80 classes, one more, and some too few."""
    from pvit_data.scoring.metrics.ava import ALL, EVALUATED

    others = [n for n in ALL if n not in EVALUATED]
    ids = sorted([*EVALUATED, *others[:more]] if more > 0 else EVALUATED[:more])
    text = "".join(f'item {{\n  name: "class {n}"\n  id: {n}\n}}\n' for n in ids)
    (tmp_path / "map.pbtxt").write_text(text)
    truth = made.movies()
    result = made.diagnose_boxes(tmp_path, truth, made.detections(truth), label_map=str(tmp_path / "map.pbtxt"))
    assert made.found(result) == {"80 for 60"}
    assert str(abs(more)) in result.wrong[0].seen


def test_renumbered_truth(tmp_path: Path) -> None:
    truth = [r._replace(action=1 + n % 60) for n, r in enumerate(made.movies())]
    assert made.found(made.diagnose_boxes(tmp_path, truth, made.detections(truth))) == {"80 for 60"}


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("unit", ["bins", "seconds", "frames", "absolute seconds", "halves"])
def test_units_of_pnr(unit: str, noise: float, tmp_path: Path) -> None:
    rows = made.clips()
    answers = made.in_frames(rows, noise)
    for row in rows:
        name, steps = row["unique_id"], row["parent_end_frame"] - row["parent_start_frame"]
        if unit == "bins":
            answers[name] = round(answers[name] / steps * 16)
        elif unit == "seconds":
            answers[name] /= 30
        elif unit == "absolute seconds":
            answers[name] = row["parent_start_sec"] + answers[name] / 30
        elif unit == "halves":  # of frames, a unit that nobody knows
            answers[name] *= 2.5
        else:
            answers[name] += row["parent_start_frame"]
    result = made.diagnose_clips(tmp_path, rows, answers)
    assert made.found(result) == {"PNR units"}
    said = {
        "bins": "they look like bins: multiply them by (parent_end_frame - parent_start_frame) / 16, a factor of 1",
        "seconds": "they look like seconds: multiply them by 30 (the median error falls from",
        "frames": "they look like frames of the whole video: subtract parent_start_frame (",
        "absolute seconds": "they look like seconds of the whole video: subtract parent_start_sec and multiply by 30 (",
        "halves": "; multiplied by 0.",
    }
    assert said[unit] in result.wrong[0].remedy
    assert re.search(r"median error falls from \d\S* s to 0\.\d+ s", result.wrong[0].remedy)


@pytest.mark.parametrize("strength", [2.0, 1.0, 0.5])
@pytest.mark.parametrize("fault", ["BGR", "no normalisation"])
def test_other_pixels(strength: float, fault: str) -> None:
    """The statistic: 64 clips, whose true class gains where they are fed as the network was trained."""
    from pvit_data.scoring.doctor.pixels import other_pixels

    rng = np.random.default_rng(int(10 * strength))
    labels = rng.integers(0, 20, 64)
    plain = rng.normal(size=(64, 20))
    good = plain + 0.2 * rng.normal(size=plain.shape)
    good[np.arange(64), labels] += 2 + strength
    changed = {"BGR": plain + 0.1 * rng.normal(size=plain.shape), "no normalisation": rng.normal(size=plain.shape)}
    finding = other_pixels(plain, changed | {fault: good}, labels)
    assert finding is not None
    assert f"with {fault}" in finding.seen
    assert other_pixels(good, changed, labels) is None
    assert other_pixels(plain, changed, labels) is None
