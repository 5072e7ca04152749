"""Sample to members: checks every field against the schema and encodes it. Never changes the sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pvit_data.codecs.dense import encode_maps
from pvit_data.codecs.pictures import encode_pictures
from pvit_data.codecs.tables import ENCODERS
from pvit_data.errors import FormatError
from pvit_data.format.members import FIELDS, RECORD, RGB_EXTENSIONS
from pvit_data.format.record import LayerRecord, Record, write_record
from pvit_data.sample import schema
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.limits import MAX_MEMBER_BYTES, MAX_SAMPLE_BYTES
from pvit_data.sample.origins import Whose
from pvit_data.sample.rights import NOT_STATED
from pvit_data.sample.sample import DENSE_FIELDS, POSE_FIELDS, EncodedMedia, Sample
from pvit_data.sample.taking import taken
from pvit_data.storage.files import utf8
from pvit_data.words import brief


@dataclass(frozen=True)
class Encoding:
    """What a source decides once for all its samples.

    Args:
        source, split, licence: written into each record.
        spaces: label spaces by field.
        chosen: encodings by field, where not by default; see `SourceSpec.encodings`.
    """

    source: str = ""
    split: str = ""
    licence: str = ""
    spaces: Mapping[str, LabelSpace] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Encoded:
    """One sample as it lies in a shard: its record, its files by name in shard order, and whose what it has is."""

    record: Record
    files: dict[str, bytes]
    taken: tuple[Whose, ...] = ()

    __repr__ = brief


@dataclass(frozen=True)
class _Clip:
    num_frames: int
    height: int
    width: int
    fps: float
    rgb: EncodedMedia | None


def encode_sample(sample: Sample, encoding: Encoding, base_crc32: str | None = None) -> Encoded:
    """Checks and encodes one sample.

    Args:
        sample: what to encode.
        encoding: of its source.
        base_crc32: of the pictures behind a row of a layer ("" where there are none); None: it is no layer's.

    Raises:
        FormatError: if a field breaks the schema; the message names the sample's key and the field.
    """
    try:
        return _encode(sample, encoding, base_crc32)
    except FormatError as error:
        raise FormatError(f"sample '{sample.key}': {error}") from error


def _encode(sample: Sample, encoding: Encoding, base_crc32: str | None) -> Encoded:
    schema.check_kinds(sample)
    clip = _clip(sample)
    extent = (clip.num_frames, clip.height, clip.width)
    head = _head(sample, clip, encoding)
    files = {} if clip.rgb is None else {RGB_EXTENSIONS[clip.rgb.extension]: clip.rgb.data}
    told: dict[str, Any] = {}
    for more, said in (
        encode_maps(sample, extent, encoding.spaces, encoding.chosen),
        *(encode(sample, clip.num_frames, encoding.spaces) for encode in ENCODERS),
    ):
        files |= more
        told |= said
    record = _record(head | told, base_crc32)
    files[RECORD] = write_record(record)
    for name, data in files.items():
        if len(data) > MAX_MEMBER_BYTES:
            raise FormatError(f"{name} has {len(data)} bytes, at most {MAX_MEMBER_BYTES}")
    if (total := sum(map(len, files.values()))) > MAX_SAMPLE_BYTES:
        raise FormatError(f"its members have {total} bytes together, at most {MAX_SAMPLE_BYTES}")
    return Encoded(record, dict(sorted(files.items())), taken(sample))


def _record(values: dict[str, Any], base_crc32: str | None) -> Record:
    if base_crc32 is not None:
        return LayerRecord(**values, base_crc32=base_crc32)
    if values.pop("boxes_frames", None) is not None:
        raise FormatError(
            "frames['boxes'] says in which frames boxes were looked for, which only layers can store: "
            "leave it out where these are all frames"
        )
    return Record(**values)


def _head(sample: Sample, clip: _Clip, encoding: Encoding) -> dict[str, Any]:
    """What the record says about the sample as a whole."""
    times = sample.frame_times
    return {
        "key": sample.key,
        "group": utf8(sample.group).decode(),  # Parquet takes no bytes of file names
        "source": encoding.source,
        "split": encoding.split,
        "licence": _licence(sample, encoding),
        "fields": sorted(name for name in FIELDS if sample.has(name)),
        "frames": clip.num_frames,
        "height": clip.height,
        "width": clip.width,
        "fps": float(clip.fps),
        "frame_times": [] if times is None else [float(t) for t in times],
        "rgb_encoding": "" if clip.rgb is None else clip.rgb.extension,
        "meta": _meta(sample),
    }


def _licence(sample: Sample, encoding: Encoding) -> str:
    """Its own; of one that was made here the source's, and of one that was read from a source without one, none."""
    if sample.licence or not (sample.source and encoding.licence):
        return sample.licence or encoding.licence
    return NOT_STATED


def _clip(sample: Sample) -> _Clip:
    """Length, size, rate and encoded pictures of the clip, from whatever tells them; all that do must agree."""
    media = None
    lengths: dict[str, int] = {"num_frames": sample.num_frames} if sample.num_frames else {}
    sizes: dict[str, tuple[int, int]] = (
        {"height and width": (sample.height, sample.width)} if sample.height else {}
    )
    fps = sample.fps
    schema.check_rate(fps)
    if sample.rgb is not None:
        schema.check_rgb(sample.rgb)
        media, found = encode_pictures(sample.rgb, fps)
        lengths["rgb"] = found.num_frames
        sizes["rgb"] = (found.height, found.width)
        fps = fps or found.fps
    for name in DENSE_FIELDS:
        value = getattr(sample, name)
        if value is not None:
            sizes[name] = _map_size(name, value.shape)
    for name in (*DENSE_FIELDS, POSE_FIELDS[0]):
        value = getattr(sample, name)
        if value is not None and name not in sample.frames:
            lengths[name] = len(value)
    if not lengths and sample.camera is not None:
        lengths["camera"] = len(sample.camera.K)
    if not lengths:
        raise FormatError("nothing tells the number of frames: set num_frames")
    num_frames = _agreed(lengths, "number of frames")
    height, width = _agreed(sizes, "(height, width)") if sizes else (-1, -1)
    schema.check_size(sample, num_frames, height, width)
    return _Clip(num_frames, height, width, fps, media)


def _map_size(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 3:
        raise FormatError(f"{name} has shape {shape}, expected (frames, height, width, ...)")
    return shape[1], shape[2]


def _agreed(told: dict[str, Any], what: str) -> Any:
    if len(set(told.values())) > 1:
        listed = ", ".join(f"{name} {value}" for name, value in told.items())
        raise FormatError(f"fields disagree about the {what}: {listed}")
    return next(iter(told.values()))


def _meta(sample: Sample) -> str:
    try:
        return json.dumps(sample.meta, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FormatError(f"meta is not JSON: {error}") from error
