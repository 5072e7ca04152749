"""Values of one sample: whether its members decode to what the record says, and lie in their ranges.

Small tables are always checked, dense maps by their first page only, unless everything is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from pvit_data.codecs.dense import DENSE
from pvit_data.codecs.pictures import BLOCK_BYTES, check_pictures
from pvit_data.codecs.window import Files, Members
from pvit_data.errors import FormatError
from pvit_data.format.members import RGB
from pvit_data.format.record import Record
from pvit_data.reading.decode import decode_sample
from pvit_data.sample import schema
from pvit_data.sample.frames import select_frames
from pvit_data.sample.sample import Sample
from pvit_data.sample.schema import Spaces


def check_values(
    record: Record, files: Files, spaces: Spaces, deep: bool
) -> Iterator[tuple[str, str]]:
    """What is wrong with a sample's values.

    Args:
        record: its JSON member.
        files: its other members by extension, with right checksums.
        spaces: label spaces of its source.
        deep: decode every page and frame.

    Returns:
        Pairs of kind and message, in the order of the fields.
    """
    members = Members(files)
    for name in DENSE:
        if name in record.fields:
            yield from _attempt(_maps, name, record, members, spaces, deep)
    small = [name for name in record.fields if name not in DENSE and name != RGB]
    try:
        sample = decode_sample(record, files, small, spaces=spaces)
    except FormatError as error:
        yield "undecodable", str(error).removeprefix(f"sample '{record.key}': ")
    else:
        yield from _small_tables(sample, record, spaces)
    if RGB in record.fields and deep:
        yield from _attempt(_pictures, record, members)


def _attempt(check: Callable[..., str], *arguments: Any) -> Iterator[tuple[str, str]]:
    try:
        if text := check(*arguments):
            yield "value", text
    except FormatError as error:
        yield "undecodable", str(error)


def _small_tables(sample: Sample, record: Record, spaces: Spaces) -> Iterator[tuple[str, str]]:
    checks: list[Callable[[], None]] = [
        partial(schema.check_size, sample, record.frames, record.height, record.width),
        *(partial(check, sample, record.frames, spaces) for check in schema.TABLES),
    ]
    for check in checks:
        try:
            check()
        except FormatError as error:
            yield "value", str(error)


def _maps(name: str, record: Record, files: Files, spaces: Spaces, deep: bool) -> str:
    """What is wrong with the values of a dense field, looked at some pages at a time."""
    dense = DENSE[name]
    told = vars(record)
    stored: list[int] = told[f"{name}_frames"]
    if not stored:
        raise FormatError(f"{name} is annotated, but {name}_frames is empty")
    select_frames(stored, record.frames, None)
    data = files[f"{name}.tif"]
    found = dense.extent(data, told)
    expected = (len(stored), record.height, record.width)
    if found != expected:
        raise FormatError(
            f"{name}.tif has (pages, height, width) {found}, the record says {expected}"
        )
    block = max(1, BLOCK_BYTES // (dense.pixel_bytes * found[1] * found[2]))
    looked_at = len(stored) if deep else 1
    for start in range(0, looked_at, block):
        pages = np.arange(start, min(start + block, looked_at))
        if text := dense.problem(data, told, pages, spaces.get(name)):
            return text
    return ""


def _pictures(record: Record, files: Files) -> str:
    check_pictures(vars(record), files)
    return ""
