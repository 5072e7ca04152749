"""Colour-coded maps: from pixels to class ids by an exact table, unknown colours counted; and instance colours.

A colour is packed into one number, which indexes a table of all 2^24 colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from pvit_converters.phav.classes import PHAV63
from pvit_converters.raw.files import MAX_YAML, read_bytes
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.labels import IGNORE_8

Colour = tuple[int, int, int]
Rows = tuple[tuple[str, Colour], ...]

DEFAULT_ROWS: Rows = tuple(zip(PHAV63.classes, PHAV63.colours, strict=True))


TABLE = "colors.txt"
"""Name of the table of colours that PHAV's archives hold."""


@dataclass
class Unknown:
    """Pixels whose colour is in no table, and pixels in all."""

    colours: dict[Colour, int]
    pixels: int

    @property
    def fraction(self) -> float:
        """Share of the pixels that are unknown."""
        return sum(self.colours.values()) / max(self.pixels, 1)


def pack(colour: UInt8[np.ndarray, "*s c"]) -> Int32[np.ndarray, "*s"]:
    """Red, green and blue as one number; a fourth channel is dropped."""
    wide = colour[..., :3].astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


@lru_cache(maxsize=4)
def table_of(rows: Rows, extra: Rows = ()) -> UInt8[np.ndarray, "16777216"]:
    """Class id of every colour, 255 where it is in no row; rows of unknown names are left out."""
    ids = {name.lower(): index for index, name in enumerate(PHAV63.classes)}
    table = np.full(1 << 24, IGNORE_8, np.uint8)
    for name, (r, g, b) in (*rows, *extra):
        if name.lower() in ids:
            table[(r << 16) | (g << 8) | b] = ids[name.lower()]
    table.setflags(write=False)
    return table


def to_classes(
    image: UInt8[np.ndarray, "h w c"], rows: Rows, extra: Rows, tolerance: int, unknown: Unknown
) -> UInt8[np.ndarray, "h w"]:
    """Class ids of one map; what is not in the table becomes 255 and is added to `unknown`."""
    packed = pack(image)
    ids: UInt8[np.ndarray, "h w"] = table_of(rows, extra)[packed]
    unknown.pixels += ids.size
    missing = ids == IGNORE_8
    if not missing.any():
        return ids
    values, inverse, counts = np.unique(packed[missing], return_inverse=True, return_counts=True)
    near = np.full(len(values), IGNORE_8, np.uint8)
    for i, (value, count) in enumerate(zip(values.tolist(), counts.tolist(), strict=True)):
        colour = (value >> 16, value >> 8 & 255, value & 255)
        near[i] = nearest((*rows, *extra), colour, tolerance) if tolerance else IGNORE_8
        if near[i] == IGNORE_8:
            unknown.colours[colour] = unknown.colours.get(colour, 0) + count
    ids[missing] = near[inverse]
    return ids


def nearest(rows: Rows, colour: Colour, tolerance: int) -> int:
    """The class whose colour differs least in its worst channel, 255 if that is more than the tolerance.

    Rows of names that are no class, which some copies of the table have, are passed over.
    """
    names = [name.lower() for name in PHAV63.classes]
    known = [(names.index(name.lower()), other) for name, other in rows if name.lower() in names]
    distance = [max(abs(a - b) for a, b in zip(colour, other, strict=True)) for _, other in known]
    best = int(np.argmin(distance)) if known else -1
    return known[best][0] if known and distance[best] <= tolerance else IGNORE_8


def is_swapped(unknown: Unknown, rows: Rows) -> bool:
    """Whether most unknown colours are in the table once red and blue are exchanged."""
    known = {colour for _, colour in rows}
    hits = sum(count for (r, g, b), count in unknown.colours.items() if (b, g, r) in known)
    return 2 * hits > sum(unknown.colours.values()) > 0


def read_rows(path: Path) -> Rows:
    """Rows `NAME R G B` of a text table after its header line; names may hold blanks.

    Raises:
        SourceError: if a row is no such row (`"bad-table"`).
    """
    text = read_bytes(path, MAX_YAML).decode("utf-8-sig", errors="replace")
    rows = []
    for line in text.splitlines()[1:]:
        if not (parts := line.split()):
            continue
        try:
            r, g, b = (int(value) for value in parts[-3:])
            if len(parts) < 4 or not all(0 <= v <= 255 for v in (r, g, b)):
                raise ValueError
        except ValueError as error:
            message = f"{path}: row {line[:60]!r}, expected NAME R G B with values 0..255"
            raise SourceError(message, reason="bad-table") from error
        rows.append((" ".join(parts[:-3]), (r, g, b)))
    return tuple(rows)


def rows_at(path: Path) -> Rows:
    """`read_rows`, remembered as long as the file stays the same."""
    state = path.stat()
    return _remembered(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _remembered(path: Path, _time: int, _size: int) -> Rows:
    return read_rows(path)


def find_colours(folder: Path, top: Path) -> Path | None:
    """The `colors.txt` that holds for a video: in its folder, its parents up to `top`, or the folder above that."""
    place = folder
    while True:
        if (path := place / TABLE).is_file():
            return path
        if place == top or place == place.parent:
            above = top.parent / TABLE
            return above if above.is_file() else None
        place = place.parent


def extra_rows(values: object, flag: str) -> Rows:
    """Further colours from the user's YAML, `extra_colors: {Misc: [[38, 115, 71]]}`.

    Raises:
        UsageError: if it is something else or names an unknown class.
    """
    table = values.get("extra_colors") if isinstance(values, Mapping) else None
    if not isinstance(table, Mapping):
        raise UsageError(f"{flag}: expected extra_colors: {{Misc: [[38, 115, 71]]}}")
    known = {name.lower() for name in PHAV63.classes}
    rows: list[tuple[str, Colour]] = []
    for name, colours in table.items():
        if str(name).lower() not in known:
            raise UsageError(f"{flag}: extra_colors: '{name}' is none of PHAV's 63 classes")
        for colour in colours if isinstance(colours, list) else [colours]:
            if not (
                isinstance(colour, list)
                and len(colour) == 3
                and all(v in range(256) for v in colour)
            ):
                raise UsageError(
                    f"{flag}: extra_colors: {name}: {colour} is not a colour [r, g, b]"
                )
            rows.append((str(name), (colour[0], colour[1], colour[2])))
    return tuple(rows)
