"""`PViT`: a backbone, task prompts, an action head and one head per task. Variants of the paper are configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pvit_data.errors import UsageError
from pvit_model.backbones import build_backbone
from pvit_model.backbones.base import BackboneOutput, Grid
from pvit_model.config import PViTConfig
from pvit_model.network.prompts import PromptReader, fresh_prompts
from pvit_model.network.save import HubMixin
from pvit_model.tasks.base import get_task, kind_of
from pvit_model.tasks.heads import DenseHead

ACTION = "action"


@dataclass(frozen=True)
class PViTOutput:
    """What a PViT returns.

    Args:
        logits: of the action classes, before softmax.
        prompts: final states of the prompts, in the order of the tasks.
        tokens: patch tokens after the final norm.
        tasks: predictions of the heads that ran. Called with `rows`: by target name (`"action"`, `"depth"`,
            `"segm/<space>"`, ...), for those rows only. Else by task, for every row: depth (B, T', h, w) metres; normal
            (B, T', h, w, 3), not normalised; segm {space: (B, K, T', h, w)} scores; pose3d (B, T', 25, 3) metres,
            relative to the pelvis; boxes (B, T', O, 4) cxcywh in [0, 1]. Prediction t belongs to input frame 2t.
        kinds: kind of each target name (`"segm"` for `"segm/<space>"`).
        packed: whether `tasks` holds the given rows only.
    """

    logits: Float[Tensor, "b k"]
    prompts: Float[Tensor, "b e c"]
    tokens: Float[Tensor, "b n c"]
    tasks: dict[str, Any] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    packed: bool = False


class PViT(nn.Module, HubMixin):
    """PromptonomyViT (see `pvit_model.create_model` for building one by name).

    Attributes:
        prompts: the parameter (n, C0), in the order of the tasks, a task's own ones side by side.
        head: the linear action head.
        heads: auxiliary heads by task.
        kinds: kind of each task by its name (`"boxes"` of `"boxes/hands"`).
    """

    def __init__(self, config: PViTConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone, **config.backbone_options)
        backbone = cast(Any, self.backbone)
        width = backbone.dims[-1]
        self.kinds: dict[str, str] = {task: kind_of(task) for task in config.tasks}
        self.dense_layers: tuple[int, ...] = config.dense_layers or backbone.dense_layers
        if config.prompt_layer >= len(backbone.dims) or max(self.dense_layers) >= len(
            backbone.dims
        ):
            raise UsageError(
                f"prompt_layer and dense_layers must be below {len(backbone.dims)}, the backbone's depth"
            )
        self.prompts = fresh_prompts(config.num_prompts, backbone.width_at(config.prompt_layer))
        self.reader = PromptReader(config, width)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(width, config.num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        widths = tuple(backbone.dims[layer] for layer in self.dense_layers)
        frames = self.map_size(*backbone.config.clip)[0]
        kinds = self.kinds if config.heads else {}
        hidden = config.dense_width or backbone.dense_width
        self.heads = nn.ModuleDict(
            {
                name: get_task(kind).head(config, widths, width, hidden, frames)
                for name, kind in kinds.items()
            }
        )
        if config.freeze_backbone:
            self.backbone.requires_grad_(False)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of their prompts."""
        return tuple(self.kinds)

    @property
    def normalise(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(mean, std) that clips in [0, 1] must have been normalised with."""
        return cast(Any, self.backbone).normalise  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> PViT:
        """As in PyTorch; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.config.freeze_backbone:
            self.backbone.eval()
        return self

    def map_size(self, t: int, h: int, w: int) -> Grid:
        """(T', h, w) of the dense maps for a (T, H, W) clip: T' of the tokens, a quarter of the image."""
        grid = cast(Any, self.backbone).grid(t, h, w)[0]
        return grid[0], h // 4, w // 4

    def target_names(self) -> list[str]:
        """Names of the targets that this model has an output for."""
        return [ACTION, *(name for task in self.heads for name in self._outputs(task))]

    def add_segm_space(self, name: str, num_ids: int) -> None:
        """Give the segmentation heads an output layer for a further label space; one that exists is left alone.

        Raises:
            UsageError: if the space exists with another number of ids.
        """
        known = self.config.segm_spaces.get(name)
        if known is not None and known != num_ids:
            raise UsageError(
                f"segmentation space '{name}' has {known} ids in this model, not {num_ids}"
            )
        if known is None:
            spaces = {**self.config.segm_spaces, name: num_ids}
            self.config = self.config.model_copy(update={"segm_spaces": spaces})
            for task, head in self.heads.items():
                if self.kinds[task] == "segm":
                    cast(DenseHead, head).add_output(name, num_ids)

    def forward(
        self,
        video: Float[Tensor, "b 3 t h w"],
        tasks: Literal["all"] | str | Iterable[str] | None = None,
        rows: Mapping[str, Int[Tensor, "_"]] | None = None,
    ) -> PViTOutput:
        """Classify clips and, where asked, run the auxiliary heads.

        Args:
            video: normalised with `self.normalise`; T is 1 or even, H and W are multiples of 4.
            tasks: heads to run on every row: `"all"`, or names. Default: all in training mode, none in evaluation.
            rows: by target name, the supervised rows of the batch, ascending. Every head runs, on its rows only (an
                empty batch where it has none, so that its parameters stay in the graph).

        Raises:
            UsageError: if a task or the clip's size does not fit the model.
        """
        self._check(video)
        wanted = list(self.heads) if rows is not None else self._wanted(tasks)
        dense = any(isinstance(self.heads[task], DenseHead) for task in wanted)
        out: BackboneOutput = self.backbone(
            video,
            self.prompts.expand(len(video), -1, -1) if len(self.prompts) else None,
            extra_layer=self.config.prompt_layer,
            layers=self.dense_layers if dense else (),
        )
        logits = self.head(self.dropout(out.cls))
        read = self.reader(out.cls, out.extra) if wanted else {}
        size = self.map_size(*video.shape[2:])
        predictions: dict[str, Any] = (
            {} if rows is None else {ACTION: _take(logits, _rows(rows, ACTION, logits))}
        )
        kinds = {ACTION: ACTION}
        for task in wanted:
            found: dict[str, Any] = self._run(task, read[task], out, size, rows)
            kinds |= dict.fromkeys(found, self.kinds[task])
            if rows is None and _per_space(self.heads[task]):
                found = {task: {name.split("/", 1)[1]: value for name, value in found.items()}}
            predictions |= found
        return PViTOutput(logits, out.extra, out.tokens, predictions, kinds, rows is not None)

    def _check(self, video: Tensor) -> None:
        t, h, w = video.shape[2:]
        if (t > 1 and t % 2) or h % 4 or w % 4:
            raise UsageError(
                f"clips must have 1 or an even number of frames and sides that are multiples of 4, not {t}x{h}x{w}"
            )

    def _wanted(self, tasks: str | Iterable[str] | None) -> list[str]:
        if tasks is None:
            return list(self.heads) if self.training else []
        names = (
            list(self.heads)
            if tasks == "all"
            else [tasks]
            if isinstance(tasks, str)
            else list(tasks)
        )
        if unknown := [name for name in names if name not in self.heads]:
            raise UsageError(f"this model has no head for {unknown}; it has {list(self.heads)}")
        return names

    def _outputs(self, task: str) -> dict[str, str]:
        """Output layer of each of a task's target names."""
        head = self.heads[task]
        if _per_space(head):
            return {f"{task}/{space}": space for space in cast(DenseHead, head).outputs}
        return {task: ""}

    def _run(
        self,
        task: str,
        prompt: Tensor,
        out: BackboneOutput,
        size: Grid,
        rows: Mapping[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        """One head's predictions by target name."""
        head, outputs = self.heads[task], self._outputs(task)
        if not isinstance(head, DenseHead):
            return {
                task: head(
                    prompt if rows is None else _take(prompt, _rows(rows, task, prompt)), size[0]
                )
            }
        if rows is None:
            maps = (
                head.trunk([out.features[i] for i in self.dense_layers], prompt, size)
                if outputs
                else prompt
            )
            return {name: head.finish(maps, layer) for name, layer in outputs.items()}
        picked = [_rows(rows, name, prompt) for name in outputs]
        every = torch.cat([_rows({}, "", prompt), *picked])
        take = (
            _take if len(outputs) == 1 else torch.Tensor.__getitem__
        )  # rows of several spaces are not in order
        features = [
            (take(tokens, every), grid)
            for tokens, grid in (out.features[i] for i in self.dense_layers)
        ]
        maps = head.trunk(features, take(prompt, every), size)
        if (
            not outputs
        ):  # no label space yet: the empty maps keep the head's parameters in the graph
            return {task: maps}
        parts = torch.split(maps, [len(p) for p in picked])
        return {
            name: head.finish(part, layer)
            for (name, layer), part in zip(outputs.items(), parts, strict=True)
        }


def _per_space(head: nn.Module) -> bool:
    return isinstance(head, DenseHead) and head.per_space


def _rows(rows: Mapping[str, Tensor], name: str, like: Tensor) -> Tensor:
    found = rows.get(name)
    return torch.zeros(0, dtype=torch.long, device=like.device) if found is None else found


def _take(x: Tensor, rows: Tensor) -> Tensor:
    """The given rows; ascending row numbers, so as many as there are rows means all of them, without a copy."""
    return x if len(rows) == len(x) else x[rows]
