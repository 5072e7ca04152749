"""Windows of videos that are too long to be held or decoded whole: frames by number, from files, by seeking."""

from pvit_data.codecs.video.file import VideoFile
from pvit_data.codecs.video.long.table import FrameTable, frame_table
from pvit_data.codecs.video.long.window import Cut, copy_window, encode_window, pictures_at

__all__ = [
    "Cut",
    "FrameTable",
    "VideoFile",
    "copy_window",
    "encode_window",
    "frame_table",
    "pictures_at",
]
