"""The results of a network on one source, beside those of a constant predictor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from pvit_data.scoring.metrics.classes import class_accuracies
from pvit_data.scoring.passport import finite
from pvit_model.tasks import get_task


@dataclass
class SourceReport:
    """Results on one source.

    Args:
        source, split: what was evaluated.
        clips: videos evaluated.
        metrics: value by metric, by target name.
        constant: the same of the constant predictor; empty where none was fitted.
        constant_clips: clips it was fitted on.
        classes: by target name: `names`, `accuracy` and `videos` of each class, and `confusion`, the rows (class,
            predicted class, videos) that are not 0.
        passport: what makes the result of actions, else of persons, comparable, see `pvit_data.scoring`; empty where
            nobody asked for it.
        further_passports: those of further labels, of Ego4D the one of PNR beside that of OSCC.
    """

    source: str
    split: str
    clips: int
    metrics: dict[str, dict[str, float]]
    constant: dict[str, dict[str, float]] = field(default_factory=dict)
    constant_clips: int = 0
    classes: dict[str, dict[str, Any]] = field(default_factory=dict)
    passport: dict[str, Any] = field(default_factory=dict)
    further_passports: list[dict[str, Any]] = field(default_factory=list)

    def ratios(self) -> dict[str, dict[str, float]]:
        """`metric / constant predictor's` for each metric where lower is better."""
        return {target: self._ratios(target) for target in self.metrics if target in self.constant}

    def _ratios(self, target: str) -> dict[str, float]:
        task, fixed = get_task(target), self.constant[target]
        return {
            name: beaten(value, fixed[name])
            for name, value in self.metrics[target].items()
            if task.is_lower_better(name)
        }

    def summary(self, target: str) -> str:
        """A target's result in words."""
        values = self.metrics[target]
        task = get_task(target)
        text = task.result_line(values)
        if target not in self.constant:
            return text
        text += f" (constant predictor {self.constant[target][task.main]:.4g}), loss {values['loss']:.4g}"
        times = self._ratios(target).get("loss", math.nan)
        return text + (
            f" = {times:.3f}x of the constant predictor's" if math.isfinite(times) else ""
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values; what was not measured is null."""
        tables = {"metrics": self.metrics, "constant": self.constant, "of_constant": self.ratios()}
        return {
            "source": self.source,
            "split": self.split,
            "clips": self.clips,
            "constant_clips": self.constant_clips,
            **{name: _finite(table) for name, table in tables.items()},
            "classes": finite(self.classes),
            "passport": self.passport,
            **({"further_passports": self.further_passports} if self.further_passports else {}),
        }


def by_class(table: Float[np.ndarray, "k k"], names: Sequence[str]) -> dict[str, Any]:
    """What a table of confusions says of each class."""
    rows, columns = np.nonzero(table)
    counts = table[rows, columns]
    pairs = zip(rows.tolist(), columns.tolist(), counts.tolist(), strict=True)
    return {
        "names": list(names),
        "accuracy": class_accuracies(table).tolist(),
        "videos": table.sum(axis=1).astype(int).tolist(),
        "confusion": [[row, column, int(count)] for row, column, count in pairs],
    }


def beaten(value: float, constant: float) -> float:
    """`value / constant`, "x of the constant predictor"; nan where either is missing or the constant is 0."""
    if not (math.isfinite(value) and math.isfinite(constant)) or constant == 0:
        return math.nan
    return value / constant


def _finite(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {
        t: {k: v if math.isfinite(v) else None for k, v in row.items()} for t, row in table.items()
    }
