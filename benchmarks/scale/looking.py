"""Statistics, the gallery, validation, and the curves of long logs."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

from benchmarks.scale.data import dataset
from benchmarks.scale.measure import Figures, clocked, measure, memory_mb, peak_mb


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
