"""AVA's mean average precision of a network's boxes, by `pvit_data.scoring` in all of its variants.

The truth is the base's own table, whatever layers are attached; the boxes that count are those that were read.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.labels import LabelSpace
from pvit_data.scoring.files.ava import Videos
from pvit_data.scoring.files.shards import Seconds, moment_of, seconds_of
from pvit_data.scoring.metrics.ava import (
    CAP,
    EVALUATED,
    SECONDS,
    BoxTable,
    Variant,
    mean_precision,
    oracle,
)
from pvit_data.scoring.metrics.views import sigmoid
from pvit_data.tasks.persons import FIELD
from pvit_model.ranks import own_rank
from pvit_model.tasks.base import HeldOut
from pvit_model.tasks.meter import Arrays, Meter, ratio
from pvit_model.tasks.persons.scores import BoxScores, Gathered

MAIN = "mAP"
VARIANTS = {
    "mAP_activitynet": "activitynet",
    "mAP_activitynet_no_cap": "activitynet without cap",
    "mAP_mmaction2": "mmaction2",
}
"""The others, by metric; the papers' is `mAP`."""
FACTS = frozenset({"oracle", "boxes", "persons", "seconds", "threshold"})
NAMES = (MAIN, *VARIANTS, "oracle", "boxes", "persons", "seconds", "threshold")
OFFICIAL = "ava80"
"""Label space of which only some classes count."""


class PersonsMeter(Meter):
    """Collects the scores of boxes; the first rank scores those of all.

    Args:
        held_out: the samples.
    """

    def __init__(self, held_out: HeldOut) -> None:
        self.held_out = held_out
        space = held_out.space
        assert space is not None
        self.space: LabelSpace = space
        self.scores = BoxScores(held_out.ds, held_out.clip.person_score, len(space.classes))
        self._loss = np.zeros(2)

    def measure(
        self, answer: Float[Tensor, "r k"], targets: Targets, loss: tuple[float, float]
    ) -> Arrays:
        """Logits of a batch's boxes."""
        return {"loss": np.array(loss), "logits": answer.detach().float().cpu().numpy()}

    def take(self, keys: Sequence[str], measured: Arrays) -> None:
        """Takes them in."""
        self._loss += measured["loss"]
        self.scores.add(keys, measured["logits"])

    def total(self) -> Float[np.ndarray, "n"]:
        """Sum and count of the loss, and on the first rank the results of all ranks."""
        found = self.scores.gathered()
        values = np.zeros(len(NAMES))
        if own_rank()[0] == 0:
            measured = self._measured(found)
            values[:] = [measured[name] for name in NAMES]
        return np.concatenate([self._loss, values])

    def result(self, total: Float[np.ndarray, "n"]) -> dict[str, float] | None:
        """`loss`, `mAP` and its variants, and what they were measured on; None where nobody is or was found."""
        values = dict(zip(NAMES, total[2:].tolist(), strict=True))
        if not values["boxes"] and not values["persons"]:
            return None
        loss = {"loss": ratio(total[0], total[1])} if total[1] else {}
        return {**loss, **values}

    def _measured(self, found: Gathered) -> dict[str, float]:
        videos = Videos()
        truth = truth_of(self.held_out.ds, self.held_out.source, self.space, videos)
        boxes = table_of(found, self.held_out.ds, videos)
        persons = {
            (row, *box)
            for row, box in zip(truth.truth.image, truth.truth.xyxy.tolist(), strict=True)
        }
        return {
            **precisions(truth, boxes, counted_classes(self.space)),
            "boxes": float(len(found.row)),
            "persons": float(len(persons)),
            "seconds": float(len(self.held_out.ds)),
            "threshold": self.held_out.clip.person_score,
        }


def counted_classes(space: LabelSpace) -> tuple[int, ...]:
    """Ids that count, from 1: of AVA's 80 the 60 that are evaluated, of other spaces all."""
    return EVALUATED if space.name == OFFICIAL else tuple(range(1, len(space.classes) + 1))


def facts_of_classes(space: LabelSpace) -> dict[str, str]:
    """What tells label maps apart besides the ids that count: AVA's name, or the classes of another one."""
    if space.name == OFFICIAL:
        return {"label_map": "ava60"}
    text = "".join(f"{name}\n" for name in space.classes)
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace"))
    return {"label_map": space.name, "sha256": digest.hexdigest()}


def precisions(truth: Seconds, found: BoxTable, classes: tuple[int, ...]) -> dict[str, float]:
    """mAP in all variants, and what the boxes allow in that of the papers (`oracle`)."""
    variants = {
        MAIN: Variant("pyslowfast", classes),
        "mAP_activitynet": Variant("activitynet", classes, CAP),
        "mAP_activitynet_no_cap": Variant("activitynet", classes),
        "mAP_mmaction2": Variant("mmaction2", classes),
    }
    values = {
        name: mean_precision(truth.truth, found, variant, truth.excluded, ties=False).mean
        for name, variant in variants.items()
    }
    kept = truth.truth.keep(~np.isin(truth.truth.image, truth.excluded))
    best = oracle(kept, found) if len(kept) and len(found) else None
    values["oracle"] = math.nan
    if best is not None:
        values["oracle"] = mean_precision(
            truth.truth, best, variants[MAIN], truth.excluded, ties=False
        ).mean
    return values


def truth_of(ds: ShardDataset, source: str, space: LabelSpace, videos: Videos) -> Seconds:
    """The ground truth of some samples, in the ids of a label space, numbered from 1."""
    base = ds.without_layers()
    if base.spaces_of(source).get(FIELD) not in (None, space):
        base = base.with_spaces(source, {FIELD: space})
    return seconds_of(base, source, videos)


def table_of(found: Gathered, ds: ShardDataset, videos: Videos) -> BoxTable:
    """A row for each box and action, as `pvit score` makes them of a dump."""
    rows, places = np.unique(found.row, return_inverse=True)
    moments = (moment_in(ds, row) for row in rows.tolist())
    images = [videos.number(movie) * SECONDS + second for movie, second in moments]
    image = np.array(images, np.int64)[places.ravel()]
    count, classes = found.logits.shape
    return BoxTable(
        np.repeat(image, classes),
        np.repeat(found.xyxy, classes, axis=0),
        np.tile(np.arange(1, classes + 1, dtype=np.int64), count),
        sigmoid(found.logits).reshape(-1),
    )


def moment_in(ds: ShardDataset, row: int) -> tuple[str, int]:
    """Movie and second of a sample."""
    record = ds.record(row)
    return moment_of(json.loads(record.meta), record.key)


def is_own_truth(ds: ShardDataset, source: str) -> bool:
    """Whether the boxes that are scored are those of the ground truth."""
    return FIELD not in ds.layers_of(source)
