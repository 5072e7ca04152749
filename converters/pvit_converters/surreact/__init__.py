"""SURREACT: rendered people with SMPL joints and body parts, for NTU and UESTC motions (Varol et al., IJCV 2021)."""

from pvit_converters.surreact.converter import SurreactConverter
from pvit_converters.surreact.options import SurreactOptions
from pvit_converters.surreact.parts import SMPL14, SMPL24

__all__ = ["SMPL14", "SMPL24", "SurreactConverter", "SurreactOptions"]
