"""A dry run: what would be converted, and how large it would be, judged by converting a few samples in memory."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from pydantic import BaseModel

from pvit_converters.base import Unwanted
from pvit_converters.engine.identity import make_identity
from pvit_converters.engine.plan import Plan, make_plan
from pvit_converters.engine.run import Job, source_spec
from pvit_converters.engine.task import load_checked
from pvit_converters.evenly import evenly
from pvit_converters.raw.places import reading_within
from pvit_data.errors import FormatError, SourceError
from pvit_data.format.tar import BLOCK, padded
from pvit_data.words import size_text
from pvit_data.writing.encode import encode_sample
from pvit_data.writing.shard import encoding_of

NUM_TRIED = 5


class Preview(BaseModel):
    """What a conversion would do.

    Args:
        source: its name.
        samples, groups, shards: by split.
        bytes: estimated size of all shards.
        tried, measured: how many samples were converted to find out, and how many of them succeeded.
        failures: messages of those that did not.
        absent, notes: see `pvit_converters.base.Listing`.
    """

    source: str
    samples: dict[str, int]
    groups: dict[str, int]
    shards: dict[str, int]
    bytes: int
    tried: int
    measured: int
    failures: list[str]
    absent: dict[str, int]
    notes: list[str]


def preview(job: Job) -> Preview:
    """Plans a conversion and tries a few samples, evenly spread; writes nothing.

    Raises:
        SourceError: if the raw tree cannot be read.
    """
    places = job.converter.places(job.root, job.options)
    with reading_within(places, follow_links=job.follow_links):
        return _preview(job)


def _preview(job: Job) -> Preview:
    converter = job.converter(job.root, job.options)
    encoding = encoding_of(source_spec(job, converter), "train")
    plan = make_plan(make_identity(converter, job.settings), job.settings, converter.list_items())
    items = [item for shard in plan.shards for item in shard.items]
    picked = evenly(items, NUM_TRIED)
    estimated = measured = count = 0
    failures = []
    for item in picked:
        try:
            with suppress(Unwanted):
                encoded = encode_sample(load_checked(converter, item), encoding)
                measured += sum(BLOCK + padded(len(data)) for data in encoded.files.values())
                estimated += item.size
                count += 1
        except (SourceError, FormatError) as error:
            failures.append(str(error))
    groups = {
        split: {item.group for item in items if item.split == split}
        for split in dict(_splits(plan))
    }
    return Preview(
        source=job.source,
        samples=dict(Counter(item.split for item in items)),
        groups={split: len(found) for split, found in groups.items()},
        shards=dict(_splits(plan)),
        bytes=int(plan.size * measured / estimated) if estimated else plan.size,
        tried=len(picked),
        measured=count,
        failures=failures,
        absent=plan.absent,
        notes=list(plan.notes),
    )


def _splits(plan: Plan) -> Counter[str]:
    return Counter(shard.split for shard in plan.shards)


def as_text(found: Preview) -> str:
    """The preview for people."""
    lines = [
        f"{found.source}: {sum(found.samples.values()):,} samples would be converted, about {size_text(found.bytes)}"
    ]
    lines += [
        f"  {split}: {n:,} samples of {found.groups[split]:,} groups in {found.shards[split]:,} shards"
        for split, n in found.samples.items()
    ]
    lines += [f"  not present: {n:,} x {reason}" for reason, n in found.absent.items()]
    lines.append(
        f"  tried {found.tried} samples, {found.measured} succeeded; the size follows from them"
    )
    lines += [f"  failed: {message}" for message in found.failures]
    lines += [f"  note: {note}" for note in found.notes]
    return "\n".join(lines)
