"""Converting and finishing: plans, the engine's own work, job arrays, receipts."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

from benchmarks.scale.data import small_shards
from benchmarks.scale.measure import Figures, clocked, measure, memory_mb, peak_mb, worked


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
    from pvit_converters.engine.executors.ticks import Ticks
    from pvit_converters.engine.plan import ShardPlan
    from pvit_converters.engine.task import Task

    job = synthetic(1, 1)
    items = (Item("a", "b", "train", {}, 1000),)
    tasks = [
        Task(job.converter, job.root, job.options, "out", None, ShardPlan("train", i, items), "")
        for i in range(number)
    ]
    here.run_task = cluster.run_task = _at_once
    counter = Ticks(lambda _done, _all: None, 0, number)
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
