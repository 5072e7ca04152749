"""Linear, GELU, linear: some thousand tokens at a time on CPUs.

The four times wider hidden layer then stays in the cache, and of its two versions (before and after GELU) only the
first is kept for backward. As fast as the plain form or faster, with a fifth less memory for a whole block.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

ROWS = 1024
"""Tokens at a time, per thread. Smaller blocks are no faster, and threads wait for each other several times a block."""


class Mlp(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, dim: int, hidden: int, dim_out: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim_out)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Applied to each token."""
        return run_mlp(x, self.fc1, self.fc2)


def run_mlp(x: Float[Tensor, "b n c"], fc1: nn.Linear, fc2: nn.Linear) -> Float[Tensor, "b n d"]:
    """`fc2(gelu(fc1(x)))`."""
    if (
        x.device.type not in ("cpu", "meta")
        or torch.compiler.is_compiling()
        or not torch.is_grad_enabled()
    ):
        y: Tensor = fc2(F.gelu(fc1(x)))
        return y
    inputs: list[Tensor] = [x.flatten(0, 1), fc1.weight, fc1.bias, fc2.weight, fc2.bias]
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        inputs = [t.to(dtype) for t in inputs]
    out: Tensor = _BlockedMlp.apply(*inputs)
    return torch.unflatten(out, 0, (x.shape[0], x.shape[1]))


class _BlockedMlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        hidden, out = x.new_empty(len(x), len(w1)), x.new_empty(len(x), len(w2))
        rows = ROWS * torch.get_num_threads()
        for x_, h_, out_ in zip(*(torch.split(t, rows) for t in (x, hidden, out)), strict=True):
            torch.addmm(b1, x_, w1.t(), out=h_)
            torch.addmm(b2, F.gelu(h_), w2.t(), out=out_)
        ctx.save_for_backward(x, w1, w2, hidden)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, w2, hidden = ctx.saved_tensors
        train = ctx.needs_input_grad[1]  # a frozen backbone needs the gradient of x alone
        dx, dw1, dw2, db1 = (
            torch.empty_like(x),
            torch.zeros_like(w1),
            torch.zeros_like(w2),
            w1.new_zeros(len(w1)),
        )
        rows = ROWS * torch.get_num_threads()
        for x_, h_, g_, dx_ in zip(
            *(torch.split(t, rows) for t in (x, hidden, grads[0], dx)), strict=True
        ):
            if train:
                dw2.addmm_(g_.t(), F.gelu(h_))
            dh = torch.ops.aten.gelu_backward(torch.mm(g_, w2), h_)
            torch.mm(dh, w1, out=dx_)
            if train:
                dw1.addmm_(dh.t(), x_)
                db1 += dh.sum(0)
        return (dx, dw1, db1, dw2, grads[0].sum(0)) if train else (dx, None, None, None, None)
