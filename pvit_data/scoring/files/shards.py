"""What is true of samples in shards: labels from the index and the box tables, the rest from each sample's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from pvit_data.errors import FormatError, UsageError
from pvit_data.format import manifest
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.open import open_dataset
from pvit_data.scoring.files.ava import Videos
from pvit_data.scoring.files.class_truth import ClassTruth
from pvit_data.scoring.files.ego4d import ENDS, StateChanges, state_changes
from pvit_data.scoring.files.scores import require_once
from pvit_data.scoring.metrics.ava import SECONDS, BoxTable

ID_KEYS = ("unique_id", "video_id", "vid_name", "youtube_id", "id")
"""Names under which sources keep the original id of a sample, as one text."""
FIELD = "action"
BOXES = "boxes"


def is_shards(where: str) -> bool:
    """Whether it is a folder with shards of ours, or a URL."""
    return "://" in where or (Path(where) / manifest.NAME).is_file()


def original_id(meta: object, key: str) -> str:
    """The id that a source gave a sample; its key where it gave none.

    >>> original_id({"video_id": "42"}, "ssv2-000042"), original_id({}, "a")
    ('42', 'a')
    """
    if isinstance(meta, dict):
        for name in ID_KEYS:
            value = meta.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                return str(value)
    return key


def original_ids(ds: ShardDataset) -> Iterator[str]:
    """Of every sample of a data set, in order; reads each sample's record."""
    for row in range(len(ds)):
        record = ds.record(row)
        yield original_id(json.loads(record.meta), record.key)


def read_shards(where: str, source: str | None, split: str, *, several: bool = False) -> ClassTruth:
    """The classes of a split's samples.

    Args:
        where: folder or URL.
        source: needed where there are several.
        split: of its samples.
        several: of samples that have any number of classes; those without such labels are left out.

    Raises:
        UsageError: if source or split are unknown, or nothing in them is labelled.
        FormatError: if the data set is damaged.
    """
    ds, name = _opened(where, source, split)
    if several:
        return _several(ds.select(np.flatnonzero(ds.column("has_actions"))), name, where)
    labels = np.asarray(ds.column(FIELD), np.int64)
    space = ds.spaces_of(name).get(FIELD)
    ids, keys = _named(ds, where)
    about: dict[str, Any] = {}
    if space is not None:
        about = {"classes": ("",) * space.first + tuple(space.classes), "pairs": tuple(space.pairs)}
    return ClassTruth(where, ids, labels, keys=keys, **about)


def _named(ds: ShardDataset, where: str) -> tuple[list[str], list[str]]:
    """Original ids of samples, or where two have one their keys, which are given, too."""
    ids = [original_id(meta, key) for key, meta in _told(ds, where)]
    keys = ds.column("key").tolist()
    if len(set(ids)) != len(ids):  # windows of one video
        ids = keys
    require_once(ids, where, "the shards are damaged, convert them anew")
    return ids, keys


def _several(ds: ShardDataset, source: str, where: str) -> ClassTruth:
    """The classes of samples with any number of them, numbered from the first class on."""
    space = ds.spaces_of(source).get(FIELD)
    if not len(ds) or space is None:
        raise UsageError(
            f"{where}: no sample of '{source}' has several labels with names; the metric of one class per video is "
            "--metric topk"
        )
    ids, keys = _named(ds, where)
    flags = np.zeros((len(ds), len(space.classes)), bool)
    for row in range(len(ds)):
        number = np.array(ds.record(row).actions_id, np.int64) - space.first
        if ((number < 0) | (number >= flags.shape[1])).any():
            raise FormatError(f"{where}: sample {keys[row]} has actions without a name")
        flags[row, number] = True
    unknown = np.full(len(ds), -1, np.int64)
    return ClassTruth(where, ids, unknown, tuple(space.classes), several=flags, keys=keys)


def _opened(where: str, source: str | None, split: str) -> tuple[ShardDataset, str]:
    """The samples of a split of one source, and its name; no layers, since a model may have made them.

    Raises:
        UsageError: if it is not clear which source is meant.
    """
    ds = open_dataset(where, source=source, split=split)
    names = sorted(set(ds.column("source").tolist())) if isinstance(ds, ShardDataset) else []
    if len(names) != 1:
        raise UsageError(
            f"{where}: split '{split}' has the sources {', '.join(names)}; name one with --source"
        )
    return ds, names[0]


def _told(ds: ShardDataset, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and metadata of every sample, in order; reads each sample's record.

    Raises:
        FormatError: if metadata are none.
    """
    for row in range(len(ds)):
        record = ds.record(row)
        try:
            meta = json.loads(record.meta)
        except (ValueError, RecursionError):
            raise FormatError(f"{where}: metadata of a sample is no JSON") from None
        yield record.key, meta if isinstance(meta, dict) else {}


def read_state_changes(where: str, source: str | None, split: str) -> StateChanges:
    """Windows of Ego4D with whether and when the state changes.

    Raises:
        UsageError: if source or split are unknown.
        FormatError: if the data set is damaged, or of another source.
    """
    return state_changes_of(*_opened(where, source, split), where)


def state_changes_of(ds: ShardDataset, name: str, where: str) -> StateChanges:
    """The same of samples that are open, of one source, whose name is given.

    Raises:
        FormatError: if the data set is damaged, or of another source.
    """
    rows = []
    for state, (key, meta) in zip(ds.column(FIELD).tolist(), _told(ds, where), strict=True):
        if missing := sorted({"unique_id", *ENDS} - meta.keys()):
            raise FormatError(
                f"{where}: sample {key} of '{name}' lacks {missing[0]} in its metadata, which "
                "'pvit-data convert ego4d' writes"
            )
        rows.append(meta if state < 0 else {**meta, "state_change": bool(state)})
    return state_changes(rows, where)


@dataclass(frozen=True)
class Seconds:
    """Seconds of AVA in shards.

    Args:
        movies: in their order.
        truth: boxes with actions.
        excluded: images that are left out.
    """

    movies: list[str]
    truth: BoxTable
    excluded: Int64[np.ndarray, "m"]


def read_seconds(where: str, source: str | None, split: str, videos: Videos) -> Seconds:
    """Ground truth of AVA, with corners of three decimals as its files have them.

    Raises:
        UsageError: if source or split are unknown.
        FormatError: if the data set is damaged, or of another source.
    """
    ds, name = _opened(where, source, split)
    return seconds_of(ds, name, videos, where)


def seconds_of(ds: ShardDataset, name: str, videos: Videos, where: str = "") -> Seconds:
    """The same of samples that are open.

    Args:
        ds: of one source.
        name: of it.
        videos: numbers of the movies, to which theirs are added.
        where: they are, for messages: samples that do not say their movie and second are refused; "": see `moment_of`.

    Raises:
        FormatError: if the data set is damaged, two samples are of the same second, or one is refused.
    """
    space = ds.spaces_of(name).get(BOXES)
    shift = 0 if space is None else 1 - space.first
    images: list[int] = []
    rows: list[tuple[int, int, int]] = []  # image, box among all, action
    corners: list[Float64[np.ndarray, "n 4"]] = [np.zeros((0, 4))]
    excluded, count = list[int](), 0
    for row, (key, meta) in enumerate(_told(ds, where or name)):
        movie, second = moment_of(meta, key)
        if where and movie != meta.get("video_id"):
            raise FormatError(
                f"{where}: sample {key} of '{name}' lacks video_id or second in its metadata, which "
                "'pvit-data convert ava' writes"
            )
        image = videos.number(movie) * SECONDS + second
        images.append(image)
        if meta.get("excluded") is True:
            excluded.append(image)
        boxes = ds.read(row, (BOXES,)).boxes
        if boxes is None or not len(boxes):
            continue
        corners.append(np.round(boxes.xyxy.astype(np.float64), 3))
        known = boxes.labels[boxes.labels[:, 1] >= 0]
        rows += [(image, count + int(box), int(action) + shift) for box, action in known]
        count += len(boxes)
    movies = videos.names()
    told = [f"{movies[image // SECONDS]},{image % SECONDS:04d}" for image in images]
    require_once(told, where or name, "two samples are of one second")
    table = np.array(rows, np.int64).reshape(-1, 3)
    truth = BoxTable(table[:, 0], np.concatenate(corners)[table[:, 1]], table[:, 2])
    return Seconds(videos.names(), truth, np.unique(np.array(excluded, np.int64)))


def moment_of(meta: Mapping[str, Any], key: str) -> tuple[str, int]:
    """Movie and second of a sample; one that does not say them is a movie of its own, called by its key.

    >>> moment_of({"video_id": "-5KQ66BBWC4", "second": 902}, "ava-x5kq66bbwc4-0902"), moment_of({}, "a")
    (('-5KQ66BBWC4', 902), ('a', 0))
    """
    movie, second = meta.get("video_id"), meta.get("second")
    if isinstance(movie, str) and isinstance(second, int) and 0 <= second < SECONDS:
        return movie, second
    return key, 0
