"""What vision transformers over patches of one size share: embedding, attention, positions at another size, checks.

The sequence is [CLS, extra tokens, patches]. Parameter names are those of timm and of the published video transformers.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pvit_data.errors import UsageError
from pvit_model.backbones.base import Grid


class Attention(nn.Module):
    """The projections of multi-head attention, before (`qkv`) and after it (`proj`).

    Args:
        width: of the tokens.
        heads: number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def split(self, x: Float[Tensor, "b n c"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (b, heads, n, c / heads)."""
        q, k, v = torch.unflatten(self.qkv(x), -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Every token attends to all of its row of the batch."""
        y: Tensor = self.proj(merged(attended(*self.split(x))))
        return y


def attended(
    q: Float[Tensor, "b y n d"], k: Float[Tensor, "b y m d"], v: Float[Tensor, "b y m d"]
) -> Float[Tensor, "b y n d"]:
    """softmax(q k^T / sqrt(d)) v by PyTorch's fused kernel."""
    if q.is_meta and torch.is_grad_enabled():
        # Costs are counted where no kernel runs: what is kept for backward is what the CPU's would keep.
        out: Tensor = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[0]
        return out
    return F.scaled_dot_product_attention(q, k, v)


def merged(x: Float[Tensor, "b y n d"]) -> Float[Tensor, "b n c"]:
    """The heads' outputs side by side."""
    return x.transpose(1, 2).flatten(2)


class PatchEmbedding(nn.Module):
    """A convolution whose stride is its kernel, as the linear layer on patches that it is.

    Args:
        kernel: (t, h, w) of a patch; without t the parameter is that of an image's: a 2-D kernel.
        width: of the tokens.
    """

    def __init__(self, kernel: tuple[int, ...], width: int) -> None:
        super().__init__()
        make = nn.Conv3d if len(kernel) == 3 else nn.Conv2d
        self.proj = make(3, width, kernel, kernel)  # type: ignore[arg-type]
        self.patch = kernel if len(kernel) == 3 else (1, *kernel)

    def forward(self, clip: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b t2 n c"]:
        """Tokens by frame and place; a still is its own second frame where patches have two."""
        if clip.shape[2] == 1:
            clip = clip.expand(-1, -1, self.patch[0], -1, -1)
        x = clip
        for axis, size in ((2, self.patch[0]), (4, self.patch[1]), (6, self.patch[2])):
            x = torch.unflatten(x, axis, (-1, size))
        x = x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)  # (b, t2, h2, w2, 3 * patch)
        return F.linear(x, self.proj.weight.flatten(1), self.proj.bias).flatten(2, 3)


def patch_grid(clip: tuple[int, int, int], patch: tuple[int, ...], what: str) -> Grid:
    """The grid of a (T, H, W) clip's patches.

    Raises:
        UsageError: if they do not divide the clip, naming the backbone `what`.
    """
    t, h, w = clip
    frames, rows, columns = patch
    if (t > 1 and t % frames) or h % rows or w % columns or min(clip) < 1:
        length = f"1 frame or a multiple of {frames}" if frames > 1 else "any number of frames"
        raise UsageError(
            f"backbone '{what}' takes clips of {length} and of sides that are multiples of {rows} and {columns}, "
            f"not {t}x{h}x{w}"
        )
    return -(-t // frames), h // rows, w // columns


def resized_places(
    table: Float[Tensor, "b n c"],
    old: tuple[int, int],
    new: tuple[int, int],
    mode: Literal["nearest", "bicubic"],
) -> Float[Tensor, "b m c"]:
    """Positions of a grid (rows, columns) on another one."""
    if old == new:
        return table
    image = torch.unflatten(table, 1, old).permute(0, 3, 1, 2)
    return F.interpolate(image, size=new, mode=mode).flatten(2).transpose(1, 2)


def resized_times(
    table: Float[Tensor, "b n c"], length: int, mode: Literal["nearest", "linear"]
) -> Float[Tensor, "b m c"]:
    """Positions in time for another number of frames."""
    if table.shape[1] == length:
        return table
    return F.interpolate(table.transpose(1, 2), size=length, mode=mode).transpose(1, 2)


def resized_from(
    table: Float[Tensor, "b n c"],
    source: tuple[int, int] | None,
    new: tuple[int, int],
    mode: Literal["nearest", "bicubic"],
) -> Float[Tensor, "b m c"] | None:
    """Given positions on our grid, which may have as many places and mean others; None where that cannot be had.

    Args:
        source: the table's own grid; None: nobody tells. Then it is a square, and where it cannot be one, ours.
    """
    places, side = table.shape[1], math.isqrt(table.shape[1])
    told = new if side**2 != places else (side, side)
    old = told if source is None else source
    if not places or old[0] * old[1] != places:
        return None
    return table if old == new else resized_places(table.float(), old, new, mode)


def tapped(depth: int) -> tuple[int, ...]:
    """Layers that dense heads read: 2, 8, 11 of 12, and at the same shares of other depths."""
    return tuple(sorted({max(depth // 4 - 1, 0), max(3 * depth // 4 - 1, 0), depth - 1}))


def start_small(module: nn.Module) -> None:
    """Linear weights from a normal distribution of standard deviation .02, biases at 0, as the published models."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
