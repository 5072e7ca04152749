"""Stochastic depth: residual branches dropped for whole samples in training (Huang et al., 2016)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop a residual branch for whole samples in training; the kept ones are scaled up."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(
        self, x: Float[Tensor, "b ..."], folded: tuple[int, ...] | None = None
    ) -> Float[Tensor, "b ..."]:
        """The branch's output, with dropped samples zero.

        Args:
            folded: shape of the decisions, which are those of samples by default; it must broadcast to that of `x`.
        """
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        shape = (len(x), *(1 for _ in x.shape[1:])) if folded is None else folded
        return x * (x.new_empty(shape).bernoulli_(keep) / keep)


def drop_rates(last: float, depth: int) -> list[float]:
    """Rates of a network's blocks: from 0, linearly, to that of the last."""
    return [last * i / max(depth - 1, 1) for i in range(depth)]
