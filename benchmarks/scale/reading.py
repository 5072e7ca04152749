"""Opening, planning and reading: rows, shards, sources, nodes, loader processes, stores."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.data import annotated, dataset, elsewhere
from benchmarks.scale.measure import Figures, clocked, in_process, measure, private_mb


@measure("rows")
def opening(rows: int, folder: Path) -> Figures:
    """The first and the second opening of a data set, a mixture of it, and what the process then holds."""
    import pvit_data

    url = elsewhere(folder, {"a": rows})
    pvit_data.open(elsewhere(folder / "small", {"a": 1000})).column("frames")  # loads libraries
    before = private_mb(kind="Anonymous")

    def mixture() -> Any:
        ds = pvit_data.open(url, source="a", split="train")
        mixed = pvit_data.Mixture([pvit_data.MixtureSource(ds)], 64)
        mixed.draws(0)
        return mixed

    first, _ = clocked(mixture)
    second, held = clocked(mixture)
    ds = held.sources[0].ds
    some = np.random.default_rng(0).integers(0, rows, 1000).tolist()
    many = [clocked(lambda: [ds.members(i) for i in some])[0] for _ in range(3)]
    return {
        "first s": first,
        "second s": second,
        "row us": many[0] * 1000,
        "row again us": min(many) * 1000,
        "private MB": private_mb(kind="Anonymous") - before,
        "pickle kB": len(pickle.dumps(ds)) / 1000,
    }


class Painted:
    """The samples of an index whose shards are not there: black clips."""

    def __init__(self, ds: Any) -> None:
        self._ds = ds
        self.sources, self.spaces_of, self.column = ds.sources, ds.spaces_of, ds.column
        if hasattr(ds, "value"):
            self.value = ds.value

    def __len__(self) -> int:
        return len(self._ds)

    def read(
        self, row: int, fields: Any = None, frames: Any = None, grid: Any = None, window: Any = None
    ) -> Any:
        from pvit_data import Sample

        size = (window.height, window.width) if window else (240, 320)
        shown = np.zeros((len(frames), *size, 3), np.uint8)
        return Sample(
            key="k", source="a", rgb=shown, num_frames=60, height=240, width=320, fps=12.0,
            frames={"rgb": np.asarray(frames)},
        )  # fmt: skip


def rank(url: str, start: str, queue: Any) -> None:
    """A process that trains: seconds to its first batch, its memory, and that of its two loader processes."""
    import inspect

    import torch

    import pvit_data

    assert torch
    multiprocessing.set_start_method(start, force=True)  # where it is not an option
    known = "start_method" in inspect.signature(pvit_data.loader).parameters
    clip = pvit_data.ClipConfig(num_frames=4, size=(32, 32))

    def begin() -> Any:
        ds: Any = Painted(pvit_data.open(url, source="a", split="train"))
        source = pvit_data.MixtureSource(ds, "auxiliary")
        mixed = pvit_data.Mixture([source], 16, quotas={"depth": 2, "normal": 2})
        options: dict[str, Any] = {"start_method": start} if known else {}
        batches = iter(pvit_data.loader(mixed, workers=2, clip=clip, **options))
        next(batches)
        return batches

    first, batches = clocked(begin)
    for _ in range(40):
        next(batches)
    workers = [private_mb(p.pid or 0) for p in multiprocessing.active_children()]
    mine = private_mb(kind="Anonymous")
    queue.put({"first s": first, "rank MB": mine, "worker MB": max(workers)})


@measure("rows")
def workers(rows: int, folder: Path) -> Figures:
    """A rank with two forked or spawned loader processes, as such and what is more than with 1,000 rows."""
    urls = [dataset(folder / str(n), {"a": n}) for n in (rows, 1000)]
    found: Figures = {}
    for start in ("fork", "fork", "spawn"):  # the first one makes what is mapped
        large, small = (in_process(rank, url, start) for url in urls)
        found["made s"] = found.get("made s", large["first s"])
        found[f"{start} first s"] = large["first s"]
        found |= {f"{start} {name} more": large[name] - small[name] for name in large}
    return found


@measure("rows")
def planning(rows: int, folder: Path) -> Figures:
    """Strata by three quotas, and batches of 512 anywhere in an epoch, of which a rank of 64 needs its part."""
    import pvit_data

    ds = pvit_data.open(dataset(folder, {"a": rows}), source="a", split="train")
    source = pvit_data.MixtureSource(ds, "auxiliary")
    for column in ("has_rgb", "has_depth", "has_normal"):
        ds.column(column)
    strata, mixed = clocked(
        lambda: pvit_data.Mixture([source], 512, quotas={"depth": 8, "normal": 8})
    )
    last = mixed.steps_per_epoch - 1
    jump, _ = clocked(lambda: mixed.draws(last))
    steps = range(last - min(last, 50), last)
    plan, _ = clocked(lambda: [mixed.draws(s) for s in steps])
    return {
        "strata ms": strata * 1e3,
        "first batch ms": jump * 1e3,
        "batch ms": plan / max(1, len(steps)) * 1e3,
    }


@measure("sources")
def sources(number: int, folder: Path) -> Figures:
    """A plan of many sources of 300 shards each."""
    import pvit_data
    from pvit_data.mixing.config import MixtureConfig, build_mixture
    from pvit_data.reading.layers.places import find_sources

    url = dataset(folder, {f"s{i:03d}": 300 for i in range(number)}, per_shard=1)
    assert pvit_data
    seconds, _ = clocked(
        lambda: build_mixture(find_sources([url]), MixtureConfig(batch_size=2 * number))
    )
    return {"plan s": seconds}


@measure("shards")
def shards(number: int, folder: Path) -> Figures:
    """Opening a data set of many shards, and looking up the bytes of one of them, which reads their list."""
    import pvit_data

    url = dataset(folder, {"a": number}, per_shard=1)
    pvit_data.open(url)
    opened, found = clocked(lambda: pvit_data.open(url))
    part: Any = found.parts[0]
    listed, _ = clocked(lambda: part._require_inside("a/train-00000.tar", 0, {}))
    size = (folder / "manifest.json").stat().st_size
    return {"open ms": opened * 1e3, "list ms": listed * 1e3, "manifest kB": size / 1e3}


@measure("nodes")
def locality(nodes: int, folder: Path) -> Figures:
    """Bytes that all nodes fetch with a cache of blocks of 1 MiB, as a multiple of what one machine fetches."""
    import inspect

    import pvit_data

    ds = pvit_data.open(dataset(folder, {"a": 400_000}), source="a", split="train")
    known = "nodes" in inspect.signature(pvit_data.Mixture).parameters
    options = {"nodes": nodes} if known else {}
    mixed = pvit_data.Mixture([pvit_data.MixtureSource(ds)], 1024, **options)
    offsets, shard = ds.column("rgb_offset"), np.arange(len(ds)) // 1000
    share, needed, fetched = 1024 // nodes, set(), 0
    cached: list[set[tuple[int, int]]] = [set() for _ in range(nodes)]
    for step in range(150):
        for place, draw in enumerate(mixed.draws(step)):
            first, last = (int(offsets[draw.row]) + n >> 20 for n in (0, 90_000))
            blocks = {(int(shard[draw.row]), b) for b in range(first, last + 1)}
            node = cached[place // share]
            fetched += len(blocks - node)
            node |= blocks
            needed |= blocks
    return {"amplification": fetched / len(needed)}


@measure("clips")
def stores(number: int, folder: Path) -> Figures:
    """Stills, and clips with maps, in batches of 8, from a local folder and from a server that lets every answer wait
    50 ms, in a process that has imported everything and opened the index."""
    import pvit_data
    from benchmarks.slow_server import slow_server

    found: Figures = {}
    for name, frames in (("stills", 1), ("clips", 16)):
        annotated(folder / name, name, number, frames)
        role = "downstream" if frames == 1 else "auxiliary"
        tasks = {name: () if frames == 1 else ("depth", "normal")}

        def first(shards: str, role: Any = role, tasks: Any = tasks) -> Any:
            ds = pvit_data.open(shards)
            mixture = pvit_data.Mixture([pvit_data.MixtureSource(ds, role)], 8, tasks=tasks)
            batches = iter(pvit_data.loader(mixture, num_steps=number // 8))
            return lambda: [batch.step for batch in batches]

        first(str(folder / name))()
        found[f"{name} local s"] = clocked(first(str(folder / name)))[0]
        with slow_server(folder) as (url, asked):
            batch = first(f"{url}/{name}")
            before = asked.value
            found[f"{name} remote s"] = clocked(batch)[0]
            found[f"{name} requests each"] = (asked.value - before) / number
    return found
