"""Small videos of kinds that break readers. The grey of a frame tells its number, in any part and at any scale."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

HEIGHT, WIDTH, COUNT = 64, 96, 40
SHARP = {"crf": "8", "preset": "veryfast"}
B_FRAMES = {**SHARP, "bf": "3", "x264-params": "b-adapt=0:scenecut=0:keyint=14"}
MIRRORS = {  # first two columns of the display matrix: a, b, c, d; and what a viewer must see
    "upright": ((1, 0, 0, 1), lambda p: p),
    "left-right": ((-1, 0, 0, 1), lambda p: p[:, :, ::-1]),
    "top-bottom": ((1, 0, 0, -1), lambda p: p[:, ::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda p: p[:, ::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1, (1, 2))),
    "anticlockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1, (1, 2))),
    "transposed": ((0, 1, 1, 0), lambda p: p.swapaxes(1, 2)),
    "transposed twice": ((0, -1, -1, 0), lambda p: p.swapaxes(1, 2)[:, ::-1, ::-1]),
}


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Grey by number, with a fine check on it whose mean is zero."""
    y, x = np.mgrid[:height, :width] // 4 % 2
    grey = 20 + 5 * number + np.where(x == y, 6, -6)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def number(pixels: np.ndarray) -> int:
    """The number of a frame by its mean grey, 0 to 255."""
    return round((float(np.mean(pixels)) - 20) / 5)


def numbers(frames: np.ndarray) -> list[int]:
    """Of several frames."""
    return [number(frame) for frame in frames]


def frames(count: int = COUNT) -> list[np.ndarray]:
    """Numbered frames."""
    return [picture(n) for n in range(count)]


def noise(count: int = 8, seed: int = 0) -> list[np.ndarray]:
    """Coloured blocks of two pixels, another for each frame: shows faults of chroma, and which way up a picture is."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, HEIGHT // 2, WIDTH // 2, 3), dtype=np.uint8)
    return list(small.repeat(2, 1).repeat(2, 2))


def encode(
    container: str, codec: str, options: dict[str, str], pictures: Sequence[np.ndarray], rate: Any = 20, **muxing: str
) -> bytes:
    """Pictures through one of PyAV's encoders."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, container_options=muxing) as out:
        stream: Any = out.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for pixels in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def packets(data: bytes) -> Iterator[Any]:
    """Of the first video stream, in the order of the file."""
    with av.open(io.BytesIO(data)) as source:
        yield from (packet for packet in source.demux(source.streams.video[0]) if packet.size)


def remuxed(data: bytes, container: str, *, by_file_order: bool = False, skip: int = 0, called_key: int = 0) -> bytes:
    """The same packets in another container: timed by their order in the file, without the first ones, or with one more
    that is called a key frame."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format=container) as out:
        stream: Any = out.add_stream_from_template(source.streams.video[0])
        for place, packet in enumerate(packets(data)):
            if place < skip:
                continue
            if by_file_order:
                packet.pts = packet.dts = place
                packet.time_base = Fraction(1, 20)
            packet.is_keyframe |= place == called_key
            packet.stream = stream
            out.mux(packet)
    return buffer.getvalue()


def with_matrix(mp4: bytes, columns: tuple[float, float, float, float]) -> bytes:
    """The MP4 with a display matrix in its track header (ISO/IEC 14496-12, 8.3.2)."""
    box = mp4.index(b"tkhd")
    start = box + 4 + (52 if mp4[box + 4] else 40)
    a, b, c, d = (round(value * 65536) for value in columns)
    return mp4[:start] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + mp4[start + 36 :]


def turned_by(mp4: bytes, degrees: float) -> bytes:
    """The MP4 to be shown turned clockwise."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return with_matrix(mp4, (cosine, sine, -sine, cosine))


def changing_size() -> bytes:
    """WebM of upright pictures that become wide ones in the middle."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as out:
        stream: Any = out.add_stream("libvpx", rate=20)
        stream.height, stream.width, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        place = 0
        for height, width in ((WIDTH, HEIGHT), (HEIGHT, WIDTH)):
            pictures = [picture(place + n, height, width) for n in range(COUNT // 2)]
            for packet in packets(encode("webm", "libvpx", {"deadline": "realtime"}, pictures)):
                packet.pts = packet.dts = place
                packet.time_base, packet.stream = Fraction(1, 20), stream
                out.mux(packet)
                place += 1
    return buffer.getvalue()


def flipped(data: bytes, count: int, seed: int) -> bytes:
    """Some bits of the pictures turned over; the container stays sound."""
    rng = np.random.default_rng(seed)
    payloads = [bytes(packet) for packet in packets(data)]
    out = bytearray(data)
    for _ in range(count):
        payload = payloads[int(rng.integers(len(payloads) // 4, len(payloads)))]
        out[data.index(payload) + int(rng.integers(8, len(payload)))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def plain(count: int = COUNT) -> bytes:
    """H.264 in MP4, no B-frames, a key frame every ten."""
    return encode("mp4", "libx264", {**SHARP, "bf": "0", "g": "10"}, frames(count))


def odd_videos(count: int = COUNT) -> dict[str, bytes]:
    """Files whose frames are 0 to `count` - 1, in this order, whatever their containers say."""
    pictures = frames(count)
    avi = encode("avi", "libx264", B_FRAMES, pictures)
    refresh = {**SHARP, "x264-params": "intra-refresh=1:keyint=12:bframes=0"}
    open_gop = {**SHARP, "bf": "3", "x264-params": "open-gop=1:keyint=8:b-adapt=0:scenecut=0"}
    between = {**SHARP, "x264-params": "repeat-headers=1:keyint=10:bframes=0"}
    vp9 = encode("webm", "libvpx-vp9", {"crf": "8", "b": "0", "g": "10", "deadline": "realtime"}, pictures)
    return {
        "plain.mp4": plain(count),
        "b_frames.mp4": encode("mp4", "libx264", B_FRAMES, pictures),
        "open_gop.mp4": encode("mp4", "libx264", open_gop, pictures),
        "h264_b.avi": avi,
        "mpeg4_b.avi": encode("avi", "mpeg4", {"bf": "2", "qmin": "1", "qmax": "2", "b": "9M"}, pictures),
        "invented_times.mp4": remuxed(avi, "mp4", by_file_order=True),
        "intra_refresh.mp4": encode("mp4", "libx264", refresh, pictures),
        "five_degrees.mp4": turned_by(plain(count), 5),
        "called_key.mp4": remuxed(plain(count), "mp4", called_key=5),
        "called_key.webm": remuxed(vp9, "webm", called_key=5),
        "vp9.webm": vp9,
        "headers_between.mp4": encode("mp4", "libx264", between, pictures),
    }
