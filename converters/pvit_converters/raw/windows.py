"""Windows of a source's long videos: frames by number, sought in the file, stored as H.264 in MP4."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pvit_converters.raw.files import open_file
from pvit_data.errors import FormatError, SourceError

if TYPE_CHECKING:
    from pvit_data.codecs.video.long import FrameTable, VideoFile


@contextmanager
def opened_video(path: Path) -> Iterator[tuple[VideoFile, FrameTable]]:
    """A video file of any size, and its table of frames.

    Raises:
        SourceError: if the file is missing (`"missing-file"`) or no playable video (`"corrupt-video"`), also where that
            shows only inside of the block.
    """
    from pvit_data.codecs.video.long import VideoFile, frame_table

    with VideoFile(open_file(path)) as file:
        if not len(file):
            raise SourceError(f"{path}: is empty; get it again", reason="corrupt-video")
        try:
            yield file, frame_table(file)
        except FormatError as error:
            message = f"{path}: not a playable video ({error}); if it is damaged, get it again"
            raise SourceError(message, reason="corrupt-video") from error
