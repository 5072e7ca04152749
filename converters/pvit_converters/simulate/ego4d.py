"""Simulated Ego4D for OSCC and PNR: a download with long videos of numbered frames, annotations and a manifest.

Planted: videos that start after 0, that end within a window, without `.mp4`, and that are not there in two ways;
a video of which only the canonical clip is there; windows with no `clip_uid`, with `state_change` null, and such that
contradict each other; files of other tasks. Truth (`windows.json`): file and first frame of each window that is there.

These show only their numbers. From the seventh pair on something happens that can be learned (`ego4d_acts`): such a
pair is a window with a change and one without, both in train, or both in val in every third video.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pvit_converters.simulate import ego4d_acts
from pvit_converters.simulate.long_video import numbered, write_long_video
from pvit_converters.simulate.tree import Job, Simulator, Tree, fresh, rng_of, spread, write_truth

_RATE = Fraction(30)
_LONG, _SHORT = 3000, 700
"""Frames of a video."""
_CLIP_FROM = 300
"""Frame of the full video with which a canonical clip begins."""
_ROOM = 400
"""Frames from one pair of windows to the next."""
_SPAN, _WINDOWS = 260, 6
"""Frames that are drawn for each pair, and how many such spans a video has."""
_LENGTHS = {"train": 240, "val": 153}
"""Frames of a window in which something happens."""


def _uid(kind: str, number: int) -> str:
    return f"{kind}0c4fd-185a-42f4-94c3-{number:012x}"


def _window(
    video: str, clip: str | None, first: int, last: int, change: int | None
) -> dict[str, Any]:
    """A row as released, with a change at a frame, or without one."""
    start, end = round(first / 30, 4), round(last / 30, 4)
    row: dict[str, Any] = {
        "clip_uid": clip,
        "clip_id": str(first),
        "unique_id": f"{video}-{start:.15f}-{end:.14f}".replace(".", "_"),
        "video_uid": video,
        "parent_start_sec": start,
        "parent_end_sec": end,
        "parent_start_frame": first,
        "parent_end_frame": last,
        "state_change": change is not None,
    }
    if clip is not None and first >= _CLIP_FROM:
        row |= {"clip_start_frame": first - _CLIP_FROM, "clip_end_frame": last - _CLIP_FROM}
    row |= {"pnr_frame": None} if change is None else {"parent_pnr_frame": change}
    return row


@dataclass(frozen=True)
class _Video:
    """A file to write: frames in all, spans that are drawn, frames by which it is late, what happens in each span."""

    path: Path
    frames: int
    spans: list[range]
    late: int = 0
    events: tuple[ego4d_acts.Event, ...] = ()

    def draw(self, frame: int) -> UInt8[np.ndarray, "64 64 3"]:
        """A frame: its number, or what happens."""
        if not self.events:
            return numbered(frame)
        of_span = zip(self.spans, self.events, strict=True)
        return ego4d_acts.drawn(next(event for span, event in of_span if frame in span), frame)


def _write(video: _Video) -> int:
    write_long_video(video.path, video.frames, _RATE, video.spans, late=video.late, draw=video.draw)
    return 1


def simulate(job: Job) -> Tree:
    """Writes a tree.

    Args:
        job: what every raw writer is asked; a sample is a pair of windows of 8 s in train and 5.1 s in val.
    """
    pairs = job.samples or {"tiny": 2, "small": 4}.get(job.preset, 6)
    root = fresh(job.out)
    full, clips = root / "v1/full_scale", root / "v1/clips"
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    video, clip = _uid("80b", 0), _uid("c1e", 0)
    spans = [_span(place, _SPAN) for place in range(min(pairs, _WINDOWS))]
    for span in spans:
        change = span.start + 60 + int(rng_of(job.seed, 0, span.start).integers(100))
        rows["train"].append(_window(video, clip, span.start + 4, span.start + 244, change))
        rows["val"].append(_window(video, None, span.start + 9, span.start + 162, None))
    rows["test"].append(_window(video, clip, spans[0].start, spans[0].start + 160, None))
    tasks = [_Video(full / f"{video}.mp4", _LONG, spans, late=5)]
    tasks += _acted(full, job.seed, 2 * max(pairs - _WINDOWS, 0), rows)
    ends, only_clip = _uid("e4d", 0), _uid("0c1", 0)
    rows["train"].append(_window(ends, None, _SHORT - 120, _SHORT + 120, _SHORT - 100))
    tasks.append(_Video(full / f"{ends}.mp4", _SHORT, [range(_SHORT - 130, _SHORT)]))
    rows["val"].append(
        _window(only_clip, _uid("c1e", 99), _CLIP_FROM + 20, _CLIP_FROM + 173, _CLIP_FROM + 90)
    )
    tasks.append(_Video(clips / f"{_uid('c1e', 99)}.mp4", 300, [range(300)]))
    rows["val"].append(_window(_uid("90e", 0), None, 10, 163, 100))  # in the manifest
    rows["val"].append(_window(_uid("90e", 1), None, 10, 163, 100))
    rows["val"].append({**rows["val"][0], "unique_id": "unknown", "state_change": None})
    for row in rows["test"]:
        for name in ("state_change", "pnr_frame", "clip_uid"):
            row.pop(name, None)
    spread(_write, tasks, job)
    _write_tables(
        root, rows, [*(task.path.name.removesuffix(".mp4") for task in tasks), _uid("90e", 0)]
    )
    write_truth(job, windows={"rows": rows, "clip_from": _CLIP_FROM, "short": _SHORT})
    return Tree(
        root,
        sum(map(len, rows.values())),
        {split: len(found) for split, found in rows.items()},
        ("two videos are not there",),
    )


def _span(place: int, frames: int) -> range:
    start = _CLIP_FROM + _ROOM * place
    return range(start, start + frames)


def _acted(
    folder: Path, seed: int, windows: int, rows: dict[str, list[dict[str, Any]]]
) -> list[_Video]:
    """Videos in which something happens, or does not, by turns; their windows come to the rows."""
    videos = []
    for number in range(1, -(-windows // _WINDOWS) + 1):
        split = "val" if number % 3 == 0 else "train"
        video, length = _uid("80b", number), _LENGTHS[split]
        here = min(windows - _WINDOWS * (number - 1), _WINDOWS)
        spans = [_span(place, length + 1) for place in range(here)]
        events = []
        for place, span in enumerate(spans):
            room = int(rng_of(seed, number, span.start).integers(length // 10, length * 9 // 10))
            change = span.start + room if place % 2 == 0 else None
            rows[split].append(_window(video, None, span.start, span.start + length, change))
            events.append(ego4d_acts.event(seed, number, span, change))
        ending = "" if number % 2 else ".mp4"
        videos.append(_Video(folder / f"{video}{ending}", _LONG, spans, 0, tuple(events)))
    return videos


def _write_tables(root: Path, rows: dict[str, list[dict[str, Any]]], videos: list[str]) -> None:
    folder = root / "v1/annotations"
    folder.mkdir(parents=True)
    for split, found in rows.items():
        name = "test_unannotated" if split == "test" else split
        values: Any = found if split == "val" else {"version": "1", "clips": found}
        (folder / f"fho_oscc-pnr_{name}.json").write_text(json.dumps(values), encoding="utf-8")
    (folder / "fho_hands_train.json").write_text('{"clips": [{"clip_id": 1}]}', encoding="utf-8")
    lines = ["video_uid,type", *(f"{video},full_scale" for video in videos)]
    (root / "v1/full_scale/manifest.csv").write_text("\n".join(lines), encoding="utf-8")


SIMULATOR = Simulator("long videos with changes of objects' states", simulate)
