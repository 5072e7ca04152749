"""What grows with the number of samples, shards, sources and nodes, measured on synthetic indices without a pixel.

Run: python -m benchmarks.scale [NAME ...] [--largest ROWS]

Each measure is taken at several sizes, each in a process of its own, and stated as a law: the exponent of a power of
the size between the first and the last one (0: constant, 1: linear). Columns are seconds, megabytes or counts as named.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import math
import multiprocessing
import os
import pickle
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
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
        checksums = np.random.default_rng(rows).integers(0, 1 << 32, rows)  # nothing packs them
        found[f"{member}_crc32"] = checksums.astype("uint32")
    return found


def dataset(folder: Path, sizes: dict[str, int], per_shard: int = 1000, shards: int = 0) -> str:
    """A manifest of version 1.0 and its indices; the shards that they name are not there."""
    from pvit_data.format.index import write_index

    sources = {}
    for name, rows in sizes.items():
        data = write_index(columns(rows, name, per_shard))
        (folder / name / "index").mkdir(parents=True, exist_ok=True)
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


def elsewhere(folder: Path, sizes: dict[str, int]) -> str:
    """The same, made by another process, so that this one's memory is its own."""
    process = multiprocessing.get_context("spawn").Process(target=dataset, args=(folder, sizes))
    process.start()
    process.join()
    return str(folder)


def clocked(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    begun = time.perf_counter()
    value = action()
    return time.perf_counter() - begun, value


def worked(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of this process's processors, whoever else is busy, and what it gave."""
    begun = time.process_time()
    value = action()
    return time.process_time() - begun, value


def private_mb(process: int | str = "self", kind: str = "Private_Dirty") -> float:
    """Memory that a process shares with nobody and that no file holds: pages of mapped files are the system's.

    With the kind "Anonymous" also what it shares with the processes that it forked.
    """
    text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
    kept = [line.split()[1] for line in text.splitlines() if line.startswith(f"{kind}:")]
    return sum(map(int, kept)) / 1000


def peak_mb() -> float:
    """The most memory that this process has had since `memory_mb`."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(
        int(line.split()[1]) / 1000 for line in text.splitlines() if line.startswith("VmHWM")
    )


def memory_mb() -> float:
    """What this process has now, from where `peak_mb` starts anew."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return peak_mb()


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
    context = multiprocessing.get_context("spawn")
    found: Figures = {}
    for start in ("fork", "fork", "spawn"):  # the first one makes what is mapped
        told = []
        for url in urls:
            queue = context.SimpleQueue()
            process = context.Process(target=rank, args=(url, start, queue))
            process.start()
            process.join()
            if process.exitcode:
                raise RuntimeError(f"{start}: ended with {process.exitcode}")
            told.append(queue.get())
        large, small = told
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


def small_shards(folder: Path, numbers: Iterable[int]) -> None:
    """Shards of one sample without a picture, each with its receipt, as a conversion leaves them; none is flushed."""
    import zlib

    from pvit_data.format.index import encode_table, index_row
    from pvit_data.format.manifest import SourceSpec, dump
    from pvit_data.format.names import receipt_name, rows_name, shard_name
    from pvit_data.format.receipts import Receipt, RowsInfo, store_source
    from pvit_data.format.record import Record, write_record
    from pvit_data.format.rows import Rows
    from pvit_data.format.tar import BLOCK, END, write_member
    from pvit_data.storage.storage import Storage

    store_source(Storage(folder), SourceSpec(name="a"))

    def sha256(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    for number in numbers:
        place = ("a", "train", number)
        record = Record(key=f"a-{number:09d}", group=f"g-{number}", source="a", split="train")
        data = write_record(record)
        shard = write_member(f"{record.key}.json", data) + END
        rows = Rows()
        places = {"json": (BLOCK, len(data), zlib.crc32(data))}
        rows.add(index_row(shard_name(*place), record, 0, places))
        table = encode_table(rows.table())
        info = RowsInfo(bytes=len(table), sha256=sha256(table), members=["json"])
        receipt = Receipt(
            name=shard_name(*place), source="a", split="train", number=number, samples=1, bytes=len(shard),
            sha256=sha256(shard), rows=info,
        )  # fmt: skip
        files = {receipt.name: shard, rows_name(receipt.file): table, receipt.file: dump(receipt)}
        for name, contents in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(contents)
        assert receipt.file == receipt_name(*place)


@measure("finished")
def finishing(number: int, folder: Path) -> Figures:
    """A data set of many shards of one sample: finished, opened and read, appended to (finished again), validated."""
    import pvit_data
    from pvit_data.validate import validate
    from pvit_data.writing import finish

    small_shards(folder, range(number))
    finished, manifest = clocked(lambda: finish.write_manifest(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    opened, ds = clocked(lambda: pvit_data.open(folder))
    read, _ = clocked(lambda: ds.record(number - 1))

    def append() -> None:
        with pvit_data.ShardWriter(folder, manifest.sources["a"].spec) as writer:
            writer.write(pvit_data.Sample(key="one-more", num_frames=1, action=1.0))

    appended, _ = clocked(append)
    validated, report = clocked(lambda: validate(folder))
    assert report.ok
    return {
        "finish ms": finished * 1e3,
        "open ms": opened * 1e3,
        "first sample ms": read * 1e3,
        "append ms": appended * 1e3,
        "validate ms": validated * 1e3,
        "peak MB": peak,
        "manifest kB": (folder / "manifest.json").stat().st_size / 1000,
    }


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


@measure("rows")
def stats(rows: int, folder: Path) -> Figures:
    """What `pvit-data stats` counts from the index, without reading a sample."""
    import pvit_data
    from pvit_data.looking.stats import collect

    url = dataset(folder, {"a": rows // 2, "b": rows - rows // 2})
    before = memory_mb()
    seconds, found = clocked(lambda: collect(pvit_data.open(url), 0))
    assert found.samples == rows
    return {"stats s": seconds, "peak MB": peak_mb() - before}


@measure("rows")
def gallery(rows: int, folder: Path) -> Figures:
    """What `pvit-data gallery` takes from the index for 200 samples: which ones, their facts, and the statistics."""
    import pvit_data
    from pvit_data.format.record import Record
    from pvit_data.looking.facts import facts
    from pvit_data.looking.stats import collect, spread_rows
    from pvit_data.sample.sample import Sample

    url = dataset(folder, {"a": rows // 2, "b": rows - rows // 2})
    sample, record = Sample(key="k", num_frames=60), Record(key="k", group="g", frames=60)
    before = memory_mb()

    def columns_of_a_page() -> None:
        ds = pvit_data.open(url)
        for row in spread_rows(ds.column("source"), 200).tolist():
            facts(ds, row, sample, record)
        collect(ds, 0)

    seconds, _ = clocked(columns_of_a_page)
    return {"columns s": seconds, "peak MB": peak_mb() - before}


@measure("rows")
def surveying(rows: int, folder: Path) -> Figures:
    """What `pvit-data validate` does before it opens the first shard."""
    from pvit_data.storage.storage import Storage
    from pvit_data.validate.folder import check_folder
    from pvit_data.validate.survey import survey

    url = dataset(folder, {"a": rows}, per_shard=100)
    before = memory_mb()

    def all_tables() -> None:
        storage = Storage(url)
        list(check_folder(storage, survey(storage)))

    seconds, _ = clocked(all_tables)
    return {"survey s": seconds, "peak MB": peak_mb() - before}


@measure("shards")
def resuming(number: int, folder: Path) -> Figures:
    """A validation of which everything is known: of what there is, it reads the tables and the shards' times."""
    from pvit_data.storage.storage import SETTLED_NS, Storage
    from pvit_data.validate import validate
    from pvit_data.validate.choice import WHOLE
    from pvit_data.validate.problems import Findings
    from pvit_data.validate.state import State
    from pvit_data.validate.survey import survey
    from pvit_data.validate.units import ShardUnit

    url = dataset(folder / "data", {"a": 10 * number}, per_shard=10)
    for at in range(number):
        (folder / f"data/a/train-{at:05d}.tar").touch()
    time.sleep(SETTLED_NS / 1e9 + 0.1)
    storage, state = Storage(url), State(folder / "state")
    for facts in survey(storage).shards:
        unit = ShardUnit(storage, facts, WHOLE, False)
        state.save(unit, state.key(unit), Findings())
    state.close()
    before = memory_mb()
    seconds, report = clocked(lambda: validate(url, resume=folder / "state"))
    assert report.earlier == number
    return {"again s": seconds, "peak MB": peak_mb() - before}


def synthetic(items: int, per_shard: int, groups_of: int = 10) -> Any:
    """A conversion job of samples without pixels; every shard takes `per_shard` of them."""
    from pvit_converters.base import Converter, ConverterOptions, Item, Listing, SourceInfo
    from pvit_converters.engine.plan import Settings
    from pvit_converters.engine.run import Job
    from pvit_data.sample.labels import LabelSpace
    from pvit_data.sample.sample import Sample

    class Synthetic(Converter[ConverterOptions]):
        info = SourceInfo("synthetic", "Synthetic", "CC0-1.0", True, "", "", "", ("action",))
        begun: list[float] = []  # noqa: RUF012 - of the one process that converts

        def spaces(self) -> dict[str, LabelSpace]:
            return {"action": LabelSpace("action", ("a", "b"))}

        def list_items(self) -> Listing:
            return Listing(
                [
                    Item(
                        f"clip-{i:09d}",
                        f"scene-{i // groups_of:08d}",
                        "train",
                        {"file": f"scene-{i // groups_of:08d}/clip-{i:09d}.mp4", "row": i},
                        1000,
                    )
                    for i in range(items)
                ]
            )

        def load(self, item: Item) -> Sample:
            self.begun.append(time.perf_counter())
            row = item.ref["row"]
            return Sample(
                key=item.key, group=item.group, action=row % 2, num_frames=8, height=240, width=320
            )

    settings = Settings(shard_bytes=per_shard * 1000)
    return Job(Synthetic, Path("."), "", ConverterOptions(), settings, workers=1, check_space=False)


def planned(job: Any, folder: Path) -> Figures:
    """What it takes to make, store and load the plan of a job, and what is held once the listing is gone."""
    from pvit_converters.engine.identity import make_identity
    from pvit_converters.engine.plan import make_plan
    from pvit_converters.engine.plan_file import load_plan, save_plan
    from pvit_data.storage.storage import Storage

    converter = job.converter(job.root, job.options)
    before = memory_mb()
    listing, listed = worked(converter.list_items)
    listed_mb = peak_mb() - before
    identity = make_identity(converter, job.settings)
    planning, plan = worked(lambda: make_plan(identity, job.settings, listed))
    saving, stored = worked(lambda: save_plan(plan, Storage(folder)))
    planned_mb = peak_mb() - before
    plan = stored or plan
    del listed
    held_mb = memory_mb() - before
    loading, loaded = worked(lambda: load_plan("synthetic", Storage(folder)))
    one, _ = worked(lambda: loaded.shards[-1].items)
    assert loaded.num_samples == plan.num_samples
    sizes = [path.stat().st_size for path in (folder / "synthetic").rglob("*") if path.is_file()]
    return {
        "list s": listing,
        "plan s": planning,
        "save s": saving,
        "load s": loading,
        "shard ms": one * 1e3,
        "list MB": listed_mb,
        "peak MB": planned_mb,
        "held MB": held_mb,
        "stored MB": sum(sizes) / 1e6,
    }


@measure("items")
def plans(items: int, folder: Path) -> Figures:
    """Listing, planning, storing and loading a conversion's plan of shards of 1,000 samples."""
    return planned(synthetic(items, 1000), folder)


@measure("items")
def plans_of_shards(items: int, folder: Path) -> Figures:
    """The same of shards of one sample each."""
    return planned(synthetic(items, 1, groups_of=1), folder)


def _at_once(task: Any, tick: Any = print, begin: Any = len) -> Any:
    from pvit_converters.engine.task import Outcome

    for item in task.shard.items:
        begin(item.key)
        tick(1)
    return Outcome(len(task.shard.items), 1000, [])


def _refused(*_: Any) -> Any:
    from pvit_data.errors import SourceError

    raise SourceError("synthetic")


@measure("tasks")
def bookkeeping(number: int, folder: Path) -> Figures:
    """Processor time of the main process per task: alone, over pipes to two workers, with a Dask cluster in it."""
    from dataclasses import replace
    from inspect import signature

    import distributed

    from pvit_converters.base import Item
    from pvit_converters.engine import run
    from pvit_converters.engine.executors import cluster, here, processes
    from pvit_converters.engine.plan import ShardPlan
    from pvit_converters.engine.task import Task

    job = synthetic(1, 1)
    items = (Item("a", "b", "train", {}, 1000),)
    tasks = [
        Task(job.converter, job.root, job.options, "out", None, ShardPlan("train", i, items), "")
        for i in range(number)
    ]
    here.run_task = cluster.run_task = _at_once
    counter = run._Counter(lambda _done, _all: None, 0, number)
    shards = [task.shard for task in tasks]
    arguments = (tasks,) if "shards" not in signature(run._execute).parameters else (shards, tasks)
    alone, notes = worked(lambda: run._execute(job, *arguments, counter))
    assert not notes
    job.converter.places = _refused  # whoever gets it is done at once
    few = [replace(task) for task in tasks[:10_000]]
    piped, _ = worked(lambda: list(processes.on_processes(2)(few, lambda _n: None)))
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as local,
        distributed.Client(local) as client,
    ):
        few = tasks[:3000]
        rounds = cluster._Rounds(client, few, lambda _n: None)
        sent, _ = worked(lambda: list(rounds.results()))
        wide = replace(tasks[0], shard=ShardPlan("train", 0, items * 2000))
        rounds = cluster._Rounds(client, [wide], lambda _n: None)
        told, _ = worked(lambda: list(rounds.results()))
    return {
        "here us": alone / number * 1e6,
        "processes us": piped / min(number, 10_000) * 1e6,
        "cluster us": sent / len(few) * 1e6,
        "cluster sample us": told / 2000 * 1e6,
    }


@measure("jobs")
def job_array(number: int, folder: Path) -> Figures:
    """A conversion of shards of 10 samples; then a task of an array with a task per shard, two of which are open."""
    from dataclasses import replace

    from pvit_converters.engine.run import convert

    job = replace(synthetic(number * 10, 10), out=str(folder / "out"))
    whole, report = clocked(lambda: convert(job))
    assert report.shards == number
    peak = peak_mb()
    for task in (0, number - 1):
        for name in (f"train-{task:05d}.tar", f"train-{task:05d}.json"):
            for path in (folder / "out").rglob(name):
                path.unlink()
    begun, now = job.converter.begun, time.perf_counter()
    begun.clear()
    task_s, _ = clocked(lambda: convert(replace(job, task_index=0, num_tasks=number)))
    return {
        "shard ms": whole / number * 1e3,
        "peak MB": peak,
        "start s": begun[0] - now,
        "task s": task_s,
    }


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
    "finished": (100, 1000, 10_000, 100_000),
    "nodes": (1, 8, 32, 128),
    "lines": (10_000, 100_000, 1_000_000, 10_000_000),
    "items": (10_000, 100_000, 1_000_000),
    "tasks": (1000, 10_000, 30_000, 100_000, 1_000_000),
    "jobs": (100, 1000, 3000, 10_000),
}


def _alone(name: str, size: int, queue: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PVIT_CACHE"] = f"{folder}/cache"
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
