"""The whole path on data it renders itself: simulate -> convert -> train -> evaluate -> predict -> demo/report.html.

Runs the same commands a user types, on two CPU cores in a few minutes, offline. `python demo/run.py --quick` is a
smoke test of the path (seconds, learns nothing).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from report import write_report

HERE = Path(__file__).parent
OUT = HERE / "out"
BIN = Path(sys.executable).parent


@dataclass
class Story:
    """What was run and how long it took.

    Args:
        steps: (title, command as typed, seconds) of each step.
    """

    steps: list[tuple[str, str, float]] = field(default_factory=list)

    def run(self, title: str, *command: str | Path) -> None:
        """Runs one command, shows it first, and stops the demo if it fails."""
        words = [str(c) for c in command]
        typed = " ".join(w.replace(str(HERE.parent) + os.sep, "") for w in words)
        print(f"\n\033[1m[{len(self.steps) + 1}] {title}\033[0m\n$ {typed}", flush=True)
        started = time.monotonic()
        done = subprocess.run([BIN / words[0], *words[1:]])
        if done.returncode:
            sys.exit(f"demo: '{typed}' ended with exit code {done.returncode}")
        self.steps.append((title, typed, time.monotonic() - started))


@dataclass(frozen=True)
class Sizes:
    """How much is simulated and trained: (hypersim frames, ssv2 clips, further options of `pvit train`)."""

    frames: int
    clips: int
    train: tuple[str, ...] = ()


FULL = Sizes(frames=600, clips=960)
QUICK = Sizes(frames=60, clips=80, train=("--fast-dev-run",))


def main() -> None:
    """Runs every step and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: checks the path, learns nothing")
    sizes = QUICK if parser.parse_args().quick else FULL
    started = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    raw, shards, run = OUT / "raw", OUT / "shards", OUT / "run"
    story = Story()
    for source, count in (("hypersim", sizes.frames), ("ssv2", sizes.clips)):
        story.run(
            f"Render a small {source} in its real raw layout",
            *("pvit-data", "simulate", source, raw / source, "--samples", str(count), "--preset", "tiny"),
            *("--workers", "2"),
        )
    for source in ("hypersim", "ssv2"):
        story.run(f"Convert {source}", "pvit-data", "convert", source, raw / source, shards / source, "--workers", "2")
    both = ("--shards", shards / "hypersim", "--shards", shards / "ssv2")
    story.run(
        "Train PViT: actions from ssv2, depth and normals from hypersim",
        *("pvit", "train", *both, "--downstream", "ssv2", "--recipe", "demo", "--out", run, *sizes.train),
    )
    scores = {}
    for source in ("hypersim", "ssv2"):
        result = OUT / f"eval-{source}.json"
        story.run(
            f"Evaluate on {source} data never trained on",
            *("pvit", "eval", "--model", run, "--shards", shards / source, "--source", source),
            *("--split", "val", "--out", result),
        )
        scores[source] = json.loads(result.read_text())
    video = next((raw / "ssv2").rglob("*.webm"))
    story.run("Predict on one video", "pvit", "predict", video, "--model", run, "--out", OUT / "predict")
    page = write_report(HERE / "report.html", OUT, story.steps, scores)
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look at {page.relative_to(Path.cwd())} (open it in a browser).")
    print("Next: pvit-data sources hypersim | pvit recipes | pvit train --help | README.md, 'Use it on your data'")


if __name__ == "__main__":
    main()
