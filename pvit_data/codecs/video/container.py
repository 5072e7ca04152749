"""Opening a file's bytes, and what its container says about the frames."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
import av.error

from pvit_data.codecs.video.claims import check_claims
from pvit_data.codecs.video.file import VideoFile
from pvit_data.codecs.video.key_frames import KeyFrames
from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_FRAMES, MAX_PIXELS, check_picture

CODECS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "msmpeg4v2", "msmpeg4v3", "mjpeg"}
)
_SOUND = frozenset(
    {"aac", "mp3", "mp3float", "opus", "vorbis", "ac3", "flac", "pcm_s16le", "pcm_u8"}
)
"""Never decoded here; but FFmpeg looks longer into a file whose sound it may not look at."""

_LIMITS = {
    "codec_whitelist": ",".join(sorted(CODECS | _SOUND)),
    "max_pixels": str(MAX_PIXELS),
    "max_streams": "64",
    "protocol_whitelist": "none",
}
"""For whatever FFmpeg decodes while it opens a file, before anybody can ask what the file is."""

_DEMUXERS = {"mp4": "mov,mp4,m4a,3gp,3g2,mj2", "matroska": "matroska,webm", "avi": "avi"}
_CAREFUL = {"h264": "aggressive", "mjpeg": "explode"}
"""What makes FFmpeg's decoders report more of the damage that they meet, and nothing in sound files."""


@dataclass(frozen=True)
class Listing:
    """The shown frames in the order of their times.

    Args:
        pts: presentation times.
        is_key: which of them the container calls key frames.
        exact: every frame has a time of its own. Never in AVI, which has none: FFmpeg makes them up.
        closed: times of key frames after which nothing before them is needed, where that was asked for.
        alone: those of them that need nothing else of the file either but its header, as their bytes show.
        starts: the first frame shown is a key frame, and the first of the file.
    """

    pts: list[int]
    is_key: list[bool]
    exact: bool
    closed: set[int]
    alone: set[int]
    starts: bool

    @property
    def is_simple(self) -> bool:
        """Every way to a frame leads over a key frame that needs nothing but the header."""
        return self.exact and self.starts and len(self.alone) == sum(self.is_key)


def container_format(data: bytes | VideoFile) -> str:
    """The demuxer for a file, by its first bytes.

    Raises:
        FormatError: if they are not those of MP4, WebM or AVI.
    """
    if data[4:8] == b"ftyp":
        return "mp4"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "avi"
    raise FormatError("video is neither MP4, WebM nor AVI")


def open_video(data: bytes | VideoFile, *, careful: bool = False) -> Any:
    """A PyAV container whose first video stream can be decoded, by one thread.

    Args:
        data: the file; one on disk is read in pieces, as FFmpeg asks for them.
        careful: let the decoder report what it would otherwise hide.

    Raises:
        FormatError: if there is no such stream, its codec is not allowed, its pictures are too large, or its tables
            claim more than the file holds.
    """
    kind = container_format(data)
    if kind == "mp4":
        check_claims(data)
    limits = {**_LIMITS, "format_whitelist": _DEMUXERS[kind]}
    stream = io.BytesIO(data) if isinstance(data, bytes) else data.stream()
    container: Any = av.open(stream, "r", format=kind, options=limits)
    try:
        if len(container.streams.video) == 0:
            raise FormatError("file has no video stream")
        context = container.streams.video[0].codec_context
        name = "unknown" if context is None else context.name
        if name not in CODECS:
            raise FormatError(f"video codec {name} is not one of {sorted(CODECS)}")
        check_picture("video", context.height, context.width)
        context.thread_count = 1
        context.options = {"max_pixels": str(MAX_PIXELS)}
        if careful:
            take_care(context)
    except BaseException:
        container.close()
        raise
    return container


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Turns what FFmpeg raises into a `FormatError`."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise FormatError(f"video cannot be {what}: {error.strerror or error}") from error
    except (ValueError, OverflowError, EOFError) as error:
        raise FormatError(f"video cannot be {what}: {error}") from error


def take_care(context: Any) -> None:
    """Lets a decoder that has not begun report what it would otherwise hide."""
    if context.name in _CAREFUL:
        context.options = {**context.options, "err_detect": _CAREFUL[context.name]}


def list_frames(container: Any, *, closed: bool = False, kept: list[Any] | None = None) -> Listing:
    """Reads all packets, and decodes none.

    Args:
        container: just opened.
        closed: look into the packets, too.
        kept: takes all packets that hold anything, for whoever decodes them.

    Raises:
        FormatError: if there are more than a clip may have.
    """
    stream = container.streams.video[0]
    is_vp8 = stream.codec_context.codec.id == 139 or stream.codec_context.name == "vp8"
    keys = KeyFrames(stream.codec_context)
    packets = []
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        if kept is not None:
            kept.append(packet)
        if packet.is_discard:
            continue
        if is_vp8 and not bytes(packet)[0] & 0x10:  # RFC 6386, section 9.1: show_frame
            continue
        pts, is_key = packet.pts, packet.is_keyframe
        packets.append((pts, is_key))
        if closed:
            keys.take(packet, pts, is_key)
        if len(packets) > MAX_FRAMES:
            raise FormatError(f"video has more than {MAX_FRAMES} frames")
    times = {pts for pts, _ in packets}
    exact = container.format.name != "avi" and None not in times and len(times) == len(packets)
    first = packets[:1]
    if exact:
        packets.sort()
    starts = packets[:1] == first and all(is_key for _, is_key in first)
    pts, is_key = [p[0] for p in packets], [p[1] for p in packets]
    return Listing(pts, is_key, exact, keys.closed, keys.alone, starts)
