"""Any number of actions per clip (Charades): one logit per class, binary cross-entropy, mean average precision.

Precision as `pvit score` counts it, with its functions: sigmoid per view, summed over the views of a video. The loss is
the mean over classes and labelled clips, as facebookresearch/SlowFast has it for such data sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pvit_data.codecs.video import VideoInfo
from pvit_data.errors import FormatError
from pvit_data.loading.batch import Targets
from pvit_data.sample.labels import LabelSpace
from pvit_data.scoring.metrics.multilabel import mean_average_precision, random_precision
from pvit_data.scoring.metrics.views import sigmoid
from pvit_data.tasks.actions import NAME
from pvit_model.ranks import all_gather_rows, own_rank
from pvit_model.tasks.base import HeadPlan, LossSum, Shown, Task, TaskOptions, binary_sum
from pvit_model.tasks.heads import ClassHead
from pvit_model.tasks.meter import Arrays, Meter, ratio

RESULTS = ("mAP", "random", "videos")


class ActionsTask(Task[TaskOptions]):
    """A class is shown or not, each by itself. What random scores give is one of its metrics."""

    main = "mAP"
    chance = "random"
    facts = frozenset({"videos", "random"})
    axes = ("class",)
    unit = "logits"
    on_hub = "video-classification"

    def head(self, plan: HeadPlan) -> ClassHead:
        """Gives (R, K) logits.

        Raises:
            UsageError: if nobody says how many classes there are.
        """
        return ClassHead(plan.width, plan.classes(NAME, 157), plan.config.dropout)

    def loss(
        self, prediction: Float[Tensor, "r k"], targets: Targets, options: TaskOptions
    ) -> LossSum:
        """The mean over classes of each labelled clip."""
        return binary_sum(prediction, targets.value, targets.valid)

    def meter(self, num_ids: int, views: int = 1) -> Meter:
        """Mean average precision over videos."""
        return ActionsMeter(views)

    def constant(self, num_ids: int, options: TaskOptions) -> None:
        """A constant ranks nothing; what random scores give is among the metrics."""
        return None

    def told(
        self, answer: Float[np.ndarray, "k"], video: VideoInfo, space: LabelSpace | None
    ) -> dict[str, float]:
        """The probability of each class by itself, the likeliest first."""
        names = [str(n) for n in range(len(answer))] if space is None else space.classes
        scores = sigmoid(answer)
        return {names[n]: float(scores[n]) for n in np.argsort(-scores, kind="stable").tolist()}

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """The frame: actions are said in words."""
        return shown.rgb

    def result_line(self, values: Mapping[str, float]) -> str:
        """The precision beside that of random scores."""
        return f"mAP {100 * values['mAP']:.2f} (random scores {100 * values['random']:.2f})"


class ActionsMeter(Meter):
    """Collects the scores of views; the first rank scores the videos of all.

    Args:
        views: views per video.
    """

    def __init__(self, views: int = 1) -> None:
        self.views = views
        self._loss = np.zeros(2)
        self._scores: dict[str, Float[np.ndarray, "k"]] = {}
        self._truth: dict[str, Float[np.ndarray, "k"]] = {}
        self._seen: dict[str, int] = {}

    def measure(
        self, answer: Float[Tensor, "r k"], targets: Targets, loss: tuple[float, float]
    ) -> Arrays:
        """Logits and classes of one view of each clip."""
        logits = answer.detach().float().cpu().numpy()
        return {"loss": np.array(loss), "logits": logits, "truth": targets.value.cpu().numpy()}

    def take(self, keys: Sequence[str], measured: Arrays) -> None:
        """Takes in one view of each key."""
        self._loss += measured["loss"]
        rows = zip(keys, sigmoid(measured["logits"]), measured["truth"], strict=True)
        for key, scores, truth in rows:
            self._scores[key] = self._scores[key] + scores if key in self._scores else scores
            self._seen[key] = self._seen.get(key, 0) + 1
            self._truth[key] = truth

    def total(self) -> Float[np.ndarray, "n"]:
        """Sum and count of the loss, and on the first rank the results of all ranks.

        Raises:
            FormatError: if a video did not get exactly its views.
        """
        wrong = [key for key, seen in self._seen.items() if seen != self.views]
        if wrong:
            raise FormatError(
                f"{len(wrong)} of {len(self._seen)} videos got other than {self.views} views, first '{wrong[0]}': "
                "evaluate again with on_corrupt='raise' to see what is unreadable"
            )
        rows = [np.stack([self._scores[key], self._truth[key]]) for key in self._scores]
        found = _of_all_ranks(np.stack(rows) if rows else np.zeros((0, 2, 0)))
        values = np.zeros(len(RESULTS))
        if own_rank()[0] == 0 and len(found):
            scores, truth = found[:, 0], found[:, 1] > 0
            mean, _ = mean_average_precision(scores, truth)
            values[:] = mean, random_precision(truth), len(found)
        return np.concatenate([self._loss, values])

    def result(self, total: Float[np.ndarray, "n"]) -> dict[str, float] | None:
        """`loss`, `mAP`, `random` and `videos`; None without a labelled video."""
        values = dict(zip(RESULTS, total[2:].tolist(), strict=True))
        return {"loss": ratio(total[0], total[1]), **values} if values["videos"] else None


def _of_all_ranks(rows: Float[np.ndarray, "n 2 k"]) -> Float[np.ndarray, "m 2 k"]:
    """Rows of all ranks, of which some may have none and know no number of classes."""
    classes = all_gather_rows(torch.tensor([rows.shape[2]])).max()
    if not len(rows):
        rows = np.zeros((0, 2, int(classes)))
    found: Float[np.ndarray, "m 2 k"] = all_gather_rows(torch.from_numpy(rows)).numpy()
    return found
