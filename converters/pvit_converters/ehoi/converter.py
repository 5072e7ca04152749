"""The EHOI converter: which images there are, and what one becomes. Every image is a still."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np

from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.ehoi.classes import EHOI_BOXES, EHOI_SEGM, HAND
from pvit_converters.ehoi.coco import Coco, Image, Row, read_coco
from pvit_converters.ehoi.info import INFO
from pvit_converters.ehoi.links import find_partner
from pvit_converters.ehoi.masks import class_map, mask_of
from pvit_converters.ehoi.options import EhoiOptions
from pvit_converters.raw.images import read_image, read_still
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import ROLE_ACTIVE, ROLE_HAND, ROLE_OBJECT, UNKNOWN, Boxes, Sample

PAPER_IMAGES = 20_000
MAX_DISAGREEING = 0.05
"""Share of the hands whose offset may point elsewhere than their link."""

MAX_ASPECT = 0.01
_SLUG = 70
_SPLITS = ("train", "val", "test")


class EhoiConverter(Converter[EhoiOptions]):
    """Converts an EgoISM-HOI tree: boxes with roles and contacts, masks of objects and hands."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = EhoiOptions

    def __init__(self, root: Path, options: EhoiOptions) -> None:
        super().__init__(root, options)
        self.folder = self._find_folder()

    def spaces(self) -> dict[str, LabelSpace]:
        """Classes of boxes and of the map."""
        return {"boxes": EHOI_BOXES, "segm": EHOI_SEGM}

    def _find_folder(self) -> Path:
        if not self.root.is_dir():
            raise SourceError(
                f"{self.root}: no such folder; give the folder that holds EHOI's annotations/ and images/"
            )
        inner = sorted(path for path in self.root.iterdir() if path.is_dir())
        for folder in (self.root, self.root / "egoism-hoi-dataset", *inner):
            if any((folder / "annotations").glob("*_coco.json")):
                return folder
        zips = [path.name for path in self.root.iterdir() if path.suffix == ".zip"]
        leftover = f"; {zips[0]} is not unpacked" if zips else ""
        if self.root.resolve().name in ("annotations", "images", "depth_maps"):
            leftover = f"; give the folder above it, {self.root.resolve().parent}"
        elif others := sorted(path.name for path in (self.root / "annotations").glob("*.json")):
            leftover = (
                f"; annotations/ holds {', '.join(others[:5])}: rename them if they are such files"
            )
        raise SourceError(
            f"{self.root}: no annotations/*_coco.json (train_coco.json, ...) in it{leftover}. {INFO.obtain}"
        )

    # ---- which images there are ------------------------------------------------------------------------------

    def list_items(self) -> Listing:
        """The selected images that are there, with counts of hands, links and masks."""
        items: list[Item] = []
        absent, notes, seen = Counter[str](), list[str](), set[str]()
        keys: dict[str, int] = {}  # how often a key was wanted
        totals = Counter[str]()
        if not (self.folder / "images").is_dir():
            raise SourceError(
                f"{self.folder}: no folder images/ beside annotations/. {INFO.obtain}"
            )
        for path in self._files():
            coco = read_coco(path)
            before, reasons = len(items), Counter[str]()
            for index, image in enumerate(coco.images):
                reason = self._why_not(path, image, seen)
                if reason:
                    reasons[reason] += 1
                    continue
                seen.add(image.name)
                items.append(self._item(path, index, image, keys))
                self._count(coco, index, totals)
            absent.update(reasons)
            notes += _sentences(path.name, coco, reasons if len(items) == before else None)
        if not items:
            why = (
                "; ".join(f"{n} x {reason}" for reason, n in absent.items()) or "no image is listed"
            )
            raise SourceError(f"{self.folder}: no image to convert ({why})")
        return Listing(
            items,
            {k: n for k, n in absent.items() if n},
            [*notes, *self._notes(len(items), totals)],
        )

    def _files(self) -> list[Path]:
        """Annotation files: train, val, test, real ones last; files of other names count as training data."""
        files = sorted((self.folder / "annotations").glob("*_coco.json"))
        return sorted(
            files, key=lambda p: (is_real(p.name), _SPLITS.index(split_of(p.name)), p.name)
        )

    def _why_not(self, path: Path, image: Image, seen: set[str]) -> str:
        split = split_of(path.name)
        is_synthetic = not is_real(path.name) and self._is_synthetic(image)
        part = "synth" if self.options.preset == "paper" else self.options.part
        if part != "all" and is_synthetic != (part == "synth"):
            return f"{'synthetic' if is_synthetic else 'real'} image (--part all takes it)"
        if self.options.split not in ("all", split):
            return "of another split (--split)"
        if image.name in seen:
            return "image that another annotation file lists too"
        return "" if self._image(image.name) else "image file not present"

    def _is_synthetic(self, image: Image) -> bool:
        name = Path(image.name).name
        return name.startswith("camera_") or self._depth_file(name).is_file()

    def _image(self, name: str) -> Path | None:
        images = (self.folder / "images").resolve()
        for path in (images / name, images / Path(name).name):
            if path.is_file() and images in path.resolve().parents:
                return path
        return None

    def _depth_file(self, name: str) -> Path:
        """`camera_33.png` or `.jpg` -> `depth_maps/map_33.png`; only the file name is changed."""
        stem = Path(name).stem
        return self.folder / "depth_maps" / f"{stem.replace('camera', 'map', 1)}.png"

    def _item(self, path: Path, index: int, image: Image, keys: dict[str, int]) -> Item:
        file = self._image(image.name)
        assert file is not None
        stem = Path(image.name).stem
        slug = re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-")[:_SLUG] or "image"
        key, number = f"ehoi-{slug}", 1
        while key in keys:
            number = keys[f"ehoi-{slug}"] = keys[f"ehoi-{slug}"] + 1
            key = f"ehoi-{slug}-{number}"
        keys[key] = 1
        video = re.match(r"(\d+)_\d+\Z", stem)
        split = "train" if self.options.preset == "paper" else split_of(path.name)
        size = file.stat().st_size // (1 if file.suffix.lower() in (".jpg", ".jpeg") else 4)
        ref = {"json": path.name, "index": index, "file": image.name}
        return Item(key, f"ehoi-video-{video[1]}" if video else key, split, ref, 8192 + size)

    @staticmethod
    def _count(coco: Coco, index: int, totals: Counter[str]) -> None:
        image, rows = coco.images[index], coco.rows.get(index, [])
        diagonal = float(np.hypot(image.width, image.height))
        for i, row in enumerate(rows):
            totals["hands" if row.class_id == HAND else "objects"] += 1
            totals["without mask"] += not row.has_mask
            if row.contact == 1:
                partner = find_partner(coco, index, i, diagonal)
                totals["contacts"] += 1
                totals[f"by {partner.way}" if partner.way else "unresolved"] += 1
                totals["compared"] += partner.agrees is not None
                totals["disagree"] += partner.agrees is False

    def _notes(self, images: int, totals: Counter[str]) -> list[str]:
        notes = [
            f"check: {totals['hands']:,} hands, {totals['contacts']:,} in contact (object found by id "
            f"{totals['by id']:,}, by linked box {totals['by box']:,}, by offset {totals['by offset']:,}, "
            f"not {totals['unresolved']:,}), "
            f"{totals['objects']:,} objects, {totals['without mask']:,} annotations without a mask"
        ]
        if totals["disagree"] > MAX_DISAGREEING * totals["compared"]:
            notes.append(
                f"the offset points to another object than the link for {totals['disagree']} of "
                f"{totals['compared']} hands: unit or axes of dx, dy, magnitude differ from what is known"
            )
        if self.options.part == "synth" and images != PAPER_IMAGES:
            notes.append(
                f"this looks like EgoISM-HOI ({images:,} images), PViT used the 20,000-image EHOI release"
            )
        folders = [
            p.name
            for p in self.folder.iterdir()
            if p.is_dir() and re.search("mask|seg", p.name, re.IGNORECASE)
        ]
        notes += [f"folder {name}/ is not used" for name in sorted(folders)]
        if self.options.depth_scale == 0 and (self.folder / "depth_maps").is_dir():
            notes.append(
                "depth maps have no published scale and are left out; --depth-scale converts them"
            )
        return notes

    # ---- what an image becomes -------------------------------------------------------------------------------

    def load(self, item: Item) -> Sample:
        """One image with its boxes, and its map where it has masks."""
        coco = read_coco(self.folder / "annotations" / item.ref["json"])
        index = int(item.ref["index"])
        image, rows = coco.images[index], coco.rows.get(index, [])
        path = self._image(image.name)
        if path is None:
            raise SourceError(
                f"{self.folder / 'images' / image.name}: no such file", reason="missing-file"
            )
        rgb, height, width = read_still(path)
        scale = _scale(path, image, height, width)
        sample = Sample(
            key=item.key, group=item.group, rgb=rgb, num_frames=1, height=height, width=width
        )
        is_synthetic = not is_real(item.ref["json"]) and self._is_synthetic(image)
        sample.meta = {"file_name": image.name, "annotations": item.ref["json"], "is_still": True}
        sample.meta |= {"is_synthetic": is_synthetic, "split": item.split}
        pixels = [_corners(row, scale, height, width) for row in rows]
        kept = [i for i, (x0, y0, x1, y1) in enumerate(pixels) if x1 > x0 and y1 > y0]
        warnings = ["boxes-without-area-dropped"] if len(kept) < len(rows) else []
        sample.boxes = _table(coco, index, rows, pixels, kept, (height, width))
        sample.meta["annotation_ids"] = [str(rows[i].id) for i in kept]
        if any(row.contact == 1 for row in rows) and _unresolved(sample.boxes):
            warnings.append("contact-without-object")
        warnings += self._add_map(sample, rows, pixels, kept, scale, is_synthetic)
        if self.options.depth_scale and (depth := self._depth_file(path.name)).is_file():
            sample.depth = self._depth(depth, height, width)[None]
        sample.meta["warnings"] = sorted(set(warnings))
        return sample

    def _add_map(
        self,
        sample: Sample,
        rows: list[Row],
        pixels: list[tuple[float, float, float, float]],
        kept: list[int],
        scale: tuple[float, float],
        is_synthetic: bool,
    ) -> list[str]:
        """The map of classes; none where no thing has a mask, since that means that masks were not annotated."""
        masks = [mask_of(rows[i], sample.height, sample.width, scale) for i in kept]
        warnings = []
        if any(mask is None and rows[i].has_mask for i, mask in zip(kept, masks, strict=True)):
            warnings.append("damaged-masks-left-out")
        if (kept and all(mask is None for mask in masks)) or (not kept and not is_synthetic):
            return [*warnings, "no-masks"]
        if any(mask is None for mask in masks):
            warnings.append("some-things-without-mask")
        whole = [_whole(pixels[i], sample.height, sample.width) for i in kept]
        sample.segm = class_map(
            [rows[i] for i in kept], masks, whole, (sample.height, sample.width)
        )[None]
        return warnings

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


def split_of(name: str) -> str:
    """Split of an annotation file; names that say none count as training data."""
    plain = name.removeprefix("r_")
    return "test" if "test" in plain else "val" if plain.startswith("val") else "train"


def is_real(name: str) -> bool:
    """Whether an annotation file is one of real images."""
    return name.startswith("r_")


def _sentences(name: str, coco: Coco, reasons: Counter[str] | None) -> list[str]:
    """What a user should know about a file; `reasons` where none of its images was taken."""
    why = "; ".join(f"{n:,} x {reason}" for reason, n in (reasons or {}).items())
    out = (
        []
        if reasons is None
        else [f"{name}: none of its {len(coco.images):,} images was taken ({why})"]
    )
    out += [f"{name}: {n:,} x {reason}" for reason, n in coco.dropped.items()]
    if coco.unknown:
        out.append(
            f"{name}: categories that are not EHOI's: {', '.join(coco.unknown[:8])}; boxes keep no class, "
            "pixels are ignored"
        )
    return out


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


def _corners(
    row: Row, scale: tuple[float, float], height: int, width: int
) -> tuple[float, float, float, float]:
    """A box inside the image, in pixels: left, top, right, bottom."""
    x, y, w, h = row.box
    left, right = (min(max(v * scale[0], 0.0), width) for v in (x, x + w))
    top, bottom = (min(max(v * scale[1], 0.0), height) for v in (y, y + h))
    return left, top, right, bottom


def _whole(
    box: tuple[float, float, float, float], height: int, width: int
) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return int(left), int(top), min(int(np.ceil(right)), width), min(int(np.ceil(bottom)), height)


def _table(
    coco: Coco,
    index: int,
    rows: list[Row],
    pixels: list[tuple[float, float, float, float]],
    kept: list[int],
    size: tuple[int, int],
) -> Boxes:
    """The kept boxes with roles, sides, contacts and the object that each hand touches."""
    image = coco.images[index]
    place = {row: i for i, row in enumerate(kept)}
    diagonal = float(np.hypot(image.width, image.height))
    partner = np.full(len(kept), UNKNOWN)
    for i, row in enumerate(kept):
        if rows[row].contact == 1:
            partner[i] = place.get(find_partner(coco, index, row, diagonal).row, UNKNOWN)
    is_hand = np.array([rows[i].class_id == HAND for i in kept], bool)
    role = np.where(is_hand, ROLE_HAND, ROLE_OBJECT)
    role[[p for p in partner if p >= 0]] = ROLE_ACTIVE
    height, width = size
    return Boxes(
        np.array([pixels[i] for i in kept], np.float64).reshape(-1, 4)
        / [width, height, width, height],
        class_id=np.array([rows[i].class_id for i in kept], np.int32),
        track=np.array(kept, np.int32),
        role=role,
        side=np.array([rows[i].side for i in kept], np.int32),
        contact=np.array([rows[i].contact for i in kept], np.int32),
        partner=partner,
    )


def _unresolved(boxes: Boxes) -> bool:
    return bool(((boxes.contact == 1) & (boxes.partner < 0)).any())
