"""`pvit-data gallery`: samples and statistics of a dataset as one HTML file to look at offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pvit_cli.common import print_json
from pvit_cli.progress import progress
from pvit_data.errors import CorruptShardError, UsageError


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command("gallery")
    def gallery(
        out: Annotated[str, typer.Argument(metavar="OUT", help="folder or URL of the dataset")],
        page: Annotated[Path, typer.Option("--out", help="file to write")] = Path("gallery.html"),
        samples: Annotated[
            int, typer.Option(help="samples to show, spread over the sources", min=1)
        ] = 200,
        source: Annotated[str | None, typer.Option(help="only this source")] = None,
        split: Annotated[str | None, typer.Option(help="only this split")] = None,
        where: Annotated[
            str | None, typer.Option(help='filter, e.g. "has_depth and frames >= 16"')
        ] = None,
        title: Annotated[str, typer.Option(help="of the page")] = "",
        as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    ) -> None:
        """Write a page that plays samples with every annotation, filters them and draws the statistics.

        The file holds everything (500 samples in less than 30 MB), asks nothing of the network, and opens in any
        browser; press ? there for its keys.
        """
        import pvit_data
        from pvit_converters.engine.report import size_text
        from pvit_data.looking.gallery import write_gallery

        dataset = pvit_data.open(out, source=source, split=split, where=where)
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
            return
        print(f"{page}: {report.samples:,} of {len(dataset):,} samples, {size_text(report.bytes)}")
        closed = [name for name, spec in dataset.sources.items() if not spec.redistributable]
        if closed:
            print(
                f"  not to be published: it holds pictures of {', '.join(closed)}, which may not be redistributed"
            )
        for key, message in list(report.skipped.items())[:5]:
            print(f"  left out: {key}: {message}")
        if report.skipped:
            print(f"  {len(report.skipped):,} samples are damaged: pvit-data validate {out}")
