"""Heads: maps from patch tokens and the task's prompt (dense), or one linear layer on the prompt (localisation).

Heads see supervised rows only. With no row they run on an empty batch, so that every parameter stays in the graph.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from pvit_model.backbones.base import Grid

Features = Sequence[tuple[Tensor, Grid]]
ONE = ""
"""What the output of a head with only one is called."""


@dataclass(frozen=True)
class HeadInput:
    """What a head reads of a batch.

    Args:
        prompt: the vector of its task, of every row; of a label task the class token.
        features: patch tokens and grid of the tapped layers.
        size: (T', h, w) of maps.
        tokens: patch tokens of the last layer after the norm, without class token and prompts.
        grid: (T', h, w) of them.
        rois: boxes, as `Task.rois` gives them; None: there are none.
    """

    prompt: Float[Tensor, "b c"]
    features: Features
    size: Grid
    tokens: Float[Tensor, "b n c"]
    grid: Grid
    rois: Float[Tensor, "r 5"] | None = None

    def boxes(self) -> Float[Tensor, "r 5"]:
        """The boxes, of which there may be none."""
        return self.prompt.new_zeros((0, 5)) if self.rois is None else self.rois


class Head(nn.Module, ABC):
    """A task's head.

    Attributes:
        is_dense: whether it reads the features of tapped layers.
    """

    is_dense: ClassVar[bool] = False

    def output_names(self) -> list[str]:
        """Its outputs: one of no name, or those of the label spaces."""
        return [ONE]

    @abstractmethod
    def run(self, given: HeadInput) -> dict[str, Tensor]:
        """Predictions for every row, by output."""

    @abstractmethod
    def run_rows(self, given: HeadInput, rows: Mapping[str, Int[Tensor, "_"]]) -> dict[str, Tensor]:
        """Predictions by output, each for the rows given for it, ascending."""

    def add_output(self, name: str, channels: int) -> None:
        """One more output; only heads of tasks by label space are asked for one."""
        raise NotImplementedError(f"{type(self).__name__} has one output")


class DenseHead(Head):
    """LayerNorm and 3x3x3 convolution of each layer at its own grid, upsampling, dropout, MLP with the prompt.

    The MLP's first layer acts on [features, prompt] at every position; since it is linear, the prompt's part is
    computed once per sample and added everywhere. The paper gives no widths; 60 to 64 fit its parameter count.

    Args:
        widths: of the tapped layers.
        width: of the prompt.
        hidden: channels of each convolution and of the MLP's hidden layer.
        outputs: channels of each output layer, by name; a head with one output names it "".
    """

    is_dense = True

    def __init__(
        self,
        widths: tuple[int, ...],
        width: int,
        hidden: int,
        dropout: float,
        outputs: Mapping[str, int],
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.norms = nn.ModuleList(nn.LayerNorm(w, eps=1e-6) for w in widths)
        self.convs = nn.ModuleList(nn.Conv3d(w, hidden, 3, padding=1) for w in widths)
        self.dropout = dropout
        self.mix = nn.Linear(len(widths) * hidden, hidden)
        self.mix_prompt = nn.Linear(width, hidden, bias=False)
        self.outputs = nn.ModuleDict()
        for name, channels in outputs.items():
            self.add_output(name, channels)

    def add_output(self, name: str, channels: int) -> None:
        """One more output layer on the shared hidden maps."""
        device = self.mix.weight.device
        self.outputs[name or "map"] = nn.Linear(self.hidden, channels, device=device)

    def run(self, given: HeadInput) -> dict[str, Tensor]:
        """Maps of every row; nothing where there is no output layer yet."""
        names = self.output_names()
        if not names:
            return {}
        maps = self.trunk(given.features, given.prompt, given.size)
        return {name: self.finish(maps, name) for name in names}

    def run_rows(self, given: HeadInput, rows: Mapping[str, Int[Tensor, "_"]]) -> dict[str, Tensor]:
        """Maps of the given rows: the trunk runs on the rows of all outputs together."""
        names = self.output_names()
        picked = [rows[name] for name in names]
        every = torch.cat([torch.zeros(0, dtype=torch.long, device=given.prompt.device), *picked])
        pick = take if len(names) == 1 else Tensor.__getitem__  # rows of several are not in order
        features = [(pick(tokens, every), grid) for tokens, grid in given.features]
        maps = self.trunk(features, pick(given.prompt, every), given.size)
        if not names:  # no label space yet: the empty maps keep the parameters in the graph
            return {ONE: maps}
        parts = torch.split(maps, [len(p) for p in picked])
        return {name: self.finish(part, name) for name, part in zip(names, parts, strict=True)}

    def trunk(
        self, features: Features, prompt: Float[Tensor, "r c"], size: Grid
    ) -> Float[Tensor, "r t h w d"]:
        """Hidden maps of size (T', h, w)."""
        rate = self.dropout if self.training else 0.0
        hidden = self.mix.bias + self.mix_prompt(prompt)[:, None, None, None]
        weights = torch.split(self.mix.weight / (1 - rate), self.hidden, dim=1)
        for norm, conv, weight, (tokens, grid) in zip(
            self.norms, self.convs, weights, features, strict=True
        ):
            maps = self._upsampled(conv, norm(tokens), grid, size)
            hidden = hidden + F.linear(
                drop(maps, rate), weight
            )  # a linear layer of the concatenation, part by part
        return F.gelu(hidden)

    def _upsampled(self, conv: nn.Module, tokens: Tensor, grid: Grid, size: Grid) -> Tensor:
        """(r, n, c) on `grid` -> (r, T', h, w, hidden), channels-last all the way."""
        x: Tensor = conv(torch.unflatten(tokens, 1, grid).permute(0, 4, 1, 2, 3))
        frames = x.transpose(1, 2).flatten(0, 1)
        if grid[1:] != size[1:] and len(frames):
            frames = frames.contiguous(memory_format=torch.channels_last)
            frames = F.interpolate(frames, size=size[1:], mode="bilinear", align_corners=False)
        elif not len(frames):
            frames = frames.mean((2, 3), keepdim=True).expand(-1, -1, *size[1:])
        return torch.unflatten(frames.permute(0, 2, 3, 1), 0, (len(tokens), grid[0]))

    def finish(self, maps: Float[Tensor, "r t h w d"], layer: str) -> Float[Tensor, "r t h w k"]:
        """The named output layer's maps, channels last, in float32 under autocast too: rounding here shifts losses."""
        device = maps.device.type
        autocast = torch.amp.autocast_mode.is_autocast_available(
            device
        ) and torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False) if autocast else nullcontext():
            out: Tensor = self.outputs[layer or "map"](maps.float() if autocast else maps)
        return out


def drop(x: Float[Tensor, "*n"], rate: float) -> Float[Tensor, "*n"]:
    """Zero each element with probability `rate`; the others are left as they are, not scaled up.

    On CPUs four 16-bit draws are cut from each random word, several times faster than one draw per element.
    """
    if rate == 0:
        return x
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.int16)[: x.numel()].view(x.shape) >= round(rate * 2**16) - 2**15
    else:
        keep = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - rate)
    return torch.where(keep, x, 0)


def take(x: Shaped[Tensor, "b ..."], rows: Int[Tensor, "_"]) -> Shaped[Tensor, "r ..."]:
    """The given rows; ascending row numbers, so as many as there are rows means all of them, without a copy."""
    return x if len(rows) == len(x) else x[rows]


class TokenHead(Head):
    """One linear layer on the prompt; its time axis is interpolated for clips of another length.

    Args:
        width: of the prompt.
        frames: T' of the model's nominal clip.
        shape: of one frame's output; () for a number.
    """

    def __init__(self, width: int, frames: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.frames, self.shape = frames, shape
        self.linear = nn.Linear(width, frames * math.prod(shape))

    def run(self, given: HeadInput) -> dict[str, Tensor]:
        """The output of every row."""
        return {ONE: self(given.prompt, given.size[0])}

    def run_rows(self, given: HeadInput, rows: Mapping[str, Int[Tensor, "_"]]) -> dict[str, Tensor]:
        """The output of the given rows."""
        return {ONE: self(take(given.prompt, rows[ONE]), given.size[0])}

    def forward(self, prompt: Float[Tensor, "r c"], frames: int) -> Float[Tensor, "r t ..."]:
        """The output for each of `frames` predicted frames."""
        x: Tensor = torch.unflatten(self.linear(prompt).float(), 1, (self.frames, -1))
        if frames != self.frames and len(x):
            x = F.interpolate(x.transpose(1, 2), size=frames, mode="linear").transpose(1, 2)
        elif frames != self.frames:
            x = x.mean(1, keepdim=True).expand(-1, frames, -1)
        return torch.unflatten(x, 2, self.shape) if self.shape else x.squeeze(2)


class ClassHead(Head):
    """Dropout and a linear layer, as actions have it: labels of a whole clip.

    Args:
        width: of the class token.
        outputs: number of logits.
        dropout: before the layer.
    """

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, outputs)
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def run(self, given: HeadInput) -> dict[str, Tensor]:
        """The logits of every row."""
        return {ONE: self.linear(self.dropout(given.prompt))}

    def run_rows(self, given: HeadInput, rows: Mapping[str, Int[Tensor, "_"]]) -> dict[str, Tensor]:
        """The logits of the given rows."""
        return {ONE: self.linear(self.dropout(take(given.prompt, rows[ONE])))}
