"""Contact sheets: several samples, or several frames of one, by their annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from pvit_data.format.record import Record
from pvit_data.looking import pictures
from pvit_data.looking.layers import COLUMNS, LAYERS, given_by, mapped_frames
from pvit_data.looking.tiles import Tile, ground_of
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.sample import Sample

HEIGHT = 168  # of a tile, pixels
CAPTION = 20
GAP = 6


class _Line(NamedTuple):
    """One line: its title, its tiles by column, and frames to show instead where there is nothing but a clip."""

    title: str
    tiles: dict[str, Tile]
    strip: list[Tile]


def tiles(sample: Sample, frame: int, height: int) -> dict[str, Tile]:
    """Pictures of one frame, by column, all of one size.

    Args:
        sample: with decoded fields, whole or only this frame.
        frame: number in the clip.
        height: of the pictures, pixels.
    """
    ground = ground_of(sample, frame, height)
    found = {}
    for layer in LAYERS:
        tile = None if layer.tile is None else layer.tile(sample, frame, ground)
        if tile is not None:
            found[layer.name] = tile
    return found


def key_frame(record: Record) -> int:
    """The frame of a clip that shows most: where most dense maps are, in the middle of several equal ones."""
    votes = np.bincount(mapped_frames(record), minlength=max(record.frames, 1))
    best = np.flatnonzero(votes == votes.max())
    return int(best[len(best) // 2])


def read_frame(dataset: ShardDataset, row: int, frame: int | None = None) -> tuple[Sample, int]:
    """A sample with one decoded frame (default: its key frame), and the frame's number."""
    chosen = key_frame(dataset.record(row)) if frame is None else frame
    return dataset.read(row, frames=[chosen]), chosen


def samples_sheet(
    dataset: ShardDataset, rows: Sequence[int], height: int = HEIGHT
) -> UInt8[np.ndarray, "H W 3"]:
    """One line per sample: its key frame with every annotation.

    Args:
        dataset: with an index.
        rows: numbers of the samples.
        height: of each picture.

    Raises:
        CorruptShardError: if a sample is damaged.
    """
    lines: list[_Line] = []
    for row in rows:
        sample, frame = read_frame(dataset, row)
        found = _named(dataset, sample, tiles(sample, frame, height))
        strip = _strip(dataset, row, sample.num_frames, height) if set(found) == {"rgb"} else []
        lines.append(_Line(sample.key, found, strip))
    return _sheet(lines, height)


def _named(dataset: ShardDataset, sample: Sample, found: dict[str, Tile]) -> dict[str, Tile]:
    """The tiles, captioned with the layer that their annotation comes from."""
    given = given_by(dataset, sample.source)
    return {
        name: tile._replace(caption=f"{tile.caption} ({given[name]})") if name in given else tile
        for name, tile in found.items()
    }


def _strip(dataset: ShardDataset, row: int, num_frames: int, height: int) -> list[Tile]:
    """Frames of a clip that has nothing else to show."""
    frames = spaced(range(num_frames), len(COLUMNS))
    sample = dataset.read(row, ["rgb"], frames)
    return [tiles(sample, frame, height)["rgb"] for frame in frames]


def frames_sheet(
    dataset: ShardDataset, row: int, count: int = 6, height: int = HEIGHT
) -> UInt8[np.ndarray, "H W 3"]:
    """One line per frame of a sample, spread over the frames that have dense maps, or over the clip.

    Args:
        dataset: with an index.
        row: number of the sample.
        count: at most so many frames.
        height: of each picture.

    Raises:
        CorruptShardError: if the sample is damaged.
    """
    record = dataset.record(row)
    annotated = sorted(set(mapped_frames(record)))
    frames = spaced(annotated or list(range(record.frames)), count)
    lines: list[_Line] = []
    for frame in frames:
        sample, _ = read_frame(dataset, row, frame)
        found = _named(dataset, sample, tiles(sample, frame, height))
        lines.append(_Line(sample.key, found, []))
    return _sheet(lines, height)


def spaced(values: Sequence[int], count: int) -> list[int]:
    """At most `count` of the values, evenly spaced, both ends kept."""
    picks = np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)
    return [values[i] for i in picks]


def _sheet(lines: Sequence[_Line], height: int) -> UInt8[np.ndarray, "H W 3"]:
    columns = [name for name in COLUMNS if any(name in line.tiles for line in lines)] or ["rgb"]
    return pictures.grid([_row(line, columns, height) for line in lines], GAP)


def _row(line: _Line, columns: list[str], height: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    width = next((tile.picture.shape[1] for tile in line.tiles.values()), height)
    blank = np.full((height, width, 3), 30, np.uint8)
    if line.strip and len(columns) > 1:
        found = line.strip[: len(columns)]
    else:
        found = [line.tiles.get(name, Tile(blank, f"no {name}")) for name in columns]
    captions = [tile.caption for tile in found]
    captions[0] = f"{line.title}   {captions[0]}"
    return [
        pictures.captioned(tile.picture, caption, CAPTION)
        for tile, caption in zip(found, captions, strict=True)
    ]
