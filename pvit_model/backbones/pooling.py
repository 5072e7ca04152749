"""Depthwise 3x3x3 pooling of channels-last tokens.

On CPUs the gradients of a depthwise 3D convolution take a generic path, several times slower than the 2D one. A 3x3x3
kernel is three 3x3 kernels over neighbouring frames, so backward is made of 2D convolutions here; forward and the
result are those of `conv3d`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def depthwise_pool(
    x: Float[Tensor, "b t h w c"], weight: Float[Tensor, "d 1 3 3 3"], stride: int
) -> Float[Tensor, "b t h2 w2 c"]:
    """Convolve each channel with its own kernel, zero padding 1, stride (1, stride, stride).

    Args:
        x: tokens on their grid; c is a multiple of d, kernels repeat (heads share them).
    """
    kernel = weight.repeat(x.shape[-1] // len(weight), 1, 1, 1, 1)
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        if torch.is_autocast_enabled("cpu"):
            x, kernel = (y.to(torch.get_autocast_dtype("cpu")) for y in (x, kernel))
        out: Tensor = _DepthwisePool.apply(x, kernel, stride)
        return out
    return _forward(x, kernel, stride)


def max_pool(x: Float[Tensor, "b t h w c"], stride: int) -> Float[Tensor, "b t h2 w2 c"]:
    """3x3 maximum in each frame, padding 1."""
    frames = x.flatten(0, 1).permute(0, 3, 1, 2)
    pooled = F.max_pool2d(frames, 3, stride, 1).permute(0, 2, 3, 1)
    return torch.unflatten(pooled, 0, tuple(x.shape[:2]))


def _forward(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    y = F.conv3d(x.permute(0, 4, 1, 2, 3), kernel, None, (1, stride, stride), 1, 1, len(kernel))
    return y.permute(0, 2, 3, 4, 1)


class _DepthwisePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.stride = stride
        return _forward(x, kernel, stride)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        dx, dkernel = torch.zeros_like(x, memory_format=torch.contiguous_format), torch.empty_like(kernel)
        frames = x.shape[1]
        for tap, shift in enumerate((-1, 0, 1)):
            here = slice(max(0, -shift), frames - max(0, shift))
            there = slice(max(0, shift), frames + min(0, shift))
            dframes, dkernel[:, :, tap] = _backward_2d(grads[0][:, here], x[:, there], kernel[:, :, tap], ctx.stride)
            dx[:, there] += dframes
        return dx, dkernel, None


def _backward_2d(grad: Tensor, x: Tensor, kernel: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    if x.shape[1] == 0:  # a single frame has no neighbours
        return torch.zeros_like(x), torch.zeros_like(kernel)
    g, frames = (y.flatten(0, 1).permute(0, 3, 1, 2) for y in (grad, x))
    dx, dkernel, _ = torch.ops.aten.convolution_backward(
        g, frames, kernel.contiguous(), None, [stride, stride], [1, 1], [1, 1], False, [0, 0], len(kernel),
        [True, True, False],
    )  # fmt: skip
    return torch.unflatten(dx.permute(0, 2, 3, 1), 0, tuple(x.shape[:2])), dkernel
