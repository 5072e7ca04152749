"""SURREACT's label spaces: actions of both sets in one (spec surreact, section 9), and body parts (section 5.1).

NTU's 60 and UESTC's 40 actions collide by number, so NTU keeps 0..59 and UESTC follows as 60..99; names carry the set.
Parts are the 24 of SMPL, or the authors' reduction to 14.
"""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import UInt8

from pvit_data.sample.labels import LabelSpace

_NTU = """drink water; eat meal/snack; brushing teeth; brushing hair; drop; pickup; throw; sitting down; standing up;
clapping; reading; writing; tear up paper; wear jacket; take off jacket; wear a shoe; take off a shoe; wear on
glasses; take off glasses; put on a hat/cap; take off a hat/cap; cheer up; hand waving; kicking something; reach into
pocket; hopping; jump up; make a phone call; playing with phone/tablet; typing on a keyboard; pointing to something
with finger; taking a selfie; check time; rub two hands together; nod head/bow; shake head; wipe face; salute; put
the palms together; cross hands in front; sneeze/cough; staggering; falling; touch head; touch chest; touch back;
touch neck; nausea or vomiting; use a fan; punching/slapping other person; kicking other person; pushing other
person; pat on back of other person; point finger at the other person; hugging other person; giving something to
other person; touch other person's pocket; handshaking; walking towards each other; walking apart from each other"""

_UESTC = """punching and knee lifting; marking time and knee lifting; jumping jack; squatting; forward lunging; left
lunging; left stretching; raising hand and jumping; left kicking; rotation clapping; front raising; pulling chest
expanders; punching; wrist circling; single dumbbell raising; shoulder raising; elbow circling; dumbbell one-arm
shoulder pressing; arm circling; dumbbell shrugging; pinching back; head anticlockwise circling; shoulder abduction;
deltoid muscle stretching; straight forward flexion; spinal stretching; dumbbell side bend; standing opposite
elbow-to-knee crunch; standing rotation; overhead stretching; upper back stretching; knee to chest; knee circling;
alternate knee lifting; bent over twist; rope skipping; standing toe touches; standing gastrocnemius calf stretch;
single-leg lateral hopping; high knees running"""


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(";"))


NTU60, UESTC40 = _names(_NTU), _names(_UESTC)

ACTIONS = LabelSpace(
    "surreact100", tuple(f"ntu60: {n}" for n in NTU60) + tuple(f"uestc40: {n}" for n in UESTC40)
)
"""0..59 NTU, 60..99 UESTC."""


def action_of(sequence: str) -> tuple[int | None, str]:
    """The id in `ACTIONS` and the label in its own set (`"ntu60:12"`) of a sequence name; None, "" if out of range."""
    if match := re.match(r"S\d{3}C\d{3}P\d{3}R\d{3}A(\d{3})\Z", sequence):
        label = int(match[1]) - 1
        return (label, f"ntu60:{label}") if 0 <= label < len(NTU60) else (None, "")
    match = re.match(r"a(\d+)_", sequence)
    label = int(match[1]) if match else -1
    return (len(NTU60) + label, f"uestc40:{label}") if 0 <= label < len(UESTC40) else (None, "")


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
