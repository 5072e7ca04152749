"""Mean average precision over videos with any number of classes: all scores of all ranks are needed at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pvit_data.errors import FormatError
from pvit_data.loading.batch import Targets
from pvit_data.scoring.metrics.multilabel import mean_average_precision
from pvit_data.scoring.metrics.views import sigmoid
from pvit_model.ranks import all_gather_rows, own_rank
from pvit_model.tasks.meter import Meter


class PrecisionMeter(Meter):
    """Collects the logits of views, and scores videos as `pvit score --metric multilabel` does.

    Args:
        num_ids: number of classes.
        views: of each video.
    """

    def __init__(self, num_ids: int, views: int = 1) -> None:
        self.num_ids, self.views = num_ids, views
        self._loss = np.zeros(2)
        self._scores: dict[str, Float[np.ndarray, "k"]] = {}
        self._labels: dict[str, Float[np.ndarray, "k"]] = {}
        self._seen: Counter[str] = Counter()

    def update(
        self,
        keys: Sequence[str],
        answer: Float[Tensor, "r k"],
        targets: Targets,
        loss: tuple[float, float],
    ) -> None:
        """Takes in one view of each key.

        Raises:
            FormatError: if a key comes too often.
        """
        self._loss += loss
        scores = sigmoid(answer.detach().float().cpu().numpy())
        for key, score, label in zip(keys, scores, targets.value.cpu().numpy(), strict=True):
            self._scores[key] = self._scores[key] + score if key in self._scores else score
            self._labels[key] = label
            self._seen[key] += 1
            if self._seen[key] > self.views:
                raise FormatError(f"sample '{key}' came with more than {self.views} views")

    def total(self) -> Float[np.ndarray, "5"]:
        """Sum and count of the loss, and this rank's share of mAP, prevalence and videos, which all ranks know."""
        scores, labels = (_rows(found, self.num_ids) for found in (self._scores, self._labels))
        positive = labels > 0
        known = positive.any(0)
        mean, _ = mean_average_precision(scores, positive)
        guessed = float(positive.mean(0)[known].mean()) if known.any() else np.nan
        share = np.array([mean, guessed, len(scores)]) / own_rank()[1]
        return np.concatenate([self._loss, share])

    def result(self, total: Float[np.ndarray, "5"]) -> dict[str, float] | None:
        """`loss`, `map`, `prevalence` (what a random order gives) and `videos`; None where there are none."""
        loss, count, mean, prevalence, videos = total.tolist()
        if not count:
            return None
        return {"loss": loss / count, "map": mean, "prevalence": prevalence, "videos": videos}


def _rows(found: dict[str, Float[np.ndarray, "k"]], width: int) -> Float[np.ndarray, "n k"]:
    """The rows of all ranks."""
    mine = np.stack([*found.values()]) if found else np.zeros((0, width))
    gathered: Float[np.ndarray, "n k"] = all_gather_rows(
        torch.from_numpy(mine.astype(np.float64))
    ).numpy()
    return gathered
