"""SURREACT's body parts: 24 SMPL parts, and the authors' reduction to 14 (spec surreact, section 5.1)."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from pvit_data.sample.labels import LabelSpace

_PARTS = (
    "hips leftUpLeg rightUpLeg spine leftLeg rightLeg spine1 leftFoot rightFoot spine2 leftToeBase rightToeBase neck "
    "leftShoulder rightShoulder head leftArm rightArm leftForeArm rightForeArm leftHand rightHand leftHandIndex1 "
    "rightHandIndex1"
)
_FOURTEEN = (
    "head torso right_upper_arm right_forearm right_hand left_upper_arm left_forearm left_hand right_thigh right_shin "
    "right_foot left_thigh left_shin left_foot"
)
_REDUCTION = "2 12 9 2 13 10 2 14 11 2 14 11 2 2 2 1 6 3 7 4 8 5 8 5"


def _space(name: str, classes: str) -> LabelSpace:
    names = ("background", *classes.split())
    pairs = tuple(
        (i, names.index(other))
        for i, n in enumerate(names)
        if n.startswith("left") and (other := f"right{n[4:]}") in names
    )
    return LabelSpace(name, names, pairs=pairs)


SMPL24 = _space("smpl24", _PARTS)
"""0 background, 1..24: part k + 1 is moved by SMPL joint k."""

SMPL14 = _space("smpl14", _FOURTEEN)
"""0 background, 1..14."""

TO_14: UInt8[np.ndarray, "25"] = np.array([0, *map(int, _REDUCTION.split())], np.uint8)
"""The id in `SMPL14` of each id in `SMPL24`."""
