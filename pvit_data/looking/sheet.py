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


STRIP = 6  # frames of a clip that has nothing but pictures
PER_ROW = 4  # of them, where a sheet shows one clip


class _Line(NamedTuple):
    """One line: what stands above it, and its tiles by column, or one behind the other where it has frames only."""

    heading: str
    tiles: dict[str, Tile]
    strip: Sequence[Tile] = ()


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
    """One line per sample, below its key and label: its key frame with every annotation, or else frames of the clip.

    Args:
        dataset: with an index.
        rows: numbers of the samples.
        height: of each picture.

    Raises:
        CorruptShardError: if a sample is damaged.
    """
    lines: list[_Line] = []
    for row in rows:
        record = dataset.record(row)
        sample, frame = read_frame(dataset, row, key_frame(record))
        found = _named(dataset, sample, tiles(sample, frame, height))
        strip = _strip(dataset, row, height, STRIP) if set(found) == {"rgb"} else []
        lines.append(_Line(heading(sample, record), found, strip))
    return _sheet(lines, height)


def heading(sample: Sample, record: Record) -> str:
    """What stands above a sample: its key, its labels, its length."""
    told = [layer.line(sample, record) for layer in LAYERS if layer.is_label and layer.line]
    labels = [f"{name}: {text}" for name, text in filter(None, told)]
    rate = f" at {record.fps:g} frames/s" if record.fps else ""
    length = f"{record.frames} frames{rate}" if record.frames > 1 else "still"
    return "   ".join([sample.key, *labels, length])


def _named(dataset: ShardDataset, sample: Sample, found: dict[str, Tile]) -> dict[str, Tile]:
    """The tiles, captioned with the layer that their annotation comes from."""
    given = given_by(dataset, sample.source)
    return {
        name: tile._replace(caption=f"{tile.caption} ({given[name]})") if name in given else tile
        for name, tile in found.items()
    }


def _strip(dataset: ShardDataset, row: int, height: int, count: int) -> list[Tile]:
    """Frames of a clip that has nothing else to show."""
    frames = spaced(range(dataset.record(row).frames), count)
    sample = dataset.read(row, ["rgb"], frames)
    return [tiles(sample, frame, height)["rgb"] for frame in frames]


def frames_sheet(
    dataset: ShardDataset, row: int, count: int = 6, height: int = HEIGHT
) -> UInt8[np.ndarray, "H W 3"]:
    """Frames of a sample below its key and label, spread over those that have dense maps, or over the clip.

    A line per frame with every annotation; of a clip that has none, `PER_ROW` frames in each line.

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
    lines: list[_Line] = []
    for frame in spaced(annotated or list(range(record.frames)), count):
        sample, _ = read_frame(dataset, row, frame)
        found = _named(dataset, sample, tiles(sample, frame, height))
        lines.append(_Line("" if lines else heading(sample, record), found))
    if all(set(line.tiles) == {"rgb"} for line in lines):
        strip = [line.tiles["rgb"] for line in lines]
        cut = range(0, len(strip), PER_ROW)
        lines = [_Line("" if i else lines[0].heading, {}, strip[i : i + PER_ROW]) for i in cut]
    return _sheet(lines, height)


def spaced(values: Sequence[int], count: int) -> list[int]:
    """At most `count` of the values, evenly spaced, both ends kept."""
    picks = np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)
    return [values[i] for i in picks]


def _sheet(lines: Sequence[_Line], height: int) -> UInt8[np.ndarray, "H W 3"]:
    plain = [line for line in lines if not line.strip]
    columns = [name for name in COLUMNS if any(name in line.tiles for line in plain)] or ["rgb"]
    rows = [list(line.strip) or _row(line, columns, height) for line in lines]
    explained = any(tile.legend for row in rows for tile in row)
    drawn = [[_drawn(tile, explained) for tile in row] for row in rows]
    return pictures.grid(drawn, GAP, headings=[line.heading for line in lines])


def _row(line: _Line, columns: list[str], height: int) -> list[Tile]:
    width = next((tile.picture.shape[1] for tile in line.tiles.values()), height)
    blank = np.full((height, width, 3), 30, np.uint8)
    return [line.tiles.get(name, Tile(blank, f"no {name}")) for name in columns]


def _drawn(tile: Tile, explained: bool) -> UInt8[np.ndarray, "h w 3"]:
    legend = tile.legend if explained else None
    return pictures.captioned(tile.picture, tile.caption, CAPTION, legend=legend)
