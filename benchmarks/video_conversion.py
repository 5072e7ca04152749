"""Conversion of videos against its bare cost: copied ones against `cp` and a decode, windows against decode and encode.

Run: python -m benchmarks.video_conversion [--videos N] [--windows N] [--rounds N]

Copied: videos as SSv2 has them (46 frames of VP9 in WebM, 240 rows), the same packed anew as H.264 with a key frame in
16, and as Kinetics has them (10 s of H.264 in MP4).
Plain copies each file and decodes it once with PyAV, in one thread.
Windows: 8 s each out of one video, as Ego4D's. Bare seeks the key frame before each, decodes up to its last frame, and
encodes the pictures with the same encoder; it is told where frames lie, and checks nothing. Both against a whole
conversion in this process. CPU seconds in interleaved pairs, so that a busy machine slows both; the median ratio.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.conversion import forget
from pvit_converters import registry
from pvit_converters.engine.run import Job, convert
from pvit_data.codecs.video.encode import encode_pictures, usual_gop
from pvit_data.codecs.video.long import table

COPY_BAR, WINDOW_BAR = 0.8, 1.3
RATE, LENGTH = 30, 240  # frames of a window
HEIGHT, WIDTH = 384, 512
SSV2_HEIGHT, SSV2_WIDTH = 240, 424


def pairs(
    bare: Callable[[], Any], ours: Callable[[], Any], rounds: int
) -> list[tuple[float, float]]:
    """CPU seconds of both, taken in turn; the first pair, with its imports and tables, is left out."""
    found = []
    for _ in range(rounds + 1):
        times = []
        for work in (bare, ours):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
        found.append((times[0], times[1]))
    return found[1:]


def converting(source: str, raw: Path, out: Path, **options: Any) -> Callable[[], None]:
    """A whole conversion, as in a fresh process."""
    kind = registry.load(source)
    job = Job(kind, raw, str(out), kind.Options(**options), workers=1)

    def work() -> None:
        shutil.rmtree(out, ignore_errors=True)
        forget()
        table._tables.clear()
        convert(job)

    return work


def decode(path: Path) -> None:
    """Every frame once, in one thread."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(container.streams.video[0]):
            pass


def moving(frames: int, height: int, width: int, seed: int) -> Iterator[np.ndarray]:
    """Coarse noise that drifts, another one every two seconds."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (8, height // 8, width // 8, 3), np.uint8)
    base = base.repeat(8, 1).repeat(8, 2)
    return (np.roll(base[n // 60 % 8], n % 60, 1) for n in range(frames))


def webm(frames: int, seed: int) -> bytes:
    """A clip of VP9 as libvpx writes it by default: one key frame in 128."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream: Any = container.add_stream("libvpx-vp9", rate=12)
        stream.width, stream.height, stream.pix_fmt = SSV2_WIDTH, SSV2_HEIGHT, "yuv420p"
        stream.options = {"crf": "33", "b": "0", "deadline": "realtime", "cpu-used": "6"}
        for rgb in moving(frames, SSV2_HEIGHT, SSV2_WIDTH, seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def h264(frames: int, seed: int) -> bytes:
    """The same in MP4."""
    pictures = moving(frames, SSV2_HEIGHT, SSV2_WIDTH, seed)
    return encode_pictures(pictures, (SSV2_HEIGHT, SSV2_WIDTH), 12.0, 16)


def write_ssv2(raw: Path, kind: str, videos: int) -> list[Path]:
    """A tree of so many videos, of the size and length of real ones."""
    files = [raw / f"20bn-something-something-v2/{n}.{kind}" for n in range(1, videos + 1)]
    files[0].parent.mkdir(parents=True)
    for n, path in enumerate(files):
        path.write_bytes(webm(46, n) if kind == "webm" else h264(46, n))
    rows = [{"id": path.stem, "template": "Moving [something] up", "label": "x"} for path in files]
    (raw / "labels").mkdir()
    (raw / "labels/labels.json").write_text('{"Moving something up": "0"}')
    (raw / "labels/train.json").write_text(json.dumps(rows))
    return files


def write_mp4(raw: Path, videos: int) -> list[Path]:
    """Class folders with so many videos of 10 s."""
    files = [raw / f"train/{'ab'[n % 2]}/{n}.mp4" for n in range(videos)]
    for n, path in enumerate(files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_pictures(moving(300, 256, 344, n), (256, 344), 30.0, 250))
    return files


def copied(
    folder: Path, source: str, files: list[Path], raw: Path, rounds: int, **options: Any
) -> list[tuple[float, float]]:
    """Plain and conversion of videos that are copied."""

    def plain() -> None:
        shutil.rmtree(folder / "cp", ignore_errors=True)
        (folder / "cp").mkdir()
        for path in files:
            shutil.copyfile(path, folder / "cp" / path.name)
            decode(path)

    return pairs(plain, converting(source, raw, folder / f"{raw.name}-out", **options), rounds)


def write_ego4d(raw: Path, windows: int) -> Path:
    """A download of one video that holds so many windows, one after the other."""
    path = raw / "v1/full_scale/0.mp4"
    path.parent.mkdir(parents=True)
    pictures = moving(windows * LENGTH, HEIGHT, WIDTH, 0)
    path.write_bytes(encode_pictures(pictures, (HEIGHT, WIDTH), float(RATE), 60))
    rows = [
        {
            "unique_id": f"w{n}", "video_uid": "0", "clip_uid": f"c{n}", "state_change": True,
            "parent_start_frame": n * LENGTH + 7, "parent_end_frame": (n + 1) * LENGTH - 8,
            "parent_pnr_frame": n * LENGTH + 99,
        }
        for n in range(windows)
    ]  # fmt: skip
    (raw / "v1/annotations").mkdir()
    (raw / "v1/annotations/fho_oscc-pnr_train.json").write_text(json.dumps({"clips": rows}))
    return path


def shown(path: Path, first: int, last: int) -> Iterator[np.ndarray]:
    """The pictures of some frames, from the key frame before them on."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        step = 1 / (RATE * Fraction(stream.time_base or 1))
        container.seek(round(first * step), stream=stream, backward=True)
        for picture in container.decode(stream):
            number = round((picture.pts or 0) / step)
            if number > last:
                return
            if number >= first:
                yield picture.to_ndarray(format="rgb24")


def windows(folder: Path, count: int, rounds: int) -> list[tuple[float, float]]:
    """Bare and conversion of windows."""
    raw = folder / "ego4d"
    path = write_ego4d(raw, count)

    def bare() -> None:
        for n in range(count):
            first, last = n * LENGTH + 7, (n + 1) * LENGTH - 8
            gop = usual_gop(last - first + 1)
            encode_pictures(shown(path, first, last), (HEIGHT, WIDTH), float(RATE), gop)

    return pairs(bare, converting("ego4d", raw, folder / "ego4d-out"), rounds)


def told(name: str, ratios: list[float], found: list[tuple[float, float]], bar: str) -> str:
    """A line of the result."""
    bare, ours = (statistics.median(times) for times in zip(*found, strict=True))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    ratio = f"{statistics.median(ratios):.2f}x ({spread}; bar {bar})"
    return f"{name:9} bare {bare:6.2f} s  convert {ours:6.2f} s  {ratio}"


def main() -> None:
    """Prints both figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        roots = {name: Path(folder) / name for name in ("ssv2-webm", "ssv2-mp4", "videos")}
        for name, raw in roots.items():
            source, _, kind = name.partition("-")
            is_ssv2 = source == "ssv2"
            files = (
                write_ssv2(raw, kind, options.videos)
                if is_ssv2
                else write_mp4(raw, options.videos // 4)
            )
            more = {} if is_ssv2 else {"name": "mine"}
            found = copied(Path(folder), source, files, raw, options.rounds, **more)
            speed = [bare / ours for bare, ours in found]
            print(told(name, speed, found, f"at least {COPY_BAR}x of cp and a decode"), flush=True)
        found = windows(Path(folder), options.windows, options.rounds)
        cost = [ours / bare for bare, ours in found]
        print(
            told("windows", cost, found, f"at most {WINDOW_BAR}x of bare decode and encode"),
            flush=True,
        )


if __name__ == "__main__":
    main()
