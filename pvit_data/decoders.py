"""Safe decoders for plain WebDataset pipelines, in place of WebDataset's own, which execute pickles.

    import webdataset as wds
    from pvit_data.decoders import decode
    samples = wds.WebDataset("mine/train-{00000..00009}.tar", shardshuffle=False).map(decode)

`decode` turns the members of a sample into a `Sample` with arrays, exactly as `pvit_data.open` returns it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pvit_data.errors import FormatError
from pvit_data.format.members import MEMBER_OF_EXTENSION, RECORD
from pvit_data.format.record import read_record
from pvit_data.reading.decode import decode_sample
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample


def decode(
    files: Mapping[str, Any],
    spaces: Mapping[str, LabelSpace] | None = None,
    fields: Collection[str] | None = None,
) -> Sample:
    """A WebDataset dictionary as a sample; members outside the format are never looked at.

    Args:
        files: `__key__`, and the contents of members by extension.
        spaces: label spaces of the source, if known.
        fields: names to decode. Default: all.

    Raises:
        FormatError: if the record is missing or a member does not decode.
    """
    if RECORD not in files:
        raise FormatError(
            f"sample '{files.get('__key__', '?')}' has no JSON member: it is not of the PViT format"
        )
    record = read_record(files[RECORD])
    known = {
        name: bytes(data)
        for name, data in files.items()
        if name in MEMBER_OF_EXTENSION and name != RECORD
    }
    return decode_sample(record, known, fields=fields, spaces=spaces)
