"""Runs every benchmark of this folder with its defaults, or the named ones: python -m benchmarks [NAME ...]."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Runs them one after another, each in a process of its own, so that none warms or slows another."""
    here = Path(__file__).parent
    found = [*here.glob("*.py"), *(path.parent for path in here.glob("*/__main__.py"))]
    names = sorted(path.stem for path in found if not path.stem.startswith("_"))
    chosen = sys.argv[1:] or names
    if unknown := sorted(set(chosen) - set(names)):
        print(f"error: no benchmark {unknown[0]!r}; there is {', '.join(names)}", file=sys.stderr)
        return 2
    worst = 0
    for name in chosen:
        print(f"== {name}", flush=True)
        worst = max(
            worst,
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode,
        )
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
