"""Does every task learn? All five auxiliary tasks and actions on the simulated mixture, against constant predictors.

Run: python -m benchmarks.every_task [--seeds 0,1] [--steps N] [--scale 0.05] [--out FOLDER]

Simulates and converts all six sources with the commands that a user types, trains the recipe `all-tasks` once per seed,
and prints each held-out loss beside the best constant predictor's (per-pixel mean, class frequencies, mean pose and
boxes) of that source's training set: stricter than one constant for the mixture, as telling the sources apart gains
nothing. A task's loss is the mean over its sources, weighted by clips. Held out are whole groups: a source's own test
or validation split where it has one, else `--holdout 20`. `--scale 0.05 --steps 4` only shows that the path runs.

Bars: depth, normals and segmentation at most 0.9, pose and boxes below 1.0, each over at least 200 held-out clips.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Source:
    """How one source is simulated, converted and held out.

    Args:
        simulate: numbers to scale, as options of `pvit-data simulate`.
        fixed: further options of it.
        split: the split that is never trained on.
        holdout: whether that split is made by `--holdout 20`, the source having none of its own.
    """

    simulate: dict[str, int]
    fixed: tuple[str, ...] = ()
    split: str = "val"
    holdout: bool = False


SOURCES = {
    "ssv2": Source({"--train": 640, "--validation": 240, "--test": 8}),
    "hypersim": Source({"--samples": 1800}),
    "surreact": Source(
        {"--samples": 1000},
        ("--maps", "--sets", "ntu/vibe,uestc/hmmr", "--views", "45,315"),
        split="test",
    ),
    "phav": Source({"--samples": 1000}, holdout=True),
    "synadl": Source(
        {"--samples": 2400}, ("--actions", "1,22,54,16", "--facing", "20"), holdout=True
    ),
    "ehoi": Source({"--samples": 1400}, holdout=True),
}
CLIPS = 200
"""Held-out clips that a task needs."""
BARS = {"depth": 0.9, "normal": 0.9, "segm": 0.9, "pose3d": 1.0, "boxes": 1.0}


def run(*command: str | Path) -> None:
    """Runs one of our commands with one thread a process, showing it first."""
    words = [str(c) for c in command]
    print("$", *words, flush=True)
    done = subprocess.run([BIN / words[0], *words[1:]], env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"'{' '.join(words)}' ended with exit code {done.returncode}")


def prepare(out: Path, scale: float) -> None:
    """Simulates and converts every source that is not there yet."""
    for name, source in SOURCES.items():
        if (out / "shards" / name / "manifest.json").is_file():
            continue
        raw = out / "raw" / name
        shutil.rmtree(raw, ignore_errors=True)
        numbers = [
            word
            for key, n in source.simulate.items()
            for word in (key, str(max(round(n * scale), 8)))
        ]
        run(
            "pvit-data",
            "simulate",
            name,
            raw,
            *numbers,
            *source.fixed,
            "--preset",
            "tiny",
            "--workers",
            "2",
        )
        holdout = ("--holdout", "20") if source.holdout else ()
        run("pvit-data", "convert", name, raw, out / "shards" / name, *holdout, "--workers", "2")


def train(out: Path, seed: int, steps: int | None) -> tuple[list[dict[str, Any]], float]:
    """Trains once; the held-out reports of every source, and the seconds that training took."""
    where = out / f"run-{seed}"
    shutil.rmtree(where, ignore_errors=True)
    shards = [word for name in SOURCES for word in ("--shards", str(out / "shards" / name))]
    changes = ["--set", f"run.seed={seed}", *(["--set", f"optim.steps={steps}"] if steps else [])]
    begun = time.monotonic()
    run(
        "pvit",
        "train",
        *shards,
        "--downstream",
        "ssv2",
        "--recipe",
        "all-tasks",
        "--out",
        where,
        *changes,
    )
    seconds = time.monotonic() - begun
    reports = []
    for name, source in SOURCES.items():
        found = out / f"eval-{seed}-{name}.json"
        split = ("--source", name, "--split", source.split, "--workers", "1")
        run(
            "pvit",
            "eval",
            "--model",
            where,
            "--shards",
            out / "shards" / name,
            *split,
            "--out",
            found,
        )
        reports += json.loads(found.read_text())["reports"]
    return reports, seconds


def lines(seed: int, reports: list[dict[str, Any]], seconds: float) -> list[str]:
    """A line per source and target, then one per task: loss, the constant predictor's, their ratio, the bar."""
    rows = [
        f"seed {seed}: trained in {seconds:.0f} s",
        line("source", "target", "clips", "loss", "constant", "ratio"),
    ]
    tasks: dict[str, list[tuple[int, float, float]]] = {task: [] for task in BARS}
    for report in reports:
        for target, metrics in report["metrics"].items():
            head = (report["source"], target, report["clips"])
            if target == "action":
                share, majority = metrics["top1"], metrics["majority"]
                rows.append(
                    line(*head, "", "", "") + f"  top-1 {share:.3f}; majority class {majority:.3f}"
                )
                continue
            loss, ratio = metrics["loss"], report["of_constant"][target]["loss"]
            tasks[target.partition("/")[0]].append((report["clips"], loss, loss / ratio))
            rows.append(line(*head, f"{loss:.4f}", f"{loss / ratio:.4f}", f"{ratio:.3f}"))
    for task, parts in tasks.items():
        clips = sum(n for n, _, _ in parts)
        loss, constant = (sum(part[0] * part[k] for part in parts) / clips for k in (1, 2))
        ratio, bar = loss / constant, BARS[task]
        sign = "<" if bar == 1 else "<="
        met = clips >= CLIPS and (ratio < bar if bar == 1 else ratio <= bar)
        verdict = f"  bar {sign} {bar:g}: {'met' if met else 'MISSED'}"
        rows.append(
            line("all", task, clips, f"{loss:.4f}", f"{constant:.4f}", f"{ratio:.3f}") + verdict
        )
    return rows


def line(*columns: object) -> str:
    """Source and target to the left, numbers to the right."""
    first, second, *numbers = map(str, columns)
    return f"{first:<10} {second:<18}" + "".join(f"{number:>9}" for number in numbers)


def main() -> None:
    """Prepares the data once, trains each seed and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="0", help="comma-separated")
    parser.add_argument("--steps", type=int, help="optimiser steps instead of the recipe's")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the clips")
    parser.add_argument("--out", type=Path, help="folder to keep; shards there are used again")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="every-task-"))
    begun = time.monotonic()
    prepare(out, options.scale)
    print(f"data ready in {time.monotonic() - begun:.0f} s", flush=True)
    tables = [
        lines(seed, *train(out, seed, options.steps)) for seed in map(int, options.seeds.split(","))
    ]
    print("", *(row for table in tables for row in table), sep="\n")
    if options.out is None:
        shutil.rmtree(out)


if __name__ == "__main__":
    main()
