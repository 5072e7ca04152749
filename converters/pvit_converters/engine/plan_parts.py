"""The parts of a large plan: a line for each shard, of which a run reads, and checks, only those that it needs.

`SOURCE/plan/SPLIT-00000-00999.jsonl` holds the lines of up to a thousand shards. `plan.json` says of each shard how
many samples it has, how large they are, how long its line is, and the line's sha256. So what was once read of a plan
holds, whoever writes beside the shards later.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pvit_converters.base import Item
from pvit_converters.engine.plan import PlannedShard, ShardPlan
from pvit_data.errors import FormatError, UsageError
from pvit_data.format.names import LAYERS, MAX_NUMBER, SPLITS
from pvit_data.storage.files import utf8
from pvit_data.storage.storage import Storage
from pvit_data.words import size_text

SHARDS_PER_PART = 1000
MAX_LINE_BYTES = 3 << 23
"""Of one shard: 250 bytes for each of as many samples as one may have, and under 1.5 GB of memory whatever it holds."""
_SHA256 = re.compile("[0-9a-f]{64}")


def part_name(source: str, split: str, number: int) -> str:
    """Where the line of a shard lies in the dataset."""
    first = number // SHARDS_PER_PART * SHARDS_PER_PART
    return f"{source}/plan/{split}-{first:05d}-{first + SHARDS_PER_PART - 1:05d}.jsonl"


@dataclass(frozen=True, slots=True)
class StoredShard:
    """A shard of a plan in parts; its samples are read whenever they are asked for, and not kept.

    Args:
        storage: the dataset.
        source: whose plan it is.
        split, number, samples, size: as the plan's head gives them.
        start, length: place of its line in the part, bytes.
        sha256: of the line.
    """

    storage: Storage
    source: str
    split: str
    number: int
    samples: int
    size: int
    start: int
    length: int
    sha256: str

    @property
    def name(self) -> str:
        """For messages: `train-00003`."""
        return f"{self.split}-{self.number:05d}"

    @property
    def items(self) -> tuple[Item, ...]:
        """Its samples in order.

        Raises:
            FormatError: if the line is not the one that the plan's head describes.
        """
        return self._whole().items

    @property
    def over(self) -> str:
        """See `PlannedShard`; read like the samples.

        Raises:
            FormatError: as `items`.
        """
        return self._whole().over

    def _whole(self) -> ShardPlan:
        line = self.line()
        with damage_named(self._where):
            shard = parse_shard(json.loads(line))
            if _head_of(shard) != _head_of(self):
                raise ValueError(f"{self.name} is another shard there than in plan.json")
        return shard

    def line(self) -> bytes:
        """The line as it is stored.

        Raises:
            FormatError: if it is not the one that the plan's head describes.
        """
        name = part_name(self.source, self.split, self.number)
        line = self.storage.read_range(name, self.start, self.length)
        with damage_named(self._where):
            if len(line) != self.length or hashlib.sha256(line).hexdigest() != self.sha256:
                raise ValueError(f"the line of {self.name} is not the one that plan.json describes")
        return line

    @property
    def _where(self) -> str:
        return self.storage.where(part_name(self.source, self.split, self.number))


def _head_of(shard: PlannedShard) -> tuple[str, int, int, int]:
    return shard.split, shard.number, shard.samples, shard.size


@contextmanager
def damage_named(where: str) -> Iterator[None]:
    """Turns what values of wrong types and ranges raise into a `FormatError`.

    Args:
        where: the file that they come from.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            f"{where}: damaged ({error!r:.300}); --overwrite converts the source again"
        ) from error


def shard_values(shard: PlannedShard) -> dict[str, Any]:
    """A shard as JSON values."""
    items = [[i.key, i.group, i.split, i.ref, i.size] for i in shard.items]
    over = {"over": shard.over} if shard.over else {}
    return {"split": shard.split, "number": shard.number, "items": items, **over}


def parse_shard(value: Any) -> ShardPlan:
    """The shard that JSON values are; whoever writes beside the shards may have written them.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: if they are none.
    """
    items = tuple(Item(*fields) for fields in value["items"])
    shard = ShardPlan(value["split"], value["number"], items, value.get("over", ""))
    if shard.split not in SPLITS or not is_count(shard.number) or type(shard.over) is not str:
        raise ValueError(f"a shard {shard.split!r:.60}, {shard.number!r:.60}")
    if odd := next((item for item in items if not _is_item(item)), None):
        raise ValueError(f"a sample {odd!r:.200}")
    return shard


def is_count(value: Any) -> bool:
    """Whether a JSON value is a number that something may have, or be counted by."""
    return type(value) is int and value >= 0


def _is_item(item: Item) -> bool:
    texts = (item.key, item.group, item.split)
    is_text = all(isinstance(text, str) for text in texts)
    return is_text and isinstance(item.ref, dict) and is_count(item.size)


def to_json(value: Any) -> bytes:
    """JSON without spaces, with sorted keys: the same bytes for the same values."""
    return utf8(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def write_parts(
    storage: Storage, source: str, shards: Sequence[PlannedShard]
) -> tuple[StoredShard, ...]:
    """Stores the lines of a plan's shards; parts that are there already, line by line, stay as they are.

    A part to which lines are added keeps its old ones where they were, so that a run that began before goes on.

    Returns:
        The shards in the same order, to be read from there.

    Raises:
        UsageError: if a shard has more samples than a line may have.
        FormatError: if the numbers of a split's shards have gaps.
        StorageError: if a part cannot be written.
    """
    stored: dict[tuple[str, int], StoredShard] = {}
    for split in SPLITS:
        own = [shard for shard in shards if shard.split == split]
        numbers = [shard.number for shard in own]
        if numbers != (sorted(set(numbers)) if _may_have_gaps(source) else list(range(len(own)))):
            raise FormatError(
                f"{storage.where(source)}/plan.json: damaged (the numbers of the shards of {split} have gaps); "
                "--overwrite converts the source again"
            )
        for _, part in groupby(own, key=lambda shard: shard.number // SHARDS_PER_PART):
            for shard in _write_part(storage, source, list(part)):
                stored[shard.split, shard.number] = shard
    storage.close()  # a part may be another file now
    return tuple(stored[shard.split, shard.number] for shard in shards)


def _may_have_gaps(source: str) -> bool:
    """Whether numbers of shards may be missing: a layer has those of its base of which it knows something."""
    return source.startswith(f"{LAYERS}/")


def _write_part(storage: Storage, source: str, shards: list[PlannedShard]) -> list[StoredShard]:
    there = [shard for shard in shards if isinstance(shard, StoredShard)]
    if len(there) == len(shards):
        return there
    found = []
    writer = storage.create(part_name(source, shards[0].split, shards[0].number))
    try:
        for shard in shards:
            line = shard.line() if isinstance(shard, StoredShard) else line_of(shard)
            digest = hashlib.sha256(line).hexdigest()
            found.append(
                StoredShard(storage, source, *_head_of(shard), writer.size, len(line), digest)
            )
            writer.write(line)
        writer.publish()
    except BaseException:
        writer.discard()
        raise
    return found


def line_of(shard: PlannedShard) -> bytes:
    """The line that a shard gets.

    Raises:
        UsageError: if it is longer than a line may be.
    """
    line = to_json(shard_values(shard)) + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise UsageError(
            f"shard {shard.name} would hold {shard.samples:,} samples, whose names take {size_text(len(line))}, "
            f"at most {size_text(MAX_LINE_BYTES)}: choose a smaller --shard-size; a group is never torn apart"
        )
    return line


def runs_of(shards: Iterable[StoredShard]) -> list[dict[str, Any]]:
    """What a plan's head says of its shards, as JSON values: runs of consecutive ones of a split."""
    runs: list[dict[str, Any]] = []
    expected = None
    for shard in shards:
        if (shard.split, shard.number) != expected:
            runs.append({"split": shard.split, "first": shard.number, "shards": []})
        runs[-1]["shards"].append([shard.samples, shard.size, shard.length, shard.sha256])
        expected = shard.split, shard.number + 1
    return runs


def parse_runs(storage: Storage, source: str, runs: Any) -> Iterator[StoredShard]:
    """The shards that a plan's head names, none of them read yet.

    Raises:
        ValueError, KeyError, TypeError: if these are no values of `runs_of`.
    """
    numbers = dict.fromkeys(SPLITS, 0)
    ends = dict.fromkeys(SPLITS, 0)
    for run in runs:
        split, first = run["split"], run["first"]
        is_later = (
            _may_have_gaps(source) and is_count(first) and numbers[split] < first <= MAX_NUMBER
        )
        if not is_later and first != numbers[split]:
            raise ValueError(f"shards of {split} from {first!r:.60} on")
        if first // SHARDS_PER_PART != (numbers[split] - 1) // SHARDS_PER_PART:
            ends[split] = 0  # of another part
        numbers[split] = first
        for samples, size, length, sha256 in run["shards"]:
            if not all(map(is_count, (samples, size, length))) or length > MAX_LINE_BYTES:
                raise ValueError(f"a shard of {samples!r:.60}, {size!r:.60}, {length!r:.60}")
            if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
                raise ValueError(f"a line with sha256 {sha256!r:.80}")
            number = numbers[split]
            start = ends[split] if number % SHARDS_PER_PART else 0
            yield StoredShard(storage, source, split, number, samples, size, start, length, sha256)
            numbers[split], ends[split] = number + 1, start + length
