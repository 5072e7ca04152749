"""Ten windows of a video of two hours and three gigabytes: what they cost in memory and time.

The file is one group of pictures whose packets are repeated; a frame shows its place in the group.
"""

import io
import subprocess
import sys
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pvit_converters.simulate.long_video import number_of, numbered

pytestmark = pytest.mark.full
GROUP, WINDOW, RATE = 240, 153, 30  # frames; of Ego4D's val rows
GROUPS = 900  # two hours
SCALE = 12  # of a picture of 64 pixels
BYTES = 3 << 30
BLOCK = """
import sys, time
from pathlib import Path
from pvit_converters.raw.windows import opened_video
from pvit_data.codecs.video.long import encode_window, pictures_at
path, how, length, *starts = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
begin = time.process_time()
for start in starts:
    with opened_video(path) as (file, table):
        if how == "encode":
            encode_window(file, table, range(start, start + length), short_side=384)
        else:
            for _, picture in pictures_at(file, table, range(start, start + length)):
                picture.to_ndarray(format="rgb24")
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time() - begin, int(peak) / 1024, len(table))
"""


@pytest.fixture(scope="module")
def group() -> bytes:
    """Noise of as many bytes as make three gigabytes in two hours."""
    rate = BYTES * 8 / (GROUPS * GROUP / RATE)
    options = {"preset": "ultrafast", "bf": "2", "b": str(int(rate)), "x264-params": f"keyint={GROUP}:scenecut=0"}
    rng, buffer = np.random.default_rng(0), io.BytesIO()
    noise = rng.integers(-30, 31, (8, 64 * SCALE, 64 * SCALE, 1), np.int16)
    with av.open(buffer, "w", format="mp4") as out:
        stream: Any = out.add_stream("libx264", rate=RATE, options=options)
        stream.height = stream.width = 64 * SCALE
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for place in range(GROUP):
            shown = numbered(place).repeat(SCALE, 0).repeat(SCALE, 1) + noise[place % 8]
            picture = av.VideoFrame.from_ndarray(shown.clip(0, 255).astype(np.uint8), format="rgb24")
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def video(group: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with av.open(io.BytesIO(group)) as source, av.open(str(path), "w", format="mp4") as out:
        stream: Any = out.add_stream_from_template(source.streams.video[0])
        step = 1 / (RATE * Fraction(source.streams.video[0].time_base))
        packets = [(bytes(p), round(p.pts / step), p.is_keyframe) for p in source.demux(video=0) if p.size]
        for first in range(0, GROUPS * GROUP, GROUP):
            for place, (payload, pts, is_key) in enumerate(packets):
                packet = av.Packet(payload)
                packet.pts, packet.dts, packet.time_base = first + pts, first + place - 2, Fraction(1, RATE)
                packet.stream, packet.is_keyframe = stream, is_key
                out.mux(packet)
    return path


def run(video: Path, how: str, starts: list[int]) -> tuple[float, float, int]:
    """Seconds of the processor, megabytes at the peak, frames of the video."""
    command = [sys.executable, "-c", BLOCK, str(video), how, str(WINDOW), *map(str, starts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak, frames = done.stdout.split()
    return float(seconds), float(peak), int(frames)


def test_ten_windows(group: bytes, video: Path) -> None:
    starts = np.linspace(0, GROUPS * GROUP - WINDOW - 1, 10).astype(int)
    starts += np.minimum(np.arange(10) * 23 % GROUP, GROUPS * GROUP - WINDOW - starts)
    begin = time.process_time()
    for count, is_wanted in ((GROUP, False), (WINDOW, True)):
        with av.open(io.BytesIO(group)) as source:
            source.streams.video[0].codec_context.thread_count = 1
            for picture in islice(source.decode(video=0), count):
                if is_wanted:
                    picture.to_ndarray(format="rgb24")
    whole = time.process_time() - begin
    seconds, peak, frames = run(video, "decode", starts.tolist())
    _, peak_encoding, _ = run(video, "encode", starts[4:6].tolist())
    print(
        f"{video.stat().st_size / 2**30:.2f} GiB, {frames} frames: one group and window {whole:.2f} s, ten windows "
        f"{seconds:.2f} s, peak {peak:.0f} MB, with encoding {peak_encoding:.0f} MB"
    )
    assert frames == GROUPS * GROUP
    assert max(peak, peak_encoding) < 300
    assert seconds <= 10 * whole


def test_windows_hold_their_frames(video: Path) -> None:
    from pvit_converters.raw.windows import opened_video
    from pvit_data.codecs.video.long import pictures_at

    with opened_video(video) as (file, table):
        assert bool(table.is_key[::GROUP].all())
        first = len(table) - GROUP - 5
        for number, picture in pictures_at(file, table, range(first, first + 12)):
            assert number_of(picture.to_ndarray(format="rgb24")) == number % GROUP
