"""Mixup and cutmix between the labelled clips of a global batch: a pure function of (seed, step), whatever the ranks.

Each clip with a label takes in the one after it, and the last one the first; over ranks, a rank's last clip takes in
the first one of the next rank that has any. Clips of other sources, and their annotations, stay as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pvit_data.loading.batch import Batch
from pvit_data.mixing.config import MixtureConfig
from pvit_data.mixing.order import seeded
from pvit_model.ranks import all_gather_rows, own_rank
from pvit_model.recipes.plan import Plan
from pvit_model.tasks import ACTION, get_task


@dataclass(frozen=True)
class Share:
    """How much of each clip stays its own.

    Args:
        own: in [0, 1].
        box: top, left, bottom and right of what is cut in from the other clip, in shares of the picture; None: the
            pictures are averaged.
    """

    own: float
    box: tuple[float, float, float, float] | None = None


def draw_share(config: MixtureConfig, seed: int, step: int) -> Share:
    """The draw of one step; of mixup and cutmix, where both are on, each in half of the steps."""
    rng = seeded(seed, "mix", step)
    is_cut = config.cutmix > 0 and (config.mixup == 0 or rng.random() < 0.5)
    alpha = config.cutmix if is_cut else config.mixup
    own = float(rng.beta(alpha, alpha))
    if not is_cut:
        return Share(own)
    half = math.sqrt(1 - own) / 2
    y, x = rng.random(2).tolist()
    return Share(own, (max(y - half, 0), max(x - half, 0), min(y + half, 1), min(x + half, 1)))


class ClipMixer:
    """Mixes the clips that carry a target.

    Args:
        config: how strongly.
        seed: of the run.
        target: name of the target, whose task can be mixed.
        num_ids: classes of it.
    """

    def __init__(self, config: MixtureConfig, seed: int, target: str, num_ids: int) -> None:
        self.config, self.seed, self.target, self.num_ids = config, seed, target, num_ids

    def __call__(self, batch: Batch) -> Batch:
        """This rank's part of a global batch, mixed; every rank must ask."""
        given = batch.targets[self.target]
        share = draw_share(self.config, self.seed, batch.step)
        clips = batch.video[given.rows]
        labels = get_task(self.target).as_weights(given.value, self.num_ids)
        own, mixed = mix_pictures(clips, followers(clips), share)
        video = batch.video.clone()
        video[given.rows] = mixed
        weights = own * labels + (1 - own) * followers(labels)
        targets = {**batch.targets, self.target: replace(given, value=weights)}
        return replace(batch, video=video, targets=targets)


def mixer_of(plan: Plan) -> ClipMixer | None:
    """What mixes the clips of a run; None where nothing does."""
    mixture = plan.config.mixture
    if plan.action is None or not (mixture.mixup or mixture.cutmix):
        return None
    return ClipMixer(mixture, plan.config.run.seed, ACTION, plan.action.num_ids)


def followers(rows: Shaped[Tensor, "r ..."]) -> Shaped[Tensor, "r ..."]:
    """For each row the one after it, over all ranks; for the last one the first."""
    rank, size = own_rank()
    first = rows[:1]
    if size > 1:
        firsts = all_gather_rows(first)
        owners = all_gather_rows(torch.full((len(first),), rank, device=rows.device)).tolist()
        place = next((i for i, owner in enumerate(owners) if owner > rank), 0)
        first = firsts[place : place + 1]
    return torch.cat([rows[1:], first])[: len(rows)]


def mix_pictures(
    clips: Float[Tensor, "r 3 t h w"], others: Float[Tensor, "r 3 t h w"], share: Share
) -> tuple[float, Float[Tensor, "r 3 t h w"]]:
    """The share of each clip that stays its own, to the pixel, and the mixed clips."""
    if share.box is None:
        return share.own, share.own * clips + (1 - share.own) * others
    height, width = clips.shape[-2:]
    sides = (height, width, height, width)
    top, left, bottom, right = (round(s * n) for s, n in zip(share.box, sides, strict=True))
    mixed = clips.clone()
    mixed[..., top:bottom, left:right] = others[..., top:bottom, left:right]
    return 1 - (bottom - top) * (right - left) / (height * width), mixed
