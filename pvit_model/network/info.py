"""What a model costs: parameters, multiply-adds, memory kept for backward, token grids. Counted, on no device at all.

The model is built and run on PyTorch's meta device, so that counting needs neither memory nor time.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pvit_model.backbones.base import Backbone, Costs, Grid, Published
from pvit_model.config import PViTConfig
from pvit_model.network.pvit import PViT


@dataclass(frozen=True)
class Stage:
    """Consecutive layers with one width and grid.

    Args:
        layers: first and last, 0-based.
        width: of the tokens.
        grid: (T', H', W') of the patches after the layers.
        tokens: patches, tokens of the backbone's own (a class token) and prompts.
    """

    layers: tuple[int, int]
    width: int
    grid: Grid
    tokens: int


@dataclass(frozen=True)
class ModelInfo:
    """Costs of a model at one clip size.

    Args:
        name: of the backbone.
        clip: (T, H, W).
        train_parameters: of the whole model.
        test_parameters: without the auxiliary heads, which inference drops.
        trained_parameters: those that are not frozen.
        test_gflops: billions of multiply-adds for one clip without auxiliary heads, see `multiply_adds`.
        train_gflops: with all auxiliary heads; forward only.
        saved_mib: kept for backward of one clip through backbone and action head, parameters not counted.
        stages: token grids.
        maps: (T', h, w) of dense predictions.
        stride: frames of the clip from one of them to the next.
        dense_layers: layers that dense heads read (0-based).
        rate: frame step of the backbone's own clips.
        normalise: (mean, std) of RGB in [0, 1].
        published: files of weights that load into the backbone.
        note: remark on the paper's figures, or "".
    """

    name: str
    clip: tuple[int, int, int]
    train_parameters: int
    test_parameters: int
    trained_parameters: int
    test_gflops: float
    train_gflops: float
    saved_mib: float
    stages: tuple[Stage, ...]
    maps: Grid
    stride: int
    dense_layers: tuple[int, ...]
    rate: int = 1
    normalise: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    published: tuple[Published, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        layers_read = ", ".join(map(str, self.dense_layers))
        lines = [
            f"{self.name}, clip {_clip(self.clip)}",
            f"parameters   train {self.train_parameters / 1e6:.2f} M   test {self.test_parameters / 1e6:.2f} M"
            f"   trained {self.trained_parameters / 1e6:.2f} M",
            f"GFLOPs       test {self.test_gflops:.1f}   with heads {self.train_gflops:.1f}   (multiply-adds, forward)",
            f"activations  {self.saved_mib:.0f} MiB kept for backward, per clip, float32",
            f"dense maps   {_clip(self.maps)}, frame step {self.stride}, of layers {layers_read}",
            "layers    width  grid          tokens",
        ]
        for stage in self.stages:
            first, last = stage.layers
            layers = str(first) if first == last else f"{first}-{last}"
            lines.append(
                f"{layers:8} {stage.width:6}  {'x'.join(map(str, stage.grid)):12} {stage.tokens:7}"
            )
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def weights_lines(self) -> list[str]:
        """What clips the backbone takes, and which published files load into it, in plain lines."""
        mean, std = (" ".join(f"{x:g}" for x in values) for values in self.normalise)
        lines = [
            f"input        {_clip(self.clip)}, frame step {self.rate}; RGB in [0, 1], mean {mean}, std {std}",
            *(["weights      none are published"] if not self.published else []),
        ]
        for file in self.published:
            step = f"frame step {file.rate}" if file.rate else "frames spread over the video"
            lines += [
                f"weights      {file.file}" + (f", with {file.options}" if file.options else ""),
                f"             {file.trained_on}; clips {_clip(file.clip)}, {step}; {file.licence}",
                f"             {file.url}",
            ]
        return lines


def _clip(size: tuple[int, int, int]) -> str:
    return "x".join(map(str, size))


def describe(config: PViTConfig, clip: tuple[int, int, int] | None = None) -> ModelInfo:
    """Count a model's costs.

    Args:
        config: of the model.
        clip: (T, H, W); default: the backbone's nominal one.
    """
    with torch.device("meta"):
        model = PViT(config).eval()
        size = clip or model.backbone.clip
        video = torch.empty(1, 3, *size)
    saved = saved_bytes(list(model.parameters()), lambda: model.train()(video, tasks=()).logits)
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    model.eval().requires_grad_(False)
    model.backbone.use_countable_form()
    heads = sum(p.numel() for part in (model.heads, model.reader) for p in part.parameters())
    costs = Costs(
        prompts=len(model.prompts),
        head_parameters=heads,
        plain=multiply_adds(model.backbone, video),
        prompted=multiply_adds(model, video),
        complete=multiply_adds(model, video, tasks="all"),
    )
    return ModelInfo(
        name=config.backbone,
        clip=size,
        train_parameters=total,
        test_parameters=total - heads,
        trained_parameters=trained,
        test_gflops=costs.prompted / 1e9,
        train_gflops=costs.complete / 1e9,
        saved_mib=saved / 2**20,
        stages=_stages(model.backbone, size, len(model.prompts)),
        maps=model.map_size(*size),
        stride=model.backbone.stride,
        dense_layers=tuple(model.dense_layers),
        rate=model.backbone.rate,
        normalise=model.backbone.normalise,
        published=model.backbone.published,
        note=model.backbone.remark(costs),
    )


def multiply_adds(model: nn.Module, video: Float[Tensor, "b 3 t h w"], **arguments: Any) -> int:
    """Multiply-adds of one forward pass: convolutions, every matrix product, and 5 per normalised element.

    That is how fvcore, with which the published figures were made, counts; without the norms MViTv2-S has 64.2 G.
    """
    from torch.utils.flop_counter import FlopCounterMode

    def norm(shape: Any, *_: Any, **__: Any) -> int:
        return 2 * 5 * int(math.prod(shape))

    norms = {torch.ops.aten.native_layer_norm: norm, torch.ops.aten.native_group_norm: norm}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=norms) as counter:
        model(video, **arguments)
    total: int = counter.get_total_flops() // 2
    return total


def saved_bytes(parameters: list[Tensor], run: Any) -> int:
    """Bytes of the distinct storages that `run()` keeps for its backward pass, those of `parameters` not counted."""
    own = {p.untyped_storage()._cdata for p in parameters}
    kept: dict[int, Any] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    total: int = sum(storage.nbytes() for storage in kept.values())
    del result
    return total


def _stages(backbone: Backbone, size: tuple[int, int, int], prompts: int) -> tuple[Stage, ...]:
    grids = backbone.grid(*size)
    layers = Counter(zip(backbone.dims, grids, strict=True))
    stages, first = [], 0
    for (width, grid), number in layers.items():
        tokens = grid[0] * grid[1] * grid[2] + backbone.own_tokens + prompts
        stages.append(Stage((first, first + number - 1), width, grid, tokens))
        first += number
    return tuple(stages)
