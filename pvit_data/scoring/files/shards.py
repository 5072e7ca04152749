"""Classes of videos from shards: label from the index, original id from each sample's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pvit_data.errors import FormatError, UsageError
from pvit_data.format import manifest
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.open import open_dataset
from pvit_data.scoring.files.class_truth import ClassTruth
from pvit_data.scoring.files.scores import require_once

ID_KEYS = ("unique_id", "video_id", "vid_name", "youtube_id", "id")
"""Names under which sources keep the original id of a sample, as one text."""
FIELD = "action"


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


def read_shards(where: str, source: str | None, split: str) -> ClassTruth:
    """The classes of a split's samples.

    Args:
        where: folder or URL.
        source: needed where there are several.
        split: of its samples.

    Raises:
        UsageError: if source or split are unknown, or nothing in them is labelled.
        FormatError: if the data set is damaged.
    """
    ds = open_dataset(where, source=source, split=split)
    names = sorted(set(ds.column("source").tolist())) if isinstance(ds, ShardDataset) else []
    if len(names) != 1:
        raise UsageError(
            f"{where}: split '{split}' has the sources {', '.join(names)}; name one with --source"
        )
    labels = np.asarray(ds.column(FIELD), np.int64)
    space = ds.spaces_of(names[0]).get(FIELD)
    try:
        ids = list(original_ids(ds))
    except (ValueError, RecursionError):
        raise FormatError(f"{where}: metadata of a sample is no JSON") from None
    keys = ds.column("key").tolist()
    if len(set(ids)) != len(ids):  # windows of one video
        ids = keys
    require_once(ids, where)
    about: dict[str, Any] = {}
    if space is not None:
        about = {"classes": ("",) * space.first + tuple(space.classes), "pairs": tuple(space.pairs)}
    return ClassTruth(where, ids, labels, keys=keys, **about)
