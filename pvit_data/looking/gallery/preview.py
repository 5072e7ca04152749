"""One sample as the gallery shows it: small pictures, boxes and joints as numbers, and texts. All of it is JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from jaxtyping import Integer

from pvit_data.format.record import Record
from pvit_data.looking.facts import facts
from pvit_data.looking.gallery import sprites
from pvit_data.looking.sheet import spaced
from pvit_data.looking.tiles import joints_of
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.sample import Boxes, Sample

SHORT_SIDE, LONG_SIDE = 128, 256  # pixels
FRAMES = (16, 8, 4, 1)  # previewed per sample; fewer where they do not fit
MAX_BOXES, MAX_PEOPLE = 40, 6  # per frame
BUDGET = 58_000  # characters of JSON per sample, so that 500 samples stay under 30 MB
SCALE = 1000  # of coordinates that are stored as whole numbers
MIN_CLASS_SHARE = 0.002  # of the pixels that a class must cover to be found by the filter


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
        "boxes": _boxes(sample, at),
        "joints": _joints(sample, at),
        "label": _label(sample),
        "classes": _classes(sample),
        "facts": facts(dataset, row, sample, record),
    }
    room = (
        (BUDGET - len(json.dumps(entry, ensure_ascii=False))) * 3 // 4
    )  # base64 takes four characters for three bytes
    entry["layers"], fits = sprites.encode_within(_sprites(sample, at, size), room)
    return entry, fits


def preview_frames(record: Record, count: int = FRAMES[0]) -> list[int]:
    """At most `count` frames: those with dense maps first, then others evenly from the clip."""
    everything = list(range(record.frames))
    if record.frames <= count:
        return everything
    dense = sorted(
        {f for name in ("depth", "normal", "segm") for f in getattr(record, f"{name}_frames")}
    )
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
    found: dict[str, sprites.Sprite] = {}
    for name in ("rgb", "depth", "normal", "segm"):
        value = getattr(sample, name)
        if value is None or len(value) == 0:
            continue
        places = [at.index(int(frame)) for frame in sample.frames_of(name)]
        if name == "rgb":
            found[name] = sprites.clip_sprite(value, size, places)
        elif name == "depth":
            found[name] = sprites.depth_sprite(value, size, places)
        elif name == "normal":
            found[name] = sprites.normal_sprite(value, size, places)
        else:
            space = sample.spaces.get("segm")
            found[name] = sprites.segm_sprite(
                value, size, places, 255 if space is None else space.ignore
            )
    return found


def _boxes(sample: Sample, at: list[int]) -> list[list[list[int]]] | None:
    """Per preview frame: rows of x1, y1, x2, y2 (thousandths), class, track, role, side, contact; largest first."""
    boxes = sample.boxes
    if boxes is None:
        return None
    return [_box_rows(boxes, np.flatnonzero(boxes.frame == frame)) for frame in at]


def _box_rows(boxes: Boxes, rows: Integer[np.ndarray, "n"]) -> list[list[int]]:
    area = (boxes.xyxy[rows, 2] - boxes.xyxy[rows, 0]) * (boxes.xyxy[rows, 3] - boxes.xyxy[rows, 1])
    kept = rows[np.argsort(-area, kind="stable")[:MAX_BOXES]]
    corners = np.rint(boxes.xyxy[kept] * SCALE).astype(int)
    columns = [
        getattr(boxes, name)[kept] for name in ("class_id", "track", "role", "side", "contact")
    ]
    table: list[list[int]] = np.concatenate([corners, np.stack(columns, 1)], 1).tolist()
    return table


def _joints(sample: Sample, at: list[int]) -> dict[str, Any] | None:
    """Per preview frame: people as 25 pairs of thousandths of width and height; [-9, -9] = unknown."""
    found = [joints_of(sample, frame) for frame in at]
    if all(joints is None for joints in found):
        return None
    size = np.array([max(sample.width, 1), max(sample.height, 1)])
    people = []
    for joints in found:
        rows = []
        for xy, valid in zip(joints.xy, joints.valid, strict=True) if joints is not None else ():
            if valid.any():
                places = np.rint(np.clip(xy / size, -9, 9) * SCALE).astype(int)
                places[~valid] = -9 * SCALE
                rows.append(places.ravel().tolist())
        people.append(rows[:MAX_PEOPLE])
    return {"placed": all(joints is None or joints.placed for joints in found), "people": people}


def _label(sample: Sample) -> str:
    """The action in words, or nothing."""
    space = sample.spaces.get("action")
    if (
        isinstance(sample.action, int)
        and space is not None
        and space.first <= sample.action < space.num_ids
    ):
        return space.class_name(sample.action)
    return "" if sample.action is None else f"action {sample.action}"


def _classes(sample: Sample) -> dict[str, list[int]]:
    """Ids that occur, by field, for the filter."""
    found: dict[str, list[int]] = {}
    if sample.segm is not None and sample.segm.size:
        ids, counts = np.unique(sample.segm, return_counts=True)
        space = sample.spaces.get("segm")
        ignore = 255 if space is None else space.ignore
        found["segm"] = [
            int(i)
            for i, n in zip(ids, counts, strict=True)
            if i != ignore and n >= MIN_CLASS_SHARE * sample.segm.size
        ]
    if sample.boxes is not None:
        ids = np.unique(np.concatenate([sample.boxes.class_id, sample.boxes.labels[:, 1]]))
        found["boxes"] = [int(i) for i in ids if i >= 0]
    if isinstance(sample.action, int):
        found["action"] = [sample.action]
    elif sample.actions is not None:
        found["action"] = sorted({int(i) for i in sample.actions.class_id})
    return found
