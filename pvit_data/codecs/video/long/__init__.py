"""Windows of videos that are too long to be held or decoded whole: frames by number, from files, by seeking."""

from pvit_data.codecs.video.file import VideoFile
from pvit_data.codecs.video.long.kept import MAX_TABLE_BYTES, pack_table, unpack_table
from pvit_data.codecs.video.long.table import FrameTable, frame_table, known_table, remember
from pvit_data.codecs.video.long.window import Cut, copy_window, encode_window, pictures_at

__all__ = [
    "MAX_TABLE_BYTES",
    "Cut",
    "FrameTable",
    "VideoFile",
    "copy_window",
    "encode_window",
    "frame_table",
    "known_table",
    "pack_table",
    "pictures_at",
    "remember",
    "unpack_table",
]
