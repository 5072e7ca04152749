"""Which Hypersim frames there are: the released ones whose files are present, and a check of their cameras."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from pvit_converters.base import Item, Listing
from pvit_converters.evenly import evenly
from pvit_converters.hypersim.checks import (
    FRAMES_PER_CHECK,
    SCENES,
    compare,
    sentence,
    share_flipped,
)
from pvit_converters.hypersim.frame import Frame, view_of
from pvit_converters.hypersim.layout import Trajectory, find_trajectories, has_content
from pvit_converters.hypersim.options import HypersimOptions
from pvit_converters.hypersim.tables import Tables, is_broken
from pvit_data.errors import SourceError

_SHRINK = {
    "color": 0.1,
    "tonemap": 1.0,
    "depth": 0.65,
    "normal_world": 0.4,
    "normal_cam": 0.0,
    "semantic": 1.0,
}
"""Bytes in a shard per byte in the raw file, measured on 1024x768 frames; only shard sizes depend on it."""

_UNUSED = {"hdf5": "tonemap", "jpg": "color"}
"""The colour file that a choice of `--rgb` leaves out."""

_CHECKED = ("normal_cam", "normal_world", "position", "depth")
"""Files that are compared with each other."""


def list_frames(folder: Path, tables: Tables, options: HypersimOptions) -> Listing:
    """The released frames that are there and that the options select.

    Args:
        folder: of the scenes.
        tables: released frames and cameras.
        options: of the converter.

    Raises:
        SourceError: if there is none, or a scene's camera is unknown.
    """
    return _Frames(folder, tables, options).listing()


class _Frames:
    """The frames of one tree."""

    def __init__(self, folder: Path, tables: Tables, options: HypersimOptions) -> None:
        self.folder, self.tables, self.options = folder, tables, options
        self.present = find_trajectories(folder)

    def listing(self) -> Listing:
        self._refuse_unknown_scenes()
        items, absent = self._collect()
        if not items:
            raise SourceError(self._nothing_found(absent))
        marked = _mark_checked(items)
        return Listing(items, absent, [*self._notes(), self._check(marked, len(items))])

    def _refuse_unknown_scenes(self) -> None:
        unknown = [
            scene
            for scene in self.present
            if scene not in self.tables.cameras and _is_selected(scene, self.options.scenes)
        ]
        if unknown and not self.options.assume_pinhole:
            raise SourceError(
                f"{self.folder / unknown[0]}: the camera of this scene is in no table ({len(unknown)} such "
                "scenes); give --metadata FOLDER with its metadata_camera_parameters.csv, or --assume-pinhole"
            )

    def _collect(self) -> tuple[list[Item], dict[str, int]]:
        """The items, and counts of released frames that are not among them."""
        items: list[Item] = []
        absent = Counter[str]()
        for scene, camera, frames in self._wanted():
            if scene not in self.present:
                absent["scene not present"] += len(frames or [])
            elif self.options.exclude_broken and is_broken(scene, camera):
                absent["known to be broken (--no-exclude-broken keeps them)"] += len(frames or [])
            else:
                found, missing = self._items(scene, camera, frames)
                items += found
                absent["no file of the frame present"] += missing
        return items, {reason: n for reason, n in absent.items() if n}

    def _wanted(self) -> Iterator[tuple[str, str, list[int] | None]]:
        """Trajectories to convert, with their released frames; None: whichever frames are there."""
        options, tables = self.options, self.tables
        for (scene, camera), frames in sorted(tables.frames.items()):
            split_fits = options.split in ("all", tables.splits[scene])
            if split_fits and self._are_selected(scene, camera):
                yield scene, camera, [n for n in frames if n % options.every == 0]
        if options.split != "all":
            return
        for scene, cameras in self.present.items():
            if scene in tables.splits or scene in tables.cameras:
                continue
            for camera in cameras:
                if self._are_selected(scene, camera):
                    yield scene, camera, None

    def _are_selected(self, scene: str, camera: str) -> bool:
        scenes, cameras = self.options.scenes, self.options.cameras
        return _is_selected(scene, scenes) and _is_selected(camera, cameras)

    def _items(self, scene: str, camera: str, frames: list[int] | None) -> tuple[list[Item], int]:
        """Items of a trajectory, and the number of released frames without files."""
        found = Trajectory(self.folder / scene, camera).scan()
        if frames is None:
            frames = sorted(n for n in found if n % self.options.every == 0)
        for files in found.values():
            files.pop(_UNUSED.get(self.options.rgb, ""), None)
        there = [n for n in frames if has_content(found.get(n, {}))]
        split = self.tables.splits.get(scene, "")
        items = [
            Item(
                key=f"hypersim-{scene}-{camera}-{n:04d}",
                group=scene,
                split=split,
                ref={"scene": scene, "camera": camera, "frame": n, "files": sorted(found[n])},
                size=_estimate(found[n]),
            )
            for n in there
        ]
        return items, len(frames) - len(there)

    def _notes(self) -> list[str]:
        tables, notes = self.tables, []
        unreleased = [s for s in self.present if s in tables.cameras and s not in tables.splits]
        if unreleased:
            notes.append(
                f"{len(unreleased)} scenes are not in the public release and were left out"
            )
        unknown = sum(scene not in tables.cameras for scene in self.present)
        if self.options.assume_pinhole and unknown:
            notes.append(
                f"{unknown} scenes have no known camera and were taken as plain pinholes (--assume-pinhole)"
            )
        return notes

    def _nothing_found(self, absent: Mapping[str, int]) -> str:
        reasons = "; ".join(f"{n} x {reason}" for reason, n in absent.items())
        why = reasons or "the options select no released frame"
        return (
            f"{self.folder}: no frame to convert ({why}); expected files such as "
            "ai_001_001/images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5"
        )

    def _check(self, marked: Sequence[Item], num_items: int) -> str:
        """The outcome on some scenes, for the report; frames that cannot be read are left to the conversion."""
        results = []
        for item in evenly(marked, min(SCENES, 1 + num_items // FRAMES_PER_CHECK)):
            try:
                results.append(self._measure(item))
            except SourceError:
                continue
        compared = [found for found in results if found]
        if not compared:
            return "the cameras are unchecked: no normal_cam, no position files"
        return sentence(compared)

    def _measure(self, item: Item) -> dict[str, float]:
        """The errors of a frame, and the share of its normals that faces away, without converting it."""
        ref = item.ref
        files = set(_CHECKED).intersection(ref["files"])
        if not files:
            return {}
        frame = Frame(Trajectory(self.folder / ref["scene"], ref["camera"]), ref["frame"], files)
        frame.read(min(files - {"position"} or files))  # the cheapest that tells the size
        view = view_of(frame, self.tables)
        found, flipped = compare(frame, view), share_flipped(frame, view)
        return found if flipped is None else {**found, "flipped": flipped}


def _is_selected(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _mark_checked(items: list[Item]) -> list[Item]:
    """Marks one frame of each scene to be compared with the redundant files, where they are there; in place.

    Taken from the middle: first frames have the artist's own camera, whose matrix may be off.
    """
    scenes: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        scenes.setdefault(item.group, []).append(i)
    picked = [places[len(places) // 2] for places in scenes.values()]
    for i in picked:
        items[i] = replace(items[i], ref={**items[i].ref, "check": True})
    return [items[i] for i in picked]


def _estimate(files: dict[str, int]) -> int:
    names = set(files) - ({"tonemap"} if "color" in files else set())
    return 2048 + int(sum(_SHRINK.get(name, 0.0) * files[name] for name in names))
