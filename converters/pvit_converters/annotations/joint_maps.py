"""From other joint sets to Kinect-25: where each of the 25 joints comes from, and how good that is.

A joint is a weighted sum of source joints, or lies some way beyond one of them. Sources of the tables: specs surreact
(sections 7 and 8) and synadl (sections 5.2 and 5.7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from pvit_data.sample import kinect25

ABSENT, DERIVED, EXACT = 0, 1, 2

SMPL24 = (
    "Pelvis", "L_Hip", "R_Hip", "Spine1", "L_Knee", "R_Knee", "Spine2", "L_Ankle", "R_Ankle", "Spine3", "L_Foot",
    "R_Foot", "Neck", "L_Collar", "R_Collar", "Head", "L_Shoulder", "R_Shoulder", "L_Elbow", "R_Elbow", "L_Wrist",
    "R_Wrist", "L_Hand", "R_Hand",
)  # fmt: skip
"""The 24 joints of SMPL."""

SMPL24_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

BODY25 = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee",
    "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe",
    "RSmallToe", "RHeel",
)  # fmt: skip
"""The 25 joints of OpenPose's BODY_25."""

HAND_TIP = 0.05
"""Metres from the SMPL hand joint to the finger tip (spec surreact, section 8.2: 0.04 to 0.06)."""


@dataclass(frozen=True)
class Rule:
    """Where one Kinect joint comes from.

    Args:
        quality: `EXACT` for a counterpart, `DERIVED` for an approximation, `ABSENT`.
        choices: weighted sums of source joints, `((joint, weight), ...)`; the first whose joints are usable is taken.
        beyond: metres further along the line from the second-named joint's place: `(from, to, metres)`.
    """

    quality: int = ABSENT
    choices: tuple[tuple[tuple[int, float], ...], ...] = ()
    beyond: tuple[int, int, float] | None = None


@dataclass(frozen=True)
class JointMap:
    """A joint set and its way to Kinect-25.

    Args:
        name: of the joint set.
        joints: its joints in the order of the source's arrays.
        rules: one per Kinect joint.
    """

    name: str
    joints: tuple[str, ...]
    rules: tuple[Rule, ...]

    def quality(self) -> UInt8[np.ndarray, "25"]:
        """The best validity that each Kinect joint can have: 0 absent, 1 derived, 2 exact."""
        return np.array([rule.quality for rule in self.rules], np.uint8)

    def apply(
        self, points: Float[np.ndarray, "*s j d"], usable: Bool[np.ndarray, "*s j"] | None = None
    ) -> tuple[Float32[np.ndarray, "*s 25 d"], UInt8[np.ndarray, "*s 25"]]:
        """Kinect joints and their validity.

        Args:
            points: joints of this set, in metres (d = 3) or pixels (d = 2).
            usable: which of them may be used. Default: those whose coordinates are finite.

        Returns:
            The 25 joints, zero where absent, and 0 absent, 1 derived, 2 exact. In pixels nothing can lie so many
            metres beyond a joint, so those joints are absent.
        """
        finite = np.isfinite(points).all(-1)
        usable = finite if usable is None else usable & finite
        clean = np.where(usable[..., None], points, 0).astype(np.float64)
        out = np.zeros((*points.shape[:-2], len(self.rules), points.shape[-1]), np.float32)
        valid = np.zeros(out.shape[:-1], np.uint8)
        for i, rule in enumerate(self.rules):
            if rule.beyond is not None and points.shape[-1] != 3:
                continue
            for choice in rule.choices:
                free = np.logical_and.reduce([usable[..., joint] for joint, _ in choice]) & (
                    valid[..., i] == 0
                )
                place = sum(weight * clean[..., joint, :] for joint, weight in choice)
                if rule.beyond is not None:
                    start, end, metres = rule.beyond
                    line = clean[..., end, :] - clean[..., start, :]
                    length = np.sqrt((line * line).sum(-1, keepdims=True))
                    free &= usable[..., start] & usable[..., end] & (length[..., 0] > 1e-6)
                    place = place + metres * line / np.maximum(length, 1e-6)
                out[..., i, :] = np.where(free[..., None], place, out[..., i, :])
                valid[..., i] = np.where(free, rule.quality, valid[..., i])
        return out, valid


def _map(name: str, joints: tuple[str, ...], rules: dict[str, Rule]) -> JointMap:
    return JointMap(name, joints, tuple(rules.get(joint, Rule()) for joint in kinect25.NAMES))


def _exact(*pairs: tuple[str, int]) -> dict[str, Rule]:
    return {name: Rule(EXACT, (((joint, 1.0),),)) for name, joint in pairs}


def _smpl24() -> JointMap:
    at = SMPL24.index
    limbs = {
        "Shoulder": "Shoulder",
        "Elbow": "Elbow",
        "Wrist": "Wrist",
        "Hand": "Hand",
        "Hip": "Hip",
        "Knee": "Knee",
    }
    limbs |= {"Ankle": "Ankle", "Foot": "Foot"}
    rules = _exact(("SpineBase", at("Pelvis")), ("Neck", at("Neck")))
    for side in ("Left", "Right"):
        rules |= _exact(
            *((f"{kinect}{side}", at(f"{side[0]}_{smpl}")) for kinect, smpl in limbs.items())
        )
        hand, wrist = at(f"{side[0]}_Hand"), at(f"{side[0]}_Wrist")
        rules[f"HandTip{side}"] = Rule(DERIVED, (((hand, 1.0),),), (wrist, hand, HAND_TIP))
    rules["SpineMid"] = Rule(DERIVED, (((at("Spine1"), 1.0),),))
    rules["SpineShoulder"] = Rule(DERIVED, (((at("L_Shoulder"), 0.5), (at("R_Shoulder"), 0.5)),))
    rules["Head"] = Rule(DERIVED, (((at("Head"), 1.5), (at("Neck"), -0.5)),))
    return _map("smpl24", SMPL24, rules)


def _body25() -> JointMap:
    at = BODY25.index
    rules = _exact(("SpineBase", at("MidHip")), ("SpineShoulder", at("Neck")))
    for side in ("Left", "Right"):
        names = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
        rules |= _exact(*((f"{name}{side}", at(f"{side[0]}{name}")) for name in names))
        rules[f"Foot{side}"] = Rule(DERIVED, (((at(f"{side[0]}BigToe"), 1.0),),))
    rules["SpineMid"] = Rule(DERIVED, (((at("MidHip"), 0.5), (at("Neck"), 0.5)),))
    rules["Neck"] = Rule(DERIVED, (((at("Neck"), 1.0),),))
    rules["Head"] = Rule(DERIVED, (((at("REar"), 0.5), (at("LEar"), 0.5)), ((at("Nose"), 1.0),)))
    return _map("body25", BODY25, rules)


FROM_SMPL24 = _smpl24()
"""From SMPL's joints; thumbs are absent."""

FROM_BODY25 = _body25()
"""From OpenPose's joints; hands, hand tips and thumbs are absent."""

FROM_KINECT = _map(
    "kinect", kinect25.NAMES, _exact(*((name, i) for i, name in enumerate(kinect25.NAMES)))
)
"""From Kinect files of a scene that was not mirrored."""

FROM_MIRRORED_KINECT = _map(
    "ntu", kinect25.NAMES, _exact(*zip(kinect25.NAMES, kinect25.FLIP, strict=True))
)
"""From NTU `.skeleton` and UESTC files for use with SURREACT: the images were mirrored, so left and right change places
(spec surreact, section 8.4); coordinates then go from (x, y, z) to (x, -y, z)."""

MIRRORED_AXES = np.array([1.0, -1.0, 1.0])
"""Kinect camera axes (y up) to OpenCV axes of the mirrored picture."""
