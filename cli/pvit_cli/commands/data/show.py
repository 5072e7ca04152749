"""`pvit-data show`: one sample in the terminal, or a contact sheet as a PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.options import Base, Dataset, Json, Layers, OnlySource, OnlySplit, Where
from pvit_cli.output import console, print_json, say, styled
from pvit_data.errors import UsageError
from pvit_data.reading.overwriting import refuse_overwriting
from pvit_data.storage.files import write_file
from pvit_data.words import did_you_mean

LABEL = 12  # columns of the names of facts


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("show")(show)


def show(
    out: Dataset,
    sample: Annotated[
        str | None, typer.Argument(metavar="[KEY|ROW]", help="key of a sample, or its number")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="write a contact sheet: of this sample's frames, or of several samples",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="lines of the contact sheet", min=1, max=100)] = 8,
    frame: Annotated[
        int | None, typer.Option(help="frame to show; default: one with annotations", min=0)
    ] = None,
    source: OnlySource = None,
    split: OnlySplit = None,
    where: Where = None,
    layer: Layers = None,
    base: Base = None,
    height: Annotated[
        int, typer.Option(help="of the sheet's pictures, pixels", min=16, max=1080)
    ] = 168,
    as_json: Json = False,
) -> None:
    """Show one sample: its facts, and a small picture on a terminal; or write a contact sheet (--out).

    Annotation layers that lie in OUT are drawn over their pictures, under their names.
    """
    from pvit_data.reading.layers.views import open_view

    refuse_overwriting({"--out": sheet}, [("the data set", out), ("the base", base)])
    dataset = open_view(out, source, split, where, layer or (), base or "")
    if len(dataset) == 0:
        raise UsageError(f"{out}: no sample fulfils the filter")
    row = None if sample is None else _find(dataset, sample)
    if sheet is not None:
        _write_sheet(dataset, row, sheet, samples, height)
    else:
        _show(dataset, row or 0, frame, as_json)
        if sample is None and not as_json:
            options = _options(source=[source], layer=layer or (), base=[base])
            next_step = f"pvit-data show {out} KEY|ROW{options}, or --out sheet.png"
            say("", f"sample 0 of {len(dataset):,}; next: {next_step}")


def _options(**given: Sequence[str | None]) -> str:
    """Options as they were given, by which the same samples are shown again."""
    return "".join(
        f" --{name} {value}" for name, values in given.items() for value in values if value
    )


def _find(dataset: Any, text: str) -> int:
    keys = dataset.column("key")
    for named in (keys, dataset.keys().to_numpy(zero_copy_only=False)):  # and as samples have them
        if len(found := (named == text).nonzero()[0]):
            return int(found[0])
    if text.isdecimal():
        if int(text) < len(dataset):
            return int(text)
        raise UsageError(f"no sample {text}: numbers go from 0 to {len(dataset) - 1}")
    raise UsageError(f"no sample '{text}'{did_you_mean(text, keys[:20_000].tolist())}")


def _write_sheet(dataset: Any, row: int | None, path: Path, samples: int, height: int) -> None:
    from pvit_data.looking.pictures import png
    from pvit_data.looking.sheet import frames_sheet, samples_sheet
    from pvit_data.looking.stats import spread_rows

    if row is None:
        rows = spread_rows(dataset.column("source"), samples).tolist()[:samples]
        picture = samples_sheet(dataset, rows, height)
    else:
        picture = frames_sheet(dataset, row, samples, height)
    write_file(path, png(picture), follow=True)
    say(f"{path}: {picture.shape[1]} x {picture.shape[0]} pixels")


def _show(dataset: Any, row: int, frame: int | None, as_json: bool) -> None:
    from pvit_data.looking.facts import facts
    from pvit_data.looking.sheet import read_frame

    record = dataset.record(row)
    if frame is not None and frame >= record.frames:
        raise UsageError(
            f"--frame {frame}: sample '{record.key}' has frames 0 to {record.frames - 1}"
        )
    sample, chosen = read_frame(dataset, row, frame)
    pairs = facts(dataset, row, sample, record)
    if as_json:
        print_json(dict(pairs) | {"row": row, "frame": chosen, "meta": sample.meta})
        return
    out = console()
    if out.is_terminal:
        _picture(out, sample, chosen)
    for name, text in pairs:
        first, *others = text.splitlines() or [""]
        out.print(styled((f"{name:{LABEL}}", "bold"), f" {first}"))
        for line in others:
            out.print(f"{' ' * (LABEL + 1)}{line}")


def _picture(out: Any, sample: Any, frame: int) -> None:
    import numpy as np

    from pvit_cli.halfblocks import half_blocks
    from pvit_data.looking.layers import COLUMNS
    from pvit_data.looking.sheet import tiles

    found = tiles(sample, frame, 96)
    pictures = [
        np.pad(found[name].picture, ((0, 0), (0, 4), (0, 0))) for name in COLUMNS if name in found
    ]
    if pictures:
        strip = np.concatenate(pictures[: max(1, out.width // 24)], axis=1)
        out.print(half_blocks(strip, min(out.width, 40 * len(pictures))))
