"""SynADL's names, JSON forms and pairing of frames (spec synadl), without any tree."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_converters.synadl.actions import NAMES as ACTIONS
from pvit_converters.synadl.layout import STEM, kind_of
from pvit_converters.synadl.pairing import pair_frames
from pvit_converters.synadl.skeleton import parse_skeleton
from pvit_data.errors import SourceError

OFFICIAL = """
1 eating food with a fork|20 putting on/taking off shoes|39 clapping
2 pouring water into a cup|21 putting on/taking off glasses|40 rubbing face with hands
3 taking medicine|22 washing the dishes|41 doing freehand exercise
4 drinking water|23 vacuuming the floor|42 doing neck roll exercise
5 putting food in the fridge / taking food from the fridge|24 scrubbing the floor with a rag
6 trimming vegetables|25 wiping off the dining table|43 massaging a shoulder oneself|44 taking a bow
7 peeling fruit|26 rubbing up furniture|45 talking to each other
8 using a gas stove|27 spreading / folding bedding|46 handshaking
9 cutting vegetable on the board|28 washing a towel by hands|47 hugging each other
10 brushing teeth|29 hanging out laundry|48 fighting each other
11 washing hands|30 looking around for something|49 waving a hand
12 washing face|31 using a remote control|50 flapping a hand up and down (beckoning)
13 wiping face with a towel|32 reading a book|51 pointing with a finger
14 putting on cosmetics|33 reading a newspaper|52 opening the door and walking in
15 putting on lipstick|34 handwriting|53 fallen on the floor
16 brushing hair|35 talking on the phone|54 sitting up/standing up
17 blow drying hair|36 playing with a mobile phone|55 lying down
18 putting on a jacket|37 using a computer
19 taking off a jacket|38 smoking
"""


def test_actions_are_the_published_ones() -> None:
    rows = [row.split(" ", 1) for line in OFFICIAL.strip().splitlines() for row in line.split("|")]
    assert len(rows) == len(ACTIONS) == 55
    assert {int(number): name for number, name in rows} == dict(enumerate(ACTIONS, 1))


@pytest.mark.parametrize(
    "name", ["A001_P101_G001_C001.avi", "A055_P115_G020_C028_rgb.avi", "A023_P102_G003_C021 (1).json"]
)
def test_file_names(name: str) -> None:
    assert STEM.match(name)
    assert not STEM.match(name.lower())
    assert not STEM.match(f"x{name}")


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("RGB/A.avi", "rgb"), ("Openpose/2DJ/A.json", "op2d"), ("OpenPose/3DJ/A.json", "op3d"),
        ("kinect/2D/A.json", "k2d"), ("data/KINECT_joints/3dj_all/x/A.json", "k3d"), ("3DJ/A.json", None),
        ("Kinect/A.json", None), ("OpenPose.zip!Openpose/3DJ/A.json", "op3d"),
    ],
)  # fmt: skip
def test_folders(place: str, kind: str | None) -> None:
    assert kind_of(place, Path(place).suffix, {}) == kind


@pytest.mark.parametrize(
    ("pose", "score"),
    [
        (lambda j: j.ravel().tolist(), None),
        (lambda j: j.tolist(), None),
        (lambda j: [dict(zip("xyz", p, strict=True)) for p in j.tolist()], None),
        (lambda j: np.concatenate([j, np.full((25, 1), 2.0)], 1).ravel().tolist(), None),
        (lambda j: np.concatenate([j, np.zeros((25, 1))], 1).tolist(), [1] * 25),
    ],
)
def test_pose_forms(pose: Any, score: Any) -> None:
    joints = np.random.default_rng(0).normal(size=(25, 3))
    entry = {"pose": pose(joints)} | ({} if score is None else {"score": score})
    found = parse_skeleton(json.dumps({"data": [{"frame_index": "7", "skeleton": [entry]}]}).encode(), "x.json", 3)
    np.testing.assert_allclose(found.joints[0, 0], joints)
    assert found.index.tolist() == [7]
    assert found.visible.all()


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{}", '{"data": 3}', '{"data": [{"frame_index": 1}]}', '{"data": [{"skeleton": [{"pose": [1, 2, 3]}]}]}',
        '{"data": [{"skeleton": [{"pose": ' + str([0] * 75) + ', "score": [1]}]}]}', '{"data": [{"skeleton": 5}]}',
        '{"data": [{"frame_index": "x", "skeleton": []}]}', '{"data": [{"skeleton": [{"pose": {"a": 1}}]}]}',
        '{"data": [{"skeleton": ' + str([{"pose": []}] * 40).replace("'", '"') + "}]}",
        '{"data": [{"skeleton": [{"pose": ["a"]}]}]}',
    ],
)  # fmt: skip
def test_other_forms_are_shown(text: str) -> None:
    with pytest.raises(SourceError, match=r"x.json: not a skeleton file .*: (keys|a list).*first pose") as error:
        parse_skeleton(text.encode(), "x.json", 3)
    assert error.value.reason == "bad-skeleton"


@pytest.mark.parametrize("text", ["", "{", '{"data": [', "[" * 100_000, "\x00\x01", '{"data": [{"skele'])
def test_damaged_json_is_named(text: str) -> None:
    with pytest.raises(SourceError, match=r"x.json") as error:
        parse_skeleton(text.encode(), "x.json", 3)
    assert error.value.reason == "bad-json"


def test_pairing_of_lengths() -> None:
    whole = np.arange(5)
    assert pair_frames(5, whole + 3, "x", allow_mismatch=False).tolist() == [0, 1, 2, 3, 4]
    assert pair_frames(5, whole * 7, "x", allow_mismatch=False).tolist() == [0, 1, 2, 3, 4], (
        "equal lengths pair by place"
    )
    assert pair_frames(6, np.array([1, 2, 4, 5, 6]), "x", allow_mismatch=False).tolist() == [0, 1, 3, 4, 5]
    assert pair_frames(4, whole, "x", allow_mismatch=False).tolist() == [0, 1, 2, 3, -1]
    for frames, index in ((8, whole), (2, whole), (6, whole * 2)):
        with pytest.raises(
            SourceError, match=rf"the video has {frames} frames, the skeleton 5 \(index 0..\d step \d\)"
        ):
            pair_frames(frames, index, "x", allow_mismatch=False)
        found = pair_frames(frames, index, "x", allow_mismatch=True)
        assert found.tolist() == [i if i < frames else -1 for i in range(5)]
