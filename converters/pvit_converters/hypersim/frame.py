"""Reading the files of one frame, and insisting that they belong together.

Any image size is legal as long as all files of a frame agree.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer

from pvit_converters.hypersim.layout import FILES, Trajectory
from pvit_converters.hypersim.nyu40 import is_legal
from pvit_converters.raw.hdf5 import read_hdf5
from pvit_data.errors import SourceError
from pvit_data.sample.sample import EncodedMedia

_VECTORS = {"color", "normal_world", "normal_cam", "position"}
_FLOATS = {*_VECTORS, "depth"}
MAX_PIXELS = 1 << 26


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
            path, found = self.trajectory.path(self.number, "semantic"), np.unique(labels)
            odd = [int(x) for x in found if x != -1 and not 1 <= x <= 40][:5]
            raise SourceError(
                f"{path}: labels {odd}, expected -1 or 1..40 (NYU40)", reason="bad-label"
            )
        return labels

    def preview(self) -> EncodedMedia | Float[np.ndarray, "1 h w 3"]:
        """The released tone-mapped JPEG: its bytes, or its pixels if it is not a plain RGB JPEG.

        Raises:
            SourceError: if the file does not decode completely.
        """
        from PIL import Image

        path = self.trajectory.path(self.number, "tonemap")
        try:
            data = path.read_bytes()
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(
                        f"{image.width} x {image.height} pixels, more than the limit of {MAX_PIXELS}"
                    )
                pixels = np.asarray(
                    image.convert("RGB")
                )  # decodes, so that a damaged file is found here
                plain = image.mode == "RGB"
        except FileNotFoundError as error:
            raise SourceError(f"{path}: no such file", reason="missing-file") from error
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            message = (
                f"{path}: cannot be read as JPEG ({error}); the file is damaged, download it again"
            )
            raise SourceError(message, reason="corrupt-jpeg") from error
        self._agree(path, pixels.shape[0], pixels.shape[1])
        return EncodedMedia(data, "jpg") if plain else pixels[None]

    def _agree(self, path: Path, height: int, width: int) -> None:
        if self._size is None:
            self._size, self._sized_by = (height, width), path
        elif self._size != (height, width):
            raise SourceError(
                f"{path}: {width} x {height} pixels, but {self._sized_by} has {self._size[1]} x {self._size[0]}",
                reason="size-mismatch",
            )
