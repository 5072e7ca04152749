"""Where things lie in SynADL: videos and skeletons share a stem, and are joined by it in one walk (spec synadl, 3)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvit_converters.raw import zips as raw_zip
from pvit_converters.raw.listing import walk_files
from pvit_data.errors import SourceError, UsageError

STEM = re.compile(r"^A(?P<action>\d{3})_P(?P<person>\d{3})_G(?P<group>\d{3})_C(?P<camera>\d{3})")
"""Begin of a file name; what follows is a suffix that some copies have."""

KINDS = ("rgb", "op2d", "op3d", "k2d", "k3d")
RANGES = {"action": (1, 55), "person": (101, 115), "group": (1, 20), "camera": (1, 28)}
_VIDEOS = (".avi", ".mp4", ".mkv", ".webm")
_SET = re.compile(r"kinect|openpose", re.IGNORECASE)
_DIMENSION = re.compile(r"^(2dj|3dj|2d|3d)", re.IGNORECASE)


@dataclass
class Clip:
    """The files of one video.

    Args:
        stem: `A001_P101_G001_C001`.
        files: place by kind (see `raw_zip`).
        suffix: what follows the stem in the video's name.
        size: bytes of the video.
    """

    stem: str
    files: dict[str, str] = field(default_factory=dict)
    suffix: str = ""
    size: int = 0

    @property
    def numbers(self) -> dict[str, int]:
        """Action, person, group and camera."""
        match = STEM.match(self.stem)
        assert match is not None
        return {name: int(value) for name, value in match.groupdict().items()}


@dataclass
class Found:
    """What a tree holds.

    Args:
        clips: by stem.
        archives: zip archives in the tree.
        doubled: files of a kind that a clip has twice; the one with the shorter name is used.
        unplaced: skeleton files in folders that say neither Kinect nor OpenPose, or no dimension.
    """

    clips: dict[str, Clip] = field(default_factory=dict)
    archives: list[str] = field(default_factory=list)
    doubled: int = 0
    unplaced: list[str] = field(default_factory=list)


def folders_of(values: Any, flag: str) -> dict[str, str]:
    """Folders by kind from the user's YAML, `synadl: {rgb: RGB, k3d: Kinect3D}`.

    Raises:
        UsageError: if it has other keys.
    """
    table = values.get("synadl", values) if isinstance(values, Mapping) else None
    if not isinstance(table, Mapping) or not set(table) <= set(KINDS):
        raise UsageError(
            f"{flag}: expected synadl: {{rgb: FOLDER, ...}} with any of {', '.join(KINDS)}"
        )
    return {kind: str(folder).strip("/") for kind, folder in table.items()}


def find_clips(root: Path, folders: Mapping[str, str], *, from_zip: bool) -> Found:
    """Lists every folder once and joins files by stem.

    Raises:
        SourceError: if `root` is no folder, or an archive is damaged.
    """
    if not root.is_dir():
        raise SourceError(
            f"{root}: no such folder; give the folder that holds RGB/ and Openpose/ or Kinect/"
        )
    found = Found()
    for place, entry in walk_files(root):
        if place.lower().endswith(".zip"):
            found.archives.append(place)
            if from_zip:
                for member, member_size in raw_zip.members(root / place):
                    _add(found, f"{place}!{member}", member_size, folders)
        else:
            is_video = entry.name.lower().endswith(_VIDEOS)
            _add(found, place, entry.stat().st_size if is_video else 0, folders)
    return found


def _add(found: Found, place: str, size: int, folders: Mapping[str, str]) -> None:
    name = place.replace("!", "/").rsplit("/", 1)[-1]
    match = STEM.match(name)
    extension = os.path.splitext(name)[1].lower()
    if match is None or extension not in (*_VIDEOS, ".json"):
        return
    kind = kind_of(place, extension, folders)
    if kind is None:
        found.unplaced.append(place)
        return
    clip = found.clips.setdefault(match[0], Clip(match[0]))
    if kind in clip.files:
        found.doubled += 1
        if len(name) >= len(clip.files[kind].replace("!", "/").rsplit("/", 1)[-1]):
            return
    clip.files[kind] = place
    if kind == "rgb":
        clip.suffix, clip.size = name[len(match[0]) : -len(extension)], size


def kind_of(place: str, extension: str, folders: Mapping[str, str]) -> str | None:
    """What a file is: by the user's folders, else by its extension and the names of the folders above it."""
    for kind, folder in folders.items():
        if place.startswith(f"{folder}/") or f"/{folder}/" in place.replace("!", "/"):
            return kind if (kind == "rgb") == (extension != ".json") else None
    if extension != ".json":
        return "rgb" if "rgb" not in folders else None
    parts = place.replace("!", "/").split("/")[:-1]
    sets = [m[0].lower() for part in parts if (m := _SET.search(part))]
    dimensions = [m[0][0] for part in parts if (m := _DIMENSION.match(part))]
    if not sets or not dimensions:
        return None
    return f"{'k' if sets[-1] == 'kinect' else 'op'}{dimensions[-1]}d"
