"""SURREACT: rendered people with SMPL joints and body parts, for NTU and UESTC motions (Varol et al., IJCV 2021)."""

from pvit_converters.surreact.classes import SMPL14, SMPL24
from pvit_converters.surreact.converter import SurreactConverter
from pvit_converters.surreact.options import SurreactOptions

__all__ = ["SMPL14", "SMPL24", "SurreactConverter", "SurreactOptions"]
