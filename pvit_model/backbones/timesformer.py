"""TimeSformer: a vision transformer on frames whose blocks attend over time, then over space (or over both at once).

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", arXiv 2102.05095. Time: every place
attends along its own frames; no class token, no extra tokens. Space: within each frame, whose tokens see the class
token and the extra ones; these enter every frame as a copy, and the copies' outputs are averaged. Parameter names are
those of the published checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pvit_data.errors import ConfigError
from pvit_model.backbones.base import Published
from pvit_model.backbones.drop_path import DropPath, drop_rates
from pvit_model.backbones.mlp import Mlp
from pvit_model.backbones.options import Count, Depth, Rate, Ratio, check_heads, with_options
from pvit_model.backbones.transformers_names import from_transformers
from pvit_model.backbones.video_vit import VideoViT
from pvit_model.backbones.vit_parts import Attention


@dataclass(frozen=True, kw_only=True)
class TimeSformerConfig:
    """What distinguishes one TimeSformer from another. Defaults: TimeSformer-B 8x32.

    Args:
        clip: (T, H, W) that the position tables are made for; other sizes take the nearest entries.
        patch: side of a patch in pixels.
        width, depth: of the tokens, in blocks.
        head_width: of one head; there are width / head_width.
        mlp_ratio: width of the MLPs' hidden layer over `width`.
        attention: `"divided"`: over time, then over space; `"joint"`: over all tokens at once.
        drop_path: rate of the last block; linear from 0.
    """

    clip: tuple[Count, Count, Count] = (8, 224, 224)
    patch: Count = 16
    width: Count = 768
    depth: Depth = 12
    head_width: Count = 64
    mlp_ratio: Ratio = 4.0
    attention: Literal["divided", "joint"] = "divided"
    drop_path: Rate = 0.1

    def __post_init__(self) -> None:
        check_heads(self.width, self.head_width)


class Block(nn.Module):
    """Attention over time and over space, or over both, then an MLP; each behind a LayerNorm, each added."""

    def __init__(self, config: TimeSformerConfig, drop_path: float) -> None:
        super().__init__()
        width, heads = config.width, config.width // config.head_width
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.divided = config.attention == "divided"
        if self.divided:
            self.temporal_norm1 = nn.LayerNorm(width, eps=1e-6)
            self.temporal_attn = Attention(width, heads)
            self.temporal_fc = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), width)
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Float[Tensor, "b n c"], frames: int, special: int
    ) -> Float[Tensor, "b n c"]:
        """The next tokens.

        Args:
            x: `special` tokens without a place (CLS and extra ones), then the patches by time, row, column.
        """
        x = self._divided(x, frames, special) if self.divided else self._joint(x)
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out

    def _joint(self, x: Tensor) -> Tensor:
        y: Tensor = self.drop_path(self.attn(self.norm1(x)))
        return x + y

    def _divided(self, x: Tensor, frames: int, special: int) -> Tensor:
        cls, patches = x[:, :special], torch.unflatten(x[:, special:], 1, (frames, -1))
        patches = patches + self.temporal_fc(self._over_time(self.temporal_norm1(patches)))
        copies = cls[:, None].expand(-1, frames, -1, -1)
        every = torch.cat([copies, patches], dim=2).flatten(0, 1)
        y = self.drop_path(self.attn(self.norm1(every)))
        y = torch.unflatten(y, 0, (-1, frames))
        cls, patches = cls + y[:, :, :special].mean(1), patches + y[:, :, special:]
        return torch.cat([cls, patches.flatten(1, 2)], dim=1)

    def _over_time(self, x: Tensor) -> Tensor:
        """(b, t, n, c) -> the same, every place attending along its own frames; it is places that are dropped."""
        b, t, n, c = x.shape
        y = self.temporal_attn(x.transpose(1, 2).reshape(b * n, t, c))
        y = torch.unflatten(y, 0, (b, n)).transpose(1, 2)
        out: Tensor = self.drop_path(y, (b, 1, n, 1))
        return out


class TimeSformer(VideoViT):
    """See the module's docstring."""

    rate = 32

    def __init__(self, config: TimeSformerConfig, name: str = "timesformer") -> None:
        rates = drop_rates(config.drop_path, config.depth)
        blocks = [Block(config, rate) for rate in rates]
        super().__init__(name, config.clip, (config.patch, config.patch), config.width, blocks)
        self.config = config
        if config.attention == "divided":
            for block in blocks[1:]:  # time is learned from a standing start
                nn.init.zeros_(block.temporal_fc.weight)

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The published names, those of `transformers`, or those of an image ViT, detected.

        Attention over time starts as a copy of an image's attention, as published.
        """
        if any(name.startswith("patch_embed_3d.") for name in state):
            raise ConfigError(
                "the file holds weights of Motionformer; choose the backbone motionformer_b"
            )
        found = from_transformers(state)
        is_image = not any("temporal" in name for name in found)
        if is_image and self.config.attention == "divided":
            for name, value in list(found.items()):
                if match := re.match(r"(blocks\.\d+\.)((?:attn|norm1)\..+)", name):
                    found[f"{match[1]}temporal_{match[2]}"] = value
        return found


def timesformer_b(**options: Any) -> TimeSformer:
    """TimeSformer-B 8x32 with divided attention: 121.6 M parameters, 196 GFLOPs."""
    model = TimeSformer(with_options(TimeSformerConfig(), options), "timesformer_b")
    model.published = PUBLISHED
    return model


_HOME = "https://github.com/facebookresearch/TimeSformer"
_HUB = "https://huggingface.co/facebook/timesformer-base-finetuned-k400"
_LICENCE = "CC BY-NC 4.0"
PUBLISHED = (
    Published("TimeSformer_divST_8x32_224_K400.pyth", _HOME, _LICENCE, "Kinetics-400 77.9", (8, 224, 224), 32),
    Published("TimeSformer_divST_16x16_448_K400.pyth", _HOME, _LICENCE, "Kinetics-400 79.6", (16, 448, 448), 16),
    Published("TimeSformer_divST_96x4_224_K400.pyth", _HOME, _LICENCE, "Kinetics-400 80.6", (96, 224, 224), 4),
    Published("TimeSformer_divST_8_224_SSv2.pyth", _HOME, _LICENCE, "SSv2 59.1", (8, 224, 224), 0),
    Published("pytorch_model.bin of timesformer-base-finetuned-k400", _HUB, _LICENCE, "Kinetics-400 77.9",
              (8, 224, 224), 32),
)  # fmt: skip
"""What the ordinary loader takes; of `transformers` the weights' file."""
