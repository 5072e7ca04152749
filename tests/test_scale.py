"""What `benchmarks.scale` measures at large sizes works, and gives figures, at the smallest ones."""

import math
from pathlib import Path

import pytest

from benchmarks.scale import MEASURES, SIZES, laws
from pvit_converters.engine.executors import cluster, here

MOST = 10_000
SLOW = {"workers"}  # which spawns processes with torch; what it measures, the tests of start methods hold


@pytest.mark.parametrize("name", sorted(MEASURES.keys() - SLOW))
def test_every_measure_gives_figures(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVIT_CACHE", str(tmp_path / "cache"))
    for module in (here, cluster):  # which a measure replaces, in a process of its own
        monkeypatch.setattr(module, "run_task", module.run_task)
    unit, measure = MEASURES[name]
    size = min(SIZES[unit])
    assert size <= MOST
    (tmp_path / "work").mkdir()
    figures = measure(size, tmp_path / "work")
    assert figures
    assert all(math.isfinite(value) for value in figures.values()), figures


def test_growth_is_told_as_a_power() -> None:
    found = [{"s": 0.1, "mb": 5.0}, {"s": 1.0, "mb": 5.0}, {"s": 10.0, "mb": 5.0}]
    assert list(laws([10, 100, 1000], found)) == ["s ~ n^1.00", "mb ~ n^0.00"]
