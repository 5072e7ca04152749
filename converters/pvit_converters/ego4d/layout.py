"""Where things lie in an Ego4D download: annotations, full videos, canonical clips, and the manifest of the videos."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

from pvit_converters.ego4d.info import INFO
from pvit_converters.raw.files import read_utf8
from pvit_converters.raw.listing import is_empty, list_entries, list_files
from pvit_data.errors import SourceError

SPLITS = ("train", "val", "test")
_VERSIONS = ("", "v2", "v1")
_VIDEOS = ("full_scale", "video_540ss")
_CLIPS = "clips"
_OTHERS = ("fho_hands", "fho_scod", "fho_main", "fho_sta", "fho_lta")


def wanted_name(split: str) -> str:
    """The name of a split's annotations in a download."""
    return f"fho_oscc-pnr_{'test_unannotated' if split == 'test' else split}.json"


def annotation_files(root: Path, wanted: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """The annotations of each split, of one version: that with the most splits, the later one where both have as many.

    Args:
        root: of the download.
        wanted: splits, of which there must be one; others are given, too.

    Returns:
        The files by split, and a note where another version has some, too.
    """
    found = {version: _of_version(root / version) for version in _VERSIONS}
    there = [version for version in _VERSIONS if found[version].keys() & set(wanted)]
    if not there:
        return {}, []
    chosen = max(there, key=lambda version: len(found[version]))  # the first of equal ones
    names = {version: f"{version}/" if version else "the folder itself" for version in there}
    others = [name for version, name in names.items() if version != chosen]
    note = (
        f"the lists in {names[chosen]} are taken, none in {' and '.join(others)}: windows may be of other splits "
        "there; give the folder of one version to take its own"
    )
    return found[chosen], [note] * bool(others)


def _of_version(folder: Path) -> dict[str, Path]:
    paths = {
        split: [
            folder / name / file
            for name in ("annotations", "")
            for file in (wanted_name(split), f"{split}.json")
        ]
        for split in SPLITS
    }
    there = {split: [path for path in found if path.is_file()] for split, found in paths.items()}
    return {split: found[0] for split, found in there.items() if found}


def no_annotations(root: Path, wanted: Sequence[str]) -> SourceError:
    """The error where no split's file is there; others of Ego4D's are named."""
    folders = (root / version / name for version in _VERSIONS for name in ("annotations", ""))
    others = [n for f in folders for n in list_files(f, ".json") if n.startswith(_OTHERS)]
    there = f" ({', '.join(others[:3])} there: of other tasks)" if others else ""
    return SourceError(
        f"{root}: no {' and no '.join(map(wanted_name, wanted))} in annotations/, v1/annotations/ or "
        f"v2/annotations/{there}. {INFO.obtain}"
    )


def find_videos(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Files of full videos, and of canonical clips, by uid; paths below the root. Full scale comes before smaller ones,
    and empty files last.

    Raises:
        SourceError: if there is no folder of either.
    """
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder; give the folder of an Ego4D download")
    videos: dict[str, str] = {}
    clips: dict[str, str] = {}
    found = False
    for version in _VERSIONS:
        for name, files in [(name, videos) for name in _VIDEOS] + [(_CLIPS, clips)]:
            folder = root / version / name
            if folder.is_dir():
                found = True
                for uid, file in _files(root, folder):
                    if uid not in files or is_empty(root / files[uid]):
                        files[uid] = file
    if not found:
        raise SourceError(
            f"{root}: not an Ego4D download: no full_scale/, video_540ss/ or clips/ in it, v1/ or v2/. {INFO.obtain}"
        )
    return videos, clips


def _files(root: Path, folder: Path) -> list[tuple[str, str]]:
    entries = [entry for entry in list_entries(folder) if entry.is_file()]
    return [
        (name, os.path.relpath(entry.path, root).replace(os.sep, "/"))
        for entry in entries
        if (name := re.sub(r"\.mp4\Z", "", entry.name, flags=re.IGNORECASE)) and "." not in name
    ]


def listed_videos(root: Path) -> set[str] | None:
    """The uids of the manifests beside the videos; None where there is none."""
    paths = [root / v / name / "manifest.csv" for v in _VERSIONS for name in _VIDEOS]
    texts = [read_utf8(path) for path in paths if path.is_file()]
    rows = [row for text in texts for row in csv.DictReader(io.StringIO(text))]
    return (
        {str(row.get("video_uid") or row.get("file_uid") or "") for row in rows} if texts else None
    )
