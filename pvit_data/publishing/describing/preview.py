"""What a card shows of a dataset: a picture of some samples, and numbers of all of them."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from pvit_data.errors import CorruptShardError
from pvit_data.format.manifest import Manifest
from pvit_data.looking.sheet import samples_sheet
from pvit_data.looking.stats import Stats, collect, spread_rows
from pvit_data.reading.dataset import SKIP_LIMIT, ShardDataset
from pvit_data.reading.part import SplitPart
from pvit_data.storage.storage import Storage

NAME = "preview.jpg"
PER_SOURCE, MOST = 3, 12  # samples in the picture
QUALITY = 85


@dataclass(frozen=True)
class Shown:
    """What the card shows besides what its manifest says.

    Args:
        stats: of the sources; None: there is none.
        picture: a new one, as JPEG; None: none was made.
        has_picture: whether there is one, a new one or that of before.
    """

    stats: Stats | None = None
    picture: bytes | None = None
    has_picture: bool = False


def look(storage: Storage, manifest: Manifest, has_picture: bool, draws: bool = True) -> Shown:
    """Counts the samples of the sources, and draws some of them.

    Args:
        storage: the dataset.
        manifest: of what is published, all of which may be seen by those who see it.
        has_picture: whether there is a picture of just these; then no shard is opened.
        draws: whether one is made otherwise.

    Raises:
        CorruptShardError: if an index is damaged.
    """
    dataset = _sources(storage, manifest)
    if not len(dataset):
        return Shown(has_picture=has_picture)
    stats = collect(dataset, 0)
    if has_picture or not draws:
        return Shown(stats, None, has_picture)
    picture = _picture(dataset)
    return Shown(stats, picture, picture is not None)


def _sources(storage: Storage, manifest: Manifest) -> ShardDataset:
    parts = [
        SplitPart(storage, entry.spec, split, info, manifest.checksum)
        for entry in manifest.sources.values()
        for split, info in entry.splits.items()
        if info.samples
    ]
    return ShardDataset(parts, None, None, "raise", SKIP_LIMIT)


def _picture(dataset: ShardDataset) -> bytes | None:
    """Some samples with pictures, as JPEG; None where no sample has one, or one of them is damaged."""
    from PIL import Image

    with_pictures = np.flatnonzero(dataset.column("has_rgb"))
    sources = dataset.column("source")[with_pictures]
    number = min(MOST, PER_SOURCE * len(set(sources.tolist())))
    rows = with_pictures[spread_rows(sources, number)]
    if not len(rows):
        return None
    try:
        sheet = samples_sheet(dataset, rows.tolist())
    except CorruptShardError:  # which is said when it is sent
        return None
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
