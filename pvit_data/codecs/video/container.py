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
_ALWAYS_CLOSED = frozenset({"vp9", "av1", "libdav1d"})
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
    """

    pts: list[int]
    is_key: list[bool]
    exact: bool
    closed: set[int]


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


def codec_name(data: bytes) -> str:
    """FFmpeg's name of the decoder.

    Raises:
        FormatError: if the bytes are not a video of an allowed container and codec.
    """
    with reported("read"), open_video(data) as container:
        return str(container.streams.video[0].codec_context.name)


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
        options = {"max_pixels": str(MAX_PIXELS)}
        if careful and name in _CAREFUL:
            options["err_detect"] = _CAREFUL[name]
        context.options = options
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


def list_frames(container: Any, *, closed: bool = False) -> Listing:
    """Reads all packets, and decodes none.

    Args:
        container: just opened.
        closed: look into the key frames, too.

    Raises:
        FormatError: if there are more than a clip may have.
    """
    stream = container.streams.video[0]
    is_vp8 = stream.codec_context.codec.id == 139 or stream.codec_context.name == "vp8"
    packets, closed_keys = [], set()
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        if is_vp8 and not bytes(packet)[0] & 0x10:  # RFC 6386, section 9.1: show_frame
            continue
        packets.append((packet.pts, packet.is_keyframe))
        if closed and packet.is_keyframe and is_closed(packet, stream.codec_context):
            closed_keys.add(packet.pts)
        if len(packets) > MAX_FRAMES:
            raise FormatError(f"video has more than {MAX_FRAMES} frames")
    times = {pts for pts, _ in packets}
    exact = container.format.name != "avi" and None not in times and len(times) == len(packets)
    if exact:
        packets.sort()
    return Listing([p[0] for p in packets], [p[1] for p in packets], exact, closed_keys)


def is_closed(packet: Any, context: Any) -> bool:
    """Whether nothing before a key frame is ever needed after it, and all of its frames are wholly written.

    So it is for VP9 and AV1, and for the IDR pictures of H.264. Other key frames of H.264 and HEVC may be followed by
    frames that still refer to what came before; and FFmpeg's decoders of VP8, HEVC and MJPEG say nothing when data end
    too early, and leave in the rest of a picture what was in memory.
    """
    if context.name != "h264":
        return context.name in _ALWAYS_CLOSED
    header = context.extradata or b""
    length = (header[4] & 3) + 1 if len(header) > 4 and header[0] == 1 else 0
    return _is_idr(bytes(packet), length)


def _is_idr(packet: bytes, length: int) -> bool:
    """Whether the first slice of an H.264 packet belongs to an IDR picture (ITU-T H.264, table 7-1).

    Args:
        packet: its units, each behind its size.
        length: bytes of these sizes; 0: units stand behind start codes, which are not looked for.
    """
    place = 0
    while length and place + length < len(packet):
        kind = packet[place + length] & 31
        if kind in (1, 5):
            return kind == 5
        place += length + int.from_bytes(packet[place : place + length], "big")
    return False
