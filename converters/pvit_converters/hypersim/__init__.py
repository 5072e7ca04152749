"""Hypersim: indoor stills with exact depth, normals, NYU40 labels and instances (Roberts et al., ICCV 2021)."""

from pvit_converters.hypersim.converter import HypersimConverter
from pvit_converters.hypersim.nyu40 import NYU40
from pvit_converters.hypersim.options import HypersimOptions

__all__ = ["NYU40", "HypersimConverter", "HypersimOptions"]
