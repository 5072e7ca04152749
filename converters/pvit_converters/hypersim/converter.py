"""The Hypersim converter: which frames there are, and what a frame becomes.

Every frame is a still: the trajectories jump by about a metre and 11 degrees per frame and are no videos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from pvit_converters.annotations.boxes import boxes_of_instances
from pvit_converters.base import Converter, Item, Listing, SourceInfo, Unwanted
from pvit_converters.hypersim import camera as cam
from pvit_converters.hypersim.checks import (
    FRAMES_PER_CHECK,
    MAX_FLIPPED,
    SCENES,
    SOME,
    normal_error,
    position_error,
    sentence,
    warnings_of,
)
from pvit_converters.hypersim.exclude import is_broken
from pvit_converters.hypersim.frame import Frame
from pvit_converters.hypersim.info import INFO
from pvit_converters.hypersim.layout import (
    Trajectory,
    find_scenes_folder,
    find_trajectories,
    has_content,
    scale_of_scene,
)
from pvit_converters.hypersim.normals import repair_normals
from pvit_converters.hypersim.nyu40 import NYU40, to_segm
from pvit_converters.hypersim.options import HypersimOptions
from pvit_converters.hypersim.tables import SceneCamera, Tables, has_tables, load_tables
from pvit_converters.hypersim.tonemap import tonemap
from pvit_converters.raw.hdf5 import read_hdf5
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Camera, Sample

# Bytes in a shard per byte in the raw file, measured on 1024x768 frames; only shard sizes depend on it.
_SHRINK = {
    "color": 0.1,
    "tonemap": 1.0,
    "depth": 0.65,
    "normal_world": 0.4,
    "normal_cam": 0.0,
    "semantic": 1.0,
}


class HypersimConverter(Converter[HypersimOptions]):
    """Converts a Hypersim tree, or any part of one."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = HypersimOptions

    def __init__(self, root: Path, options: HypersimOptions) -> None:
        super().__init__(root, options)
        self.scenes_folder = find_scenes_folder(self.root)

    @cached_property
    def tables(self) -> Tables:
        """Released frames and cameras."""
        folder = self.options.metadata
        if folder is not None and not folder.is_dir():
            raise SourceError(f"--metadata {folder}: no such folder", reason="missing-file")
        if folder is None and has_tables(self.root / "metadata"):
            folder = self.root / "metadata"
        return load_tables(folder)

    def spaces(self) -> dict[str, LabelSpace]:
        """NYU40 for segmentation and boxes."""
        return {"segm": NYU40, "boxes": NYU40}

    # ---- which frames there are ------------------------------------------------------------------------------

    def list_items(self) -> Listing:
        """The released frames that are there and that the options select."""
        present = find_trajectories(self.scenes_folder)
        self._refuse_unknown_scenes(present)
        listing = Listing([])
        absent: Counter[str] = Counter()
        for scene, camera, frames in self._wanted(present):
            if scene not in present:
                absent["scene not present"] += len(frames or [])
            elif self.options.exclude_broken and is_broken(scene, camera):
                absent["known to be broken (--no-exclude-broken keeps them)"] += len(frames or [])
            else:
                items, missing = self._items(scene, camera, frames)
                listing.items += items
                absent["no file of the frame present"] += missing
        listing.absent = {reason: n for reason, n in absent.items() if n}
        listing.notes = self._notes(present)
        if not listing.items:
            raise SourceError(self._nothing_found(listing.absent))
        listing.notes += self._check(self._mark_checked(listing), len(listing.items))
        return listing

    def _refuse_unknown_scenes(self, present: dict[str, list[str]]) -> None:
        unknown = [
            s
            for s in present
            if s not in self.tables.cameras and self._selected(s, self.options.scenes)
        ]
        if unknown and not self.options.assume_pinhole:
            raise SourceError(
                f"{self.scenes_folder / unknown[0]}: the camera of this scene is in no table ({len(unknown)} such "
                "scenes); give --metadata FOLDER with its metadata_camera_parameters.csv, or --assume-pinhole"
            )

    def _wanted(self, present: dict[str, list[str]]) -> Iterator[tuple[str, str, list[int] | None]]:
        """Trajectories to convert, with their released frames; None: whichever frames are there."""
        for (scene, camera), frames in sorted(self.tables.frames.items()):
            split_fits = self.options.split in ("all", self.tables.splits[scene])
            if (
                split_fits
                and self._selected(scene, self.options.scenes)
                and self._selected(camera, self.options.cameras)
            ):
                yield scene, camera, [n for n in frames if n % self.options.every == 0]
        if self.options.split != "all":
            return
        for scene in (
            s for s in present if s not in self.tables.splits and s not in self.tables.cameras
        ):
            for camera in present[scene] if self._selected(scene, self.options.scenes) else []:
                if self._selected(camera, self.options.cameras):
                    yield scene, camera, None

    @staticmethod
    def _selected(name: str, patterns: tuple[str, ...]) -> bool:
        return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)

    def _items(self, scene: str, camera: str, frames: list[int] | None) -> tuple[list[Item], int]:
        found = Trajectory(self.scenes_folder / scene, camera).scan()
        if frames is None:
            frames = sorted(n for n in found if n % self.options.every == 0)
        unused = {"hdf5": "tonemap", "jpg": "color"}.get(self.options.rgb)
        found = {
            n: {name: size for name, size in files.items() if name != unused}
            for n, files in found.items()
        }
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

    def _notes(self, present: dict[str, list[str]]) -> list[str]:
        unreleased = [
            s for s in present if s in self.tables.cameras and s not in self.tables.splits
        ]
        notes = (
            [f"{len(unreleased)} scenes are not in the public release and were left out"]
            if unreleased
            else []
        )
        if self.options.assume_pinhole and (
            n := sum(s not in self.tables.cameras for s in present)
        ):
            notes.append(
                f"{n} scenes have no known camera and were taken as plain pinholes (--assume-pinhole)"
            )
        return notes

    def _nothing_found(self, absent: dict[str, int]) -> str:
        why = (
            "; ".join(f"{n} x {reason}" for reason, n in absent.items())
            or "the options select no released frame"
        )
        return (
            f"{self.scenes_folder}: no frame to convert ({why}); expected files such as "
            "ai_001_001/images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5"
        )

    @staticmethod
    def _mark_checked(listing: Listing) -> list[Item]:
        """One frame of each scene is compared with the redundant files, where they are there.

        Taken from the middle: first frames have the artist's own camera, whose matrix may be off.
        """
        scenes: dict[str, list[int]] = {}
        for i, item in enumerate(listing.items):
            scenes.setdefault(item.group, []).append(i)
        picked = [places[len(places) // 2] for places in scenes.values()]
        for i in picked:
            item = listing.items[i]
            listing.items[i] = Item(
                item.key, item.group, item.split, {**item.ref, "check": True}, item.size
            )
        return [listing.items[i] for i in picked]

    def _check(self, marked: list[Item], num_items: int) -> list[str]:
        """The outcome on some scenes, for the report; frames that cannot be read are left to the conversion."""
        count = min(len(marked), SCENES, 1 + num_items // FRAMES_PER_CHECK)
        results = []
        for item in (marked[i * len(marked) // count] for i in range(count)):
            try:
                results.append(self._measure(item))
            except SourceError:
                continue
        compared = [found for found in results if found]
        return [
            sentence(compared)
            if compared
            else "the cameras are unchecked: no normal_cam, no position files"
        ]

    def _measure(self, item: Item) -> dict[str, float] | None:
        """The errors of a frame, and the share of its normals that faces away, without converting it."""
        files = {"normal_cam", "normal_world", "position", "depth"}.intersection(item.ref["files"])
        if not files:
            return None
        frame = Frame(
            Trajectory(self.scenes_folder / item.ref["scene"], item.ref["camera"]),
            item.ref["frame"],
            files,
        )
        frame.read(min(files - {"position"} or files))  # the cheapest that tells the size
        scene = self._scene(frame, *frame.size)
        rays = _cached_rays(scene.m.tobytes(), *frame.size)
        pose = self._pose(frame)
        rotation = cam.clean_rotation(pose[0]) if pose is not None else None
        found = self._compare(frame, scene, rays, pose, rotation)
        if "normal_world" in frame and rotation is not None:
            some = frame.read("normal_world")[SOME]
            found["flipped"] = repair_normals(some, cam.CV_FROM_GL @ rotation.T, rays[SOME])[1]
        return found

    def _compare(
        self,
        frame: Frame,
        scene: SceneCamera,
        rays: Float[np.ndarray, "h w 3"],
        pose: tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]] | None,
        rotation: Float[np.ndarray, "3 3"] | None,
    ) -> dict[str, float]:
        centre = pose[1] if pose is not None else None
        errors = {
            "normal_cam": normal_error(frame, rotation),
            "position": position_error(frame, rays, rotation, centre, scene.scale),
        }
        return {name: round(error, 6) for name, error in errors.items() if error is not None}

    # ---- what a frame becomes --------------------------------------------------------------------------------

    def load(self, item: Item) -> Sample:
        """One frame: whichever of rgb, depth, normal, segm, boxes and camera its files give."""
        ref = item.ref
        trajectory = Trajectory(self.scenes_folder / ref["scene"], ref["camera"])
        frame = Frame(trajectory, ref["frame"], ref["files"])
        sample = Sample(key=item.key, group=item.group)
        sample.meta = {
            "scene": ref["scene"],
            "camera": ref["camera"],
            "frame": ref["frame"],
            "split": item.split,
            "is_still": True,
            "room": self.tables.rooms.get((ref["scene"], ref["camera"]), ""),
            "warnings": [],
        }
        self._add_rgb(sample, frame)
        self._add_labels(sample, frame)
        self._add_geometry(sample, frame, check=bool(ref.get("check")))
        sample.num_frames, (sample.height, sample.width) = 1, frame.size
        return sample

    def _add_rgb(self, sample: Sample, frame: Frame) -> None:
        has_better = "entity" not in frame and "tonemap" in frame and self.options.rgb == "auto"
        if "color" in frame and self.options.rgb != "jpg" and not has_better:
            surface = frame.surface
            image, factor, num_bad = tonemap(frame.read("color"), surface)
            sample.rgb = image[None]
            sample.meta |= {
                "rgb_from": "color.hdf5",
                "exposure": factor,
                "nonfinite_pixels": num_bad,
            }
            if surface is None:
                sample.meta["warnings"].append("tone-mapped-without-entity-ids")
        elif "tonemap" in frame and self.options.rgb != "hdf5":
            sample.rgb = frame.preview()
            sample.meta["rgb_from"] = "tonemap.jpg"

    def _add_labels(self, sample: Sample, frame: Frame) -> None:
        labels = frame.labels() if "semantic" in frame else None
        if labels is not None:
            sample.segm = to_segm(labels)[None]
        if "instance" in frame:
            sample.boxes = boxes_of_instances(
                frame.read("instance"), labels, self.options.min_box_pixels
            )

    def _add_geometry(self, sample: Sample, frame: Frame, *, check: bool) -> None:
        height, width = frame.size
        scene = self._scene(frame, height, width)
        rays = _cached_rays(scene.m.tobytes(), height, width)
        pose = self._pose(frame)
        kind = cam.camera_kind(scene.m)
        sample.meta |= {"camera_kind": kind, "m_cam_from_uv": scene.m.ravel().tolist()}
        if frame.trajectory.folder.name not in self.tables.cameras:
            sample.meta["warnings"].append("assumed-pinhole")
        sample.meta["meters_per_asset_unit"] = scene.scale or -1.0
        sample.camera = Camera(
            cam.intrinsics(scene.m, height, width)[None].astype(np.float32), None, "z"
        )
        if "depth" in frame:
            sample.depth = cam.planar_depth(frame.read("depth"), rays)[None]
        rotation = None
        if pose is not None:
            rotation = cam.clean_rotation(pose[0])
            if rotation is None:
                sample.meta["warnings"].append("bad-rotation")
            elif scene.scale:
                sample.camera.world_from_camera = cam.world_from_camera(
                    rotation, pose[1], scene.scale
                )[None]
        if pose is None:
            sample.meta["warnings"].append("no-camera-pose")
        if pose is None or rotation is not None:
            self._add_normals(sample, frame, rays, rotation)
        self._drop_if_too_empty(sample)
        if check:
            sample.meta["check"] = self._compare(frame, scene, rays, pose, rotation)
            sample.meta["warnings"] += warnings_of(sample.meta["check"])

    def _scene(self, frame: Frame, height: int, width: int) -> SceneCamera:
        scene = frame.trajectory.folder.name
        own_scale = scale_of_scene(frame.trajectory.folder)
        if known := self.tables.cameras.get(scene):
            return SceneCamera(known.m, own_scale or known.scale)
        # Only reached under --assume-pinhole: `list_items` refuses unknown scenes otherwise.
        return SceneCamera(cam.standard_m(height, width), own_scale or 0.0)

    def _pose(self, frame: Frame) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]] | None:
        """World from camera rotation and optical centre (asset units); None if a file is not there."""
        rotations, centres = frame.trajectory.orientations, frame.trajectory.positions
        if not (rotations.is_file() and centres.is_file()):
            return None
        all_rotations, all_centres = (
            _cached_array(rotations, (None, 3, 3)),
            _cached_array(centres, (None, 3)),
        )
        if frame.number >= min(len(all_rotations), len(all_centres)):
            raise SourceError(f"{rotations}: holds no frame {frame.number}", reason="wrong-shape")
        return all_rotations[frame.number], all_centres[frame.number]

    def _add_normals(
        self,
        sample: Sample,
        frame: Frame,
        rays: Float[np.ndarray, "h w 3"],
        rotation: Float[np.ndarray, "3 3"] | None,
    ) -> None:
        """From the world normals where the rotation is known, else from those in camera axes."""
        if "normal_world" in frame and rotation is not None:
            raw, turn = frame.read("normal_world"), cam.CV_FROM_GL @ rotation.T
        elif "normal_cam" in frame:
            raw, turn = frame.read("normal_cam"), cam.CV_FROM_GL
        else:
            if "normal_world" in frame:
                sample.meta["warnings"].append("world-normals-without-camera-pose-left-out")
            return
        normal, flipped = repair_normals(raw, turn, rays, frame.surface)
        sample.normal = normal[None]
        sample.meta["flipped_normals"] = round(flipped, 6)
        if flipped > MAX_FLIPPED:
            sample.meta["warnings"].append("many-normals-flipped")

    def _drop_if_too_empty(self, sample: Sample) -> None:
        if sample.depth is not None:
            fraction = float(np.mean(sample.depth == 0))
        elif sample.normal is not None:
            fraction = float(np.mean(~sample.normal.any(axis=-1)))
        else:
            return
        sample.meta["invalid_fraction"] = round(fraction, 6)
        if fraction > self.options.max_nan_fraction:
            raise Unwanted("more invalid pixels than --max-nan-fraction")


def _estimate(files: dict[str, int]) -> int:
    names = set(files) - ({"tonemap"} if "color" in files else set())
    return 2048 + int(sum(_SHRINK.get(name, 0.0) * files[name] for name in names))


@lru_cache(maxsize=4)
def _cached_rays(m: bytes, height: int, width: int) -> Float[np.ndarray, "h w 3"]:
    return cam.unit_rays(np.frombuffer(m).reshape(3, 3), height, width)


@lru_cache(maxsize=16)
def _cached_array(path: Path, shape: tuple[int | None, ...]) -> Float[np.ndarray, "..."]:
    array: Float[np.ndarray, "..."] = read_hdf5(path, shape, "f").astype(np.float64)
    return array
