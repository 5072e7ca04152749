"""Curves of long runs: the same means in linear time, and no more points than can be seen."""

import math
from itertools import pairwise

import numpy as np
import pytest

from pvit_model.reporting.curves import MOST_POINTS, chart, smooth, thinned


@pytest.mark.parametrize("window", [1, 2, 7, 100])
def test_a_trailing_mean(window: int) -> None:
    values = np.random.default_rng(0).normal(size=90)
    values[[3, 40]] = math.nan
    values[50] = 1e30
    found = smooth([(2.0 * i, float(v)) for i, v in enumerate(values)], window)
    for i, (x, y) in enumerate(found):
        part = values[max(0, i - window + 1) : i + 1]
        part = part[np.isfinite(part)]
        assert x == 2 * i
        assert (math.isnan(y) and not len(part)) or y == pytest.approx(part.mean(), rel=1e-9, abs=1e-12)


def test_a_long_line_has_its_ends_and_no_more_points_than_pixels_need() -> None:
    points = [(float(i), float(i % 7)) for i in range(123_457)]
    kept = thinned(points)
    assert len(kept) == MOST_POINTS
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert set(kept) <= set(points)
    gaps = {b[0] - a[0] for a, b in pairwise(kept)}
    assert max(gaps) - min(gaps) <= 1
    assert thinned(points[:50]) == points[:50]
    assert chart("loss", {"loss": points}).count(",") < 3 * MOST_POINTS
