"""Class tables that are long: each name under its number, as the specifications print them."""

import pytest

from pvit_converters.hypersim.nyu40 import NYU40
from pvit_converters.surreact.classes import ACTIONS, NTU60, UESTC40

NTU = """
0 drink water | 1 eat meal/snack | 2 brushing teeth | 3 brushing hair | 4 drop | 5 pickup | 6 throw |
7 sitting down | 8 standing up | 9 clapping | 10 reading | 11 writing | 12 tear up paper | 13 wear jacket |
14 take off jacket | 15 wear a shoe | 16 take off a shoe | 17 wear on glasses | 18 take off glasses |
19 put on a hat/cap | 20 take off a hat/cap | 21 cheer up | 22 hand waving | 23 kicking something |
24 reach into pocket | 25 hopping | 26 jump up | 27 make a phone call | 28 playing with phone/tablet |
29 typing on a keyboard | 30 pointing to something with finger | 31 taking a selfie | 32 check time |
33 rub two hands together | 34 nod head/bow | 35 shake head | 36 wipe face | 37 salute |
38 put the palms together | 39 cross hands in front | 40 sneeze/cough | 41 staggering | 42 falling |
43 touch head | 44 touch chest | 45 touch back | 46 touch neck | 47 nausea or vomiting | 48 use a fan |
49 punching/slapping other person | 50 kicking other person | 51 pushing other person |
52 pat on back of other person | 53 point finger at the other person | 54 hugging other person |
55 giving something to other person | 56 touch other person's pocket | 57 handshaking |
58 walking towards each other | 59 walking apart from each other
"""

UESTC = """
0 punching and knee lifting | 1 marking time and knee lifting | 2 jumping jack | 3 squatting | 4 forward lunging
| 5 left lunging | 6 left stretching | 7 raising hand and jumping | 8 left kicking | 9 rotation clapping |
10 front raising | 11 pulling chest expanders | 12 punching | 13 wrist circling | 14 single dumbbell raising |
15 shoulder raising | 16 elbow circling | 17 dumbbell one-arm shoulder pressing | 18 arm circling |
19 dumbbell shrugging | 20 pinching back | 21 head anticlockwise circling | 22 shoulder abduction |
23 deltoid muscle stretching | 24 straight forward flexion | 25 spinal stretching | 26 dumbbell side bend |
27 standing opposite elbow-to-knee crunch | 28 standing rotation | 29 overhead stretching |
30 upper back stretching | 31 knee to chest | 32 knee circling | 33 alternate knee lifting | 34 bent over twist
| 35 rope skipping | 36 standing toe touches | 37 standing gastrocnemius calf stretch | 38
single-leg lateral hopping | 39 high knees running
"""

NYU = """
1 wall | 2 floor | 3 cabinet | 4 bed | 5 chair | 6 sofa | 7 table | 8 door | 9 window | 10 bookshelf |
11 picture | 12 counter | 13 blinds | 14 desk | 15 shelves | 16 curtain | 17 dresser | 18 pillow | 19 mirror |
20 floormat | 21 clothes | 22 ceiling | 23 books | 24 refrigerator | 25 television | 26 paper | 27 towel |
28 showercurtain | 29 box | 30 whiteboard | 31 person | 32 nightstand | 33 toilet | 34 sink | 35 lamp |
36 bathtub | 37 bag | 38 otherstructure | 39 otherfurniture | 40 otherprop
"""


def parse(text: str) -> dict[int, str]:
    rows = [" ".join(row.split()).split(" ", 1) for row in text.split("|")]
    return {int(number): name for number, name in rows}


@pytest.mark.parametrize(
    ("text", "names", "first"), [(NTU, NTU60, 0), (UESTC, UESTC40, 0), (NYU, NYU40.classes, NYU40.first)]
)
def test_every_name_has_its_number(text: str, names: tuple[str, ...], first: int) -> None:
    assert parse(text) == dict(enumerate(names, first))


def test_the_two_sets_of_surreact_do_not_collide() -> None:
    assert ACTIONS.classes == tuple(f"ntu60: {n}" for n in NTU60) + tuple(f"uestc40: {n}" for n in UESTC40)
    assert len(set(ACTIONS.classes)) == 100
