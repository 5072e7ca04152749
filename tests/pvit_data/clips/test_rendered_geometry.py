"""Transforming a sample and rendering its scene anew through the transformed camera show the same thing.

The renderer takes any invertible camera matrix, so a mirrored view is rendered from the unmirrored scene through
K' M, with M = diag(-1, 1, 1): nothing of the code under test is used but the matrix that it returns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pvit_converters.simulate.world.body import KINECT, body, clothes, idle, solids
from pvit_converters.simulate.world.render import Render, render
from pvit_converters.simulate.world.rooms import PERSON, room, wander
from pvit_converters.simulate.world.scene import Camera as SceneCamera
from pvit_converters.simulate.world.scene import Scene
from pvit_data.clips import transforms
from pvit_data.clips.config import ClipConfig
from pvit_data.clips.crops import training_crop
from pvit_data.clips.geometry import Geometry
from pvit_data.sample.kinect25 import NAMES
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Boxes, Camera, Sample

HEIGHT, WIDTH = 96, 128
PLAIN = np.array([[110.0, 0, 64], [0, 110, 48], [0, 0, 1]])
TILT = np.array([[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]])
CAMERAS = {"plain": PLAIN, "shifted": PLAIN + np.array([[0, 0, 9], [0, -4, -7], [0, 0, 0]]), "tilted": PLAIN @ TILT}


def scene_of(K: np.ndarray, seed: int) -> tuple[Scene, np.ndarray]:
    """A furnished room with a person, and the person's joints in camera axes, (1, 25, 3)."""
    rng = np.random.default_rng(seed)
    space = room(rng, person=False, window=True)
    view = wander(rng, space, 1)
    at = view[0, :3, 3] + view[0, :3, 2] * 2
    person = body(idle(np.array([[at[0], at[1], 0]]), np.array([rng.uniform(0, 6)]), rng))
    things = (*space.primitives, *solids(person, clothes(rng), PERSON, 90))
    joints = person.ordered(KINECT) - view[0, :3, 3]
    return Scene(things, SceneCamera(K[None], view, HEIGHT, WIDTH), space.light, 1), joints @ view[0, :3, :3]


def boxes_of(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the visible instances of one frame, and their boxes in pixels."""
    ids = [i for i in np.unique(instances) if i > 0]
    places = [np.nonzero(instances == i) for i in ids]
    return np.array(ids), np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1] for y, x in places], float)


def sample_of(picture: Render, joints: np.ndarray) -> Sample:
    ids, boxes = boxes_of(picture.ids("instance")[0])
    camera = picture.scene.camera
    return Sample(
        key="room",
        num_frames=1,
        height=HEIGHT,
        width=WIDTH,
        depth=np.where(picture.surface, picture.depth, 0).astype(np.float32),
        normal=picture.normal.astype(np.float32),
        segm=np.where(picture.surface, picture.ids("class_id"), 255).clip(0).astype(np.uint8),
        pose3d=joints[None].astype(np.float32),
        pose3d_valid=np.full((1, 1, 25), 2, np.uint8),
        boxes=Boxes((boxes / [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(np.float32), track=ids, score=ids / 1000),
        camera=Camera(camera.K.astype(np.float32), camera.world_from_camera.astype(np.float32), "z"),
        spaces={"segm": LabelSpace("nyu40", tuple("x" * 41))},
    )


def views(seed: int, number: int = 3) -> list[Geometry]:
    """Random crops at the original scale, mirrored and not."""
    rng = np.random.default_rng(seed)
    config = ClipConfig(size=(48, 48))
    drawn = [training_crop((HEIGHT, WIDTH), config, 0.0, rng) for _ in range(number)]
    return [replace(d, resized=d.window, size=d.window, flip=flip) for d in drawn for flip in (False, True)]


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_transformed_sample_equals_the_scene_rendered_anew(camera: str) -> None:
    scene, joints = scene_of(CAMERAS[camera], seed=3)
    sample = sample_of(render(scene), joints)
    for view in views(5):
        out = transforms.apply(sample, view)
        assert out.camera is not None
        mirror = np.diag([-1.0 if view.flip else 1.0, 1, 1])
        K = out.camera.K.astype(float) @ mirror
        again = render(replace(scene, camera=SceneCamera(K, scene.camera.world_from_camera, *view.size)))
        check_maps(out, again, mirror)
        check_boxes(out, again, view)
        check_joints(out, joints, mirror, view)


def check_maps(out: Sample, again: Render, mirror: np.ndarray) -> None:
    assert out.depth is not None
    assert out.normal is not None
    assert out.segm is not None
    same = (out.segm == np.where(again.surface, again.ids("class_id"), 255).clip(0)) & (
        (out.depth > 0) == again.surface
    )
    assert same.mean() > 0.999  # a pixel on a silhouette may fall on either side in single precision
    valid = same & (out.depth > 0)
    error = np.abs(out.depth - again.depth)[valid]
    assert np.quantile(error - 0.001 * out.depth[valid], 0.999) < 0.0006
    cosine = (out.normal * (again.normal @ mirror)).sum(-1)[valid]
    assert np.degrees(np.arccos(np.quantile(cosine, 0.001).clip(-1, 1))) < 1


def check_boxes(out: Sample, again: Render, view: Geometry) -> None:
    assert out.boxes is not None
    ids, expected = boxes_of(again.ids("instance")[0])
    height, width = view.size
    for track, box in zip(ids, expected, strict=True):
        found = out.boxes.xyxy[out.boxes.track == track]
        assert len(found) == 1
        np.testing.assert_allclose(out.boxes.score[out.boxes.track == track], track / 1000)
        # Of an object cut by the crop, less may be left than of its box, never more.
        got = found[0] * [width, height, width, height]
        assert (got[:2] <= box[:2] + 2).all()
        assert (got[2:] >= box[2:] - 2).all()
        if (found[0] > 0).all() and (found[0] < 1).all():
            np.testing.assert_allclose(got, box, atol=2)


def check_joints(out: Sample, joints: np.ndarray, mirror: np.ndarray, view: Geometry) -> None:
    assert out.pose3d is not None
    swapped = [NAMES.index(n.replace("Left", "#").replace("Right", "Left").replace("#", "Right")) for n in NAMES]
    order = swapped if view.flip else list(range(25))
    np.testing.assert_allclose(out.pose3d[0, 0], (joints[0] @ mirror)[order], atol=1e-3)


def test_sampling_while_decoding_equals_sampling_the_whole_map() -> None:
    from tests.pvit_data.memory_set import MemorySet, synthetic

    ds = MemorySet([synthetic("s", height=40, width=60)])
    rng = np.random.default_rng(0)
    for _ in range(10):
        view = training_crop((40, 60), ClipConfig(size=(32, 32)), 0.5, rng)
        whole = transforms.apply(ds.read(0), view, (8, 8))
        part = transforms.apply(ds.read(0, grid=view.nearest((40, 60), (8, 8))), view, (8, 8), gathered=True)
        for name in ("depth", "normal", "segm"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
