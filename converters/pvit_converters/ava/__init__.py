"""AVA v2.2: fifteen annotated minutes of movies, persons in boxes with several of 80 actions each."""

from pvit_converters.ava.converter import AvaConverter
from pvit_converters.ava.layers import AvaDetections, AvaTrain
from pvit_converters.ava.options import AvaOptions

__all__ = ["AvaConverter", "AvaDetections", "AvaOptions", "AvaTrain"]
