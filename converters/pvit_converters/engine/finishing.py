"""Finishing a dataset whose shards were written by several jobs: the same manifest as one run would have built."""

from __future__ import annotations

from pvit_converters.engine.place import remove_leftovers, remove_tables
from pvit_converters.engine.plan_file import load_plan, plan_name
from pvit_converters.engine.report import Report, make_report, save
from pvit_converters.engine.run import finished_shards
from pvit_data.errors import SourceError, UsageError
from pvit_data.format.names import LAYERS, split_folder
from pvit_data.format.receipts import receipts_in
from pvit_data.storage.storage import Storage
from pvit_data.writing import finish


def finish_dataset(out: str, *, partial: bool = False) -> list[Report]:
    """Builds manifest, index and card from receipts, and the report of each source that has a plan.

    Args:
        out: folder or URL of the dataset.
        partial: accept that planned shards are missing.

    Raises:
        UsageError: if there is nothing to finish.
        SourceError: if planned shards are missing.
    """
    storage = Storage(out)
    plans = (plan_name(folder) for folder in ("*", f"{LAYERS}/*"))
    sources = [split_folder(name)[0] for plan in plans for name in storage.list(plan)]
    written = {split_folder(name)[0] for name in receipts_in(storage.listing())}
    if not sources and not written:
        raise UsageError(f"{out}: no conversion to finish there")
    reports = []
    for source in sources:
        plan = load_plan(source, storage)
        assert plan is not None
        report = make_report(plan, finished_shards(plan, storage))
        if not report.complete and not partial:
            there = {(r.split, r.number) for r in finished_shards(plan, storage)}
            missing = next(s.name for s in plan.shards if (s.split, s.number) not in there)
            raise SourceError(
                f"{out}: {report.planned_shards - report.shards} of {report.planned_shards} shards of '{source}' are "
                f"missing, first {missing}; run the conversion again, or pass --partial"
            )
        remove_leftovers(storage, source)
        remove_tables(storage, source)
        reports.append(report)
    if all(folder.startswith(f"{LAYERS}/") for folder in written):  # over a base without receipts
        finish.write_layers(storage, written)
    else:
        finish.write_manifest(out)
    for report in reports:
        save(report, storage)
    return reports
