"""What TimeSformer and Motionformer share: a vision transformer over a clip's patches, with learned places and times.

The sequence is [CLS, extra tokens, patches by time, row, column]. Left to each of them: how blocks attend, what is read
of CLS, what its files call things.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pvit_model.backbones.base import Backbone, BackboneOutput, Grid
from pvit_model.backbones.vit_parts import (
    PatchEmbedding,
    patch_grid,
    resized_from,
    resized_places,
    resized_times,
    start_small,
    tapped,
)


class VideoViT(Backbone):
    """See the module's docstring.

    Attributes:
        name: of the backbone, for messages.
        embedding, time_table: names of the patch embedding and of the table of times, as published.
        places_by, times_by: how tables of another size are interpolated, as published.

    Args:
        kernel: (h, w) or (t, h, w) of a patch in pixels and frames.
        blocks: called with tokens, number of frames and number of tokens without a place, which lead.
    """

    own_tokens = 1
    embedding = "patch_embed"
    time_table = "time_embed"
    places_by: Literal["nearest", "bicubic"] = "nearest"
    times_by: Literal["nearest", "linear"] = "nearest"

    def __init__(
        self,
        name: str,
        clip: Grid,
        kernel: tuple[int, ...],
        width: int,
        blocks: Iterable[nn.Module],
    ) -> None:
        super().__init__()
        self.name, self.clip, self.width = name, clip, width
        embedding = PatchEmbedding(kernel, width)
        self.patch, self.stride = embedding.patch, embedding.patch[0]
        self.side_step = math.lcm(*embedding.patch[1:])
        t, h, w = self._grid(*clip)
        self.add_module(self.embedding, embedding)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + h * w, width))
        self.register_parameter(self.time_table, nn.Parameter(torch.zeros(1, t, width)))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.dims = (width,) * len(self.blocks)
        self.dense_layers = tapped(len(self.blocks))
        start_small(self)
        for table in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(table, std=0.02)

    def _grid(self, t: int, h: int, w: int) -> Grid:
        return patch_grid((t, h, w), self.patch, self.name)

    def grid(self, t: int, h: int, w: int) -> tuple[Grid, ...]:
        """The same after every block."""
        return (self._grid(t, h, w),) * len(self.blocks)

    def map_size(self, t: int, h: int, w: int) -> Grid:
        """A quarter of the image, as of the other built-in backbones."""
        return self._grid(t, h, w)[0], h // 4, w // 4

    def undecayed(self) -> frozenset[str]:
        """The class token and the positions, as published."""
        return frozenset({"cls_token", "pos_embed", self.time_table})

    def forward(
        self,
        clip: Float[Tensor, "b 3 t h w"],
        extra: Float[Tensor, "b e c"] | None = None,
        *,
        extra_layer: int = 0,
        layers: Collection[int] = (),
    ) -> BackboneOutput:
        """See `Backbone.forward`."""
        grid = self._grid(*clip.shape[2:])
        x, special, features = self._embed(clip, grid), 1, {}
        for i, block in enumerate(self.blocks):
            if i == extra_layer and extra is not None:
                special += extra.shape[1]
                x = torch.cat([x[:, :1], extra.to(x.dtype), x[:, 1:]], dim=1)
            x = block(x, grid[0], special)
            if i in layers:
                features[i] = (x[:, special:], grid)
        x = self.norm(x)
        return BackboneOutput(self.read(x[:, 0]), x[:, 1:special], x[:, special:], features)

    def read(self, cls: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """What of the class token goes to the heads."""
        return cls

    def _embed(self, clip: Tensor, grid: Grid) -> Tensor:
        x = getattr(self, self.embedding)(clip).to(self.cls_token.dtype)
        own = self._grid(*self.clip)
        places = resized_places(self.pos_embed[:, 1:], own[1:], grid[1:], self.places_by)
        times = resized_times(getattr(self, self.time_table), grid[0], self.times_by)
        x = (x + places[:, None] + times[:, :, None]).flatten(1, 2)
        cls = self.cls_token + self.pos_embed[:, :1]
        return torch.cat([cls.expand(len(x), -1, -1), x], dim=1)

    def resize(
        self,
        name: str,
        value: Shaped[Tensor, "..."],
        shape: torch.Size,
        source: Backbone | None = None,
    ) -> Shaped[Tensor, "..."] | None:
        """Positions of another crop (of a file's: a square one) or number of frames."""
        if name not in ("pos_embed", self.time_table):
            return super().resize(name, value, shape, source)
        if value.ndim != 3 or value.shape[::2] != shape[::2] or not value.shape[1]:
            return None
        if name == self.time_table:
            return resized_times(value.float(), shape[1], self.times_by)
        old = source._grid(*source.clip)[1:] if isinstance(source, VideoViT) else None
        cls, places = value[:, :1], value[:, 1:]
        found = resized_from(places, old, self._grid(*self.clip)[1:], self.places_by)
        if found is None or found is places:
            return None if found is None else value
        return torch.cat([cls.float(), found], dim=1)
