"""Boxes that samples of shards bring, which a network scores (`persons`): a video alone brings none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pvit_data.clips import transforms
from pvit_data.clips.about import About
from pvit_data.clips.view import View
from pvit_data.loading.batch import Targets
from pvit_data.sample.sample import Sample
from pvit_data.scoring.metrics.views import sigmoid
from pvit_data.tasks.table import is_by_box, target_spec
from pvit_data.tasks.target import Target
from pvit_model.network.inference import Inference
from pvit_model.tasks import get_task
from pvit_model.using.answers import Ranked, ScoredBoxes


@dataclass(frozen=True)
class GivenBoxes:
    """The boxes of a sample that a label scores.

    Args:
        frame: that they are in.
        xyxy: corners in [0, 1] of the whole picture.
        rois: 0 and the corners in the clip, as the network takes them.
    """

    frame: int
    xyxy: Float[np.ndarray, "n 4"]
    rois: Float[Tensor, "n 5"]


def labels_of_boxes(inference: Inference) -> tuple[str, ...]:
    """Labels of a network that score boxes."""
    return tuple(label for label in inference.labels if is_by_box(label))


def fields_of_boxes(inference: Inference) -> set[str]:
    """Fields of samples that have them."""
    return {target_spec(label).field for label in labels_of_boxes(inference)}


def given_boxes(sample: Sample, view: View, inference: Inference) -> dict[str, GivenBoxes]:
    """The boxes of a sample by label; none where nobody looked for any.

    Args:
        sample: without pixels.
        view: of the clip in which they are scored.
        inference: how the network is fed.
    """
    key_frame = About.of(sample.meta).key_frame
    frame = sample.num_frames // 2 if key_frame is None else key_frame
    plain = replace(sample, spaces={})  # what is true of them is not asked, nor in whose classes
    shown = transforms.apply(plain, view.geometry, keep_persons=True)
    found = {}
    for label in labels_of_boxes(inference):
        stored, seen = (
            target_spec(label).build(each, view.frames, inference.clip) for each in (plain, shown)
        )
        if stored is not None and seen is not None:
            whole = _rois(label, stored)[:, 1:].numpy()
            found[label] = GivenBoxes(frame, whole, _rois(label, seen))
    return found


def _rois(label: str, target: Target) -> Float[Tensor, "n 5"]:
    value, valid = torch.from_numpy(target.value), torch.from_numpy(target.valid)
    rois = get_task(label).rois(Targets(torch.zeros(len(value), dtype=torch.long), value, valid))
    assert rois is not None
    return rois


def rois_of_batch(
    given: Sequence[Mapping[str, GivenBoxes]], device: str
) -> dict[str, Float[Tensor, "r 5"]]:
    """The boxes of the clips of a batch by label."""
    found: dict[str, list[Tensor]] = {}
    for number, boxes in enumerate(given):
        for label, own in boxes.items():
            place = own.rois.new_tensor([number, 0, 0, 0, 0])
            found.setdefault(label, []).append(own.rois + place)
    return {label: torch.cat(rois).to(device) for label, rois in found.items()}


def scored(
    given: Mapping[str, GivenBoxes],
    logits: Mapping[str, Float[np.ndarray, "n k"]],
    inference: Inference,
    top: int,
) -> dict[str, ScoredBoxes]:
    """What a network says of the boxes of a sample, by label."""
    found = {}
    for label, boxes in given.items():
        scores = sigmoid(logits[label])
        space = inference.space_of(label)
        assert space is not None
        best = [
            [
                Ranked(int(n) + space.first, space.classes[n], float(row[n]))
                for n in np.argsort(-row, kind="stable")[:top]
            ]
            for row in scores
        ]
        seen = boxes.rois[:, 1:].numpy()
        found[label] = ScoredBoxes(boxes.frame, boxes.xyxy, seen, scores.astype(np.float32), best)
    return found
