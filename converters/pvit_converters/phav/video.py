"""One PHAV video: its frames and maps, each map at the position of its RGB frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Integer, Shaped, UInt8

from pvit_converters.phav import boxes as instance_boxes
from pvit_converters.phav.classes import FIRST_PART, HUMAN
from pvit_converters.phav.colours import Rows, Unknown, is_swapped, rows_at, to_classes
from pvit_converters.phav.layout import MAPS, VideoFiles
from pvit_converters.phav.options import PhavOptions
from pvit_converters.raw.images import read_image
from pvit_data.errors import SourceError
from pvit_data.sample.labels import IGNORE_8
from pvit_data.sample.sample import Boxes

SKY = 65530
"""Depth values from here on are sky or infinity (spec, section 7.2)."""

PLAUSIBLE = (0.3, 100.0)
"""Metres at which people stand (spec, section 7.2)."""


@dataclass
class Video:
    """Reads the modalities of one video.

    Args:
        files: its files by number.
        offset: map number i belongs to RGB number i + offset.
        rows, extra: colours of the classes.
        options: the converter's.
        packing: `"rgb24"` where depth is packed into three channels.
    """

    files: VideoFiles
    offset: int
    rows: Rows
    extra: Rows
    options: PhavOptions
    packing: str = ""
    size: tuple[int, int] | None = None
    warnings: list[str] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rgb = list(self.files.of("rgb"))
        maps = {i + self.offset for name in MAPS for i in self.files.of(name)}
        numbers = rgb or sorted(maps)
        if not numbers:
            raise SourceError(
                f"{self.files.folders[0]}: no frame or map in it", reason="empty-folder"
            )
        self._place = {number: i for i, number in enumerate(numbers)}
        if numbers[-1] - numbers[0] + 1 != len(numbers):
            self.warnings.append("frame-numbers-have-gaps")
        if self.files.is_raw:
            self.warnings.append("only-unprocessed-rgb")

    @property
    def num_frames(self) -> int:
        """Length of the clip."""
        return len(self._place)

    def rgb(self) -> UInt8[np.ndarray, "t h w 3"] | None:
        """All frames, or None."""
        paths = list(self.files.of("rgb").values())
        if not paths:
            return None
        out: UInt8[np.ndarray, "t h w 3"] | None = None
        for i, path in enumerate(paths):
            image = read_image(path)
            image = image[..., :3] if image.ndim == 3 else np.repeat(image[..., None], 3, -1)
            if out is None:
                out = np.empty((len(paths), *image.shape), np.uint8)
                self.size = (image.shape[0], image.shape[1])
            if image.shape != out.shape[1:] or image.dtype != np.uint8:
                raise SourceError(
                    f"{path}: {image.dtype} {image.shape}, but {paths[0].name} has {out.shape[1:]}",
                    reason="size-mismatch",
                )
            out[i] = image
        return out

    def depth(self) -> tuple[Integer[np.ndarray, "n"], Float32[np.ndarray, "n h w"]] | None:
        """Positions and planar depth in metres, 0 = invalid."""
        frames, paths = self._maps("depth")
        if not paths:
            return None
        maps = []
        for path in paths:
            maps.append(
                self._fit(
                    to_metres(self._units(path), self.options.depth_scale, self.options.depth_max),
                    path,
                )
            )
        return frames, np.stack(maps)

    def _units(self, path: Path) -> Integer[np.ndarray, "h w"]:
        image = read_image(path)
        if self.packing == "rgb24" and image.ndim == 3:
            wide = image[..., :3].astype(np.int64)
            return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
        if image.ndim == 3:
            raise SourceError(
                f"{path}: depth with {image.shape[2]} channels, expected 16-bit grey; if it is packed, give --layout "
                "FILE.yaml with the line phav: {depth_packing: rgb24}, and --depth-scale",
                reason="unknown-depth",
            )
        if image.dtype == np.uint8 and not self.options.allow_8bit_depth:
            raise SourceError(
                f"{path}: 8-bit depth, expected 16-bit grey; it looks like a preview: pass --depth-scale and "
                "--allow-8bit-depth if it is not",
                reason="unknown-depth",
            )
        return image

    def classes(self) -> tuple[Integer[np.ndarray, "n"], UInt8[np.ndarray, "n h w"]] | None:
        """Positions and ids of `phav63`, 255 = unknown colour.

        Raises:
            SourceError: if more than `max_unknown_seg` of the pixels have an unknown colour.
        """
        frames, paths = self._maps("semantic")
        if not paths:
            return None
        unknown = Unknown({}, 0)
        maps = []
        for path in paths:
            image = read_image(path)
            if image.ndim != 3:
                raise SourceError(
                    f"{path}: a grey image, expected class colours", reason="unknown-colours"
                )
            ids = to_classes(image, self.rows, self.extra, self.options.seg_tolerance, unknown)
            maps.append(self._fit(ids, path))
        self._report(unknown, paths[0])
        return frames, np.stack(maps)

    def _report(self, unknown: Unknown, path: Path) -> None:
        top = Counter(unknown.colours).most_common(3)
        if unknown.fraction > self.options.max_unknown_seg:
            swapped = is_swapped(unknown, self.rows)
            why = (
                "red and blue are exchanged"
                if swapped
                else "masks stored as JPEG, resized, or another table"
            )
            raise SourceError(
                f"{path}: {unknown.fraction:.0%} of the pixels of this video have a colour that is in no table, most "
                f"often {list(top[0][0])} ({why}?); give the colours with --label-map, or raise --max-unknown-seg",
                reason="unknown-colours",
            )
        for colour, _ in top:
            self.warnings.append(
                f"unknown colour; --label-map line: extra_colors: {{Misc: [{list(colour)}]}}"
            )
        if top:
            self.meta["unknown_colours"] = {" ".join(map(str, c)): n for c, n in top}

    def boxes(
        self, segm: tuple[Integer[np.ndarray, "n"], UInt8[np.ndarray, "n h w"]] | None
    ) -> Boxes | None:
        """Boxes of all frames with an instance map; None without maps or their table."""
        frames, paths = self._maps("instance")
        if not paths:
            return None
        table = next(
            (f / "instances.txt" for f in self.files.folders if (f / "instances.txt").is_file()),
            None,
        )
        if table is None:
            self.warnings.append("instance-colours-without-table")
            return None
        rows = rows_at(table)
        below = {} if segm is None else dict(zip(segm[0].tolist(), segm[1], strict=True))
        tables = []
        for frame, path in zip(frames.tolist(), paths, strict=True):
            image = read_image(path)
            if image.ndim != 3:
                raise SourceError(
                    f"{path}: a grey image, expected instance colours", reason="unknown-colours"
                )
            ids = self._fit(instance_boxes.to_instances(image, rows), path)
            tables.append(
                instance_boxes.boxes_of_frame(
                    ids, below.get(frame), rows, self.options.min_box_pixels
                )
            )
        self.meta |= {"instances": [name for name, _ in rows], "box_source": "instance_mask"}
        return instance_boxes.join(frames, tables)

    def check_depth(
        self,
        depth: tuple[Integer[np.ndarray, "n"], Float32[np.ndarray, "n h w"]],
        segm: tuple[Integer[np.ndarray, "n"], UInt8[np.ndarray, "n h w"]],
    ) -> None:
        """People must stand at a plausible distance (spec, section 7.2)."""
        common, a, b = np.intersect1d(depth[0], segm[0], return_indices=True)
        if not len(common):
            return
        classes, metres = segm[1][b], depth[1][a]
        body = ((classes >= FIRST_PART) & (classes != IGNORE_8) | (classes == HUMAN)) & (metres > 0)
        if body.any():
            middle = float(np.median(metres[body]))
            self.meta["median_body_depth"] = round(middle, 3)
            if not PLAUSIBLE[0] <= middle <= PLAUSIBLE[1]:
                self.warnings.append(
                    "implausible depth of people (median_body_depth in meta); check --depth-scale"
                )

    def _maps(self, name: str) -> tuple[Integer[np.ndarray, "n"], list[Path]]:
        """Positions and files of a modality, without those that belong to no frame."""
        placed = {
            self._place[i + self.offset]: p
            for i, p in self.files.of(name).items()
            if i + self.offset in self._place
        }
        if placed and len(placed) < self.num_frames:
            self.meta.setdefault("frames_without", {})[name] = self.num_frames - len(placed)
            self.warnings.append(f"some-frames-without-{name}")
        return np.array(sorted(placed), np.int64), [placed[i] for i in sorted(placed)]

    def _fit(self, image: Shaped[np.ndarray, "h w"], path: Path) -> Shaped[np.ndarray, "h w"]:
        """The map in the size of the frames, by nearest neighbour."""
        size = (image.shape[0], image.shape[1])
        if self.size is None:
            self.size = size
        if size == self.size:
            return image
        if "maps-resized" not in self.warnings:
            self.warnings.append("maps-resized")
            self.meta["map_size"] = list(size)
        rows, columns = (np.arange(n) * m // n for n, m in zip(self.size, size, strict=True))
        fitted: Shaped[np.ndarray, "h w"] = image[rows][:, columns]
        return fitted


def to_metres(
    raw: Integer[np.ndarray, "h w"], scale: float, furthest: float
) -> Float32[np.ndarray, "h w"]:
    """Depth in metres, 0 where it is invalid: sky in 16-bit images, and what lies beyond `furthest` (0: no limit).

    Every value is exactly `unit * scale` rounded once, so that it may be stored as integers again.
    """
    if raw.dtype == np.uint16:
        out: Float32[np.ndarray, "h w"] = _metres_of_units(scale, furthest)[raw]
        return out
    metres = (raw * scale).astype(np.float32)
    return np.where(metres > (furthest or np.inf), np.float32(0), metres)


@lru_cache(maxsize=2)
def _metres_of_units(scale: float, furthest: float) -> Float32[np.ndarray, "65536"]:
    units = np.arange(1 << 16)
    metres = (units * scale).astype(np.float32)
    metres[(units >= SKY) | (metres > (furthest or np.inf))] = 0
    return metres
