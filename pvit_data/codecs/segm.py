"""Segmentation maps as TIFF pages: 8 bits, or 16 in label spaces with ids above 254; lossless, no predictor."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Integer

from pvit_data.codecs import tiff
from pvit_data.codecs.window import Frames, Told
from pvit_data.errors import FormatError
from pvit_data.sample.labels import IGNORE_16, LabelSpace


def to_member(
    segm: Integer[np.ndarray, "n h w"], chosen: str, space: LabelSpace | None
) -> tuple[bytes, dict[str, Any]]:
    """See `Dense.encode`."""
    assert space is not None  # `Dense.spaced`
    return encode_segm(segm, space), {"segm_space": space.name}


def from_member(data: bytes, told: Told, *picks: Frames | None) -> Integer[np.ndarray, "k r s"]:
    """See `Dense.decode`."""
    return decode_segm(data, *picks)


def problem(data: bytes, told: Told, pages: Frames, space: LabelSpace | None) -> str:
    """See `Dense.problem`."""
    segm = decode_segm(data, pages)
    if space is None:
        return "segm has no label space in the manifest"
    bad = _outside(segm, space)
    if not bad.any():
        return ""
    return (
        f"segm holds id {segm[bad][0]} ({int(bad.sum())} such pixels), "
        f"expected {space.first}..{space.num_ids - 1} of '{space.name}', or {space.ignore}"
    )


def _outside(segm: Integer[np.ndarray, "n h w"], space: LabelSpace) -> Bool[np.ndarray, "n h w"]:
    outside: Bool[np.ndarray, "n h w"] = (segm < space.first) | (segm >= space.num_ids)
    outside &= segm != space.ignore
    return outside


def encode_segm(segm: Integer[np.ndarray, "n h w"], space: LabelSpace) -> bytes:
    """Encodes ids of a label space; `space.ignore` = not labelled.

    Raises:
        FormatError: if an id is outside the space.
    """
    if space.num_ids > IGNORE_16:
        raise FormatError(
            f"label space '{space.name}' has ids up to {space.num_ids - 1}, 16 bits hold {IGNORE_16 - 1}"
        )
    outside = _outside(segm, space)
    if outside.any():
        raise FormatError(
            f"segm holds id {segm[outside][0]}, expected {space.first}..{space.num_ids - 1} of '{space.name}', "
            f"or {space.ignore} where not labelled"
        )
    kind = tiff.UINT8 if space.ignore < 256 else tiff.UINT16
    return tiff.write_tiff(segm.astype(kind.dtype), kind)


def decode_segm(
    data: bytes | memoryview,
    pages: Integer[np.ndarray, "k"] | None = None,
    rows: Integer[np.ndarray, "r"] | None = None,
    columns: Integer[np.ndarray, "s"] | None = None,
) -> Integer[np.ndarray, "k r s"]:
    """Decodes to uint8 or uint16 ids; `pages`, `rows` and `columns` as in `TiffReader.read`.

    Raises:
        FormatError: if the file is not a segmentation map.
    """
    reader = tiff.TiffReader(data)
    if reader.kind not in (tiff.UINT8, tiff.UINT16):
        raise FormatError(
            f"segm.tif holds {reader.kind.channels} x {reader.kind.dtype} pages, expected uint8 or uint16"
        )
    return reader.read(pages, rows, columns)
