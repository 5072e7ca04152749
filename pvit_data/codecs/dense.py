"""`DENSE`: how each field of one map per frame is stored, decoded and checked; a further such field is a row here.

A map is a TIFF page of `FIELD.tif`; the record says which frame each page belongs to (`FIELD_frames`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pvit_data.codecs import depth, normal, segm, tiff
from pvit_data.codecs.window import Asked, Files, Frames, Told
from pvit_data.errors import FormatError, UsageError
from pvit_data.sample import schema
from pvit_data.sample.frames import entry_frames, select_frames
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample

Maps = Shaped[np.ndarray, "n h w *c"]


@dataclass(frozen=True)
class Dense:
    """One dense field.

    Args:
        encode: maps, the chosen encoding and the field's label space -> the file, and what the record says about it.
            Raises `FormatError` for a value that the encoding does not hold.
        decode: the file, the record, and page, row and column numbers (None = all) -> the maps. Raises `FormatError`
            if the file is not what the record says.
        problem: the file, the record, some page numbers and the label space -> what is wrong with values that decode,
            or "".
        pixel_bytes: of one decoded pixel.
        channels: () or the number of values of a pixel.
        kinds: dtype kinds that a sample's maps may have.
        default: the encoding where a source chooses none; "" = there is nothing to choose.
        choose: refuses an unknown encoding with a `FormatError`.
        extent: the file and the record -> pages, height and width, without inflating anything.
        spaced: whether values are ids of a label space, which then must be declared.
    """

    encode: Callable[[Maps, str, LabelSpace | None], tuple[bytes, dict[str, Any]]]
    decode: Callable[..., Maps]
    problem: Callable[[bytes, Told, Frames, LabelSpace | None], str]
    pixel_bytes: int
    channels: tuple[int, ...] = ()
    kinds: str = "f"
    default: str = ""
    choose: Callable[[str], object] = str
    extent: Callable[[bytes, Told], tuple[int, int, int]] = tiff.extent
    spaced: bool = False


DENSE: dict[str, Dense] = {
    "depth": Dense(
        depth.to_member, depth.from_member, depth.problem, 4,
        default="float16", choose=depth.DepthEncoding.parse,
    ),
    "normal": Dense(
        normal.to_member, normal.from_member, normal.problem, 12, channels=(3,),
        default="xyz8", choose=normal.check_encoding, extent=normal.extent,
    ),
    "segm": Dense(
        segm.to_member, segm.from_member, segm.problem, 2, kinds="iu", spaced=True,
    ),
}  # fmt: skip


def check_choices(chosen: Mapping[str, str]) -> None:
    """Refuses encodings that a source cannot choose.

    Raises:
        UsageError: naming the field, or the encoding.
    """
    offered = {name: dense for name, dense in DENSE.items() if dense.default}
    if unknown := sorted(chosen.keys() - offered.keys()):
        raise UsageError(
            f"encoding of {unknown[0]!r} cannot be chosen: expected {' or '.join(offered)}"
        )
    for name, text in chosen.items():
        try:
            offered[name].choose(text)
        except FormatError as error:
            raise UsageError(str(error)) from error


def encode_maps(
    sample: Sample,
    extent: tuple[int, int, int],
    spaces: schema.Spaces,
    chosen: Mapping[str, str],
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """All maps of a sample: files, and what the record says about them.

    Args:
        sample: the sample.
        extent: frames, height and width of the clip.
        spaces: label spaces of its source.
        chosen: encodings by field, where not by default.

    Raises:
        FormatError: if a map does not fit the clip, or holds a value that its encoding does not.
    """
    num_frames, *size = extent
    files: dict[str, bytes] = {}
    told: dict[str, Any] = {}
    for name, dense in DENSE.items():
        maps = getattr(sample, name)
        if maps is None:
            continue
        schema.check_array(name, maps, (None, *size, *dense.channels), dense.kinds)
        told[f"{name}_frames"] = entry_frames(sample, name, num_frames)
        if dense.kinds == "f":
            maps = maps.astype(np.float32, copy=False)
        space = schema.need_space(spaces, name) if dense.spaced else None
        files[f"{name}.tif"], more = dense.encode(maps, chosen.get(name, dense.default), space)
        told |= more
    return files, told


def decode_maps(
    name: str, told: Told, files: Files, asked: Asked
) -> tuple[dict[str, Maps], Frames | None]:
    """The asked maps of a field, and their frame numbers where they are not those of the whole clip.

    Raises:
        FormatError: if they do not decode to what the record says.
    """
    rows, columns = asked.grid or (None, None)
    stored: list[int] = told[f"{name}_frames"]
    pages, numbers = select_frames(stored, told["frames"], asked.frames)
    maps = DENSE[name].decode(files[f"{name}.tif"], told, pages, rows, columns)
    size = (
        (told["height"], told["width"])
        if rows is None or columns is None
        else (len(rows), len(columns))
    )
    if maps.shape[:3] != (len(numbers), *size):
        raise FormatError(
            f"{name}.tif decodes to {maps.shape}, the record says {(len(numbers), *size)}"
        )
    partial = asked.frames is not None or len(stored) != told["frames"]
    return {name: maps}, numbers if partial else None
