"""Bytes and reading speed of clips with depth, normals and segmentation, against plain WebDataset and Pillow's PNG.

Run: python -m benchmarks.reading [--samples N] [--rounds N] [--hypersim FOLDER]

Samples are 16 frames of 256 x 340 in simulated rooms, the first 2 m deep and the last 12 m. "plain" is what most
people would write: one mp4 (CRF 23), one PNG per frame and map with Pillow's defaults; read with PyAV and Pillow, each
map to whole-size floats and then resized. Both give RGB cropped to 224 and maps at 56 x 56. Speed: the median CPU time
of alternating rounds.
`--hypersim` is a raw tree with real frames, for the size of their depth.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import pvit_data
from benchmarks.loading import bumpy
from pvit_data.codecs.depth import DepthEncoding, encode_depth
from pvit_data.codecs.segm import encode_segm
from pvit_data.codecs.window import Window
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample

CROP, GRID = 224, 56
NYU40 = LabelSpace("nyu40", tuple(f"class {i}" for i in range(1, 41)), first=1)
MANY = LabelSpace("instances", tuple(f"thing {i}" for i in range(1, 1001)), first=1)
SIZE_BARS = {"depth": 0.75, "normal": 1.15, "segm, 8 bit": 1.15, "segm, 16 bit": 1.3}
SPEED_BARS = {16: 3.5, 8: 4.5}


def rooms(number: int, frames: int = 16, height: int = 256, width: int = 340) -> Iterator[Sample]:
    """Clips of a camera that wanders through furnished rooms; exact depth, RGB with noise and normals with relief."""
    from pvit_converters.simulate.world.film import tonemap
    from pvit_converters.simulate.world.render import render
    from pvit_converters.simulate.world.rooms import room, wander
    from pvit_converters.simulate.world.scene import Camera, Scene, pinhole

    for i in range(number):
        rng = np.random.default_rng(i)
        space = room(rng)
        camera = Camera(
            pinhole(0.87 * width, height, width), wander(rng, space, frames), height, width
        )
        found = render(Scene(space.primitives, camera, space.light, frames))
        pictures = [
            tonemap(r.astype(np.float32), p)
            for r, p in zip(found.radiance, found.primitive, strict=True)
        ]
        rgb = np.clip(
            np.stack(pictures) + rng.normal(0, 1, (frames, height, width, 3)), 0, 255
        ).astype(np.uint8)
        depth = np.where(found.surface, found.depth, 0)
        deep = 2 + 10 * i / max(number - 1, 1)
        yield Sample(
            key=f"room-{i:03d}",
            rgb=rgb,
            fps=25,
            depth=(depth * deep / depth.max()).astype(
                np.float32
            ),  # shallow rooms cost more: PNG has few values there
            normal=bumpy(found.normal, rng),
            segm=np.where(found.surface, found.ids("class_id"), 255).astype(np.uint8),
            spaces={"segm": NYU40},
        )


def png(array: np.ndarray) -> bytes:
    """A picture as Pillow writes it by default."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def millimetres(depth: np.ndarray) -> np.ndarray:
    """Depth as most people store it."""
    return (depth * 1000).round().clip(0, 65535).astype(np.uint16)


def plain_maps(sample: Sample) -> dict[str, list[bytes]]:
    """One PNG per frame of each map."""
    assert sample.depth is not None
    assert sample.normal is not None
    assert sample.segm is not None
    return {
        "depth": [png(page) for page in millimetres(sample.depth)],
        "normal": [png(page) for page in (sample.normal * 127 + 128).round().astype(np.uint8)],
        "segm": [png(page) for page in sample.segm.astype(np.uint8)],
    }


def write(folder: Path, samples: Sequence[Sample]) -> Any:
    """Our shards, opened."""
    with pvit_data.ShardWriter(folder, "rooms", spaces={"segm": NYU40}) as writer:
        for sample in samples:
            writer.write(sample)
    return pvit_data.open(folder)


def sizes(dataset: Any, samples: Sequence[Sample]) -> dict[str, float]:
    """Bytes of each map, relative to Pillow's PNG."""
    ours, other = dict.fromkeys(SIZE_BARS, 0), dict.fromkeys(SIZE_BARS, 0)
    for row, sample in enumerate(samples):
        members = dataset.members(row)
        for name, pages in plain_maps(sample).items():
            bar = "segm, 8 bit" if name == "segm" else name
            ours[bar] += members[f"{name}.tif"]
            other[bar] += sum(map(len, pages))
        assert sample.segm is not None
        wide = np.where(
            sample.segm == 255, 65535, sample.segm.astype(np.uint16) * 23 % 1000 + 1
        ).astype(np.uint16)
        ours["segm, 16 bit"] += len(encode_segm(wide, MANY))
        other["segm, 16 bit"] += sum(len(png(page)) for page in wide)
    return {name: ours[name] / other[name] for name in SIZE_BARS}


def real_depth(root: Path) -> float:
    """Bytes of the depth of a raw Hypersim tree, relative to Pillow's PNG."""
    from pvit_converters.hypersim import HypersimConverter, HypersimOptions

    converter = HypersimConverter(root, HypersimOptions())
    ours = other = 0
    for item in converter.list_items().items:
        depth = converter.load(item).depth
        assert depth is not None
        ours += len(encode_depth(depth, DepthEncoding()))
        other += sum(len(png(page)) for page in millimetres(depth))
    return ours / other


def write_plain(path: Path, samples: Sequence[Sample]) -> None:
    """What most people would write."""
    import av
    import webdataset

    with webdataset.TarWriter(str(path)) as writer:
        for sample in samples:
            assert isinstance(sample.rgb, np.ndarray)
            buffer = io.BytesIO()
            with av.open(buffer, "w", format="mp4") as container:
                stream = container.add_stream("libx264", 25, options={"crf": "23"})
                stream.height, stream.width, stream.pix_fmt = *sample.rgb.shape[1:3], "yuv420p"
                for frame in sample.rgb:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode(None))
            members: dict[str, Any] = {
                "__key__": sample.key,
                "json": b"{}",
                "mp4": buffer.getvalue(),
            }
            for name, pages in plain_maps(sample).items():
                members |= {f"{name}{t:02d}.png": page for t, page in enumerate(pages)}
            writer.write(members)


def read_plain(path: Path, frames: int) -> int:
    """A sample is decoded, cropped and resized as a whole; then the maps of `frames` frames are chosen."""
    import av
    import torch
    import webdataset
    from PIL import Image
    from torch.nn.functional import interpolate

    number = 0
    for raw in webdataset.WebDataset(str(path), shardshuffle=False):
        with av.open(io.BytesIO(raw["mp4"])) as container:
            rgb = np.stack(
                [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            )
        found = {"rgb": rgb[:, 16 : 16 + CROP, 58 : 58 + CROP]}
        for name in ("depth", "normal", "segm"):
            keys = sorted(key for key in raw if key.startswith(name))
            pages = np.stack([np.array(Image.open(io.BytesIO(raw[key]))) for key in keys])
            maps = torch.from_numpy(pages.astype(np.float32)).reshape(*pages.shape[:3], -1)
            if name == "depth":
                maps = maps / 1000
            elif name == "normal":
                maps = (maps - 128) / 127
                maps = maps / maps.norm(dim=-1, keepdim=True).clamp(min=1e-6)
            found[name] = interpolate(
                maps.permute(0, 3, 1, 2), (GRID, GRID), mode="nearest"
            ).numpy()[:: 16 // frames]
        assert found["depth"].shape == (frames, 1, GRID, GRID)
        number += 1
    return number


def read_ours(dataset: Any, frames: int) -> int:
    """The same values: pictures of the crop, maps at their grid."""
    window = Window(16, 58, CROP, CROP)
    rows, columns = (np.arange(GRID) * n // GRID for n in (256, 340))
    for row in range(len(dataset)):
        rgb = dataset.read(row, ["rgb"], window=window).rgb
        maps = dataset.read(
            row, ["depth", "normal", "segm"], np.arange(0, 16, 16 // frames), (rows, columns)
        )
        assert (rgb.shape, maps.normal.shape) == ((16, CROP, CROP, 3), (frames, GRID, GRID, 3))
    return len(dataset)


def speeds(dataset: Any, plain: Path, rounds: int) -> dict[int, float]:
    """Samples per CPU second, ours over plain, by the number of frames whose maps are read."""
    import torch

    torch.set_num_threads(1)
    ratios: dict[int, float] = {}
    for frames in SPEED_BARS:
        times: dict[str, list[float]] = {"plain": [], "ours": []}
        for turn in range(rounds + 1):  # the first one warms up
            for name in times:
                begun = time.process_time()
                read_plain(plain, frames) if name == "plain" else read_ours(dataset, frames)
                times[name] += [time.process_time() - begun] if turn else []
        ratios[frames] = float(np.median(times["plain"]) / np.median(times["ours"]))
    return ratios


def main() -> int:
    """Prints each figure beside its bar; 1 if one is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hypersim", type=Path, help="raw tree with real frames")
    args = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        samples = list(rooms(args.samples))
        dataset = write(Path(folder) / "ours", samples)
        small = sizes(dataset, samples)
        if args.hypersim:
            small["depth, real"] = real_depth(args.hypersim)
        for name, found in small.items():
            bar = SIZE_BARS[name.removesuffix(", real")]
            print(f"bytes of {name:14} {found:5.2f} x PNG    (at most {bar})")
            missed += found > bar
        write_plain(Path(folder) / "plain.tar", samples)
        for frames, found in speeds(dataset, Path(folder) / "plain.tar", args.rounds).items():
            print(
                f"maps of {frames:2} frames     {found:5.2f} x plain  (at least {SPEED_BARS[frames]})"
            )
            missed += found < SPEED_BARS[frames]
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
