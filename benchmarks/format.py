"""The format's figures: reading speed against plain WebDataset, random access, a large index, sizes against PNG.

Run: python -m benchmarks.format [--samples N] [--rounds N] [--hypersim FILE.depth_meters.hdf5] [--full]

Speed: clips of simulated rooms (16 frames of 256 x 340; depth, normals, classes; with the fine relief of real surfaces)
to a 224 crop of the video and maps of 56 x 56 of 16 or 8 frames. "plain" is what a WebDataset user writes: mp4 at CRF
23, one PNG per frame and map with Pillow's defaults; everything is decoded with PyAV and Pillow, made float at full
resolution, cropped and resized. CPU time of this process, one thread; rounds alternate. `--full` takes 10,000 samples
and 1,000,000 index rows, else a tenth.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import pvit_data
from pvit_data.codecs import depth as depth_codec
from pvit_data.codecs import normal as normal_codec
from pvit_data.codecs import segm as segm_codec
from pvit_data.codecs.window import Window
from pvit_data.labels import LabelSpace
from pvit_data.sample import Sample

FRAMES, HEIGHT, WIDTH, CROP, GRID = 16, 256, 340, 224, 56
SPACES = {"segm": LabelSpace("things", tuple(f"c{i}" for i in range(64)))}
FLOAT16 = depth_codec.DepthEncoding("float16")
Row = tuple[str, str, str, bool]
"""What, figure, bar, whether it is met."""


def room_clip(number: int, frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> Sample:
    """A camera turning in a simulated room, with sensor noise on the picture."""
    from pvit_converters.simulate.images import tonemap
    from pvit_converters.simulate.render import render
    from pvit_converters.simulate.rooms import room, wander
    from pvit_converters.simulate.scene import Camera, Scene, pinhole

    rng = np.random.default_rng(number)
    space = room(rng)
    start = wander(rng, space, 1)[0]
    poses = np.tile(start, (frames, 1, 1))
    for i, angle in enumerate(np.radians(0.7) * np.arange(frames)):
        turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        poses[i, :3, :3] = turn @ start[:3, :3]
    camera = Camera(pinhole(0.9 * width, height, width), poses, height, width)
    picture = render(Scene(space.primitives, camera, space.light, frames))
    lit = tonemap(picture.radiance.astype(np.float32), picture.primitive)
    rgb = np.clip(lit + rng.normal(0, 3, lit.shape), 0, 255).astype(np.uint8)
    return Sample(
        key=f"room-{number:05d}",
        rgb=rgb,
        fps=25.0,
        depth=np.where(picture.surface, picture.depth, 0).astype(np.float32),
        normal=relief(np.where(picture.surface[..., None], picture.normal, 0), rng),
        segm=np.where(picture.surface, picture.ids("class_id"), 0).clip(0, 63).astype(np.uint8),
        spaces=SPACES,
    )


def relief(normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bumps of about one degree on a third of the pixels: exact planes compress as nothing real does."""
    bumps = rng.normal(0, 0.02, normal.shape) * (rng.random(normal.shape[:3])[..., None] < 0.3)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    out = normal + np.where(length > 0, bumps, 0)
    return (out / np.linalg.norm(out, axis=-1, keepdims=True).clip(1e-6)).astype(np.float32)


def png(array: np.ndarray) -> bytes:
    """Pillow's default PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def millimetres(depth: np.ndarray) -> np.ndarray:
    """Depth as people store it in PNG."""
    return (depth * 1000).round().clip(0, 65535).astype(np.uint16)


def xyz8(normal: np.ndarray) -> np.ndarray:
    """Normals as people store them in PNG."""
    return (normal * 127 + 128).round().astype(np.uint8)


def write_plain(path: Path, samples: list[Sample]) -> None:
    """One mp4, one PNG per frame and map."""
    import webdataset

    with webdataset.TarWriter(str(path)) as writer:
        for sample in samples:
            members: dict[str, Any] = {"__key__": sample.key, "mp4": crf23(sample.rgb)}
            for t in range(FRAMES):
                members[f"depth{t:02d}.png"] = png(millimetres(sample.depth[t]))
                members[f"normal{t:02d}.png"] = png(xyz8(sample.normal[t]))
                members[f"segm{t:02d}.png"] = png(sample.segm[t])
            writer.write(members)


def crf23(frames: np.ndarray) -> bytes:
    """H.264 with x264's defaults, as `ffmpeg out.mp4` writes it."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "23"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def read_plain(path: Path, picks: np.ndarray) -> Iterator[dict[str, Any]]:
    """Decode, convert to float, crop, resize."""
    import av
    import torch
    import webdataset
    from PIL import Image
    from torch.nn.functional import interpolate

    for number, raw in enumerate(webdataset.WebDataset(str(path), shardshuffle=False)):
        top, left = crop_of(number)
        here = (..., slice(top, top + CROP), slice(left, left + CROP))
        with av.open(io.BytesIO(raw["mp4"])) as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
        out = {"rgb": ((video[here] - 0.45) / 0.225).contiguous()}
        for name in ("depth", "normal", "segm"):
            pages = np.stack([np.array(Image.open(io.BytesIO(raw[f"{name}{t:02d}.png"]))) for t in range(FRAMES)])
            if name == "depth":
                maps = torch.from_numpy(pages.astype(np.float32) / 1000)[:, None]
            elif name == "normal":
                maps = torch.from_numpy((pages.astype(np.float32) - 128) / 127).permute(0, 3, 1, 2)
                maps = maps / maps.norm(dim=1, keepdim=True).clamp(min=1e-6)
            else:
                maps = torch.from_numpy(pages.astype(np.float32))[:, None]
            out[name] = interpolate(maps[here], (GRID, GRID), mode="nearest")[torch.from_numpy(picks)]
        yield out


def read_ours(dataset: pvit_data.ShardDataset, picks: np.ndarray) -> Iterator[dict[str, Any]]:
    """The same values: only the crop, the frames and the pixels that are kept are decoded."""
    import torch

    steps = np.arange(GRID) * CROP // GRID
    for number in range(len(dataset)):
        top, left = crop_of(number)
        grid = (top + steps, left + steps)
        clip = dataset.read(number, ("rgb",), window=Window(top, left, CROP, CROP))
        maps = dataset.read(number, ("depth", "normal", "segm"), picks, grid)
        video = torch.from_numpy(clip.rgb).permute(0, 3, 1, 2).float()
        yield {
            "rgb": video.mul_(1 / 255 / 0.225).sub_(0.45 / 0.225).contiguous(),
            "depth": torch.from_numpy(maps.depth)[:, None],
            "normal": torch.from_numpy(maps.normal).permute(0, 3, 1, 2),
            "segm": torch.from_numpy(maps.segm.astype(np.float32))[:, None],
        }


def crop_of(number: int) -> tuple[int, int]:
    """Top and left of the crop of a sample."""
    rng = np.random.default_rng(number)
    return int(rng.integers(0, HEIGHT - CROP + 1)), int(rng.integers(0, WIDTH - CROP + 1))


def speed(folder: Path, samples: int, rounds: int) -> list[Row]:
    """Median CPU milliseconds per sample over alternating rounds."""
    import torch

    torch.set_num_threads(1)
    clips = [room_clip(i) for i in range(samples)]
    with pvit_data.ShardWriter(folder / "ours", "rooms", spaces=SPACES) as writer:
        for clip in clips:
            writer.write(clip)
    write_plain(folder / "plain.tar", clips)
    dataset = pvit_data.open(folder / "ours")
    rows = []
    for count, bar in ((16, 3.5), (8, 4.5)):
        picks = np.arange(0, FRAMES, FRAMES // count)
        _same_values(dataset, folder / "plain.tar", picks)
        times: dict[str, list[float]] = {"plain": [], "ours": []}
        for _ in range(rounds):
            for name, run in (
                ("plain", lambda picks=picks: read_plain(folder / "plain.tar", picks)),
                ("ours", lambda picks=picks: read_ours(dataset, picks)),
            ):
                times[name].append(cpu(lambda run=run: [None for _ in run()]) / samples * 1000)
        plain, ours = (statistics.median(t) for t in times.values())
        text = f"{plain / ours:.2f} x (plain {plain:.1f} ms, ours {ours:.1f} ms per sample)"
        rows.append((f"speed, {count} map frames", text, f">= {bar} x", plain / ours >= bar))
    return rows


def _same_values(dataset: pvit_data.ShardDataset, plain: Path, picks: np.ndarray) -> None:
    """Both sides do the same work: equal up to their encodings."""
    order = {key: i for i, key in enumerate(dataset.column("key"))}
    ours = dataset.select([order[f"room-{i:05d}"] for i in range(len(dataset))])
    for theirs, mine in zip(read_plain(plain, picks), read_ours(ours, picks), strict=True):
        assert {n: v.shape for n, v in theirs.items()} == {n: v.shape for n, v in mine.items()}
        assert (theirs["segm"] == mine["segm"]).all()
        assert (theirs["depth"] - mine["depth"]).abs().max() < 0.02
        assert (theirs["normal"] - mine["normal"]).abs().max() < 0.02
        assert (theirs["rgb"] - mine["rgb"]).abs().mean() < 0.2


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def random_access(folder: Path, samples: int) -> Row:
    """Bytes of one sample of many, without decoding; a table of boxes stands for the sample."""
    from pvit_data.sample import Boxes

    boxes = Boxes(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32))
    with pvit_data.ShardWriter(folder / "many", "many", shard_bytes=8_000_000) as writer:
        for i in range(samples):
            writer.write(Sample(key=f"many-{i:07d}", num_frames=1, height=9, width=9, boxes=boxes, action=1))
    dataset = pvit_data.open(folder / "many")
    dataset.read(0)
    picks = np.random.default_rng(0).integers(0, samples, 500)
    times = []
    for row in picks:
        start = time.perf_counter()
        dataset.read(int(row))
        times.append(time.perf_counter() - start)
    ms = statistics.median(times) * 1000
    worst = sorted(times)[int(0.99 * len(times))] * 1000
    return f"random access, {samples:,} samples", f"{ms:.2f} ms (99 %: {worst:.2f} ms)", "< 5 ms", ms < 5


_OPEN = """
import re, sys, time
from pathlib import Path
import numpy, pyarrow.parquet
from pvit_data.index import COLUMNS, NUMBERS, PLACES, Index
def peak():
    # from /proc: what getrusage gives a child includes its parent's peak
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000
base = peak()
start = time.perf_counter()
index = Index(Path(sys.argv[1]), "index")
index.text("key", index.num_rows - 1)
seconds = time.perf_counter() - start
for name in (*NUMBERS, *PLACES):
    index.column(name)
print(seconds, peak() - base)
"""


def large_index(folder: Path, rows: int) -> list[Row]:
    """Time to open, and memory with every column for numbers loaded, in a process of its own."""
    from pvit_data.index import NUMBERS, PLACES, write_index

    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {"key": [f"source-{i:09d}" for i in range(rows)]}
    columns["group"] = [f"scene-{i // 20:07d}" for i in range(rows)]
    columns["shard"] = [f"train-{i // 200:05d}.tar" for i in range(rows)]
    columns["rgb_encoding"] = ["mp4"] * rows
    for name, kind in (NUMBERS | PLACES).items():
        absent = name in PLACES and not name.startswith(("json", "rgb", "depth", "normal", "segm"))
        high = 2 if kind == "bool" else 1 << 20
        columns[name] = np.full(rows, -1 if "offset" in name else 0, kind) if absent else rng.integers(0, high, rows)
        columns[name] = columns[name].astype(kind)
    path = folder / "train.parquet"
    path.write_bytes(write_index(columns))
    command = [sys.executable, "-c", _OPEN, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = map(float, printed.split())
    return [
        (f"index of {rows:,} rows opens", f"{seconds:.2f} s", "< 2 s", seconds < 2),
        ("... all numbers in memory", f"{megabytes:.0f} MB", "< 400 MB", megabytes < 400),
    ]


def sizes(hypersim: Path | None) -> list[Row]:
    """Bytes against Pillow's default PNG of the same maps."""
    rooms = [room_clip(seed, 1, 768, 1024) for seed in (4, 5, 6, 7)]
    assert all(np.percentile(r.depth[r.depth > 0], 5) > 2 and r.depth.max() < 12 for r in rooms)
    clip = rooms[0]
    found = [
        _size("depth of rooms, worst", depth_codec.encode_depth(r.depth, FLOAT16), millimetres(r.depth), 0.75)
        for r in rooms
    ]
    rows = [max(found, key=lambda row: float(row[1].partition("%")[0]))]
    if hypersim is not None:
        from pvit_converters.safe_hdf5 import read_array

        real = np.nan_to_num(read_array(hypersim, None).astype(np.float32), posinf=0)[None]
        rows.append(_size("depth of a real frame", depth_codec.encode_depth(real, FLOAT16), millimetres(real), 0.75))
    rows.append(_size("normals", normal_codec.encode_normal(clip.normal), xyz8(clip.normal), 1.15))
    rows.append(_size("classes, 8 bit", segm_codec.encode_segm(clip.segm, SPACES["segm"]), clip.segm, 1.15))
    many = LabelSpace("instances", tuple(f"i{i}" for i in range(5000)))
    wide = clip.segm.astype(np.uint16) * 70
    rows.append(_size("classes, 16 bit", segm_codec.encode_segm(wide, many), wide, 1.3))
    return rows


def _size(what: str, ours: bytes, plain: np.ndarray, bar: float) -> Row:
    theirs = sum(len(png(page)) for page in plain)
    ratio = len(ours) / theirs
    text = f"{ratio:.1%} ({len(ours) / 1000:.0f} kB, PNG {theirs / 1000:.0f} kB)"
    return f"size, {what}", text, f"<= {bar:.0%}", ratio <= bar


def main() -> int:
    """Prints the table; returns 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hypersim", type=Path, help="a real frame.NNNN.depth_meters.hdf5")
    parser.add_argument("--full", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = speed(folder, args.samples, args.rounds)
        rows.append(random_access(folder, 10_000 if args.full else 1000))
        rows += large_index(folder, 1_000_000 if args.full else 100_000)
    rows += sizes(args.hypersim)
    for what, figure, bar, met in rows:
        print(f"{what:34} {figure:52} {bar:10} {'met' if met else 'MISSED'}")
    return 0 if all(row[-1] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
