"""Targets of single samples: values where labelled, masks elsewhere, and nothing invented."""

from dataclasses import replace

import numpy as np
import pytest

from pvit_data.clips import transforms
from pvit_data.clips.config import ClipConfig
from pvit_data.clips.geometry import Geometry
from pvit_data.errors import UsageError
from pvit_data.sample.sample import Actions, Boxes, Sample
from pvit_data.tasks.action import action
from pvit_data.tasks.boxes import boxes
from pvit_data.tasks.depth import depth as depth_target
from pvit_data.tasks.normal import normal
from pvit_data.tasks.pose3d import pose3d
from pvit_data.tasks.segm import segm as segm_target
from pvit_data.tasks.table import ORDER, every_task, ordered, target_spec, target_specs
from pvit_data.tasks.target import Target, pack
from tests.pvit_data.memory_set import real, synthetic

CONFIG = ClipConfig(num_frames=6, size=(40, 60), map_size=(40, 60))
FRAMES = np.array([0, 2, 3])


def test_maps_are_masked_where_the_frame_or_the_value_is_missing() -> None:
    sample = synthetic("k")  # maps on frames 0, 2, 4
    assert sample.depth is not None
    sample.depth[0, 5, 7] = 0
    depth = depth_target(sample, FRAMES, CONFIG)
    assert depth is not None
    assert not depth.valid[2].any()
    assert not depth.valid[0, 5, 7]
    assert depth.valid.sum() == 2 * 40 * 60 - 1
    np.testing.assert_array_equal(depth.value[1], sample.depth[1])
    segm = segm_target(sample, FRAMES, CONFIG)
    assert segm is not None
    assert (segm.value[2] == 255).all()
    assert segm.value.dtype == np.int64
    assert segm.valid[:2].all()


def test_ids_outside_the_label_space_are_not_labels() -> None:
    sample = synthetic("k")
    assert sample.segm is not None
    sample.segm[:, 0] = 255
    sample.segm[:, 1] = 9
    segm = segm_target(sample, FRAMES[:2], CONFIG)
    assert segm is not None
    assert not segm.valid[:, :2].any()
    assert segm.valid[:, 2:].all()


def test_normals_turn_to_world_axes_where_the_source_has_a_world() -> None:
    sample = synthetic("k")
    assert sample.camera is not None
    assert sample.normal is not None
    world = normal(sample, FRAMES, CONFIG)
    assert world is not None
    # The camera looks along world y with z up: (x, y, z) in the camera is (x, z, -y) in the world.
    n = sample.normal[0, 0, 0]
    np.testing.assert_allclose(world.value[0, 0, 0], [n[0], n[2], -n[1]], atol=1e-6)
    local = normal(sample, FRAMES, CONFIG.model_copy(update={"normal_axes": "camera"}))
    sample.camera.world_from_camera = None
    fallback = normal(sample, FRAMES, CONFIG)
    for target in (local, fallback):
        assert target is not None
        np.testing.assert_array_equal(target.value[0], sample.normal[0])
    sample.normal[0, 3, 3] = 0
    masked = normal(sample, FRAMES, CONFIG)
    assert masked is not None
    assert not masked.valid[0, 3, 3]


def test_pose_is_of_the_nearest_person_relative_to_the_pelvis() -> None:
    joints = np.random.default_rng(0).normal(0, 0.3, (6, 3, 25, 3)).astype(np.float32)
    joints[:, 0, :, 2] += 5
    joints[:, 1, :, 2] += 3
    joints[:, 2, :, 2] += 1
    valid = np.full((6, 3, 25), 2, np.uint8)
    valid[:, 2, 0] = 0  # the nearest has no pelvis in any frame
    valid[2, 1, 4] = 0
    valid[3, 1, 0] = 0
    sample = Sample(key="p", pose3d=joints, pose3d_valid=valid, num_frames=6)
    pose = pose3d(sample, FRAMES, CONFIG)
    assert pose is not None
    np.testing.assert_allclose(pose.value[0], joints[0, 1] - joints[0, 1, 0], atol=1e-6)
    assert pose.valid[0].all()
    assert not pose.valid[1, 4]
    assert (pose.value[1, 4] == 0).all()
    assert not pose.valid[2].any()  # a frame without pelvis is masked whole
    assert pose3d(replace(sample, pose3d_valid=np.zeros_like(valid)), FRAMES, CONFIG) is None


def test_a_person_whom_a_crop_cuts_off_is_not_supervised() -> None:
    whole = synthetic("p")  # 40 x 60; the person stands near column 27
    assert whole.pose3d is not None
    assert whole.pose2d is not None
    for left, seen in ((0, False), (12, True), (44, False)):
        view = Geometry((40, 60), (0, left), (40, 16), (40, 16), (0, 0), (40, 16))
        shown = transforms.apply(whole, view)
        pose = pose3d(shown, FRAMES, CONFIG)
        assert (pose is not None) == seen
        unknown = transforms.apply(replace(whole, pose2d=np.zeros_like(whole.pose2d)), view)
        assert pose3d(unknown, FRAMES, CONFIG) is not None  # nothing tells where the person is
        assert not np.any(unknown.pose2d)
    # Of two people the nearest one in the picture counts.
    near = whole.pose3d - np.float32([0, 0, 1])
    both = replace(
        whole,
        pose3d=np.concatenate([near, whole.pose3d], 1),
        pose3d_valid=np.full((6, 2, 25), 2, np.uint8),
        pose2d=np.concatenate([whole.pose2d + np.float32([60, 0]), whole.pose2d], 1),
    )
    pose = pose3d(both, FRAMES, CONFIG)
    assert pose is not None
    np.testing.assert_allclose(pose.value[0], whole.pose3d[0, 0] - whole.pose3d[0, 0, 0], atol=1e-6)


def box_sample(rows: list[tuple[int, int, int, int, float]]) -> Sample:
    """Rows of (frame, role, side, track, width); the box is (0, 0, width, 0.5)."""
    frame, role, side, track, width = zip(*rows, strict=True)
    xyxy = np.array([[0, 0, w, 0.5] for w in width], np.float32)
    table = Boxes(xyxy, frame=np.array(frame), role=np.array(role), side=np.array(side), track=np.array(track))
    return Sample(key="b", boxes=table, num_frames=6, height=10, width=10)


def test_box_slots() -> None:
    sample = box_sample(
        [(0, 1, -1, -1, 0.1), (0, 2, 1, -1, 0.2), (0, 1, -1, -1, 0.4), (0, 1, -1, -1, 0.3), (0, 0, -1, -1, 1)]
    )
    out = boxes(sample, np.array([0, 1]), CONFIG)
    assert out is not None
    assert out.valid.tolist() == [[False, True, True, True], [False] * 4]
    np.testing.assert_allclose(out.value[0, 1:], [[0.1, 0.25, 0.2, 0.5], [0.2, 0.25, 0.4, 0.5], [0.15, 0.25, 0.3, 0.5]])
    assert (out.value[0, 0] == 0).all()


def test_tracked_objects_keep_their_slot_although_their_sizes_cross() -> None:
    sample = box_sample(
        [(0, 1, -1, 7, 0.9), (0, 1, -1, 3, 0.1), (2, 1, -1, 7, 0.2), (2, 1, -1, 3, 0.3), (3, 1, -1, 3, 0.5)]
    )
    out = boxes(sample, FRAMES, CONFIG)
    assert out is not None
    np.testing.assert_allclose(out.value[:2, 2, 2], [0.9, 0.2])
    np.testing.assert_allclose(out.value[:, 3, 2], [0.1, 0.3, 0.5])
    assert out.valid[:, 2].tolist() == [True, True, False]


def test_hands_of_unknown_side_fill_free_hand_slots() -> None:
    out = boxes(box_sample([(0, 2, -1, -1, 0.4), (0, 2, 0, -1, 0.2), (0, 2, -1, -1, 0.3)]), FRAMES, CONFIG)
    assert out is not None
    np.testing.assert_allclose(out.value[0, :2, 2], [0.2, 0.4])
    assert not out.valid[0, 2:].any()


def test_what_is_not_annotated_makes_no_target() -> None:
    bare = real("r")
    for name in ("depth", "normal", "segm", "pose3d", "boxes"):
        assert target_spec(name).build(bare, FRAMES, CONFIG) is None
    empty = replace(bare, boxes=Boxes(np.zeros((0, 4), np.float32)))
    assert boxes(empty, FRAMES, CONFIG) is None
    assert action(synthetic("k"), FRAMES, CONFIG) is None
    assert action(replace(bare, action=0.25), FRAMES, CONFIG) is None
    label = action(bare, FRAMES, CONFIG)
    assert label is not None
    assert int(label.value) == bare.action


def test_targets_have_the_shapes_of_the_task_table() -> None:
    config = ClipConfig(num_frames=6, size=(40, 60), map_size=(40, 60), stride=2, label_classes={"actions": 3})
    sample = replace(synthetic("k"), action=1, actions=Actions(np.array([2], np.int32), [0.5], [0.5]), fps=10.0)
    for name in every_task():
        task = target_spec(name)
        built = task.build(sample, np.array([0, 2, 4]), config)
        empty = task.empty(config)
        assert built is not None
        entries = 1 if task.by_box else 0  # an axis of any number of them
        assert built.value.shape[entries:] == empty.value.shape[1:], name
        assert built.valid.shape[entries:] == empty.valid.shape[1:], name
        assert (built.value.dtype, built.valid.dtype) == (empty.value.dtype, bool), name
        assert task.field in sample.__dataclass_fields__


def test_packing_keeps_only_supervised_rows() -> None:
    one = Target(np.ones((2, 3), np.float32), np.ones((2, 3), bool))
    empty = {n: Target(np.zeros((0, 2, 3), np.float32), np.zeros((0, 2, 3), bool)) for n in ("depth", "pose3d")}
    packed = pack([{}, {"depth": one}, {}, {"depth": one}], empty)
    assert packed["depth"].rows.tolist() == [1, 3]
    assert tuple(packed["depth"].value.shape) == (2, 2, 3)
    assert tuple(packed["pose3d"].value.shape) == (0, 2, 3)
    assert packed["pose3d"].rows.size == 0


def test_packing_puts_the_entries_of_rows_one_after_the_other() -> None:
    def entries(*numbers: int) -> dict[str, Target]:
        return {"persons": Target(np.array(numbers, np.float32)[:, None], np.ones(len(numbers), bool))}

    empty = {"persons": Target(np.zeros((0, 1), np.float32), np.zeros(0, bool))}
    packed = pack([entries(1, 2), {}, entries(), entries(3)], empty)["persons"]
    assert packed.rows.tolist() == [0, 0, 3]
    assert packed.value[:, 0].tolist() == [1, 2, 3]
    assert packed.valid.shape == (3,)
    nobody = pack([entries(), {}], empty)["persons"]
    assert (nobody.rows.size, nobody.value.shape, nobody.valid.shape) == (0, (0, 1), (0,))


def test_the_task_table_refuses_strangers() -> None:
    with pytest.raises(UsageError, match=r"unknown task 'flow'\. Known: action, actions, boxes"):
        target_specs(["depth", "flow"])
    for name in ("segm/hands", "action/hands"):
        with pytest.raises(UsageError, match=f"unknown task '{name}': there can be only one"):
            target_spec(name)


def test_further_tasks_of_a_kind_differ_in_name_only() -> None:
    assert target_spec("boxes/hands") == replace(target_spec("boxes"), name="boxes/hands")


def test_tasks_have_one_order() -> None:
    assert (
        every_task() == ORDER == ("depth", "normal", "segm", "pose3d", "boxes", "action", "actions", "pnr", "persons")
    )
    asked = ["zebra", "boxes/hands", "boxes", "depth", "boxes", "apple"]
    assert ordered(asked) == ("depth", "boxes", "apple", "boxes/hands", "zebra")


def test_target_names_carry_the_label_space_where_there_is_one_target_for_each() -> None:
    sample = synthetic("k")
    assert target_spec("segm").target_name(sample.spaces) == "segm/rooms"
    assert target_spec("segm").target_name({}) is None
    assert target_spec("boxes").target_name({}) == "boxes"
