"""EHOI / EgoISM-HOI: rendered hands and tools with boxes, masks and contacts (Leonardi et al., 2022 and 2024)."""

from pvit_converters.ehoi.classes import EHOI_BOXES, EHOI_SEGM
from pvit_converters.ehoi.converter import EhoiConverter
from pvit_converters.ehoi.options import EhoiOptions

__all__ = ["EHOI_BOXES", "EHOI_SEGM", "EhoiConverter", "EhoiOptions"]
