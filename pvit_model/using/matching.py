"""What a network can be asked about a source, and in which ids: classes are matched by their names, not by numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from pvit_data.errors import UsageError
from pvit_data.format.names import SPLITS
from pvit_data.mixing.sources import auxiliary_tasks
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.layers.places import FoundSource
from pvit_data.reading.renumbered import Renumbering, lost_text
from pvit_data.sample.labels import LabelSpace
from pvit_data.tasks.table import is_by_box, target_spec, target_specs
from pvit_model.network.inference import FULL, Inference
from pvit_model.network.pvit import PViT
from pvit_model.recipes.clips import side_step_of
from pvit_model.tasks import ACTION


@dataclass(frozen=True)
class Matched:
    """A source as a network knows it.

    Args:
        source: as it was found.
        inference: with the source's tasks that the network has an output for.
        spaces: the network's label space by field of the source.
        refused: fields of which a class that the network lacks is an error.
        left_out: why something of the source is not evaluated, in sentences' ends.
    """

    source: FoundSource
    inference: Inference
    spaces: dict[str, LabelSpace]
    refused: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the source."""
        return self.source.name

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets to evaluate."""
        return self.inference.targets_of(self.name)

    def open(self, split: str, strict: bool = True) -> ShardDataset | None:
        """A split of it in the network's ids; None where it has no sample in it.

        Args:
            strict: refuse classes that the network lacks; else such labels are left out.
        """
        ds = self.source.split(split)
        refused = self.refused if strict else ()
        return None if ds is None else ds.with_spaces(self.name, self.spaces, refused)

    @property
    def views(self) -> tuple[int, int]:
        """Clips of each video in an evaluation, and crops of each of these."""
        inference = self.inference
        if any(is_by_box(name) for name in self.targets):
            return 1, 1  # each box has one score
        own = self.name == inference.clip.downstream
        return (inference.clips, inference.num_crops) if own else (1, 1)

    @property
    def is_whole(self) -> bool:
        """Whether an evaluation shows whole frames: of the downstream, where the network's crops say so."""
        inference = self.inference
        return inference.crops == FULL and self.name == inference.clip.downstream

    def side_step(self, network: PViT) -> int:
        """What sides of whole frames must be multiples of; 0: crops are evaluated.

        Raises:
            UsageError: if the network or its tasks cannot be evaluated on whole frames.
        """
        if not self.is_whole:
            return 0
        name, size = network.config.backbone, self.inference.clip.size
        return side_step_of(network.backbone, name, self.name, self.targets, size)


def match(
    inference: Inference, source: FoundSource, split: str, *, asked: bool, allow_other: bool
) -> Matched:
    """Matches a source with a network.

    Args:
        source: as it was found.
        split: to be evaluated.
        asked: the user named this source: what does not fit is an error, not left out.
        allow_other: labels of classes that the network lacks are left out.

    Raises:
        UsageError: naming the first class that samples of the split have and the network lacks.
    """
    ds, name = source.ds, source.name
    # Layers with what is to be scored may hide the labels that it is scored against.
    given, reasons = {**ds.without_layers().spaces_of(name), **ds.spaces_of(name)}, []
    trained = name in inference.clip.tasks
    own = name == inference.clip.downstream
    inference = inference.for_source(name, auxiliary_tasks(ds, name, {}))
    action = target_spec(ACTION).field
    spaces = {
        field: wanted
        for field, space in given.items()
        if (wanted := inference.space_like(field, space)) is not None
    }
    wrong = "" if allow_other else _actions_that_differ(inference, ds, name, split)
    if wrong and (own or (asked and not trained)):
        raise UsageError(wrong)
    if wrong or inference.action is None or not (own or action in given):
        if all(spec.by_class != action for spec in target_specs(inference.labels)):
            spaces.pop(action, None)
        reasons += [wrong] if wrong and not trained else []
        if not own and _has_labels(inference, ds, spaces, asked=asked):
            inference = inference.as_downstream(name, keep_clips=trained).without(name, (ACTION,))
    else:
        inference = inference.as_downstream(name, keep_clips=trained)
    by_class = {
        spec.name: spec.by_class for spec in target_specs(inference.labels) if spec.by_class
    }
    unknown = [n for n, field in by_class.items() if field in given and field not in spaces]
    inference = inference.without(name, unknown)
    by_space = [spec.field for spec in target_specs(inference.tasks) if spec.by_space]
    reasons += [
        f"label space '{given[field].name}' of '{name}' is none of the network's"
        for field in (*by_space, *(by_class[label] for label in unknown))
        if field in given and field not in spaces
    ]
    refused = () if allow_other else (action, *by_space, *by_class.values())
    return Matched(source, inference, spaces, refused, tuple(reasons))


def _has_labels(
    inference: Inference, ds: ShardDataset, spaces: Collection[str], *, asked: bool
) -> bool:
    """Whether a source has a label besides actions that the network predicts: with its classes, or asked for.

    Args:
        spaces: fields of it whose classes are the network's.
        asked: the user named the source; labels without classes are those of the network then.
    """
    specs = target_specs(inference.labels)
    if any(spec.by_class in spaces for spec in specs if spec.by_class):
        return True
    fields = [spec.field for spec in specs if not spec.by_class]
    return asked and any(bool(ds.column(f"has_{field}").any()) for field in fields)


def _actions_that_differ(inference: Inference, ds: ShardDataset, name: str, split: str) -> str:
    """What is wrong with a source's classes for a network with actions; "" where they are its own."""
    field = target_spec(ACTION).field
    mine = ds.in_split(split)
    ids = np.zeros(0, np.int32) if mine is None else mine.column(field)
    ids = ids[ids >= 0]
    if inference.action is None or not len(ids):
        return ""
    space = ds.spaces_of(name).get(field)
    if space is None:
        return (
            f"source '{name}': its classes have no names, so they cannot be matched with the network's; index it with "
            "its names ('pvit-data index --classes FILE'), or take its ids as they are with --allow-other-classes"
        )
    lost = Renumbering(field, space, inference.action).lost(ids)
    return lost_text(f"source '{name}'", field, lost[0], inference.action) if lost else ""


def why_not(matched: Matched, split: str) -> str:
    """Why nothing of a source is evaluated."""
    ds = matched.source.ds
    counts = {name: len(mine) for name in sorted(SPLITS) if (mine := ds.in_split(name)) is not None}
    if split not in counts:
        listed = ", ".join(f"{name} ({count})" for name, count in counts.items())
        return f"'{matched.name}' has no samples in split '{split}'; it has {listed}"
    if matched.left_out:
        return "; ".join(matched.left_out)
    return f"'{matched.name}' carries nothing that the network predicts ({_predicted(matched.inference)})"


def _predicted(inference: Inference) -> str:
    names: Sequence[str] = ([ACTION] if inference.action else []) + [
        *inference.labels,
        *inference.tasks,
    ]
    return ", ".join(names) or "nothing"
