"""Kinect recordings in their three forms, written here by hand from the dataset's descriptions."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from pvit_converters.annotations.kinect import find_recording, read_recording
from pvit_data.errors import SourceError

RNG = np.random.default_rng(0)
JOINTS = RNG.normal(size=(4, 25, 3)) * [0.2, 0.5, 0.2] + [0, 0, 3]


def body(name: str, joints: np.ndarray, state: int = 2) -> list[str]:
    rows = [" ".join(f"{v:.6f}" for v in p) + f" 250.1 nan 960.5 inf 0 0 0 0 {state}" for p in joints]
    return [f"{name} 0 1 1 1 1 0 0.01 -0.02 2", "25", *rows]


def write_ntu(path: Path, frames: list[list[list[str]]]) -> None:
    lines = [str(len(frames))]
    for bodies in frames:
        lines += [str(len(bodies)), *(line for lines_of in bodies for line in lines_of)]
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode())


def test_ntu_bodies_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    """Bodies swap order and vanish; ids of 17 digits differ in the last one only; furniture is wider than high."""
    path = tmp_path / "S001C001P001R001A001.skeleton"
    still = np.repeat(JOINTS[:1] + np.array([1, 0, 0]), 4, 0)
    chair = RNG.normal(size=(25, 3)) * [0.9, 0.1, 0.1] + [0, 0, 2]
    one, two, three = "72057594037931368", "72057594037931369", "72057594037931370"
    write_ntu(path, [
        [body(two, still[0]), body(one, JOINTS[0]), body(three, chair)],
        [body(one, JOINTS[1], 1), body(two, still[1])],
        [body(two, still[2])],
        [body(one, JOINTS[3]), body(two, still[3])],
    ])  # fmt: skip
    recording = read_recording(path)
    assert recording.joints.shape == (4, 2, 25, 3), "the chair is left out"
    np.testing.assert_allclose(recording.joints[[0, 1, 3], 0], JOINTS[[0, 1, 3]], atol=1e-6)
    np.testing.assert_allclose(recording.joints[:, 1], still, atol=1e-6)
    assert np.isnan(recording.joints[2, 0]).all()
    assert recording.state[:, 0, 0].tolist() == [2, 1, 0, 2]


def test_uestc_mat_forms(tmp_path: Path) -> None:
    for name, array in (("v", JOINTS.reshape(4, 75)), ("skel", JOINTS)):
        savemat(tmp_path / "x_skeleton.mat", {name: array})
        recording = read_recording(tmp_path / "x_skeleton.mat")
        np.testing.assert_allclose(recording.joints[:, 0], JOINTS)
        assert (recording.state == 2).all()
    savemat(tmp_path / "x_skeleton.mat", {"v": np.zeros((4, 60))})
    with pytest.raises(SourceError, match=r"'v' has shape \(4, 60\), expected \(T, 75\) or \(T, 25, 3\)"):
        read_recording(tmp_path / "x_skeleton.mat")
    savemat(tmp_path / "x_skeleton.mat", {"w": 1})
    with pytest.raises(SourceError, match="expected 'v' or 'skel'"):
        read_recording(tmp_path / "x_skeleton.mat")


def test_uestc_text(tmp_path: Path) -> None:
    path = tmp_path / "x_skeleton.txt"
    lines = []
    for n, frame in enumerate(JOINTS):
        lines.append(f"# {n}")
        for x, y, z in frame:
            lines += [f"{x:.6f} {y:.6f} {z:.6f} 0", "480.5 270.1 0 1", "250.0 210.0 0 2"]
    path.write_text("\n".join(lines))
    np.testing.assert_allclose(read_recording(path).joints[:, 0], JOINTS, atol=1e-6)
    path.write_text("\n".join(lines[:100]))
    with pytest.raises(SourceError, match="frame 1 has 8 joints, expected 25"):
        read_recording(path)


def test_damaged_recordings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.skeleton"
    write_ntu(path, [[body("1", JOINTS[0])]] * 4)
    text = path.read_bytes()
    for damage in (text[:700], b"", b"-1", b"4\r\n99", b"2\r\n1\r\nx", text.replace(b"\r\n25\r\n", b"\r\n24\r\n")):
        path.write_bytes(damage)
        with pytest.raises(SourceError, match=r"x.skeleton"):
            read_recording(path)
    write_ntu(path, [[], []])
    with pytest.raises(SourceError, match="no body in any frame") as error:
        read_recording(path)
    assert error.value.reason == "empty-skeleton"


def test_files_are_found_in_the_folder_or_the_archives_own(tmp_path: Path) -> None:
    assert find_recording(tmp_path, "a") is None
    for place in (
        "skeleton/a_skeleton.txt",
        "mat_from_skeleton/a_skeleton.mat",
        "nturgb+d_skeletons/a.skeleton",
        "a.skeleton",
    ):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
        assert find_recording(tmp_path, "a") == tmp_path / place
