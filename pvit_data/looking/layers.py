"""The table of layers: how each annotation of a sample is shown. Who draws, describes or counts samples goes by it.

Data sets have layers of their own, which bring annotations to the pictures of others; what they give is shown in the
same way, under their name (`given_by`). A field is drawn by adding a row: its tile in sheets and terminals, its line
of facts, its sprite or numbers in the gallery, the classes it can be searched and counted by. A part that a layer
lacks is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Integer

from pvit_data.format.record import Record
from pvit_data.looking import lines, numbers, sprites, tiles
from pvit_data.looking.lines import Line
from pvit_data.looking.sprites import Sprite
from pvit_data.looking.tiles import Ground, Tile
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.labels import IGNORE_8
from pvit_data.sample.sample import UNKNOWN, Sample

Classes = tuple[Integer[np.ndarray, "..."], int]
"""Ids that occur, repeated as often as they do, and the one that means nothing."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """How one annotation is shown.

    Args:
        name: of its column, and of its sample field unless it shows several.
        shows: the sample fields, where it shows several.
        title: in words, for people; default: the name.
        key: of the gallery that switches it on and off.
        is_map: whether it is a dense map, of some frames.
        tile: its picture of one frame over the ground, or None where the sample lacks it.
        line: its line of facts, or None where the sample lacks it.
        sprite: its preview frames, of a size, at these places among all preview frames.
        coloured: by which table the gallery colours a sprite that holds numbers.
        numbers: name in the gallery's data, and what is drawn there as vectors, for these frames.
        classes: ids of its label space in a sample.
        unit: what is counted by class.
        scanned: whether statistics read it in some samples; what is not is counted from the index.
        is_label: whether it says what the whole clip shows, above its pictures.
    """

    name: str
    shows: tuple[str, ...] = ()
    title: str = ""
    key: str = ""
    is_map: bool = False
    tile: Callable[[Sample, int, Ground], Tile | None] | None = None
    line: Callable[[Sample, Record], Line | None] | None = None
    sprite: Callable[[Sample, tuple[int, int], Sequence[int]], Sprite] | None = None
    coloured: Literal["", "ramp", "classes"] = ""
    numbers: tuple[str, Callable[[Sample, list[int]], Any]] | None = None
    classes: Callable[[Sample], Classes | None] | None = None
    unit: Literal["", "samples", "boxes", "pixels"] = ""
    scanned: bool = False
    is_label: bool = False

    def frames(self, record: Record) -> list[int]:
        """The frames of a sample that have this map."""
        found: list[int] = getattr(record, f"{self.name}_frames")
        return found


def _segm_classes(sample: Sample) -> Classes | None:
    if sample.segm is None or not sample.segm.size:
        return None
    space = sample.spaces.get("segm")
    return sample.segm, IGNORE_8 if space is None else space.ignore


def _boxes_classes(sample: Sample) -> Classes | None:
    if sample.boxes is None:
        return None
    return np.concatenate([sample.boxes.class_id, sample.boxes.labels[:, 1]]), UNKNOWN


def _action_classes(sample: Sample) -> Classes | None:
    if isinstance(sample.action, int):
        return np.array([sample.action]), UNKNOWN
    return None if sample.actions is None else (sample.actions.class_id, UNKNOWN)


LAYERS = (
    Layer(name="rgb", title="clip", tile=tiles.rgb_tile, sprite=sprites.rgb_sprite),
    Layer(
        name="depth",
        key="d",
        is_map=True,
        tile=tiles.depth_tile,
        line=lines.depth_line,
        sprite=sprites.depth_sprite,
        coloured="ramp",
        scanned=True,
    ),
    Layer(
        name="normal",
        title="normals",
        key="n",
        is_map=True,
        tile=tiles.normal_tile,
        line=lines.normal_line,
        sprite=sprites.normal_sprite,
    ),
    Layer(
        name="segm",
        title="segmentation",
        key="s",
        is_map=True,
        tile=tiles.segm_tile,
        line=lines.segm_line,
        sprite=sprites.segm_sprite,
        coloured="classes",
        classes=_segm_classes,
        unit="pixels",
        scanned=True,
    ),
    Layer(
        name="boxes",
        key="b",
        tile=tiles.boxes_tile,
        line=lines.boxes_line,
        numbers=("boxes", numbers.boxes),
        classes=_boxes_classes,
        unit="boxes",
        scanned=True,
    ),
    Layer(
        name="pose",
        shows=("pose3d", "pose2d"),
        key="p",
        tile=tiles.pose_tile,
        line=lines.pose_line,
        numbers=("joints", numbers.joints),
    ),
    Layer(
        name="action",
        line=lines.action_line,
        classes=_action_classes,
        unit="samples",
        is_label=True,
    ),
    Layer(name="actions", line=lines.actions_line, is_label=True),
    Layer(name="camera", line=lines.camera_line),
)

COLUMNS = tuple(layer.name for layer in LAYERS if layer.tile is not None)
"""Names of the layers with a picture, in the order of contact sheets."""


def given_by(dataset: ShardDataset, source: str) -> dict[str, str]:
    """Names of the data set's layers that give what is shown, by the name of its entry in the table."""
    giving = dataset.layers_of(source)
    found = {}
    for layer in LAYERS:
        names = [giving[field].name for field in layer.shows or (layer.name,) if field in giving]
        if names:
            found[layer.name] = " + ".join(dict.fromkeys(names))
    return found


MAPS = tuple(layer for layer in LAYERS if layer.is_map)


def mapped_frames(record: Record) -> list[int]:
    """The frames of a sample that have a dense map, ascending, a frame once for each of its maps."""
    return sorted(frame for layer in MAPS for frame in layer.frames(record))
