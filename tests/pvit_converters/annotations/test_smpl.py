"""The extremities from a mesh: against linear blend skinning written down again here, on a made-up body model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_converters.annotations import smpl as smpl_mesh
from pvit_converters.annotations.joint_maps import SMPL24_PARENTS
from pvit_converters.surreact.camera import view_of
from pvit_converters.surreact.person import Info
from pvit_converters.surreact.pose import from_smpl
from pvit_data.errors import UsageError
from pvit_data.sample.kinect25 import NAMES

Model = dict[str, np.ndarray]
MARKED = {
    "Head": (583, 4071),
    "HandTipLeft": (2445,),
    "ThumbLeft": (2746,),
    "HandTipRight": (5905,),
    "ThumbRight": (6191,),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 6,890 vertices around 24 joints; only a few vertices move with shape or have two bones."""
    out = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(24, 3)) * 0.3
    owner = rng.integers(0, 24, 6890)
    vertices = rest[owner] + rng.normal(size=(6890, 3)) * 0.05
    weights = np.zeros((6890, 24), np.float32)
    weights[np.arange(6890), owner] = 0.75
    weights[np.arange(6890), (owner + 1) % 24] = 0.25
    regressor = np.zeros((24, 6890), np.float32)
    for joint in range(24):
        mine = np.flatnonzero(owner == joint)
        regressor[joint, mine] = 1 / len(mine)
    shapes = np.zeros((6890, 3, 10), np.float32)
    shapes[:500] = rng.normal(size=(500, 3, 10)) * 0.002
    model = {
        "v_template": vertices.astype(np.float32), "shapedirs": shapes, "J_regressor": regressor, "weights": weights,
        "posedirs": np.zeros((6890, 3, 207), np.float32), "f": np.zeros((1, 3), np.int64),
        "kintree_table": np.array([[0, *SMPL24_PARENTS[1:]], range(24)], np.int64),
    }  # fmt: skip
    for gender in ("FEMALE", "MALE"):
        np.savez_compressed(out / f"SMPL_{gender}.npz", **model)
    return out


def rotation(axis_angle: np.ndarray) -> np.ndarray:
    angle = np.linalg.norm(axis_angle)
    x, y, z = axis_angle / max(angle, 1e-12)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def skin(model: Model, pose: np.ndarray, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear blend skinning, one bone after the other: joints (24,3) and vertices (6890,3)."""
    shaped = model["v_template"].astype(float) + model["shapedirs"].astype(float) @ betas
    rest = model["J_regressor"].astype(float) @ shaped
    turns, joints = np.zeros((24, 3, 3)), np.zeros((24, 3))
    for j, parent in enumerate(SMPL24_PARENTS):
        local = rotation(pose[3 * j : 3 * j + 3])
        turns[j] = local if parent < 0 else turns[parent] @ local
        joints[j] = rest[j] if parent < 0 else joints[parent] + turns[parent] @ (rest[j] - rest[parent])
    moved = np.einsum("jik,vjk->vji", turns, shaped[:, None] - rest[None]) + joints
    return joints, (model["weights"].astype(float)[..., None] * moved).sum(1)


def scene(folder: Path, frames: int = 3) -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    with np.load(folder / "SMPL_MALE.npz") as file:
        model = dict(file)
    pose, betas = rng.normal(size=(frames, 72)) * 0.3, rng.normal(size=10)
    turn, shift = rotation(np.array([0.4, -1.2, 0.3])), np.array([0.1, -0.2, 1.0])
    posed = [skin(model, p, betas) for p in pose]
    joints = np.stack([j @ turn.T + shift for j, _ in posed])
    mesh = np.stack([v @ turn.T + shift for _, v in posed])
    want = np.stack([mesh[:, list(ids)].mean(1) for ids in MARKED.values()], 1)
    return pose, betas, joints, want


def test_points_of_the_mesh_follow_the_joints(folder: Path) -> None:
    pose, betas, joints, want = scene(folder)
    got, miss = smpl_mesh.extremities(smpl_mesh.find_model(folder, False), pose, betas, joints)
    assert tuple(MARKED) == smpl_mesh.POINTS
    assert miss < 1e-4
    np.testing.assert_allclose(got, want, atol=2e-4)


def info_of(pose: np.ndarray, betas: np.ndarray, joints: np.ndarray) -> Info:
    return Info(
        joints3d=joints[:, None].astype(np.float32),
        joints2d=None,
        pose=pose[:, None].astype(np.float32),
        shape=betas[None],
        is_female=True,
        zrot=0.0,
        distance=5.0,
        height=1.0,
    )


def test_surreact_gets_thumbs_with_a_model_and_none_without(folder: Path) -> None:
    pose, betas, joints, want = scene(folder)
    joints[1] = np.nan
    view = view_of(45, 5.0, 1.0)
    info = info_of(pose, betas, joints)
    plain, full = from_smpl(info, view, 3, None), from_smpl(info, view, 3, folder)
    at = [NAMES.index(name) for name in MARKED]
    thumbs = [NAMES.index("ThumbLeft"), NAMES.index("ThumbRight")]
    assert not plain.valid[:, 0, thumbs].any()
    assert full.valid[[0, 2], 0][:, at].tolist() == [[1] * 5] * 2
    assert not full.valid[1].any()
    np.testing.assert_allclose(full.joints[[0, 2], 0][:, at], view.see(want[[0, 2]]), atol=3e-4)
    rest = [i for i in range(25) if i not in at]
    np.testing.assert_array_equal(plain.joints[:, :, rest], full.joints[:, :, rest])


def test_a_model_that_does_not_fit_is_not_used(folder: Path) -> None:
    pose, betas, joints, _ = scene(folder)
    info = info_of(np.random.default_rng(5).normal(size=pose.shape), betas, joints)
    found = from_smpl(info, view_of(0, 5.0, 1.0), 3, folder)
    assert found.warnings == ("smpl-model-does-not-fit-the-joints",)
    assert not found.valid[:, 0, NAMES.index("ThumbLeft")].any()


def test_model_files_are_checked_and_never_pickles(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no SMPL_MALE.npz with the arrays v_template"):
        smpl_mesh.find_model(tmp_path, False)
    path = tmp_path / "SMPL_MALE.npz"
    np.savez(path, v_template=np.array([{}], object))
    pose, betas, joints, _ = scene(folder, 1)
    for content in (path.read_bytes(), b"", b"PK\x03\x04 no zip"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="not a file of SMPL arrays"):
            smpl_mesh.extremities(path, pose, betas, joints)


def test_rigid_motion_is_recovered() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=(4, 24, 3))
    turn, shift = rotation(np.array([2.0, 1.0, -0.5])), np.array([1.0, 2.0, 3.0])
    got, move = smpl_mesh.rigid(a, a @ turn.T + shift)
    np.testing.assert_allclose(got, np.repeat(turn[None], 4, 0), atol=1e-9)
    np.testing.assert_allclose(a @ got.transpose(0, 2, 1) + move, a @ turn.T + shift, atol=1e-9)
