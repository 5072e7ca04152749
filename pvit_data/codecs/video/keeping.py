"""What goes into a shard: a file's bytes where they are sound, else the same frames as H.264."""

from __future__ import annotations

from pvit_data.codecs.video.decode import decode_video
from pvit_data.codecs.video.encode import encode_video
from pvit_data.codecs.video.survey import VideoInfo, survey
from pvit_data.errors import FormatError


def storable(data: bytes) -> tuple[bytes, VideoInfo]:
    """Bytes that may be read by seeking, and what they hold: the file itself, or its frames encoded in an MP4.

    Raises:
        FormatError: if it is no video that we read, it is damaged, or its pictures change their size.
    """
    found = survey(data)
    if found.problem is None:
        return data, found.info
    if found.problem.kind == "damaged-video":
        raise FormatError(f"video is damaged: {found.problem.text}")
    return encode_video(decode_video(data), found.info.fps), found.info


def check_stored(data: bytes, frames: int) -> None:
    """Whether a stored file is sound and has that many frames; every one of them is decoded.

    Raises:
        FormatError: if not.
    """
    found = survey(data)
    if found.problem is not None:
        raise FormatError(f"video cannot be read by frame number: {found.problem.text}")
    if found.info.num_frames != frames:
        raise FormatError(f"rgb has {found.info.num_frames} frames, the record says {frames}")
