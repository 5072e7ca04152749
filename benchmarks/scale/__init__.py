"""What grows with the number of samples, shards, sources and nodes, measured on synthetic indices without a pixel.

Run: python -m benchmarks.scale [NAME ...] [--largest ROWS]

Each measure is taken at several sizes, each in a process of its own, and stated as a law: the exponent of a power of
the size between the first and the last one (0: constant, 1: linear). Columns are seconds, megabytes or counts as named.
"""

from benchmarks.scale import converting, layers, looking, reading
from benchmarks.scale.measure import MEASURES, SIZES, laws, measured

__all__ = ["MEASURES", "SIZES", "converting", "laws", "layers", "looking", "measured", "reading"]
