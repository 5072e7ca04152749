"""The action labels of SURREACT: NTU's 60 and UESTC's 40 classes in one space (spec surreact, section 9).

The two collide by number, so NTU keeps 0..59 and UESTC follows as 60..99; names carry the set.
"""

from __future__ import annotations

import re

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
