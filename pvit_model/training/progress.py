"""What a run keeps between steps: progress, clocks, and the seeds that make every step reproducible on its own."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pvit_model.using.source_report import SourceReport


@dataclass
class TrainResult:
    """What a run came to.

    Args:
        steps: optimiser steps done.
        best_step: step of the best checkpoint.
        reports: the last validation, one per source.
        skipped: steps skipped for a non-finite loss or gradient.
    """

    steps: int
    best_step: int
    reports: list[SourceReport]
    skipped: int


@dataclass
class Progress:
    """What a run remembers between steps, and in its checkpoints.

    Args:
        step: optimiser steps done.
        best_step, best_value: the best validation so far.
        validated: step of the last validation.
        skipped: steps skipped in all.
        bad_in_a_row: steps skipped since the last good one.
    """

    step: int = 0
    best_step: int = 0
    best_value: float | None = None
    validated: int = 0
    skipped: int = 0
    bad_in_a_row: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """What `to_json` gave; what a newer version added is left out."""
        return cls(**{name: values[name] for name in values if name in cls.__dataclass_fields__})


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of everything random in one step on one rank: dropout, stochastic depth."""
    digest = hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_all(seed: int) -> None:
    """Seeds Python, numpy's legacy generator and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@dataclass
class Clock:
    """Where the time goes between two log lines.

    Args:
        wait: seconds spent waiting for data.
        samples: clips trained on, over all ranks.
        started: start of the interval.
    """

    wait: float = 0.0
    samples: int = 0
    started: float = field(default_factory=time.perf_counter)

    def rates(self) -> dict[str, float]:
        """`samples_per_s`, and `data_wait` as a share of the time."""
        span = max(time.perf_counter() - self.started, 1e-9)
        return {"samples_per_s": self.samples / span, "data_wait": min(1.0, self.wait / span)}
