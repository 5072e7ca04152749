"""Clips: H.264 in MP4 written by us, MP4, WebM or AVI files of a source read as they are. PyAV does the work.

Frames are numbered in the order they are shown. Colours: files without a colour matrix are BT.601 (FFmpeg's rule),
tagged ones as tagged; what we write is BT.601 and says so, so that readers which ignore the tag agree as well.
4:2:0 video needs even sides: an odd side is written with its last row or column repeated, and cut when read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Integer, UInt8

from pvit_data.codecs.window import Window
from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_FRAMES, MAX_PIXELS, check_decoded, check_picture

CRF = 18
SHORT_CLIP = 64  # frames; a clip of this length or shorter gets the shorter distance of key frames
GOP_SHORT, GOP_LONG = 16, 32
DEFAULT_RATE = 30.0  # played at, where the source tells no rate
CODECS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "msmpeg4v2", "msmpeg4v3", "mjpeg"}
)

# ITU-T H.273: matrix SMPTE 170M; primaries BT.709; transfer sRGB
_BT601, _BT709, _SRGB, _LIMITED = 6, 1, 13, 1


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about itself.

    Args:
        num_frames: frames shown.
        fps: average frame rate; 0 if unknown.
        height, width: size as it is shown.
    """

    num_frames: int
    fps: float
    height: int
    width: int


@dataclass(frozen=True)
class _Shown:
    """Presentation times of the shown frames in order, and which of them a decoder can start from."""

    pts: list[int]
    is_key: list[bool]
    exact: bool


def encode_video(
    frames: UInt8[np.ndarray, "t h w 3"],
    fps: float,
    crf: int = CRF,
    gop: int | None = None,
    preset: str = "medium",
) -> bytes:
    """Encodes sRGB frames as H.264 (yuv420p, one thread, the same bytes every time with the same libraries).

    Args:
        frames: the clip.
        fps: frame rate; 0 is written as 30.
        crf: quality; lower is better.
        gop: largest distance of key frames. Default: 16 up to 64 frames, else 32.
        preset: x264's speed preset.
    """
    height, width = frames.shape[1:3]
    check_picture("video", height, width)
    gop = gop or (GOP_SHORT if len(frames) <= SHORT_CLIP else GOP_LONG)
    even = np.pad(frames, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        # x264's macroblock tree gives other bytes from call to call at some sizes (96 and 240 pixels, for example).
        options = {
            "crf": str(crf),
            "preset": preset,
            "tune": "fastdecode",
            "g": str(gop),
            "x264-params": "mbtree=0",
        }
        rate = Fraction(fps or DEFAULT_RATE).limit_denominator(1001)
        stream: Any = container.add_stream("libx264", rate=rate, options=options)
        stream.height = even.shape[1]
        stream.width = even.shape[2]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1
        context.flags |= 1 << 23  # AV_CODEC_FLAG_BITEXACT
        context.colorspace = _BT601
        context.color_primaries = _BT709
        context.color_trc = _SRGB
        context.color_range = _LIMITED
        for number, frame in enumerate(even):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="itu601"
            )
            picture.pts = number
            picture.time_base = 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def probe_video(data: bytes) -> VideoInfo:
    """Reads length, rate and size without decoding more than the first frame.

    Raises:
        FormatError: if the bytes are not a video of an allowed container and codec, or too large.
    """
    try:
        with _open(data) as container:
            shown = _index(container)
            stream = container.streams.video[0]
            if not shown.pts or len(shown.pts) > MAX_FRAMES:
                raise FormatError(f"video has {len(shown.pts)} frames, expected 1 to {MAX_FRAMES}")
            container.seek(0)
            first = next(iter(container.decode(stream)), None)
            if first is None:
                raise FormatError("video has no frame that can be decoded")
            turned = first.rotation % 180 != 0
            height, width = (first.width, first.height) if turned else (first.height, first.width)
            return VideoInfo(len(shown.pts), float(stream.average_rate or 0), height, width)
    except (av.error.FFmpegError, ValueError, OverflowError, EOFError) as error:
        raise FormatError(f"video cannot be read: {error}") from error


def decode_video(
    data: bytes,
    frames: Integer[np.ndarray, "n"] | None = None,
    size: tuple[int, int] | None = None,
    window: Window | None = None,
) -> UInt8[np.ndarray, "n h w 3"]:
    """Decodes exactly the asked frames to sRGB, seeking to key frames where that saves decoding.

    Args:
        data: the file.
        frames: frame numbers in any order, repeats allowed. Default: all.
        size: (height, width) to cut padded pictures to. Default: as decoded.
        window: the part of each picture wanted, at full resolution. Default: everything.

    Raises:
        FormatError: if the file is damaged, not allowed, too large, or has no such frame.
    """
    try:
        with _open(data) as container:
            shown = _index(container)
            picks = list(range(len(shown.pts))) if frames is None else [int(f) for f in frames]
            if picks and not 0 <= min(picks) <= max(picks) < len(shown.pts):
                raise FormatError(
                    f"video has {len(shown.pts)} frames, asked for {min(picks)} to {max(picks)}"
                )
            context = container.streams.video[0].codec_context
            check_decoded("video", 3 * len(picks) * context.height * context.width)
            return _collect(container, shown, picks, (size, window))
    except (av.error.FFmpegError, ValueError, OverflowError, EOFError) as error:
        raise FormatError(f"video cannot be decoded: {error}") from error


def container_format(data: bytes) -> str:
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


def _open(data: bytes) -> Any:
    container: Any = av.open(io.BytesIO(data), "r", format=container_format(data))
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
    except BaseException:
        container.close()
        raise
    return container


def _index(container: Any) -> _Shown:
    stream = container.streams.video[0]
    is_vp8 = stream.codec_context.codec.id == 139 or stream.codec_context.name == "vp8"
    packets = []
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        if is_vp8 and not bytes(packet)[0] & 0x10:  # RFC 6386, section 9.1: show_frame
            continue
        packets.append((packet.pts, packet.is_keyframe))
        if len(packets) > MAX_FRAMES:
            raise FormatError(f"video has more than {MAX_FRAMES} frames")
    exact = all(pts is not None for pts, _ in packets) and len({pts for pts, _ in packets}) == len(
        packets
    )
    if exact:
        packets.sort()
    return _Shown([p[0] for p in packets], [p[1] for p in packets], exact)


def _collect(
    container: Any,
    shown: _Shown,
    picks: list[int],
    part: tuple[tuple[int, int] | None, Window | None],
) -> UInt8[np.ndarray, "n h w 3"]:
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(picks):
        places.setdefault(frame, []).append(place)
    out: UInt8[np.ndarray, "n h w 3"] | None = None
    converter = VideoReformatter()
    for number, picture in _wanted(container, shown, sorted(places)):
        rgb = _part_of(picture, converter, *part)
        if out is None:
            out = np.empty((len(picks), *rgb.shape), np.uint8)
        if rgb.shape != out.shape[1:]:
            raise FormatError(
                f"video changes its size from {out.shape[1:3]} to {rgb.shape[:2]} at frame {number}"
            )
        out[places.pop(number)] = rgb
    if places:
        raise FormatError(
            f"video ends before frame {min(places)}, although it lists {len(shown.pts)} frames"
        )
    if out is None:
        context = container.streams.video[0].codec_context
        size, window = part
        sides = (window.height, window.width) if window else size or (context.height, context.width)
        return np.empty((0, *sides, 3), np.uint8)
    return out


def _part_of(
    picture: Any, converter: VideoReformatter, size: tuple[int, int] | None, window: Window | None
) -> UInt8[np.ndarray, "h w 3"]:
    if window is None:
        rgb = _to_rgb(picture, converter)
        return rgb if size is None else rgb[: size[0], : size[1]]
    turned = round(picture.rotation / 90) % 2
    shown = (picture.width, picture.height) if turned else (picture.height, picture.width)
    if size is not None and not (
        size[0] <= shown[0] <= size[0] + 1 and size[1] <= shown[1] <= size[1] + 1
    ):
        raise FormatError(f"video is {shown}, expected {size}")
    window.check(*(size or shown))
    top, left = window.top, window.left
    even = picture.height % 2 == 0 and picture.width % 2 == 0
    if picture.format.name == "yuv420p" and picture.rotation == 0 and even:
        picture = _cut(picture, window)
        top, left = top % 2, left % 2
    return _to_rgb(picture, converter)[top : top + window.height, left : left + window.width]


def _cut(picture: Any, window: Window) -> Any:
    """The 4:2:0 picture cut to whole chroma samples around a window: the rest is never converted to RGB."""
    top, left = window.top - window.top % 2, window.left - window.left % 2
    height, width = (
        (window.top + window.height - top + 1) & ~1,
        (window.left + window.width - left + 1) & ~1,
    )
    part: Any = av.VideoFrame(width, height, picture.format.name)
    for index, step in enumerate((1, 2, 2)):
        source, target = picture.planes[index], part.planes[index]
        rows = np.frombuffer(source, np.uint8).reshape(source.height, source.line_size)
        view = np.frombuffer(target, np.uint8).reshape(target.height, target.line_size)
        view[:, : width // step] = rows[top // step :, left // step :][
            : height // step, : width // step
        ]
    part.colorspace = picture.colorspace
    part.color_range = picture.color_range
    return part


def _wanted(container: Any, shown: _Shown, numbers: list[int]) -> Iterator[tuple[int, Any]]:
    """Decodes onward from the last key frame before each run of wanted frames."""
    if not shown.exact:
        yield from _sequential(container, numbers)
        return
    stream = container.streams.video[0]
    number_of = {pts: i for i, pts in enumerate(shown.pts)}
    keys = np.flatnonzero(shown.is_key)
    remaining = list(numbers)
    while remaining:
        before = keys[keys <= remaining[0]]
        start = int(before[-1]) if len(before) else 0
        container.seek(shown.pts[start], stream=stream, backward=True)
        found = len(remaining)
        for picture in container.decode(stream):
            number = number_of.get(picture.pts)
            if number is None:
                continue
            if remaining and number == remaining[0]:
                yield number, picture
                remaining.pop(0)
            if not remaining or _next_key(keys, number) <= remaining[0]:
                break
        if found == len(remaining):
            return


def _next_key(keys: Integer[np.ndarray, "k"], number: int) -> int:
    """The second key frame ahead: a jump to the next one would cost as much as decoding on."""
    position = int(np.searchsorted(keys, number, side="right")) + 1
    return int(keys[position]) if position < len(keys) else 1 << 62


def _sequential(container: Any, numbers: list[int]) -> Iterator[tuple[int, Any]]:
    container.seek(0)
    wanted = set(numbers)
    last = max(numbers, default=-1)
    for number, picture in enumerate(container.decode(container.streams.video[0])):
        if number in wanted:
            yield number, picture
        if number >= last:
            return


def _to_rgb(picture: Any, converter: VideoReformatter) -> UInt8[np.ndarray, "h w 3"]:
    """A view of the converted picture. One converter serves all pictures: making one costs more than using it."""
    converted: Any = converter.reformat(picture, format="rgb24", threads=1)
    plane = converted.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    rgb = rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
    turns = round(picture.rotation / 90) % 4
    return np.rot90(rgb, turns) if turns else rgb
