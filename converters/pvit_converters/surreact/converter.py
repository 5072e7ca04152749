"""The SURREACT converter: what a clip becomes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pvit_converters.annotations.frames import keep_frames, name_frames, parse_frames
from pvit_converters.annotations.kinect import find_recording
from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.raw.video import read_clip
from pvit_converters.surreact import maps
from pvit_converters.surreact.camera import HEIGHT, UP, WIDTH, K, View, project
from pvit_converters.surreact.checks import MIN_AGREEMENT, Geometry
from pvit_converters.surreact.classes import ACTIONS, SMPL14, SMPL24, TO_14, action_of
from pvit_converters.surreact.info import INFO
from pvit_converters.surreact.listing import list_clips
from pvit_converters.surreact.options import SurreactOptions
from pvit_converters.surreact.person import Info, read_info
from pvit_converters.surreact.pose import Pose, from_recording, from_smpl
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Camera, Sample

_BROKEN_RECORDINGS = {"S013C003P019R002A027", "S012C003P015R002A060"}


class SurreactConverter(Converter[SurreactOptions]):
    """Converts SURREACT sets, with maps and recordings that the user adds."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = SurreactOptions

    def __init__(self, root: Path, options: SurreactOptions) -> None:
        super().__init__(root, options)
        parse_frames(options.frames)  # refused before any work
        if not self.root.is_dir():
            raise SourceError(
                f"{self.root}: no such folder; give the folder into which SURREACT's archives were unpacked"
            )
        if options.skeletons is not None and not options.skeletons.is_dir():
            raise UsageError(f"--skeletons {options.skeletons}: no such folder")

    def spaces(self) -> dict[str, LabelSpace]:
        """Body parts (24 or 14) and actions."""
        return {"segm": SMPL24 if self.options.parts == "24" else SMPL14, "action": ACTIONS}

    def list_items(self) -> Listing:
        """The selected clips that have a video, and the outcome of the self-check of every set."""
        return list_clips(self.root, self.options)

    def load(self, item: Item) -> Sample:
        """One clip: its video as it is, its annotations for the frames that all of its files have."""
        files = {kind: self.root / path for kind, path in item.ref["files"].items()}
        video = read_clip(files["mp4"])
        with_body = self.options.smpl_models is not None
        info = read_info(files["info"], with_body=with_body) if "info" in files else None
        series = {
            name: maps.Series.open(files[name], name, bool(item.ref["turn"]))
            for name in maps.SHAPES
            if name in files
        }
        lengths = [video.num_frames, *(s.length for s in series.values())]
        frames = min(lengths if info is None else [*lengths, info.length])
        action, label = action_of(item.ref["sequence"])
        sample = Sample(key=item.key, group=item.group, rgb=video.rgb, fps=video.fps, action=action)
        sample.num_frames, sample.height, sample.width = video.num_frames, video.height, video.width
        sample.meta = {
            "sequence": item.ref["sequence"],
            "view": item.ref["view"],
            "action_label": label,
            "set": "/".join(item.ref["set"]),
            "split": item.split,
            "annotated_frames": frames,
        }
        warnings = list(video.warnings)
        if len({*lengths, frames}) > 1:
            warnings.append("lengths-of-files-differ")
        if frames == 0:
            warnings.append("no-annotated-frame")
        elif (video.height, video.width) != (HEIGHT, WIDTH):
            raise SourceError(
                f"{files['mp4']}: {video.width}x{video.height} pixels, expected {WIDTH}x{HEIGHT}",
                reason="wrong-shape",
            )
        else:
            warnings += self._annotate(sample, item, info, series, frames)
        sample.meta["warnings"] = sorted(set(warnings))
        keep_frames(sample, self.options.frames)
        return sample

    def _annotate(
        self,
        sample: Sample,
        item: Item,
        info: Info | None,
        series: dict[str, maps.Series],
        frames: int,
    ) -> list[str]:
        geometry = Geometry(*item.ref["geometry"])
        view = geometry.view(info, int(item.ref["view"])) if info is not None else None
        warnings: list[str] = []
        parts = maps.read_parts(series["segm"], frames) if "segm" in series else None
        warnings += self._add_maps(sample, series, frames, view, bool(item.ref["distance"]), parts)
        if parts is not None:
            sample.segm = parts if self.options.parts == "24" else TO_14[parts]
        if info is not None and view is not None:
            warnings += self._add_pose(sample, item, info, view, geometry, frames)
        if frames < sample.num_frames:
            name_frames(sample, np.arange(frames))
        return warnings

    def _add_maps(
        self,
        sample: Sample,
        series: dict[str, maps.Series],
        frames: int,
        view: View | None,
        is_distance: bool,
        parts: Any,
    ) -> list[str]:
        depth = maps.read_depth(series["depth"], frames, is_distance) if "depth" in series else None
        if depth is not None and parts is not None and maps.agreement(parts, depth) < MIN_AGREEMENT:
            return ["depth-and-normals-of-another-rendering-left-out"]
        sample.depth = depth
        if "normal" in series and view is None:
            return ["normals-without-camera-left-out"]
        if "normal" in series and view is not None:
            sample.normal = maps.read_normals(series["normal"], frames, view)
        return []

    def _add_pose(
        self, sample: Sample, item: Item, info: Info, view: View, geometry: Geometry, frames: int
    ) -> list[str]:
        sample.meta |= {"gender": "female" if info.is_female else "male", "cam_dist": info.distance}
        sample.meta |= {"cam_height": info.height, "geometry": str(geometry)}
        pose = self._recorded(item, frames, info.joints3d.shape[1])
        if pose is not None:
            sample.meta["joint_source"] = "kinect"
            sample.pose3d, sample.pose3d_valid = pose.joints, pose.valid
            return list(pose.warnings)
        miss = geometry.misfit(info, int(item.ref["view"]), frames)
        sample.meta["joint_misfit"] = round(miss, 3) if np.isfinite(miss) else -1.0
        world = view.world_from_camera()
        if miss > self.options.min_fit:
            return ["joints-do-not-project-left-out"]
        if not item.ref["pose"]:
            return ["joints-on-the-wrong-side-left-out"]
        sample.camera = Camera(
            K[None].copy(), None if world is None else world[None], UP if world is not None else ""
        )
        pose = from_smpl(info, view, frames, self.options.smpl_models)
        sample.meta["joint_source"] = "smpl"
        self._store(sample, pose)
        missing = self.options.skeletons is not None and item.ref["view"] == 0
        return [*pose.warnings, *(["no-recording-of-the-front-view"] if missing else [])]

    @staticmethod
    def _store(sample: Sample, pose: Pose) -> None:
        sample.pose3d, sample.pose3d_valid = pose.joints, pose.valid
        there = (pose.valid > 0) & (pose.joints[..., 2] > 0)
        flat = project(np.where(there[..., None], pose.joints, 1.0))
        sample.pose2d = np.where(there[..., None], flat, 0).astype(np.float32)

    def _recorded(self, item: Item, frames: int, people: int) -> Pose | None:
        """The original recording of a front view; None if it is not there, or shows nobody as some of NTU's do."""
        sequence = item.ref["sequence"]
        if (
            self.options.skeletons is None
            or item.ref["view"] != 0
            or sequence in _BROKEN_RECORDINGS
        ):
            return None
        name = sequence.removesuffix(".avi").removesuffix("_color")
        # UESTC itself writes some persons with two digits, SURREACT all with three (spec surreact, section 2).
        for each in (name, re.sub(r"_p0(\d\d)_", r"_p\1_", name)):
            if (path := find_recording(self.options.skeletons, each)) is not None:
                try:
                    return from_recording(path, frames, people)
                except SourceError as error:
                    if error.reason != "empty-skeleton":
                        raise
        return None
