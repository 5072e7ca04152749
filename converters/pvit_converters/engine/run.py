"""A conversion from beginning to end: plan or continue, run the tasks, build the manifest, report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvit_converters.base import Converter, ConverterOptions, Listing
from pvit_converters.engine.executors.cluster import Scheduler, on_cluster
from pvit_converters.engine.executors.deaths import GIVEN_UP
from pvit_converters.engine.executors.here import Executor, run_here
from pvit_converters.engine.executors.processes import on_processes
from pvit_converters.engine.executors.ticks import Progress, Ticks
from pvit_converters.engine.identity import (
    fingerprint,
    make_identity,
    portable_options,
    require_equal,
)
from pvit_converters.engine.over_base import (
    BaseAt,
    append_layer,
    base_at,
    layer_spec,
    make_converter,
    of_this_base,
    places_of,
    plan_layer,
)
from pvit_converters.engine.place import (
    overwrite,
    remove_leftovers,
    remove_source,
    remove_tables,
    require_free,
    require_space,
)
from pvit_converters.engine.plan import (
    Plan,
    PlannedShard,
    Settings,
    ShardPlan,
    append_to,
    make_plan,
    waiting,
)
from pvit_converters.engine.plan_file import (
    find_unlisted,
    load_plan,
    plan_name,
    require_storable,
    save_plan,
)
from pvit_converters.engine.report import Report, make_report, report_name, save
from pvit_converters.engine.signals import interruptible
from pvit_converters.engine.task import Task
from pvit_converters.layers import LayerConverter
from pvit_converters.raw.places import reading_within
from pvit_data.clips.frames import NUMBERED
from pvit_data.errors import PvitError, SourceError, UsageError
from pvit_data.format.manifest import SourceSpec
from pvit_data.format.names import LAYERS, part_of, receipt_name
from pvit_data.format.receipts import Receipt, read_receipts, with_shards
from pvit_data.storage.storage import Storage
from pvit_data.writing import finish
from pvit_data.writing.room import require_room
from pvit_data.writing.shard import encoding_of

SMALL_JOB = 50_000_000  # bytes of shards that one process writes in about the time that starting several takes

_TOLD = (
    "name", "title", "licence", "redistributable", "citation", "role", "sampler", "clips_within", "derived",
    "derived_clause", "rights", "tasks",
)  # fmt: skip
"""What a source says of itself in the manifest."""


@dataclass(frozen=True)
class Job:
    """What to convert, and how.

    Args:
        converter: the source's class.
        root: folder of the raw data; of a layer also the address of its base.
        out: folder or URL of the dataset.
        options: of the converter.
        settings: what decides the content of the shards.
        workers: processes; 1 means this one, 0 as many as pay for their start.
        scheduler: a Dask cluster to use instead of local processes.
        task_index, num_tasks: this run's part of a job array; part `i` of `n` writes every n-th shard.
        max_failed: fraction of the tried samples that may fail.
        append: also plan groups that are new since the plan was made.
        overwrite: remove what is there of this source first.
        retry_failed: convert shards again in which samples failed.
        check_space: refuse to start where the estimate does not fit on the disk.
        follow_links: links in the raw tree may lead out of it.
        base: what a layer is made over: a folder or URL, or `URL#SOURCE`. Default: the root.
    """

    converter: type[Converter[Any]]
    root: Path | str
    out: str
    options: ConverterOptions
    settings: Settings = field(default_factory=Settings)
    workers: int = 0
    scheduler: Scheduler | None = None
    task_index: int = 0
    num_tasks: int = 1
    max_failed: float = 0.1
    append: bool = False
    overwrite: bool = False
    retry_failed: bool = False
    check_space: bool = True
    follow_links: bool = False
    base: str = ""

    @property
    def name(self) -> str:
        """Name of the converter."""
        return self.converter.info.name


def source_spec(job: Job, converter: Converter[Any]) -> SourceSpec:
    """The declaration of the source, or of the layer, that goes into the manifest."""
    info = converter.source()
    values: dict[str, Any] = {name: getattr(info, name) for name in _TOLD} | {
        "converter": converter.info.name,
        "converter_version": converter.version,
        "options": portable_options(converter.options),
        "spaces": converter.spaces(),
        "encodings": dict(job.settings.encodings),
    }
    if isinstance(converter, LayerConverter):
        return layer_spec(converter, values)
    return SourceSpec(**values)


def require_reencoding(job: Job, converter: Converter[Any]) -> None:
    """Refuses other sizes and rates of pictures where annotations would no longer fit them.

    Raises:
        UsageError: naming these.
    """
    if job.settings.reencoding is not None:
        info = converter.source()
        job.settings.reencoding.require_fit(info.name, info.produces)
        if job.settings.reencoding.fps and (info.clips_within or info.sampler in NUMBERED):
            raise UsageError(
                f"--reencode {job.settings.reencoding}: {info.name} tells by numbers of frames where clips lie, which "
                "would not fit another rate; short-side=N and gop=N are possible here"
            )


def convert(job: Job, progress: Progress | None = None) -> Report:
    """Converts a source, or continues a conversion that was interrupted.

    Args:
        job: what to do.
        progress: called with (samples done, samples in all) of this run's part.

    Returns:
        The report; `report.json` and, if every shard is finished, the manifest are written.

    Raises:
        UsageError: if the output was made with other options.
        SourceError: if nothing could be converted.
        StorageError: if the disk is full or fails; finished shards are kept.
        Interrupted: on SIGINT or SIGTERM; finished shards are kept.
    """
    if not 0 <= job.task_index < job.num_tasks:
        raise UsageError(
            f"--task-index {job.task_index}: expected 0 to {job.num_tasks - 1} (--num-tasks)"
        )
    if job.overwrite and job.num_tasks > 1:
        raise UsageError(
            "--overwrite with --num-tasks: the tasks would remove each other's shards; remove the source first"
        )
    stopped = f"{job.out}: stopped; finished shards are kept, the same command continues"
    places = places_of(job.converter, job.root, job.options)
    with interruptible(stopped), reading_within(places, follow_links=job.follow_links):
        converter = make_converter(job.converter, job.root, job.options, job.base)
        spec = source_spec(job, converter)
        encoding_of(spec, "train")  # refuses unknown encodings before any work
        require_reencoding(job, converter)
        storage = Storage(job.out)
        plan, listing, notes = _plan(job, converter, storage)
        # The first time's words stand for the source: `--append` may select otherwise, older plans name a class.
        kept = {name: plan.identity[name] for name in ("converter", "options")}
        spec = spec.model_copy(update={**kept, "notes": list(plan.notes)})
        base, tell = base_at(converter), progress or (lambda _done, _all: None)
        told = _waiting(job, converter, plan) if listing is not None else []
        notes += _write_shards(job, plan, spec, storage, tell, listing, base)
        report = _finish(job, plan, storage, notes, base)
        return report.model_copy(update={"notes": [*told, *report.notes]})


def _waiting(job: Job, converter: Converter[Any], plan: Plan) -> list[str]:
    """What is new since the plan was stored, where looking for it costs nothing; told, and not stored."""
    if job.append or job.num_tasks > 1 or not converter.lists_first:
        return []
    return waiting(plan, job.settings, converter.list_items())


def _plan(
    job: Job, converter: Converter[Any], storage: Storage
) -> tuple[Plan, Callable[[], Listing] | None, list[str]]:
    """The stored plan if there is one, else a new one; and what gives the listing that a stored one must agree with."""
    identity = make_identity(converter, job.settings)
    source = identity["source"]
    plan = None if job.overwrite else load_plan(source, storage)
    if plan is None:
        return _new_plan(job, converter, storage), None, []
    ignoring = {"limit", "filters", *job.options.selects} if job.append else ()
    require_equal(plan.identity, identity, f"{job.out}/{source}", ignoring)
    notes: list[str] = []
    if not job.append:
        return plan, converter.list_items, notes
    listing = converter.list_items()
    if isinstance(converter, LayerConverter):
        plan, notes = append_layer(plan, job.settings, listing, converter.base.rows)
    else:
        plan, notes = append_to(plan, job.settings, listing)
    once = [listing]  # it is large, and nobody needs it when the work begins
    return save_plan(plan, storage), once.pop, notes


def _new_plan(job: Job, converter: Converter[Any], storage: Storage) -> Plan:
    plan = new_plan(job, converter)
    source = plan.identity["source"]
    if not plan.shards:
        raise SourceError(f"{job.root}: nothing to convert")
    require_room(storage, source)
    if job.overwrite:  # only now that there is something to take its place
        require_storable(plan)
        overwrite(storage, source)
    else:
        require_free(storage, source, converter.root)
    return save_plan(plan, storage)


def new_plan(job: Job, converter: Converter[Any]) -> Plan:
    """The plan of a conversion that has not begun; nothing is stored."""
    identity, listing = make_identity(converter, job.settings), converter.list_items()
    if isinstance(converter, LayerConverter):
        return plan_layer(identity, job.settings, listing, converter.base.rows)
    return make_plan(identity, job.settings, listing)


def finished_shards(
    plan: Plan, storage: Storage, shards: Sequence[PlannedShard] | None = None
) -> Iterator[Receipt]:
    """Receipts of the plan's finished shards, one after the other.

    Args:
        plan: which shards there are to be.
        storage: the dataset.
        shards: some of the plan's; no receipt of any other is read. Default: all.
    """
    source = plan.identity["source"]
    name = fingerprint(plan.identity)
    wanted = plan.shards if shards is None else shards
    planned = {(shard.split, shard.number) for shard in wanted}
    listing = storage.listing() if shards is None else _files_of(source, storage, shards)
    found = (
        receipt
        for receipt in read_receipts(storage, source, listing)
        if (receipt.split, receipt.number) in planned and receipt.extra.get("plan") == name
    )
    if shards is None:
        yield from with_shards(storage, found, listing)
        return
    for receipt in found:
        if all(storage.exists(file) and storage.size(file) == size for file, size in receipt.files):
            yield receipt


def _files_of(source: str, storage: Storage, shards: Sequence[PlannedShard]) -> dict[str, int]:
    """The receipts of some shards that are there, as a listing would have them."""
    found = (_receipt_of(source, storage, shard) for shard in shards)
    return {name: -1 for name in found if name}


def _receipt_of(source: str, storage: Storage, shard: PlannedShard) -> str:
    """Where the receipt of a shard is, or "": in the folder that it belongs into, or where older ones lie."""
    places = dict.fromkeys((part_of(shard.number), 0))
    names = (receipt_name(source, shard.split, shard.number, part) for part in places)
    return next(filter(storage.exists, names), "")


def _write_shards(
    job: Job,
    plan: Plan,
    spec: SourceSpec,
    storage: Storage,
    progress: Progress,
    listing: Callable[[], Listing] | None,
    base: BaseAt | None,
) -> list[str]:
    """Writes this run's open shards; returns notes about those that had to be given up."""
    mine = plan.shards[job.task_index :: job.num_tasks]
    receipts = of_this_base(finished_shards(plan, storage, _own(job, plan)), base)
    done = {(r.split, r.number) for r in receipts if not _is_open(job, r)}
    todo = [shard for shard in mine if (shard.split, shard.number) not in done]
    total = sum(shard.samples for shard in mine)
    count = Ticks(progress, total - sum(shard.samples for shard in todo), total)
    if job.num_tasks == 1:
        remove_leftovers(storage, spec.folder)
    if not todo:
        return []
    where = f"{job.out.rstrip('/')}/{plan_name(spec.folder)}"
    unlisted = find_unlisted(todo, listing(), where) if listing is not None else {}
    if job.check_space:
        require_space(storage, sum(shard.size for shard in todo))
    notes = _execute(job, todo, _tasks(job, plan, spec, todo, unlisted, base), count)
    if job.num_tasks == 1:
        remove_leftovers(storage, spec.folder)  # of workers that died on the way
    return notes


def _own(job: Job, plan: Plan) -> Sequence[PlannedShard] | None:
    """The shards of this run's part of a job array, or None: all."""
    return plan.shards[job.task_index :: job.num_tasks] if job.num_tasks > 1 else None


def _tasks(
    job: Job,
    plan: Plan,
    spec: SourceSpec,
    shards: Iterable[PlannedShard],
    unlisted: Mapping[str, str],
    base: BaseAt | None,
) -> Iterator[Task]:
    """A task per shard, made when its turn comes: so only the samples of shards in work are in memory."""
    root = job.root if "://" in str(job.root) else Path(job.root).resolve()
    name = fingerprint(plan.identity)
    for shard in shards:
        items = shard.items
        yield Task(
            job.converter,
            root,
            job.options,
            job.out,
            spec,
            ShardPlan(shard.split, shard.number, items, shard.over if base else ""),
            name,
            unlisted={i.key: unlisted[i.key] for i in items if i.key in unlisted},
            follow_links=job.follow_links,
            base=base,
            reencoding=job.settings.reencoding,
        )


def _execute(
    job: Job, shards: Sequence[PlannedShard], tasks: Iterable[Task], count: Ticks
) -> list[str]:
    """Has the tasks of these shards done; returns notes about those that had to be given up."""
    total, tried, failed = sum(shard.samples for shard in shards), 0, 0
    notes = []
    with closing(_executor(job, shards)(tasks, count)) as results:
        for task, result in results:
            tried += task.shard.samples
            if isinstance(result, SourceError) and result.reason == GIVEN_UP:
                failed += task.shard.samples
                notes.append(str(result))
            elif isinstance(result, PvitError):
                raise result
            else:
                failed += len(result.skipped)
            if failed > max(tried / 2, job.max_failed * total) and tried < total:
                return [*notes, f"stopped early: {failed} of the first {tried} samples failed"]
    count.complete()
    return notes


def _executor(job: Job, shards: Sequence[PlannedShard]) -> Executor:
    if job.scheduler is not None:
        return on_cluster(job.scheduler)
    workers = min(job.workers or _worthwhile(shards), len(shards))
    return run_here if workers <= 1 else on_processes(workers)


def _worthwhile(shards: Sequence[PlannedShard]) -> int:
    """One process per core, or this one alone where the work is less than starting them."""
    if sum(shard.size for shard in shards) < SMALL_JOB:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_open(job: Job, receipt: Receipt) -> bool:
    return bool(receipt.skipped) and (job.retry_failed or receipt.samples == 0)


def _finish(
    job: Job, plan: Plan, storage: Storage, notes: list[str], base: BaseAt | None
) -> Report:
    """The report, and the manifest if every shard is finished; of a job array by whoever is the last."""
    if job.num_tasks > 1 and not _has_all_receipts(plan, storage):
        part = f"only the shards of --task-index {job.task_index} are counted here"
        return make_report(plan, finished_shards(plan, storage, _own(job, plan)), [*notes, part])
    # Once more: what is finished is of the base as it is now, or of none.
    receipts = of_this_base(finished_shards(plan, storage), base)
    report = make_report(plan, receipts, notes)
    if report.complete and report.converted == 0 and report.failures:
        first = report.failures[0]
        if storage.root is not None:
            remove_source(storage, report.source)
        raise SourceError(
            f"nothing could be converted ({report.num_failed} failed): {first.message}",
            reason=first.reason,
        )
    if report.complete and report.source.startswith(f"{LAYERS}/"):
        finish.write_layers(storage, [report.source])
    elif report.complete:
        finish.write_manifest(job.out)
    if report.complete:
        remove_tables(storage, report.source)
    save(report, storage)
    return report


def _has_all_receipts(plan: Plan, storage: Storage) -> bool:
    """Whether every shard seems to be finished; the last ones are looked for first."""
    source = plan.identity["source"]
    return all(_receipt_of(source, storage, shard) for shard in reversed(plan.shards))


def require_success(job: Job, report: Report) -> None:
    """Refuses a conversion that did not do its part; what is finished stays.

    Raises:
        SourceError: if more samples failed than `job.max_failed`, or shards of this run could not be written.
    """
    if report.failed_fraction > job.max_failed:
        kept = "finished shards are kept, --retry-failed goes on"
        if report.complete or job.num_tasks == 1:
            kept += f"; the list is in {job.out.rstrip('/')}/{report_name(report.source)}"
        raise SourceError(
            f"{report.num_failed} of {report.num_failed + report.converted} samples of {report.source} failed, "
            f"more than --max-failed {100 * job.max_failed:g} percent; {kept}; "
            f"first: {report.failures[0].message}"
        )
    if not report.complete and job.num_tasks == 1:
        missing = report.planned_shards - report.shards
        raise SourceError(
            f"{missing} of {report.planned_shards} shards could not be written: {report.notes[-1]}"
        )
