"""Which images of EHOI there are: those of the annotation files that are present and selected, counted for a check."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from pvit_converters.base import Item, Listing
from pvit_converters.ehoi.classes import HAND
from pvit_converters.ehoi.coco import Coco, Image, read_coco
from pvit_converters.ehoi.info import INFO
from pvit_converters.ehoi.layout import Layout, split_of
from pvit_converters.ehoi.links import find_partner
from pvit_converters.ehoi.options import EhoiOptions
from pvit_converters.raw.listing import list_folders
from pvit_data.errors import SourceError

PAPER_IMAGES = 20_000
MAX_DISAGREEING = 0.05
"""Share of the hands whose offset may point elsewhere than their link."""

_SLUG = 70
_NOT_LOSSLESS = (".jpg", ".jpeg")


def list_images(layout: Layout, options: EhoiOptions) -> Listing:
    """The selected images that are there, with counts of hands, links and masks.

    Raises:
        SourceError: if there is none.
    """
    if not (layout.folder / "images").is_dir():
        raise SourceError(f"{layout.folder}: no folder images/ beside annotations/. {INFO.obtain}")
    images = _Images(layout, options)
    notes = [note for path in layout.annotation_files() for note in images.add(path)]
    absent = {reason: n for reason, n in images.absent.items() if n}
    if not images.items:
        why = "; ".join(f"{n} x {reason}" for reason, n in absent.items()) or "no image is listed"
        raise SourceError(f"{layout.folder}: no image to convert ({why})")
    notes += [*_check(images.totals), *_notes(layout.folder, options, len(images.items))]
    return Listing(images.items, absent, notes)


class _Images:
    """What was found so far, file by file."""

    def __init__(self, layout: Layout, options: EhoiOptions) -> None:
        self.layout, self.options = layout, options
        self.items: list[Item] = []
        self.absent = Counter[str]()
        self.totals = Counter[str]()
        self._seen: set[str] = set()
        self._keys: dict[str, int] = {}  # how often a key was wanted

    def add(self, path: Path) -> list[str]:
        """Takes the images of an annotation file; returns what a user should know about it."""
        coco = read_coco(path)
        before, reasons = len(self.items), Counter[str]()
        for index, image in enumerate(coco.images):
            if reason := self._why_not(path, image):
                reasons[reason] += 1
                continue
            self._seen.add(image.name)
            self.items.append(self._item(path, index, image))
            _count(coco, index, self.totals)
        self.absent.update(reasons)
        return _sentences(path.name, coco, reasons if len(self.items) == before else None)

    def _why_not(self, path: Path, image: Image) -> str:
        options = self.options
        is_synthetic = self.layout.is_synthetic(path.name, image.name)
        part = "synth" if options.preset == "paper" else options.part
        if part != "all" and is_synthetic != (part == "synth"):
            return f"{'synthetic' if is_synthetic else 'real'} image (--part all takes it)"
        if options.split not in ("all", split_of(path.name)):
            return "of another split (--split)"
        if image.name in self._seen:
            return "image that another annotation file lists too"
        return "" if self.layout.image(image.name) else "image file not present"

    def _item(self, path: Path, index: int, image: Image) -> Item:
        file = self.layout.image(image.name)
        assert file is not None
        key = self._key(image)
        video = re.match(r"(\d+)_\d+\Z", Path(image.name).stem)
        split = "train" if self.options.preset == "paper" else split_of(path.name)
        size = file.stat().st_size // (1 if file.suffix.lower() in _NOT_LOSSLESS else 4)
        ref = {"json": path.name, "index": index, "file": image.name}
        return Item(key, f"ehoi-video-{video[1]}" if video else key, split, ref, 8192 + size)

    def _key(self, image: Image) -> str:
        """From the file's name, numbered where it was taken before."""
        stem = Path(image.name).stem.lower()
        slug = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-")[:_SLUG] or "image"
        first = key = f"ehoi-{slug}"
        while key in self._keys:
            self._keys[first] += 1
            key = f"{first}-{self._keys[first]}"
        self._keys[key] = 1
        return key


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


def _sentences(name: str, coco: Coco, reasons: Counter[str] | None) -> list[str]:
    """What a user should know about a file; `reasons` where none of its images was taken."""
    out = []
    if reasons is not None:
        why = "; ".join(f"{n:,} x {reason}" for reason, n in reasons.items())
        out.append(f"{name}: none of its {len(coco.images):,} images was taken ({why})")
    out += [f"{name}: {n:,} x {reason}" for reason, n in coco.dropped.items()]
    if coco.unknown:
        out.append(
            f"{name}: categories that are not EHOI's: {', '.join(coco.unknown[:8])}; boxes keep no class, "
            "pixels are ignored"
        )
    return out


def _check(totals: Counter[str]) -> list[str]:
    """What the counts say."""
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
    return notes


def _notes(folder: Path, options: EhoiOptions, images: int) -> list[str]:
    notes = []
    if options.part == "synth" and images != PAPER_IMAGES:
        notes.append(
            f"this looks like EgoISM-HOI ({images:,} images), PViT used the 20,000-image EHOI release"
        )
    masks = [name for name in list_folders(folder) if re.search("mask|seg", name, re.IGNORECASE)]
    notes += [f"folder {name}/ is not used" for name in masks]
    if options.depth_scale == 0 and (folder / "depth_maps").is_dir():
        notes.append(
            "depth maps have no published scale and are left out; --depth-scale converts them"
        )
    return notes
