"""What a task is: its head, its loss and their options, its metric, its constant predictor, its picture, its weight.

A subclass of `Task` in a file of its own, registered under the entry point `pvit.tasks`, is all that the network, the
loop, the evaluation, the report and `pvit predict` need to know. What of a sample it is trained on is the business of
its other half, a `pvit_data.TargetSpec`; targets are described in `pvit_data.Targets`. Both halves may stand in one
file, so this module loads no torch: where data are only converted and counted there may be none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped, UInt8
from pydantic import BaseModel, ConfigDict

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import UsageError
from pvit_data.loading.batch import Targets
from pvit_data.looking import pictures
from pvit_data.sample.labels import LabelSpace
from pvit_model.config import PViTConfig

if TYPE_CHECKING:
    from torch import Tensor

    from pvit_data.codecs.video import VideoInfo
    from pvit_data.reading.dataset import ShardDataset
    from pvit_model.tasks.constant import Constant
    from pvit_model.tasks.heads import Head
    from pvit_model.tasks.meter import Meter


@dataclass(frozen=True)
class LossSum:
    """A loss as its sum over the supervised items and their number, so that ranks can add both before dividing.

    Args:
        sum: scalar, float32, connected to the graph even where there is nothing to supervise.
        count: scalar, int64: labelled pixels, joints, boxes or rows.
    """

    sum: Tensor
    count: Tensor

    @property
    def mean(self) -> Float[Tensor, ""]:
        """The loss: sum / count, and exactly 0 where count is 0."""
        return self.sum / self.count.clamp(min=1)


def masked_sum(value: Float[Tensor, "*n"], valid: Bool[Tensor, "*n"]) -> LossSum:
    """The sum of `value` where `valid`, and how many entries that is. Invalid entries may hold NaN."""
    known = value.float()
    return LossSum(known.where(valid, known.new_zeros(())).sum(), valid.sum())


def binary_sum(
    logits: Float[Tensor, "r k"], shown: Real[Tensor, "r k"], valid: Bool[Tensor, "r"]
) -> LossSum:
    """Binary cross-entropy of labels of which any number hold: the mean over the classes of each valid row.

    Args:
        logits: of each class by itself.
        shown: 1 where a class holds, else 0.
        valid: rows that are labelled.
    """
    from torch.nn.functional import binary_cross_entropy_with_logits

    loss = binary_cross_entropy_with_logits(logits.float(), shown.float(), reduction="none")
    return masked_sum(loss.mean(1), valid)


class TaskOptions(BaseModel):
    """Options of a task's loss. Subclasses add their own; tasks may share a name, as they share `literal`.

    Args:
        literal: divide where the paper's equations 3 to 6 print a further division, which its weights do not mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    literal: bool = False


Own = TypeVar("Own", bound=TaskOptions)


@dataclass(frozen=True)
class HeadPlan:
    """What a head is made for.

    Args:
        config: of the network.
        widths: of the tapped layers.
        width: of the prompt after the final norm.
        hidden: channels of a dense head.
        frames: T' of the network's nominal clip.
        clip_frames: T of it.
    """

    config: PViTConfig
    widths: tuple[int, ...]
    width: int
    hidden: int
    frames: int
    clip_frames: int

    def classes(self, name: str, usual: int) -> int:
        """How many classes a label has.

        Args:
            name: of the label.
            usual: how many its best-known data set has, for the message.

        Raises:
            UsageError: if nobody says.
        """
        classes = self.config.label_classes.get(name)
        if classes is None:
            raise UsageError(
                f"{name}: the network needs the number of classes, label_classes={{'{name}': {usual}}}"
            )
        return classes


@dataclass(frozen=True)
class HeldOut:
    """What a target is measured on.

    Args:
        ds: the samples.
        source: their name.
        clip: how clips are made of them.
        space: label space of the target; None where it has none.
    """

    ds: ShardDataset
    source: str
    clip: ClipConfig
    space: LabelSpace | None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One frame of a target or an answer, and what is needed to draw it.

    Args:
        target: its name.
        value: that frame's value, in the layout of the target.
        valid: which entries exist; None: all.
        beside: of an answer that is drawn beside its target: which entries the target has.
        whole: the values of all frames of the clip, from which a scale is taken that does not flicker.
        rgb: the frame.
        clip: how the clip was made.
        space: label space of the classes, where the target has one.
    """

    target: str
    value: Shaped[np.ndarray, "..."]
    valid: Bool[np.ndarray, "..."] | None = None
    beside: Bool[np.ndarray, "..."] | None = None
    whole: Shaped[np.ndarray, "t ..."]
    rgb: UInt8[np.ndarray, "h w 3"]
    clip: ClipConfig
    space: LabelSpace | None = None

    def fitted(
        self, picture: UInt8[np.ndarray, "a b 3"], smooth: bool = True
    ) -> UInt8[np.ndarray, "h w 3"]:
        """A picture at the frame's size."""
        height, width = self.rgb.shape[:2]
        return pictures.resize(picture, height, width, smooth=smooth)


class Task(ABC, Generic[Own]):
    """One task; `Task[TaskOptions]`, or with a subclass of `TaskOptions` that has the options of its loss.

    Attributes:
        options: model of the options of its loss.
        weight: of its loss in the total, where a recipe names none.
        main: the metric that stands for all of them in a line.
        lower_is_better: metrics of which less is better; the loss always is.
        chance: the metric that says what guessing gives in `main`; "" for none.
        facts: entries of a result that say on what, or beside what, it was measured; they are no metrics.
        units: of metrics that have one.
        axes: of an answer of one clip, by name.
        unit: of its values, in words.
        can_mix: whether targets of two clips can be averaged, see `as_weights`.
        on_hub: what the Hugging Face Hub calls such a task, in cards.
    """

    options: ClassVar[type[TaskOptions]] = TaskOptions
    weight: ClassVar[float] = 1.0
    main: ClassVar[str] = "loss"
    lower_is_better: ClassVar[frozenset[str]] = frozenset()
    chance: ClassVar[str] = ""
    facts: ClassVar[frozenset[str]] = frozenset()
    units: ClassVar[Mapping[str, str]] = {}
    axes: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[str] = ""
    can_mix: ClassVar[bool] = False
    on_hub: ClassVar[str] = "other"

    @abstractmethod
    def head(self, plan: HeadPlan) -> Head:
        """A fresh head (see `pvit_model.tasks.heads`).

        Raises:
            UsageError: if the network has the task's head anyway.
        """

    @abstractmethod
    def loss(self, prediction: Float[Tensor, "r ..."], targets: Targets, options: Own) -> LossSum:
        """The loss of packed predictions: `prediction[i]` belongs to `targets.rows[i]`; options are the task's own."""

    @abstractmethod
    def meter(self, num_ids: int, views: int) -> Meter:
        """A fresh meter of one target.

        Args:
            num_ids: of the target's label space; 0 where it has none.
            views: of each clip in an evaluation.
        """

    def meter_of(self, held_out: HeldOut, num_ids: int, views: int) -> Meter:
        """The same, of metrics that need to know the samples."""
        return self.meter(num_ids, views)

    def remarks(self, held_out: HeldOut) -> Sequence[str]:
        """What a reader of the metrics must know of the samples, in sentences."""
        return ()

    def rois(self, targets: Targets) -> Float[Tensor, "r 5"] | None:
        """Boxes that the head reads, one for each entry of packed targets; None for heads that read none.

        Number of the clip in the batch, then x1 y1 x2 y2 in [0, 1] of the clip's picture.
        """
        return None

    @abstractmethod
    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """A target or an answer as a picture of the frame's size."""

    def caption(self, shown: Shown) -> str:
        """What the picture shows, in a few words."""
        return shown.target

    def legend(self, shown: Shown) -> Sequence[pictures.Mark]:
        """What the colours of the picture mean."""
        return ()

    def panel(
        self, shown: Shown, text: str = "", height: int = pictures.CAPTION
    ) -> UInt8[np.ndarray, "h2 w 3"]:
        """The picture with its caption, or another text, above it and its legend below it.

        Args:
            shown: what is drawn.
            text: in place of the caption.
            height: of each strip.
        """
        said = text or self.caption(shown)
        return pictures.captioned(self.picture(shown), said, height, legend=self.legend(shown))

    def named(self, metric: str) -> str:
        """A metric with its unit."""
        unit = self.units.get(metric, "")
        return f"{metric}, {unit}" if unit else metric

    def answer(self, prediction: Float[Tensor, "r ..."]) -> Shaped[Tensor, "r ..."]:
        """A prediction in the layout of the target: what is measured and drawn."""
        return prediction

    def told(
        self, answer: Shaped[np.ndarray, "..."], video: VideoInfo, space: LabelSpace | None
    ) -> dict[str, float]:
        """What an answer says of a video, by name; of labels of whole clips, in a label space where they have one."""
        return {}

    def as_weights(self, value: Shaped[Tensor, "r"], num_ids: int) -> Float[Tensor, "r k"]:
        """Classes as weights over all ids, whose averages `loss` takes, too; of tasks that `can_mix`."""
        raise NotImplementedError(f"{type(self).__name__} cannot mix")

    def constant(self, num_ids: int, options: Own) -> Constant | None:
        """A fresh constant predictor of one target, by default its mean; None where comparing with one says nothing."""
        from pvit_model.tasks.constant import MeanConstant

        return MeanConstant()

    def result_line(self, values: Mapping[str, float]) -> str:
        """The metrics of a validation in one line: the main one."""
        return f"{self.main} {values[self.main]:.4g}"

    def result_sentence(self, values: Mapping[str, float]) -> str:
        """What the metrics mean, to stand above the table of a report; "" for nothing."""
        return ""

    def is_lower_better(self, metric: str) -> bool:
        """Whether less of a metric is better."""
        return metric == "loss" or metric in self.lower_is_better
