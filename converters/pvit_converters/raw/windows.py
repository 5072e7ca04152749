"""Windows of a source's long videos: frames by number, sought in the file, stored as H.264 in MP4.

The table of a video's frames is made once in a conversion and kept beside its windows until all of them are written.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from pvit_converters.raw.files import open_file
from pvit_data.errors import FormatError, SourceError
from pvit_data.storage.files import read_regular, write_file

if TYPE_CHECKING:
    from pvit_data.codecs.video.long import FrameTable, VideoFile

TABLE = re.compile(r"\.[0-9a-f]{32}\.frames")
"""What the file of a table is called, in the folder of the source."""
_folder: ContextVar[Path | None] = ContextVar("tables", default=None)


@contextmanager
def keeping_tables(folder: Path | None) -> Iterator[None]:
    """Until it is left, frame tables are kept in a folder, and taken from there; None: in memory only."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


@contextmanager
def opened_video(path: Path) -> Iterator[tuple[VideoFile, FrameTable]]:
    """A video file of any size, and its table of frames.

    Raises:
        SourceError: if the file is missing (`"missing-file"`) or no playable video (`"corrupt-video"`), also where that
            shows only inside of the block.
    """
    from pvit_data.codecs.video.long import VideoFile

    with VideoFile(open_file(path)) as file:
        if not len(file):
            raise SourceError(f"{path}: is empty; get it again", reason="corrupt-video")
        try:
            yield file, _table_of(path, file)
        except FormatError as error:
            message = f"{path}: not a playable video ({error}); if it is damaged, get it again"
            raise SourceError(message, reason="corrupt-video") from error


def _table_of(path: Path, file: VideoFile) -> FrameTable:
    from pvit_data.codecs.video.long import frame_table

    folder = _folder.get()
    if folder is None:
        return frame_table(file)
    named = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]
    return kept_table(file, folder / f".{named}.frames")


def kept_table(file: VideoFile, path: Path) -> FrameTable:
    """The table of a video, from where it is kept, or else made and then kept there.

    Args:
        file: a video.
        path: of the table; where it cannot be written, whoever needs it makes it again.

    Raises:
        FormatError: if the table cannot be made.
    """
    from pvit_data.codecs.video.long import (
        MAX_TABLE_BYTES,
        frame_table,
        known_table,
        pack_table,
        remember,
        unpack_table,
    )

    if (known := known_table(file)) is not None:
        return known
    with suppress(OSError):
        stored = unpack_table(file, read_regular(path, MAX_TABLE_BYTES))
        if stored is not None:
            remember(file, stored)
            return stored
    table = frame_table(file)
    with suppress(OSError):
        write_file(path, pack_table(file, table))
    return table
