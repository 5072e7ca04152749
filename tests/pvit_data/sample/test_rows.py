"""Selections of rows: whatever they are held as, they are the numbers that numpy gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvit_data.sample.rows import SomeRows, marked, place_of, row_array, row_mask, selected


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 3000), st.sampled_from([0.0, 0.01, 0.3, 0.99, 1.0]), st.integers(0, 99))
def test_marked_rows_are_those_that_numpy_finds(total: int, share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random(total) < share
    truth = np.flatnonzero(mask)
    rows = marked(mask)
    assert [int(rows[i]) for i in range(len(rows))] == truth.tolist()
    np.testing.assert_array_equal(row_array(rows), truth)
    np.testing.assert_array_equal(row_mask(rows, total), mask)
    assert [place_of(rows, row) for row in truth[::7].tolist()] == list(range(len(truth)))[::7]
    again = selected(truth, total)
    np.testing.assert_array_equal(row_array(again), truth)
    mixed = np.random.default_rng(seed).permutation(truth)
    np.testing.assert_array_equal(row_array(selected(mixed, total)), mixed)


def test_they_take_a_bit_each() -> None:
    rows = marked(np.arange(1_000_000) % 3 > 0)
    assert isinstance(rows, SomeRows)
    assert sum(value.nbytes for value in vars(rows).values() if isinstance(value, np.ndarray)) < 150_000
    for wrong in (len(rows), -1):
        with pytest.raises(IndexError, match="of 666666"):
            rows[wrong]
