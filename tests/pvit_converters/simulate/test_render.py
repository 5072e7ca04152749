"""The renderer against closed forms: planes, spheres, boxes, capsules, arbitrary cameras, an articulated body."""

import numpy as np
import pytest

from pvit_converters.simulate.world.body import BODY25, KINECT, SMPL, body, clothes, idle, solids
from pvit_converters.simulate.world.people import DEEDS, perform
from pvit_converters.simulate.world.render import Render, rays_of, render
from pvit_converters.simulate.world.scene import (
    Camera,
    Light,
    Material,
    Primitive,
    Scene,
    align_z,
    capsule_between,
    look_at,
    pinhole,
    pose,
    turn_z,
)
from pvit_data.sample.kinect25 import NAMES, PARENTS

H, W = 40, 56
LIGHT = Light(np.array([0.0, -1.0, 4.0]), np.array(1.5))
FORWARD = np.eye(4)[None]


def tilted() -> np.ndarray:
    """A camera matrix whose third row is not (0, 0, 1): the image plane is tilted."""
    return np.array([[[50.0, 2.0, 25.0], [0.0, 55.0, 22.0], [0.08, -0.2, 1.0]]])


def picture(*primitives: Primitive, K: np.ndarray | None = None, view: np.ndarray = FORWARD, frames: int = 1) -> Render:
    camera = Camera(pinhole(60.0, H, W) if K is None else K, view, H, W)
    return render(Scene(primitives, camera, LIGHT, frames))


def directions(K: np.ndarray) -> np.ndarray:
    """Rays with z = 1 through the pixel centres, one 3x3 solve per pixel."""
    out = np.empty((H, W, 3))
    for y in range(H):
        for x in range(W):
            d = np.linalg.solve(K, [x + 0.5, y + 0.5, 1.0])
            out[y, x] = d / d[2]
    return out


@pytest.mark.parametrize("K", [pinhole(60.0, H, W), tilted()])
def test_a_plane_and_a_sphere_have_the_closed_form_depth(K: np.ndarray) -> None:
    normal, distance, centre, radius = np.array([0.0, -0.8, -0.6]), 2.0, np.array([0.3, -0.1, 3.0]), 0.7
    plane = Primitive("plane", pose(align_z(normal[None]), (-normal * distance)[None]), np.ones((1, 3)))
    ball = Primitive("ball", pose(position=centre[None]), np.full((1, 3), radius))
    got = picture(plane, ball, K=K)
    d = directions(K[0])
    on_plane = -distance / (d @ normal)
    on_plane[on_plane < 0] = np.inf
    a, b, c = (d * d).sum(-1), d @ centre, centre @ centre - radius**2
    root = b * b - a * c
    on_ball = np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    want = np.minimum(on_plane, on_ball)
    np.testing.assert_allclose(got.depth[0], want, rtol=1e-9)
    on = got.primitive[0] == 1
    assert on.sum() > 50
    points = d * got.depth[0][..., None]
    np.testing.assert_allclose(got.normal[0][on], (points[on] - centre) / radius, atol=1e-6)
    np.testing.assert_allclose(
        got.normal[0][got.primitive[0] == 0], np.tile(normal, (np.sum(got.primitive[0] == 0), 1))
    )


def test_points_on_a_box_and_a_capsule_satisfy_their_equations() -> None:
    half, turn, middle = np.array([0.5, 0.3, 0.4]), turn_z(0.7)[0], np.array([-0.8, 0.1, 3.0])
    box = Primitive("box", pose(turn[None], middle[None]), half[None])
    a, b, r = np.array([[0.4, -0.5, 2.5]]), np.array([[1.0, 0.5, 3.5]]), 0.25
    capsule = Primitive("capsule", *capsule_between(a, b, r))
    got = picture(box, capsule)
    points = directions(pinhole(60.0, H, W)[0]) * np.nan_to_num(got.depth[0], posinf=0)[..., None]
    inside = (points[got.primitive[0] == 0] - middle) @ turn
    assert len(inside) > 100
    np.testing.assert_allclose(np.abs(inside / half).max(-1), 1.0, atol=1e-9)
    p = points[got.primitive[0] == 1]
    along = np.clip(((p - a) @ (b - a)[0]) / ((b - a) ** 2).sum(), 0, 1)[:, None]
    assert len(p) > 100
    np.testing.assert_allclose(np.linalg.norm(p - (a + along * (b - a)), axis=-1), r, atol=1e-7)
    assert (got.depth[0][got.primitive[0] < 0] == np.inf).all()


def test_a_room_is_seen_from_inside_and_a_void_has_no_surface() -> None:
    room = Primitive("room", pose(position=[[0, 0, 1.25]]), np.array([[2.0, 3.0, 1.25]]), class_id=1)
    pane = Primitive("box", pose(position=[[0, 2.99, 1.3]]), np.array([[0.5, 0.05, 0.4]]), void=True)
    got = picture(room, pane, view=look_at(np.array([[0.0, -2.9, 1.3]]), np.array([[0.0, 3.0, 1.3]])))
    hole = ~got.surface[0]
    assert 20 < hole.sum() < hole.size / 2
    assert np.isinf(got.depth[0][hole]).all()
    assert not got.normal[0][hole].any()
    world = got.normal[0] @ got.scene.camera.world_from_camera[0, :3, :3].T
    np.testing.assert_allclose(world[H - 1, W // 2], [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(world[0, W // 2], [0, 0, -1], atol=1e-9)
    np.testing.assert_allclose(world[H // 2, 2], [1, 0, 0], atol=1e-9)


@pytest.mark.parametrize("K", [pinhole(60.0, H, W), tilted()])
def test_normals_are_the_cross_product_of_the_depth_map(K: np.ndarray) -> None:
    ball = Primitive("ball", pose(position=[[0.2, 0.0, 2.5]]), np.array([[0.9, 0.6, 0.7]]))
    floor = Primitive("plane", pose(align_z(np.array([[0.1, -1.0, -0.1]])), np.array([[0, 0.8, 0]])), np.ones((1, 3)))
    got = picture(ball, floor, K=K)
    points = directions(K[0]) * got.depth[0][..., None]
    with np.errstate(invalid="ignore"):
        cross = np.cross(points[2:, 1:-1] - points[:-2, 1:-1], points[1:-1, 2:] - points[1:-1, :-2])
        cross /= np.linalg.norm(cross, axis=-1, keepdims=True)
    index = got.primitive[0]
    same = np.ones((H - 2, W - 2), bool)
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            same &= index[dy : H - 2 + dy, dx : W - 2 + dx] == index[1:-1, 1:-1]
    same &= got.surface[0, 1:-1, 1:-1] & (got.normal[0, 1:-1, 1:-1, 2] < -0.3)
    angle = np.degrees(np.arccos(np.clip((cross * got.normal[0, 1:-1, 1:-1]).sum(-1)[same], -1, 1)))
    assert same.sum() > 300
    assert np.median(angle) < 0.5
    assert angle.max() < 8


def test_rays_of_hypersims_matrices_match_the_published_vectors() -> None:
    """-n[2], the ratio of planar depth to distance, of two released scenes (spec hypersim, section 3)."""
    from pvit_converters.simulate.hypersim import k_from_uv

    standard = np.diag([0.5773502886169104, 0.4330127164626828, -1.0])
    shifted = np.array([[0.7315, 0, 0], [0, 0.4396, 0], [0, -0.3282, -1.267]])
    pixels = [(0, 0), (511, 383), (1023, 767), (100, 700)]
    for m, want, tolerance in (
        (standard, (0.8111886, 0.9999997, 0.8111886, 0.8630018), 1e-6),
        (shifted, (0.8819046, 0.9999997, 0.7404411, 0.8219041), 2e-4),
    ):
        rays = rays_of(k_from_uv(m, 768, 1024)[None], 768, 1024)[0]
        got = [1 / np.sqrt(1 + (rays[y, x] ** 2).sum()) for x, y in pixels]
        np.testing.assert_allclose(got, want, atol=tolerance)


def test_a_camera_that_looks_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="behind the camera"):
        rays_of(np.linalg.inv(np.array([[[0.02, 0, -0.5], [0, 0.02, -0.4], [0.05, 0, -1.0]]])), H, W)


def test_frames_move_independently() -> None:
    path = np.array([[0.0, 0, 2], [0.5, 0, 2], [0.0, 0.3, 4]])
    together = picture(Primitive("ball", pose(position=path), np.full((1, 3), 0.3)), frames=3)
    for t in range(3):
        alone = picture(Primitive("ball", pose(position=path[t : t + 1]), np.full((1, 3), 0.3)))
        np.testing.assert_array_equal(alone.depth[0], together.depth[t])
        np.testing.assert_array_equal(alone.radiance[0], together.radiance[t])


def test_the_body_has_rigid_bones_and_its_joints_lie_in_its_image() -> None:
    rng, frames = np.random.default_rng(3), 4
    motion = idle(np.zeros((frames, 3)), np.linspace(0, 5, frames), rng)
    motion.right[:] = [[0.3, 0.1, 0.2], [0.4, -0.2, 0.0], [0.2, -0.3, 0.4], [0.1, 0.1, -0.4]]
    person = body(motion)
    joints = person.ordered(KINECT)
    assert joints.shape == (frames, 25, 3)
    assert person.ordered(SMPL).shape == (frames, 24, 3)
    assert person.ordered(BODY25).shape == (frames, 25, 3)
    bones = np.linalg.norm(joints[:, 1:] - joints[:, PARENTS[1:]], axis=-1)
    assert np.ptp(bones, axis=0).max() < 0.03
    assert joints[:, NAMES.index("Head"), 2].min() > joints[:, NAMES.index("SpineBase"), 2].max()
    view = look_at(np.array([[2.8, 0.0, 1.2]]), np.array([[0.0, 0.0, 0.9]]))
    got = picture(*solids(person, clothes(rng), 31, 1), view=view, frames=frames)
    camera = (joints - view[0, :3, 3]) @ view[0, :3, :3]
    u, v = 60 * camera[..., 0] / camera[..., 2] + W / 2, 60 * camera[..., 1] / camera[..., 2] + H / 2
    mask = got.surface[np.arange(frames)[:, None], np.floor(v).astype(int), np.floor(u).astype(int)]
    assert mask.mean() > 0.9, "joints project into the figure"
    front = got.depth[np.arange(frames)[:, None], np.floor(v).astype(int), np.floor(u).astype(int)]
    assert (front[mask] < camera[..., 2][mask] + 0.05).all(), "a joint is not in front of the body's surface"
    parts = got.ids("part")
    left, right = (np.nonzero(parts[0] == p)[1].mean() for p in (17, 18))
    assert left > right, "a person who faces the camera has its left arm on the image's right"


def test_growing_objects_and_emission() -> None:
    half = np.linspace(0.1, 0.5, 4)[:, None] * np.ones((1, 3))
    got = picture(Primitive("ball", pose(position=[[0, 0, 2.0]]), half, Material(emission=3.0)), frames=4)
    areas = got.surface.sum((1, 2))
    assert (np.diff(areas) > 0).all()
    assert got.radiance[got.surface].min() > 3.0


def test_large_clips_are_rendered_in_parts_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    from pvit_converters.simulate.world import render as module
    from pvit_converters.simulate.world.actions import STYLES, action_clip

    scene = action_clip(np.random.default_rng(4), "grow_in_place", STYLES["hard"], 7, 24, 32).scene
    whole = render(scene)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 24 * 32 * 3)
    parts = render(scene)
    for name in ("radiance", "depth", "normal", "primitive"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


@pytest.mark.parametrize("deed", DEEDS)
def test_people_keep_their_bones_and_stay_above_the_floor_whatever_they_do(deed: str) -> None:
    person = body(perform(np.random.default_rng(1), 80, np.zeros(3), 0.4, deed, 0.95))
    joints = person.ordered(KINECT)
    bones = np.linalg.norm(joints[:, 1:] - joints[:, PARENTS[1:]], axis=-1)
    assert np.ptp(bones, axis=0).max() < 0.04
    assert joints[..., 2].min() > 0
    head = joints[:, NAMES.index("Head"), 2]
    assert head.max() > 1.4
    assert head.min() < {"sit": 0.9, "lie": 0.35}.get(deed, 1.5)
