"""The losses of a batch: each task's own loss on its packed targets, and their weighted total.

Losses come as sum and count (`LossSum`), so that ranks and accumulated micro-batches can add both before dividing: the
result does not depend on how a global batch is cut.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pvit_data.loading.batch import Targets
from pvit_data.tasks.table import is_by_box
from pvit_model.network.pvit import PViTOutput
from pvit_model.tasks import ACTION, LossOptions, LossSum, get_task


def task_losses(
    out: PViTOutput, targets: Mapping[str, Targets], options: LossOptions | None = None
) -> dict[str, LossSum]:
    """The loss of every prediction in `out.tasks` (and of the logits), by target name.

    A target without rows, or with nothing valid, gives exactly 0 with a connected graph. Values of invalid entries are
    never used; they may be NaN.

    Args:
        out: a model's output; with `rows`, those of `targets`.
        targets: packed targets by target name.
    """
    options = options or LossOptions()
    losses = {}
    for name, prediction in _by_target(out).items():
        found = targets.get(name)
        if found is None or not len(found.rows):
            nothing = torch.zeros((), dtype=torch.long, device=prediction.device)
            losses[name] = LossSum(prediction.float().sum() * 0, nothing)
            continue
        if not out.packed and not is_by_box(name):
            prediction = prediction[found.rows]
        losses[name] = get_task(name).loss(prediction, _cleaned(found), options.of(name))
    return losses


def _by_target(out: PViTOutput) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {} if ACTION in out.tasks else {ACTION: out.logits}
    for name, value in out.tasks.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{space}": maps for space, maps in value.items()}
        else:
            found[name] = value
    return found


def _cleaned(targets: Targets) -> Targets:
    """Zeros for invalid entries, so that whatever stands there cannot reach a gradient."""
    valid = targets.valid.reshape(
        targets.valid.shape + (1,) * (targets.value.ndim - targets.valid.ndim)
    )
    return Targets(targets.rows, torch.where(valid, targets.value, 0), targets.valid)


def default_weights(out: PViTOutput) -> dict[str, float]:
    """Each task's own weight (the paper's, supplement C), by target name."""
    return {name: get_task(name).weight for name in _by_target(out)}


def total_loss(losses: Mapping[str, LossSum], weights: Mapping[str, float]) -> Float[Tensor, ""]:
    """The weighted sum of the means, a scalar; a target without a weight counts once."""
    return torch.stack([weights.get(name, 1.0) * loss.mean for name, loss in losses.items()]).sum()


class UncertaintyWeights(nn.Module):
    """Learned weights (Kendall et al. 2018): each term becomes exp(-s) * weight * loss + s, with s learned from 0.

    Args:
        names: target names; s of a target that a batch lacks is left alone.

    Attributes:
        log_variance: s of each, float32.
    """

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = list(names)
        self.log_variance = nn.Parameter(torch.zeros(len(self.names)))

    def forward(
        self, losses: Mapping[str, LossSum], weights: Mapping[str, float]
    ) -> Float[Tensor, ""]:
        """The total, a scalar."""
        terms = [
            self.term(name, weights.get(name, 1.0) * loss.mean, (loss.count > 0).float())
            for name, loss in losses.items()
        ]
        return torch.stack(terms).sum()

    def term(
        self, name: str, loss: Float[Tensor, ""], share: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """One target's term, a scalar.

        Args:
            loss: weighted; of a part of the batch it may be that part's share of the whole batch's mean.
            share: how much of s counts: 0 for a target without labels, the part of the batch that is at hand else.
        """
        s = self.log_variance[self.names.index(name)]
        return torch.exp(-s) * loss + s * share

    def factors(self) -> dict[str, float]:
        """exp(-s) by target name: what its weight is multiplied with."""
        return dict(zip(self.names, torch.exp(-self.log_variance).tolist(), strict=True))
