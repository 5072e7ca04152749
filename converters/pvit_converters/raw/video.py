"""What becomes of a source's video file: its bytes as they are where every reader can play them, else a re-encoding.

Copied are H.264 in MP4 and VP8, VP9 or AV1 in WebM, judged by the content and not by the file's name. Everything else
is decoded and stored as frames (which the shard writer encodes as H.264), unless the user asks for a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from pvit_converters.raw.files import read_bytes
from pvit_data.errors import FormatError, SourceError
from pvit_data.sample.limits import MAX_DECODED_BYTES
from pvit_data.sample.sample import EncodedMedia

MAX_FILE = 1 << 30
_PLAYED = {"webm": frozenset({"vp8", "vp9", "av1", "libdav1d"}), "mp4": frozenset({"h264"})}
"""Codecs that every reader plays, by container."""
_EBML_HEADER = 64  # the document type stands within the first bytes of a Matroska file


@dataclass(frozen=True)
class Clip:
    """A source's video, ready for a `Sample`.

    Args:
        rgb: the file's bytes, or its frames where they must be re-encoded.
        num_frames, fps, height, width: of the video.
        warnings: what was wrong with the file.
    """

    rgb: EncodedMedia | UInt8[np.ndarray, "t h w 3"]
    num_frames: int
    fps: float
    height: int
    width: int
    warnings: tuple[str, ...] = ()


def read_clip(path: Path, *, copy_video: bool = False, rescue: bool = True) -> Clip:
    """Reads a video file.

    Args:
        path: the file.
        copy_video: keep the bytes of any container and codec that the format can hold.
        rescue: a damaged file is re-encoded up to the first frame that the decoder calls damaged; False: refused.

    Raises:
        SourceError: if the file is missing (`"missing-file"`) or not a playable video (`"corrupt-video"`).
    """
    return clip_of(read_bytes(path, MAX_FILE), path, copy_video=copy_video, rescue=rescue)


def clip_of(
    data: bytes, where: Path | str, *, copy_video: bool = False, rescue: bool = True
) -> Clip:
    """As `read_clip`, from the bytes of a file; `where` names it in messages."""
    if not data:
        raise SourceError(f"{where}: is empty; get it again", reason="corrupt-video")
    try:
        return _clip(data, copy_video, rescue)
    except FormatError as error:
        message = f"{where}: not a playable video ({error}); if it is damaged, get it again"
        raise SourceError(message, reason="corrupt-video") from error
    except Exception as error:  # the file is known here, and nowhere above
        message = f"{where}: unexpected {type(error).__name__}: {error}"
        raise SourceError(message, reason="unexpected") from error


def _clip(data: bytes, copy_video: bool, rescue: bool) -> Clip:
    from pvit_data.codecs.video import CODECS, decode_sound, decoded_bytes, frame_rate, survey_if

    extension = _extension(data)
    kind = ""
    copied = CODECS if copy_video else _PLAYED.get(extension or "", frozenset())
    found = survey_if(data, copied) if extension is not None else None
    if extension is not None and found is not None:
        info = found.info
        if found.problem is None:
            media = EncodedMedia(data, extension)
            return Clip(media, info.num_frames, info.fps, info.height, info.width)
        kind, damage = found.problem.kind, found.problem.text
        if decoded_bytes(data) > MAX_DECODED_BYTES:
            return _encoded(data, rescue)
        frames, rate = decode_sound(data)[0][: info.num_frames], info.fps
    elif decoded_bytes(data) > MAX_DECODED_BYTES:
        return _encoded(data, rescue)
    else:
        frames, damage = decode_sound(data)
        kind, rate = "damaged-video" if damage else "", frame_rate(data)
    if kind == "damaged-video" and not rescue:
        raise FormatError(damage)
    warnings = (f"{kind}-re-encoded",) if kind else ()
    return Clip(frames, len(frames), rate, frames.shape[1], frames.shape[2], warnings)


def _encoded(data: bytes, rescue: bool) -> Clip:
    """Encoded anew picture by picture: all frames of a long video do not fit into memory at once."""
    from pvit_data.codecs.video import encode_part, survey

    found = survey(data)
    problem, count = found.problem, found.info.num_frames
    if problem and problem.kind == "damaged-video" and not rescue:
        raise FormatError(problem.text)
    encoded, info = encode_part(data, range(count), checked=False)
    warnings = (f"{problem.kind}-re-encoded",) if problem else ()
    return Clip(EncodedMedia(encoded, "mp4"), count, info.fps, info.height, info.width, warnings)


def _extension(data: bytes) -> Literal["mp4", "webm", "avi"] | None:
    """The container by its content; None for one that cannot be stored (Matroska that is no WebM)."""
    from pvit_data.codecs.video import container_format

    found = container_format(data)
    if found == "matroska":
        return "webm" if b"webm" in data[:_EBML_HEADER] else None
    return "mp4" if found == "mp4" else "avi"
