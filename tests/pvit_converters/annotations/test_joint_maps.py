"""Kinect-25 and the ways to it: the published tables, sides, derived joints, and what is missing."""

import numpy as np
import pytest

from pvit_converters.annotations import joint_maps as maps
from pvit_data.sample.kinect25 import FLIP, NAMES, PAIRS, PARENTS

AT = NAMES.index


def test_kinect_tables_are_the_published_ones() -> None:
    """Microsoft's JointType order and the parents of the SURREACT authors (spec surreact, section 8.1)."""
    text = """0 SpineBase, 1 SpineMid, 2 Neck, 3 Head, 4 ShoulderLeft, 5 ElbowLeft, 6 WristLeft, 7 HandLeft,
        8 ShoulderRight, 9 ElbowRight, 10 WristRight, 11 HandRight, 12 HipLeft, 13 KneeLeft, 14 AnkleLeft, 15 FootLeft,
        16 HipRight, 17 KneeRight, 18 AnkleRight, 19 FootRight, 20 SpineShoulder, 21 HandTipLeft, 22 ThumbLeft,
        23 HandTipRight, 24 ThumbRight"""
    rows = [part.split() for part in text.split(",")]
    assert {int(i): name for i, name in rows} == dict(enumerate(NAMES))
    parents = "-1 0 20 2 20 4 5 6 20 8 9 10 0 12 13 14 0 16 17 18 1 7 7 11 11"
    assert tuple(map(int, parents.split())) == PARENTS
    assert len(PAIRS) == 10
    assert [FLIP[FLIP[i]] for i in range(25)] == list(range(25))
    assert (FLIP[AT("ThumbLeft")], FLIP[AT("Neck")]) == (AT("ThumbRight"), AT("Neck"))


def test_smpl_tables_are_the_published_ones() -> None:
    text = """0 Pelvis, 1 L_Hip, 2 R_Hip, 3 Spine1, 4 L_Knee, 5 R_Knee, 6 Spine2, 7 L_Ankle, 8 R_Ankle, 9 Spine3,
        10 L_Foot, 11 R_Foot, 12 Neck, 13 L_Collar, 14 R_Collar, 15 Head, 16 L_Shoulder, 17 R_Shoulder, 18 L_Elbow,
        19 R_Elbow, 20 L_Wrist, 21 R_Wrist, 22 L_Hand, 23 R_Hand"""
    assert [part.split()[1] for part in text.split(",")] == list(maps.SMPL24)
    parents = "-1 0 0 0 1 2 3 4 5 6 7 8 9 9 9 12 13 14 16 17 18 19 20 21"
    assert tuple(map(int, parents.split())) == maps.SMPL24_PARENTS


def test_body25_is_the_published_order() -> None:
    text = """0 Nose, 1 Neck, 2 RShoulder, 3 RElbow, 4 RWrist, 5 LShoulder, 6 LElbow, 7 LWrist, 8 MidHip, 9 RHip,
        10 RKnee, 11 RAnkle, 12 LHip, 13 LKnee, 14 LAnkle, 15 REye, 16 LEye, 17 REar, 18 LEar, 19 LBigToe,
        20 LSmallToe, 21 LHeel, 22 RBigToe, 23 RSmallToe, 24 RHeel"""
    assert [part.split()[1] for part in text.split(",")] == list(maps.BODY25)


def test_from_smpl_joint_by_joint() -> None:
    joints = np.random.default_rng(0).normal(size=(4, 24, 3))
    out, valid = maps.FROM_SMPL24.apply(joints)
    same = {"SpineBase": 0, "Neck": 12, "SpineMid": 3}
    left = {"Shoulder": 16, "Elbow": 18, "Wrist": 20, "Hand": 22, "Hip": 1, "Knee": 4, "Ankle": 7, "Foot": 10}
    same |= {f"{name}Left": j for name, j in left.items()} | {f"{name}Right": j + 1 for name, j in left.items()}
    for name, joint in same.items():
        np.testing.assert_allclose(out[:, AT(name)], joints[:, joint], atol=1e-6)
        assert (valid[:, AT(name)] == (1 if name == "SpineMid" else 2)).all()
    head = joints[:, 15] + 0.5 * (joints[:, 15] - joints[:, 12])
    np.testing.assert_allclose(out[:, AT("Head")], head, atol=1e-6)
    np.testing.assert_allclose(out[:, AT("SpineShoulder")], joints[:, 16:18].mean(1), atol=1e-6)
    for side, hand, wrist in (("Left", 22, 20), ("Right", 23, 21)):
        way = out[:, AT(f"HandTip{side}")] - joints[:, hand]
        np.testing.assert_allclose(np.linalg.norm(way, axis=-1), 0.05, atol=1e-6)
        assert (np.cross(way, joints[:, hand] - joints[:, wrist]) < 1e-6).all()
        assert not valid[:, AT(f"Thumb{side}")].any()
    assert (valid[:, [AT("Head"), AT("SpineShoulder"), AT("HandTipLeft")]] == 1).all()
    assert np.bincount(maps.FROM_SMPL24.quality()).tolist() == [2, 5, 18]


def test_the_authors_table_names_the_same_joints_with_sides_exchanged() -> None:
    """Their Kinect joint (1-based) of every SMPL joint (spec surreact, section 8.2), for those with a counterpart."""
    text = "1 17 13 2 18 14 21 19 15 21 20 16 3 9 5 4 9 5 10 6 12 8 24 22"
    theirs = [int(v) - 1 for v in text.split()]
    assert len(theirs) == 24
    for smpl in (0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 16, 17, 18, 19):
        ours = next(
            i for i, rule in enumerate(maps.FROM_SMPL24.rules) if rule.choices == (((smpl, 1.0),),) and not rule.beyond
        )
        assert theirs[smpl] == FLIP[ours], maps.SMPL24[smpl]


def test_from_openpose_joint_by_joint() -> None:
    joints = np.random.default_rng(1).normal(size=(25, 3))
    out, valid = maps.FROM_BODY25.apply(joints)
    table = {0: 8, 2: 1, 20: 1, 4: 5, 5: 6, 6: 7, 8: 2, 9: 3, 10: 4, 12: 12, 13: 13, 14: 14, 16: 9, 17: 10, 18: 11,
             15: 19, 19: 22}  # fmt: skip
    for kinect, openpose in table.items():
        np.testing.assert_allclose(out[kinect], joints[openpose], atol=1e-6)
    np.testing.assert_allclose(out[1], joints[[8, 1]].mean(0), atol=1e-6)
    np.testing.assert_allclose(out[3], joints[[17, 18]].mean(0), atol=1e-6)
    assert {i for i in range(25) if valid[i] == 0} == {7, 11, 21, 22, 23, 24}
    assert {i for i in range(25) if valid[i] == 1} == {1, 2, 3, 15, 19}


def test_without_ears_the_head_is_the_nose() -> None:
    joints = np.random.default_rng(2).normal(size=(2, 25, 2))
    usable = np.ones((2, 25), bool)
    usable[0, 17] = False
    usable[1, [0, 17]] = False
    out, valid = maps.FROM_BODY25.apply(joints, usable)
    np.testing.assert_allclose(out[0, 3], joints[0, 0], atol=1e-6)
    assert valid[:, 3].tolist() == [1, 0]
    assert not out[1, 3].any()


def test_recordings_exchange_left_and_right() -> None:
    joints = np.random.default_rng(3).normal(size=(25, 3))
    out, valid = maps.FROM_MIRRORED_KINECT.apply(joints)
    np.testing.assert_allclose(out, joints[list(FLIP)], atol=1e-6)
    np.testing.assert_allclose(maps.FROM_KINECT.apply(joints)[0], joints, atol=1e-6)
    assert (valid == 2).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_unusable_joints_are_absent(bad: float) -> None:
    joints = np.ones((24, 3))
    joints[20] = bad
    out, valid = maps.FROM_SMPL24.apply(joints)
    assert np.isfinite(out).all()
    assert valid[[AT("WristLeft"), AT("HandTipLeft"), AT("HandLeft")]].tolist() == [0, 0, 2]
    assert not out[AT("WristLeft")].any()


def test_pixels_have_no_hand_tips() -> None:
    _, valid = maps.FROM_SMPL24.apply(np.random.default_rng(4).normal(size=(24, 2)))
    assert valid[[AT("HandTipLeft"), AT("Head"), AT("KneeLeft")]].tolist() == [0, 1, 2]
