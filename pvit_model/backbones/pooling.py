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
        grad, stride = grads[0], ctx.stride
        if (
            stride == 1
        ):  # the input's gradient is itself a depthwise convolution, with the kernel turned around
            dx = _forward(grad, kernel.flip(2, 3, 4), 1)
            return dx, _kernel_gradient(grad, x, len(kernel)), None
        dkernel = torch.zeros_like(kernel)
        dx, dkernel[:, :, 1] = _backward_2d(grad, x, kernel[:, :, 1], stride)
        for tap in (0, 2):
            here, there = _neighbours(tap, x.shape[1])
            if x.shape[1] > 1:  # a single frame has none
                frames, dkernel[:, :, tap] = _backward_2d(
                    grad[:, here], x[:, there], kernel[:, :, tap], stride
                )
                dx[:, there] += frames
        return dx, dkernel, None


def _neighbours(tap: int, frames: int) -> tuple[slice, slice]:
    """Frames of the result, and those of the input that a temporal tap joins them with."""
    shift = tap - 1
    return slice(max(0, -shift), frames - max(0, shift)), slice(
        max(0, shift), frames + min(0, shift)
    )


def _kernel_gradient(grad: Tensor, x: Tensor, channels: int) -> Tensor:
    """Of a stride-1 pooling."""
    out = x.new_zeros(channels, 1, 3, 3, 3)
    for tap in range(3):
        here, there = _neighbours(tap, x.shape[1])
        if tap == 1 or x.shape[1] > 1:
            out[:, :, tap] = _backward_2d(
                grad[:, here], x[:, there], out[:, :, tap], 1, with_input=False
            )[1]
    return out


def _backward_2d(
    grad: Tensor, x: Tensor, kernel: Tensor, stride: int, with_input: bool = True
) -> tuple[Tensor, Tensor]:
    """Gradients of one frame-wise 3x3 convolution: of its input (where wanted) and its kernel."""
    g, frames = (y.flatten(0, 1).permute(0, 3, 1, 2) for y in (grad, x))
    dx, dkernel, _ = torch.ops.aten.convolution_backward(
        g, frames, kernel.contiguous(), None, [stride, stride], [1, 1], [1, 1], False, [0, 0], len(kernel),
        [with_input, True, False],
    )  # fmt: skip
    if with_input:
        dx = torch.unflatten(dx.permute(0, 2, 3, 1), 0, tuple(x.shape[:2]))
    return dx, dkernel
