"""What becomes of a source's video file: its bytes as they are where every reader can play them, else a re-encoding.

Copied are H.264 in MP4 and VP8, VP9 or AV1 in WebM, judged by the content and not by the file's name. Everything else
is decoded and stored as frames (which the shard writer encodes as H.264), unless the user asks for a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import UInt8

from pvit_data.errors import FormatError, SourceError
from pvit_data.sample.sample import EncodedMedia

if TYPE_CHECKING:
    from pvit_data.codecs.video import VideoInfo

MAX_FILE = 1 << 30
_WEBM_CODECS = ("vp8", "vp9", "av1", "dav1d")
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


def read_clip(path: Path, *, copy_video: bool = False, verify: bool = True) -> Clip:
    """Reads a video file.

    Args:
        path: the file.
        copy_video: keep the bytes of any container and codec that the format can hold.
        verify: decode the whole file once; a file whose end is damaged is re-encoded as far as it decodes.

    Raises:
        SourceError: if the file is missing (`"missing-file"`) or not a playable video (`"corrupt-video"`).
    """
    return clip_of(_read(path), path, copy_video=copy_video, verify=verify)


def clip_of(
    data: bytes, where: Path | str, *, copy_video: bool = False, verify: bool = True
) -> Clip:
    """As `read_clip`, from the bytes of a file; `where` names it in messages."""
    from pvit_data.codecs.video import probe_video

    try:
        info = probe_video(data)
        extension = _extension(data)
        if extension is None or not (copy_video or _plays_everywhere(data, extension)):
            return _decoded(data, info)
        good = _count(data) if verify else info.num_frames
        if good == 0:
            raise FormatError("no frame of it can be decoded")
        if good < info.num_frames:
            return _decoded(data, info)
        return Clip(
            EncodedMedia(data, extension), info.num_frames, info.fps, info.height, info.width
        )
    except FormatError as error:
        message = f"{where}: not a playable video ({error}); the file is damaged, get it again"
        raise SourceError(message, reason="corrupt-video") from error


def _decoded(data: bytes, info: VideoInfo) -> Clip:
    """All frames, or those before the first that does not decode."""
    from pvit_data.codecs.video import decode_video

    try:
        return _clip(decode_video(data), info, ())
    except FormatError:
        frames = list(_decodable(data))
        if not frames:
            raise
        return _clip(np.stack(frames), info, ("damaged-video-re-encoded",))


def _clip(frames: UInt8[np.ndarray, "t h w 3"], info: VideoInfo, warnings: tuple[str, ...]) -> Clip:
    return Clip(frames, len(frames), info.fps, frames.shape[1], frames.shape[2], warnings)


def _read(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MAX_FILE:
            raise SourceError(
                f"{path}: {size} bytes, more than the limit of {MAX_FILE}", reason="corrupt-video"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file", reason="missing-file") from error
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be read ({error.strerror})", reason="unreadable"
        ) from error


def _extension(data: bytes) -> Literal["mp4", "webm", "avi"] | None:
    """The container by its content; None for one that cannot be stored (Matroska that is no WebM)."""
    from pvit_data.codecs.video import container_format

    found = container_format(data)
    if found == "matroska":
        return "webm" if b"webm" in data[:_EBML_HEADER] else None
    return "mp4" if found == "mp4" else "avi"


def _plays_everywhere(data: bytes, extension: str) -> bool:
    with _open(data) as container:
        codec = container.streams.video[0].codec_context.name
    if extension == "webm":
        return any(name in codec for name in _WEBM_CODECS)
    return bool(extension == "mp4" and codec == "h264")


def _open(data: bytes) -> Any:
    import io

    import av

    from pvit_data.codecs.video import container_format

    return av.open(io.BytesIO(data), "r", format=container_format(data))


def _pictures(data: bytes) -> Iterator[Any]:
    """The pictures in order, up to the first that does not decode."""
    import av.error

    with _open(data) as container:
        container.streams.video[0].codec_context.thread_count = 1
        try:
            yield from container.decode(container.streams.video[0])
        except av.error.FFmpegError:
            return


def _count(data: bytes) -> int:
    return sum(1 for _ in _pictures(data))


def _decodable(data: bytes) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    for picture in _pictures(data):
        rgb: UInt8[np.ndarray, "h w 3"] = picture.to_ndarray(format="rgb24")
        yield rgb
