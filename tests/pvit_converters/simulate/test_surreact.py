"""The simulated SURREACT tree: the spec's camera, array forms and traps, against the analytic truth."""

from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import loadmat

from pvit_converters.simulate import simulate
from pvit_converters.simulate.surreact import camera_of
from pvit_data.errors import UsageError
from pvit_data.sample.kinect25 import NAMES


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("surreact")
    simulate("surreact", folder / "raw", samples=20, preset="tiny", truth=folder / "truth", maps=True, skeletons=True)
    return folder / "raw", folder / "truth"


@pytest.mark.parametrize(
    ("view", "distance", "height", "camera", "pixel"),
    [
        (0, 5, 1, (0.3, -0.6, 5.2), (194.6154, 50.7692)),
        (45, 4.3, 2.1, (0.353553, -0.598806, 4.518663), (206.9457, 40.4890)),
        (270, 5.9, -0.7, (-0.2, -0.659606, 6.262182), (140.8373, 56.8010)),
    ],
)
def test_the_camera_has_the_published_vectors(
    view: float, distance: float, height: float, camera: tuple[float, ...], pixel: tuple[float, ...]
) -> None:
    R, t = camera_of(view, distance, height)
    p = R @ [0.3, -0.2, 0.4] + t
    np.testing.assert_allclose(p, camera, atol=1e-6)
    np.testing.assert_allclose(600 * p[:2] / p[2] + [160, 120], pixel, atol=1e-4)
    assert np.linalg.det(R) == pytest.approx(1)


def clips(truth: Path) -> list[Path]:
    return sorted(truth.rglob("*.npz"))


def raw_of(tree: tuple[Path, Path], path: Path) -> tuple[Path, str]:
    folder = tree[0] / path.relative_to(tree[1]).parent / path.stem[: -len("_v000_r00")]
    return folder, path.stem


def test_joints_project_to_the_stored_pixels_with_the_files_own_camera(tree: tuple[Path, Path]) -> None:
    people, forms = set(), set()
    for path in clips(tree[1]):
        folder, stem = raw_of(tree, path)
        info, exact = loadmat(folder / f"{stem}_info.mat"), np.load(path)
        joints3d, joints2d, n = info["joints3D"], info["joints2D"], int(exact["length"])
        forms.add(joints3d.ndim)
        if joints3d.ndim == 3:
            joints3d, joints2d = joints3d[None], joints2d[None]
        assert joints3d.dtype == joints2d.dtype == np.float32
        assert joints3d.shape[1:3] == (3, 24)
        people.add(len(joints3d))
        view = int(stem[-7:-4])
        R, t = camera_of(view, info["cam_dist"].item(), info["cam_height"].item())
        camera = np.einsum("ij,pjkt->tpki", R, joints3d[..., :n].astype(float)) + t
        ok = ~exact["joints_absent"]
        np.testing.assert_allclose(camera[ok], exact["smpl"][ok], atol=1e-4)
        uv = 600 * camera[..., :2] / camera[..., 2:] + [160, 120]
        stored = np.transpose(joints2d[..., :n], (3, 0, 2, 1))
        assert np.abs(np.stack([uv[..., 0], 240 - uv[..., 1]], -1) - stored)[ok].max() <= 0.5 + 1e-3
        assert np.isnan(joints3d[..., :n]).any() == exact["joints_absent"].any()
        np.testing.assert_allclose(exact["smpl2d"][ok], uv[ok], atol=0.01)
        for side, part, ends in (("l", 17, (16, 18)), ("r", 18, (17, 19))):
            mask = exact["segm"][0] == part
            if len(joints3d) == 1 and mask.sum() > 60:
                middle = uv[0, 0, list(ends)].mean(0)
                where = np.argwhere(mask).mean(0)[::-1]
                assert np.abs(where - middle).max() < 25, f"{side} arm is where the map says"
    assert people == {1, 2}
    assert forms == {3, 4}


def test_lengths_and_missing_files_differ_as_documented(tree: tuple[Path, Path]) -> None:
    lengths, without = set(), 0
    for path in clips(tree[1]):
        folder, stem = raw_of(tree, path)
        with av.open(str(folder / f"{stem}.mp4")) as file:
            stream = file.streams.video[0]
            video = sum(1 for _ in file.decode(stream))
            assert (stream.codec_context.name, stream.width, stream.height, stream.average_rate) == (
                "h264",
                320,
                240,
                30,
            )
        info = loadmat(folder / f"{stem}_info.mat")["joints3D"].shape[-1]
        segm = folder / f"{stem}_segm.mat"
        without += not segm.exists()
        maps = len([k for k in loadmat(segm) if k.startswith("segm_")]) if segm.exists() else video
        assert min(video, info, maps) == int(np.load(path)["length"])
        lengths.add((np.sign(info - video), np.sign(maps - video)))
    assert lengths == {(0, 0), (1, 0), (-1, 0), (0, -1)}
    assert without >= 3
    assert list(tree[0].rglob("*_fg.mp4"))
    assert any(p.is_dir() for p in tree[0].rglob("*_color.avi"))


def test_maps_are_one_based_and_agree_with_the_truth(tree: tuple[Path, Path]) -> None:
    checked = 0
    for path in clips(tree[1]):
        folder, stem = raw_of(tree, path)
        exact, depth = np.load(path), loadmat(folder / f"{stem}_depth.mat")
        normal = loadmat(folder / f"{stem}_normal.mat")
        turn = exact["world_from_camera"][:3, :3]
        for i in range(int(exact["length"])):
            d = depth[f"depth_{i + 1}"]
            assert d.dtype == np.float32
            np.testing.assert_array_equal(d > 1e3, exact["depth"][i] == 0)
            np.testing.assert_array_equal(np.where(d > 1e3, 0, d), exact["depth"][i])
            np.testing.assert_allclose(normal[f"normal_{i + 1}"] @ turn, exact["normal"][i], atol=1e-5)
            np.testing.assert_array_equal(exact["segm"][i] > 0, d < 1e3)
        if (folder / f"{stem}_segm.mat").exists():
            segm = loadmat(folder / f"{stem}_segm.mat")
            assert "segm_0" not in segm
            np.testing.assert_array_equal(segm["segm_1"], exact["segm"][0])
            checked += 1
    assert checked > 5


def test_distance_depth_and_top_rows_on_request(tmp_path: Path) -> None:
    for name, kind, rows in (("planar", "planar", "bottom"), ("distance", "distance", "top")):
        simulate(
            "surreact", tmp_path / name, samples=1, preset="tiny", frames=4, maps=True, depth_kind=kind, joints2d=rows
        )
    a, b = (loadmat(next((tmp_path / n).rglob("*_depth.mat")))["depth_1"] for n in ("planar", "distance"))
    x, y = np.meshgrid((np.arange(320) - 159.5) / 600, (np.arange(240) - 119.5) / 600)
    on = a < 1e3
    np.testing.assert_allclose(b[on], (a * np.sqrt(1 + x * x + y * y))[on], rtol=1e-6)
    one, two = (loadmat(next((tmp_path / n).rglob("*_info.mat")))["joints2D"] for n in ("planar", "distance"))
    np.testing.assert_allclose(one[:, 1] + two[:, 1], 240, atol=1)
    files = sorted((tmp_path / "planar").rglob("*.mat"))
    simulate("surreact", tmp_path / "again", samples=1, preset="tiny", frames=4, maps=True)
    assert [p.read_bytes() for p in files] == [p.read_bytes() for p in sorted((tmp_path / "again").rglob("*.mat"))]
    with pytest.raises(UsageError, match="expected planar or distance"):
        simulate("surreact", tmp_path / "x", depth_kind="z")


def test_recordings_are_mirrored(tree: tuple[Path, Path]) -> None:
    """Exchanging left and right and (x, -y, z) gives the joints of the rendered person (spec, section 8.4)."""
    for path in clips(tree[1]):
        exact, name = np.load(path)["kinect"], path.stem[:-9]
        if "_v000_" not in path.stem:
            continue
        if name.startswith("S"):
            tokens = (tree[0] / "skeletons" / f"{name}.skeleton").read_text().split()
            assert tokens[:2] == ["6", str(exact.shape[1])]
            assert tokens[12] == "25"
            joints = np.array(tokens[13 : 13 + 300], float).reshape(25, 12)[:, :3]
        else:
            mat = loadmat(tree[0] / "skeletons" / f"{name.removesuffix('_color.avi')}_skeleton.mat")
            joints = (mat["v"].reshape(-1, 25, 3) if "v" in mat else mat["skel"])[0]
        swap = [NAMES.index(n.replace("Left", "L").replace("Right", "Left").replace("L", "Right", 1)
                            if n.endswith("Left") else n.replace("Right", "Left")) for n in NAMES]  # fmt: skip
        np.testing.assert_allclose(joints[swap] * [1, -1, 1], exact[0, 0], atol=1e-4)
