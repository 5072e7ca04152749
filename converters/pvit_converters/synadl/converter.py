"""The SynADL converter: which videos there are, what holds for their skeletons, and what one becomes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8

from pvit_converters.annotations.frames import keep_frames, parse_frames
from pvit_converters.annotations.joint_maps import FROM_BODY25, FROM_KINECT, JointMap
from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.raw.files import read_yaml
from pvit_converters.raw.video import clip_of
from pvit_converters.raw.zips import read_place
from pvit_converters.synadl import geometry as geo
from pvit_converters.synadl.actions import action_space
from pvit_converters.synadl.examine import CLIPS, Frame, Pair, examine, shift_of
from pvit_converters.synadl.info import INFO
from pvit_converters.synadl.layout import RANGES, Clip, Found, find_clips, folders_of
from pvit_converters.synadl.options import SynadlOptions
from pvit_converters.synadl.pairing import pair_frames
from pvit_converters.synadl.skeleton import JOINTS, Skeleton, parse_skeleton
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.kinect25 import NAMES
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Camera, Sample

PAPER_CLIPS = 48_800
_SETS = {"kinect": ("k3d", "k2d"), "openpose": ("op3d", "op2d")}
_MAPS = {"kinect": FROM_KINECT, "openpose": FROM_BODY25}
_LABELS = {"kinect": "Kinect", "openpose": "OpenPose"}
_RECODED = 0.35  # bytes of H.264 per byte of motion JPEG


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

    def spaces(self) -> dict[str, LabelSpace]:
        """The 55 actions."""
        path = self.options.label_map
        values = None if path is None else read_yaml(path, "--label-map")
        return {"action": action_space(values, f"--label-map {path}")}

    @cached_property
    def _order(self) -> list[int] | None:
        """Where each Kinect joint stands in the files, from the user's list; None: in Kinect's order."""
        path = self.options.kinect_order
        if path is None:
            return None
        names = read_yaml(path, "--kinect-order")
        if not isinstance(names, list) or sorted(map(str, names)) != sorted(NAMES):
            raise UsageError(
                f"--kinect-order {path}: expected a list of these 25 names: {', '.join(NAMES)}"
            )
        return [names.index(name) for name in NAMES]

    # ---- which videos there are ------------------------------------------------------------------------------

    def list_items(self) -> Listing:
        """The selected videos, and the outcome of the self-check."""
        path = self.options.layout
        folders = (
            {} if path is None else folders_of(read_yaml(path, "--layout"), f"--layout {path}")
        )
        found = find_clips(self.root, folders, from_zip=self.options.from_zip)
        if not any("rgb" in clip.files for clip in found.clips.values()):
            raise SourceError(self._nothing_found(found))
        if found.unplaced and not any(
            {"k3d", "op3d"} & clip.files.keys() for clip in found.clips.values()
        ):
            raise SourceError(
                f"{self.root / found.unplaced[0]}: {len(found.unplaced)} skeleton files lie in folders that don't say "
                "Kinect or OpenPose and 2DJ or 3DJ; give --layout FILE.yaml with a line such as "
                "synadl: {k3d: FOLDER, k2d: FOLDER}, or move them away to convert the videos alone",
                reason="unknown-layout",
            )
        chosen = [clip for _, clip in sorted(found.clips.items()) if self._is_wanted(clip)]
        clips = [clip for clip in chosen if "rgb" in clip.files]
        absent = (
            {"video of the skeleton not present": len(chosen) - len(clips)}
            if len(chosen) > len(clips)
            else {}
        )
        clips, notes = self._draw(clips)
        if not clips:
            raise SourceError(
                f"{self.root}: none of the {len(found.clips)} videos there is selected by the options"
            )
        frames, sentences = self._examine(clips)
        told = {name: [frame.scale, frame.axes.ravel().tolist()] for name, frame in frames.items()}
        shared: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        items = [self._item(clip, told, shared) for clip in clips]
        return Listing(items, absent, [*notes, *self._notes(found, clips), *sentences])

    def _is_wanted(self, clip: Clip) -> bool:
        numbers = clip.numbers
        wanted = {"action": self.options.actions, "person": self.options.subjects}
        wanted |= {"group": self.options.groups, "camera": self.options.cameras}
        return all(
            not values or numbers[name] in _numbers(values) for name, values in wanted.items()
        )

    def _draw(self, clips: list[Clip]) -> tuple[list[Clip], list[str]]:
        limit = self.options.max_clips or (PAPER_CLIPS if self.options.preset == "paper" else 0)
        notes = []
        if self.options.preset == "paper":
            notes.append(
                f"paper: it trains on 48.8 thousand of the 462,000 videos; which ones is unknown, so {PAPER_CLIPS:,} "
                "are drawn by a hash of the file name"
            )
        if not limit or limit >= len(clips):
            return clips, notes
        order = sorted(
            clips, key=lambda c: hashlib.sha256(f"{self.options.seed}:{c.stem}".encode()).digest()
        )[:limit]
        drawn = sorted(order, key=lambda clip: clip.stem)
        mark = hashlib.sha256("\n".join(clip.stem for clip in drawn).encode()).hexdigest()[:16]
        notes.append(
            f"{limit:,} of {len(clips):,} videos drawn with seed {self.options.seed} (list {mark})"
        )
        return drawn, notes

    def _item(
        self,
        clip: Clip,
        frames: dict[str, list[Any]],
        shared: dict[tuple[tuple[str, str], ...], dict[str, str]],
    ) -> Item:
        """A plan may hold half a million items: places have `*` for the stem, so that most clips share theirs."""
        files = {kind: place.replace(clip.stem, "*") for kind, place in clip.files.items()}
        ref: dict[str, Any] = {"stem": clip.stem, "suffix": clip.suffix, "frames": frames}
        ref["files"] = shared.setdefault(tuple(files.items()), files)
        group = clip.stem.rsplit("_C", 1)[0].lower()
        size = 32_768 + int(clip.size if self.options.copy_video else _RECODED * clip.size)
        return Item(f"synadl-{clip.stem.lower()}", group, self._split(clip), ref, size)

    def _split(self, clip: Clip) -> str:
        if self.options.preset == "paper":
            return "train"
        if not (self.options.val_subjects or self.options.val_cameras):
            return ""
        numbers = clip.numbers
        is_val = numbers["person"] in _numbers(self.options.val_subjects) or numbers[
            "camera"
        ] in _numbers(self.options.val_cameras)
        return "val" if is_val else "train"

    def _notes(self, found: Found, clips: list[Clip]) -> list[str]:
        counts = Counter(kind for clip in clips for kind in clip.files)
        notes = [
            f"{len(clips):,} videos; "
            + ", ".join(f"{counts[kind]:,} {kind}" for kind in counts if kind != "rgb")
        ]
        odd = sum(
            not all(low <= clip.numbers[name] <= high for name, (low, high) in RANGES.items())
            for clip in clips
        )
        if odd:
            notes.append(f"{odd} file names have numbers outside A1-55, P101-115, G1-20, C1-28")
        if found.doubled:
            notes.append(
                f"{found.doubled} files are there twice; the one with the shorter name was used"
            )
        if found.archives and not self.options.from_zip:
            notes.append(
                f"{len(found.archives)} archives, first {found.archives[0]}, are not read; unzip or --from-zip"
            )
        if found.unplaced:
            notes.append(
                f"{len(found.unplaced)} skeleton files lie in folders that don't say Kinect or OpenPose and 2DJ or "
                f"3DJ, first {found.unplaced[0]}; --layout names their folders"
            )
        return notes

    def _nothing_found(self, found: Found) -> str:
        what = f"{len(found.clips)} skeletons without videos" if found.clips else "no video"
        leftover = (
            f"; {found.archives[0]} is not unpacked (unzip it, or pass --from-zip)"
            if found.archives
            else ""
        )
        return f"{self.root}: {what}; expected files such as RGB/A001_P101_G001_C001.avi{leftover}. {INFO.obtain}"

    # ---- what holds for all of them --------------------------------------------------------------------------

    def _examine(self, clips: list[Clip]) -> tuple[dict[str, Frame], list[str]]:
        """Units and axes of each joint set, and whether Kinect's order holds.

        Raises:
            SourceError: if Kinect's files fail and were not ruled out.
        """
        samples: dict[str, list[tuple[str, Pair]]] = {}
        frames: dict[str, Frame] = {}
        notes: list[str] = []
        wanted = ("kinect", "openpose") if self.options.joints == "auto" else (self.options.joints,)
        for name in ("kinect", "openpose") if self.options.joints != "openpose" else ("openpose",):
            samples[name], error = self._sample(clips, name)
            is_main = name in wanted and not frames
            if error is not None and is_main:
                hint = (
                    "; --joints openpose does without the Kinect files" if name == "kinect" else ""
                )
                raise SourceError(
                    f"{error} (and so is every other file that was tried){hint}",
                    reason=error.reason,
                )
            if error is None and samples[name]:
                try:
                    pairs = [pair for _, pair in samples[name]]
                    found = examine(
                        pairs,
                        _LABELS[name],
                        self.options.joint_scale,
                        self.options.joint_axes,
                        is_main,
                    )
                    frames[name], notes = found, [*notes, *found.sentences]
                except SourceError as unknown:
                    if is_main:
                        raise
                    error = unknown
            notes += [] if error is None else [f"{_LABELS[name]} files are not used: {error}"]
        if "kinect" in frames:
            notes.append(self._check_order(frames, samples))
        if not frames:
            notes.append("no 3D skeletons: the samples have videos and actions only")
        return frames, notes

    def _sample(
        self, clips: list[Clip], name: str
    ) -> tuple[list[tuple[str, Pair]], SourceError | None]:
        """The skeletons of some clips by stem, without those that cannot be read, which the conversion will report.

        Clips that have both sets are preferred, so that the sets can be compared.

        Returns:
            The skeletons, and an error where there are files and none of those tried can be read.
        """
        with_it = [clip for clip in clips if _SETS[name][0] in clip.files]
        with_it = [
            clip for clip in with_it if all(kind in clip.files for kind, _ in _SETS.values())
        ] or with_it
        out, first = [], None
        for clip in with_it[:: max(1, len(with_it) // CLIPS)][:CLIPS]:
            try:
                out.append((clip.stem, self._pair(clip.files, name)))
            except SourceError as error:
                first = first or error
        return out, None if out else first

    def _pair(self, files: Mapping[str, str], name: str) -> Pair:
        solid_kind, flat_kind = _SETS[name]
        solid = self._skeleton(files[solid_kind], 3, name)
        return Pair(
            solid, self._skeleton(files[flat_kind], 2, name) if flat_kind in files else None
        )

    def _skeleton(self, place: str, dimensions: int, name: str) -> Skeleton:
        found = parse_skeleton(read_place(self.root, place), place, dimensions)
        if name == "kinect" and self._order is not None:
            return Skeleton(
                found.index, found.joints[:, :, self._order], found.visible[:, :, self._order]
            )
        return found

    def _check_order(
        self, frames: Mapping[str, Frame], samples: Mapping[str, list[tuple[str, Pair]]]
    ) -> str:
        kinect, openpose = dict(samples["kinect"]), dict(samples["openpose"])
        common = sorted(kinect.keys() & openpose.keys()) if "openpose" in frames else []
        if common:
            a = [frames["kinect"].metres(kinect[stem].solid) for stem in common]
            b = [frames["openpose"].metres(openpose[stem].solid) for stem in common]
            check = geo.compare_order(a, b)
        else:
            check = geo.check_body(
                [frames["kinect"].metres(pair.solid) for pair in kinect.values()]
            )
        if not check.is_good:
            raise SourceError(
                f"Kinect files are not in Kinect's joint order: {check.sentence}; give --kinect-order FILE.yaml "
                "with the 25 joint names in the files' order, or --joints openpose",
                reason="joint-order",
            )
        return (
            f"check of Kinect's joint order on {len(common) or len(kinect)} clips: {check.sentence}"
        )

    # ---- what a video becomes --------------------------------------------------------------------------------

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
        names = {"auto": ("kinect", "openpose")}.get(self.options.joints, (self.options.joints,))
        return next((n for n in names if _SETS[n][0] in files and n in item.ref["frames"]), None)

    def _add_pose(
        self, sample: Sample, item: Item, files: Mapping[str, str], name: str
    ) -> list[str]:
        scale, axes = item.ref["frames"][name]
        frame, pair, warnings = (
            Frame(scale, np.array(axes).reshape(3, 3)),
            self._pair(files, name),
            [],
        )
        solid = pair.solid
        place = pair_frames(
            sample.num_frames,
            solid.index,
            files[_SETS[name][0]],
            allow_mismatch=self.options.allow_length_mismatch,
        )
        points, shift = frame.metres(solid), None
        if self.options.recenter == "pnp" and pair.flat is not None:
            shift = shift_of(frame, pair)
            points = points + shift.vector
        usable = solid.finite if self.options.use_occluded_joints else solid.finite & solid.visible
        joints, valid = _kinect(_MAPS[name], points, solid, usable)
        kept = place >= 0
        if kept.any():
            order = np.argsort(place[kept], kind="stable")
            sample.frames["pose3d"] = place[kept][order]
            sample.pose3d, sample.pose3d_valid = joints[kept][order], valid[kept][order]
            if pair.flat is not None:
                sample.pose2d = self._pixels(sample, _MAPS[name], pair, np.flatnonzero(kept)[order])
        sample.meta |= {
            "joint_source": name,
            "recentred": shift is not None,
            "people": solid.people,
        }
        if shift is None:
            warnings.append("joints-not-recentred")
        else:
            miss = shift.misfit if np.isfinite(shift.misfit) else -1.0
            sample.meta |= {
                "translation": shift.vector.round(6).tolist(),
                "joint_misfit": round(miss, 3),
            }
            warnings += self._add_camera(sample, shift.misfit)
        if len(solid.index) != sample.num_frames:
            warnings.append("lengths-of-video-and-skeleton-differ")
        if solid.people > 1:
            warnings.append("several-people")
        return warnings

    def _add_camera(self, sample: Sample, misfit: float) -> list[str]:
        if not misfit <= geo.MAX_MISFIT:
            return ["joints-do-not-project"]
        x, y = sample.width / geo.WIDTH, sample.height / geo.HEIGHT
        k = [[geo.FOCAL * x, 0, sample.width / 2], [0, geo.FOCAL * y, sample.height / 2], [0, 0, 1]]
        sample.camera = Camera(np.array([k], np.float32))
        return []

    def _pixels(
        self, sample: Sample, joint_map: JointMap, pair: Pair, entries: np.ndarray
    ) -> Float32[np.ndarray, "n p 25 2"]:
        """2D joints of the kept entries, in pixels of the video, zero where there are none."""
        assert pair.flat is not None
        out = np.zeros((len(entries), pair.solid.people, JOINTS, 2), np.float32)
        flat, _ = joint_map.apply(pair.flat.joints, pair.flat.finite)
        scale = np.array([sample.width / geo.WIDTH, sample.height / geo.HEIGHT], np.float32)
        rows = {int(index): row for row, index in enumerate(pair.flat.index)}
        people = min(pair.solid.people, pair.flat.people)
        for i, entry in enumerate(entries):
            if (row := rows.get(int(pair.solid.index[entry]))) is not None:
                out[i, :people] = flat[row, :people] * scale
        return out


def _kinect(
    joint_map: JointMap, points: np.ndarray, solid: Skeleton, usable: np.ndarray
) -> tuple[Float32[np.ndarray, "m p 25 3"], UInt8[np.ndarray, "m p 25"]]:
    """Kinect joints. Where a joint is occluded its place is kept, with validity 0."""
    everything, _ = joint_map.apply(points, solid.finite)
    joints, valid = joint_map.apply(points, usable)
    return np.where((valid > 0)[..., None], joints, everything), valid


def _numbers(values: tuple[str, ...]) -> set[int]:
    try:
        return {int(value) for value in values}
    except ValueError as error:
        raise UsageError(f"{','.join(values)}: expected numbers such as 1,5,9") from error
