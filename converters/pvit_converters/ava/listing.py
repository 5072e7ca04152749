"""Which seconds of which movies become samples.

In val and test every annotated second of every movie that is there, since a detection counts as false wherever nobody
is annotated; in train seconds with an annotated or a detected person, of movies that neither val nor test lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pvit_converters.ava.clock import FIRST, LAST
from pvit_converters.ava.info import INFO
from pvit_converters.ava.keys import key_of, movie_names
from pvit_converters.ava.layout import (
    SPLITS,
    Movie,
    detection_csv,
    detection_file,
    excluded_file,
    find_movies,
    listing_name,
    truth_file,
)
from pvit_converters.ava.options import AvaOptions
from pvit_converters.ava.rows import Table, read_detections, read_excluded, read_truth, to_json
from pvit_converters.base import Item, Listing
from pvit_converters.held_out import held_out_first
from pvit_data.errors import SourceError
from pvit_data.words import counted

_WANTED = {"trainval": SPLITS[:2], "all": SPLITS}
_ABSENT = "movie not present"
_WINDOW_BYTES = 400_000
"""Guessed, of 64 frames."""


def list_seconds(root: Path, options: AvaOptions) -> Listing:
    """The samples of the splits whose files are there.

    Raises:
        SourceError: if there is no annotation or no movie.
    """
    movies = find_movies(root)
    wanted = _WANTED.get(options.split, (options.split,))
    read = {split: _Split(root, split, options) for split in held_out_first(SPLITS, wanted)}
    unlisted = [split for split in wanted if not read[split].listed]
    tables = {split: read[split] for split in wanted if read[split].listed}
    if not tables:
        raise SourceError(
            f"{root}: no ava_train_v2.2.csv and no ava_val_v2.2.csv in annotations/ or the folder itself. {INFO.obtain}"
        )
    left_out = _leave_out(read, wanted)
    names = movie_names(dict.fromkeys(m for found in tables.values() for m in found.listed))
    items, absent = [], Counter[str]()
    notes = [f"no {listing_name(split)}: no seconds of {split}" for split in unlisted] + left_out
    for split, found in tables.items():
        present = [movie for movie in found.listed if movie in movies]
        for movie in found.listed:
            seconds = list(found.seconds(movie))
            if movie in movies:
                items += [found.item(movie, s, names[movie], movies[movie]) for s in seconds]
            else:
                absent[_ABSENT] += len(seconds)
        notes += [
            f"{split}: {len(present)} of {counted(len(found.listed), 'movie')} present",
            *found.notes,
        ]
    if not items:
        none = f"none of the {len(names)} {'other ' if left_out else ''}listed movies is here"
        raise SourceError(f"{root}: {'; '.join([*left_out, none])}. {INFO.obtain}")
    return Listing(items, dict(absent), notes)


def _leave_out(read: Mapping[str, _Split], wanted: Collection[str]) -> list[str]:
    """Leaves each movie to the first of the lists that name it; what to tell of the wanted splits."""
    notes, taken = [], set[str]()
    for split, found in read.items():
        kept = [movie for movie in found.listed if movie not in taken]
        again = len(found.listed) - len(kept)
        if again and split in wanted:
            movies = counted(again, "movie is", "movies are")
            notes.append(
                f"{split}: {movies} in the list of another split as well, and left out; what is tested on is not "
                "trained on"
            )
        found.listed = kept
        taken.update(kept)
    return notes


class _Split:
    """The annotations of one split.

    Attributes:
        listed: its movies, in the order of their names.
        notes: what a user should know about its files.
    """

    def __init__(self, root: Path, split: str, options: AvaOptions) -> None:
        self.split, self.notes = split, list[str]()
        path = None if split == "test" else truth_file(root, split)
        self._truth = None if path is None else read_truth(path)
        excluded = excluded_file(root, split)
        self._excluded = set() if excluded is None else read_excluded(excluded)
        self._detected = Table({})
        if split == "train" and self._truth is not None:
            boxes = detection_file(root, split)
            if boxes is not None:
                self._detected = read_detections(boxes, options.threshold)
            else:
                self.notes.append(
                    "train: no detected persons beside it; seconds of ground truth only"
                )
        if self._truth is not None and self._truth.outside:
            self.notes.append(
                f"{split}: {counted(self._truth.outside, 'row')} at seconds that AVA does not annotate, left out"
            )
        if self._truth is not None and excluded is None and split != "train":
            self.notes.append(f"{split}: no list of excluded seconds beside it; none is marked")
        truth = set() if self._truth is None else set(self._truth.movies)
        is_part = split == "test" or bool(truth)
        marked = {movie for movie, _ in self._excluded} if is_part else set()
        boxes = detection_csv(root, split) if split == "test" else None
        searched = set() if boxes is None else set(read_detections(boxes, options.threshold).movies)
        self.listed = sorted(truth | marked | searched)

    def seconds(self, movie: str) -> Iterator[int]:
        """The seconds of a movie that are samples."""
        truth = Table({}) if self._truth is None else self._truth
        for second in range(FIRST, LAST + 1):
            is_shown = truth.at(movie, second) or self._detected.at(movie, second)
            if self.split != "train" or is_shown:
                yield second

    def item(self, movie: str, second: int, name: str, found: Movie) -> Item:
        """One sample."""
        ref = {
            "movie": movie,
            "second": second,
            "form": found.form,
            "file": found.file,
            "excluded": (movie, second) in self._excluded,
        }
        if self._truth is not None:
            ref["persons"] = to_json(self._truth.at(movie, second))
        return Item(key_of(name, second), movie, self.split, ref, _WINDOW_BYTES)
