"""`Parts`: what was measured of each batch, beside the result, so that an interrupted evaluation continues.

A batch is a file, complete or not there, whose name ends with the CRC-32 of what makes the evaluation and of its bytes:
one of another evaluation counts as damaged. Batches are numbered in the data set, whatever process measures them, and
added up in their order: the result is that of an evaluation without a break, by any number of processes.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pvit_data.errors import PvitError, UsageError
from pvit_data.reading.dataset import ShardDataset
from pvit_data.scoring.files.kinds import sha256_of
from pvit_data.storage.files import (
    PART,
    held_alone,
    is_litter,
    read_regular,
    require_unlinked,
    write_file,
)
from pvit_data.storage.values import MAX_JSON_BYTES, parse_json
from pvit_model.ranks import all_reduce, own_rank
from pvit_model.using.constant import digest
from pvit_model.using.loading import Loaded
from pvit_model.using.matching import Matched
from pvit_model.using.measuring.source import Measured

FACTS = "evaluation.json"
SEPARATOR = "//"
CLIPS, ROWS = "clips", "rows"
MAX_BYTES = 1 << 30
NAME = re.compile(r"(\d{6,})-([0-9a-f]{8})\.safetensors")


class Parts:
    """A folder with the finished batches of an evaluation.

    Args:
        folder: is made; all processes of an evaluation see it.
        say: told in a sentence what is found in it.
    """

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self.folder, self._say = folder, say
        self._sources: list[SourceParts] = []

    def of(self, name: str, facts: Mapping[str, Any]) -> SourceParts:
        """Those of one source.

        Args:
            name: of a folder in it.
            facts: all that makes the answers, as JSON values.
        """
        require_unlinked(self.folder, self.folder / name / FACTS)
        self._sources.append(SourceParts(self.folder / name, facts, self._say))
        return self._sources[-1]

    def remove(self) -> None:
        """Removes the batches, and folders that hold nothing else."""
        for source in self._sources:
            source.clear()
            with suppress(OSError):
                source.folder.rmdir()
        with suppress(OSError):
            self.folder.rmdir()


@contextmanager
def resumable(files: Sequence[Path], say: Callable[[str], object]) -> Iterator[Parts | None]:
    """Parts that are removed when the block ends without an error, and what they lead to lies elsewhere.

    Every rank must ask. Within it no other evaluation may write one of the files; one that was killed holds none.

    Args:
        files: that the evaluation will write; batches are kept beside the first. Without any nothing is kept.
        say: see `Parts`.

    Raises:
        UsageError: if another evaluation is writing one of them.
    """
    if not files:
        yield None
        return
    folders = [file.with_name(f"{file.name}.parts") for file in files]
    with ExitStack() as stack:
        is_first = own_rank()[0] == 0
        for folder in folders:
            is_free = not is_first or stack.enter_context(held_alone(folder))
            if float(all_reduce(torch.tensor(float(is_free)))) < own_rank()[1]:
                raise UsageError(
                    f"{folder}: another evaluation is writing there; wait for its end, or give other files to write"
                )
        parts = Parts(folders[0], say)
        yield parts
        if is_first:
            parts.remove()


class SourceParts:
    """The finished batches of one source; see `Parts`.

    Args:
        folder: of its own.
        facts, say: see `Parts`.
    """

    def __init__(
        self, folder: Path, facts: Mapping[str, Any], say: Callable[[str], object]
    ) -> None:
        self.folder, self._say = folder, say
        self._facts = json.dumps(facts, sort_keys=True, indent=1) + "\n"
        self._count = 0

    def begin(self, batches: int, clips: int) -> Sequence[int]:
        """The numbers of the batches that this process has to measure. Every rank must ask.

        Args:
            batches: of the whole evaluation.
            clips: samples of it.

        Raises:
            UsageError: if not every process sees the folder.
        """
        self._count = batches
        rank, processes = own_rank()
        done = torch.zeros(batches)
        if rank == 0:
            done[self._found(clips)] = 1
        done = all_reduce(done)
        seeing = all_reduce(torch.tensor(float(self._told() == self._facts)))
        if int(seeing) != processes:
            raise UsageError(
                f"{self.folder}: {int(seeing)} of {processes} processes see what the first one wrote there; write the "
                "result to a folder that all of them share"
            )
        return (done == 0).nonzero().ravel().tolist()[rank::processes]

    def _found(self, clips: int) -> list[int]:
        """The batches that are there, of this evaluation alone."""
        told = self._told()
        if told != self._facts:
            if told is not None:
                self._say(f"{self.folder}: {_difference(told, self._facts)}; all is answered anew")
            self.clear()
            write_file(self.folder / FACTS, self._facts)
        found = {n: part for n, part in self._parts() if n < self._count}
        if found:
            seen = len(np.unique(np.concatenate([part.clips for part in found.values()])))
            self._say(f"{self.folder}: {seen:,} of {clips:,} videos are answered already")
        return [*found]

    def write(self, number: int, measured: Measured) -> None:
        """Keeps a batch.

        Raises:
            OSError: if it cannot be written.
        """
        from safetensors.torch import save

        tensors = {CLIPS: torch.from_numpy(measured.clips)}
        for target, rows in measured.rows.items():
            tensors[SEPARATOR.join((ROWS, target))] = torch.from_numpy(rows)
        for place, arrays in measured.arrays.items():
            for name, array in arrays.items():
                own = np.array(array, order="C")  # files hold no two names of one memory
                tensors[SEPARATOR.join((*place, name))] = torch.from_numpy(own)
        data = save(tensors)
        write_file(self.folder / f"{number:06d}-{self._sum(data):08x}.safetensors", data)

    def finished(self) -> Iterator[Measured]:
        """On the first rank all batches in order, on others none. Every rank must ask.

        Raises:
            PvitError: if one is missing.
        """
        all_reduce(torch.zeros(1))  # all have written theirs
        if own_rank()[0]:
            return
        places = self._places()
        for number in range(self._count):
            found = map(self._read, places.get(number, ()))
            part = next((part for part in found if part is not None), None)
            if part is None:
                raise PvitError(
                    f"{self.folder}: batch {number} is missing or damaged; run the same command again"
                )
            yield part

    def clear(self) -> None:
        """Removes all batches, and what a process that was killed left of one."""
        with suppress(FileNotFoundError):
            for path in sorted(self.folder.iterdir()):
                name = path.name
                if name == FACTS or NAME.fullmatch(name) or PART in name or is_litter(name):
                    path.unlink(missing_ok=True)

    def _told(self) -> str | None:
        try:
            return read_regular(self.folder / FACTS, MAX_JSON_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    def _places(self) -> dict[int, list[Path]]:
        """The files of each batch: of one that nobody else wrote a single one."""
        found: dict[int, list[Path]] = {}
        for path in sorted(self.folder.iterdir()):
            if match := NAME.fullmatch(path.name):
                found.setdefault(int(match[1]), []).append(path)
        return found

    def _parts(self) -> Iterator[tuple[int, Measured]]:
        """The batches that are whole, in order; others go."""
        for number, paths in sorted(self._places().items()):
            for path in paths:
                part = self._read(path)
                if part is None:
                    path.unlink()
                else:
                    yield number, part

    def _sum(self, data: bytes) -> int:
        return zlib.crc32(data, zlib.crc32(self._facts.encode()))

    def _read(self, path: Path) -> Measured | None:
        """A batch of this evaluation; None where the file is damaged, or another's."""
        data = read_regular(path, MAX_BYTES)
        return _measured(data) if path.stem.endswith(f"-{self._sum(data):08x}") else None


def _measured(data: bytes) -> Measured | None:
    """A batch; None where the bytes are none."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
    except SafetensorError:
        return None
    measured = Measured(tensors.pop(CLIPS).numpy())
    arrays: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for place, tensor in tensors.items():
        kind, target, *name = place.split(SEPARATOR)
        if kind == ROWS:
            measured.rows[target] = tensor.numpy()
        else:
            arrays.setdefault((kind, target), {})[name[0]] = tensor.numpy()
    measured.arrays.update(arrays)
    return measured


def _difference(told: str, facts: str) -> str:
    """What differs between two evaluations, in words."""
    try:
        old, new = parse_json(told.encode(), FACTS), parse_json(facts.encode(), FACTS)
    except PvitError:
        return "what it says of its evaluation is damaged"
    if not isinstance(old, dict):
        return "what it says of its evaluation is damaged"
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return f"holds answers of another evaluation (other {', '.join(names)})"


def facts_of(
    model: Loaded,
    matched: Matched,
    ds: ShardDataset,
    reference: ShardDataset | None,
    kept: Sequence[str],
) -> dict[str, Any]:
    """All that makes the answers of an evaluation: network, samples, views; not the software, nor the processes.

    Args:
        reference: what the constant predictor is fitted on.
        kept: labels whose answers are kept.
    """
    inference = matched.inference
    return {
        "weights": sha256_of(model.weights),
        "network": model.network.config.model_dump(mode="json"),
        "recipe": digest([inference.model_copy(update={"recipe": ""}).model_dump_json()]),
        "data": ds.digest_of(matched.name),
        "reference": "" if reference is None else reference.digest_of(matched.name),
        "samples": digest(ds.column("key").tolist()),
        "views": [*matched.views, matched.is_whole],
        "metrics": [*matched.targets],
        "dump": [*kept],
        "device": next(model.network.parameters()).device.type,
    }
