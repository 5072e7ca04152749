"""Where things lie in an AVA tree: movies in one of four forms, and the annotations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pvit_converters.ava.info import INFO
from pvit_converters.raw.listing import is_empty, list_entries, list_files
from pvit_data.errors import SourceError

VERSION = "v2.2"
SPLITS = ("train", "val", "test")
_MOVIES = {"videos": "movie", "trainval": "movie", "videos_15min": "cut"}
_FRAMES = ("frames", "rawframes")
_VIDEO = re.compile(r"(.+)\.(mp4|mkv|webm|avi|m4v|mov)\Z", re.IGNORECASE)
_BOXES = "person_box_67091280_iou90"
_TRAIN_BOXES = "train_boxes_and_labels_include_negative_v2.2"


@dataclass(frozen=True)
class Movie:
    """Pictures of a movie.

    Args:
        form: `"movie"`: from its start; `"cut"`: from 900 s on; `"frames"`: JPEG files from 900 s on.
        file: path below the root, with `/`.
    """

    form: str
    file: str


def find_movies(root: Path) -> dict[str, Movie]:
    """Movies by id. Whole ones come before cut ones, and these before frames; what is empty comes last.

    Raises:
        SourceError: if there is none.
    """
    if not root.is_dir():
        raise SourceError(
            f"{root}: no such folder; give the folder that holds AVA's movies and annotations"
        )
    found: dict[str, Movie] = {}
    for form, folder in _folders(root):
        for entry in list_entries(root / folder):
            match = _VIDEO.match(entry.name)
            if form == "frames" and entry.is_dir():
                name = entry.name
            elif form != "frames" and match and entry.is_file():
                name = match[1]
            else:
                continue
            if name not in found or is_empty(root / found[name].file):
                found[name] = Movie(form, f"{folder}/{entry.name}")
    if not found:
        raise SourceError(
            f"{root}: not an AVA tree: no movie in videos/, trainval/, videos_15min/, frames/ or rawframes/. "
            f"{INFO.obtain}"
        )
    return found


def _folders(root: Path) -> Iterator[tuple[str, str]]:
    yield from ((form, name) for name, form in _MOVIES.items() if (root / name).is_dir())
    yield from (("frames", name) for name in _FRAMES if (root / name).is_dir())


def annotation_folders(root: Path) -> list[Path]:
    """Where annotation files may lie."""
    names = ("annotations", f"annotations/{_BOXES}", "", _BOXES)
    return [root / name for name in names if (root / name).is_dir()]


def find_file(root: Path, *names: str) -> Path | None:
    """The first of some annotation files that is there."""
    paths = (folder / name for folder in annotation_folders(root) for name in names)
    return next((path for path in paths if path.is_file()), None)


def listing_name(split: str) -> str:
    """The file that names the movies of a split; no truth of test was published."""
    kind = "_excluded_timestamps" if split == "test" else ""
    return f"ava_{split}{kind}_{VERSION}.csv"


def truth_file(root: Path, split: str) -> Path | None:
    """The boxes and actions of a split.

    Raises:
        SourceError: if only another version's is there.
    """
    name = f"ava_{split}_{VERSION}.csv"
    if found := find_file(root, name):
        return found
    for folder in annotation_folders(root):
        others = [n for n in list_files(folder, ".csv") if re.match(rf"ava_{split}_v\d", n)]
        if others:
            raise SourceError(
                f"{folder / others[0]}: is of another version of AVA; results on {VERSION} need {name}, "
                "from ava_v2.2.zip"
            )
    return None


def excluded_file(root: Path, split: str) -> Path | None:
    """The seconds that are left out of evaluation."""
    return find_file(root, f"ava_{split}_excluded_timestamps_{VERSION}.csv")


def detection_csv(root: Path, split: str) -> Path | None:
    """The boxes of a person detector, if they are there as CSV."""
    name = {"train": _TRAIN_BOXES}.get(split, f"{split}_boxes_and_labels")
    return find_file(root, f"ava_detection_{name}.csv", f"ava_{split}_predicted_boxes.csv")


def detection_file(root: Path, split: str) -> Path | None:
    """The boxes of a person detector.

    Raises:
        SourceError: if only a pickle of them is there.
    """
    if found := detection_csv(root, split):
        return found
    for folder in annotation_folders(root):
        pickles = [n for n in list_files(folder, ".pkl") if f"_{split}." in n or f"_{split}_" in n]
        if pickles:
            raise SourceError(_pickled(folder / pickles[0]))
    return None


def _pickled(path: Path) -> str:
    """What to do about boxes that come as a pickle, which is not opened here."""
    out = path.with_name(
        f"ava_detection_{'train' if '_train' in path.name else 'val'}_boxes_and_labels.csv"
    )
    return (
        f"{path}: is a pickle, which can run code when it is opened; if you trust it, turn it into CSV in Python: "
        f"import pickle; boxes = pickle.load(open('{path.name}', 'rb')); open('{out.name}', 'w').writelines("
        "f'{k},{a:.3f},{b:.3f},{c:.3f},{d:.3f},,{s:.6f}\\n' for k, rows in boxes.items() for a, b, c, d, s in rows)"
    )
