"""Where things lie in an EHOI tree: annotation files, images, depth maps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pvit_converters.ehoi.info import INFO
from pvit_converters.raw.listing import list_files, list_folders
from pvit_data.errors import SourceError

_SPLITS = ("train", "val", "test")
_ENDING = "_coco.json"


def split_of(name: str) -> str:
    """Split of an annotation file; names that say none count as training data."""
    plain = name.removeprefix("r_")
    if "test" in plain:
        return "test"
    return "val" if plain.startswith("val") else "train"


def is_real(name: str) -> bool:
    """Whether an annotation file is one of real images."""
    return name.startswith("r_")


@dataclass(frozen=True)
class Layout:
    """A tree.

    Args:
        folder: that holds `annotations/` and `images/`.
    """

    folder: Path

    def annotations(self, name: str) -> Path:
        """An annotation file."""
        return self.folder / "annotations" / name

    def annotation_files(self) -> list[Path]:
        """Train, val, test, real ones last; files of other names count as training data."""
        folder = self.folder / "annotations"
        return sorted(
            map(folder.joinpath, list_files(folder, _ENDING)),
            key=lambda p: (is_real(p.name), _SPLITS.index(split_of(p.name)), p.name),
        )

    def image(self, name: str) -> Path | None:
        """The file of an image; None if it is not there, or its name leads out of `images/`."""
        images = self.folder / "images"
        for path in (images / name, images / Path(name).name):
            inside = os.path.normpath(path).startswith(f"{os.path.normpath(images)}{os.sep}")
            if inside and path.is_file():
                return path
        return None

    def depth_file(self, name: str) -> Path:
        """`camera_33.png` or `.jpg` -> `depth_maps/map_33.png`; only the file name is changed."""
        stem = Path(name).stem
        return self.folder / "depth_maps" / f"{stem.replace('camera', 'map', 1)}.png"

    def is_synthetic(self, annotations: str, image: str) -> bool:
        """Whether an image of an annotation file is rendered."""
        name = Path(image).name
        has_signs = name.startswith("camera_") or self.depth_file(name).is_file()
        return has_signs and not is_real(annotations)


def find_layout(root: Path) -> Layout:
    """The tree in or directly below a folder.

    Raises:
        SourceError: if there is none; the message names what was looked for.
    """
    if not root.is_dir():
        raise SourceError(
            f"{root}: no such folder; give the folder that holds EHOI's annotations/ and images/"
        )
    inner = map(root.joinpath, list_folders(root))
    for folder in (root, root / "egoism-hoi-dataset", *inner):
        if list_files(folder / "annotations", _ENDING):
            return Layout(folder)
    raise SourceError(
        f"{root}: no annotations/*{_ENDING} (train{_ENDING}, ...) in it{_hint(root)}. {INFO.obtain}"
    )


def _hint(root: Path) -> str:
    """What lies there instead, as the end of a sentence."""
    place = root.resolve()
    if place.name in ("annotations", "images", "depth_maps"):
        return f"; give the folder above it, {place.parent}"
    if others := list_files(root / "annotations", ".json"):
        return f"; annotations/ holds {', '.join(others[:5])}: rename them if they are such files"
    zips = list_files(root, ".zip")
    return f"; {zips[0]} is not unpacked" if zips else ""
