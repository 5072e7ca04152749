"""A dry run: what would be converted, and how large it would be, judged by converting a few samples in memory."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from pydantic import BaseModel

from pvit_converters.base import Unwanted
from pvit_converters.engine.over_base import make_converter, places_of
from pvit_converters.engine.plan import Plan
from pvit_converters.engine.run import Job, new_plan, require_reencoding, source_spec
from pvit_converters.engine.task import load_checked
from pvit_converters.evenly import evenly
from pvit_converters.layers import LayerConverter
from pvit_converters.raw.places import reading_within
from pvit_data.errors import FormatError, SourceError
from pvit_data.format.tar import BLOCK, padded
from pvit_data.words import size_text
from pvit_data.writing.shard import encode_for, encoding_of

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
        max_failed: fraction of the samples that may fail.
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
    max_failed: float = 0.1


def preview(job: Job) -> Preview:
    """Plans a conversion and tries a few samples, evenly spread; writes nothing.

    Raises:
        SourceError: if the raw tree cannot be read.
    """
    places = places_of(job.converter, job.root, job.options)
    with reading_within(places, follow_links=job.follow_links):
        return _preview(job)


def _preview(job: Job) -> Preview:
    converter = make_converter(job.converter, job.root, job.options, job.base)
    spec = source_spec(job, converter)
    encoding = encoding_of(spec, "train")
    require_reencoding(job, converter)
    plan = new_plan(job, converter)
    items = [item for shard in plan.shards for item in shard.items]
    picked = evenly(items, NUM_TRIED)
    rows = None
    if isinstance(converter, LayerConverter):
        rows = converter.base.look_up([item.key for item in picked])
    estimated = measured = count = 0
    failures = []
    for item in picked:
        try:
            with suppress(Unwanted):
                sample = load_checked(converter, item, job.settings.reencoding)
                encoded = encode_for(spec, sample, encoding, rows)
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
        source=spec.folder,
        samples=dict(Counter(item.split for item in items)),
        groups={split: len(found) for split, found in groups.items()},
        shards=dict(_splits(plan)),
        bytes=int(plan.size * measured / estimated) if estimated else plan.size,
        tried=len(picked),
        measured=count,
        failures=failures,
        absent=plan.absent,
        notes=list(plan.notes),
        max_failed=job.max_failed,
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
        f"  tried {found.tried} samples, {found.measured} succeeded"
        + ("; the size follows from them" if found.measured else "; the size is a guess")
    )
    lines += [f"  failed: {message}" for message in found.failures]
    if found.tried and len(found.failures) > found.max_failed * found.tried:
        lines.append(
            f"  note: more than {found.max_failed:.0%} of them failed: if so do all, the command ends with an error "
            "(--max-failed)"
        )
    lines += [f"  note: {note}" for note in found.notes]
    return "\n".join(lines)
