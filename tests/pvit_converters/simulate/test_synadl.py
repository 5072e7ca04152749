"""The simulated SynADL tree: JSON forms, axes and units, and the translation that 2D joints give back."""

import json
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pvit_converters.simulate import simulate
from pvit_converters.simulate.synadl import ClipTask
from pvit_data.errors import UsageError


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("synadl")
    simulate("synadl", folder / "raw", samples=12, preset="tiny", truth=folder / "truth")
    return folder / "raw", folder / "truth"


def load(path: Path) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["data"]
    return value


def numbers(person: dict[str, Any], per_joint: int) -> np.ndarray:
    flat = np.array(person["pose"], float).reshape(25, -1)
    return flat[:, :per_joint]


def test_every_file_goes_back_to_the_true_joints(tree: tuple[Path, Path]) -> None:
    """Centimetres, y up; the constant translation from least squares over 2D joints (spec synadl, section 5.5)."""
    seen = 0
    for path in sorted(tree[1].glob("*.npz")):
        exact = np.load(path)
        for folder, name in (("Openpose", "body25"), ("Kinect", "kinect")):
            files = [tree[0] / folder / kind / f"{path.stem}.json" for kind in ("2DJ", "3DJ")]
            if not files[0].exists():
                continue
            two, three = map(load, files)
            rows, right, points = [], [], []
            for flat, solid in zip(two, three, strict=True):
                assert flat["frame_index"] == solid["frame_index"]
                for a, b in zip(flat["skeleton"], solid["skeleton"], strict=True):
                    uv, p = numbers(a, 2), numbers(b, 3) * [0.01, -0.01, 0.01]
                    points.append(p)
                    for (u, v), (x, y, z) in zip(uv, p, strict=True):
                        if np.isfinite([x, y, z]).all():
                            rows += [[320, 0, -(u - 320)], [0, 320, -(v - 180)]]
                            right += [(u - 320) * z - 320 * x, (v - 180) * z - 320 * y]
            shift = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
            assert np.abs(shift).max() > 0.01, "the raw translation is off"
            want = exact[name].reshape(-1, 25, 3)
            kept = [
                i
                for t, f in enumerate(three)
                for i in range(t * exact[name].shape[1], t * exact[name].shape[1] + len(f["skeleton"]))
            ]
            got = np.array(points) + shift
            ok = np.isfinite(got)
            np.testing.assert_allclose(got[ok], want[kept][ok], atol=1e-3)
            seen += 1
    assert seen == 22


def test_cameras_share_the_pose_and_kinect_agrees_with_openpose(tree: tuple[Path, Path]) -> None:
    one, nine = (np.load(next(tree[1].glob(f"A001_*_C{c:03d}.npz"))) for c in (1, 9))
    assert np.abs(one["kinect"] - nine["kinect"]).max() > 0.2
    a, b = (np.linalg.norm(e["kinect"][:, :, :, None] - e["kinect"][:, :, None], axis=-1) for e in (one, nine))
    np.testing.assert_allclose(a, b, atol=1e-5)
    kinect, body25 = [4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18], [5, 6, 7, 2, 3, 4, 12, 13, 14, 9, 10, 11]
    np.testing.assert_allclose(one["kinect"][:, :, kinect], one["body25"][:, :, body25])


def test_videos_and_forms(tree: tuple[Path, Path]) -> None:
    lengths = {}
    for path in sorted((tree[0] / "RGB").iterdir()):
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            lengths[path.stem] = sum(1 for _ in file.decode(stream))
            assert (stream.width, stream.height, stream.average_rate) == (640, 360, 20)
    assert sorted(lengths.values()) == [6] * 11 + [7]
    assert sum(not (tree[0] / f"Openpose/3DJ/{s[:19]}.json").exists() for s in lengths) == 1
    assert sum(len(s) > 19 for s in lengths) == 1
    forms, indices, people = set(), set(), set()
    for path in sorted((tree[0] / "Kinect/3DJ").iterdir()):
        data = load(path)
        indices.add(str(data[0]["frame_index"]) + type(data[0]["frame_index"]).__name__)
        people |= {len(f["skeleton"]) for f in data}
        first = next(f["skeleton"][0] for f in data if f["skeleton"])
        forms.add((len(first["pose"]), "score" in first))
    assert forms == {(75, True), (25, False), (100, True)}
    assert indices == {"0int", "1int", "0str"}
    assert people == {0, 1, 2}
    scores = [
        s for p in (tree[0] / "Openpose/2DJ").iterdir() for f in load(p) for q in f["skeleton"] for s in q["score"]
    ]
    assert set(scores) == {0.0, 1.0}


def test_without_kinect_files(tmp_path: Path) -> None:
    simulate("synadl", tmp_path / "raw", samples=1, preset="tiny", kinect=False)
    assert sorted(p.name for p in (tmp_path / "raw").iterdir()) == ["Openpose", "RGB"]


def test_every_video_has_a_name_of_its_own(tmp_path: Path) -> None:
    """All takes of all persons: no video overwrites another, and more than names are refused."""
    stems = {ClipTask(i, i // 2, (1, 9)[i % 2], tmp_path, 0, 4, 8, False, None).stem for i in range(3600)}
    assert len(stems) == 3600
    assert all(re.fullmatch(r"A(001|046|022|054|016|048)_P1(0[1-9]|1[0-5])_G0([01]\d|20)_C00[19]", s) for s in stems)
    with pytest.raises(UsageError, match="only 3600 have names"):
        simulate("synadl", tmp_path / "raw", samples=3601, preset="tiny")
    with pytest.raises(UsageError, match="from 1 to 55"):
        simulate("synadl", tmp_path / "raw", samples=2, preset="tiny", actions=(56,))


def test_people_face_the_cameras_on_request(tmp_path: Path) -> None:
    """In Kinect order 4 and 8 are the shoulders: from in front the left one is on the right of the picture."""
    simulate("synadl", tmp_path / "raw", samples=8, preset="tiny", truth=tmp_path / "truth", actions=(1,), facing=10)
    for path in (tmp_path / "truth").glob("*.npz"):
        joints = np.load(path)["kinect"][:, 0]
        assert (joints[:, 4, 0] > joints[:, 8, 0]).all()
