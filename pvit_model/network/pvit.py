"""`PViT`: a backbone, task prompts, an action head and one head per task. Variants of the paper are configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pvit_data.errors import UsageError
from pvit_data.tasks.names import in_space
from pvit_data.tasks.table import target_spec
from pvit_model.backbones import build_backbone
from pvit_model.backbones.base import BackboneOutput, Grid
from pvit_model.backbones.checks import check_output
from pvit_model.config import PViTConfig
from pvit_model.network.prompts import PromptReader, fresh_prompts
from pvit_model.network.save import HubMixin
from pvit_model.tasks import ACTION, get_task
from pvit_model.tasks.base import HeadPlan
from pvit_model.tasks.heads import ONE, Head, HeadInput, take


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
            relative to the pelvis; boxes (B, T', O, 4) cxcywh in [0, 1]. Prediction t belongs to input frame 2t. In
            both cases persons (R, K), logits of the boxes that were given.
        packed: whether `tasks` holds the given rows only.
    """

    logits: Float[Tensor, "b k"]
    prompts: Float[Tensor, "b e c"]
    tokens: Float[Tensor, "b n c"]
    tasks: dict[str, Any] = field(default_factory=dict)
    packed: bool = False


class PViT(nn.Module, HubMixin):
    """PromptonomyViT (see `pvit_model.create_model` for building one by name).

    Attributes:
        prompts: the parameter (n, C0), in the order of the tasks, a task's own ones side by side.
        head: the linear action head.
        heads: auxiliary heads by task, and those of further labels.
        by_space: tasks with one output per label space.
    """

    def __init__(self, config: PViTConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone, **config.backbone_options)
        self.by_space = {task for task in config.tasks if target_spec(task).by_space}
        self.dense_layers: tuple[int, ...] = config.dense_layers or self.backbone.dense_layers
        self._check_layers()
        width = self.backbone.dims[-1]
        entered = self.backbone.width_at(config.prompt_layer)
        self.prompts = fresh_prompts(config.num_prompts, entered)
        self.reader = PromptReader(config, width)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(width, config.num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        plan = HeadPlan(
            config=config,
            widths=tuple(self.backbone.dims[layer] for layer in self.dense_layers),
            width=width,
            hidden=config.dense_width or self.backbone.dense_width,
            frames=self.map_size(*self.backbone.clip)[0],
            clip_frames=self.backbone.clip[0],
        )
        tasks = config.tasks if config.heads else ()
        named = (*tasks, *config.labels)
        self.heads = nn.ModuleDict({name: get_task(name).head(plan) for name in named})
        self.only_head = False
        if config.freeze_backbone:
            self.backbone.requires_grad_(False)

    def freeze_all_but_head(self) -> None:
        """Leaves the action head (and the dropout before it) to be trained; the rest stays in evaluation mode."""
        self.only_head = True
        self.requires_grad_(False)
        self.head.requires_grad_(True)
        self.train(self.training)

    def _check_layers(self) -> None:
        depth = len(self.backbone.dims)
        if max(self.config.prompt_layer, *self.dense_layers) >= depth:
            raise UsageError(
                f"prompt_layer and dense_layers must be below {depth}, the backbone's depth"
            )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of their prompts."""
        return self.config.tasks

    @property
    def normalise(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(mean, std) that clips in [0, 1] must have been normalised with."""
        return self.backbone.normalise

    def train(self, mode: bool = True) -> PViT:
        """As in PyTorch; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.config.freeze_backbone:
            self.backbone.eval()
        if self.only_head:
            for part in (self.backbone, self.reader, self.heads):
                part.eval()
        return self

    def map_size(self, t: int, h: int, w: int) -> Grid:
        """(T', h, w) of the dense maps for a (T, H, W) clip.

        Raises:
            UsageError: if the backbone takes no clips of this size.
        """
        return self.backbone.map_size(t, h, w)

    def target_names(self) -> list[str]:
        """Names of the targets that this model has an output for."""
        outputs = ((task, self._head(task).output_names()) for task in self.heads)
        return [ACTION, *(_target(task, name) for task, names in outputs for name in names)]

    def add_segm_space(self, name: str, num_ids: int) -> None:
        """Give heads with an output per label space one for a further space; one that exists is left alone.

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
            for task in self.heads:
                if task in self.by_space:
                    self._head(task).add_output(name, num_ids)

    def forward(
        self,
        video: Float[Tensor, "b 3 t h w"],
        tasks: Literal["all"] | str | Iterable[str] | None = None,
        rows: Mapping[str, Int[Tensor, "_"]] | None = None,
        rois: Mapping[str, Float[Tensor, "r 5"]] | None = None,
    ) -> PViTOutput:
        """Classify clips and, where asked, run the auxiliary heads.

        Args:
            video: normalised with `self.normalise`, of a size that the backbone takes.
            tasks: heads to run on every row: `"all"`, or names. Default: all in training mode, none in evaluation.
            rows: by target name, the supervised rows of the batch, ascending. Every head runs, on its rows only (an
                empty batch where it has none, so that its parameters stay in the graph).
            rois: by target name, the boxes of heads that score boxes (`persons`), see `pvit_model.tasks.rois_of`. Such
                a head gives a row for each box, whatever else is asked; without boxes it gives none.

        Raises:
            UsageError: if a task or the clip's size does not fit the model.
        """
        size = self.map_size(*video.shape[2:])
        wanted = list(self.heads) if rows is not None else self._wanted(tasks)
        dense = [task for task in wanted if self._head(task).is_dense]
        out = self._backbone_output(video, dense)
        logits = self.head(self.dropout(out.cls))
        if self.training and not len(self.prompts):
            # What serves prompts alone has its place in the graph, too: processes wait for each gradient.
            logits = logits + out.extra.sum() * 0
        labels = [task for task in wanted if task in self.config.labels]
        read = self.reader(out.cls, out.extra) if len(wanted) > len(labels) else {}
        read |= dict.fromkeys(labels, out.cls)
        features = [out.features[layer] for layer in self.dense_layers] if dense else []
        grid = self.backbone.grid(*video.shape[2:])[-1]
        boxes = {
            name: own * own.new_tensor(self._share(video, grid))
            for name, own in (rois or {}).items()
        }
        given = {
            task: HeadInput(read[task], features, size, out.tokens, grid, boxes.get(task))
            for task in wanted
        }
        if rows is None:
            predictions = self._run(given)
        else:
            predictions = {ACTION: take(logits, _rows(rows, ACTION, logits))}
            predictions |= self._run_rows(given, rows)
        return PViTOutput(logits, out.extra, out.tokens, predictions, rows is not None)

    def _share(self, video: Tensor, grid: Grid) -> list[float]:
        """What rows of batch number and corners are multiplied by, where clips do not fill the last of their tokens.

        Nominal clips fill them. A token of other sizes shows as many pixels as one of these.
        """
        nominal = self.backbone.clip
        own = self.backbone.grid(*nominal)[-1]
        height, width = (video.shape[2 + i] * own[i] / (nominal[i] * grid[i]) for i in (1, 2))
        return [1.0, width, height, width, height]

    def _backbone_output(self, video: Tensor, dense: Sequence[str]) -> BackboneOutput:
        """What the backbone makes of clips and prompts, with the features that the tasks `dense` read.

        In training a variant without prompts gives it an empty set of them: every parameter takes part in every step.
        """
        has_extra = self.training or len(self.prompts) > 0
        layers = self.dense_layers if dense else ()
        out: BackboneOutput = self.backbone(
            video,
            self.prompts.expand(len(video), -1, -1) if has_extra else None,
            extra_layer=self.config.prompt_layer,
            layers=layers,
        )
        if not torch.compiler.is_compiling():
            read_by = dict.fromkeys(layers, dense[0]) if dense else {}
            check_output(
                self.config.backbone, self.backbone, out, video, len(self.prompts), read_by
            )
        return out

    def _wanted(self, tasks: str | Iterable[str] | None) -> list[str]:
        if tasks is None:
            return list(self.heads) if self.training else []
        if tasks == "all":
            return list(self.heads)
        names = [tasks] if isinstance(tasks, str) else list(tasks)
        if unknown := [name for name in names if name not in self.heads]:
            raise UsageError(f"this model has no head for {unknown}; it has {list(self.heads)}")
        return names

    def _head(self, task: str) -> Head:
        return cast(Head, self.heads[task])

    def _run(self, given: Mapping[str, HeadInput]) -> dict[str, Any]:
        """Every row's predictions by task; by label space under it where the task has several."""
        found: dict[str, Any] = {}
        for task, reads in given.items():
            outputs = self._head(task).run(reads)
            found[task] = outputs if task in self.by_space else outputs[ONE]
        return found

    def _run_rows(
        self, given: Mapping[str, HeadInput], rows: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The supervised rows' predictions by target name."""
        found: dict[str, Tensor] = {}
        for task, reads in given.items():
            head = self._head(task)
            picked = {
                name: _rows(rows, _target(task, name), reads.prompt) for name in head.output_names()
            }
            outputs = head.run_rows(reads, picked)
            found |= {_target(task, name): value for name, value in outputs.items()}
        return found


def _target(task: str, output: str) -> str:
    return in_space(task, output) if output else task


def _rows(rows: Mapping[str, Tensor], name: str, like: Tensor) -> Tensor:
    found = rows.get(name)
    return torch.zeros(0, dtype=torch.long, device=like.device) if found is None else found
