"""Released trajectories with broken textures, lighting or labels, or without usable colour.

2,200 released images. Sources: apple/ml-hypersim issue 22, and the list of TUI-NICR/nicr-scene-analysis-datasets.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

BROKEN = (
    "ai_003_001/cam_00",  # colour is black
    "ai_004_009/cam_01",  # colour is black
    "ai_013_001/*",
    "ai_015_006/*",
    "ai_023_004/cam_01",
    "ai_023_006/*",
    "ai_023_008/cam_01",
    "ai_023_009/*",
    "ai_026_013/*",
    "ai_026_018/*",
    "ai_026_020/*",
    "ai_038_007/*",
    "ai_046_001/*",
    "ai_048_004/*",
    "ai_053_005/*",
)


def is_broken(scene: str, camera: str) -> bool:
    """Whether a trajectory is on the list."""
    return any(fnmatchcase(f"{scene}/{camera}", pattern) for pattern in BROKEN)
