"""One optimiser step over a rank's part of a global batch: micro-batches, global counts, non-finite policy.

A task's loss is its sum over all supervised items of the *global* batch divided by their number, so a step gives the
same gradient for any number of ranks and of micro-batches. Counts come from the targets, before any forward pass.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pvit_data.loading.batch import Batch, Targets
from pvit_model.network.total_loss import UncertaintyWeights, task_losses
from pvit_model.ranks import all_reduce, whole
from pvit_model.tasks import LossOptions, rois_of

if TYPE_CHECKING:
    from accelerate import Accelerator


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """A batch cut into `parts` consecutive micro-batches whose sizes differ by one at most; targets move along."""
    if parts == 1:
        return [batch]
    edges = [len(batch.keys) * i // parts for i in range(parts + 1)]
    return [_cut(batch, a, b) for a, b in itertools.pairwise(edges)]


def _cut(batch: Batch, a: int, b: int) -> Batch:
    targets = {}
    for name, t in batch.targets.items():
        first, last = torch.searchsorted(
            t.rows, t.rows.new_tensor([a, b])
        ).tolist()  # rows ascend: slices, no copies
        targets[name] = Targets(t.rows[first:last] - a, t.value[first:last], t.valid[first:last])
    return replace(
        batch,
        keys=batch.keys[a:b],
        sources=batch.sources[a:b],
        video=batch.video[a:b],
        targets=targets,
    )


def count_targets(targets: Mapping[str, Targets]) -> dict[str, Tensor]:
    """Number of supervised items (pixels, joints, boxes, rows) per target name, float64 scalars."""
    return {name: t.valid.sum(dtype=torch.float64) for name, t in targets.items()}


@dataclass(frozen=True)
class StepResult:
    """What one step did.

    Args:
        losses: global mean loss per target name (unweighted); absent where nothing was supervised.
        counts: supervised items per target name, over all ranks.
        total: the weighted loss that was minimised, without learned factors.
        grad_norm: norm of the whole gradient before clipping; nan where the step was skipped for its loss.
        skipped: whether the weights stayed as they were.
        nonfinite: target names whose loss was not finite on some rank (`"gradient"` if only the gradient was).
        stop: whether any rank was asked to stop.
    """

    losses: dict[str, float]
    counts: dict[str, float]
    total: float
    grad_norm: float
    skipped: bool
    nonfinite: tuple[str, ...]
    stop: bool


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """How a step is carried out.

    Args:
        weights: weight of each target's loss, in a fixed order, the same on every rank; 0 leaves it out.
        losses: options of the loss functions.
        accumulate: micro-batches per step.
        clip_norm: largest gradient norm, or None.
        balance: learned factors on the weights, whose parameter is among the optimiser's; None: there are none.
    """

    weights: Mapping[str, float]
    losses: LossOptions | None = None
    accumulate: int = 1
    clip_norm: float | None = None
    balance: UncertaintyWeights | None = None


class Stepper:
    """Carries out optimiser steps.

    Args:
        model: the (wrapped) network.
        optimizer: over its parameters.
        accelerator: gives device, precision and gradient synchronisation.
        options: weights of the losses, accumulation, clipping.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        accelerator: Accelerator,
        options: StepOptions,
    ) -> None:
        self.model, self.optimizer, self.accelerator = model, optimizer, accelerator
        self.options, self.balance = options, options.balance
        self.weights = {t: weight for t, weight in options.weights.items() if weight != 0.0}
        self.names = list(self.weights)
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def step(self, batch: Batch, stop: bool = False) -> StepResult:
        """One step on this rank's part of a global batch.

        Args:
            batch: on the accelerator's device.
            stop: whether this rank was asked to stop; every rank learns of it.
        """
        self.optimizer.zero_grad(set_to_none=True)
        counts = self._global_counts(batch)
        sums = torch.zeros(len(self.names), dtype=torch.float64, device=batch.video.device)
        parts = split_batch(batch, self.options.accumulate)
        for i, part in enumerate(parts):
            sync = i == len(parts) - 1
            with contextlib.nullcontext() if sync else self.accelerator.no_sync(self.model):
                sums += self._backward(part, counts)
        return self._finish(sums, counts, stop)

    def _global_counts(self, batch: Batch) -> Tensor:
        local = count_targets(batch.targets)
        zero = torch.zeros((), dtype=torch.float64, device=batch.video.device)
        return all_reduce(torch.stack([local.get(name, zero) for name in self.names]))

    def _backward(self, part: Batch, counts: Tensor) -> Tensor:
        """Adds one micro-batch's gradient; returns its loss sums."""
        targets = {n: part.targets[n] for n in self.names if n in part.targets}
        with self.accelerator.autocast():
            rows = {n: t.rows for n, t in targets.items()}
            out = self.model(part.video, rows=rows, rois=rois_of(targets))
            losses = task_losses(out, targets, self.options.losses)
        # Ranks are averaged by the gradient synchronisation; the factor turns that mean back into a sum.
        factor = self.accelerator.num_processes
        total = torch.zeros((), device=part.video.device)
        sums = torch.zeros_like(counts)
        for name, loss in losses.items():
            # A target that is not trained adds exactly 0: its parameters must stay in the graph.
            if name not in self.weights:
                total = total + loss.sum * 0
                continue
            # The share stays on the device: nobody waits for the forward pass.
            i = self.names.index(name)
            term = loss.sum * (self.weights[name] * factor / counts[i].clamp_min(1)).float()
            if self.balance is not None:
                share = (counts[i] > 0).float() / self.options.accumulate
                term = self.balance.term(name, term, share)
            total = total + term
            sums[i] = loss.sum.detach()
        self.accelerator.backward(total)
        return sums

    def _finish(self, sums: Tensor, counts: Tensor, stop: bool) -> StepResult:
        """Agrees over ranks on losses, on whether all is finite, and on stopping; then steps or skips."""
        self._share_balance()
        norm = self._clip()
        bad = ~torch.isfinite(torch.cat([sums, norm.double().view(1)]))
        flags = torch.cat([bad, bad.new_tensor([stop])]).double()
        shared = all_reduce(torch.cat([torch.nan_to_num(sums, 0.0, 0.0, 0.0), flags]))
        # The one place where a step waits for the device.
        values = torch.cat([shared, counts, norm.double().view(1)]).tolist()
        n = len(self.names)
        flagged, counted = (
            values[n : 2 * n],
            dict(zip(self.names, values[2 * n + 2 : -1], strict=True)),
        )
        nonfinite = [name for name, flag in zip(self.names, flagged, strict=True) if flag > 0]
        if not nonfinite and values[2 * n] > 0 and not self._scaler_skips():
            nonfinite = ["gradient"]
        self._step_or_skip(bool(nonfinite))
        losses = {
            t: values[i] / counted[t]
            for i, t in enumerate(self.names)
            if counted[t] and t not in nonfinite
        }
        total = math.nan if nonfinite else sum(self.weights[t] * v for t, v in losses.items())
        return StepResult(
            losses=losses | {t: math.nan for t in nonfinite if t in counted},
            counts=counted,
            total=total,
            grad_norm=math.nan if nonfinite and nonfinite != ["gradient"] else values[-1],
            skipped=bool(nonfinite) or bool(getattr(self.optimizer, "step_was_skipped", False)),
            nonfinite=tuple(nonfinite),
            stop=values[2 * n + 1] > 0,
        )

    def _share_balance(self) -> None:
        """Averages the gradient of learned factors over ranks: they are no part of the model."""
        if self.balance is None or self.balance.log_variance.grad is None:
            return
        shared = all_reduce(self.balance.log_variance.grad)
        self.balance.log_variance.grad = shared / self.accelerator.num_processes

    def _scaler_skips(self) -> bool:
        """Whether an fp16 scaler skips an overflow by itself: as long as it has a scale to lower, to 1 at least."""
        scaler = self.accelerator.scaler
        return scaler is not None and scaler.get_scale() >= 1

    def _step_or_skip(self, skip: bool) -> None:
        if not skip:
            self.optimizer.step()
            return
        self.optimizer.zero_grad(set_to_none=True)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.update()  # it must not take the next gradient for this one

    def _clip(self) -> Tensor:
        """Unscales and clips the gradient; its norm before clipping."""
        if self.accelerator.scaler is not None:
            self.accelerator.unscale_gradients(self.optimizer)
        limit = math.inf if self.options.clip_norm is None else self.options.clip_norm
        return whole(torch.nn.utils.clip_grad_norm_(self.parameters, limit))
