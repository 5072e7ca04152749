"""EHOI's 19 objects and the hand (spec ehoi, section 3), as label spaces for boxes and maps."""

from __future__ import annotations

from pvit_data.sample.labels import LabelSpace

OBJECTS = (
    "power supply", "oscilloscope", "welder station", "electric screwdriver", "screwdriver", "pliers",
    "welder probe tip", "oscilloscope probe tip", "low voltage board", "high voltage board", "register",
    "electric screwdriver battery", "working area", "welder base", "socket", "left red button", "left green button",
    "right red button", "right green button",
)  # fmt: skip
"""Category names in id order 0..18."""

HAND = len(OBJECTS)
"""Id of the hand among the boxes."""

_HAND_NAMES = ("hand", "mano")
_BUTTONS = ((15, 17), (16, 18))  # left and right red, left and right green

EHOI_BOXES = LabelSpace("ehoi_boxes20", (*OBJECTS, "hand"), pairs=_BUTTONS)
"""0..18 objects, 19 hand."""

EHOI_SEGM = LabelSpace(
    "ehoi_segm21",
    ("background", *OBJECTS, "hand"),
    pairs=tuple((a + 1, b + 1) for a, b in _BUTTONS),
)
"""0 background, 1..19 objects, 20 hand."""


def class_of(name: str) -> int | None:
    """The id in `EHOI_BOXES` of a category name, whatever its commas, blanks and underscores; None if unknown."""
    plain = " ".join(name.lower().replace(",", " ").replace("_", " ").split())
    if plain in _HAND_NAMES:
        return HAND
    return OBJECTS.index(plain) if plain in OBJECTS else None
