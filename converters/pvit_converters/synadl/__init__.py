"""KIST SynADL (ElderSim): daily activities of virtual characters with 2D and 3D joints (Hwang et al., 2020)."""

from pvit_converters.synadl.converter import SynadlConverter
from pvit_converters.synadl.options import SynadlOptions

__all__ = ["SynadlConverter", "SynadlOptions"]
