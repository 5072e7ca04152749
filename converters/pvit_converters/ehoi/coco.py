"""The COCO files of EHOI as plain rows by image, read once per process (spec ehoi, section 3).

Ids are opaque: the released files use file names as image ids, others use numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from pvit_converters.ehoi.classes import HAND, class_of
from pvit_converters.raw.files import read_json, read_members
from pvit_data.errors import SourceError
from pvit_data.sample.sample import UNKNOWN

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Image:
    """One entry of `images`.

    Args:
        id: as in the file.
        name: `file_name`.
        width, height: pixels.
    """

    id: Any
    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Row:
    """One annotation.

    Args:
        id: as in the file.
        class_id: in `ehoi_boxes20`, -1 for a category of another name.
        box: x, y, width, height in pixels.
        polygons: parts of its mask, x and y in pixels; empty where it has none.
        runs: its mask as COCO run lengths, or None.
        side, contact: 0, 1, or -1 = unknown.
        offset: vector from the hand to its active object in pixels, or None.
        object_id: id of the active object's annotation, or None.
    """

    id: Any
    class_id: int
    box: Box
    polygons: tuple[Float64[np.ndarray, "n 2"], ...] = ()
    runs: dict[str, Any] | None = None
    side: int = UNKNOWN
    contact: int = UNKNOWN
    offset: tuple[float, float] | None = None
    object_id: Any = None

    @property
    def has_mask(self) -> bool:
        """Whether it carries a mask at all."""
        return bool(self.polygons) or self.runs is not None


@dataclass(frozen=True)
class Link:
    """What `*_hands.json` says of a hand in contact: its object's class in `ehoi_boxes20`, and its box."""

    class_id: int
    box: Box


@dataclass
class Coco:
    """One annotation file.

    Args:
        images: in the order of the file.
        rows: annotations by position of the image.
        links: by id of the hand, and by position of the image for hands known by their box only.
        dropped: annotations that were left out, by reason.
        unknown: category names that are none of EHOI's.
    """

    images: list[Image] = field(default_factory=list)
    rows: dict[int, list[Row]] = field(default_factory=dict)
    links: dict[Any, Link] = field(default_factory=dict)
    links_by_box: dict[int, list[tuple[Box, Link]]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    unknown: tuple[str, ...] = ()


def read_coco(path: Path) -> Coco:
    """Reads an annotation file and, where it is there, its sibling `*_hands.json`; remembered while it stays the same.

    Raises:
        SourceError: if a file is missing, damaged, or no COCO file of this dataset.
    """
    state = path.stat() if path.is_file() else None
    return _remembered(path, state.st_mtime_ns if state else 0)


@lru_cache(maxsize=8)
def _remembered(path: Path, _time: int) -> Coco:
    out = Coco()
    categories: dict[Any, int | None] = {}
    place = _Places()
    early = [0]  # annotations that stand before the images or categories

    def add_category(c: Any) -> None:
        categories[c["id"]] = class_of(str(c["name"]))
        out.unknown += () if categories[c["id"]] is not None else (str(c["name"]),)

    def add_image(i: Any) -> None:
        place.add(i["id"])
        out.images.append(Image(i["id"], str(i["file_name"]), int(i["width"]), int(i["height"])))

    def add_row(row: Any) -> None:
        if out.images and categories:
            _add(out, row, categories, place)
        else:
            early[0] += 1

    found: Any = "?"
    try:
        found = read_members(
            path, {"categories": add_category, "images": add_image, "annotations": add_row}
        )
        if missing := {"categories", "images", "annotations"} - found.keys():
            raise KeyError(*sorted(missing))
        if early[0]:
            ignore = dict.fromkeys(("categories", "images"), lambda _: None)
            read_members(
                path, ignore | {"annotations": lambda row: _add(out, row, categories, place)}
            )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        message = f"{path}: not a COCO file with images, categories and annotations ({error!r}; found {sorted(found)})"
        raise SourceError(message, reason="bad-coco") from error
    if len(out.unknown) > len(categories) / 2:
        raise SourceError(
            f"{path}: categories {list(out.unknown[:4])} ... are none of EHOI's 20; is this another dataset?",
            reason="unknown-classes",
        )
    hands = path.with_name(f"{path.stem}_hands.json")
    if hands.is_file():
        _add_links(out, hands, _object_classes(categories), place)
    return out


class _Places:
    """Positions of images by id: as it is, else as text."""

    def __init__(self) -> None:
        self._exact: dict[Any, int] = {}
        self._text: dict[str, int] = {}
        self._count = 0

    def add(self, value: Any) -> None:
        """The id of the next image."""
        self._exact.setdefault(value, self._count)
        self._text.setdefault(str(value), self._count)
        self._count += 1

    def of(self, value: Any) -> int | None:
        """The position of an image, or None."""
        return self._exact.get(value, self._text.get(str(value)))


def _object_classes(categories: dict[Any, int | None]) -> list[int]:
    """Classes by position in the list without the hand, which `category_id_obj` counts in."""
    ordered = [categories[key] for key in sorted(categories, key=lambda k: (isinstance(k, str), k))]
    return [UNKNOWN if c is None else c for c in ordered if c != HAND]


def _add(
    out: Coco, values: dict[str, Any], categories: dict[Any, int | None], place: _Places
) -> None:
    hash(values.get("id")), hash(values.get("id_obj"))  # ids must be usable as such
    position = place.of(values["image_id"])
    box = to_box(values.get("bbox"))
    if position is None:
        out.dropped["annotation of an unknown image"] += 1
        return
    if box is None:
        out.dropped["annotation without a box"] += 1
        return
    found = categories.get(values["category_id"])
    class_id = UNKNOWN if found is None else found
    is_hand = class_id == HAND
    polygons, runs = _mask(values.get("segmentation"))
    contact = _flag(values.get("contact_state")) if is_hand else UNKNOWN
    row = Row(
        id=values.get("id"),
        class_id=class_id,
        box=box,
        polygons=polygons,
        runs=runs,
        side=_flag(values.get("hand_side")) if is_hand else UNKNOWN,
        contact=contact,
        offset=_offset(values) if contact == 1 else None,
        object_id=values.get("id_obj") if contact == 1 else None,
    )
    out.rows.setdefault(position, []).append(row)


def to_box(value: Any) -> Box | None:
    """Four finite numbers, or None."""
    try:
        x, y, w, h = (float(v) for v in value)
    except (TypeError, ValueError):
        return None
    return (x, y, w, h) if all(map(math.isfinite, (x, y, w, h))) else None


def _mask(value: Any) -> tuple[tuple[Float64[np.ndarray, "n 2"], ...], dict[str, Any] | None]:
    """Polygons of at least three points, or run lengths; a bare list of numbers is one polygon."""
    if isinstance(value, dict):
        return (), value
    if isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
        value = [value]
    polygons = []
    for part in value if isinstance(value, list) else []:
        try:
            points = np.array(part, np.float64).ravel()
        except (TypeError, ValueError):
            continue
        if points.size >= 6 and points.size % 2 == 0 and np.isfinite(points).all():
            polygons.append(points.reshape(-1, 2))
    return tuple(polygons), None


def _flag(value: Any) -> int:
    """0 or 1, whatever its type; anything else is unknown."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return UNKNOWN
    return int(number) if number in (0.0, 1.0) else UNKNOWN


def _offset(values: dict[str, Any]) -> tuple[float, float] | None:
    """The vector to the active object; its numbers may be texts."""
    try:
        dx, dy, length = (float(values[name]) for name in ("dx", "dy", "magnitude"))
    except (KeyError, TypeError, ValueError):
        return None
    return (dx * length, dy * length) if all(map(math.isfinite, (dx, dy, length))) else None


def _add_links(out: Coco, path: Path, classes: list[int], place: _Places) -> None:
    values = read_json(path)
    try:
        for row in values["annotations"]:
            box = to_box(row.get("bbox_obj"))
            number = row.get("category_id_obj", -1)
            number = int(number) if number is not None else -1
            if box is None or not 0 <= number < len(classes):
                continue
            link = Link(classes[number], box)
            if row.get("id") is not None:
                out.links[row["id"]] = link
            hand = to_box(row.get("bbox"))
            position = place.of(row.get("image_id"))
            if hand is not None and position is not None:
                out.links_by_box.setdefault(position, []).append((hand, link))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(
            f"{path}: not a COCO file of hands ({error!r})", reason="bad-coco"
        ) from error
