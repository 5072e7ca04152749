"""Ego4D hands and objects: windows with or without a change of an object's state (OSCC), and when it happens (PNR)."""

from pvit_converters.ego4d.converter import Ego4dConverter
from pvit_converters.ego4d.options import Ego4dOptions

__all__ = ["Ego4dConverter", "Ego4dOptions"]
