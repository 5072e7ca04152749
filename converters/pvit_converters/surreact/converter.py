"""The SURREACT converter: which clips there are, what the self-check says of each set, and what a clip becomes."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pvit_converters.annotations.frames import keep_frames, parse_frames
from pvit_converters.annotations.kinect import find_recording
from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.raw.video import read_clip
from pvit_converters.surreact import maps
from pvit_converters.surreact.actions import ACTIONS, action_of
from pvit_converters.surreact.camera import HEIGHT, UP, WIDTH, K, View, project
from pvit_converters.surreact.checks import CLIPS, Evidence, Geometry, Outcome, examine
from pvit_converters.surreact.info import INFO
from pvit_converters.surreact.layout import PAPER, Clip, Found, find_clips, missing_sets
from pvit_converters.surreact.options import SurreactOptions
from pvit_converters.surreact.parts import SMPL14, SMPL24, TO_14
from pvit_converters.surreact.person import Info, read_info
from pvit_converters.surreact.pose import Pose, from_recording, from_smpl
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Camera, Sample

MIN_AGREEMENT = 0.95
"""Overlap of body parts and depth, below which they come from different renderings (spec surreact, section 10)."""

DEPTH_CLIPS = 8
_SHRINK = {"mp4": 1.0, "segm": 0.6, "depth": 0.4, "normal": 0.3}
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

    @cached_property
    def _found(self) -> Found:
        return find_clips(self.root, self.options.estimator)

    # ---- which clips there are -------------------------------------------------------------------------------

    def list_items(self) -> Listing:
        """The selected clips that have a video, and the outcome of the self-check of every set."""
        found = self._found
        if not any("mp4" in clip.files for clip in found.clips.values()):
            raise SourceError(self._nothing_found(found))
        chosen = [clip for key, clip in sorted(found.clips.items()) if self._is_wanted(clip)]
        clips = [clip for clip in chosen if "mp4" in clip.files]
        if not clips:
            raise SourceError(
                f"{self.root}: none of the {len(found.clips)} clips there is selected by the options"
            )
        by_set: dict[tuple[str, str], list[Clip]] = {}
        for clip in clips:
            by_set.setdefault(clip.set, []).append(clip)
        outcomes, notes = {}, self._notes(found, clips)
        for name, members in sorted(by_set.items()):
            outcomes[name], sentences = self._examine("/".join(name), members)
            notes += sentences
        absent = (
            {"video of the clip not present": len(chosen) - len(clips)}
            if len(chosen) > len(clips)
            else {}
        )
        return Listing([self._item(clip, *outcomes[clip.set]) for clip in clips], absent, notes)

    def _is_wanted(self, clip: Clip) -> bool:
        if self.options.preset == "paper" and (*clip.set, clip.split) not in PAPER:
            return False
        views = {int(view) for view in self.options.views if view.isdecimal()}
        return (
            (not self.options.sets or "/".join(clip.set) in self.options.sets)
            and self.options.split in ("all", clip.split)
            and (not self.options.views or clip.view in views)
        )

    def _item(self, clip: Clip, outcome: Outcome, is_distance: bool) -> Item:
        ref: dict[str, Any] = {
            "files": clip.files,
            "sequence": clip.sequence,
            "view": clip.view,
            "set": list(clip.set),
        }
        ref |= {
            "geometry": list(outcome.geometry),
            "turn": outcome.flips_maps,
            "pose": outcome.sides_agree,
        }
        ref["distance"] = is_distance
        size = 16_384 + int(sum(_SHRINK.get(kind, 0.0) * size for kind, size in clip.size.items()))
        return Item(clip.key, clip.group, clip.split, ref, size)

    def _examine(self, name: str, clips: list[Clip]) -> tuple[tuple[Outcome, bool], list[str]]:
        """The self-check of a set: geometry, orientation, sides, kind of depth."""
        with_info = [clip for clip in clips if "info" in clip.files]
        if not with_info:
            return (Outcome(), False), [
                f"{name}: no _info.mat, so no joints; unpack the archive of the set again"
            ]
        picked = _spread(with_info, CLIPS)
        evidence = [e for clip in picked if (e := self._evidence(clip)) is not None]
        outcome = examine(evidence)
        notes = [outcome.sentence(name)]
        with_depth = [clip for clip in with_info if "depth" in clip.files]
        is_distance, sentence = self._depth_kind(with_depth, outcome)
        told = [
            sentence,
            self._same_rendering([clip for clip in with_depth if "segm" in clip.files]),
        ]
        return (outcome, is_distance), [*notes, *(f"{name}: {each}" for each in told if each)]

    def _evidence(self, clip: Clip) -> Evidence | None:
        """What one clip says; None if it cannot be read, which the conversion will report."""
        try:
            info = read_info(self.root / clip.files["info"])
            segm, frames = None, info.length
            if "segm" in clip.files:
                series = maps.Series.open(self.root / clip.files["segm"], "segm")
                frames = min(frames, series.length)
                segm = maps.read_parts(series, 1)[0]
            return Evidence(info, clip.view, frames, segm)
        except SourceError:
            return None

    def _depth_kind(self, clips: list[Clip], outcome: Outcome) -> tuple[bool, str]:
        if not clips:
            return False, ""
        if self.options.depth_kind != "auto":
            return (
                self.options.depth_kind == "distance",
                f"depth is taken as {self.options.depth_kind} (--depth-kind)",
            )
        errors = []
        for clip in _spread([c for c in clips if "normal" in c.files], DEPTH_CLIPS):
            try:
                depth = maps.Series.open(
                    self.root / clip.files["depth"], "depth", outcome.flips_maps
                )
                normal = maps.Series.open(
                    self.root / clip.files["normal"], "normal", outcome.flips_maps
                )
                view = outcome.geometry.view(read_info(self.root / clip.files["info"]), clip.view)
                frame = min(depth.length, normal.length) // 2
                errors.append(
                    maps.angle_errors(
                        depth.read(frame), maps.camera_normals(normal.read(frame), view)
                    )
                )
            except SourceError:
                continue
        return maps.decide_kind(errors)

    def _same_rendering(self, clips: list[Clip]) -> str:
        """Whether depth belongs to the released maps; clips whose depth doesn't are converted without it."""
        shares = []
        for clip in _spread(clips, min(DEPTH_CLIPS, 1 + len(clips) // CLIPS)):
            try:
                segm = maps.Series.open(self.root / clip.files["segm"], "segm")
                depth = maps.Series.open(self.root / clip.files["depth"], "depth")
                frames = min(segm.length, depth.length, 1)
                shares.append(
                    maps.agreement(
                        maps.read_parts(segm, frames), maps.read_depth(depth, frames, False)
                    )
                )
            except SourceError:
                continue
        if not shares:
            return ""
        foreign = sum(share < MIN_AGREEMENT for share in shares)
        text = f"people in depth and body parts overlap by {min(shares):.0%} at least ({len(shares)} clips)"
        return (
            f"{text}; {foreign} OF THEM ARE OF ANOTHER RENDERING, such depth is left out"
            if foreign
            else text
        )

    def _notes(self, found: Found, clips: list[Clip]) -> list[str]:
        counts = Counter((*clip.set, clip.split) for clip in clips)
        notes = missing_sets(counts, PAPER if self.options.preset == "paper" else ())
        if self.options.preset == "paper":
            total = sum(counts[name] for name in PAPER)
            notes.append(
                f"paper: {total:,} of 108,316 videos; that these two sets are the paper's 108.3 thousand is inferred "
                "from their number, its depth and joints have no published source"
            )
        if found.doubled:
            notes.append(f"{found.doubled} files are there twice; the first was used")
        if found.splitless:
            notes.append(
                f"{found.splitless} clips lie neither in train/ nor in test/; they count as training data"
            )
        for kind in ("info", "segm"):
            if without := sum(kind not in clip.files for clip in clips):
                leftover = (
                    f"; {found.archives[0]} lies there, is it unpacked?" if found.archives else ""
                )
                notes.append(f"{without} clips have no _{kind}.mat{leftover}")
        return notes

    def _nothing_found(self, found: Found) -> str:
        what = f"{len(found.clips)} clips without their videos" if found.clips else "no clip"
        leftover = f"; {found.archives[0]} is not unpacked" if found.archives else ""
        return (
            f"{self.root}: {what}; expected files such as ntu/vibe/train/S001C002P003R002A001/"
            f"S001C002P003R002A001_v045_r00.mp4{leftover}. {INFO.obtain}"
        )

    # ---- what a clip becomes ---------------------------------------------------------------------------------

    def load(self, item: Item) -> Sample:
        """One clip: its video as it is, its annotations for the frames that all of its files have."""
        files = {kind: self.root / path for kind, path in item.ref["files"].items()}
        video = read_clip(files["mp4"])
        with_body = self.options.smpl_models is not None
        info = read_info(files["info"], with_body=with_body) if "info" in files else None
        series = {
            name: maps.Series.open(files[name], name, bool(item.ref["turn"]))
            for name in ("segm", "depth", "normal")
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
        }
        sample.meta |= {
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
            for name in ("segm", "depth", "normal", "pose3d", "pose2d", "pose3d_valid"):
                if getattr(sample, name) is not None:
                    sample.frames[name] = np.arange(frames)
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
        if "depth" not in series and "normal" not in series:
            return []
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


def _spread(clips: list[Clip], count: int) -> list[Clip]:
    """At most so many of them, evenly."""
    return clips if len(clips) <= count else [clips[i * len(clips) // count] for i in range(count)]
