"""A SURREACT tree written by hand in the shapes of the release's readme, and checked with the spec's own formulas."""

import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy.io import savemat

from pvit_converters.surreact import SurreactConverter, SurreactOptions
from pvit_data.errors import SourceError
from pvit_data.sample.sample import EncodedMedia, Sample

# SMPL's 24 joints of somebody who stands: x right, y to the front camera, z down, metres; the pelvis is at (0, 0, 1).
BODY = np.array([
    [0, 0, 1], [-0.1, 0, 1.08], [0.1, 0, 1.08], [0, 0, 0.9], [-0.1, 0, 1.5], [0.1, 0, 1.5], [0, 0, 0.78],
    [-0.1, 0, 1.9], [0.1, 0, 1.9], [0, 0, 0.7], [-0.1, 0.15, 1.95], [0.1, 0.15, 1.95], [0, 0, 0.5], [-0.08, 0, 0.58],
    [0.08, 0, 0.58], [0, 0.02, 0.4], [-0.18, 0, 0.56], [0.18, 0, 0.56], [-0.45, 0, 0.6], [0.45, 0, 0.6],
    [-0.7, 0, 0.55], [0.7, 0, 0.55], [-0.78, 0.02, 0.54], [0.78, 0.02, 0.54],
])  # fmt: skip

DISTANCE, HEIGHT, FRAMES = 5.2, 1.7, 6


def camera(view: float) -> tuple[np.ndarray, np.ndarray]:
    """R and t of spec surreact, section 6."""
    th, ph = np.radians(view), np.arctan((HEIGHT - 1) / DISTANCE)
    s, c, sp, cp = np.sin(th), np.cos(th), np.sin(ph), np.cos(ph)
    R = np.array([[c, -s, 0], [-sp * s, -sp * c, cp], [-cp * s, -cp * c, -sp]])
    return R, -R @ np.array([DISTANCE * s, DISTANCE * c, HEIGHT])


def motion(metres: float = 0.1) -> np.ndarray:
    """(T,24,3): the body sways."""
    sway = metres * np.sin(np.arange(FRAMES))[:, None, None] * (2 - BODY[None, :, 2:]) * np.array([1.0, 0.5, 0.0])
    return BODY[None] + sway


def write(root: Path, view: int, rows: str, metres: float = 0.1, **change: Any) -> np.ndarray:
    """One clip of one person without person axis; returns its joints in the camera."""
    name = f"a25_d1_p048_c1_color.avi_v{view:03d}_r00"
    folder = root / "surreact_uestc_hmmr/train/a25_d1_p048_c1_color.avi"
    folder.mkdir(parents=True, exist_ok=True)
    R, t = camera(view)
    seen = motion(metres) @ R.T + t
    uv = 600 * seen[..., :2] / seen[..., 2:] + [160, 120]
    stored = uv if rows == "top" else np.stack([uv[..., 0], 240 - uv[..., 1]], -1)
    values = {
        "joints2D": np.round(stored).transpose(2, 1, 0).astype(np.float32),
        "joints3D": motion(metres).transpose(2, 1, 0).astype(np.float32),
        "pose": np.zeros((72, FRAMES), np.float32), "shape": np.zeros(10, np.float32), "gender": np.uint8(1),
        "zrot_euler": np.float32(0), "cam_dist": np.float32(DISTANCE), "cam_height": np.float32(HEIGHT),
        "light": np.zeros(9, np.float32), "bg": "/sequoia/x.jpg", "cloth": ["/a/b.jpg", "/a/bcd.jpg"],
        "sequence": "a25_d1_p048_c1_color.avi", "source": "hri40",
    }  # fmt: skip
    savemat(folder / f"{name}_info.mat", values | change, do_compression=True, oned_as="column")
    parts = np.zeros((FRAMES, 240, 320), np.uint8)
    for frame, points in enumerate(uv):
        for joint, (u, v) in enumerate(points):
            child = {16: 18, 17: 19}.get(joint, joint)  # an upper arm reaches from the shoulder to the elbow
            for k in np.linspace(0, 1, 8):
                x, y = ((1 - k) * points[joint] + k * points[child]).astype(int)
                parts[frame, y - 4 : y + 5, x - 4 : x + 5] = joint + 1
            assert 5 < u < 315
            assert 5 < v < 235
    savemat(folder / f"{name}_segm.mat", {f"segm_{i + 1}": p for i, p in enumerate(parts)}, do_compression=True)
    with av.open(str(folder / f"{name}.mp4"), "w") as file:
        stream: Any = file.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for i in range(FRAMES):
            picture = np.full((240, 320, 3), 30 * i, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    return seen


def convert(root: Path) -> tuple[list[Sample], list[str]]:
    converter = SurreactConverter(root, SurreactOptions())
    listing = converter.list_items()
    return [converter.load(item) for item in listing.items], listing.notes


@pytest.mark.parametrize("rows", ["top", "bottom"])
def test_a_set_in_the_readmes_shapes(tmp_path: Path, rows: str) -> None:
    truths = [write(tmp_path, view, rows) for view in (0, 90, 315)]
    samples, notes = convert(tmp_path)
    (note,) = [n for n in notes if n.startswith("check of uestc/hmmr, 3 clips")]
    assert f"the view of the file name, joints2D from the {rows}, median error 0." in note
    assert "head above pelvis in 100% of frames" in note
    assert re.search(r"100% of the joints on body parts .*, arms on their own side (\d) of \1$", note), note
    kinect = {0: 0, 2: 12, 4: 16, 5: 18, 6: 20, 7: 22, 8: 17, 9: 19, 10: 21, 11: 23, 12: 1, 13: 4, 14: 7, 15: 10,
              16: 2, 17: 5, 18: 8, 19: 11}  # fmt: skip
    for sample, seen, view in zip(samples, truths, (0, 90, 315), strict=True):
        assert sample.key == f"surreact-uestc-hmmr-a25_d1_p048_c1_color_v{view:03d}_r00"
        assert isinstance(sample.rgb, EncodedMedia)
        assert (sample.fps, sample.num_frames, sample.height, sample.width) == (30, FRAMES, 240, 320)
        assert sample.pose3d is not None
        assert sample.pose3d_valid is not None
        np.testing.assert_allclose(sample.pose3d[:, 0, list(kinect)], seen[:, list(kinect.values())], atol=1e-4)
        assert (sample.pose3d_valid[..., list(kinect)] == 2).all()
        assert (sample.pose3d_valid[..., [22, 24]] == 0).all(), "SMPL has no thumbs"
        np.testing.assert_allclose(sample.pose3d[:, 0, 3], 1.5 * seen[:, 15] - 0.5 * seen[:, 12], atol=1e-4)
        assert sample.segm is not None
        assert set(np.unique(sample.segm)) <= set(range(25))
        assert sample.action == 60 + 25
        assert sample.meta["action_label"] == "uestc40:25"
        assert sample.meta["gender"] == "male"
        assert sample.camera is not None
        assert sample.camera.K[0].tolist() == [[600, 0, 160], [0, 600, 120], [0, 0, 1]]


def test_a_clip_from_behind_is_not_taken_for_a_mirrored_front(tmp_path: Path) -> None:
    """One clip cannot decide; where rounding favours the mirror by a fraction of a pixel, the file name counts."""
    seen = write(tmp_path, 180, "bottom", 0.01)
    R, t = camera(0)
    front = motion(0.01) @ R.T + t
    mirrored = 600 * front[..., :2] / front[..., 2:] * [-1, 1] + [160, 120]
    behind = 600 * seen[..., :2] / seen[..., 2:] + [160, 120]
    assert 0 < np.median(np.hypot(*np.moveaxis(mirrored - behind, -1, 0))) < 0.5
    stored = np.stack([mirrored[..., 0], 240 - mirrored[..., 1]], -1).transpose(2, 1, 0)
    write(tmp_path, 180, "bottom", 0.01, joints2D=stored.astype(np.float32))
    (sample,), notes = convert(tmp_path)
    assert any("the view of the file name, joints2D from the bottom, median" in note for note in notes)
    assert sample.pose3d is not None
    np.testing.assert_allclose(sample.pose3d[:, 0, 0], seen[:, 0], atol=1e-4)


def test_variables_that_are_not_needed_may_have_any_shape(tmp_path: Path) -> None:
    write(tmp_path, 0, "bottom", pose=np.zeros((FRAMES, 24, 3)), shape=np.zeros(7), light="none")
    (sample,), _ = convert(tmp_path)
    assert sample.pose3d is not None
    converter = SurreactConverter(tmp_path, SurreactOptions(smpl_models=tmp_path))
    with pytest.raises(SourceError, match=r"_info.mat: pose has shape \(6, 24, 3\), expected"):
        converter.load(converter.list_items().items[0])


def test_info_longer_than_the_video_and_shorter(tmp_path: Path) -> None:
    """Both happen: a tail that was never filled, and a video that goes on."""
    rng = np.random.default_rng(0)
    tail = rng.normal(0, 1e9, (3, 24, 4)).astype(np.float32)
    joints = np.concatenate([motion().transpose(2, 1, 0).astype(np.float32), tail], -1)
    seen = write(tmp_path, 0, "bottom")
    uv = 600 * seen[..., :2] / seen[..., 2:] + [160, 120]
    flat = np.round(np.stack([uv[..., 0], 240 - uv[..., 1]], -1)).transpose(2, 1, 0).astype(np.float32)
    write(tmp_path, 0, "bottom", joints3D=joints, joints2D=np.concatenate([flat, tail[:2]], -1))
    write(tmp_path, 45, "bottom", joints3D=joints[..., :4], joints2D=np.zeros((2, 24, 4), np.float32))
    (long, short), _ = convert(tmp_path)
    assert long.pose3d is not None
    assert len(long.pose3d) == FRAMES
    np.testing.assert_allclose(long.pose3d[:, 0, 0], seen[:, 0], atol=1e-4)
    assert short.num_frames == FRAMES
    assert "lengths-of-files-differ" in short.meta["warnings"]
    assert short.frames["segm"].tolist() == [0, 1, 2, 3]
    assert short.pose3d is None
    assert "joints-do-not-project-left-out" in short.meta["warnings"]
