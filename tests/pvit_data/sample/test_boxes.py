"""`Boxes.keep`: partners and multi-labels follow their rows, or go with them."""

import numpy as np
import pytest

from pvit_data.errors import FormatError
from pvit_data.sample.sample import Boxes, Sample


def random_table(rng: np.random.Generator, count: int) -> Boxes:
    """A table whose track numbers the rows, so that each is known again."""
    num_labels = int(rng.integers(0, 6)) if count else 0
    return Boxes(
        rng.random((count, 4)),
        frame=rng.integers(0, 5, count),
        track=np.arange(count),
        partner=rng.integers(-1, count, count) if count else np.zeros(0),
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
