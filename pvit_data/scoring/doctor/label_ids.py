"""80 for 60: AVA's label map or truth with other classes than the 60 that count; actions renumbered, or reordered."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.doctor.permuted_columns import permuted_columns
from pvit_data.scoring.files.class_names import differs
from pvit_data.scoring.metrics import overlap
from pvit_data.scoring.metrics.ava import ALL, EVALUATED, SECONDS, BoxTable

_NAME = "80 for 60"
MOVIES, MOST = 4, 20_000  # least number of movies; boxes that are looked at
BEYOND = 0.05  # of the truth's actions, above 60


def other_ids(label_map: tuple[int, ...], truth: Collection[int]) -> Finding | None:
    """The finding, or None. What the predictions hold does not matter: rows of other classes are left out.

    Args:
        label_map: ids that count.
        truth: ids that occur in the ground truth.
    """
    if said := differs(label_map):
        return Finding(
            _NAME,
            f"the label map has {said} than the 60 of AVA v2.2",
            "certain",
            "take ava_action_list_v2.2_for_activitynet_2019.pbtxt, or no --label-map: numbers over other classes "
            "compare with nothing",
        )
    ids = set(truth)
    if outside := sorted(ids - set(ALL)):
        return Finding(
            _NAME,
            f"the truth has classes that AVA does not have, such as {outside[0]}",
            "certain",
            "take ava_val_v2.2.csv",
        )
    if ids == set(range(1, len(EVALUATED) + 1)):
        return Finding(
            _NAME,
            "the classes of the truth are 1..60: they were renumbered",
            "likely",
            "take ava_val_v2.2.csv, whose ids go up to 80, and train with its ids",
        )
    return None


def renumbered(
    found: BoxTable, truth: BoxTable, score: Callable[[BoxTable], float]
) -> Finding | None:
    """Actions of detections that count the 60 classes from 1 to 60, or None.

    Args:
        found, truth: detections and ground truth, of any action.
        score: mean average precision of detections.
    """
    given = set(np.unique(found.class_id).tolist())
    beyond = float((truth.class_id > len(EVALUATED)).mean()) if len(truth) else 0.0
    unlisted = [number for number in ALL[: len(EVALUATED)] if number not in EVALUATED]
    if (
        not given
        or max(given) > len(EVALUATED)
        or beyond < BEYOND
        or len(given & set(unlisted)) < len(unlisted) / 2
    ):
        return None
    ids = np.array((0, *EVALUATED), np.int64)
    renamed = BoxTable(found.image, found.xyxy, ids[found.class_id], found.score)
    return Finding(
        "actions renumbered",
        f"the actions of the detections are within 1..60 and {len(given & set(unlisted))} of them are none of the 60 "
        f"that count; {100 * beyond:.0f} % of the truth's are above 60. If they count the 60 classes in order, mAP is "
        f"{score(renamed):.4f} instead of {score(found):.4f}",
        "likely",
        "write AVA's ids, which go up to 80: the n-th class of ava_action_list_v2.2_for_activitynet_2019.pbtxt has the "
        "id that stands there",
    )


def reordered(found: BoxTable, truth: BoxTable) -> Finding | None:
    """Actions in another order than the truth's, told by the boxes that find a person, as `permuted_columns` does. Half
    of the movies say which order, the other half whether it holds.

    Args:
        found, truth: detections and ground truth.
    """
    boxes, box = overlap.distinct(found.image, found.xyxy)
    persons, person = overlap.distinct(truth.image, truth.xyxy)
    partner, value = overlap.partners(
        (found.image[boxes], found.xyxy[boxes]), (truth.image[persons], truth.xyxy[persons])
    )
    rows = np.flatnonzero(value >= overlap.IOU)
    rows = rows[:: max(1, -(-len(rows) // MOST))]
    movies = (found.image[boxes[rows]] // SECONDS).tolist()
    if len(set(movies)) < MOVIES:
        return None
    width = 1 + int(max(found.class_id.max(), truth.class_id.max()))
    place = np.full(len(boxes), -1)
    place[rows] = np.arange(len(rows))
    kept = place[box] >= 0
    scores = np.full((len(rows), width), found.score.min())
    scores[place[box[kept]], found.class_id[kept]] = found.score[kept]
    flags = np.zeros((len(persons), width), bool)
    flags[person, truth.class_id] = True
    other = permuted_columns(scores, flags[partner[rows]], list(map(str, movies)))
    return other and replace(
        other,
        name="actions reordered",
        remedy="write the id that AVA gives each output of the network: ids count from 1, and 80 outputs are all ids "
        "in order, 60 those of ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    )
