"""What a card shows of a dataset: a picture of some samples, and numbers of all of them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pvit_data.errors import PvitError
from pvit_data.format.manifest import Manifest
from pvit_data.format.names import GALLERY, PICTURE
from pvit_data.looking.gallery import write_gallery
from pvit_data.looking.sheet import samples_sheet
from pvit_data.looking.stats import Stats, collect, spread_rows
from pvit_data.reading.dataset import SKIP_LIMIT, ShardDataset
from pvit_data.reading.part import SplitPart
from pvit_data.storage.storage import Storage

PER_SOURCE, MOST = 3, 12  # samples in the picture
QUALITY = 85


class Wanted(NamedTuple):
    """What is drawn: a picture or not, and a page of so many samples."""

    picture: bool = True
    gallery: int = 0


@dataclass(frozen=True)
class Shown:
    """What the card shows besides what its manifest says.

    Args:
        stats: of the sources; None: there is none.
        made: contents of what was drawn, by name.
        names: what there is, new or of before.
    """

    stats: Stats | None = None
    made: Mapping[str, bytes] = field(default_factory=dict)
    names: frozenset[str] = frozenset()


def look(storage: Storage, manifest: Manifest, kept: Collection[str], wanted: Wanted) -> Shown:
    """Counts the samples of the sources, and draws some of them.

    Args:
        storage: the dataset.
        manifest: of what is published, all of which may be seen by those who see it.
        kept: what is there that shows just these; for that no shard is opened.
        wanted: what is drawn where it is not there.

    Raises:
        CorruptShardError: if an index is damaged.
    """
    dataset = _sources(storage, manifest)
    if not len(dataset):
        return Shown(names=frozenset(kept))
    drawn = {}
    if wanted.picture and PICTURE not in kept:
        drawn[PICTURE] = _picture(dataset)
    if wanted.gallery and GALLERY not in kept:
        drawn[GALLERY] = _gallery(dataset, wanted.gallery)
    made = {name: data for name, data in drawn.items() if data is not None}
    return Shown(collect(dataset, 0), made, frozenset({*kept, *made}))


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
    except PvitError:  # which is said when it is sent; or it is there, and here no more
        return None
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _gallery(dataset: ShardDataset, samples: int) -> bytes | None:
    """A page that plays some samples; None where none of them can be read."""
    with tempfile.TemporaryDirectory(prefix="pvit-gallery-") as folder:
        page = Path(folder) / GALLERY
        report = write_gallery(dataset, page, samples)
        return page.read_bytes() if report.samples else None
