"""Clips: H.264 in MP4 written by us, MP4, WebM or AVI files of a source read as they are. PyAV does the work.

Frames are numbered in the order in which the decoder gives them. A container's times and key frames are only a way
to get there faster: they count in files that were checked (`survey`), which is every file in a shard, and for others
as far as they were once decoded from the start.
"""

from pvit_data.codecs.video.container import CODECS, container_format
from pvit_data.codecs.video.decode import (
    VideoInfo,
    decode_sound,
    decode_video,
    frame_rate,
    probe_video,
)
from pvit_data.codecs.video.encode import encode_video
from pvit_data.codecs.video.keeping import check_stored, storable
from pvit_data.codecs.video.part import (
    copy_part,
    decoded_bytes,
    encode_part,
    frame_times,
    is_seekable,
)
from pvit_data.codecs.video.survey import Problem, Survey, survey, survey_if

__all__ = [
    "CODECS",
    "Problem",
    "Survey",
    "VideoInfo",
    "check_stored",
    "container_format",
    "copy_part",
    "decode_sound",
    "decode_video",
    "decoded_bytes",
    "encode_part",
    "encode_video",
    "frame_rate",
    "frame_times",
    "is_seekable",
    "probe_video",
    "storable",
    "survey",
    "survey_if",
]
