"""How many samples of each part of a mixture go into each batch, without a lottery.

`shares` turns weights, quotas and a cap into wanted (fractional) samples per batch; `Schedule` turns these into whole
numbers by error diffusion: every batch has the floor or the ceiling of each share, and the running totals stay within
one sample of the wanted ones. The schedule is periodic, so batch number s is looked up, not simulated.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8, Int64

from pvit_data.errors import ConfigError

PERIOD = 2048
"""Longest period: shares are kept to 1/2048 sample per batch where no shorter period has them exactly."""
LOOK_AHEAD = 64
MAX_RATIO = 1e15
"""Of two weights: beyond, their shares are no numbers any more."""
WAIT, MAY, MUST = 0, 1, 2  # ranks of a part in one batch


class Schedule:
    """Integer compositions of the batches of a mixture.

    Args:
        wanted: samples per batch of each part; they sum to the batch size.
    """

    def __init__(self, wanted: Sequence[float] | Float[np.ndarray, "g"]) -> None:
        shares = np.asarray(wanted, float)
        self.period = next((d for d in range(1, 129) if _integral(shares * d)), PERIOD)
        ticks = _round_to_sum(shares * self.period)
        self.base = ticks // self.period
        extras = _diffuse(ticks % self.period, self.period)
        self._before = np.concatenate([np.zeros((1, len(shares)), np.int64), np.cumsum(extras, 0)])

    def drawn_before(self, step: int) -> Int64[np.ndarray, "g"]:
        """Samples of each part in all batches before batch `step`."""
        rounds, phase = divmod(step, self.period)
        total: Int64[np.ndarray, "g"] = (
            self.base * step + rounds * self._before[-1] + self._before[phase]
        )
        return total

    def counts(self, step: int) -> Int64[np.ndarray, "g"]:
        """Samples of each part in batch `step`."""
        counts: Int64[np.ndarray, "g"] = self.drawn_before(step + 1) - self.drawn_before(step)
        return counts


def _integral(values: Float[np.ndarray, "g"]) -> bool:
    return bool(np.abs(values - np.round(values)).max() < 1e-9)


def _round_to_sum(values: Float[np.ndarray, "g"]) -> Int64[np.ndarray, "g"]:
    floor = np.floor(values + 1e-9).astype(np.int64)
    missing = round(float(values.sum())) - int(floor.sum())
    floor[np.argsort(floor - values, kind="stable")[:missing]] += 1
    return floor


def _diffuse(ticks: Int64[np.ndarray, "g"], period: int) -> Int64[np.ndarray, "p g"]:
    """Which parts get one more sample in each batch of a period, so that no running total is ever a sample off.

    Giving to whoever is furthest behind comes close, but can be more than one off with many parts. Looking ahead (the
    PF rule of Baruah et al., "Proportionate progress", 1996) never is: parts that must be served now go first, parts
    that are ahead wait, and the others go in the order of how soon they will have to be served.
    """
    places = int(ticks.sum()) // period
    out = np.zeros((period, len(ticks)), np.int64)
    if places == 0:
        return out
    at = np.arange(period + LOOK_AHEAD + 1)[:, None]
    drift = ticks * (at + 1) - (ticks * at // period + 1) * period
    need = np.sign(drift).astype(np.int8) + 1
    given = np.zeros(len(ticks), np.int64)
    for step in range(period):
        behind = ticks * step - given * period
        coming = need[step : step + 1 + LOOK_AHEAD].T
        ranks = [_rank(b, needs) for b, needs in zip(behind.tolist(), coming, strict=True)]
        chosen = sorted(range(len(ticks)), key=ranks.__getitem__, reverse=True)[:places]
        out[step, chosen] = 1
        given[chosen] += 1
    return out


def _rank(behind: int, needs: Int8[np.ndarray, "a"]) -> tuple[int, bytes]:
    """How urgent it is to give a part one more sample now: the larger, the sooner.

    Args:
        behind: how far the part is behind what it should have had by now; negative if it is ahead.
        needs: how it stands in this batch and in the next ones: 2 sooner, 1 in step, 0 later.
    """
    if behind > 0 and needs[0] > 0:
        return MUST, b""
    if behind < 0 and needs[0] < 2:
        return WAIT, b""
    return MAY, needs[1:].tobytes()


@dataclass(frozen=True)
class MixturePart:
    """One part of a mixture: rows of one source that supervise the same quota tasks.

    Args:
        name: the source's, for messages.
        weight: wanted share of the batch, relative to the other parts.
        downstream: whether it belongs to a downstream source.
        tasks: the quota tasks that each of its rows supervises.
    """

    name: str
    weight: float
    downstream: bool
    tasks: frozenset[str] = frozenset()


def shares(
    parts: Sequence[MixturePart], batch_size: int, quotas: Mapping[str, int], cap: float
) -> Float[np.ndarray, "g"]:
    """Wanted samples per batch of each part, summing to `batch_size`.

    The auxiliary parts together get at most `cap` times what the downstream parts get, in every batch. Quotas are met
    in every batch by a guaranteed whole number of samples of some parts; what is left follows the weights, and
    auxiliary quotas take from the downstream's share only where the auxiliary share does not suffice.

    Raises:
        ConfigError: if the quotas do not fit; the message has the arithmetic.
    """
    weight = np.array([p.weight for p in parts], float)
    if weight.max() > MAX_RATIO * weight.min():
        raise ConfigError(
            f"weights from {weight.min():g} to {weight.max():g}: one source would get nothing; drop it instead"
        )
    downstream = np.array([p.downstream for p in parts])
    for task, count in quotas.items():
        if count > batch_size:
            raise ConfigError(
                f"quota {task}={count}: a batch has {batch_size} samples; lower the quota, or raise batch_size"
            )
    minimum = _quota_minimum(parts, weight / weight.sum() * batch_size, quotas)
    reserved = _reserved(batch_size, cap, downstream)
    total = weight / weight.sum() * batch_size
    aux_most = batch_size - max(reserved, int(minimum[downstream].sum()))
    aux_least = int(minimum[~downstream].sum())
    if aux_least > aux_most:
        asked = ", ".join(f"{task} {count}" for task, count in quotas.items())
        raise ConfigError(
            f"the quotas ({asked}) need at least {aux_least} auxiliary samples per batch, but a batch of {batch_size} "
            f"has room for {aux_most}: cap {cap:g} and downstream quotas keep {batch_size - aux_most} places; "
            "lower the quotas, or raise batch_size or cap"
        )
    auxiliary = min(max(float(total[~downstream].sum()), aux_least), aux_most)
    wanted = np.zeros(len(parts))
    wanted[~downstream] = _fill(weight[~downstream], minimum[~downstream], auxiliary)
    wanted[downstream] = _fill(weight[downstream], minimum[downstream], batch_size - auxiliary)
    return wanted


def _reserved(batch_size: int, cap: float, downstream: Bool[np.ndarray, "g"]) -> int:
    """Places that the cap keeps for the downstream in every batch."""
    if not downstream.any():
        return 0
    return batch_size if downstream.all() else math.ceil(batch_size / (1 + cap) - 1e-9)


def _quota_minimum(
    parts: Sequence[MixturePart], ideal: Float[np.ndarray, "g"], quotas: Mapping[str, int]
) -> Int64[np.ndarray, "g"]:
    """Whole samples of each part that together meet the quotas: greedily the part that serves most open quotas."""
    own, minimum = ideal.tolist(), [0] * len(parts)
    open_ = {task: count for task, count in quotas.items() if count > 0}
    for task in open_:
        if not any(task in p.tasks for p in parts):
            raise ConfigError(
                f"quota {task}={open_[task]}: no source of the mixture supervises '{task}'; drop the quota"
            )
    while open_:
        serves = [len(p.tasks & open_.keys()) for p in parts]
        # Among equals, the part that is furthest below its own share, so that the mix bends least.
        most = [(minimum[g] - own[g], g) for g, n in enumerate(serves) if n == max(serves)]
        heapq.heapify(most)
        while min(open_.values()) > 0:
            best = most[0][1]
            minimum[best] += 1
            heapq.heapreplace(most, (minimum[best] - own[best], best))
            for task in parts[best].tasks & open_.keys():
                open_[task] -= 1
        open_ = {task: count for task, count in open_.items() if count > 0}
    return np.array(minimum, np.int64)


def _fill(
    weight: Float[np.ndarray, "g"], minimum: Int64[np.ndarray, "g"], total: float
) -> Float[np.ndarray, "g"]:
    """Shares proportional to the weights, but none below its minimum: max(minimum, level * weight) with sum `total`."""
    fixed = np.zeros(len(weight), bool)
    for _ in range(len(weight) + 1):
        free = ~fixed
        level = (total - minimum[fixed].sum()) / weight[free].sum() if free.any() else 0.0
        below = free & (level * weight < minimum)
        if not below.any():
            break
        fixed |= below
    return np.where(fixed, minimum, level * weight) if len(weight) else np.zeros(0)
