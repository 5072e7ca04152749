"""Which videos are meant by what a user names: files, folders, patterns, shards; and their bytes, one after the other.

Photos (JPEG, PNG) are videos of one frame.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from pvit_data.codecs.still import decode_still, jpeg_of_png, probe_still
from pvit_data.codecs.video import VideoInfo, decode_video, survey
from pvit_data.errors import FormatError, SourceError, UsageError
from pvit_data.format.manifest import NAME as MANIFEST
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.open import open_dataset
from pvit_data.sample.sample import Sample
from pvit_data.storage.files import read_regular, regular_size

MAX_BYTES = 4 << 30
STILL = b"\xff\xd8\xff"
"""How JPEG files begin."""
PNG = b"\x89PNG\r\n\x1a\n"
"""How PNG files begin, which are read as JPEG."""
SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".3gp", ".ts", ".wmv", ".jpg", ".jpeg", ".png")
)  # fmt: skip
"""Of files that are taken from a folder; a file that is named may be called anything."""
EXPECTED = (
    "expected a video file (mp4, mov, webm, mkv, avi) or a photo (jpg, png), or a folder of them"
)


@dataclass(frozen=True)
class Video:
    """A video that can be read.

    Args:
        where: what people know it by: its path, or its sample key.
        name: of what is written about it; no two videos of a list have the same.
        read: its bytes and facts.
        sample: reads some fields of a sample of shards; None: it is a file.
    """

    where: str
    name: str
    read: Callable[[], tuple[bytes, VideoInfo]]
    sample: Callable[[Collection[str]], Sample] | None = None


def read_video(path: str) -> tuple[bytes, VideoInfo]:
    """A video file's bytes and facts.

    Raises:
        SourceError: if it cannot be read as a video; the message says why.
    """
    try:
        size = regular_size(path)
        if size > MAX_BYTES:
            raise SourceError(
                f"{path}: {size / 2**30:.1f} GiB is more than the 4 GiB this reads; cut the video first"
            )
        data = read_regular(path, size)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"{path}: {reason}; {EXPECTED}", reason="missing-file") from None
    if not data:
        raise SourceError(f"{path}: the file is empty; expected a video (mp4, mov, webm, mkv, avi)")
    try:
        data = jpeg_of_png(data) if data.startswith(PNG) else data
        return data, _facts(data)
    except FormatError as error:
        raise SourceError(
            f"{path}: {error}; expected a video (mp4, mov, webm, mkv, avi) that FFmpeg can decode, or a photo "
            "(jpg, png)"
        ) from None


def _facts(data: bytes) -> VideoInfo:
    if not data.startswith(STILL):
        return survey(data).info
    still = probe_still(data)
    return VideoInfo(1, 0.0, still.height, still.width)


def frames_of(data: bytes, frames: Int64[np.ndarray, "n"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Frames of a video, or the one of a photo.

    Raises:
        FormatError: if they do not decode.
    """
    return decode_still(data)[None] if data.startswith(STILL) else decode_video(data, frames)


def find_videos(
    places: Sequence[str],
    source: str | None = None,
    split: str | None = None,
    layers: Sequence[str] = (),
) -> list[Video]:
    """The videos that places mean, in their order; those of a folder by name.

    Args:
        places: files; folders, with all videos and photos below them; patterns such as `"day1/*.mp4"`; folders and
            URLs with shards.
        source, split: which samples of shards.
        layers: annotation layers over them, as of `pvit_data.open`.

    Raises:
        SourceError: if a place holds no video.
    """
    found: list[Video] = []
    for place in places:
        mine = list(_found(place, source, split, layers))
        if not mine:
            raise SourceError(
                f"no video in '{place}'; expected a file, a folder, a pattern, or shards"
            )
        found += mine
    return _distinct(found)


def _found(
    place: str, source: str | None, split: str | None, layers: Sequence[str]
) -> Iterator[Video]:
    is_folder = os.path.isdir(place)
    if "://" in place or (is_folder and os.path.isfile(os.path.join(place, MANIFEST))):
        yield from _of_shards(open_dataset(place, source, split, fields=("rgb",), layers=layers))
    elif is_folder:
        yield from map(partial(_of_file, root=place), _below(place))
    elif os.path.lexists(place) or not glob.has_magic(place):
        yield _of_file(place)
    else:
        paths = sorted(glob.glob(place, recursive=True))
        yield from (_of_file(path) for path in paths if not os.path.isdir(path))


def _below(folder: str) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        yield from (
            os.path.join(root, n) for n in sorted(names) if Path(n).suffix.lower() in SUFFIXES
        )


def _of_file(path: str, root: str = "") -> Video:
    inside = os.path.relpath(path, root) if root else os.path.basename(path)
    return Video(path, os.path.splitext(inside)[0], partial(read_video, path))


def _of_shards(ds: ShardDataset) -> Iterator[Video]:
    if not isinstance(ds, ShardDataset):
        raise UsageError("shards without an index cannot be predicted; run 'pvit-data index' first")
    rows = np.flatnonzero(ds.column("has_rgb").astype(bool))
    for row in rows.tolist():
        key = str(ds.value("key", row))
        yield Video(key, key, partial(_read_sample, ds, row), partial(ds.read, row))


def _read_sample(ds: ShardDataset, row: int) -> tuple[bytes, VideoInfo]:
    """The pictures of a sample; the index knows how many there are."""
    (file,) = [name for name in ds.members(row) if name.startswith("rgb.")]
    size = int(ds.value("height", row)), int(ds.value("width", row))
    facts = VideoInfo(int(ds.value("frames", row)), float(ds.value("fps", row)), *size)
    return ds.files(row, [file])[file], facts


def _distinct(videos: Iterable[Video]) -> list[Video]:
    """Each place once, and no two with one name."""
    by_place = {video.where: video for video in videos}
    taken: set[str] = set()
    return [replace(video, name=_new_name(video.name, taken)) for video in by_place.values()]


def _new_name(name: str, taken: Collection[str]) -> str:
    assert isinstance(taken, set)
    number, found = 1, name
    while found.lower() in taken:  # file systems may not tell upper from lower case
        number += 1
        found = f"{name}-{number}"
    taken.add(found.lower())
    return found
