"""2D boxes from an instance map: one half-open box per instance, with the majority class of its pixels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer

from pvit_data.sample.sample import ROLE_OBJECT, UNKNOWN, Boxes


def boxes_of_instances(
    instances: Integer[np.ndarray, "h w"],
    classes: Integer[np.ndarray, "h w"] | None = None,
    min_pixels: int = 1,
) -> Boxes:
    """A box table of frame 0, in the order of the instance ids.

    Args:
        instances: instance id of each pixel; ids <= 0 mean none.
        classes: class id of each pixel; ids <= 0 mean unlabelled. None: every box's class is unknown.
        min_pixels: instances with fewer pixels get no box.

    Returns:
        Boxes that hold exactly the pixels of their instance: x1 = first column / W, x2 = (last column + 1) / W;
        `track` is the instance id, `class_id` the commonest class > 0 of its pixels (the smallest one on a tie).
    """
    height, width = instances.shape
    rows, columns = np.nonzero(instances > 0)
    ids = instances[rows, columns].astype(np.int64)
    order = np.argsort(ids, kind="stable")
    ids, rows, columns = ids[order], rows[order], columns[order]
    tracks, starts, counts = np.unique(ids, return_index=True, return_counts=True)
    if len(tracks) == 0:
        return Boxes(np.zeros((0, 4), np.float32))
    corners = np.stack(
        [
            np.minimum.reduceat(columns, starts) / width,
            np.minimum.reduceat(rows, starts) / height,
            (np.maximum.reduceat(columns, starts) + 1) / width,
            (np.maximum.reduceat(rows, starts) + 1) / height,
        ],
        axis=1,
    )
    labels = np.full(len(tracks), UNKNOWN)
    if classes is not None:
        labels = _majority(
            np.repeat(np.arange(len(tracks)), counts), classes[rows, columns], len(tracks)
        )
    keep = counts >= min_pixels
    return Boxes(
        xyxy=corners[keep].astype(np.float32),
        class_id=labels[keep],
        track=tracks[keep],
        role=np.full(int(keep.sum()), ROLE_OBJECT),
    )


def _majority(
    owner: Integer[np.ndarray, "n"], classes: Integer[np.ndarray, "n"], num_owners: int
) -> Integer[np.ndarray, "m"]:
    """The commonest positive class of each owner; -1 where there is none."""
    labelled = classes > 0
    width = int(classes.max(initial=0)) + 1
    flat = owner[labelled] * width + classes[labelled].astype(np.int64)
    votes = np.bincount(flat, minlength=num_owners * width).reshape(num_owners, width)
    winner: Integer[np.ndarray, "m"] = np.where(votes.any(axis=1), votes.argmax(axis=1), UNKNOWN)
    return winner
