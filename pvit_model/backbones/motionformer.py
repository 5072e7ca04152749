"""Motionformer: a vision transformer whose attention follows trajectories through the frames of a clip.

Patrick et al., "Keeping Your Eye on the Ball", arXiv 2106.05392. Every query attends to the places of each frame, which
gives one value per frame (its trajectory); then it attends along these. The class token and the extra ones attend to
everything; no patch attends to them, unless `prompt_keys` puts the extra ones among the places of every frame.
Parameter names are those of the published checkpoints.

The second keys are linear in the trajectory and meet one query each, so their matrix is applied to that query instead
(q . W x = W'q . x): a token's trajectory then costs one projection, not one per frame, and the same holds for projected
values. Nothing of the size queries x keys is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pvit_data.errors import ConfigError
from pvit_model.backbones.base import Backbone, Costs, Published
from pvit_model.backbones.drop_path import DropPath, drop_rates
from pvit_model.backbones.mlp import Mlp
from pvit_model.backbones.options import Count, Depth, Rate, Ratio, check_heads, with_options
from pvit_model.backbones.transformers_names import from_transformers
from pvit_model.backbones.video_vit import VideoViT
from pvit_model.backbones.vit_parts import (
    Attention,
    attended,
    merged,
    start_small,
)


@dataclass(frozen=True, kw_only=True)
class MotionformerConfig:
    """What distinguishes one Motionformer from another. Defaults: Motionformer-B 16x4.

    Args:
        clip: (T, H, W) that the position tables are made for; other sizes interpolate them.
        patch: (t, h, w) of a patch in frames and pixels.
        width, depth: of the tokens, in blocks.
        head_width: of one head; there are width / head_width.
        mlp_ratio: width of the MLPs' hidden layer over `width`.
        attention: `"trajectory"`; `"joint"`: over all tokens at once; `"divided"`: over time, then over space.
        values: of the second step of trajectory attention: `"original"`: the trajectory itself, as the published
            weights were trained; `"projected"`: a projection of it, as the paper says.
        prompt_keys: the extra tokens are keys and values of every frame, too, so that patches read them. Not the class
            token. Of trajectory attention; in the other two patches read all special tokens anyway.
        drop_path: rate of the last block; linear from 0.
    """

    clip: tuple[Count, Count, Count] = (16, 224, 224)
    patch: tuple[Count, Count, Count] = (2, 16, 16)
    width: Count = 768
    depth: Depth = 12
    head_width: Count = 64
    mlp_ratio: Ratio = 4.0
    attention: Literal["trajectory", "joint", "divided"] = "trajectory"
    values: Literal["original", "projected"] = "original"
    prompt_keys: bool = False
    drop_path: Rate = 0.2

    def __post_init__(self) -> None:
        check_heads(self.width, self.head_width)
        if self.attention != "trajectory" and (self.values != "original" or self.prompt_keys):
            raise ValueError(
                f"values and prompt_keys are of trajectory attention; this one is '{self.attention}'"
            )


class TrajectoryAttention(Attention):
    """Along every query's trajectory through the frames; see the module's docstring.

    Attributes:
        folded: project queries instead of keys and values (the same function); off only for counting, as the published
            figures count.
    """

    def __init__(self, config: MotionformerConfig) -> None:
        super().__init__(config.width, config.width // config.head_width)
        self.values, self.prompt_keys, self.folded = config.values, config.prompt_keys, True
        self.proj_q = nn.Linear(config.width, config.width)
        self.proj_kv = nn.Linear(config.width, 2 * config.width)

    def over(self, x: Float[Tensor, "b n c"], frames: int, special: int) -> Float[Tensor, "b n c"]:
        """The tokens' next values; `special` tokens lead, the patches follow by time, row, column."""
        q, k, v = self.split(x)
        told = merged(attended(q[:, :, :special], k, v))
        paths = self._paths(q, k, v, frames, special)
        along = self._folded if self.folded else self._textbook
        y: Tensor = self.proj(torch.cat([told, along(paths, self._queries(paths, frames))], dim=1))
        return y

    def _paths(self, q: Tensor, k: Tensor, v: Tensor, frames: int, special: int) -> Tensor:
        """(b, patches, frames, c): what every patch's query reads in each frame."""
        own = [torch.unflatten(t[:, :, special:], 2, (frames, -1)).unbind(2) for t in (k, v)]
        if self.prompt_keys and special > 1:
            shared = [t[:, :, 1:special] for t in (k, v)]
            own = [
                tuple(torch.cat([prompts, places], dim=2) for places in parts)
                for prompts, parts in zip(shared, own, strict=True)
            ]
        queries = q[:, :, special:]
        found = (attended(queries, *keys) for keys in zip(*own, strict=True))
        return torch.stack([merged(y) for y in found], dim=2)

    def _queries(self, paths: Tensor, frames: int) -> Tensor:
        """(b, patches, heads, d): made of what each query reads in its own frame."""
        by_frame = torch.unflatten(paths, 1, (frames, -1))
        own = torch.cat([by_frame[:, t, :, t] for t in range(frames)], dim=1)
        q: Tensor = torch.unflatten(self.proj_q(own), -1, (self.heads, -1))
        scale: float = q.shape[-1] ** -0.5
        return q * scale

    def _folded(self, paths: Tensor, q: Tensor) -> Tensor:
        """Attention along the paths; the projections of keys and values act on what there is one of per token."""
        batch, patches = paths.shape[:2]
        weight = torch.unflatten(self.proj_kv.weight, 0, (2, self.heads, -1))
        bias = torch.unflatten(self.proj_kv.bias, 0, (2, self.heads, -1))
        every = paths.flatten(0, 1)
        moved = torch.einsum("bnyd,ydc->bnyc", q, weight[0]).flatten(0, 1)
        # The keys' bias adds the same to all frames of a query: no score changes, but it has its place in the graph.
        shift = (q * bias[0]).sum(-1).flatten(0, 1)[..., None]
        scores = (torch.bmm(moved, every.transpose(1, 2)) + shift).softmax(-1)
        if self.values == "projected":
            mixed = torch.unflatten(torch.bmm(scores, every), 0, (batch, patches))
            return (torch.einsum("bnyc,ydc->bnyd", mixed, weight[1]) + bias[1]).flatten(2)
        parts = torch.unflatten(every, -1, (self.heads, -1))
        out = torch.einsum("myf,mfyd->myd", scores, parts)
        return torch.unflatten(out.flatten(1), 0, (batch, patches))

    def _textbook(self, paths: Tensor, q: Tensor) -> Tensor:
        """The same with keys and values of every frame."""
        k, v = torch.unflatten(self.proj_kv(paths), -1, (2, self.heads, -1)).unbind(3)
        if self.values == "original":
            v = torch.unflatten(paths, -1, (self.heads, -1))
        scores = torch.einsum("bnyd,bnfyd->bnyf", q, k).softmax(-1)
        return torch.einsum("bnyf,bnfyd->bnyd", scores, v).flatten(2)


class DividedAttention(Attention):
    """Patches attend along time or within their frame, and to the special tokens; these attend to everything."""

    def over(
        self,
        x: Float[Tensor, "b n c"],
        frames: int,
        special: int,
        *,
        axis: Literal["time", "space"],
    ) -> Float[Tensor, "b n c"]:
        """The tokens' next values; `special` tokens lead, the patches follow by time, row, column."""
        q, k, v = self.split(x)
        told = attended(q[:, :, :special], k, v)
        rows = [self._rows(t, frames, special, axis) for t in (q, k, v)]
        number = rows[0].shape[1]
        lead = [t[:, None, :, :special].expand(-1, number, -1, -1, -1) for t in (k, v)]
        keys, values = (torch.cat([a, b], dim=3) for a, b in zip(lead, rows[1:], strict=True))
        seen = attended(rows[0].flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1))
        seen = torch.unflatten(merged(seen), 0, (len(x), number))
        seen = (seen.transpose(1, 2) if axis == "time" else seen).flatten(1, 2)
        y: Tensor = self.proj(torch.cat([merged(told), seen], dim=1))
        return y

    def _rows(self, x: Tensor, frames: int, special: int, axis: str) -> Tensor:
        """(b, heads, n, d) -> (b, rows, heads, length, d): patches that see each other, together."""
        patches = torch.unflatten(x[:, :, special:], 2, (frames, -1))
        return patches.permute(0, 3, 1, 2, 4) if axis == "time" else patches.transpose(1, 2)


class Block(nn.Module):
    """Attention and MLP, each behind a LayerNorm, each added; divided attention comes in two steps."""

    def __init__(self, config: MotionformerConfig, drop_path: float) -> None:
        super().__init__()
        width, heads = config.width, config.width // config.head_width
        self.kind = config.attention
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        if self.kind == "trajectory":
            self.attn: Attention = TrajectoryAttention(config)
        elif self.kind == "joint":
            self.attn = Attention(width, heads)
        else:
            self.attn = DividedAttention(width, heads)
            self.timeattn = DividedAttention(width, heads)
            self.norm3 = nn.LayerNorm(width, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), width)
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Float[Tensor, "b n c"], frames: int, special: int
    ) -> Float[Tensor, "b n c"]:
        """The next tokens; the first `special` of them have no place."""
        if isinstance(self.attn, DividedAttention):  # time is never dropped, as published
            x = x + self.timeattn.over(self.norm3(x), frames, special, axis="time")
            y = self.attn.over(self.norm1(x), frames, special, axis="space")
        elif isinstance(self.attn, TrajectoryAttention):
            y = self.attn.over(self.norm1(x), frames, special)
        else:
            y = self.attn(self.norm1(x))
        x = x + self.drop_path(y)
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class Motionformer(VideoViT):
    """See the module's docstring. What is read is tanh of a linear layer of the class token, as published."""

    rate = 4
    normalise = ((0.5,) * 3, (0.5,) * 3)
    embedding = "patch_embed_3d"
    time_table = "temp_embed"
    places_by = "bicubic"
    times_by = "linear"

    def __init__(self, config: MotionformerConfig, name: str = "motionformer") -> None:
        rates = drop_rates(config.drop_path, config.depth)
        blocks = [Block(config, rate) for rate in rates]
        super().__init__(name, config.clip, tuple(config.patch), config.width, blocks)
        self.config = config
        self.pre_logits = nn.Module()
        self.pre_logits.fc = nn.Linear(config.width, config.width)
        start_small(self.pre_logits)

    def read(self, cls: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """See the class's docstring."""
        return torch.tanh(self.pre_logits.fc(cls))  # type: ignore[operator]

    def use_countable_form(self) -> None:
        """Second keys and values of every frame, as the published figures count them."""
        for module in self.modules():
            if isinstance(module, TrajectoryAttention):
                module.folded = False

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The published names, or those of an image ViT, whose patches are then repeated in time.

        A published file holds an image's patch embedding, too, which videos do not pass.
        """
        if any(name.startswith("patch_embed_3d.") for name in state):
            return dict(state)
        found = from_transformers(state)
        if "time_embed" in found:
            raise ConfigError(
                "the file holds weights of TimeSformer; choose the backbone timesformer_b"
            )
        return {
            name.replace("patch_embed.", "patch_embed_3d."): value for name, value in found.items()
        }

    def resize(
        self,
        name: str,
        value: Shaped[Tensor, "..."],
        shape: torch.Size,
        source: Backbone | None = None,
    ) -> Shaped[Tensor, "..."] | None:
        """An image's patches are shared out over the frames of a video's, as published; the rest as usual."""
        fitted = super().resize(name, value, shape, source)
        if name == "patch_embed_3d.proj.weight" and fitted is not None and value.shape != shape:
            return fitted / shape[2]
        return fitted

    def remark(self, costs: Costs) -> str:
        """Why a step takes less than its GFLOPs say."""
        return NOTE if self.config.attention == "trajectory" else ""


NOTE = (
    "GFLOPs are counted as published, with second keys and values of every token in every frame. A step computes "
    "fewer: those projections act on the second queries and on the mixed values instead, which gives the same numbers."
)


def motionformer_b(**options: Any) -> Motionformer:
    """Motionformer-B 16x4: 108.5 M parameters, 369.5 GFLOPs."""
    model = Motionformer(with_options(MotionformerConfig(), options), "motionformer_b")
    model.published = PUBLISHED
    return model


_FOLDER = "https://dl.fbaipublicfiles.com/motionformer/"
_LICENCE = "CC BY-NC 4.0"
PUBLISHED = (
    Published("k400_motionformer_224_16x4.pyth", _FOLDER, _LICENCE, "Kinetics-400 79.7", (16, 224, 224), 4),
    Published("k400_motionformer_336_16x8.pyth", _FOLDER, _LICENCE, "Kinetics-400 80.7", (16, 336, 336), 8),
    Published("k400_motionformer_224_32x3.pyth", _FOLDER, _LICENCE, "Kinetics-400 80.2", (32, 224, 224), 3),
    Published("k400_joint_224_16x4.pyth", _FOLDER, _LICENCE, "Kinetics-400 79.2", (16, 224, 224), 4,
              "attention=joint"),
    Published("k400_divided_224_16x4.pyth", _FOLDER, _LICENCE, "Kinetics-400 78.5", (16, 224, 224), 4,
              "attention=divided"),
    Published("ssv2_motionformer_224_16x4.pyth", _FOLDER, _LICENCE, "SSv2 66.5", (16, 224, 224), 0),
    Published("ssv2_motionformer_336_16x4.pyth", _FOLDER, _LICENCE, "SSv2 67.1", (16, 336, 336), 0),
    Published("ssv2_motionformer_224_32x3.pyth", _FOLDER, _LICENCE, "SSv2 68.1", (32, 224, 224), 0),
)  # fmt: skip
"""What the ordinary loader takes."""
