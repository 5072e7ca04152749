"""What share of single flipped bits the decoders of video report, or a second look finds, when a file is converted.

Run: python -m benchmarks.bit_flips [--trials N]

Each codec encodes a moving pattern; one random bit of one frame's data is turned over, the container stays sound.
Counted are the flips that change a picture. "decoder": a plain decoding raises, marks a frame, or gives fewer of
them; "conversion": the file is not kept as it is.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import av.error
import numpy as np

from pvit_data.codecs.video import survey
from pvit_data.codecs.video.picture import checksum
from pvit_data.errors import FormatError

HEIGHT, WIDTH, FRAMES, BLOCK = 96, 128, 24, 4
_X265 = "log-level=0:pools=1:frame-threads=1"
CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "H.264, CABAC": ("libx264", "mp4", {}),
    "H.264, CAVLC": ("libx264", "mp4", {"coder": "0"}),
    "HEVC": ("libx265", "mp4", {"x265-params": _X265}),
    "VP8": ("libvpx", "webm", {"deadline": "realtime", "cpu-used": "8"}),
    "VP9": ("libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8"}),
    "AV1": ("libsvtav1", "mp4", {"preset": "12", "svtav1-params": "lp=1"}),
    "MPEG-4": ("mpeg4", "mp4", {"qscale": "4"}),
    "MJPEG": ("mjpeg", "mp4", {"qscale": "4"}),
}


@dataclass
class Count:
    """Flips that changed a picture, and those of them that were noticed."""

    changed: int = 0
    decoder: int = 0
    conversion: int = 0


def pictures() -> Iterator[np.ndarray]:
    """A random pattern of small blocks that moves."""
    rng = np.random.default_rng(0)
    side = max(HEIGHT, WIDTH) // BLOCK + FRAMES
    pattern = (
        rng.integers(0, 255, (side, side, 3), dtype=np.uint8).repeat(BLOCK, 0).repeat(BLOCK, 1)
    )
    for n in range(FRAMES):
        yield pattern[2 * n : 2 * n + HEIGHT, 3 * n : 3 * n + WIDTH]


def encode(codec: str, container: str, options: dict[str, str]) -> bytes:
    """The pattern as a file."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=25, options={"g": "12", **options})
        stream.height, stream.width = HEIGHT, WIDTH
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        for pixels in pictures():
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def decode(data: bytes) -> tuple[list[int], bool]:
    """Checksums of the pictures of a plain decoding, and whether it says that something is wrong."""
    sums: list[int] = []
    is_marked = False
    try:
        with av.open(io.BytesIO(data)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            for picture in container.decode(video=0):
                sums.append(checksum(picture))
                is_marked |= picture.is_corrupt
    except av.error.FFmpegError:
        is_marked = True
    return sums, is_marked or len(sums) < FRAMES


def flips(data: bytes, trials: int) -> Iterator[bytes]:
    """The file with one bit of one frame turned over, many times; large frames are hit more often."""
    with av.open(io.BytesIO(data)) as container:
        payloads = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    rng = np.random.default_rng(1)
    ends = np.cumsum([len(payload) for payload in payloads])
    for _ in range(trials):
        payload = payloads[int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))]
        out = bytearray(data)
        out[data.index(payload) + int(rng.integers(len(payload)))] ^= 1 << int(rng.integers(8))
        yield bytes(out)


def measure(name: str, trials: int) -> Count:
    """Tries one codec."""
    data = encode(*CODECS[name])
    sound, _ = decode(data)
    count = Count()
    for damaged in flips(data, trials):
        sums, is_marked = decode(damaged)
        if sums == sound and not is_marked:
            continue
        count.changed += 1
        count.decoder += is_marked
        count.conversion += not is_kept(damaged)
    return count


def is_kept(data: bytes) -> bool:
    """Whether a conversion would copy the bytes."""
    try:
        return survey(data).problem is None
    except FormatError:
        return False


def main() -> None:
    """Prints one line per codec."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=300)
    trials = parser.parse_args().trials
    print(f"{'codec':14s} {'decoder':>8s} {'conversion':>11s}")
    for name in CODECS:
        count = measure(name, trials)
        shares = (100 * part / max(1, count.changed) for part in (count.decoder, count.conversion))
        print("{:14s} {:6.0f} % {:9.0f} %".format(name, *shares), flush=True)


if __name__ == "__main__":
    main()
