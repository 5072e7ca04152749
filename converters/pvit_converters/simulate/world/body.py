"""An articulated person: a few motion parameters in, joints in three joint sets and capsules out.

Joints are constructed once per name (`Body.joints`); SMPL-24, Kinect v2 and OpenPose BODY_25 are orders over these
names. Bone lengths are constant over time. Sizes are those of a 1.72 m adult times `size`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pvit_converters.simulate.world.scene import Colour, Material, Primitive, capsule_between, unit

Array = np.ndarray

SMPL = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot",
    "r_foot", "neck", "l_collar", "r_collar", "skull", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist",
    "r_wrist", "l_hand", "r_hand",
)  # fmt: skip
"""The 24 SMPL joints in SMPL order (smplx, joint_names.py)."""

KINECT = (
    "pelvis", "spine1", "neck", "head", "l_shoulder", "l_elbow", "l_wrist", "l_hand", "r_shoulder", "r_elbow",
    "r_wrist", "r_hand", "l_hip", "l_knee", "l_ankle", "l_foot", "r_hip", "r_knee", "r_ankle", "r_foot", "chest",
    "l_tip", "l_thumb", "r_tip", "r_thumb",
)  # fmt: skip
"""The 25 Kinect v2 joints in Kinect order (Microsoft, JointType)."""

BODY25 = (
    "nose", "chest", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist", "pelvis", "r_hip",
    "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "r_eye", "l_eye", "r_ear", "l_ear", "l_toe", "l_small_toe",
    "l_heel", "r_toe", "r_small_toe", "r_heel",
)  # fmt: skip
"""The 25 OpenPose BODY_25 joints in OpenPose order."""

UPPER_ARM, FOREARM, THIGH, SHIN = 0.28, 0.25, 0.41, 0.42

_LIMBS = (
    ("l_hip", "r_hip", 0.105, 1, "trousers"), ("pelvis", "spine1", 0.12, 4, "shirt"),
    ("spine1", "spine2", 0.125, 7, "shirt"), ("spine2", "spine3", 0.13, 10, "shirt"),
    ("l_collar", "l_shoulder", 0.075, 14, "shirt"), ("r_collar", "r_shoulder", 0.075, 15, "shirt"),
    ("spine3", "neck", 0.06, 13, "skin"), ("skull", "crown", 0.09, 16, "skin"),
    ("l_hip", "l_knee", 0.075, 2, "trousers"), ("r_hip", "r_knee", 0.075, 3, "trousers"),
    ("l_knee", "l_ankle", 0.055, 5, "trousers"), ("r_knee", "r_ankle", 0.055, 6, "trousers"),
    ("l_ankle", "l_foot", 0.045, 8, "shoes"), ("r_ankle", "r_foot", 0.045, 9, "shoes"),
    ("l_foot", "l_toe", 0.035, 11, "shoes"), ("r_foot", "r_toe", 0.035, 12, "shoes"),
    ("l_shoulder", "l_elbow", 0.05, 17, "shirt"), ("r_shoulder", "r_elbow", 0.05, 18, "shirt"),
    ("l_elbow", "l_wrist", 0.04, 19, "skin"), ("r_elbow", "r_wrist", 0.04, 20, "skin"),
    ("l_wrist", "l_hand", 0.038, 21, "skin"), ("r_wrist", "r_hand", 0.038, 22, "skin"),
    ("l_hand", "l_tip", 0.026, 23, "skin"), ("r_hand", "r_tip", 0.026, 24, "skin"),
)  # fmt: skip
"""Capsules: two joints, radius in metres, SMPL part 1..24 (SURREACT's segmentation ids), garment."""


@dataclass(frozen=True)
class Motion:
    """What a person does, over T frames.

    Args:
        ground: where it stands, world metres, (T,3).
        heading: direction it faces, radians about z from +x, (T,).
        lean: forward bow of the upper body, radians, (T,); negative = backwards.
        crouch: how far the pelvis sinks, metres, (T,).
        feet: how far the feet rest before the pelvis, metres, (T,); 0 = standing.
        stride: phase of the walking cycle, radians, (T,); `step` its length in metres, 0 = no walk.
        left, right: targets of the hands in metres relative to the shoulder (forward, left, up), (T,3).
        size: scale of the whole body.
    """

    ground: Float[np.ndarray, "t 3"]
    heading: Float[np.ndarray, "t"]
    lean: Float[np.ndarray, "t"]
    crouch: Float[np.ndarray, "t"]
    feet: Float[np.ndarray, "t"]
    stride: Float[np.ndarray, "t"]
    step: float
    left: Float[np.ndarray, "t 3"]
    right: Float[np.ndarray, "t 3"]
    size: float = 1.0


@dataclass(frozen=True)
class Body:
    """Joints by name, each (T,3) in world metres."""

    joints: Mapping[str, Float[np.ndarray, "t 3"]]
    size: float

    def ordered(self, names: tuple[str, ...]) -> Float[np.ndarray, "t j 3"]:
        """Joints in one of the orders `SMPL`, `KINECT`, `BODY25`; world metres."""
        return np.stack([self.joints[n] for n in names], 1)


def _bend(a: Array, target: Array, first: float, second: float, pole: Array) -> tuple[Array, Array]:
    """Two bones from `a` towards `target`: the middle joint, bent towards `pole`, and the end."""
    reach = target - a
    length = np.sqrt((reach * reach).sum(-1, keepdims=True))
    direction = reach / np.maximum(length, 1e-9)
    length = np.clip(length, abs(first - second) + 0.02, first + second - 1e-3)
    along = (first * first - second * second + length * length) / (2 * length)
    side = unit(pole - (pole * direction).sum(-1, keepdims=True) * direction)
    middle = a + along * direction + np.sqrt(np.maximum(first * first - along * along, 0)) * side
    return middle, a + length * direction


def _torso(m: Motion, forward: Array, left: Array) -> dict[str, Array]:
    """Everything between pelvis and crown, bowed forward by `lean`."""
    s = m.size
    up = np.broadcast_to([0.0, 0.0, 1.0], forward.shape)
    bob = 0.02 * np.cos(2 * m.stride) * (m.step > 0)
    pelvis = m.ground + up * (0.94 * s - 0.02 * s - m.crouch + bob)[:, None]
    c, q = np.cos(m.lean)[:, None], np.sin(m.lean)[:, None]
    spine, front = c * up + q * forward, c * forward - q * up
    joints = {"pelvis": pelvis}
    rise = {"spine1": 0.12, "spine2": 0.25, "spine3": 0.31, "neck": 0.52}
    joints |= {name: pelvis + spine * h * s for name, h in rise.items()}
    for side, sign in (("l", 1), ("r", -1)):
        joints[f"{side}_hip"] = pelvis + (left * sign * 0.085 - up * 0.06) * s
        joints[f"{side}_collar"] = pelvis + (spine * 0.44 + left * sign * 0.07) * s
        joints[f"{side}_shoulder"] = pelvis + (spine * 0.46 + left * sign * 0.18) * s
    joints["chest"] = (joints["l_shoulder"] + joints["r_shoulder"]) / 2
    skull = joints["skull"] = pelvis + (spine * 0.60 + front * 0.02) * s
    joints["head"] = skull + (skull - joints["neck"]) * 0.5
    joints["crown"] = skull + spine * 0.09 * s
    joints["nose"] = skull + (spine * 0.03 + front * 0.09) * s
    for side, sign in (("l", 1), ("r", -1)):
        joints[f"{side}_eye"] = skull + (spine * 0.06 + front * 0.08 + left * sign * 0.03) * s
        joints[f"{side}_ear"] = skull + (spine * 0.04 + left * sign * 0.085) * s
    return joints


def _leg(m: Motion, joints: dict[str, Array], side: str, forward: Array, left: Array) -> None:
    s, sign = m.size, 1 if side == "l" else -1
    phase = m.stride + (0 if sign > 0 else np.pi)
    up = np.array([0.0, 0.0, 1.0])
    lift = np.maximum(np.sin(phase), 0) * 0.10 * (m.step > 0)
    ahead = m.feet + m.step / 2 * np.cos(phase)
    ground = m.ground + forward * ahead[:, None] + left * sign * 0.10 * s
    ankle = ground + up * (0.08 * s + lift[:, None])
    pole = forward + up * m.feet[:, None] + left * sign * 0.15
    knee, ankle = _bend(joints[f"{side}_hip"], ankle, THIGH * s, SHIN * s, pole)
    joints |= {f"{side}_knee": knee, f"{side}_ankle": ankle}
    joints[f"{side}_foot"] = ankle + (forward * 0.13 - up * 0.05) * s
    joints[f"{side}_toe"] = ankle + (forward * 0.20 - up * 0.055) * s
    joints[f"{side}_small_toe"] = ankle + (forward * 0.17 + left * sign * 0.05 - up * 0.055) * s
    joints[f"{side}_heel"] = ankle + (-forward * 0.05 - up * 0.06) * s


def _arm(m: Motion, joints: dict[str, Array], side: str, forward: Array, left: Array) -> None:
    s, sign = m.size, 1 if side == "l" else -1
    local = m.left if side == "l" else m.right
    shoulder = joints[f"{side}_shoulder"]
    up = np.array([0.0, 0.0, 1.0])
    target = shoulder + forward * local[:, :1] + left * local[:, 1:2] + up * local[:, 2:]
    elbow, wrist = _bend(
        shoulder, target, UPPER_ARM * s, FOREARM * s, left * sign * 0.6 - forward * 0.4 - up * 0.6
    )
    along = unit(wrist - elbow)
    across = unit(np.cross(along, up + 0.3 * forward))
    joints |= {
        f"{side}_elbow": elbow,
        f"{side}_wrist": wrist,
        f"{side}_hand": wrist + along * 0.08 * s,
    }
    joints[f"{side}_tip"] = wrist + along * 0.13 * s
    joints[f"{side}_thumb"] = wrist + (along * 0.06 - across * sign * 0.04) * s


def body(motion: Motion) -> Body:
    """Poses the person."""
    forward = np.stack(
        [np.cos(motion.heading), np.sin(motion.heading), np.zeros_like(motion.heading)], -1
    )
    left = np.stack([-forward[:, 1], forward[:, 0], np.zeros_like(motion.heading)], -1)
    joints = _torso(motion, forward, left)
    for side in ("l", "r"):
        _leg(motion, joints, side, forward, left)
        _arm(motion, joints, side, forward, left)
    return Body(joints, motion.size)


def solids(
    person: Body, clothes: Mapping[str, Colour], class_id: int, instance: int
) -> tuple[Primitive, ...]:
    """The person's 24 capsules; `clothes` gives linear colours of shirt, trousers, shoes and skin."""
    out = []
    for a, b, radius, part, garment in _LIMBS:
        pose, half = capsule_between(person.joints[a], person.joints[b], radius * person.size)
        shadow = 0.35 if part in (8, 9) else 0.0
        out.append(
            Primitive(
                "capsule", pose, half, Material(clothes[garment]), class_id, instance, part, shadow
            )
        )
    return tuple(out)


def idle(
    ground: Float[np.ndarray, "t 3"],
    heading: Float[np.ndarray, "t"],
    rng: np.random.Generator,
    size: float = 1.0,
) -> Motion:
    """A person standing still with hanging arms that sway a little."""
    t = len(ground)
    zero = np.zeros(t)
    sway = 0.04 * np.sin(np.linspace(0, 3, t) + rng.uniform(0, 6))[:, None] * [1.0, 0.3, 0.2]
    left, right = [0.05, 0.10, -0.47], [0.05, -0.10, -0.47]
    return Motion(
        ground,
        heading,
        zero,
        zero,
        zero,
        zero,
        0.0,
        (left + sway) * size,
        (right - sway) * size,
        size,
    )


def clothes(rng: np.random.Generator, dull: bool = False) -> dict[str, Colour]:
    """Random linear colours of the garments; dull ones are nearly grey."""

    def colour() -> Colour:
        grey = rng.uniform(0.05, 0.5)
        r, g, b = grey + rng.uniform(-1, 1, 3) * (0.1 * grey if dull else 0.25)
        return (max(r, 0.02), max(g, 0.02), max(b, 0.02))

    tone = rng.uniform(0.15, 0.7)
    skin = (tone, tone * 0.68, tone * 0.52)
    return {"shirt": colour(), "trousers": colour(), "shoes": colour(), "skin": skin}
