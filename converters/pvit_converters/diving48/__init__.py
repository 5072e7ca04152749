"""Diving48: competition dives, each with one of 48 kinds of dive."""

from pvit_converters.diving48.converter import Diving48Converter
from pvit_converters.diving48.options import Diving48Options

__all__ = ["Diving48Converter", "Diving48Options"]
