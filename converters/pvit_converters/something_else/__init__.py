"""SomethingElse: other splits of Something-Something V2, and boxes of hands and objects; all layers, no pictures."""

from pvit_converters.something_else.boxes_converter import BoxesConverter
from pvit_converters.something_else.converter import SomethingElseConverter
from pvit_converters.something_else.no_empty_boxes import NoEmptyBoxesConverter
from pvit_converters.something_else.options import (
    BoxesOptions,
    NoEmptyBoxesOptions,
    SomethingElseOptions,
)

__all__ = [
    "BoxesConverter",
    "BoxesOptions",
    "NoEmptyBoxesConverter",
    "NoEmptyBoxesOptions",
    "SomethingElseConverter",
    "SomethingElseOptions",
]
