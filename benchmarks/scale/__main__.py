"""The command; see the package."""

from __future__ import annotations

import argparse

import benchmarks.scale as scale
from benchmarks.scale import MEASURES, SIZES, laws, measured


def main() -> None:
    """Prints a table per measure."""
    parser = argparse.ArgumentParser(
        description=scale.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--largest", type=int, default=1_000_000, help="rows and log lines at most")
    options = parser.parse_args()
    for name in options.names or MEASURES:
        unit, function = MEASURES[name]
        sizes = [n for n in SIZES[unit] if n <= options.largest]
        print(f"== {name}: {' '.join((function.__doc__ or '').split())}")
        found = []
        for size in sizes:
            figures = measured(name, size)
            if isinstance(figures, str):
                print(f"{size:>12,} {unit:8} {figures}", flush=True)
                break
            found.append(figures)
            print(
                f"{size:>12,} {unit:8}",
                "  ".join(f"{k} {v:,.4g}" for k, v in figures.items()),
                flush=True,
            )
        if found:
            print(f"{'':21}", ", ".join(laws(sizes[: len(found)], found)))


if __name__ == "__main__":
    main()
