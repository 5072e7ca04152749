"""A transformed sample's annotations as training targets: one (value, valid) pair per task, and their packing by batch.

Targets belong to chosen frames of the video (every `stride`-th frame of the clip). A frame without its annotation is
masked, a sample without any valid entry gives None: nothing is invented, nothing is padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64

from pvit_data.sample.sample import ROLE_ACTIVE, ROLE_HAND, SIDE_LEFT, SIDE_RIGHT, Boxes, Sample

if TYPE_CHECKING:
    from pvit_data.clips.config import ClipConfig

PELVIS = 0  # SpineBase of Kinect v2


class Target(NamedTuple):
    """Targets of one task for one sample; shapes as in `pvit_data.loading.batch.Targets`, without the row axis."""

    value: np.ndarray
    valid: np.ndarray


def depth(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Planar depth in metres, float32 (T', h, w); valid where positive and finite."""
    if sample.depth is None:
        return None
    valid = (sample.depth > 0) & np.isfinite(sample.depth)
    return _shown(
        sample, "depth", np.where(valid, sample.depth, 0).astype(np.float32), valid, frames, 0
    )


def normal(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Unit normals, float32 (T', h, w, 3), in `config.normal_axes`; camera axes where the source has no world frame."""
    if sample.normal is None:
        return None
    world = config.normal_axes == "world" and has_world(sample)
    value = sample.normal_in("world" if world else "camera")
    square = np.einsum("nhwc,nhwc->nhw", value, value)
    valid = (square > 0) & np.isfinite(square)
    return _shown(
        sample, "normal", np.where(valid[..., None], value, 0).astype(np.float32), valid, frames, 0
    )


def has_world(sample: Sample) -> bool:
    """Whether the sample's camera has a world frame."""
    return sample.camera is not None and sample.camera.world_from_camera is not None


def segm(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Class ids, int64 (T', h, w); valid where the id is one of the label space's, others hold its ignore id."""
    if sample.segm is None:
        return None
    space = sample.spaces["segm"]
    valid = (sample.segm >= space.first) & (sample.segm < space.num_ids)
    return _shown(
        sample,
        "segm",
        np.where(valid, sample.segm, space.ignore).astype(np.int64),
        valid,
        frames,
        space.ignore,
    )


def pose3d(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Joints in metres relative to the pelvis, float32 (T', 25, 3), of the person nearest to the camera.

    The nearest person is chosen once per clip (smallest median pelvis depth), so that targets do not jump between
    people. A frame whose pelvis is absent is masked; so is one that a crop has cut most of the person off: what it
    does is not to be seen.
    """
    if sample.pose3d is None:
        return None
    joints, present = _at(sample, "pose3d", sample.pose3d, frames)
    known = np.isfinite(joints).all(-1) & present[:, None, None]
    if sample.pose3d_valid is not None:
        known &= _at(sample, "pose3d", sample.pose3d_valid, frames)[0] > 0
    known &= (known[:, :, PELVIS] & _in_picture(sample, frames, known))[..., None]
    person = nearest_person(joints[:, :, PELVIS, 2], known[:, :, PELVIS])
    if person is None:
        return None
    value = joints[:, person] - joints[:, person, PELVIS, None]
    valid = known[:, person]
    return _target(np.where(valid[..., None], value, 0).astype(np.float32), valid)


def _in_picture(
    sample: Sample, frames: Int64[np.ndarray, "t"], known: Bool[np.ndarray, "t p 25"]
) -> np.ndarray:
    """(t, p): whether at least half of the known joints with a place in pixels lie in the picture; True without any."""
    if sample.pose2d is None or not (sample.height and sample.width):
        return np.ones(known.shape[:2], bool)
    place, present = _at(sample, "pose2d", sample.pose2d, frames)
    placed = known & (place != 0).any(-1) & present[:, None, None]
    inside = placed & (place >= 0).all(-1) & (place <= [sample.width, sample.height]).all(-1)
    return np.asarray(2 * inside.sum(-1) >= placed.sum(-1))


def nearest_person(z: Float32[np.ndarray, "t p"], known: Bool[np.ndarray, "t p"]) -> int | None:
    """The person with the smallest median pelvis depth over the frames where it is known; None if there is nobody."""
    depths = [
        float(np.median(z[known[:, p], p])) if known[:, p].any() else np.inf
        for p in range(z.shape[1])
    ]
    return int(np.argmin(depths)) if np.isfinite(depths).any() else None


def boxes(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Boxes as cxcywh in [0, 1], float32 (T', O, 4): left hand, right hand, then active objects, larger first.

    A hand of unknown side takes a hand slot that is still free, so that sources without sides fill both as SViT does.
    Active objects with a track keep their slot over the clip: tracks are ordered by their summed area.
    """
    if sample.boxes is None:
        return None
    value = np.zeros((len(frames), config.num_boxes, 4), np.float32)
    valid = np.zeros((len(frames), config.num_boxes), bool)
    table = sample.boxes
    size = table.xyxy[:, 2:] - table.xyxy[:, :2]
    area = size.prod(1)
    slot_of = _track_slots(table, area, frames)
    for t, frame in enumerate(frames):
        for slot, row in _slots(table, area, int(frame), config.num_boxes, slot_of):
            value[t, slot] = *(table.xyxy[row, :2] + size[row] / 2), *size[row]
            valid[t, slot] = True
    return _target(value, valid)


def _track_slots(
    table: Boxes, area: Float32[np.ndarray, "n"], frames: Int64[np.ndarray, "t"]
) -> dict[int, int]:
    rows = np.flatnonzero(
        (table.role == ROLE_ACTIVE) & (table.track >= 0) & np.isin(table.frame, frames)
    )
    total = {
        int(track): float(area[rows][table.track[rows] == track].sum())
        for track in np.unique(table.track[rows])
    }
    return {
        track: rank
        for rank, track in enumerate(sorted(total, key=lambda track: (-total[track], track)))
    }


def _slots(
    table: Boxes,
    area: Float32[np.ndarray, "n"],
    frame: int,
    num_boxes: int,
    slot_of: Mapping[int, int],
) -> list[tuple[int, int]]:
    rows = np.flatnonzero(table.frame == frame)
    rows = rows[np.argsort(-area[rows], kind="stable")]
    taken: dict[int, int] = {}
    hands = rows[table.role[rows] == ROLE_HAND]
    for side in (SIDE_LEFT, SIDE_RIGHT):
        for row in hands[table.side[hands] == side][:1]:
            taken[side] = int(row)
    for row in hands[table.side[hands] < 0]:
        free = [slot for slot in (0, 1) if slot not in taken]
        if free:
            taken[free[0]] = int(row)
    active = rows[table.role[rows] == ROLE_ACTIVE]
    for row in active[table.track[active] >= 0]:
        taken.setdefault(2 + slot_of[int(table.track[row])], int(row))
    for row in active[table.track[active] < 0]:
        taken[
            next(slot for slot in range(2, 2 + len(rows) + len(slot_of)) if slot not in taken)
        ] = int(row)
    return [(slot, row) for slot, row in taken.items() if slot < num_boxes]


def action(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """The class id, int64 (); None where the sample has none, or has a time instead of a class."""
    if not isinstance(sample.action, int | np.integer) or sample.action < 0:
        return None
    return Target(np.array(sample.action, np.int64), np.array(True))


def _at(
    sample: Sample, field: str, value: np.ndarray, frames: Int64[np.ndarray, "t"]
) -> tuple[np.ndarray, Bool[np.ndarray, "t"]]:
    """The entries of a per-frame field at the asked frames, and which of these exist (others repeat some entry)."""
    have = sample.frames_of(field)
    if len(have) == 0:
        return np.zeros((len(frames), *value.shape[1:]), value.dtype), np.zeros(len(frames), bool)
    place = np.minimum(np.searchsorted(have, frames), len(have) - 1)
    return value[place], have[place] == frames


def _shown(
    sample: Sample,
    field: str,
    value: np.ndarray,
    valid: np.ndarray,
    frames: Int64[np.ndarray, "t"],
    blank: int,
) -> Target | None:
    """The maps at the asked frames; a frame without its map is masked and blank."""
    chosen, present = _at(sample, field, value, frames)
    chosen[~present] = blank
    return _target(chosen, _at(sample, field, valid, frames)[0] & present[:, None, None])


def _target(value: np.ndarray, valid: np.ndarray) -> Target | None:
    return Target(value, valid) if valid.any() else None


class Packed(NamedTuple):
    """Targets of one task for the rows of a batch that carry it, as in `pvit_data.loading.batch.Targets`."""

    rows: np.ndarray
    value: np.ndarray
    valid: np.ndarray


def pack(rows: Sequence[Mapping[str, Target]], empty: Mapping[str, Target]) -> dict[str, Packed]:
    """The targets of a batch's rows, packed by target name.

    Args:
        rows: targets of each row by name.
        empty: for each name a `Target` with a leading axis of length 0: shape and dtype where no row has it.
    """
    packed = {}
    for name, nothing in empty.items():
        index = [i for i, row in enumerate(rows) if name in row]
        value = np.stack([rows[i][name].value for i in index]) if index else nothing.value
        valid = np.stack([rows[i][name].valid for i in index]) if index else nothing.valid
        packed[name] = Packed(np.array(index, np.int64), value, valid)
    return packed
