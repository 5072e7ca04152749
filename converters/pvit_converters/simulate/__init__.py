"""The embedded simulator: short procedural scenes with exact truth, written in each source's real raw layout.

It is the quickstart's data, the tests' truth and the study's benchmark. It imports no converter and shares no parsing
code with them. Everything follows from the seed, and any clip can be made alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pvit_converters.simulate.tree import Job, Progress, Tree
from pvit_data.errors import UsageError

PRESETS = ("tiny", "small", "format")

__all__ = ["PRESETS", "SOURCES", "Progress", "Simulation", "Tree", "simulate"]


@dataclass(frozen=True)
class Simulation:
    """A raw layout that the simulator can write.

    Args:
        module: module with `simulate(job, **options) -> Tree`.
        about: one line for a list of sources.
    """

    module: str
    about: str

    def load(self) -> Callable[..., Tree]:
        """Imports the writer."""
        function: Callable[..., Tree] = import_module(self.module).simulate
        return function


_HERE = "pvit_converters.simulate"
SOURCES = {
    "hypersim": Simulation(
        f"{_HERE}.hypersim",
        "rooms: depth, normals, NYU40 classes, boxes (plain, tilted, shifted cameras)",
    ),
    "surreact": Simulation(
        f"{_HERE}.surreact", "people over stills: SMPL joints, body parts; depth on request"
    ),
    "phav": Simulation(
        f"{_HERE}.phav", "street clips: depth in centimetres, class and instance colours"
    ),
    "synadl": Simulation(
        f"{_HERE}.synadl", "people in rooms: OpenPose and Kinect joints in 2D and 3D"
    ),
    "ehoi": Simulation(
        f"{_HERE}.ehoi", "a workbench with tools and hands: COCO boxes, masks and contacts"
    ),
    "ssv2": Simulation(f"{_HERE}.ssv2", "real-looking action clips: only a label"),
}


def simulate(
    source: str,
    out: Path | str,
    samples: int | None = None,
    seed: int = 0,
    preset: str = "small",
    progress: Progress | None = None,
    workers: int = 1,
    truth: Path | str | None = None,
    **options: Any,
) -> Tree:
    """Writes a simulated raw tree.

    Args:
        source: a key of `SOURCES`.
        out: a folder that does not exist yet or is empty.
        samples: number of videos or images; default: the preset's.
        seed: everything follows from it; the bytes do not depend on `workers`.
        preset: `tiny`, `small` or `format`.
        progress: called with (work done, work in all).
        workers: processes.
        truth: folder for the exact truth (.npz or JSON files, see the source's module); default: not written.
        options: the source's own, see its module.

    Raises:
        UsageError: for an unknown source, preset or option, or an output folder that is not empty.
    """
    if source not in SOURCES:
        raise UsageError(f"simulate: unknown source '{source}'. Known: {', '.join(SOURCES)}.")
    if preset not in PRESETS:
        raise UsageError(f"simulate: unknown preset '{preset}'. Known: {', '.join(PRESETS)}.")
    if samples is not None and samples < 1:
        raise UsageError(f"simulate: cannot make {samples} samples; give a number of at least 1.")
    write = SOURCES[source].load()
    known = set(write.__kwdefaults__ or {})
    if unknown := sorted(set(options) - known):
        raise UsageError(
            f"simulate {source}: unknown option '{unknown[0]}'. Known: {', '.join(sorted(known))}."
        )
    where = None if truth is None else Path(truth)
    return write(Job(Path(out), samples, seed, preset, workers, progress, where), **options)
