"""The whole path on data it renders itself: simulate -> convert -> train -> evaluate -> predict -> demo/report.html.

Runs the same commands a user types, on two CPU cores in a few minutes, offline.
"""

from __future__ import annotations

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
HYPERSIM = ("--samples", "900", "--preset", "small")
SSV2 = ("--train", "640", "--validation", "240", "--test", "8", "--preset", "tiny")
HELD_OUT = "val"
"""Rooms and clips that are never trained on, in both sources."""


@dataclass
class Story:
    """What was run and how long it took.

    Args:
        steps: (title, command as typed, seconds) of each step.
    """

    steps: list[tuple[str, str, float]] = field(default_factory=list)

    def run(self, title: str, *command: str | Path) -> None:
        """Runs one command, shows it first, and stops the demo if it fails.

        One thread a process: on two cores the other one decodes, and threads that wait for each other cost more than
        they bring.
        """
        words = [str(c) for c in command]
        typed = " ".join(os.path.relpath(w) if os.path.isabs(w) else w for w in words)
        print(f"\n[{len(self.steps) + 1}] {title}\n$ {typed}", flush=True)
        begun = time.monotonic()
        done = subprocess.run(
            [BIN / words[0], *words[1:]], env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        if done.returncode:
            sys.exit(f"demo: '{typed}' ended with exit code {done.returncode}")
        self.steps.append((title, typed, time.monotonic() - begun))


def main() -> None:
    """Runs every step and writes the report."""
    begun = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    raw, shards, run = OUT / "raw", OUT / "shards", OUT / "run"
    story = Story()
    for source, size in (("hypersim", HYPERSIM), ("ssv2", SSV2)):
        story.run(
            f"Render a small {source} in its real raw layout",
            *("pvit-data", "simulate", source, raw / source, *size, "--workers", "2"),
        )
    for source in ("hypersim", "ssv2"):
        story.run(
            f"Convert {source}",
            "pvit-data",
            "convert",
            source,
            raw / source,
            shards / source,
            "--workers",
            "2",
        )
    story.run(
        "Train PViT: actions from ssv2; depth, normals and segmentation from hypersim",
        *("pvit", "train", "--shards", shards / "hypersim", "--shards", shards / "ssv2"),
        *("--downstream", "ssv2", "--recipe", "demo", "--out", run),
    )
    results = []
    for source in ("hypersim", "ssv2"):
        results.append(OUT / f"eval-{source}.json")
        story.run(
            f"Evaluate on {source} data never trained on",
            *("pvit", "eval", "--model", run, "--shards", shards / source, "--source", source),
            *("--split", HELD_OUT, "--out", results[-1]),
        )
    video = min((raw / "ssv2").rglob("*.webm"))
    story.run(
        "Predict on one video file",
        "pvit",
        "predict",
        video,
        "--model",
        run,
        "--out",
        OUT / "predict",
    )
    page = HERE / "report.html"
    verdicts = write_report(page, OUT, story.steps, results)
    print("\nHeld-out results:", *verdicts, sep="\n  ")
    print(
        f"\nDone in {time.monotonic() - begun:.0f} s. Look at {os.path.relpath(page)} (open it in a browser)."
    )
    print(
        "Next: pvit-data sources hypersim | pvit recipes | pvit train --help | README.md, 'Use it on your data'"
    )


if __name__ == "__main__":
    main()
