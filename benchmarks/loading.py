"""Loader speed against plain WebDataset: the same samples, the same work per sample, CPU seconds of all processes.

Run: python -m benchmarks.loading [--samples N] [--rounds N] [--videos FILES] [--mixture]

PHAV-like clips (16 frames of 256 x 340, depth and classes on each), Hypersim-like stills (768 x 1024; depth, normals,
classes), copied real video (label only), and with `--mixture` the paper's mixture of all simulated sources at their
real sizes. "plain" is what a WebDataset user writes: per-frame PNG members beside the mp4, Pillow and PyAV,
full-resolution float tensors, then crop and resize; of long clips it decodes only the maps of the 16 chosen frames.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import pvit_data
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import EncodedMedia, Sample

SIZE, GRID, FRAMES = 224, 56, 16
SPACE = LabelSpace("things", tuple(f"c{i}" for i in range(64)))
BATCH = 4


def phav_like(number: int) -> list[Sample]:
    """Street clips of the simulator, in memory."""
    from pvit_converters.simulate import phav
    from pvit_converters.simulate.tree import Size
    from pvit_converters.simulate.world.film import srgb
    from pvit_converters.simulate.world.render import render

    out = []
    for i in range(number):
        task = phav.VideoTask(i, Path(), 0, Size(FRAMES, 256, 340), "equal", None)
        picture = render(phav._scene(task))
        depth = (
            np.where(np.isfinite(picture.depth), picture.depth, 0).astype(np.float32).clip(0, 600)
        )
        segm = np.where(picture.surface, picture.ids("class_id"), 0).astype(np.uint8)
        rgb = srgb(picture.radiance, 0.8)
        rgb = np.clip(rgb + np.random.default_rng(i).normal(0, 3, rgb.shape), 0, 255).astype(
            np.uint8
        )
        out.append(_sample("phav", i, rgb, depth=depth, segm=segm, fps=30.0))
    return out


def hypersim_like(number: int) -> list[Sample]:
    """Rooms of the simulator, in memory, with the noise of a path tracer on them."""
    from pvit_converters.simulate.world.film import tonemap
    from pvit_converters.simulate.world.render import render
    from pvit_converters.simulate.world.rooms import room, wander
    from pvit_converters.simulate.world.scene import Camera, Scene, pinhole

    out = []
    for i in range(number):
        rng = np.random.default_rng(i)
        space = room(rng)
        camera = Camera(pinhole(886.0, 768, 1024), wander(rng, space, 1), 768, 1024)
        picture = render(Scene(space.primitives, camera, space.light, 1))
        rgb = tonemap(picture.radiance[0].astype(np.float32), picture.primitive[0])[None]
        rgb = np.clip(rgb + rng.normal(0, 4, rgb.shape), 0, 255).astype(np.uint8)
        depth = np.where(picture.surface, picture.depth, 0).astype(np.float32)
        segm = np.where(picture.surface, picture.ids("class_id"), 0).clip(0, 63).astype(np.uint8)
        normal = bumpy(picture.normal, rng)
        out.append(_sample("hypersim", i, rgb, depth=depth, segm=segm, normal=normal))
    return out


def bumpy(normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normals with the fine relief of scanned meshes, without which they compress as nothing real does."""
    bumps = rng.normal(0, 0.02, normal.shape)
    out = normal + np.where(rng.random(normal.shape[:3])[..., None] < 0.3, bumps, 0)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.where(
        length > 0, out / np.linalg.norm(out, axis=-1, keepdims=True).clip(1e-6), 0
    ).astype(np.float32)


def _sample(source: str, number: int, rgb: np.ndarray, **fields: Any) -> Sample:
    frames, height, width = rgb.shape[:3]
    return Sample(
        key=f"{source}-{number:03d}", source=source, rgb=rgb, num_frames=frames, height=height, width=width,
        spaces={"segm": SPACE}, **fields,
    )  # fmt: skip


def real_like(number: int, files: list[Path]) -> list[Sample]:
    """Copied video files with a label."""
    out = []
    for i in range(number):
        data = files[i % len(files)].read_bytes()
        sample = Sample(
            key=f"ssv2-{i:03d}", source="ssv2", rgb=EncodedMedia(data, "mp4"), action=i % 4
        )
        out.append(replace(sample, spaces={"action": SPACE}))
    return out


def write_shards(out: Path, source: str, samples: list[Sample], tasks: tuple[str, ...]) -> Any:
    """Our shards."""
    writer = pvit_data.ShardWriter(
        out, source=source, split="train", licence="CC0-1.0", redistributable=True, spaces=dict(samples[0].spaces),
        role="downstream" if source == "ssv2" else "auxiliary", tasks=tasks,
    )  # fmt: skip
    with writer:
        for sample in samples:
            writer.write(sample)
    return pvit_data.open(out, source=source, split="train")


def write_plain(path: Path, samples: list[Sample]) -> None:
    """What people write: one PNG per frame and map (Pillow's defaults), video or JPEG as it is."""
    import webdataset
    from PIL import Image

    from pvit_data.codecs.still import encode_still
    from pvit_data.codecs.video import encode_video

    def png(array: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        return buffer.getvalue()

    with webdataset.TarWriter(str(path)) as writer:
        for sample in samples:
            members: dict[str, Any] = {
                "__key__": sample.key,
                "json": json.dumps({"label": sample.action or 0}).encode(),
            }
            if isinstance(sample.rgb, EncodedMedia):
                members["mp4"] = sample.rgb.data
            elif sample.rgb is not None and len(sample.rgb) == 1:
                members["jpg"] = encode_still(sample.rgb[0])
            elif sample.rgb is not None:
                members["mp4"] = encode_video(sample.rgb, 30.0)
            for t in range(len(sample.depth) if sample.depth is not None else 0):
                members[f"depth{t:02d}.png"] = png(
                    (sample.depth[t] * 1000).clip(0, 65535).astype(np.uint16)
                )  # type: ignore[index]
            for t in range(len(sample.normal) if sample.normal is not None else 0):
                members[f"normal{t:02d}.png"] = png((sample.normal[t] * 127 + 128).astype(np.uint8))  # type: ignore[index]
            for t in range(len(sample.segm) if sample.segm is not None else 0):
                members[f"segm{t:02d}.png"] = png(sample.segm[t].astype(np.uint8))  # type: ignore[index]
            writer.write(members)


def plain_samples(path: Path) -> Iterator[dict[str, Any]]:
    """The plain pipeline: decode everything, then crop and resize."""
    import av
    import torch
    import webdataset
    from PIL import Image
    from torch.nn.functional import interpolate

    rng = np.random.default_rng(0)
    for raw in webdataset.WebDataset(str(path), shardshuffle=False):
        if "mp4" in raw:
            with av.open(io.BytesIO(raw["mp4"])) as container:
                frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
            picks = np.linspace(0, len(frames) - 1, FRAMES).astype(int)
            rgb = np.stack([frames[i] for i in picks])
        else:
            picks = np.zeros(1, int)
            rgb = np.array(Image.open(io.BytesIO(raw["jpg"])).convert("RGB"))[None]
        side = int(min(rgb.shape[1:3]) * rng.uniform(0.7, 0.875))
        top, left = (int(rng.integers(0, n - side + 1)) for n in rgb.shape[1:3])
        video = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
        video = video[:, :, top : top + side, left : left + side]
        video = interpolate(video, (SIZE, SIZE), mode="bilinear", antialias=True)
        out: dict[str, Any] = {
            "video": ((video - 0.45) / 0.225).expand(FRAMES, 3, SIZE, SIZE).permute(1, 0, 2, 3)
        }
        for name in ("depth", "normal", "segm"):
            keys = sorted(k for k in raw if k.startswith(name))
            if not keys:
                continue
            if len(keys) > FRAMES:
                keys = [keys[min(i, len(keys) - 1)] for i in picks]
            pages = np.stack([np.array(Image.open(io.BytesIO(raw[k]))) for k in keys])
            if name == "depth":
                maps = torch.from_numpy(pages.astype(np.float32) / 1000)[:, None]
            elif name == "normal":
                maps = torch.from_numpy((pages.astype(np.float32) - 128) / 127).permute(0, 3, 1, 2)
                maps = maps / maps.norm(dim=1, keepdim=True).clamp(min=1e-6)
            else:
                maps = torch.from_numpy(pages)[:, None].float()
            out[name] = interpolate(
                maps[:, :, top : top + side, left : left + side], (GRID, GRID), mode="nearest"
            )
        yield out


def cpu_per_sample(run: Callable[[], int], rounds: int) -> float:
    """Median CPU milliseconds per sample of this process."""
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        number = run()
        times.append((time.process_time() - begin) / number * 1000)
    return float(np.median(times))


def bare_decode(ds: Any) -> Callable[[], int]:
    """Decoding the frames that the batch needs, and nothing else."""
    from pvit_data.clips.config import ClipConfig
    from pvit_data.clips.view import Viewer
    from pvit_data.loading.clip_reader import ClipReader

    def run() -> int:
        reader = ClipReader(ds, ClipConfig(), {"ssv2": ()})
        viewer = Viewer(ClipConfig(), "segment")
        for row in range(len(ds)):
            view = viewer.training(reader._video(row), 0.0, np.random.default_rng(row))
            ds.read(row, ("rgb",), view.distinct)
        return len(ds)

    return run


def measure(samples: int, rounds: int, videos: list[Path]) -> list[tuple[str, float, float]]:
    """(source, plain ms, ours ms) of CPU time per sample; one row for the bare decoding of real video."""
    import torch

    torch.set_num_threads(1)
    made = {
        "phav": (phav_like(samples), ("depth", "segm")),
        "hypersim": (hypersim_like(samples), ("depth", "normal", "segm")),
    }
    if videos:
        made["ssv2"] = (real_like(samples, videos), ("action",))
    rows = []
    for source, (content, tasks) in made.items():
        with tempfile.TemporaryDirectory() as folder:
            ds = write_shards(Path(folder) / "shards", source, content, tasks)
            write_plain(Path(folder) / "plain.tar", content)
            role = "downstream" if source == "ssv2" else "auxiliary"
            mixture = pvit_data.Mixture([pvit_data.MixtureSource(ds, role)], BATCH)

            batches = iter(pvit_data.loader(mixture))  # without end, as in training

            def ours(batches: Any = batches) -> int:
                return sum(len(next(batches).keys) for _ in range(samples // BATCH))

            def plain(path: Path = Path(folder) / "plain.tar") -> int:
                return sum(1 for _ in plain_samples(path))

            for _ in range(2):
                ours(), plain()
            rows.append((source, cpu_per_sample(plain, rounds), cpu_per_sample(ours, rounds)))
            if source == "ssv2":
                rows.append(
                    ("ssv2, bare decode", cpu_per_sample(bare_decode(ds), rounds), rows[-1][2])
                )
    return rows


def measure_mixture(samples: int, rounds: int, videos: list[Path]) -> tuple[str, float, float]:
    """The paper's mixture: half real video, half synthetic by the sizes of its table 7 (supplement)."""
    from pvit_cli.data import main as pvit_data_command

    sizes = {"phav": 39.9, "surreact": 108.3, "synadl": 48.8, "hypersim": 31.1, "ehoi": 20.0}
    with tempfile.TemporaryDirectory() as folder:
        shards = str(Path(folder) / "shards")
        for source in sizes:
            raw = str(Path(folder) / source)
            count = (
                samples if source != "ehoi" else 2 * samples
            )  # a part of it becomes the validation split
            for command in (["simulate", source, raw, "--preset", "format", "--samples", str(count)],
                            ["convert", source, raw, shards, "--workers", "1", "--no-holdout"]):  # fmt: skip
                if pvit_data_command(command):
                    raise SystemExit(f"pvit-data {' '.join(command)} failed")
        parts = {name: pvit_data.open(shards, source=name, split="train") for name in sizes}
        parts["ssv2"] = write_shards(
            Path(folder) / "real", "ssv2", real_like(samples, videos), ("action",)
        )
        sizes["ssv2"] = sum(sizes.values())
        total = sum(sizes.values())
        plain = 0.0
        for name, ds in parts.items():
            path = Path(folder) / f"{name}.tar"
            write_plain(
                path,
                [ds[i] for i in range(len(ds))] if name != "ssv2" else real_like(samples, videos),
            )
            run = lambda path=path: sum(1 for _ in plain_samples(path))  # noqa: E731
            run()
            plain += cpu_per_sample(run, rounds) * sizes[name] / total
        sources = [
            pvit_data.MixtureSource(
                ds, "downstream" if name == "ssv2" else "auxiliary", sizes[name]
            )
            for name, ds in parts.items()
        ]
        batches = iter(pvit_data.loader(pvit_data.Mixture(sources, 16)))
        ours = lambda: sum(len(next(batches).keys) for _ in range(8))  # noqa: E731
        ours()
        return "the paper's mixture", plain, cpu_per_sample(ours, rounds)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--mixture", action="store_true", help="also the paper's mixture (needs --videos; minutes)"
    )
    args = parser.parse_args()
    print(f"{'source':20s} {'other ms':>9s} {'ours ms':>9s} {'ratio':>6s}")
    rows = measure(args.samples, args.rounds, args.videos)
    if args.mixture:
        rows.append(measure_mixture(args.samples // 4, args.rounds, args.videos))
    for source, other, ours in rows:
        print(f"{source:20s} {other:9.1f} {ours:9.1f} {other / ours:6.2f}")


if __name__ == "__main__":
    main()
