"""One frame: its files, which must belong together, and the view from which it was rendered.

Any image size is legal as long as all files of a frame agree.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Integer, UInt8

from pvit_converters.hypersim import camera as cam
from pvit_converters.hypersim.layout import FILES, Trajectory, scale_of_scene
from pvit_converters.hypersim.nyu40 import is_legal
from pvit_converters.hypersim.tables import Tables
from pvit_converters.raw.hdf5 import read_hdf5
from pvit_converters.raw.images import read_still
from pvit_data.errors import SourceError
from pvit_data.sample.sample import EncodedMedia

_VECTORS = {"color", "normal_world", "normal_cam", "position"}
_FLOATS = {*_VECTORS, "depth"}


class Frame:
    """The files of one frame, read on demand.

    Args:
        trajectory: where the frame belongs.
        number: frame number.
        files: names of the files that are there (see `layout.FILES`).
    """

    def __init__(self, trajectory: Trajectory, number: int, files: Collection[str]) -> None:
        self.trajectory = trajectory
        self.number = number
        self.files = frozenset(files)
        self._size: tuple[int, int] | None = None
        self._sized_by: Path | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.files

    @property
    def size(self) -> tuple[int, int]:
        """Height and width; known once a file was read."""
        if self._size is None:
            self.read(
                next(name for name in ("depth", *FILES) if name in self.files and name != "tonemap")
            )
        assert self._size is not None
        return self._size

    def read(self, name: str) -> Any:
        """The array of an HDF5 file: floats `(h w)` or `(h w 3)`, or integers `(h w)`.

        Raises:
            SourceError: if the file is missing, damaged, of another type or of another size than the frame's others.
        """
        path = self.trajectory.path(self.number, name)
        shape = (None, None, 3) if name in _VECTORS else (None, None)
        array = read_hdf5(path, shape, "f" if name in _FLOATS else "iu")
        self._agree(path, array.shape[0], array.shape[1])
        return array

    @cached_property
    def surface(self) -> Bool[np.ndarray, "h w"] | None:
        """Which pixels show a surface, or None without the entity ids."""
        if "entity" not in self.files:
            return None
        visible: Bool[np.ndarray, "h w"] = self.read("entity") != -1
        return visible

    def labels(self) -> Integer[np.ndarray, "h w"]:
        """The semantic map, -1 or 1..40.

        Raises:
            SourceError: also if it holds another label.
        """
        labels: Integer[np.ndarray, "h w"] = self.read("semantic")
        if not is_legal(labels):
            path = self.trajectory.path(self.number, "semantic")
            odd = [int(x) for x in np.unique(labels) if x != -1 and not 1 <= x <= 40][:5]
            raise SourceError(
                f"{path}: labels {odd}, expected -1 or 1..40 (NYU40)", reason="bad-label"
            )
        return labels

    def preview(self) -> EncodedMedia | UInt8[np.ndarray, "1 h w 3"]:
        """The released tone-mapped JPEG: its bytes, or its pixels if it is not a plain RGB JPEG.

        Raises:
            SourceError: if the file does not decode completely.
        """
        path = self.trajectory.path(self.number, "tonemap")
        picture, height, width = read_still(path)
        self._agree(path, height, width)
        return picture

    def _agree(self, path: Path, height: int, width: int) -> None:
        if self._size is None:
            self._size, self._sized_by = (height, width), path
        elif self._size != (height, width):
            raise SourceError(
                f"{path}: {width} x {height} pixels, but {self._sized_by} has {self._size[1]} x {self._size[0]}",
                reason="size-mismatch",
            )


@dataclass(frozen=True)
class View:
    """How a frame was seen.

    Args:
        m: viewing direction (OpenGL camera axes) from (u, v, 1); see `camera`.
        is_known: the scene's camera is in the tables; else it is taken as a plain pinhole.
        scale: metres per asset unit; 0: unknown.
        rays: unit viewing rays, OpenCV camera axes.
        has_pose: the pose's files are there.
        rotation: world from OpenGL camera axes; None without a pose, or where it is no rotation.
        centre: optical centre in asset units; None without a pose.
    """

    m: Float[np.ndarray, "3 3"]
    is_known: bool
    scale: float
    rays: Float32[np.ndarray, "h w 3"]
    has_pose: bool
    rotation: Float[np.ndarray, "3 3"] | None
    centre: Float[np.ndarray, "3"] | None


def view_of(frame: Frame, tables: Tables) -> View:
    """The view of a frame of which a file was read, so that its size is known.

    Raises:
        SourceError: if a file of the camera is damaged.
    """
    height, width = frame.size
    known = tables.cameras.get(frame.trajectory.folder.name)
    scale = scale_of_scene(frame.trajectory.folder) or (known.scale if known else 0.0)
    # Only reached under --assume-pinhole: unknown scenes are not listed otherwise.
    m = known.m if known else cam.standard_m(height, width)
    pose = _pose(frame)
    return View(
        m=m,
        is_known=known is not None,
        scale=scale,
        rays=_cached_rays(m.tobytes(), height, width),
        has_pose=pose is not None,
        rotation=None if pose is None else cam.clean_rotation(pose[0]),
        centre=None if pose is None else pose[1],
    )


def _pose(frame: Frame) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]] | None:
    """World from camera rotation and optical centre (asset units); None if a file is not there."""
    rotations, centres = frame.trajectory.orientations, frame.trajectory.positions
    if not (rotations.is_file() and centres.is_file()):
        return None
    all_rotations = _cached_array(rotations, (None, 3, 3))
    all_centres = _cached_array(centres, (None, 3))
    if frame.number >= min(len(all_rotations), len(all_centres)):
        raise SourceError(f"{rotations}: holds no frame {frame.number}", reason="wrong-shape")
    return all_rotations[frame.number], all_centres[frame.number]


@lru_cache(maxsize=4)
def _cached_rays(m: bytes, height: int, width: int) -> Float32[np.ndarray, "h w 3"]:
    return cam.unit_rays(np.frombuffer(m).reshape(3, 3), height, width)


@lru_cache(maxsize=16)
def _cached_array(path: Path, shape: tuple[int | None, ...]) -> Float[np.ndarray, "..."]:
    array: Float[np.ndarray, "..."] = read_hdf5(path, shape, "f").astype(np.float64)
    return array
