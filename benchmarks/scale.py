"""What grows with the number of samples, shards, sources and nodes, measured on synthetic indices without a pixel.

Run: python -m benchmarks.scale [NAME ...] [--largest ROWS]

Each measure is taken at several sizes, each in a process of its own, and stated as a law: the exponent of a power of
the size between the first and the last one (0: constant, 1: linear). Columns are seconds, megabytes or counts as named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Figures = dict[str, float]
MEASURES: dict[str, tuple[str, Callable[[int, Path], Figures]]] = {}
"""What grows, and the measure of one size in a folder of its own."""


def measure(
    unit: str,
) -> Callable[[Callable[[int, Path], Figures]], Callable[[int, Path], Figures]]:
    """Registers a measure by its function's name."""

    def register(function: Callable[[int, Path], Figures]) -> Callable[[int, Path], Figures]:
        MEASURES[function.__name__] = unit, function
        return function

    return register


def columns(rows: int, name: str, per_shard: int) -> dict[str, Any]:
    """An index of clips of which every second one has depth and every third one normals."""
    import pyarrow as pa

    from pvit_data.format.index import COLUMNS, NUMBERS, PLACES

    at = np.arange(rows)
    found: dict[str, Any] = {}
    for column in COLUMNS:
        dtype = (NUMBERS | PLACES).get(column)
        if dtype is not None:
            found[column] = np.full(rows, -1 if column.endswith("_offset") else 0, dtype)
    shards = pa.array([f"train-{i:05d}.tar" for i in range(-(-rows // per_shard))])
    found["shard"] = pa.DictionaryArray.from_arrays(
        pa.array(at // per_shard, pa.int32()), shards
    ).cast(pa.string())
    found["key"] = pa.array(np.char.add(f"{name}-", np.char.zfill(at.astype(str), 9)), pa.string())
    found["group"] = pa.array(np.char.add("g-", (at // 10).astype(str)), pa.string())
    found["rgb_encoding"] = pa.DictionaryArray.from_arrays(
        pa.array(at * 0, pa.int32()), pa.array(["mp4"])
    ).cast(pa.string())
    found |= {
        "frames": found["frames"] + 60,
        "height": found["height"] + 240,
        "width": found["width"] + 320,
    }
    found |= {"fps": found["fps"] + 12, "action": (at % 174).astype("int32")}
    found |= {
        "has_rgb": at >= 0,
        "has_action": at >= 0,
        "has_depth": at % 2 == 0,
        "has_normal": at % 3 == 0,
    }
    for member, size in (("json", 900), ("rgb", 90_000)):
        found[f"{member}_offset"] = (
            at % per_shard * 92_160 + 512 + (1536 if member == "rgb" else 0)
        ).astype("int64")
        found[f"{member}_size"] = np.full(rows, size, "int32")
    return found


def dataset(folder: Path, sizes: dict[str, int], per_shard: int = 1000, shards: int = 0) -> str:
    """A manifest of version 1.0 and its indices; the shards that they name are not there."""
    from pvit_data.format.index import write_index

    sources = {}
    for name, rows in sizes.items():
        data = write_index(columns(rows, name, per_shard))
        (folder / name / "index").mkdir(parents=True)
        (folder / name / "index/train.parquet").write_bytes(data)
        listed = [
            {
                "name": f"{name}/train-{i:05d}.tar",
                "samples": per_shard,
                "bytes": per_shard * 92_160 + 1024,
                "sha256": "0" * 64,
            }
            for i in range(shards or -(-rows // per_shard))
        ]
        split = {
            "samples": rows, "frames": 60 * rows, "bytes": 92_160 * rows, "fields": {"rgb": rows}, "members": ["json"],
            "index": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}, "skipped": {}, "shards": listed,
        }  # fmt: skip
        classes = {"action": {"name": "a", "classes": [f"c{i}" for i in range(174)]}}
        spec = {"name": name, "role": "auxiliary", "tasks": ["depth", "normal"], "spaces": classes}
        sources[name] = {"spec": spec, "splits": {"train": split}}
    values = {
        "format": "pvit-shards",
        "version": "1.0",
        "conventions": {},
        "sources": sources,
        "checksum": "",
    }
    text = json.dumps(values, sort_keys=True, indent=2) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(text.replace('"checksum": ""', f'"checksum": "{digest}"'))
    return str(folder)


def clocked(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    begun = time.perf_counter()
    value = action()
    return time.perf_counter() - begun, value


def private_mb() -> float:
    """Memory that this process shares with nobody."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
    return (
        sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
        / 1000
    )


@measure("rows")
def opening(rows: int, folder: Path) -> Figures:
    """The first and the second opening of a data set, a mixture of it, and what the process then holds."""
    import pvit_data

    url = dataset(folder, {"a": rows})
    before = private_mb()

    def mixture() -> Any:
        ds = pvit_data.open(url, source="a", split="train")
        mixed = pvit_data.Mixture([pvit_data.MixtureSource(ds)], 64)
        mixed.draws(0)
        return mixed

    first, _ = clocked(mixture)
    second, held = clocked(mixture)
    ds = held.sources[0].ds
    many, _ = clocked(
        lambda: [ds.members(i) for i in np.random.default_rng(0).integers(0, rows, 1000).tolist()]
    )
    return {
        "first s": first,
        "second s": second,
        "row us": many * 1000,
        "private MB": private_mb() - before,
    }


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
    from pvit_data.mixing.sources import find_sources

    url = dataset(folder, {f"s{i:03d}": 300 for i in range(number)}, per_shard=1)
    assert pvit_data
    seconds, _ = clocked(
        lambda: build_mixture(find_sources([url]), MixtureConfig(batch_size=2 * number))
    )
    return {"plan s": seconds}


@measure("shards")
def shards(number: int, folder: Path) -> Figures:
    """Opening a data set of many shards."""
    import pvit_data

    url = dataset(folder, {"a": 1000}, shards=number)
    seconds, _ = clocked(lambda: pvit_data.open(url))
    return {"open s": seconds, "manifest MB": (folder / "manifest.json").stat().st_size / 1e6}


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


@measure("lines")
def curves(lines: int, folder: Path) -> Figures:
    """The curves of a finished log with ten losses."""
    import inspect

    from pvit_model.reporting import report
    from pvit_model.runs.log import read_log

    losses = {f"task{i}": 0.123456 for i in range(10)}
    line = {"kind": "train", "loss": 1.5, "lr": 1e-4, "losses": losses, "memory_gb": 3.25}
    with (folder / "metrics.jsonl").open("w") as file:
        text = (
            json.dumps({**line, "step": 0})
            .replace('"kind": "train", ', "")
            .replace(', "step": 0', "")[1:]
        )
        for step in range(lines):
            file.write(f'{{"kind": "train", "step": {step}, {text}\n')
    is_bounded = "most" in inspect.signature(read_log).parameters
    seconds, _ = clocked(
        lambda: report.curves(
            read_log(folder, report.MOST_LINES) if is_bounded else read_log(folder)
        )
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"report s": seconds, "peak MB": peak}


@measure("clips")
def stores(number: int, folder: Path) -> Figures:
    """The first batch of stills, and of clips with maps, from a local folder and from a server that lets every answer
    wait 50 ms, in a process that has imported everything and opened the index."""
    import pvit_data
    from benchmarks.slow_server import slow_server

    found: Figures = {}
    for name, frames in (("stills", 1), ("clips", 16)):
        annotated(folder / name, name, number, frames)
        role = "downstream" if frames == 1 else "auxiliary"
        tasks = {name: () if frames == 1 else ("depth", "normal")}

        def first(shards: str, role: Any = role, tasks: Any = tasks) -> Any:
            ds = pvit_data.open(shards)
            mixture = pvit_data.Mixture([pvit_data.MixtureSource(ds, role)], number, tasks=tasks)
            batches = iter(pvit_data.loader(mixture, num_steps=1))
            return lambda: next(batches)

        first(str(folder / name))()
        found[f"{name} local s"] = clocked(first(str(folder / name)))[0]
        with slow_server(folder) as (url, asked):
            batch = first(f"{url}/{name}")
            before = asked.value
            found[f"{name} remote s"] = clocked(batch)[0]
            found[f"{name} requests each"] = (asked.value - before) / number
    return found


def annotated(folder: Path, name: str, number: int, frames: int) -> None:
    """A data set of stills of 640 x 480, or of clips of 320 x 240 with depth and normals on every second frame."""
    import pvit_data

    height, width = (480, 640) if frames == 1 else (240, 320)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shift = np.arange(frames, dtype=np.float32)[:, None, None]
    planes = [128 + 100 * np.sin((x + k * y) / 40 + shift / 5) for k in range(3)]
    values: dict[str, Any] = {"rgb": np.stack(planes, -1).astype(np.uint8)}
    if frames > 1:
        values["depth"] = 2 + y / 100 + shift[::2] / 50 + 0 * x
        values["normal"] = np.broadcast_to(
            np.float32([0, 0.6, -0.8]), (frames // 2, height, width, 3)
        )
        values["fps"] = 12.0
        values["frames"] = dict.fromkeys(("depth", "normal"), np.arange(0, frames, 2))
    spaces = {"action": pvit_data.LabelSpace("verbs", ("left", "right"))}
    with pvit_data.ShardWriter(folder, name, spaces=spaces) as writer:
        for i in range(number):
            writer.write(pvit_data.Sample(key=f"{name}-{i:05d}", action=i % 2, **values))


SIZES = {
    "clips": (16, 64),
    "rows": (10_000, 100_000, 1_000_000, 10_000_000),
    "sources": (10, 50, 200),
    "shards": (1000, 10_000, 100_000),
    "nodes": (1, 8, 32, 128),
    "lines": (10_000, 100_000, 1_000_000, 10_000_000),
}


def _alone(name: str, size: int, queue: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            queue.put(MEASURES[name][1](size, Path(folder)))
        except Exception as error:  # a size that cannot be had is a result, too
            queue.put(f"{type(error).__name__}: {error}")


def measured(name: str, size: int) -> Figures | str:
    """One measure at one size, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_alone, args=(name, size, queue))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{name} at {size}: failed")
    found: Figures | str = queue.get()
    return found


def laws(sizes: list[int], found: list[Figures]) -> Iterator[str]:
    """Each figure's growth between the first and the last size."""
    for name in found[0]:
        first, last = (max(found[i][name], 1e-9) for i in (0, -1))
        power = math.log(last / first) / math.log(sizes[-1] / sizes[0]) if len(sizes) > 1 else 0.0
        yield f"{name} ~ n^{power:.2f}"


def main() -> None:
    """Prints a table per measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--largest", type=int, default=1_000_000, help="rows and log lines at most")
    options = parser.parse_args()
    for name in options.names or MEASURES:
        unit, function = MEASURES[name]
        sizes = [n for n in SIZES[unit] if n <= options.largest]
        print(f"== {name}: {' '.join((function.__doc__ or '').split())}")
        found = []
        for size in sizes:
            figures = measured(name, size)
            if isinstance(figures, str):
                print(f"{size:>12,} {unit:8} {figures}", flush=True)
                break
            found.append(figures)
            print(
                f"{size:>12,} {unit:8}",
                "  ".join(f"{k} {v:,.4g}" for k, v in figures.items()),
                flush=True,
            )
        if found:
            print(f"{'':21}", ", ".join(laws(sizes[: len(found)], found)))


if __name__ == "__main__":
    main()
