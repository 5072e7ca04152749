"""What earlier validations found: a folder of files with a line per checked shard, so that none is checked again.

A line holds for the same bytes only (the file's number, size and times, or the version that a server tells), the same
index rows and expectations, and the same options. Every process writes a file of its own and reads those of all, so
that the tasks of a job array can share a folder, and a line that was cut off hurts no other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections import Counter
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel

from pvit_data.errors import FormatError, StorageError, UsageError
from pvit_data.format.manifest import Count, parse
from pvit_data.storage.files import open_regular
from pvit_data.storage.reporting import reported
from pvit_data.storage.values import MAX_JSON_BYTES, parse_json
from pvit_data.validate.problems import KINDS, MAX_KEPT, Findings, Problem
from pvit_data.validate.units import Unit

CHECKS = 1  # other findings for the same bytes than before: another number
UNSURE = frozenset({"shard-missing", "foreign-index"})  # another time the shard may be read
_KEY = re.compile(rb"[0-9a-f]{64} \Z")


class State:
    """Findings of shards in a folder.

    Attributes:
        folder: where they are.
        found: shards whose findings were there.

    Args:
        folder: made if it is not there.
        dataset: the local folder that is validated, or None.

    Raises:
        UsageError: if the folder lies in the dataset, which is only read.
        StorageError: if it cannot be read or written.
    """

    def __init__(self, folder: str | Path, dataset: Path | None = None) -> None:
        self.folder = Path(folder)
        self.found = 0
        if dataset is not None and self.folder.resolve().is_relative_to(dataset.resolve()):
            raise UsageError(
                f"--resume {folder}: lies in the dataset, in which validation writes nothing; name another folder"
            )
        self._lines: dict[str, tuple[Path, int]] = {}
        self._own: BinaryIO | None = None
        with reported(str(folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(self.folder.glob("checked-*.jsonl")):
                self._read(path)

    def _read(self, path: Path) -> None:
        """Notes where the lines of a file are."""
        with open(open_regular(path), "rb") as file:
            place = 0
            while line := file.readline(MAX_JSON_BYTES):
                if _KEY.match(line[:65]) and line.endswith(b"\n"):
                    self._lines[line[:64].decode()] = path, place
                place += len(line)

    def key(self, unit: Unit) -> str:
        """A hash of the unit with its bytes as they are now; "" where nothing tells whether they will be the same."""
        try:
            bytes_now = _version(unit)
        except StorageError:
            return ""
        told = f"{CHECKS} {_toolkit()} {unit.digest()} {bytes_now}"
        return hashlib.sha256(told.encode()).hexdigest() if bytes_now else ""

    def find(self, unit: Unit) -> Findings | None:
        """What was found in a unit, or None where it was not checked, or is not what it was."""
        place = self._lines.get(self.key(unit)) if self._lines else None
        if place is None:
            return None
        with reported(str(place[0])), open(open_regular(place[0]), "rb") as file:
            file.seek(place[1])
            line = file.readline(MAX_JSON_BYTES)
        try:
            found = _findings(parse_json(line[65:], place[0].name), unit.name)
        except FormatError:
            return None
        self.found += 1
        return found

    def save(self, unit: Unit, key: str, found: Findings) -> None:
        """Keeps the findings of a unit.

        Args:
            unit: that was checked.
            key: of the unit before it was.
            found: its findings.

        Raises:
            StorageError: if they cannot be written.
        """
        if not key or key != self.key(unit) or UNSURE & found.counts.keys():
            return
        problems = [(p.kind, p.key, p.message) for p in found.problems]
        values = {"shard": unit.name, "counts": found.counts, "problems": problems}
        line = f"{key} {json.dumps(values)}\n".encode()
        if len(line) > MAX_JSON_BYTES:
            return
        with reported(str(self.folder)):
            if self._own is None:
                self._own = self._new_file()
            self._own.write(line)
            self._own.flush()

    def _new_file(self) -> BinaryIO:
        path = self.folder / f"checked-{uuid.uuid4().hex}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.fdopen(os.open(path, flags, 0o666), "wb")

    def close(self) -> None:
        """Ends the file of this process."""
        if self._own is not None:
            with reported(str(self.folder)), self._own as file:
                os.fsync(file.fileno())
            self._own = None


@lru_cache(1)
def _toolkit() -> str:
    return version("pvit-toolkit")


def _version(unit: Unit) -> str:
    """What tells one state of the shard's bytes from another; "" where nothing does."""
    storage = unit.storage
    if storage.root is not None:
        return storage.version(unit.name)
    _, _, *told = storage.remote.identity(unit.name, again=True).split("\n")
    return "\n".join(told) if any(told) else ""


class _Line(BaseModel):
    """What a line says: counts by kind, and of the kept problems (kind, key, message)."""

    shard: str
    counts: dict[str, Count]
    problems: list[tuple[str, str, str]]


def _findings(values: Any, file: str) -> Findings:
    """Findings from a line's values.

    Raises:
        FormatError: if they are none.
    """
    line = parse(_Line, values, file)
    kept = Counter(kind for kind, _, _ in line.problems)
    is_known = set(line.counts) <= KINDS.keys() - UNSURE
    is_right = kept == {kind: min(count, MAX_KEPT) for kind, count in line.counts.items()}
    if line.shard != file or not (is_known and is_right):
        raise FormatError(f"{file}: no findings")
    found = [Problem(kind, file, key, message) for kind, key, message in line.problems]
    return Findings(counts=Counter(line.counts), problems=found)
