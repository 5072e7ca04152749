"""`BoxScores`: the logits of an evaluation box by box, with the corners that samples give them, over all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from pvit_data.errors import FormatError
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.sample import Boxes
from pvit_data.tasks.persons import FIELD, persons_of
from pvit_model.ranks import all_gather_rows


class Gathered(NamedTuple):
    """Boxes of all ranks, in the order of the data set and of each sample's table.

    Attributes:
        row: of the data set.
        xyxy: corners in [0, 1] of the whole picture, before any crop.
        logits: float32.
    """

    row: Int64[np.ndarray, "n"]
    xyxy: Float64[np.ndarray, "n 4"]
    logits: Float[np.ndarray, "n k"]


class BoxScores:
    """Collects logits on every rank.

    Args:
        ds: the samples; each key comes once.
        least: score of the persons that count, as in `ClipConfig.person_score`.
        classes: number of logits.
    """

    def __init__(self, ds: ShardDataset, least: float, classes: int) -> None:
        self.ds, self.least, self.classes = ds, least, classes
        self._place: dict[str, int] = {}
        self._numbers: list[tuple[int, int]] = []
        self._corners: list[np.ndarray] = [np.zeros((0, 4))]
        self._logits: list[Tensor] = [torch.zeros((0, classes))]

    def add(self, keys: Sequence[str], logits: Float[np.ndarray, "r k"]) -> None:
        """Takes in all boxes of some samples.

        Args:
            keys: of the sample of each box; boxes of a sample stand side by side, in its order.
            logits: of each box.

        Raises:
            FormatError: if a sample's key frame has another number of persons.
        """
        if not self._place:
            self._place = {key: row for row, key in enumerate(self.ds.column("key").tolist())}
        for key, mine in groupby(keys):
            row, count = self._place[key], len(list(mine))
            boxes = persons_of(self.ds.read(row, (FIELD,)), self.least)
            if len(boxes) != count:
                raise FormatError(
                    f"sample '{key}': its key frame has {len(boxes)} persons, its clip shows {count} of them in one "
                    "view; persons are scored in one view around the key frame (sampler keyframe, data.crops 1)"
                )
            self._numbers += [(row, number) for number in range(count)]
            self._corners.append(corners_of(boxes))
        self._logits.append(torch.from_numpy(np.asarray(logits, np.float32)))

    def gathered(self) -> Gathered:
        """The boxes of all ranks; every rank must ask."""
        numbers = torch.tensor(self._numbers, dtype=torch.int64).reshape(-1, 2)
        corners = torch.from_numpy(np.concatenate(self._corners))
        parts = (numbers, corners, torch.cat(self._logits))
        rows, xyxy, logits = (all_gather_rows(part).numpy() for part in parts)
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        return Gathered(rows[order, 0], xyxy[order], logits[order])


def corners_of(boxes: Boxes) -> Float64[np.ndarray, "n 4"]:
    """The corners as their file had them: of three decimals, where they are stored as the float32 of such."""
    stored = boxes.xyxy
    short = np.round(stored.astype(np.float64), 3)
    return np.where(short.astype(np.float32) == stored, short, stored.astype(np.float64))
