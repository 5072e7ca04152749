"""The EHOI converter: what an image becomes. Every image is a still."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.ehoi.boxes import (
    Corners,
    corners,
    has_area,
    is_unresolved,
    make_boxes,
    whole_pixels,
)
from pvit_converters.ehoi.classes import EHOI_BOXES, EHOI_SEGM
from pvit_converters.ehoi.coco import Image, Row, read_coco
from pvit_converters.ehoi.info import INFO
from pvit_converters.ehoi.layout import find_layout
from pvit_converters.ehoi.listing import list_images
from pvit_converters.ehoi.masks import class_map, mask_of
from pvit_converters.ehoi.options import EhoiOptions
from pvit_converters.raw.images import read_image, read_still
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample

MAX_ASPECT = 0.01


class EhoiConverter(Converter[EhoiOptions]):
    """Converts an EgoISM-HOI tree: boxes with roles and contacts, masks of objects and hands."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = EhoiOptions

    def __init__(self, root: Path, options: EhoiOptions) -> None:
        super().__init__(root, options)
        self.layout = find_layout(self.root)

    def spaces(self) -> dict[str, LabelSpace]:
        """Classes of boxes and of the map."""
        return {"boxes": EHOI_BOXES, "segm": EHOI_SEGM}

    def list_items(self) -> Listing:
        """The selected images that are there, with counts of hands, links and masks."""
        return list_images(self.layout, self.options)

    def load(self, item: Item) -> Sample:
        """One image with its boxes, and its map where it has masks."""
        coco = read_coco(self.layout.annotations(item.ref["json"]))
        index = int(item.ref["index"])
        image, rows = coco.images[index], coco.rows.get(index, [])
        path = self.layout.image(image.name)
        if path is None:
            raise SourceError(
                f"{self.layout.folder / 'images' / image.name}: no such file", reason="missing-file"
            )
        rgb, height, width = read_still(path)
        scale = _scale(path, image, height, width)
        sample = Sample(
            key=item.key, group=item.group, rgb=rgb, num_frames=1, height=height, width=width
        )
        is_synthetic = self.layout.is_synthetic(item.ref["json"], image.name)
        sample.meta = {"file_name": image.name, "annotations": item.ref["json"], "is_still": True}
        sample.meta |= {"is_synthetic": is_synthetic, "split": item.split}
        boxes = [corners(row, scale, height, width) for row in rows]
        kept = [i for i, box in enumerate(boxes) if has_area(box)]
        warnings = ["boxes-without-area-dropped"] if len(kept) < len(rows) else []
        sample.boxes = make_boxes(coco, index, boxes, kept, (height, width))
        sample.meta["annotation_ids"] = [str(rows[i].id) for i in kept]
        if any(row.contact == 1 for row in rows) and is_unresolved(sample.boxes):
            warnings.append("contact-without-object")
        things = [(rows[i], boxes[i]) for i in kept]
        warnings += _add_map(sample, things, scale, is_synthetic=is_synthetic)
        depth = self.layout.depth_file(path.name)
        if self.options.depth_scale and depth.is_file():
            sample.depth = self._depth(depth, height, width)[None]
        sample.meta["warnings"] = sorted(set(warnings))
        return sample

    def _depth(self, path: Path, height: int, width: int) -> np.ndarray:
        raw = read_image(path)
        if raw.ndim == 3:
            if not (raw[..., :3] == raw[..., :1]).all():
                raise SourceError(
                    f"{path}: depth in colours, expected a grey image", reason="unknown-depth"
                )
            raw = raw[..., 0]
        if raw.shape != (height, width):
            raise SourceError(
                f"{path}: {raw.shape} pixels, its image has {(height, width)}",
                reason="size-mismatch",
            )
        metres = (raw * self.options.depth_scale + self.options.depth_offset).astype(np.float32)
        return np.where((raw > 0) & (metres > 0), metres, np.float32(0))


def _add_map(
    sample: Sample,
    things: list[tuple[Row, Corners]],
    scale: tuple[float, float],
    *,
    is_synthetic: bool,
) -> list[str]:
    """The map of classes; none where no thing has a mask, since that means that masks were not annotated."""
    height, width = sample.height, sample.width
    rows = [row for row, _ in things]
    masks = [mask_of(row, height, width, scale) for row in rows]
    warnings = []
    if any(mask is None and row.has_mask for row, mask in zip(rows, masks, strict=True)):
        warnings.append("damaged-masks-left-out")
    has_masks = any(mask is not None for mask in masks)
    if not (has_masks if things else is_synthetic):
        return [*warnings, "no-masks"]
    if any(mask is None for mask in masks):
        warnings.append("some-things-without-mask")
    pixels = [whole_pixels(box, height, width) for _, box in things]
    sample.segm = class_map(rows, masks, pixels, (height, width))[None]
    return warnings


def _scale(path: Path, image: Image, height: int, width: int) -> tuple[float, float]:
    """Image pixels per annotated pixel."""
    if image.width < 1 or image.height < 1:
        return 1.0, 1.0
    x, y = width / image.width, height / image.height
    if abs(x / y - 1) > MAX_ASPECT:
        raise SourceError(
            f"{path}: {width}x{height} pixels, its annotations are for {image.width}x{image.height}, another shape",
            reason="size-mismatch",
        )
    return x, y
