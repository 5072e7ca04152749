"""One sample as the gallery shows it: small pictures, boxes and joints as numbers, and texts. All of it is JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from pvit_data.format.record import Record
from pvit_data.looking import sprites
from pvit_data.looking.facts import facts
from pvit_data.looking.layers import LAYERS, mapped_frames
from pvit_data.looking.sheet import spaced
from pvit_data.looking.tiles import class_name
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.sample import Sample

SHORT_SIDE, LONG_SIDE = 128, 256  # pixels
FRAMES = (16, 8, 4, 1)  # previewed per sample; fewer where they do not fit
BUDGET = 58_000  # characters of JSON per sample, so that 500 samples stay under 30 MB
MIN_CLASS_SHARE = 0.002  # of the pixels that a class must cover to be found by the filter
NUMBERS = [layer.numbers for layer in LAYERS if layer.numbers is not None]


def preview(dataset: ShardDataset, row: int) -> dict[str, Any]:
    """The entry of one sample: as many frames, and pictures as good, as fit into `BUDGET`.

    Args:
        dataset: with an index.
        row: number of the sample.

    Raises:
        CorruptShardError: if it is damaged.
    """
    record = dataset.record(row)
    entry: dict[str, Any] = {}
    for count in FRAMES:
        entry, fits = _entry(dataset, row, record, count)
        if fits:
            break
    return entry


def _entry(
    dataset: ShardDataset, row: int, record: Record, count: int
) -> tuple[dict[str, Any], bool]:
    at = preview_frames(record, count)
    sample = dataset.read(row, frames=at)
    size = preview_size(record)
    entry = {
        "key": record.key,
        "source": sample.source,
        "split": sample.split,
        "group": record.group,
        "fields": record.fields,
        "frames": record.frames,
        "fps": record.fps,
        "at": at,
        "size": [size[1], size[0]],
        **{key: numbers(sample, at) for key, numbers in NUMBERS},
        "label": _label(sample),
        "classes": _classes(sample),
        "facts": facts(dataset, row, sample, record),
    }
    # base64 takes four characters for three bytes.
    room = (BUDGET - len(json.dumps(entry, ensure_ascii=False))) * 3 // 4
    entry["layers"], fits = sprites.encode_within(_sprites(sample, at, size), room)
    return entry, fits


def preview_frames(record: Record, count: int = FRAMES[0]) -> list[int]:
    """At most `count` frames: those with dense maps first, then others evenly from the clip."""
    everything = list(range(record.frames))
    if record.frames <= count:
        return everything
    dense = sorted(set(mapped_frames(record)))
    chosen = spaced(dense, count)
    rest = sorted(set(everything) - set(chosen))
    return sorted(chosen + spaced(rest, count - len(chosen)))


def preview_size(record: Record) -> tuple[int, int]:
    """Height and width of the preview: short side at most 128, long side at most 256."""
    if record.height < 0:
        return SHORT_SIDE, SHORT_SIDE * 4 // 3
    short, long = sorted((record.height, record.width))
    scale = min(SHORT_SIDE / short, LONG_SIDE / long, 1)
    return max(1, round(record.height * scale)), max(1, round(record.width * scale))


def _sprites(sample: Sample, at: list[int], size: tuple[int, int]) -> dict[str, sprites.Sprite]:
    found = {}
    for layer in LAYERS:
        value = None if layer.sprite is None else getattr(sample, layer.name)
        if layer.sprite is not None and value is not None and len(value):
            places = [at.index(int(frame)) for frame in sample.frames_of(layer.name)]
            found[layer.name] = layer.sprite(sample, size, places)
    return found


def _label(sample: Sample) -> str:
    """The action in words, or nothing."""
    if sample.action is None:
        return ""
    if isinstance(sample.action, int):
        name = class_name(sample.action, sample.spaces.get("action"))
        return name or f"action {sample.action}"
    return f"action {sample.action}"


def _classes(sample: Sample) -> dict[str, list[int]]:
    """Ids that occur, by field, for the filter; of maps only those that cover enough."""
    found = {}
    for layer in LAYERS:
        occurring = None if layer.classes is None else layer.classes(sample)
        if occurring is not None:
            values, nothing = occurring
            ids, counts = np.unique(values, return_counts=True)
            least = MIN_CLASS_SHARE * values.size if layer.unit == "pixels" else 0
            found[layer.name] = ids[(ids != nothing) & (counts >= least)].tolist()
    return found
