"""What a backbone must do here: a clip and extra tokens in, final tokens and the features of chosen layers out.

`Backbone` names everything that the rest asks of one; what has a body is a default that most can keep. It is a module
made by a function of keyword options, among them `clip`, registered under the entry point `pvit.backbones`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

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


PROTOCOL_OF = {"SSv2": "ssv2", "Kinetics-400": "kinetics400"}
"""Data sets as `Published.trained_on` writes them."""


@dataclass(frozen=True)
class Published:
    """A file of published weights that the ordinary loader takes.

    Args:
        file: its name.
        address: page where it is had, or the folder that it lies in, which ends in a slash.
        licence: of the weights, as published; it binds what is published after fine-tuning.
        trained_on: data set, and top-1 in per cent where it is stated.
        clip: (T, H, W) that it was trained with.
        rate: frame step of its clips; 0: frames spread evenly over the whole video.
        options: of the backbone, without which it does not load.
    """

    file: str
    address: str
    licence: str
    trained_on: str
    clip: tuple[int, int, int]
    rate: int
    options: str = ""

    @property
    def url(self) -> str:
        """Where to begin a download."""
        return self.address + self.file if self.address.endswith("/") else self.address

    @property
    def top1(self) -> float | None:
        """The stated top-1 in per cent."""
        _, _, last = self.trained_on.rpartition(" ")
        return float(last) if last.replace(".", "", 1).isdecimal() else None

    @property
    def data(self) -> str:
        """The source that it was trained on, as its converter calls it: `"ssv2"`; "" for data that have none."""
        return PROTOCOL_OF.get(self.trained_on.partition(" ")[0], "")

    @property
    def protocol(self) -> str:
        """Name of the data set's recipes, for a file whose top-1 is stated: `"ssv2"`; else ""."""
        return "" if self.top1 is None else self.data


@dataclass(frozen=True)
class Costs:
    """What a network with this backbone costs, for a remark in `pvit info`.

    Args:
        prompts: number of prompts.
        head_parameters: of the auxiliary heads.
        plain, prompted, complete: multiply-adds of one clip: backbone alone, with prompts and actions, with all heads.
    """

    prompts: int
    head_parameters: int
    plain: int
    prompted: int
    complete: int


class Backbone(nn.Module, ABC):
    """A video backbone.

    Attributes:
        clip: the nominal (T, H, W), for runs whose recipe says none; other sizes may be given to `forward`.
        rate: frame step of the nominal clip, likewise; samplers of segments have none.
        width: width of the patch embedding, which extra tokens for layer 0 must have.
        dims: width of each layer's output; the last is C.
        blocks: the layers, in order. Layer-wise learning rates, recomputation, shards and the memory estimate go by
            them: what is registered before them counts as one layer before the first, what follows as the output.
        dense_layers: layers that dense heads tap by default (0-based).
        dense_width: channels of dense heads by default.
        stride: temporal stride of predictions; prediction t belongs to input frame `stride * t`.
        normalise: (mean, std) per channel of RGB in [0, 1], applied by the loader, never inside `forward`.
        side_step: sides of clips are multiples of it, other sizes than the nominal one included; 0: it takes clips of
            the nominal size only, and is not evaluated on whole frames.
        own_tokens: tokens that it has besides patches and extra ones, such as a class token; for `pvit info`.
        published: files of weights that load into it, for `pvit info`.
    """

    clip: tuple[int, int, int]
    width: int
    dims: tuple[int, ...]
    blocks: nn.ModuleList
    dense_layers: tuple[int, ...]
    dense_width: int = 64
    stride: int = 2
    normalise: tuple[tuple[float, ...], tuple[float, ...]] = ((0.45,) * 3, (0.225,) * 3)
    rate: int = 4
    side_step: int = 0
    own_tokens: int = 0
    published: tuple[Published, ...] = ()

    @abstractmethod
    def grid(self, t: int, h: int, w: int) -> tuple[Grid, ...]:
        """(T', H', W') of each layer's output for a (T, H, W) clip."""

    @abstractmethod
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
            extra: further tokens, of width `width_at(extra_layer)`; there may be none in it, as in the training of
                variants without prompts.
            extra_layer: the layer that they enter.
            layers: layers whose output is returned in `features`.
        """

    def map_size(self, t: int, h: int, w: int) -> Grid:
        """(T', h, w) of the dense maps for a (T, H, W) clip; by default the grid of the first layer.

        Raises:
            UsageError: if the backbone takes no clips of this size; the message says which it takes.
        """
        return self.grid(t, h, w)[0]

    def width_at(self, layer: int) -> int:
        """Width of the tokens that enter a layer."""
        return self.width if layer == 0 else self.dims[layer - 1]

    def undecayed(self) -> frozenset[str]:
        """Names of own parameters that weight decay spares; vectors and scalars are spared anyway."""
        return frozenset()

    def use_countable_form(self) -> None:
        """Switches to operations that FLOP counters know, where others are used: the same function, maybe slower."""

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """A published state dict (container and prefixes removed) under the module's own names.

        The classifier is called `head.weight` and `head.bias`. None: its names are not known here.
        """
        return dict(state)

    def source_of(self, state: Mapping[str, Tensor]) -> Backbone | None:
        """The backbone that a translated file comes from, without its weights, where its tensors tell; else None."""
        return None

    def resize(
        self,
        name: str,
        value: Shaped[Tensor, "..."],
        shape: torch.Size,
        source: Backbone | None = None,
    ) -> Shaped[Tensor, "..."] | None:
        """A given parameter as it is here; None if it cannot be had. By default kernels are repeated in time.

        Repeated, not divided: as SlowFast inflates image models.

        Args:
            name: its own.
            value: what was given.
            shape: of the parameter; the value may have it, and mean another grid all the same.
            source: the backbone that the value comes from, without its weights; None: of a file that does not say.
        """
        if value.shape == shape:
            return value
        if value.ndim == 4 and len(shape) == 5 and value.shape == shape[:2] + shape[3:]:
            return value.float()[:, :, None].expand(shape)
        return None

    def remark(self, costs: Costs) -> str:
        """A sentence on published figures that a reader of `pvit info` should know, or ""."""
        return ""
