"""Something-Something v2: real clips of hands doing things with objects, each with an action label."""

from pvit_converters.ssv2.converter import SSv2Converter
from pvit_converters.ssv2.options import SSv2Options

__all__ = ["SSv2Converter", "SSv2Options"]
