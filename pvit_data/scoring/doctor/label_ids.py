"""80 for 60: AVA's label map or truth with other classes than the 60 that count."""

from __future__ import annotations

from collections.abc import Collection

from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.files.class_names import differs
from pvit_data.scoring.metrics.ava import ALL, EVALUATED

_NAME = "80 for 60"


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
