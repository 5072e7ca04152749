"""What distinguishes one MViT from another, and what follows from it for each block: widths, strides, grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pvit_model.backbones.attention import Form
from pvit_model.backbones.base import Grid
from pvit_model.backbones.drop_path import drop_rates
from pvit_model.backbones.options import Count, Depth, Factor, Layer, Rate, Ratio


@dataclass(frozen=True, kw_only=True)
class MViTConfig:
    """What distinguishes one MViT from another. Defaults: MViTv2-S 16x4.

    Args:
        clip: (T, H, W) that the position tables are made for; other sizes interpolate them.
        embed_dim, heads: width and heads of the first block; both double at each of `stages`.
        stages: blocks at which the width doubles and queries are pooled by 2x2.
        kv_stride: spatial stride of keys and values in the first block; halves at each of `stages`.
        widen: whether the width grows inside attention (v2) or in the MLP of the block before (v1).
        relative, absolute: kinds of positions.
        pool_all_queries: convolve queries also where the stride is 1 (v2).
        residual_pooling: add the pooled queries to attention's output (v2).
        drop_path: rate of the last block; linear from 0.
        dense_layers: blocks that dense heads tap (0-based).
        dense_width: channels of dense heads by default.
        init_std: standard deviation of linear weights at the start; None: by width (Glorot), to train from scratch.
        stem: `"patch"`: one linear patch embedding; `"conv"`: two convolutions with norms, on the same grid, which
            learn from scratch much earlier.
        readout: `"cls"`: the class token alone; `"mean"`: plus the mean of the patch tokens.
        value_scale: factor on the values. Small, it lets the convolved queries (residual pooling) speak before
            attention knows where to look: from scratch, learning then starts much earlier.
        extra_pool: `"skip"`: extra tokens pass the pooling untouched; `"svit"`: scaled by what the convolution does
            to a constant 3x3x3 volume, with residual pooling (SViT's object tokens).
        attention: form of the attention, see `pvit_model.backbones.attention`.
    """

    clip: tuple[Count, Count, Count] = (16, 224, 224)
    embed_dim: Count = 96
    heads: Count = 1
    depth: Depth = 16
    stages: tuple[Layer, ...] = (1, 3, 14)
    kv_stride: Count = 8
    mlp_ratio: Ratio = 4.0
    widen: Literal["attention", "mlp"] = "attention"
    relative: bool = True
    absolute: bool = False
    pool_all_queries: bool = True
    residual_pooling: bool = True
    drop_path: Rate = 0.2
    dense_layers: tuple[Layer, ...] = (2, 12, 15)
    dense_width: Count = 64
    init_std: Factor | None = 0.02
    stem: Literal["patch", "conv"] = "patch"
    readout: Literal["cls", "mean"] = "cls"
    value_scale: Factor = 1.0
    extra_pool: Literal["skip", "svit"] = "skip"
    attention: Form = "auto"

    def __post_init__(self) -> None:
        if len(self.stages) > self.depth:
            raise ValueError(f"depth {self.depth}: expected as many blocks as stages, or more")
        if self.stem == "conv" and self.embed_dim % 4:
            raise ValueError(f"embed_dim {self.embed_dim}: a conv stem takes multiples of 4")


@dataclass(frozen=True)
class BlockPlan:
    """One block: widths before, inside attention and after; heads, strides, grid that its queries come from."""

    dim: int
    dim_attn: int
    dim_out: int
    heads: int
    q_stride: int
    kv_stride: int
    grid: Grid
    drop_path: float


def plan_blocks(c: MViTConfig) -> list[BlockPlan]:
    """The blocks, first to last."""
    level = [sum(s <= i for s in c.stages) for i in range(c.depth + 1)]
    early = 1 if c.widen == "mlp" else 0
    out = [c.embed_dim << level[min(i + early, c.depth - 1)] for i in range(c.depth)]
    grid, plan = patch_grid(*c.clip), []
    rates = drop_rates(c.drop_path, c.depth)
    for i in range(c.depth):
        dim = c.embed_dim if i == 0 else out[i - 1]
        plan.append(
            BlockPlan(
                dim=dim,
                dim_attn=out[i] if c.widen == "attention" else dim,
                dim_out=out[i],
                heads=c.heads << level[i],
                q_stride=2 if i in c.stages else 1,
                kv_stride=max(c.kv_stride >> level[i], 1),
                grid=grid,
                drop_path=rates[i],
            )
        )
        grid = strided(grid, plan[-1].q_stride)
    return plan


def patch_grid(t: int, h: int, w: int) -> Grid:
    """Token grid of a (T, H, W) clip: kernel (3, 7, 7), stride (2, 4, 4), padding (1, 3, 3)."""
    return (t - 1) // 2 + 1, (h - 1) // 4 + 1, (w - 1) // 4 + 1


def strided(grid: Grid, stride: int) -> Grid:
    """The grid after pooling by `stride` in space."""
    return grid[0], -(-grid[1] // stride), -(-grid[2] // stride)
