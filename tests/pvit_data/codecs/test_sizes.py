"""Maps take the bytes that the benchmark promises, against Pillow's PNG of the same maps."""

from pathlib import Path

from benchmarks.reading import SIZE_BARS, rooms, sizes, write


def test_sizes_of_maps(tmp_path: Path) -> None:
    samples = list(rooms(3, frames=2))
    found = sizes(write(tmp_path, samples), samples)
    few = 1.05  # of three rooms only; the benchmark's twelve hold the bars themselves
    assert {name: ratio for name, ratio in found.items() if ratio > few * SIZE_BARS[name]} == {}
