"""The Hypersim converter: what a frame becomes.

Every frame is a still: the trajectories jump by about a metre and 11 degrees per frame and are no videos.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from pvit_converters.annotations.boxes import boxes_of_instances
from pvit_converters.base import Converter, Item, Listing, SourceInfo, Unwanted
from pvit_converters.hypersim import camera as cam
from pvit_converters.hypersim.checks import MAX_FLIPPED, compare, warnings_of
from pvit_converters.hypersim.frame import Frame, View, view_of
from pvit_converters.hypersim.info import INFO
from pvit_converters.hypersim.layout import Trajectory, find_scenes_folder
from pvit_converters.hypersim.listing import list_frames
from pvit_converters.hypersim.nyu40 import NYU40, to_segm
from pvit_converters.hypersim.options import HypersimOptions
from pvit_converters.hypersim.tables import Tables, has_tables, load_tables
from pvit_converters.hypersim.tonemap import tonemap
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Camera, Sample


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

    def list_items(self) -> Listing:
        """The released frames that are there and that the options select."""
        return list_frames(self.scenes_folder, self.tables, self.options)

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
        view, warnings = view_of(frame, self.tables), sample.meta["warnings"]
        sample.meta |= {
            "camera_kind": cam.camera_kind(view.m),
            "m_cam_from_uv": view.m.ravel().tolist(),
            "meters_per_asset_unit": view.scale or -1.0,
        }
        if not view.is_known:
            warnings.append("assumed-pinhole")
        if view.has_pose and view.rotation is None:
            warnings.append("bad-rotation")
        if not view.has_pose:
            warnings.append("no-camera-pose")
        k = cam.intrinsics(view.m, height, width).astype(np.float32)
        sample.camera = Camera(k[None], _pose(view), "z")
        if "depth" in frame:
            sample.depth = cam.planar_depth(frame.read("depth"), view.rays)[None]
        if view.rotation is not None or not view.has_pose:
            _add_normals(sample, frame, view)
        self._drop_if_too_empty(sample)
        if check:
            sample.meta["check"] = compare(frame, view)
            warnings += warnings_of(sample.meta["check"])

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


def _pose(view: View) -> Float[np.ndarray, "1 4 4"] | None:
    """World from camera; None where rotation, place or scale is unknown."""
    if view.rotation is None or view.centre is None or not view.scale:
        return None
    return cam.world_from_camera(view.rotation, view.centre, view.scale)[None]


def _add_normals(sample: Sample, frame: Frame, view: View) -> None:
    """From the world normals where the rotation is known, else from those in camera axes."""
    if "normal_world" in frame and view.rotation is not None:
        raw, turn = frame.read("normal_world"), cam.CV_FROM_GL @ view.rotation.T
    elif "normal_cam" in frame:
        raw, turn = frame.read("normal_cam"), cam.CV_FROM_GL
    else:
        if "normal_world" in frame:
            sample.meta["warnings"].append("world-normals-without-camera-pose-left-out")
        return
    normal, flipped = cam.repair_normals(raw, turn, view.rays, frame.surface)
    sample.normal = normal[None]
    sample.meta["flipped_normals"] = round(flipped, 6)
    if flipped > MAX_FLIPPED:
        sample.meta["warnings"].append("many-normals-flipped")
