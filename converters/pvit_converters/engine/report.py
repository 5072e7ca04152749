"""What a conversion did: counts, skipped samples per reason, warnings; as JSON for machines and text for people.

Everything comes from the receipts and the plan, so the report of a resumed conversion or a job array is that of all of
it, and has the same bytes however it was made.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from pvit_converters.engine.plan import Plan
from pvit_converters.raw.reencoding import REENCODED
from pvit_data.format.receipts import Receipt
from pvit_data.storage.files import utf8
from pvit_data.storage.storage import Storage
from pvit_data.words import counted, size_text

MAX_EXAMPLES = 10


class Failure(BaseModel):
    """A sample that could not be converted."""

    key: str
    reason: str
    message: str


class Report(BaseModel):
    """The numbers of a conversion.

    Args:
        source: its name.
        complete: whether every planned shard is finished.
        planned: samples in the plan.
        converted: samples in finished shards, and by split.
        failed: samples of finished shards that could not be read, by reason.
        unwanted: samples that the options left out after a look at their data, by reason.
        absent: listed samples that are not there, by reason; no failures.
        warnings: samples with a warning, by warning.
        shards, planned_shards, bytes: finished shards, shards in the plan, bytes of the finished ones.
        failures: every failed sample.
        notes: what else a user should know.
        reencoded: videos and stills that were encoded anew from files: `samples`, and their bytes `before` and `after`.
    """

    source: str
    complete: bool
    planned: int
    converted: int
    splits: dict[str, int]
    failed: dict[str, int]
    unwanted: dict[str, int]
    absent: dict[str, int]
    warnings: dict[str, int]
    shards: int
    planned_shards: int
    bytes: int
    failures: list[Failure]
    notes: list[str]
    reencoded: dict[str, int] = {}

    @property
    def num_failed(self) -> int:
        """Failed samples."""
        return sum(self.failed.values())

    @property
    def failed_fraction(self) -> float:
        """Failed samples among those that were tried."""
        return self.num_failed / max(1, self.num_failed + self.converted)


def make_report(plan: Plan, receipts: Iterable[Receipt], notes: Iterable[str] = ()) -> Report:
    """Sums up the receipts of a plan's finished shards, one after the other; none is kept."""
    shards = size = 0
    splits, unwanted, warnings = Counter[str](), Counter[str](), Counter[str]()
    reencoded = Counter[str]()
    failures: list[Failure] = []
    for receipt in receipts:
        shards += 1
        size += receipt.bytes
        splits[receipt.split] += receipt.samples
        unwanted.update(receipt.extra.get("unwanted", {}))
        warnings.update(receipt.extra.get("warnings", {}))
        reencoded.update(receipt.extra.get(REENCODED, {}))
        failures += [
            Failure(key=s.key, reason=s.reason, message=s.message) for s in receipt.skipped
        ]
    planned = dict.fromkeys(shard.split for shard in plan.shards)
    return Report(
        source=plan.identity["source"],
        complete=shards == len(plan.shards),
        planned=plan.num_samples,
        converted=splits.total(),
        splits={split: splits[split] for split in planned if split in splits},
        failed=_sorted(Counter(f.reason for f in failures)),
        unwanted=_sorted(unwanted),
        absent=plan.absent,
        warnings=_sorted(warnings),
        shards=shards,
        planned_shards=len(plan.shards),
        bytes=size,
        failures=sorted(failures, key=lambda f: f.key),
        notes=[*plan.notes, *notes],
        reencoded=dict(sorted(reencoded.items())),
    )


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def report_name(source: str) -> str:
    """Where a source's report lies in the dataset."""
    return f"{source}/report.json"


def save(report: Report, storage: Storage) -> None:
    """Stores the report."""
    values = json.dumps(report.model_dump(mode="json"), indent=2, ensure_ascii=False)
    storage.write(report_name(report.source), utf8(values + "\n"))


def as_text(report: Report) -> str:
    """The summary that ends a conversion: one fact per line."""
    splits = ", ".join(f"{n:,} {split}" for split, n in report.splits.items()) or "none"
    state = (
        ""
        if report.complete
        else f" (unfinished: {report.shards} of {report.planned_shards} shards)"
    )
    lines = [
        f"{report.source}: {counted(report.converted, 'sample')} converted ({splits}), {size_text(report.bytes)}{state}"
    ]
    for title, counts in (
        ("failed", report.failed),
        ("left out", report.unwanted),
        ("not present", report.absent),
        ("warning", report.warnings),
    ):
        lines += [f"  {title}: {n:,} x {reason}" for reason, n in counts.items()]
    lines += _saved(report.reencoded)
    lines += [f"  {f.reason}: {f.key}: {f.message}" for f in _examples(report.failures)]
    if (more := len(report.failures) - MAX_EXAMPLES) > 0:
        lines.append(f"  ... and {more} more in {report_name(report.source)}")
    if report.failed:
        lines.append("  --retry-failed tries these again, once their files are mended")
    lines += [f"  note: {note}" for note in report.notes]
    return "\n".join(lines)


def _examples(failures: Iterable[Failure]) -> list[Failure]:
    """The few that are shown: one of each reason, then of each file, before a second one of either."""
    of_reason, of_file = Counter[str](), Counter[tuple[str, str]]()
    ranked = []
    for failure in failures:
        file = failure.reason, failure.message.partition(": ")[0]
        ranked.append((of_file[file], of_reason[failure.reason], failure))
        of_file[file] += 1
        of_reason[failure.reason] += 1
    return [failure for *_, failure in sorted(ranked, key=lambda rank: rank[:2])[:MAX_EXAMPLES]]


def _saved(counts: dict[str, int]) -> list[str]:
    """What was saved by encoding anew."""
    if not counts:
        return []
    before, after = counts["before"], counts["after"]
    return [
        f"  re-encoded: {counts['samples']:,} samples, {size_text(before)} became {size_text(after)} "
        f"({100 * after / before:.0f} %)"
    ]


def to_json(report: Report, **more: Any) -> dict[str, Any]:
    """The report as JSON values, with further entries of the caller."""
    return report.model_dump(mode="json") | more
