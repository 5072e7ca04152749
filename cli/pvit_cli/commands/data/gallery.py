"""`pvit-data gallery`: samples and statistics of a dataset as one HTML file to look at offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.options import Base, Dataset, Json, Layers, OnlySource, OnlySplit, Where
from pvit_cli.output import print_json, say
from pvit_cli.progress import progress
from pvit_data.errors import CorruptShardError, UsageError
from pvit_data.reading.overwriting import refuse_overwriting
from pvit_data.words import size_text


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("gallery")(gallery)


def gallery(
    out: Dataset,
    page: Annotated[Path, typer.Option("--out", help="file to write")] = Path("gallery.html"),
    samples: Annotated[
        int, typer.Option(help="samples to show, spread over the sources", min=1)
    ] = 200,
    source: OnlySource = None,
    split: OnlySplit = None,
    where: Where = None,
    layer: Layers = None,
    base: Base = None,
    title: Annotated[str, typer.Option(help="of the page")] = "",
    as_json: Json = False,
) -> None:
    """Write a page that plays samples with every annotation, filters them and draws the statistics.

    Annotation layers that lie in OUT are drawn over their pictures, under their names.

    The file holds everything (500 samples in less than 30 MB), asks nothing of the network, and opens in any
    browser; press ? there for its keys.
    """
    from pvit_data.looking.gallery import write_gallery
    from pvit_data.reading.layers.views import open_view

    refuse_overwriting({"--out": page}, [("the data set", out), ("the base", base)])
    dataset = open_view(out, source, split, where, layer or (), base or "")
    if len(dataset) == 0:
        raise UsageError(f"{out}: no sample fulfils the filter")
    with progress("gallery") as update:
        report = write_gallery(dataset, page, samples, title, update)
    if report.samples == 0:
        raise CorruptShardError(
            f"{out}: no sample could be read; first: {next(iter(report.skipped.values()))}"
        )
    if as_json:
        print_json(
            {
                "page": str(page),
                "samples": report.samples,
                "bytes": report.bytes,
                "skipped": report.skipped,
            }
        )
    else:
        closed = _closed(dataset)
        _print(report, f"{page}: {report.samples:,} of {len(dataset):,} samples", closed, out)


def _print(report: Any, what: str, closed: list[str], out: str) -> None:
    say(f"{what}, {size_text(report.bytes)}")
    if closed:
        say(
            f"  not to be published: it holds {' and '.join(closed)}, which may not be redistributed"
        )
    for key, message in list(report.skipped.items())[:5]:
        say(f"  left out: {key}: {message}")
    if report.skipped:
        say(f"  {len(report.skipped):,} samples are damaged: pvit-data validate {out}")


def _closed(dataset: Any) -> list[str]:
    """What must not be passed on: pictures of sources, and what layers give."""
    from pvit_data.sample.rights import PICTURES, is_open, rights_of

    shown = {name: rights_of(spec, PICTURES) for name, spec in dataset.sources.items()}
    sources = [name for name, rights in shown.items() if rights.public != "yes"]
    attached = (layer for name in dataset.sources for layer in dataset.layers_of(name).values())
    layers = dict.fromkeys(layer.name for layer in attached if not is_open(layer))
    return [
        *([f"pictures of {', '.join(sources)}"] if sources else []),
        *([f"annotations of {', '.join(layers)}"] if layers else []),
    ]
