"""Members to sample: decodes only the asked fields, and of these only the asked frames and pixels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from pvit_data.codecs import tables
from pvit_data.codecs.dense import DENSE, decode_maps
from pvit_data.codecs.pictures import decode_pictures
from pvit_data.codecs.window import Asked, Files, Frames, Members, Told
from pvit_data.errors import FormatError
from pvit_data.format.members import FIELDS, MEMBER_OF_EXTENSION, RECORD, RGB
from pvit_data.format.record import Record, parse_json, read_record
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.origins import Origin, rights_in
from pvit_data.sample.rights import Declared
from pvit_data.sample.sample import Sample
from pvit_data.storage.files import utf8

DECODERS: dict[str, Callable[[str, Told, Files, Asked], tables.Decoded]] = {
    RGB: decode_pictures,
    **dict.fromkeys(DENSE, decode_maps),
    "pose3d": tables.decode_joints,
    "pose2d": tables.decode_joints,
    "boxes": tables.decode_boxes,
    "action": tables.decode_action,
    "actions": tables.decode_actions,
    "camera": tables.decode_camera,
}
"""By field: its name, the record, the files and what is asked -> what a sample has of it."""


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


def decode_sample(
    record: Record,
    files: Files,
    fields: Collection[str] | None = None,
    asked: Asked | None = None,
    spaces: Mapping[str, LabelSpace] | None = None,
    spec: Declared | None = None,
) -> Sample:
    """Builds a sample from its record and its files.

    Args:
        record: the parsed JSON member.
        files: members by extension; those of fields that are not asked for may be absent.
        fields: names to decode. Default: all that are annotated.
        asked: which frames and pixels of them. Default: all.
        spaces: label spaces of the source.
        spec: what the source declares.

    Raises:
        FormatError: if a member is missing or does not decode to what the record says.
    """
    told = vars(record)
    members = Members(files)
    asked = asked or Asked()
    values: dict[str, Any] = {}
    kept: dict[str, Frames] = {}
    try:
        for name in FIELDS:
            if name in record.fields and (fields is None or name in fields):
                found, numbers = DECODERS[name](name, told, members, asked)
                values |= found
                if numbers is not None:
                    kept[name] = numbers
        read = [name for name in record.fields if fields is None or name in fields]
        rights = rights_in(spec, record.licence, read)
        origins = (Origin(record.source, record.licence, rights, record.meta),)
        head = _head(record) | {"origins": origins}
        return Sample(**head, frames=kept, spaces=spaces or {}, **values)
    except FormatError as error:
        raise FormatError(f"sample '{record.key}': {error}") from error


def _head(record: Record) -> dict[str, Any]:
    """What a record says about the sample as a whole."""
    return {
        "key": record.key,
        "group": record.group,
        "num_frames": record.frames,
        "height": max(record.height, 0),
        "width": max(record.width, 0),
        "fps": record.fps,
        "frame_times": np.array(record.frame_times, np.float32) if record.frame_times else None,
        "meta": read_meta(record),
        "source": record.source,
        "split": record.split,
        "licence": record.licence,
    }


def read_meta(record: Record) -> dict[str, Any]:
    """The meta of a record.

    Raises:
        FormatError: if it is no JSON object.
    """
    meta = parse_json(utf8(record.meta), "meta")
    if not isinstance(meta, dict):
        raise FormatError("meta is not a JSON object")
    return meta
