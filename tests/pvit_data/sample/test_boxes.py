"""`Boxes.keep`: partners and multi-labels follow their rows, or go with them."""

from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_data import ShardWriter
from pvit_data.errors import FormatError
from pvit_data.sample.sample import Boxes, Sample
from pvit_data.validate import validate


def random_table(rng: np.random.Generator, count: int) -> Boxes:
    """A table whose track numbers the rows, so that each is known again."""
    num_labels = int(rng.integers(0, 6)) if count else 0
    return Boxes(
        rng.random((count, 4)),
        frame=rng.integers(0, 5, count),
        track=np.arange(count),
        partner=rng.integers(-1, count, count) if count else np.zeros(0),
        score=np.arange(count) / 64,
        labels=np.stack([rng.integers(0, max(count, 1), num_labels), rng.integers(0, 9, num_labels)], 1),
    )


@pytest.mark.parametrize("seed", range(20))
def test_rows_keep_what_belongs_to_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = random_table(rng, int(rng.integers(0, 7)))
    mask = rng.random(len(table)) < 0.6
    rows = rng.permutation(np.flatnonzero(mask))
    for chosen, order in ((mask, np.flatnonzero(mask)), (rows, rows)):
        kept = table.keep(chosen)
        assert kept.track.tolist() == order.tolist()
        assert kept.score.tolist() == (order / 64).tolist()
        np.testing.assert_array_equal(kept.xyxy, table.xyxy[order])
        np.testing.assert_array_equal(kept.frame, table.frame[order])
        partners = [int(kept.track[p]) if p >= 0 else -1 for p in kept.partner]
        assert partners == [p if p in order else -1 for p in table.partner[order].tolist()]
        labels = [(int(kept.track[row]), label) for row, label in kept.labels.tolist()]
        assert labels == [(row, label) for row, label in table.labels.tolist() if row in order]


def test_the_table_itself_stays_as_it_is() -> None:
    table = Boxes(np.zeros((2, 4)), partner=np.array([1, 0]), labels=np.array([[0, 1], [1, 2]]))
    assert table.keep(np.array([False, True])).labels.tolist() == [[0, 2]]
    assert (table.partner.tolist(), table.labels.tolist()) == ([1, 0], [[0, 1], [1, 2]])


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"partner": [2, -1]}, "partner"),
        ({"partner": [-2, -1]}, "partner"),
        ({"labels": [[2, 0]]}, "labels"),
        ({"labels": [[-1, 0]]}, "labels"),
    ],
)
def test_rows_that_are_not_there(columns: dict[str, list[int]], name: str) -> None:
    with pytest.raises(FormatError, match=rf"boxes\.{name} refers to a row"):
        Boxes(np.zeros((2, 4)), **{n: np.array(v) for n, v in columns.items()}).keep(np.array([0]))


def test_rows_belong_to_their_frames() -> None:
    boxes = Boxes(np.zeros((3, 4), np.float32), frame=np.array([0, 2, 2]))
    sample = Sample(key="a", num_frames=4, height=8, width=8, boxes=boxes)
    assert sample.frames_of("boxes").tolist() == [0, 2, 2]


def test_scores_are_stored_where_one_is_known(tmp_path: Path) -> None:
    corners = [[0, 0, 0.5, 0.5], [0.5, 0, 1, 1]]
    tables = {"found": Boxes(corners, score=[0.25, -1]), "drawn": Boxes(corners), "none": Boxes(np.zeros((0, 4)))}
    with ShardWriter(tmp_path, "s") as writer:
        for key, table in tables.items():
            writer.write(Sample(key=key, num_frames=2, boxes=table))
    dataset = pvit_data.open(tmp_path)
    for place, key in enumerate(dataset.column("key")):
        boxes = dataset[place].boxes
        assert boxes is not None
        assert boxes.score.dtype == np.float32
        assert boxes.score.tolist() == tables[key].score.tolist()
        assert ("boxes_score.npy" in dataset.members(place)) == (key == "found")
    assert validate(tmp_path).problems == []


def test_scores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"boxes.score has shape \(2,\), expected \(1,\)"):
        Boxes([[0, 0, 1, 1]], score=[0.5, 0.5])
    with pytest.raises(FormatError, match="not finite"), ShardWriter(tmp_path, "s") as writer:
        writer.write(Sample(key="a", num_frames=1, boxes=Boxes([[0, 0, 1, 1]], score=[np.nan])))
