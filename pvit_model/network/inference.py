"""What a trained network needs besides its weights: how clips are made, what the classes are called.

Stored as `inference.json` next to `config.json` and `model.safetensors`, so that a run, an exported folder or a Hub
repository is enough for `pvit predict` and `pvit eval`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from pvit_data.clips.config import MOST_TASKS, ClipConfig
from pvit_data.errors import FormatError
from pvit_data.sample.labels import LabelSpace
from pvit_data.storage.files import read_regular, write_file
from pvit_data.storage.values import MAX_JSON_BYTES, parse_json
from pvit_data.tasks.table import labels_among, target_spec, target_specs
from pvit_data.words import first_problem, shown
from pvit_model.tasks import ACTION, LossOptions, target_names

FILE = "inference.json"
FULL = "full"
Crops = Literal["full"] | Annotated[int, pydantic.Field(ge=1, le=100)]
"""Spatial views of a clip in evaluation, or whole frames."""


class Inference(pydantic.BaseModel):
    """How to feed a network and how to read its answers.

    Args:
        clip: how clips were made in training; evaluation uses its published deterministic form.
        tasks: auxiliary tasks with a head.
        labels: label tasks with a head, besides actions.
        action: the downstream's classes, or None.
        label_spaces: classes of those of the further labels that have an output for each.
        spaces: label spaces that heads have an output for, by name; `segm` in files.
        further_spaces: label spaces of fields that the network was trained on without predicting their ids (box
            classes), by field and name.
        clips: clips per video, evenly spread in time.
        crops: spatial views per clip, or `"full"`: one, of the whole frame.
        loss_options: how losses were computed, see `LossOptions`.
        recipe: name of the recipe, for people.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    clip: ClipConfig
    tasks: tuple[str, ...] = pydantic.Field(default=(), max_length=MOST_TASKS)
    labels: tuple[str, ...] = pydantic.Field(default=(), max_length=MOST_TASKS)
    action: LabelSpace | None = None
    label_spaces: dict[str, LabelSpace] = {}
    spaces: dict[str, LabelSpace] = pydantic.Field(
        default={}, validation_alias="segm", serialization_alias="segm"
    )
    further_spaces: dict[str, dict[str, LabelSpace]] = {}
    clips: int = pydantic.Field(default=1, ge=1, le=100)
    crops: Crops = 1
    loss_options: dict[str, Any] = {}
    recipe: str = ""

    @property
    def num_crops(self) -> int:
        """Spatial views per clip."""
        return self.crops if isinstance(self.crops, int) else 1

    def losses(self) -> LossOptions:
        """The loss options as the loss functions take them.

        Raises:
            ConfigError: for an unknown option, naming the known ones.
        """
        return LossOptions(**self.loss_options)

    def space_of(self, target: str) -> LabelSpace | None:
        """The label space of a target; None where it has none."""
        if target == ACTION:
            return self.action
        return self.label_spaces.get(target) or self.spaces.get(target.partition("/")[2])

    def num_ids(self, target: str) -> int:
        """Number of ids of a target's label space; 0 where it has none."""
        space = self.space_of(target)
        return space.num_ids if space is not None else 0

    def targets_of(self, source: str) -> tuple[str, ...]:
        """Target names that a source may supervise, in a fixed order."""
        tasks = self.clip.tasks.get(source, ())
        trained = target_names((t for t in tasks if t in self.tasks), self.spaces)
        labels = tuple(t for t in self.labels if t in tasks)
        first = (ACTION,) if ACTION in tasks and self.action is not None else ()
        return (*first, *labels, *trained)

    def for_source(self, source: str, listed: Sequence[str]) -> Inference:
        """The same for a source that training did not see: with the tasks its manifest lists, where there is a head."""
        if source in self.clip.tasks:
            return self
        tasks = {**self.clip.tasks, source: tuple(t for t in listed if t in self.tasks)}
        return self.model_copy(update={"clip": self.clip.model_copy(update={"tasks": tasks})})

    def without(self, source: str, left_out: Collection[str]) -> Inference:
        """The same without some tasks of a source."""
        if not left_out:
            return self
        kept = tuple(task for task in self.clip.tasks.get(source, ()) if task not in left_out)
        tasks = {**self.clip.tasks, source: kept}
        return self.model_copy(update={"clip": self.clip.model_copy(update={"tasks": tasks})})

    def as_downstream(self, source: str, keep_clips: bool = False) -> Inference:
        """The same with another source in the downstream's place: its clips are made as the downstream's are.

        Args:
            keep_clips: it was trained on, so its clips are made as they were.
        """
        clip, old = self.clip, self.clip.downstream
        if source == old:
            return self
        tasks = (*clip.tasks.get(source, ()), *labels_among(clip.tasks.get(old, ())))
        changed: dict[str, Any] = {
            "downstream": source,
            "tasks": {**clip.tasks, source: tuple(dict.fromkeys(tasks))},
        }
        if not keep_clips:
            changed["samplers"] = {**clip.samplers, source: clip.sampler(old)}
            others = {name: clip.per_source[name] for name in clip.per_source if name != source}
            like = {source: clip.per_source[old]} if old in clip.per_source else {}
            changed["per_source"] = {**others, **like}
        return self.model_copy(update={"clip": clip.model_copy(update=changed)})

    def space_like(self, field: str, space: LabelSpace) -> LabelSpace | None:
        """The network's label space for a source's: the one of its name, else the first that has all of its classes."""
        known = self._known(field)
        same = [s for s in known.values() if set(space.classes) <= set(s.classes)]
        return known.get(space.name) or next(iter(same), None)

    def _known(self, field: str) -> Mapping[str, LabelSpace]:
        own = {
            space.name: space
            for label, space in self.label_spaces.items()
            if target_spec(label).by_class == field
        }
        if field == target_spec(ACTION).field:
            return own if self.action is None else {**own, self.action.name: self.action}
        predicted = (spec.field for spec in target_specs(self.tasks) if spec.by_space)
        others = self.spaces if field in predicted else self.further_spaces.get(field, {})
        return {**others, **own}

    def save(self, folder: Path) -> None:
        """Writes `inference.json`."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False)
        write_file(folder / FILE, text + "\n")

    @classmethod
    def load(cls, folder: Path) -> Inference:
        """Reads `inference.json`.

        Raises:
            FormatError: if it is not there or not readable.
        """
        path = folder / FILE
        try:
            text = read_regular(path, MAX_JSON_BYTES + 1)
        except OSError as error:
            raise FormatError(
                f"{path}: {error.strerror or error}; expected a folder written by `pvit train`"
            ) from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: bytes, where: str) -> Inference:
        """Reads the contents of `inference.json`; `where` they come from, for messages.

        Raises:
            FormatError: if they are not readable.
        """
        values = parse_json(text, where)
        try:
            found = cls.model_validate(values)
        except FormatError as error:  # of a label space
            raise FormatError(f"{where}: {shown(str(error))}") from None
        except pydantic.ValidationError as error:
            raise FormatError(f"{where}: {first_problem(error)}") from None
        further = {field: _tuples(named) for field, named in found.further_spaces.items()}
        changed = {
            "spaces": _tuples(found.spaces),
            "label_spaces": _tuples(found.label_spaces),
            "further_spaces": further,
        }
        return found.model_copy(update=changed)


def _tuples(spaces: Mapping[str, LabelSpace]) -> dict[str, LabelSpace]:
    return {name: replace(s, classes=tuple(s.classes)) for name, s in spaces.items()}
