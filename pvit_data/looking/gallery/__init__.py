"""The gallery: one HTML file that shows samples of a dataset with every annotation, offline, without any request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvit_data.errors import FormatError
from pvit_data.format.manifest import CONVENTIONS
from pvit_data.format.members import FIELDS
from pvit_data.looking import colours
from pvit_data.looking.gallery import charts
from pvit_data.looking.gallery.page import make_page
from pvit_data.looking.gallery.preview import preview
from pvit_data.looking.layers import LAYERS, Layer, given_by
from pvit_data.looking.stats import ClassCounts, Stats, collect, spread_rows
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.kinect25 import NAMES, PARENTS
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.rights import is_open
from pvit_data.storage.files import utf8, write_file
from pvit_data.words import size_text

SAMPLES = 200
TOP = 20  # bars of a class chart


@dataclass(frozen=True)
class GalleryReport:
    """What was written.

    Args:
        samples: shown.
        bytes: of the file.
        skipped: damaged samples, with the message of each.
    """

    samples: int
    bytes: int
    skipped: dict[str, str]


def write_gallery(
    dataset: ShardDataset,
    path: str | Path,
    samples: int = SAMPLES,
    title: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> GalleryReport:
    """Writes the page.

    Args:
        dataset: with an index; its filters hold.
        path: of the HTML file.
        samples: how many to show, spread evenly over the sources.
        title: of the page; default: the names of the sources.
        progress: called with (samples done, samples in all).

    Raises:
        UsageError: if the dataset has no index.
    """
    rows = spread_rows(dataset.column("source"), samples)[:samples].tolist()
    entries: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for done, row in enumerate(rows):
        try:
            entries.append(preview(dataset, row))
        except FormatError as error:
            skipped[str(dataset.select([row]).column("key")[0])] = str(error)
        if progress is not None:
            progress(done + 1, len(rows))
    stats = collect(dataset, len(rows))
    title = title or ", ".join(dataset.sources)
    data = {
        "title": title,
        "total": len(dataset),
        "samples": entries,
        "sources": {name: _source(dataset, name) for name in dataset.sources},
        "fields": list(FIELDS),
        "layers": [_layer(layer) for layer in LAYERS if layer.tile is not None],
        "palette": _hex(colours.palette(64).tolist()),
        "ramp": colours.ramp().ravel().tolist(),
        "joints": {
            "names": NAMES,
            "parents": PARENTS,
            "colours": _hex([colours.LEFT, colours.RIGHT, colours.MIDDLE]),
        },
        "conventions": CONVENTIONS,
    }
    text = utf8(make_page(title, data, figures(stats)))
    write_file(path, text, follow=True)
    return GalleryReport(len(entries), len(text), skipped)


def _layer(layer: Layer) -> dict[str, str]:
    return {
        "name": layer.name,
        "title": layer.title or layer.name,
        "key": layer.key,
        "coloured": layer.coloured,
    }


def _attached(dataset: ShardDataset, source: str) -> dict[str, Any]:
    """Which layer gives what, and what there is to know of each; nothing where there is none."""
    giving = dataset.layers_of(source)
    layers = {layer.name: layer for layer in giving.values()}
    if not layers:
        return {}
    told = [
        {
            "name": layer.name,
            "fields": [field for field, own in giving.items() if own.name == layer.name],
            "made_by": layer.made_by or f"{layer.converter} {layer.converter_version}".strip(),
            "confidence": layer.confidence,
            "licence": layer.licence,
            "redistributable": is_open(layer),
        }
        for layer in layers.values()
    ]
    return {"given": given_by(dataset, source), "layers": told}


def _source(dataset: ShardDataset, name: str) -> dict[str, Any]:
    spec = dataset.sources[name]
    return {
        **_attached(dataset, name),
        "title": spec.title,
        "licence": spec.licence,
        "redistributable": is_open(spec),
        "citation": spec.citation,
        "converter": f"{spec.converter} {spec.converter_version}".strip(),
        "notes": [*spec.notes, *dataset.notes_of(name)],
        "spaces": {field: _space(space) for field, space in spec.spaces.items()},
    }


def _space(space: LabelSpace) -> dict[str, Any]:
    return {
        "name": space.name,
        "first": space.first,
        "ignore": space.ignore,
        "classes": space.classes,
        "colours": _hex(colours.class_colours(space)[space.first :].tolist()),
    }


def _hex(colours: Sequence[Sequence[int]]) -> list[str]:
    return ["#" + "".join(f"{int(c):02x}" for c in colour) for colour in colours]


def figures(stats: Stats) -> list[str]:
    """The statistics as charts."""
    names = list(stats.together)
    counts = [[stats.together[a][b] for b in names] for a in names]
    found = [
        charts.bars(
            "Samples per source and split",
            [(f"{p.source} {p.split}", p.samples, f"{p.samples:,}") for p in stats.parts],
        ),
        charts.matrix("Annotated together (samples)", names, counts),
        charts.bars("Bytes per kind of member", _sizes(stats.members)),
    ]
    if stats.frames.counts:
        found.append(charts.columns("Frames per sample", stats.frames, " frames", whole=True))
    if stats.boxes.counts:
        found.append(charts.columns("Boxes per sample", stats.boxes, " boxes", whole=True))
    if stats.depth.counts:
        share = f"{100 * stats.depth_invalid:.1f} % of the pixels are invalid"
        found.append(charts.columns(f"Valid depth in metres ({share})", stats.depth, " m"))
    return found + [_class_chart(classes) for classes in (*stats.actions, *stats.classes)]


def _class_chart(classes: ClassCounts) -> str:
    total = sum(classes.counts.values()) or 1
    as_share = classes.unit == "pixels"
    rows = [
        (name, number, f"{100 * number / total:.1f} %" if as_share else f"{number:,}")
        for name, number in classes.counts.items()
    ]
    occur = f"{len(rows)} of {classes.classes} occur" if classes.classes else f"{len(rows)} occur"
    more = f"; the {TOP} most frequent" if len(rows) > TOP else ""
    title = f"{classes.source}: {classes.field} classes, counted in {classes.unit} ({occur}{more})"
    return charts.bars(title, rows[:TOP])


def _sizes(members: dict[str, int]) -> list[tuple[str, float, str]]:
    ordered = sorted(members.items(), key=lambda pair: -pair[1])
    return [(name, size, size_text(size)) for name, size in ordered]
