"""MViTv2 (and v1) for video: a vision transformer whose attention pools its queries, keys and values.

The sequence is [CLS, extra tokens, patches]; CLS and the extra tokens (prompts) skip every pooling, take no relative
position and no residual pooling, and are projected wherever the width changes. Tokens stay channels-last throughout.
Parameter names are those of the published SlowFast checkpoints. Sources: Li et al., MViTv2, arXiv 2112.01526; Fan et
al., MViT, arXiv 2104.11227, and their published configurations.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pvit_data.errors import UsageError
from pvit_model.backbones.attention import Grid, attend, pair_table
from pvit_model.backbones.base import Backbone, BackboneOutput, Costs, Published
from pvit_model.backbones.drop_path import DropPath
from pvit_model.backbones.mlp import Mlp
from pvit_model.backbones.mvit_plan import BlockPlan, MViTConfig, patch_grid, plan_blocks, strided
from pvit_model.backbones.options import with_options
from pvit_model.backbones.pooling import depthwise_pool, max_pool
from pvit_model.backbones.torchvision_names import from_torchvision
from pvit_model.backbones.vit_parts import resized_from


class PoolingAttention(nn.Module):
    """Multi-head attention over pooled queries, keys and values."""

    def __init__(self, plan: BlockPlan, config: MViTConfig) -> None:
        super().__init__()
        self.heads, self.config = plan.heads, config
        self.strides = {"q": plan.q_stride, "k": plan.kv_stride, "v": plan.kv_stride}
        width = plan.dim_attn // plan.heads
        self.qkv = nn.Linear(plan.dim, 3 * plan.dim_attn)
        self.proj = nn.Linear(plan.dim_attn, plan.dim_attn)
        self.pooled = [x for x in "qkv" if x != "q" or config.pool_all_queries or plan.q_stride > 1]
        for x in self.pooled:
            self.add_module(
                f"pool_{x}", nn.Conv3d(width, width, 3, padding=1, groups=width, bias=False)
            )
            self.add_module(f"norm_{x}", nn.LayerNorm(width, eps=1e-6))
        if config.relative:
            finest = max(strided(plan.grid, s)[i] for s in self.strides.values() for i in (1, 2))
            for axis, size in (("h", finest), ("w", finest), ("t", plan.grid[0])):
                table = nn.init.trunc_normal_(torch.empty(2 * size - 1, width), std=0.02)
                self.register_parameter(f"rel_pos_{axis}", nn.Parameter(table))

    def forward(self, x: Float[Tensor, "b n c"], grid: Grid) -> Float[Tensor, "b m d"]:
        """Attend from the pooled queries; `grid` is that of the patches, which end the sequence."""
        special = x.shape[1] - grid[0] * grid[1] * grid[2]
        # Three products instead of one: each result is contiguous, so pooling reads it without a copy.
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        q, k, v = (
            self._pool(name, F.linear(x, weight, bias), special, grid)
            for name, weight, bias in zip("qkv", weights, biases, strict=True)
        )
        if self.config.value_scale != 1:
            v = v * self.config.value_scale
        q_grid, k_grid = (strided(grid, self.strides[name]) for name in "qk")
        tables = None
        if self.config.relative:
            axes = zip("thw", q_grid, k_grid, strict=True)
            t, h, w = (
                pair_table(self.get_parameter(f"rel_pos_{axis}"), a, b) for axis, a, b in axes
            )
            tables = (t, h, w)
        first = 1 if self.config.extra_pool == "svit" else special
        out = attend(
            q, k, v, special=special, grid=q_grid, tables=tables,
            residual=first if self.config.residual_pooling else None, form=self.config.attention,
        )  # fmt: skip
        y: Tensor = self.proj(out.flatten(2))
        return y

    def _pool(self, name: str, x: Tensor, special: int, grid: Grid) -> Tensor:
        """(b, n, heads * d) -> (b, m, heads, d): patches convolved and strided, all tokens normalised."""
        if name in self.pooled:
            weight = self.get_parameter(f"pool_{name}.weight")
            tokens, patches = torch.split(x, [special, x.shape[1] - special], dim=1)
            if self.config.extra_pool == "svit":
                tokens = torch.cat(
                    [tokens[:, :1], tokens[:, 1:] * self._gain(weight, self.strides[name])], dim=1
                )
            pooled = depthwise_pool(
                torch.unflatten(patches, 1, grid), weight, self.strides[name]
            ).flatten(1, 3)
            x = torch.cat([tokens.to(pooled.dtype), pooled], dim=1)
        x = torch.unflatten(x, -1, (self.heads, -1))
        return self.get_submodule(f"norm_{name}")(x) if name in self.pooled else x

    def _gain(self, weight: Tensor, stride: int) -> Tensor:
        """What the convolution's mean over a constant 3x3x3 volume multiplies each channel with."""
        volume = weight.new_ones(1, 3, 3, 3, self.heads * len(weight))
        return depthwise_pool(volume, weight, stride).mean((0, 1, 2, 3))


class Block(nn.Module):
    """Pooling attention and MLP, each behind a LayerNorm and beside a skip path."""

    def __init__(self, plan: BlockPlan, config: MViTConfig) -> None:
        super().__init__()
        self.plan = plan
        self.norm1 = nn.LayerNorm(plan.dim, eps=1e-6)
        self.attn = PoolingAttention(plan, config)
        self.norm2 = nn.LayerNorm(plan.dim_attn, eps=1e-6)
        self.mlp = Mlp(plan.dim_attn, int(plan.dim_attn * config.mlp_ratio), plan.dim_out)
        self.drop_path = DropPath(plan.drop_path)
        if plan.dim != plan.dim_out:
            self.proj = nn.Linear(plan.dim, plan.dim_out)

    def forward(self, x: Float[Tensor, "b n c"], grid: Grid) -> tuple[Float[Tensor, "b m d"], Grid]:
        """The next tokens and their grid."""
        y = self.norm1(x)
        skip = x if self.plan.dim == self.plan.dim_attn else self.proj(y).to(x.dtype)
        x = self._pool_skip(skip, grid) + self.drop_path(self.attn(y, grid))
        y = self.norm2(x)
        skip = x if self.plan.dim_attn == self.plan.dim_out else self.proj(y).to(x.dtype)
        return skip + self.drop_path(self.mlp(y)), strided(grid, self.plan.q_stride)

    def _pool_skip(self, x: Tensor, grid: Grid) -> Tensor:
        if self.plan.q_stride == 1:
            return x
        special = x.shape[1] - grid[0] * grid[1] * grid[2]
        tokens, patches = torch.split(x, [special, x.shape[1] - special], dim=1)
        pooled = max_pool(torch.unflatten(patches, 1, grid), self.plan.q_stride)
        return torch.cat([tokens, pooled.flatten(1, 3)], dim=1)


def sines(length: int, width: int) -> Float[Tensor, "{length} {width}"]:
    """Positions 0 to 1 as sines and cosines of geometrically growing frequency, amplitude 1/2."""
    frequency = torch.logspace(0, 1, width // 2, base=max(length, 2)) * math.pi / 2
    phase = torch.linspace(0, 1, length)[:, None] * frequency
    return torch.cat([phase.sin(), phase.cos()], dim=1) / 2


def _stem(c: MViTConfig) -> nn.Module:
    if c.stem == "patch":
        return nn.Conv3d(3, c.embed_dim, (3, 7, 7), (2, 4, 4), (1, 3, 3))
    half = c.embed_dim // 2
    return nn.Sequential(
        nn.Conv3d(3, half, 3, (1, 2, 2), 1),
        nn.GroupNorm(4, half),
        nn.GELU(),
        nn.Conv3d(half, c.embed_dim, 3, (2, 2, 2), 1),
        nn.GroupNorm(4, c.embed_dim),
    )


TABLES = ("pos_embed", "cls_token", "rel_pos")

PAPER_NOTE = (
    "The paper's table 4a prints 38.2 M parameters and 70.6 GFLOPs for 'MViTv2'. 70.6 is the figure of MViTv1-B 16x4; "
    "MViTv2-S 16x4, the backbone that its text names, has 34.5 M and 64.5. No published MViT has 38.2 M."
)
PROMPTS_NOTE = (
    "Its VPT row trains 0.13 M: a 174-way head and 5 prompts of 96, as here. Its PViT row, 45.0 M and 93.9 GFLOPs, "
    "adds 6.8 M of heads, whose widths it does not state (here {heads:.1f} M), and 23.3 GFLOPs. Heads count among "
    "these (here {with_heads:.1f}, in training only), and so do the 9.3 of its NP row for prompts alone, which some "
    "hundred more tokens would need than its equation 2 has (here {prompts} cost {cost:.1f})."
)


class MViT(Backbone):
    """A multiscale vision transformer.

    Attributes:
        of_the_paper: whether this is the backbone of the paper's tables, on whose figures there is a remark.
    """

    own_tokens = 1
    side_step = 4
    of_the_paper = False

    def __init__(self, config: MViTConfig) -> None:
        super().__init__()
        self.config, self.clip = config, config.clip
        self.dense_layers, self.dense_width = config.dense_layers, config.dense_width
        plan = plan_blocks(config)
        self.width, self.dims = config.embed_dim, tuple(p.dim_out for p in plan)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = _stem(config)
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.embed_dim))
        if config.absolute:
            t, h, w = plan[0].grid
            self.pos_embed_temporal = nn.Parameter(torch.empty(1, t, config.embed_dim))
            self.pos_embed_spatial = nn.Parameter(torch.empty(1, h * w, config.embed_dim))
            self.pos_embed_class = nn.Parameter(torch.empty(1, 1, config.embed_dim))
        self.blocks = nn.ModuleList(Block(p, config) for p in plan)
        self.norm = nn.LayerNorm(self.dims[-1], eps=1e-6)
        self._initialise()

    def _initialise(self) -> None:
        std = self.config.init_std
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
                if std is None:
                    nn.init.xavier_uniform_(module.weight)
                else:
                    nn.init.trunc_normal_(module.weight, std=std)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        if self.config.absolute:
            for table in (self.pos_embed_temporal, self.pos_embed_spatial, self.pos_embed_class):
                nn.init.trunc_normal_(table, std=0.02)
        if self.config.absolute and std is None:
            t, h, w = patch_grid(*self.config.clip)
            half = self.width // 2
            rows, columns = (sines(n, half) for n in (h, w))
            self.pos_embed_temporal.data[0] = sines(t, self.width)
            self.pos_embed_spatial.data[0] = torch.cat(
                [rows[:, None].expand(h, w, half), columns[None].expand(h, w, half)], dim=-1
            ).flatten(0, 1)

    def grid(self, t: int, h: int, w: int) -> tuple[Grid, ...]:
        """(T', H', W') of each block's output for a (T, H, W) clip."""
        grid, grids = patch_grid(t, h, w), []
        for block in self.blocks:
            grid = strided(grid, block.plan.q_stride)  # type: ignore[union-attr, arg-type]
            grids.append(grid)
        return tuple(grids)

    def map_size(self, t: int, h: int, w: int) -> Grid:
        """A quarter of the image, the resolution of the patch tokens."""
        if (t > 1 and t % 2) or h % 4 or w % 4:
            raise UsageError(
                "clips must have 1 or an even number of frames and sides that are multiples of 4, "
                f"not {t}x{h}x{w}"
            )
        return patch_grid(t, h, w)[0], h // 4, w // 4

    def undecayed(self) -> frozenset[str]:
        """The class token and the position tables, as `MVIT.ZERO_DECAY_POS_CLS` of SlowFast."""
        names = (name for name, _ in self.named_parameters())
        return frozenset(name for name in names if any(word in name for word in TABLES))

    def use_countable_form(self) -> None:
        """Attention in its textbook form."""
        for module in self.modules():
            if isinstance(module, PoolingAttention):
                module.config = replace(module.config, attention="matmul")

    def forward(
        self,
        clip: Float[Tensor, "b 3 t h w"],
        extra: Float[Tensor, "b e c"] | None = None,
        *,
        extra_layer: int = 0,
        layers: Collection[int] = (),
    ) -> BackboneOutput:
        """See `Backbone.forward`."""
        x, grid = self._embed(clip)
        num_extra, features = 0, {}
        for i, block in enumerate(self.blocks):
            if i == extra_layer and extra is not None and extra.shape[1]:
                num_extra = extra.shape[1]
                x = torch.cat([x[:, :1], extra.to(x.dtype), x[:, 1:]], dim=1)
            x, grid = block(x, grid)
            if i in layers:
                features[i] = (x[:, 1 + num_extra :], grid)
        x = self.norm(x)
        cls, extras, tokens = x.split([1, num_extra, x.shape[1] - num_extra - 1], dim=1)
        read = cls[:, 0] if self.config.readout == "cls" else cls[:, 0] + tokens.mean(1)
        return BackboneOutput(cls=read, extra=extras, tokens=tokens, features=features)

    def _embed(self, clip: Tensor) -> tuple[Tensor, Grid]:
        grid = patch_grid(*clip.shape[2:])
        x = self.patch_embed.proj(clip).flatten(2).transpose(1, 2)  # type: ignore[operator]
        x = x.to(
            self.cls_token.dtype
        )  # under autocast the residual stream stays in the parameters' precision
        cls: Tensor = self.cls_token
        if self.config.absolute:
            x = x + self._positions(grid)
            cls = cls + self.pos_embed_class
        return torch.cat([cls.expand(len(x), -1, -1), x], dim=1), grid

    def _positions(self, grid: Grid) -> Tensor:
        """Separable absolute positions, (1, T'H'W', C); bicubic in space, linear in time where sizes differ."""
        own = patch_grid(*self.config.clip)
        time: Tensor = self.pos_embed_temporal
        space: Tensor = self.pos_embed_spatial
        if grid[0] != own[0]:
            time = F.interpolate(time.transpose(1, 2), grid[0], mode="linear").transpose(1, 2)
        if grid[1:] != own[1:]:
            image = torch.unflatten(space, 1, own[1:]).permute(0, 3, 1, 2)
            space = F.interpolate(image, grid[1:], mode="bicubic").flatten(2).transpose(1, 2)
        return (time[:, :, None] + space[:, None]).flatten(1, 2)

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """SlowFast's or torchvision's names, detected."""
        if "conv_proj.weight" in state:
            return from_torchvision(state)
        return {name.replace("head.projection.", "head."): value for name, value in state.items()}

    def resize(
        self,
        name: str,
        value: Shaped[Tensor, "..."],
        shape: torch.Size,
        source: Backbone | None = None,
    ) -> Shaped[Tensor, "..."] | None:
        """Position tables interpolated along their length, those of places on their grid; kernels repeated in time."""
        if name == "pos_embed_spatial" and value.ndim == 3 and value.shape[::2] == shape[::2]:
            old = patch_grid(*source.clip)[1:] if isinstance(source, MViT) else None
            return resized_from(value, old, patch_grid(*self.clip)[1:], "bicubic")
        if value.shape == shape or value.shape[-1] != shape[-1]:
            return value if value.shape == shape else None
        value = value.float()
        if "rel_pos_" in name and value.ndim == 2:
            return F.interpolate(value.t()[None], size=shape[0], mode="linear")[0].t()
        if name == "pos_embed_temporal":
            time = value.transpose(1, 2)
            return F.interpolate(time, size=shape[1], mode="linear").transpose(1, 2)
        return super().resize(name, value, shape, source)

    def remark(self, costs: Costs) -> str:
        """What the paper's table 4a says of its backbone, and why it differs; "" of others."""
        if not self.of_the_paper:
            return ""
        more = PROMPTS_NOTE.format(
            heads=costs.head_parameters / 1e6,
            with_heads=(costs.complete - costs.prompted) / 1e9,
            prompts=costs.prompts,
            cost=(costs.prompted - costs.plain) / 1e9,
        )
        return f"{PAPER_NOTE} {more}" if costs.prompts and costs.head_parameters else PAPER_NOTE


def _build(base: MViTConfig, options: Mapping[str, Any]) -> MViT:
    return MViT(with_options(base, options))


def mvitv2_s(**options: Any) -> MViT:
    """MViTv2-S 16x4, the paper's backbone: 34.5 M parameters, 64.5 GFLOPs."""
    model = _build(MViTConfig(), options)
    model.of_the_paper, model.published = True, PUBLISHED["mvitv2_s"]
    return model


def mvitv2_b(**options: Any) -> MViT:
    """MViTv2-B 32x3: 51.2 M parameters, 225 GFLOPs."""
    base = MViTConfig(
        clip=(32, 224, 224), depth=24, stages=(2, 5, 21), drop_path=0.3, dense_layers=(4, 20, 23)
    )
    model = _build(base, options)
    model.rate, model.published = 3, PUBLISHED["mvitv2_b"]
    return model


def mvitv1_b(**options: Any) -> MViT:
    """MViTv1-B 16x4 with convolutional pooling: 36.6 M parameters, 70.6 GFLOPs."""
    base = MViTConfig(
        widen="mlp", relative=False, absolute=True, pool_all_queries=False, residual_pooling=False
    )
    model = _build(base, options)
    model.published = PUBLISHED["mvitv1_b"]
    return model


def mvitv2_xxs(**options: Any) -> MViT:
    """A small sibling for CPUs (our dimensions): trains from scratch in minutes on 32x32 to 64x64 clips."""
    base = MViTConfig(
        clip=(16, 64, 64), embed_dim=32, depth=5, stages=(1, 3), kv_stride=4, absolute=True, drop_path=0.0,
        dense_layers=(0, 2, 4), dense_width=24, init_std=None, stem="conv", readout="mean", value_scale=0.1,
    )  # fmt: skip
    return _build(base, options)


_MVIT = "https://github.com/facebookresearch/mvit"
_SLOWFAST = "https://github.com/facebookresearch/SlowFast/blob/main/projects/mvitv2/README.md"
_OLD = "https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md"
_PYTORCH = "https://download.pytorch.org/models/"
_APACHE, _BSD = "Apache 2.0 (SlowFast)", "BSD 3-Clause (torchvision)"
PUBLISHED = {
    "mvitv2_s": (
        Published("MViTv2_S_16x4_k400_f302660347.pyth", _SLOWFAST, _APACHE, "Kinetics-400 81.0", (16, 224, 224), 4),
        Published("MViTv2_S_16x4_ssv2_f308341823.pyth", _SLOWFAST, _APACHE, "SSv2 68.2", (16, 224, 224), 0),
        Published("mvit_v2_s-ae3be167.pth", _PYTORCH, _BSD, "Kinetics-400 80.8", (16, 224, 224), 4),
        Published("MViTv2_S_in1k.pyth", _MVIT, "Apache 2.0 (mvit)", "ImageNet 83.6, an image", (1, 224, 224), 1),
    ),
    "mvitv2_b": (
        Published("MViTv2_B_32x3_k400_f304025456.pyth", _SLOWFAST, _APACHE, "Kinetics-400 82.9", (32, 224, 224), 3),
        Published("MViTv2_B_32x3_ssv2_f305803282.pyth", _SLOWFAST, _APACHE, "SSv2 70.5", (32, 224, 224), 0),
    ),
    "mvitv1_b": (
        Published("K400_MVIT_B_16x4_CONV.pyth", _OLD, _APACHE, "Kinetics-400 78.4", (16, 224, 224), 4),
        Published("mvit_v1_b-dbeb1030.pth", _PYTORCH, _BSD, "Kinetics-400 78.5", (16, 224, 224), 4),
    ),
}  # fmt: skip
"""What the ordinary loader takes, by backbone."""
