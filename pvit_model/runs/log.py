"""The metrics log: one JSON object per line, and to where it is mirrored.

Every line has `step` and `kind` ("train", "eval", "event"). Lines after the step that a run resumes from are dropped,
so the file always tells one story.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pvit_data.errors import FormatError
from pvit_data.storage.files import open_appended, open_regular, replacing, require_unlinked
from pvit_data.storage.values import parse_json
from pvit_model.runs.mirrors import open_mirrors

FILE = "metrics.jsonl"
KINDS = ("train", "eval", "event")
MAX_LINE = 1 << 20  # bytes
BLOCK = 16 << 20  # bytes of a long log that are looked through at once
_OTHER = b'{"kind": "e'  # of what is not training
_HEAD = re.compile(rb'\{"kind": "(?:train|eval|event)", "step": (\d{1,18}), ')


def read_log(run: Path, most: int = 0) -> list[dict[str, Any]]:
    """The lines of a run's log; a half-written one, and what no run writes, is left out.

    Args:
        run: the run's folder.
        most: at most so many lines of training, evenly spread over a longer log, and all others; 0: all lines.
    """
    path = run / FILE
    texts = _spread(path, most) if most and _estimate(path) > most else _texts(path)
    return [line for line in map(parse_line, texts) if line is not None]


def _texts(path: Path) -> Iterator[bytes]:
    if path.is_file():
        with open(open_regular(path), "rb") as file:
            yield from iter(partial(file.readline, MAX_LINE), b"")


def _estimate(path: Path) -> int:
    """The number of lines, by the length of the first ones."""
    first = list(islice(_texts(path), 1000))
    return path.stat().st_size * len(first) // sum(map(len, first)) if first else 0


def _spread(path: Path, most: int) -> list[bytes]:
    """Of training the lines at so many evenly spread places of the file, and all others; in their order."""
    found: dict[int, bytes] = {}
    stride = max(1, path.stat().st_size // most)
    with open(open_regular(path), "rb") as file:
        begin, rest = 0, b""
        while data := file.read(BLOCK):
            block = rest + data
            end = block.rfind(b"\n") + 1
            starts = {block.rfind(b"\n", 0, at) + 1 for at in range(-begin % stride, end, stride)}
            for start in starts | set(_places(block, _OTHER, end)):
                stop = block.find(b"\n", start, start + MAX_LINE) + 1
                found[begin + start] = block[start:stop]
            rest, begin = block[end:][-MAX_LINE:], begin + max(end, len(block) - MAX_LINE)
    return [found[place] for place in sorted(found)]


def _places(block: bytes, start: bytes, end: int) -> Iterator[int]:
    """Where lines begin so."""
    if block.startswith(start):
        yield 0
    at = block.find(b"\n" + start, 0, end)
    while at >= 0:
        yield at + 1
        at = block.find(b"\n" + start, at + 1, end)


def parse_line(text: bytes) -> dict[str, Any] | None:
    """A line with its step and kind, and of training its losses; None if it is something else."""
    try:
        line = parse_json(text, FILE)
    except FormatError:
        return None
    if not isinstance(line, dict) or line.get("kind") not in KINDS:
        return None
    losses = line.get("losses", {})
    numbers = [line.get("step")]
    if line["kind"] == "train":
        numbers += [line.get("loss"), line.get("lr")]
        numbers += losses.values() if isinstance(losses, dict) else [None]
    return line if all(map(_is_number, numbers)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _until(path: Path, step: int) -> Iterator[bytes]:
    """The lines up to a step, as they are."""
    if step < 0:
        return
    for text in _texts(path):
        head = _HEAD.match(text)
        if head and text.endswith(
            b"}\n"
        ):  # as it was written here: not parsed, a log may have millions
            at: float | None = int(head[1])
        else:
            line = parse_line(text)
            at = line["step"] if line else None
        if at is not None and at <= step:
            yield text if text.endswith(b"\n") else text + b"\n"


class MetricsLog:
    """Appends to a run's log.

    Args:
        run: the run's folder.
        resume_step: steps already done; later lines are dropped. None: start a new log.
        mirrors: to which numbers and pictures go, too (`run.log`).
        config: of the run, for mirrors that keep it.
    """

    def __init__(
        self,
        run: Path,
        resume_step: int | None = None,
        mirrors: Sequence[str] = ("tensorboard",),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._run = run
        require_unlinked(run, run / "tensorboard" / "events")
        with replacing(run / FILE) as part, part.open("wb") as file:
            file.writelines(_until(run / FILE, -1 if resume_step is None else resume_step))
        self._file = open_appended(run / FILE)
        self._mirrors = open_mirrors(mirrors, run, resume_step, config or {})

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """One line; numbers go to the mirrors, too."""
        self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self._file.flush()
        numbers = {f"{kind}/{name}": value for name, value in _numbers(values)}
        for mirror in self._mirrors if numbers else ():
            mirror.numbers(numbers, step)

    def image(self, name: str, step: int, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """A picture for the mirrors."""
        for mirror in self._mirrors:
            mirror.image(name, step, picture)

    def close(self) -> None:
        """Flushes and closes all; what a full disk left empty goes."""
        try:
            self._file.close()
            for mirror in self._mirrors:
                mirror.close()
        finally:
            for path in (self._run / FILE, *(self._run / "tensorboard").glob("events*")):
                if path.is_file() and not path.stat().st_size:
                    path.unlink()


def _numbers(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((prefix + key, float(value)))
    return found
