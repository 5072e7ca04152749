"""The SynADL converter: what a video becomes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Integer, UInt8

from pvit_converters.annotations.frames import keep_frames, parse_frames
from pvit_converters.annotations.joint_maps import JointMap
from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.raw.files import read_yaml
from pvit_converters.raw.video import clip_of
from pvit_converters.raw.zips import read_place
from pvit_converters.synadl import geometry as geo
from pvit_converters.synadl.actions import action_space
from pvit_converters.synadl.examine import Frame, Pair, shift_of
from pvit_converters.synadl.info import INFO
from pvit_converters.synadl.joint_sets import SETS, Skeletons
from pvit_converters.synadl.layout import RANGES, Clip
from pvit_converters.synadl.listing import list_videos
from pvit_converters.synadl.options import SynadlOptions
from pvit_converters.synadl.pairing import pair_frames
from pvit_converters.synadl.skeleton import JOINTS, Skeleton
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Camera, Sample


class SynadlConverter(Converter[SynadlOptions]):
    """Converts SynADL videos with Kinect or OpenPose skeletons, unpacked or in zip archives."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = SynadlOptions

    def __init__(self, root: Path, options: SynadlOptions) -> None:
        super().__init__(root, options)
        parse_frames(options.frames)  # refused before any work
        if not self.root.is_dir():
            raise SourceError(
                f"{self.root}: no such folder; give the folder that holds RGB/ and Openpose/ or Kinect/"
            )
        self.skeletons = Skeletons(self.root, options.kinect_order)

    def spaces(self) -> dict[str, LabelSpace]:
        """The 55 actions."""
        path = self.options.label_map
        values = None if path is None else read_yaml(path, "--label-map")
        return {"action": action_space(values, f"--label-map {path}")}

    def list_items(self) -> Listing:
        """The selected videos, and the outcome of the self-check."""
        return list_videos(self.root, self.options, self.skeletons)

    def load(self, item: Item) -> Sample:
        """One video with its action and, where there is a skeleton, Kinect-25 joints in camera axes."""
        stem = item.ref["stem"]
        files = {kind: place.replace("*", stem) for kind, place in item.ref["files"].items()}
        clip = clip_of(
            read_place(self.root, files["rgb"]), files["rgb"], copy_video=self.options.copy_video
        )
        numbers = Clip(stem).numbers
        sample = Sample(
            key=item.key, group=item.group, rgb=clip.rgb, fps=clip.fps or self.options.fps
        )
        sample.num_frames, sample.height, sample.width = clip.num_frames, clip.height, clip.width
        sample.meta = {"stem": stem, "suffix": item.ref["suffix"], **numbers, "joint_source": ""}
        if 1 <= numbers["action"] <= RANGES["action"][1]:
            sample.action = numbers["action"] - 1
        warnings = list(clip.warnings)
        name = self._joint_set(item, files)
        if name is None:
            warnings.append("no-skeleton")
        else:
            warnings += self._add_pose(sample, item, files, name)
        sample.meta["warnings"] = sorted(set(warnings))
        keep_frames(sample, self.options.frames)
        return sample

    def _joint_set(self, item: Item, files: Mapping[str, str]) -> str | None:
        joints = self.options.joints
        names = tuple(SETS) if joints == "auto" else (joints,)
        usable = (n for n in names if SETS[n].solid in files and n in item.ref["frames"])
        return next(usable, None)

    def _add_pose(
        self, sample: Sample, item: Item, files: Mapping[str, str], name: str
    ) -> list[str]:
        scale, axes = item.ref["frames"][name]
        frame = Frame(scale, np.array(axes).reshape(3, 3))
        pair = self.skeletons.pair(files, name)
        shift = None
        if self.options.recenter == "pnp" and pair.flat is not None:
            shift = shift_of(frame, pair)
        place = pair_frames(
            sample.num_frames,
            pair.solid.index,
            files[SETS[name].solid],
            allow_mismatch=self.options.allow_length_mismatch,
        )
        points = frame.metres(pair.solid)
        if shift is not None:
            points = points + shift.vector
        self._add_joints(sample, pair, points, place, SETS[name].joint_map)
        people = pair.solid.people
        sample.meta |= {
            "joint_source": name,
            "recentred": shift is not None,
            "people": people,
        }
        warnings = ["joints-not-recentred"] if shift is None else _add_shift(sample, shift)
        if len(pair.solid.index) != sample.num_frames:
            warnings.append("lengths-of-video-and-skeleton-differ")
        return [*warnings, *(["several-people"] if people > 1 else [])]

    def _add_joints(
        self,
        sample: Sample,
        pair: Pair,
        points: np.ndarray,
        place: Integer[np.ndarray, "m"],
        joint_map: JointMap,
    ) -> None:
        """Joints of the entries that have a frame, in the order of the frames."""
        solid = pair.solid
        usable = solid.finite if self.options.use_occluded_joints else solid.finite & solid.visible
        joints, valid = _kinect(joint_map, points, solid, usable)
        entries = np.flatnonzero(place >= 0)
        entries = entries[np.argsort(place[entries], kind="stable")]
        if not len(entries):
            return
        sample.frames["pose3d"] = place[entries]
        sample.pose3d, sample.pose3d_valid = joints[entries], valid[entries]
        if pair.flat is not None:
            sample.pose2d = _pixels(sample, joint_map, solid, pair.flat, entries)


def _kinect(
    joint_map: JointMap, points: np.ndarray, solid: Skeleton, usable: np.ndarray
) -> tuple[Float32[np.ndarray, "m p 25 3"], UInt8[np.ndarray, "m p 25"]]:
    """Kinect joints. Where a joint is occluded its place is kept, with validity 0."""
    everything, _ = joint_map.apply(points, solid.finite)
    joints, valid = joint_map.apply(points, usable)
    return np.where((valid > 0)[..., None], joints, everything), valid


def _pixels(
    sample: Sample,
    joint_map: JointMap,
    solid: Skeleton,
    flat: Skeleton,
    entries: Integer[np.ndarray, "n"],
) -> Float32[np.ndarray, "n p 25 2"]:
    """2D joints of the entries of the 3D file, in pixels of the video, zero where there are none."""
    out = np.zeros((len(entries), solid.people, JOINTS, 2), np.float32)
    joints, _ = joint_map.apply(flat.joints, flat.finite)
    scale = np.array([sample.width / geo.WIDTH, sample.height / geo.HEIGHT], np.float32)
    rows = {int(index): row for row, index in enumerate(flat.index)}
    people = min(solid.people, flat.people)
    for i, entry in enumerate(entries):
        if (row := rows.get(int(solid.index[entry]))) is not None:
            out[i, :people] = joints[row, :people] * scale
    return out


def _add_shift(sample: Sample, shift: geo.Shift) -> list[str]:
    """The translation that was found, and the camera where joints then fall on their pixels."""
    miss = shift.misfit if np.isfinite(shift.misfit) else -1.0
    sample.meta |= {
        "translation": shift.vector.round(6).tolist(),
        "joint_misfit": round(miss, 3),
    }
    if not shift.misfit <= geo.MAX_MISFIT:
        return ["joints-do-not-project"]
    x, y = sample.width / geo.WIDTH, sample.height / geo.HEIGHT
    k = [[geo.FOCAL * x, 0, sample.width / 2], [0, geo.FOCAL * y, sample.height / 2], [0, 0, 1]]
    sample.camera = Camera(np.array([k], np.float32))
    return []
