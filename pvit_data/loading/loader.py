"""`loader` and `eval_loader`: batches from a mixture or a dataset, on plain `torch.utils.data.DataLoader`.

    for batch in pvit_data.loader(mixture, workers=2):
        loss = step(batch.video, batch.targets)

A worker that is asked for step s builds that whole batch from (seed, s) alone. So neither the number of workers nor of
ranks changes any sample, and resuming needs nothing but the step number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import ConfigError
from pvit_data.loading.build import EvaluationBatches, TrainingBatches
from pvit_data.loading.options import (
    CONCURRENCY,
    START_METHOD,
    OnCorrupt,
    Options,
    StartMethod,
)
from pvit_data.loading.run import Endless, Loader
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.sources import SampleSet

if TYPE_CHECKING:
    import torch


def loader(
    mixture: Mixture,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    start_step: int = 0,
    num_steps: int | None = None,
    clip: ClipConfig | None = None,
    *,
    on_corrupt: OnCorrupt = "raise",
    max_corrupt: float = 0.01,
    prefetch: int = 2,
    concurrency: int = CONCURRENCY,
    pin_memory: bool = False,
    timeout: float = 120.0,
    device: torch.device | str | None = None,
    start_method: StartMethod = START_METHOD,
) -> Loader:
    """Training batches from `start_step` on: this rank's slice of each global batch of the mixture.

    Args:
        mixture: what to load.
        workers: worker processes; 0 reads in the calling process. The batches do not depend on it.
        rank, world_size: which equal slice of each global batch to yield.
        start_step: number of the first global batch; resuming is passing the step to go on with.
        num_steps: how many batches; default: without end.
        clip: what a clip is; default the paper's.
        on_corrupt: `"skip"` replaces a sample that cannot be read by another one of its kind (the same one in every
            run) and counts it in `Loader.skipped`; loading stops with an error when more than `max_corrupt` of the
            samples (of at least 1000) or 100 in a row were skipped.
        prefetch: batches prepared ahead by each worker.
        concurrency: of samples behind URLs so many are fetched at once in each process that builds batches, those of
            the next ones while one is decoded; 0: each when it is read, one after the other.
        pin_memory: hand out page-locked batches, for copies to a GPU that overlap.
        timeout: seconds after which a silent worker is reported; only with workers.
        device: move batches there; pixels travel as bytes and are normalised on arrival.
        start_method: how workers begin: `"fork"`, `"spawn"` or `"forkserver"`. The batches do not depend on it.

    Raises:
        UsageError: if a task is unknown.
        ConfigError: if the batch cannot be cut into `world_size` equal slices.
    """
    if not 0 <= rank < world_size or mixture.batch_size % world_size:
        raise ConfigError(
            f"batch_size {mixture.batch_size}, rank {rank} of {world_size}: expected a multiple of the number of ranks"
        )
    config = clip or ClipConfig()
    steps = Endless(start_step) if num_steps is None else range(start_step, start_step + num_steps)
    options = Options(
        rank=rank, world_size=world_size, on_corrupt=on_corrupt, max_corrupt=max_corrupt,
        workers=workers, prefetch=prefetch, concurrency=concurrency, pin_memory=pin_memory, timeout=timeout,
        device=device, start_method=start_method,
    )  # fmt: skip
    return Loader(TrainingBatches(mixture, config, options), steps, config, options)


def eval_loader(
    ds: SampleSet,
    clip: ClipConfig | None = None,
    batch_size: int = 8,
    tasks: Iterable[str] | None = None,
    views: tuple[int, int] = (1, 1),
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    *,
    whole: int = 0,
    on_corrupt: OnCorrupt = "raise",
    max_corrupt: float = 0.01,
    prefetch: int = 2,
    concurrency: int = CONCURRENCY,
    pin_memory: bool = False,
    timeout: float = 120.0,
    device: torch.device | str | None = None,
    start_method: StartMethod = START_METHOD,
) -> Loader:
    """Every sample of a dataset once per view, in order, with nothing random.

    The views of a sample are consecutive rows with the same key, in one batch where that takes them all; its frames are
    decoded once for them. Ranks get every `world_size`-th sample. Whole frames come by their shape, so that the clips
    of a batch have one.

    Args:
        ds: the samples; those without rgb are left out.
        batch_size: at most so many rows (sample views) of a batch.
        tasks: tasks to build targets for; default: those of each source (`ClipConfig.tasks`, else its `SourceSpec`),
            and the action of the source that `clip.downstream` names (of every source where it names none).
        views: (temporal, spatial) views per sample; (1, 3) is the protocol of SSv2.
        whole: show frames without a crop, their short side as long as a clip is high, sides multiples of `whole`; for
            labels of clips and persons, since maps have one size. 0: crops.
        on_corrupt: `"skip"` leaves out each sample that cannot be read, and counts it.
    """
    config = clip or ClipConfig()
    options = Options(
        rank=rank, world_size=world_size, on_corrupt=on_corrupt, max_corrupt=max_corrupt,
        workers=workers, prefetch=prefetch, concurrency=concurrency, pin_memory=pin_memory, timeout=timeout,
        device=device, start_method=start_method,
    )  # fmt: skip
    builder = EvaluationBatches(ds, config, batch_size, tasks, views, options, whole)
    return Loader(builder, range(len(builder)), config, options)
