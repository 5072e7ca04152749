"""Simulated AVA v2.2: movies with numbered frames around a few seconds, ground truth, detections, excluded seconds.

Planted: ids that start with a dash, rows at seconds that AVA does not annotate, boxes without area and outside of the
picture, a person without action, a movie that is not there, detections below every threshold, one with the corners of
ground truth, other files in the folders. Truth (`movies.json`): rate, first frame and form of each movie.

These show only their numbers. From the sixth movie on persons are drawn, from whom can be learned what they do
(`ava_acts`): the first of them is in val, and one in eight.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pvit_converters.simulate import ava_acts
from pvit_converters.simulate.long_video import numbered, write_long_video
from pvit_converters.simulate.tree import Job, Simulator, Tree, fresh, rng_of, spread, write_truth

SECONDS = (902, 903, 905, 1798)
"""Those around which frames are drawn; the others are dark."""
_START, _REACH = 900, 2  # seconds
_RATES = (Fraction(24), Fraction(30000, 1001), Fraction(25), Fraction(24000, 1001), Fraction(30))
_FORMS = (("videos", ".mp4"), ("videos", ".mkv"), ("videos_15min", ".mp4"))
_IDS = ("-5KQ66BBWC4", "0f39OWEqJ24", "_7oWZq_s_Sk", "1j20qq1JyX4", "3IOE-Q3UWdA")
_ABSENT = "zzAbsent"
NOTES = (
    f"one movie of each split is not there ({_ABSENT}...)",
    "val has every second of its movies, 897 each, as the metric wants it: --split train is the short way",
)


@dataclass(frozen=True)
class SimulatedMovie:
    """A movie.

    Args:
        id: its name.
        split: `train` or `val`.
        folder, ending: where its file is.
        rate: frames per second, as two whole numbers.
        late: frames by which its stream starts after 0.
    """

    id: str
    split: str
    folder: str
    ending: str
    rate: tuple[int, int]
    late: int

    @property
    def start(self) -> int:
        """Second of the movie at which the file starts."""
        return _START if self.folder == "videos_15min" else 0


def _write(task: tuple[Path, SimulatedMovie, int | None, int]) -> int:
    root, movie, acted, seed = task
    rate = Fraction(*movie.rate)
    spans: list[range] = []
    for second in SECONDS if acted is None else ava_acts.SECONDS:
        first = max(int((second - _REACH - movie.start) * rate), 0)
        stop = int((second + _REACH - movie.start) * rate)
        if spans and first <= spans[-1].stop:
            spans[-1] = range(spans[-1].start, stop)
        else:
            spans.append(range(first, stop))
    path = root / movie.folder / f"{movie.id}{movie.ending}"
    draw = numbered if acted is None else partial(_acted, seed, acted)
    frames = int((1801 - movie.start) * rate)
    write_long_video(path, frames, rate, spans, late=movie.late, draw=draw)
    return 1


def _acted(seed: int, movie: int, frame: int) -> UInt8[np.ndarray, "64 64 3"]:
    """A frame, counted from 900 s, of a movie in which persons act for a second before and after each of theirs."""
    second = _START + round(frame / 30)
    nearest = min(ava_acts.SECONDS, key=lambda other: abs(other - second))
    people = ava_acts.actors(seed, movie, nearest) if abs(nearest - second) <= 1 else []
    return ava_acts.drawn(people, frame)


def simulate(job: Job) -> Tree:
    """Writes a tree.

    Args:
        job: what every raw writer is asked; a sample is a movie.
    """
    count = job.samples or {"tiny": 2, "small": 3}.get(job.preset, 5)
    root = fresh(job.out)
    movies = [_movie(n) for n in range(count)]
    acting = {movie.id: n for n, movie in enumerate(movies) if n >= len(_IDS)}
    spread(_write, [(root, movie, acting.get(movie.id), job.seed) for movie in movies], job)
    (root / "videos").mkdir(exist_ok=True)
    (root / "videos/notes.txt").write_text("not a movie", encoding="utf-8")
    folder = root / "annotations"
    boxes = folder / "person_box_67091280_iou90"
    boxes.mkdir(parents=True)
    for split in ("train", "val"):
        mine = [movie.id for movie in movies if movie.split == split]
        acted = [(name, job.seed, acting[name]) for name in mine if name in acting]
        named = [name for name in mine if name not in acting] + [f"{_ABSENT}{split[:3]}"]
        truth = _truth(named, job.seed) + [row for movie in acted for row in ava_acts.rows(*movie)]
        _write_rows(folder / f"ava_{split}_v2.2.csv", truth)
        excluded = [f"{name},0905" for name in named]
        _write_rows(folder / f"ava_{split}_excluded_timestamps_v2.2.csv", excluded)
        name = (
            "train_boxes_and_labels_include_negative_v2.2"
            if split == "train"
            else "val_boxes_and_labels"
        )
        found = _detections(named, split, job.seed)
        if split == "val":
            found += [row for movie in acted for row in ava_acts.detections(*movie)]
        _write_rows(boxes / f"ava_detection_{name}.csv", found)
    names = [f'label {{\n  name: "action of {n}"\n  label_id: {n}\n}}' for n in range(1, 81)]
    _write_rows(folder / "ava_action_list_v2.2.pbtxt", names)
    write_truth(job, movies=[{**asdict(movie), "start": movie.start} for movie in movies])
    splits = {s: sum(movie.split == s for movie in movies) for s in ("train", "val")}
    return Tree(root, count, splits, NOTES)


def _movie(number: int) -> SimulatedMovie:
    if number >= len(_IDS):
        split = "val" if number % 8 == len(_IDS) else "train"
        name = f"{_IDS[number % len(_IDS)][:7]}{number:04d}"
        return SimulatedMovie(name, split, "videos_15min", ".mp4", (30, 1), 0)
    rate = _RATES[number % len(_RATES)]
    folder, ending = _FORMS[number % len(_FORMS)]
    split = "val" if number % 2 else "train"
    late = 7 if number % 4 == 1 else 0
    return SimulatedMovie(
        _IDS[number], split, folder, ending, (rate.numerator, rate.denominator), late
    )


def _truth(movies: list[str], seed: int) -> list[str]:
    rows = []
    for place, name in enumerate(movies):
        rng = rng_of(seed, place)
        left = int(rng.integers(10, 300))
        box = f"0.{left:03d},0.162,0.670,0.995"
        rows += [
            f"{name},0902,{box},12,0",
            f"{name},0902,{box},80,0",
            f"{name},0902,0.7,0.1,0.9,0.95,17,1",
        ]
        rows += [f"{name},0903,{box},,0"]  # nobody said what this person does
        rows += [f"{name},1798,-0.010,0.5,0.2,1.004,1,2", f"{name},1798,0.5,0.5,0.5,0.9,1,3"]
        rows += [f"{name},0901,{box},12,0", f"{name},1799,{box},12,0"]
    return rows


def _detections(movies: list[str], split: str, seed: int) -> list[str]:
    none = "-1" if split == "train" else ""
    rows = []
    for place, name in enumerate(movies):
        left = int(rng_of(seed, place).integers(10, 300))
        same = f"{name},0902,0.{left:03d},0.162,0.670,0.995"
        rows.append(f"{same},{'11' if split == 'train' else ''},0.995518")
        rows += [f"{name},0902,0.003,0.125,0.119,0.837,{none},0.742486"]
        rows += [f"{name},0905,0.003,0.125,0.119,0.837,{none},0.9"]
    return rows


def _write_rows(path: Path, rows: list[str]) -> None:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


SIMULATOR = Simulator("movies with persons in boxes, a second at a time", simulate)
