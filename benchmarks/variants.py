"""Do all variants learn? Baseline, MT, VPT and PViT on simulated SomethingElse, and a few shots of new classes.

Run: python -m benchmarks.variants [--only NAME ...] [--scale 0.05] [--out FOLDER]

Simulates SSv2 with the layers of SomethingElse and three auxiliary sources, and converts them, all with the commands
that a user types. Each row is one `pvit train` of a composed recipe, made small by the recipe `demo`, and one `pvit
eval` on the clips of its protocol that are held out. MT and VPT start from the run of the baseline, the few shots from
one on the base classes; `real-boxes` is PViT with the boxes of SomethingElse as a further task. What already lies in
FOLDER is used again, but for a run that was not evaluated. `--scale 0.05` only shows that the path runs.

Bars: each row's top-1 at least 4 binomial standard errors above its majority class, on at least 200 held-out clips; all
of it within 25 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
SAMPLES = {"something-else": 1200, "hypersim": 400, "ehoi": 400, "surreact": 200}
SETTINGS = ("compositional", "base", "5shot", "10shot")
SMALL = ("run.precision=fp32", "run.predictions=0", "run.eval_clips=100")
"""Of every run, beside what `demo` says: 32 clips a step, half of them auxiliary."""
ALONE = ("mixture.batch_size=16",)
"""Of runs without auxiliary data: the real half."""
COMPOSITIONAL, BASE = "something-else-compositional", "something-else-base"
BAR, CLIPS, MINUTES = 4, 200, 25


@dataclass(frozen=True)
class Row:
    """One variant on one protocol.

    Args:
        on: name of the protocol.
        variant: name of the variant.
        steps: of training.
        start: name of the row whose weights it starts from.
        settings: what else it changes of its recipe.
    """

    on: str
    variant: str
    steps: int
    start: str = ""
    settings: tuple[str, ...] = ()


SHOTS = {
    f"{shots}shot-{what}": Row(
        f"something-else-{shots}shot",
        "baseline",
        100,
        "base",
        (*ALONE, f"model.finetune={what}"),
    )
    for shots in (5, 10)
    for what in ("head", "all")
}
ROWS = {
    "baseline": Row(COMPOSITIONAL, "baseline", 300, settings=ALONE),
    "mt": Row(COMPOSITIONAL, "mt", 200, "baseline"),
    "vpt": Row(COMPOSITIONAL, "vpt", 200, "baseline", ALONE),
    "pvit": Row(COMPOSITIONAL, "pvit", 300),
    "base": Row(BASE, "baseline", 300, settings=ALONE),
    **SHOTS,
    "real-boxes": Row(COMPOSITIONAL, "real-boxes", 300),
}


def run(*command: str | Path) -> str:
    """Runs one of our commands with one thread a process, showing it first; the command as typed."""
    words = [str(word) for word in command]
    typed = shlex.join(words)
    print(f"$ {typed}", flush=True)
    done = subprocess.run([BIN / words[0], *words[1:]], env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"'{typed}' ended with exit code {done.returncode}")
    return typed


def prepare(out: Path, scale: float) -> None:
    """Simulates and converts every source that is not there yet."""
    raw, shards = out / "raw", out / "shards"
    for name, samples in SAMPLES.items():
        if (raw / name).is_dir():
            continue
        size = ("--preset", "tiny", "--samples", str(max(round(samples * scale), 40)))
        maps = ("--maps",) if name == "surreact" else ()
        run("pvit-data", "simulate", name, raw / name, *size, *maps, "--workers", "2")
    under = raw / "something-else"
    layer = (under, shards / "layers", "--base", shards / "ssv2")
    steps = {"ssv2": ("ssv2", under / "ssv2", shards / "ssv2")}
    for setting in SETTINGS:
        steps[f"layers/layers/something-else-{setting}"] = (
            "something-else",
            *layer,
            "--setting",
            setting,
        )
    steps["layers/layers/something-else-boxes"] = ("something-else-boxes", *layer)
    steps |= {name: (name, raw / name, shards / name) for name in SAMPLES if name != under.name}
    for place, words in steps.items():
        if not (shards / place).is_dir():
            run("pvit-data", "convert", *words, "--workers", "2")


def train(name: str, out: Path, scale: float) -> tuple[str, float, dict[str, Any]]:
    """Trains and evaluates a row, if its run is not there yet: the command, minutes, and metrics of its actions."""
    row, where, found = ROWS[name], out / "runs" / name, out / "runs" / f"{name}.json"
    if not found.is_file():
        shutil.rmtree(where, ignore_errors=True)
        begun, places = time.monotonic(), [out / "shards" / "ssv2", out / "shards" / "layers"]
        shards = [word for place in places for word in ("--shards", place)]
        steps = max(round(row.steps * scale), 2)
        changes = [*SMALL, f"optim.steps={steps}", f"run.eval_every={steps}", *row.settings]
        changes += [f"model.init_from={out / 'runs' / row.start}"] if row.start else []
        others = [out / "shards" / other for other in SAMPLES if other != "something-else"]
        typed = run(
            *("pvit", "train", "--recipe", f"{row.on}/{row.variant}+demo"),
            *(*shards, *(word for place in others for word in ("--shards", place))),
            *("--out", where, *(word for change in changes for word in ("--set", change))),
        )
        told = where / "held-out.json"
        run("pvit", "eval", "--model", where, *shards, "--source", row.on, "--out", told)
        (report,) = json.loads(told.read_text())["reports"]
        minutes = (time.monotonic() - begun) / 60
        found.write_text(json.dumps([typed, minutes, report["metrics"]["action"]]))
    typed, minutes, metrics = json.loads(found.read_text())
    return typed, minutes, metrics


def line(name: str, minutes: float, metrics: dict[str, Any]) -> tuple[str, bool]:
    """A row of the table, and whether its bar is met."""
    top1, most, error = (metrics[key] for key in ("top1", "majority", "majority_se"))
    met = bool(metrics["videos"] >= CLIPS and top1 >= most + BAR * error)
    is_start = ROWS[name].on == BASE  # few clips of it are held out, and nothing is claimed of it
    numbers = (
        f"{minutes:8.1f}{metrics['videos']:7.0f}{top1:8.3f}{most:10.3f}{error:8.4f}"
        f"{(top1 - most) / error:8.1f}"
    )
    return f"{name:<12}{numbers}  {'-' if is_start else 'yes' if met else 'NO'}", met or is_start


def main() -> int:
    """Prepares the data, trains the rows and prints commands and table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=ROWS, help="these rows and what they need")
    parser.add_argument("--scale", type=float, default=1.0, help="share of clips and steps")
    parser.add_argument("--out", type=Path, help="folder to keep; what lies there is used again")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="variants-"))
    begun = time.monotonic()
    prepare(out, options.scale)
    data = (time.monotonic() - begun) / 60
    wanted = options.only or list(ROWS)
    names = [n for n in ROWS if n in wanted or any(ROWS[other].start == n for other in wanted)]
    results = {name: train(name, out, options.scale) for name in names}
    print("", *(f"{name}: {typed}" for name, (typed, *_) in results.items()), "", sep="\n")
    print(
        f"{'':<12} minutes  clips   top-1  majority      se  excess  above the majority by {BAR} se"
    )
    lines = [line(name, minutes, metrics) for name, (_, minutes, metrics) in results.items()]
    print(*(text for text, _ in lines), sep="\n")
    total = data + sum(minutes for _, minutes, _ in results.values())
    print(f"data {data:.1f} minutes, all {total:.1f}; bar {MINUTES}")
    if options.out is None:
        shutil.rmtree(out)
    return int(not all(met for _, met in lines) or total > MINUTES)


if __name__ == "__main__":
    raise SystemExit(main())
