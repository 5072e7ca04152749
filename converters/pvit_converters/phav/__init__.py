"""PHAV: procedural videos of human actions with depth, 63 classes and instances (de Souza et al., CVPR 2017)."""

from pvit_converters.phav.classes import PHAV36, PHAV63, PHAV_ACTIONS
from pvit_converters.phav.converter import PhavConverter
from pvit_converters.phav.options import PhavOptions

__all__ = ["PHAV36", "PHAV63", "PHAV_ACTIONS", "PhavConverter", "PhavOptions"]
