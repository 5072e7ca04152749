"""The accelerate engine: devices, precision and process group, with time limits; and its tidy end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import torch

from pvit_data.errors import ConfigError
from pvit_model.train.config import RunConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def make_accelerator(run: RunConfig) -> Accelerator:
    """An engine for this process; one of several where torchrun started it.

    Raises:
        ConfigError: for fp16 without an accelerator.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

    if run.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("run.precision = 'fp16' needs an accelerator; use bf16 or fp32 on a CPU")
    if run.deterministic:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    return Accelerator(
        mixed_precision=PRECISIONS[run.precision],
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(seconds=run.timeout_s)),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
        ],
    )


def release(accelerator: Accelerator) -> None:
    """Ends the process group and lets a later run in the same process choose its own settings."""
    from accelerate.state import AcceleratorState

    accelerator.end_training()
    accelerator.free_memory()
    AcceleratorState._reset_state(reset_partial_state=True)
