"""`Options`: how batches are read and handed out; what is in them is the mixture's and the clip's business."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pvit_data.loading.threads import threads

if TYPE_CHECKING:
    import torch

CONCURRENCY = 32
"""Requests at once to where a data set lies, by each process that builds batches."""
OnCorrupt = Literal["raise", "skip"]
StartMethod = Literal["fork", "spawn", "forkserver"]
START_METHOD: StartMethod = "fork" if sys.platform == "linux" else "spawn"
"""How worker processes begin, whatever this Python's own default is. Forked ones are there at once and share what is
loaded; elsewhere the system's libraries do not survive a fork."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """See `pvit_data.loader` for each."""

    rank: int = 0
    world_size: int = 1
    on_corrupt: OnCorrupt = "raise"
    max_corrupt: float = 0.01
    workers: int = 0
    prefetch: int = 2
    concurrency: int = CONCURRENCY
    pin_memory: bool = False
    timeout: float = 120.0
    device: torch.device | str | None = None
    start_method: StartMethod = START_METHOD

    @property
    def threads(self) -> int:
        """That read clips: one in each worker process, or those of this one."""
        return 1 if self.workers else threads(self.concurrency)
