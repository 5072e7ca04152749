"""Whether two numbers may be compared: only where metric, variant, list, views and classes are the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvit_data.errors import FormatError, UsageError
from pvit_data.scoring.passport import VERSION
from pvit_data.storage.values import read_json
from pvit_data.words import short, shown

MUST = {
    "metric": ("metric",),
    "protocol": ("protocol",),
    "variant": ("variant",),
    "list": ("list", "sha256"),
    "truth": ("truth",),
    "N": ("list", "n"),
    "frames": ("views", "frames"),
    "clips": ("views", "clips"),
    "crops": ("views", "crops"),
    "views": ("views", "number"),
    "whole frames": ("views", "whole"),
    "number of classes": ("classes", "number"),
    "classes": ("classes", "sha256"),
}
"""What must be equal, and where it stands in a result."""
OF_BOXES = {
    "detections": ("detections", "sha256"),
    "threshold of the detections": ("detections", "threshold"),
    "excluded seconds": ("files", "excluded", "seconds"),
}
MAY = {
    "predictions": ("files", "predictions", "sha256"),
    "model": ("model",),
    "software": ("software",),
}
"""What may differ and is listed."""
SECONDS = "pnr_error_sec"
NUMBERS = ("top1", "top5", "mean_class_accuracy", "mAP", SECONDS, "oscc_top1")
RANKED = ("details", "mAP_ranked")
"""Where AVA's mAP stands that does not depend on the order of the rows."""


@dataclass(frozen=True)
class Comparison:
    """Two results side by side.

    Args:
        numbers: both values by name.
        differs: what must be equal and is not, with both values.
        unknown: what must be equal and neither result knows, or, of names of classes, one of them.
        other: what may differ and does.
        findings: what the doctor found in each of them, in sentences; a number with a finding is doubtful.
    """

    numbers: dict[str, tuple[float | None, float | None]]
    differs: dict[str, tuple[Any, Any]]
    unknown: tuple[str, ...]
    other: dict[str, tuple[Any, Any]]
    findings: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    @property
    def comparable(self) -> bool:
        """Whether nothing that must be equal is known to differ."""
        return not self.differs

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "comparable": self.comparable,
            "numbers": {name: list(pair) for name, pair in self.numbers.items()},
            "differs": {name: list(pair) for name, pair in self.differs.items()},
            "unknown": list(self.unknown),
            "other": {name: list(pair) for name, pair in self.other.items()},
            "findings": [list(said) for said in self.findings],
        }


def read_results(path: Path) -> list[dict[str, Any]]:
    """The result of `pvit score --json`; those of `pvit eval --json` on its only source with a passport, one per label.

    Raises:
        UsageError: if it cannot be read, or has results of several sources.
        FormatError: if it is something else.
    """
    try:
        values = read_json(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if isinstance(values, dict) and isinstance(values.get("reports"), list):
        found = [r for r in values["reports"] if isinstance(r, dict) and r.get("passport")]
        if len(found) != 1:
            raise UsageError(
                f"{path}: holds {len(found)} results with a passport, expected one; evaluate one --source"
            )
        further = found[0].get("further_passports")
        listed = [found[0]["passport"], *(further if isinstance(further, list) else [])]
        return [_checked(each, path) for each in listed]
    return [_checked(values, path)]


def same_metric(
    a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the results of two files the first ones of one metric, else the first ones."""
    pairs = ((x, y) for x in a for y in b if x["metric"] == y["metric"])
    return next(pairs, (a[0], b[0]))


def _checked(values: Any, path: Path) -> dict[str, Any]:
    """A result with numbers where numbers are expected."""
    if not isinstance(values, dict) or values.get("passport") != VERSION or "metric" not in values:
        raise FormatError(
            f"{path}: is no result of `pvit score --json` (passport version {VERSION})"
        )
    for name in NUMBERS:
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise FormatError(f"{path}: {name} is {short(value, 40)}, expected a number")
        most = math.inf if name == SECONDS else 1
        if value is not None and not (0 <= value <= most and math.isfinite(value)):
            unit = "seconds" if name == SECONDS else "a fraction, from 0 to 1"
            raise FormatError(f"{path}: {name} is {value:g}, expected {unit}")
    if not isinstance(_at(values, MUST["list"]), str | None):
        raise FormatError(f"{path}: the sha256 of its list is no text")
    return values


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> Comparison:
    """Compares two results.

    Args:
        a, b: as `read_results` gives them.
    """
    both = "ava" in (a.get("metric"), b.get("metric"))
    must = MUST | (OF_BOXES if both else {})
    pairs = {name: (_at(a, place), _at(b, place)) for name, place in must.items()}
    if both:  # it is always known which seconds are left out
        first, second = pairs["excluded seconds"]
        pairs["excluded seconds"] = (first or "none", second or "none")
    if None in pairs["truth"] or len({*pairs["list"]}) > 1:  # older results; of other videos
        del pairs["truth"]
    optional = {"classes", "excluded seconds", "whole frames"}  # may be absent on both sides
    unknown = [n for n, pair in pairs.items() if pair == (None, None) and n not in optional]
    if None in pairs["classes"] and pairs["classes"] != (None, None):
        # A list of numbers knows no names; that its labels are the same the truth says.
        unknown.append("classes")
        del pairs["classes"]
    numbers = {n: (a.get(n), b.get(n)) for n in NUMBERS if n in a or n in b}
    ranked = _at(a, RANKED), _at(b, RANKED)
    if both and None not in ranked and ranked != numbers.get("mAP"):
        numbers["mAP, rows by score"] = ranked
    return Comparison(
        numbers=numbers,
        differs={name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
        unknown=tuple(unknown),
        other={
            name: pair
            for name, place in MAY.items()
            if (pair := (_at(a, place), _at(b, place))) and pair[0] != pair[1]
        },
        findings=(_findings(a), _findings(b)),
    )


def _findings(result: Mapping[str, Any]) -> tuple[str, ...]:
    told = result.get("findings")
    rows = [row for row in told if isinstance(row, Mapping)] if isinstance(told, list) else []
    return tuple(
        shown(f"{row.get('name')}: {row.get('seen')}")[:300]
        for row in rows
        if row.get("is_finding")
    )


def _at(values: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values
