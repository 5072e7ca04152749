"""The embedded simulator: short procedural scenes with exact truth, written in each source's real raw layout.

It is the quickstart's data, the tests' truth and the study's benchmark. It imports no converter and shares no parsing
code with them. Everything follows from the seed, and any clip can be made alone. Third parties register a raw layout
under the entry-point group `pvit.simulators`; the built-in ones do the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pvit_converters.simulate.tree import Job, Progress, Simulator, Tree, begin, finish
from pvit_data.errors import UsageError
from pvit_data.plugins import Registry

PRESETS = ("tiny", "small", "format")
_SIMULATORS = Registry("pvit.simulators", "source")

__all__ = ["PRESETS", "Job", "Progress", "Simulator", "Tree", "load", "names", "simulate"]


def names() -> list[str]:
    """Names of all sources that can be simulated, sorted; imports none of them."""
    return _SIMULATORS.names()


def load(name: str) -> Simulator:
    """The writer of a source's raw layout.

    Raises:
        UsageError: if there is none of that name, or it cannot be imported or is not a `Simulator`.
    """
    simulator = _SIMULATORS.load(name)
    if not isinstance(simulator, Simulator):
        raise UsageError(
            f"source '{name}': {simulator!r} is not a pvit_converters.simulate.Simulator"
        )
    return simulator


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
        source: one of `names()`.
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
    simulator = load(source)
    if preset not in PRESETS:
        raise UsageError(f"simulate: unknown preset '{preset}'. Known: {', '.join(PRESETS)}.")
    if samples is not None and samples < 1:
        raise UsageError(f"simulate: cannot make {samples} samples; give a number of at least 1.")
    known = simulator.options
    if unknown := sorted(set(options) - set(known)):
        raise UsageError(
            f"simulate {source}: unknown option '{unknown[0]}'. Known: {', '.join(sorted(known))}."
        )
    where = None if truth is None else Path(truth)
    out = Path(out)
    part = begin(out)
    tree = simulator.simulate(Job(part, samples, seed, preset, workers, progress, where), **options)
    finish(part, out)
    steps = tuple(step.replace(str(part), str(out)) for step in tree.convert)
    return replace(tree, root=out, convert=steps)
