"""What a backbone must do here: a clip and extra tokens in, final tokens and the features of chosen layers out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class BackboneOutput:
    """Tokens after the final norm, and raw block outputs.

    Args:
        cls: the class token (the mean over patch tokens in a backbone without one).
        extra: the extra tokens, in the order in which they were given.
        tokens: the patch tokens, ordered by time, row, column.
        features: by layer: patch tokens as the block left them (B, T'H'W', C_l), and their grid (T', H', W').
    """

    cls: Float[Tensor, "b c"]
    extra: Float[Tensor, "b e c"]
    tokens: Float[Tensor, "b n c"]
    features: Mapping[int, tuple[Tensor, Grid]] = field(default_factory=dict)


@runtime_checkable
class Backbone(Protocol):
    """A module registered under the entry point `pvit.backbones`, built by a function of keyword options.

    Attributes:
        width: width of the patch embedding, which extra tokens for layer 0 must have.
        dims: width of each layer's output; the last is C.
        dense_layers: layers that dense heads tap by default (0-based).
        dense_width: channels of dense heads by default.
        normalise: (mean, std) per channel of RGB in [0, 1], applied by the loader, never inside `forward`.
    """

    width: int
    dims: tuple[int, ...]
    dense_layers: tuple[int, ...]
    dense_width: int
    normalise: tuple[tuple[float, ...], tuple[float, ...]]

    def grid(self, t: int, h: int, w: int) -> tuple[Grid, ...]:
        """(T', H', W') of each layer's output for a (T, H, W) clip; T is 1 or even, H and W are multiples of 4."""

    def width_at(self, layer: int) -> int:
        """Width of the tokens that enter a layer."""

    def forward(
        self,
        clip: Float[Tensor, "b 3 t h w"],
        extra: Float[Tensor, "b e c"] | None = None,
        *,
        extra_layer: int = 0,
        layers: Collection[int] = (),
    ) -> BackboneOutput:
        """Run the backbone.

        Args:
            clip: RGB, normalised with `normalise`.
            extra: further tokens, of width `width_at(extra_layer)`.
            extra_layer: the layer that they enter.
            layers: layers whose output is returned in `features`.
        """

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A published state dict (container and prefixes removed) under the module's own names; the classifier as
        `head.weight` and `head.bias`."""
