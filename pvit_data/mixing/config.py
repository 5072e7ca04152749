"""`MixtureConfig`: how a batch is made up of sources, as a section of a recipe, and the mixture it describes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from pvit_data.errors import UsageError
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.sources import MixtureSource, Role
from pvit_data.reading.layers.places import FoundSource
from pvit_data.words import plain_url


class MixtureConfig(BaseModel):
    """How a global batch is made up of the sources."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    batch_size: int = Field(
        default=128,
        ge=1,
        le=1 << 20,
        description="clips per optimiser step, over all ranks and accumulation steps",
    )
    portion: float = Field(
        default=1.0, ge=0, description="scales the auxiliary share of a batch; 0: none of it"
    )
    weights: dict[str, float] = Field(
        default_factory=dict,
        description="share of a batch by source; default: 1 for the downstream, 1 for all others together by size",
    )
    quotas: dict[str, int] = Field(
        default_factory=dict,
        description="least number of clips per batch that carry a task, e.g. {depth: 4}",
    )
    cap: float = Field(
        default=3.0, gt=0, description="at most this many auxiliary clips per downstream clip"
    )
    nodes: int = Field(
        default=1,
        ge=1,
        description="canonical nodes, which read different pieces of the shards: the number of machines, or a "
        "multiple of it; part of the order, so it stays when machines come and go",
    )
    repeats: int = Field(
        default=1,
        ge=1,
        le=64,
        description="clips of each downstream sample in a pass, each cut and coloured anew (repeated augmentation); "
        "an epoch takes as many times the steps",
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        description="alpha of mixup between the downstream's clips of a batch, e.g. 0.8; 0: off",
    )
    cutmix: float = Field(
        default=0.0,
        ge=0,
        description="alpha of cutmix between the downstream's clips of a batch, e.g. 1.0; 0: off",
    )


def build_mixture(
    found: Mapping[str, FoundSource],
    config: MixtureConfig,
    downstream: str = "",
    *,
    split: str = "train",
    where: Mapping[str, str] | None = None,
    tasks: Mapping[str, Iterable[str]] | None = None,
    seed: int = 0,
) -> Mixture:
    """Opens sources and mixes them, the downstream source first, the others by name.

    Args:
        found: the sources by name, as `find_sources` gives them.
        downstream: the source whose action labels are trained; the others are auxiliary. "": all are.
        split: which split of each source.
        where: index filter by source.
        tasks, seed: as in `Mixture`.

    Raises:
        UsageError: if a source has no sample in the split that passes its filter.
        ConfigError: as `Mixture`.
    """
    names = [downstream] if downstream else []
    if config.portion > 0:
        names += sorted(set(found) - {downstream})
    sources = []
    for name in names:
        passing = (where or {}).get(name, "")
        ds = found[name].split(split, passing)
        if ds is None:
            filtered = f" that pass the filter {passing!r}" if passing else ""
            kind = "training" if split == "train" else split
            raise UsageError(
                f"source '{name}' in '{plain_url(found[name].url)}' has no {kind} samples{filtered}"
            )
        role: Role = "downstream" if name == downstream else "auxiliary"
        sources.append(MixtureSource(ds, role, config.weights.get(name)))
    return Mixture(
        sources, config.batch_size, seed, config.quotas, config.cap,
        portion=config.portion or 1.0, tasks=tasks, nodes=config.nodes,
        repeats=config.repeats,
    )  # fmt: skip
