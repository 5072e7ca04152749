"""Video Swin: attention inside windows of a clip, shifted in every second block, patches merged between the stages.

Liu et al., "Video Swin Transformer", arXiv 2106.13230. The modules are torchvision's; what they do not do is to let
extra tokens through, so windows are cut here. Every window holds a copy of the extra tokens, which attend without a
bias; the copies' outputs are averaged (as VPT does for Swin: Jia et al., arXiv 2203.12119). Where patches are merged,
an extra token is merged as four equal patches would be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torchvision.models.video.swin_transformer import SwinTransformer3d

from pvit_data.errors import ConfigError, UsageError
from pvit_model.backbones.base import Backbone, BackboneOutput, Grid, Published
from pvit_model.backbones.drop_path import DropPath, drop_rates
from pvit_model.backbones.mlp import run_mlp
from pvit_model.backbones.options import (
    MAX_DEPTH,
    Count,
    Depth,
    Rate,
    Ratio,
    check_heads,
    with_options,
)
from pvit_model.backbones.vit_parts import resized_places, resized_times
from pvit_model.backbones.windows import attend


@dataclass(frozen=True, kw_only=True)
class SwinConfig:
    """What distinguishes one Video Swin from another. Defaults: Video Swin-T 32x2.

    Args:
        clip: nominal (T, H, W); any other is taken, too.
        patch: (t, h, w) of a patch in frames and pixels.
        width: of the first stage; it doubles at each further one.
        depths: blocks of each stage.
        head_width: of one head; the first stage has width / head_width.
        window: (t, h, w) of a window in patches.
        mlp_ratio: width of the MLPs' hidden layer over that of the tokens.
        drop_path: rate of the last block; linear from 0.
    """

    clip: tuple[Count, Count, Count] = (32, 224, 224)
    patch: tuple[Count, Count, Count] = (2, 4, 4)
    width: Count = 96
    depths: tuple[Depth, ...] = (2, 2, 6, 2)
    head_width: Count = 32
    window: tuple[Count, Count, Count] = (8, 7, 7)
    mlp_ratio: Ratio = 4.0
    drop_path: Rate = 0.1

    def __post_init__(self) -> None:
        if not 1 < sum(self.depths) <= MAX_DEPTH:
            raise ValueError(f"depths {self.depths}: expected 2 to {MAX_DEPTH} blocks in all")
        check_heads(self.width, self.head_width)


class Layer(nn.Module):
    """A block of torchvision's behind the merging that starts its stage, among whose tokens there may be extra ones.

    Args:
        block: torchvision's; it holds the parameters.
        merge: torchvision's merging of patches, or None.
        drop_path: rate of this block.
    """

    def __init__(self, block: nn.Module, merge: nn.Module | None, drop_path: float) -> None:
        super().__init__()
        self.block, self.merge, self.drop_path = block, merge, DropPath(drop_path)
        # What a table is read by is no weight: it follows from the window, and no file may say another.
        attn: Any = block.attn
        index: Tensor = attn.relative_position_index
        attn.register_buffer("relative_position_index", index, persistent=False)

    def forward(
        self, x: Float[Tensor, "b t h w c"], extra: Float[Tensor, "b e c"]
    ) -> tuple[Float[Tensor, "b t h2 w2 d"], Float[Tensor, "b e d"]]:
        """The next patches and extra tokens."""
        block: Any = self.block
        merge: Any = self.merge
        if merge is not None:
            x, extra = merge(x), merge.reduction(merge.norm(extra.repeat(1, 1, 4)))
        grid, number = _sides(x), extra.shape[1]
        tokens = torch.cat([extra, x.flatten(1, 3)], dim=1) if number else x.flatten(1, 3)
        tokens = tokens + self.drop_path(self._attention(block.norm1(tokens), grid, number))
        y = run_mlp(block.norm2(tokens), block.mlp[0], block.mlp[3])
        tokens = tokens + self.drop_path(y)
        return torch.unflatten(tokens[:, number:], 1, grid), tokens[:, :number]

    def _attention(self, tokens: Tensor, grid: Grid, number: int) -> Tensor:
        """Of normed tokens, `number` extra ones before the patches."""
        attn: Any = self.block.attn
        window, shift = fitted_window(grid, attn.window_size, attn.shift_size)
        x = torch.unflatten(tokens[:, number:], 1, grid)
        t, h, w = (-g % size for g, size in zip(grid, window, strict=True))
        x = F.pad(x, (0, 0, 0, w, 0, h, 0, t)) if t or h or w else x
        padded = _sides(x)
        if any(shift):
            x = torch.roll(x, [-s for s in shift], (1, 2, 3))
        qkv = attn.qkv(_cut(x, window))
        bias = attn.get_relative_position_bias(list(window))[0]
        regions = rolled_regions(padded, window, shift, x.device) if any(shift) else None
        if number:
            told = attn.qkv(tokens[:, :number])[:, None].expand(-1, qkv.shape[1], -1, -1)
            qkv = torch.cat([told, qkv], dim=2)
            bias = F.pad(bias, (number, 0, number, 0))
            regions = None if regions is None else F.pad(regions, (number, 0), value=-1)
        y = attn.proj(attend(qkv, attn.num_heads, bias, regions))
        x = _joined(y[:, :, number:], padded, window)
        if any(shift):
            x = torch.roll(x, list(shift), (1, 2, 3))
        x = x[:, : grid[0], : grid[1], : grid[2]].flatten(1, 3)
        return torch.cat([y[:, :, :number].mean(1), x], dim=1) if number else x


def fitted_window(grid: Grid, window: Collection[int], shift: Collection[int]) -> tuple[Grid, Grid]:
    """Window and shift of a block on a grid: where that is no larger, it is the window, and nothing shifts."""
    pairs = [(g, 0) if g <= w else (w, s) for g, w, s in zip(grid, window, shift, strict=True)]
    (t, a), (h, b), (w, c) = pairs
    return (t, h, w), (a, b, c)


def _sides(x: Tensor) -> Grid:
    _, t, h, w, _ = x.shape
    return t, h, w


def _cut(x: Tensor, window: Grid) -> Tensor:
    """(b, t, h, w, c) -> (b, windows, tokens, c)."""
    for axis, size in zip((1, 3, 5), window, strict=True):
        x = torch.unflatten(x, axis, (-1, size))
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6).flatten(1, 3)


def _joined(x: Tensor, grid: Grid, window: Grid) -> Tensor:
    """The inverse of `_cut`."""
    number = [g // w for g, w in zip(grid, window, strict=True)]
    x = torch.unflatten(torch.unflatten(x, 2, window), 1, number)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).flatten(5, 6).flatten(3, 4).flatten(1, 2)


def rolled_regions(
    grid: Grid, window: Grid, shift: Grid, device: torch.device
) -> Int[Tensor, "windows n"]:
    """Numbers of the parts of a rolled clip that were neighbours before, for the tokens of each window."""
    regions = torch.zeros(1, *grid, 1, dtype=torch.long, device=device)
    for axis, (size, moved) in enumerate(zip(window, shift, strict=True)):
        at = torch.arange(grid[axis], device=device)
        part = (at >= grid[axis] - size).long() + (at >= grid[axis] - moved).long()
        regions = 3 * regions + part.view([-1 if i == axis + 1 else 1 for i in range(5)])
    return _cut(regions, window)[0, :, :, 0]


class Swin(Backbone):
    """See the module's docstring. The class token is the mean over the patches."""

    normalise = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    rate = 2
    side_step = 4

    def __init__(self, config: SwinConfig, name: str = "swin3d") -> None:
        super().__init__()
        self.config, self.name, self.clip = config, name, config.clip
        self.stride, self.width = config.patch[0], config.width
        widths = [config.width << stage for stage in range(len(config.depths))]
        net = SwinTransformer3d(
            patch_size=list(config.patch), embed_dim=config.width, depths=list(config.depths),
            num_heads=[w // config.head_width for w in widths], window_size=list(config.window),
            mlp_ratio=config.mlp_ratio, stochastic_depth_prob=0.0, num_classes=1,
        )  # fmt: skip
        self.patch_embed, self.blocks = net.patch_embed, nn.ModuleList()
        rates = iter(drop_rates(config.drop_path, sum(config.depths)))
        for stage, merge in zip(net.features[::2], [None, *net.features[1::2]], strict=True):
            for i, block in enumerate(stage):
                self.blocks.append(Layer(block, None if i else merge, next(rates)))
        self.norm = net.norm
        self.dims = tuple(w for w, n in zip(widths, config.depths, strict=True) for _ in range(n))
        ends = [sum(config.depths[:n]) - 1 for n in range(1, len(widths) + 1)]
        self.dense_layers = tuple(ends[1:] or ends)

    def grid(self, t: int, h: int, w: int) -> tuple[Grid, ...]:
        """Patches, halved in space where a stage starts; the last ones of odd sides stay."""
        frames, rows, columns = (
            -(-n // p) for n, p in zip((t, h, w), self.config.patch, strict=True)
        )
        grids = []
        for layer in self.blocks:
            if layer.merge is not None:
                rows, columns = -(-rows // 2), -(-columns // 2)
            grids.append((frames, rows, columns))
        return tuple(grids)

    def map_size(self, t: int, h: int, w: int) -> Grid:
        """A quarter of the image, the resolution of the first stage."""
        if (t > 1 and t % self.config.patch[0]) or h % 4 or w % 4:
            raise UsageError(
                f"backbone '{self.name}' takes clips of 1 frame or a multiple of {self.config.patch[0]}, and of sides "
                f"that are multiples of 4, not {t}x{h}x{w}"
            )
        return self.grid(t, h, w)[0][0], h // 4, w // 4

    def undecayed(self) -> frozenset[str]:
        """The tables of relative positions, as published."""
        return frozenset(n for n, _ in self.named_parameters() if "relative_position_bias" in n)

    def forward(
        self,
        clip: Float[Tensor, "b 3 t h w"],
        extra: Float[Tensor, "b e c"] | None = None,
        *,
        extra_layer: int = 0,
        layers: Collection[int] = (),
    ) -> BackboneOutput:
        """See `Backbone.forward`."""
        x, features = self.patch_embed(clip).to(self.norm.weight.dtype), {}
        tokens = x.new_zeros(len(x), 0, self.width)
        for i, layer in enumerate(self.blocks):
            if i == extra_layer and extra is not None:
                tokens = extra.to(x.dtype)
            x, tokens = layer(x, tokens)
            if i in layers:
                features[i] = (x.flatten(1, 3), _sides(x))
        x = self.norm(x).flatten(1, 3)
        return BackboneOutput(x.mean(1), self.norm(tokens), x, features)

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's names, Video Swin's own, or those of an image Swin (timm's, torchvision's), detected."""
        if any(re.match(r"(swin\.)?encoder\.layers\.\d+\.blocks\.", name) for name in state):
            raise ConfigError(
                "the file holds an image Swin under the names of 'transformers', which are not read here; take the "
                "same weights as timm or torchvision publish them"
            )
        stages = len(self.config.depths)
        first = [sum(self.config.depths[:n]) for n in range(stages + 1)]
        last = f"layers.{stages - 1}.downsample."
        starts = any(name.startswith(last) for name in state)
        image = "features.0.0.weight" in state
        return {
            _own_name(_as_video(name) if image else name, first, starts): value
            for name, value in state.items()
        }

    def source_of(self, state: Mapping[str, Tensor]) -> Backbone | None:
        """One of the window by which the file's indices read its tables, where all do by the same."""
        tables = {
            name: state.get(name.replace("_index", "_bias_table"))
            for name in state
            if name.endswith("relative_position_index")
        }
        found = {
            _window_of(state[k], len(v)) for k, v in tables.items() if v is not None and v.ndim
        }
        if len(found) != 1 or (window := found.pop()) is None:
            return None
        with torch.device("meta"):
            return Swin(replace(self.config, window=window))

    def resize(
        self,
        name: str,
        value: Shaped[Tensor, "..."],
        shape: torch.Size,
        source: Backbone | None = None,
    ) -> Shaped[Tensor, "..."] | None:
        """Tables of another window are interpolated, bicubically in space and linearly in time.

        An image's are repeated in time and its patches shared out over it, as Video Swin inflates image models.
        """
        if name.endswith("relative_position_bias_table"):
            if value.ndim != 2 or value.shape[1] != shape[1]:
                return None
            old = source.config.window if isinstance(source, Swin) else None
            return _resized_table(value.float(), self.config.window, old)
        inflated = super().resize(name, value, shape, source)
        return inflated if inflated is None or value.shape == shape else inflated / shape[2]


def _resized_table(
    table: Float[Tensor, "n y"], window: Grid, source: Grid | None = None
) -> Tensor | None:
    """A table of relative positions for another window; None where its own cannot be told from its length.

    Args:
        table: of one window.
        window: of ours.
        source: the table's own window; None: unknown. Then it differs in time only, or it is square in space and an
            image's (no time at all) or as long in time; where two of these are possible, nobody can tell.
    """
    t, h, w = (2 * n - 1 for n in window)
    if source is not None:
        found = {(2 * source[0] - 1, 2 * source[1] - 1, 2 * source[2] - 1)}
    else:
        found = {(len(table) // (h * w), h, w)}
        found |= {(n, side, side) for n in (1, t) if (side := _odd_side(len(table) // n))}
    fitting = [old for old in found if math.prod(old) == len(table) and old[0] % 2]
    if len(fitting) != 1:
        return None
    (old,) = fitting
    if old == (t, h, w):
        return table
    by_frame = torch.unflatten(table, 0, (old[0], -1))
    by_place = resized_places(by_frame, old[1:], (h, w), "bicubic").transpose(0, 1)
    return resized_times(by_place, t, "linear").transpose(0, 1).flatten(0, 1)


def _window_of(index: Tensor, entries: int) -> Grid | None:
    """The window by whose index a table of so many entries is read; None where it is not the only one."""
    places = math.isqrt(index.numel())
    sides = [n for n in range(1, places + 1) if places % n == 0]
    found = [
        (t, h, places // (t * h))
        for t in sides
        for h in sides
        if places % (t * h) == 0 and _reads(index, (t, h, places // (t * h)), entries)
    ]
    return found[0] if len(found) == 1 else None


def _reads(index: Tensor, window: Grid, entries: int) -> bool:
    """Whether an index is that of a window's pairs: by its first row, of pairs with the first place."""
    t, h, w = window
    if (2 * t - 1) * (2 * h - 1) * (2 * w - 1) != entries:
        return False
    row = index.flatten()[: t * h * w].long()
    at = torch.cartesian_prod(torch.arange(t), torch.arange(h), torch.arange(w)).view(-1, 3)
    steps = at @ torch.tensor([(2 * h - 1) * (2 * w - 1), 2 * w - 1, 1])
    return torch.equal(row[0] - row, steps)


def _odd_side(places: int) -> int:
    side = round(places**0.5)
    return side if side**2 == places and side % 2 else 0


def _as_video(name: str) -> str:
    """The name in torchvision's video Swin of what its image Swin calls so."""
    if match := re.match(r"features\.0\.(0|2)\.", name):
        return name.replace(
            match[0], "patch_embed.proj." if match[1] == "0" else "patch_embed.norm."
        )
    match = re.match(r"features\.(\d+)\.", name)
    return name.replace(match[0], f"features.{int(match[1]) - 1}.") if match else name


def _own_name(name: str, first: list[int], starts: bool) -> str:
    """A published name as ours.

    Args:
        first: number of each stage's first block, and of all blocks.
        starts: patches are merged where a stage starts, as timm names it; else behind the stage before.
    """
    name = re.sub(r"^cls_head\.fc_cls\.", "head.", name)
    stage, rest = -1, ""
    if match := re.match(
        r"features\.(\d+)\.(.+)", name
    ):  # torchvision: stages and mergings by turns
        stage, odd = divmod(int(match[1]), 2)
        rest = f"downsample.{match[2]}" if odd else f"blocks.{match[2]}"
    elif match := re.match(r"layers\.(\d+)\.(.+)", name):
        stage, rest = int(match[1]), match[2]
    if not 0 <= stage < len(first) - 1:
        return name
    if match := re.match(r"downsample\.(.+)", rest):
        into = stage if starts else stage + 1
        return f"blocks.{first[into]}.merge.{match[1]}" if into < len(first) - 1 else name
    match = re.match(r"blocks\.(\d+)\.(.+)", rest)
    if match is None or first[stage] + int(match[1]) >= first[stage + 1]:
        return name
    inner = match[2].replace("mlp.fc1.", "mlp.0.").replace("mlp.fc2.", "mlp.3.")
    return f"blocks.{first[stage] + int(match[1])}.block.{inner}"


def _build(name: str, base: SwinConfig, options: Mapping[str, Any]) -> Swin:
    model = Swin(with_options(base, options), name)
    model.published = PUBLISHED[name]
    return model


def swin3d_t(**options: Any) -> Swin:
    """Video Swin-T 32x2: 28.2 M parameters, 88 GFLOPs."""
    return _build("swin3d_t", SwinConfig(), options)


def swin3d_s(**options: Any) -> Swin:
    """Video Swin-S 32x2: 49.8 M parameters, 166 GFLOPs."""
    return _build("swin3d_s", SwinConfig(depths=(2, 2, 18, 2)), options)


def swin3d_b(**options: Any) -> Swin:
    """Video Swin-B 32x2: 88 M parameters, 282 GFLOPs."""
    return _build("swin3d_b", SwinConfig(width=128, depths=(2, 2, 18, 2)), options)


_PYTORCH = "https://download.pytorch.org/models/"
_SWIN = "https://github.com/SwinTransformer/storage/releases/download/v1.0.4/"
_CLIP = (32, 224, 224)
PUBLISHED = {
    "swin3d_t": (
        Published("swin3d_t-7615ae03.pth", _PYTORCH, "BSD 3-Clause (torchvision)", "Kinetics-400 77.7", _CLIP, 2),
        Published("swin_tiny_patch244_window877_kinetics400_1k.pth", _SWIN, "Apache 2.0", "Kinetics-400 78.8",
                  _CLIP, 2),
    ),
    "swin3d_s": (
        Published("swin3d_s-da41c237.pth", _PYTORCH, "BSD 3-Clause (torchvision)", "Kinetics-400 79.5", _CLIP, 2),
        Published("swin_small_patch244_window877_kinetics400_1k.pth", _SWIN, "Apache 2.0", "Kinetics-400", _CLIP, 2),
    ),
    "swin3d_b": (
        Published("swin3d_b_1k-24f7c7c6.pth", _PYTORCH, "BSD 3-Clause (torchvision)", "Kinetics-400 79.4", _CLIP, 2),
        Published("swin3d_b_22k-7c6ae6fa.pth", _PYTORCH, "BSD 3-Clause (torchvision)", "Kinetics-400 81.6", _CLIP, 2),
        Published("swin_base_patch244_window877_kinetics400_22k.pth", _SWIN, "Apache 2.0", "Kinetics-400", _CLIP, 2),
        Published("swin_base_patch244_window1677_sthv2.pth", _SWIN, "Apache 2.0", "SSv2 69.6", _CLIP, 0,
                  "window=[16, 7, 7]"),
    ),
}  # fmt: skip
"""What the ordinary loader takes, by backbone."""
