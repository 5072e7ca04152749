"""`pvit-data stats`: what a dataset holds, in tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from pvit_cli.options import Base, Dataset, Json, Layers, OnlySource, OnlySplit, Where
from pvit_cli.output import console, new_table, print_json, styled
from pvit_cli.progress import progress
from pvit_data.words import size_text

TOP = 12  # lines of a class table
BAR = 28  # characters of the longest bar
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("stats")(stats)


def stats(
    out: Dataset,
    source: OnlySource = None,
    split: OnlySplit = None,
    where: Where = None,
    layer: Layers = None,
    base: Base = None,
    scan: Annotated[
        int,
        typer.Option(
            help="samples to read for depths, boxes and segmentation; 0: none, -1: all", min=-1
        ),
    ] = 256,
    top: Annotated[int, typer.Option(help="classes shown", min=1)] = TOP,
    as_json: Json = False,
) -> None:
    """Count samples, hours, annotations, classes, depths and bytes.

    Annotation layers that lie in OUT count with the source that they are over; layers whose source is elsewhere
    (see --base) are counted by themselves.
    """
    from pvit_data.looking.stats import collect
    from pvit_data.reading.layers.views import open_view

    dataset = open_view(out, source, split, where, layer or (), base or "", alone=True)
    with progress("stats") as update:
        found = collect(dataset, scan, update)
    print_json(found.to_json()) if as_json else _print(found, top)


def _print(stats: Any, top: int) -> None:
    out = console()
    hours = f"{stats.hours:.1f} hours" if stats.hours >= 1 else f"{60 * stats.hours:.1f} minutes"
    out.print(
        styled((f"{stats.samples:,} samples", "bold"), f", {hours}, {size_text(stats.bytes)}")
    )
    tables = [_parts(stats), _together(stats), *_charts(stats, top)]
    for each in tables:
        out.print()
        out.print(each)
    for source, given in stats.layers.items():
        out.print(
            f"Layers of {source}: {', '.join(f'{f} from {name}' for f, name in given.items())}."
        )
    for note in stats.notes:
        out.print(f"Note: {note}.")
    damaged = f", {stats.unreadable} of them damaged" if stats.unreadable else ""
    out.print(
        f"Depths, boxes and segmentation: from {stats.scanned:,} of {stats.samples:,} samples{damaged}."
    )


def _charts(stats: Any, top: int) -> Iterator[Any]:
    total = max(stats.bytes, 1)
    rows = [
        (name, n, f"{size_text(n)}  {100 * n / total:.0f} %") for name, n in stats.members.items()
    ]
    yield _bars("bytes by member", sorted(rows, key=lambda row: -row[1]))
    yield _bars("frames per sample", _ranges(stats.frames, whole=True))
    yield _bars("picture size", [(name, n, f"{n:,}") for name, n in [*stats.sizes.items()][:top]])
    for counts in (*stats.actions, *stats.classes):
        yield _classes(counts, top)
    if stats.boxes.counts:
        yield _bars("boxes per sample", _ranges(stats.boxes, whole=True))
    if stats.depth.counts:
        title = f"valid depth, metres ({100 * stats.depth_invalid:.1f} % of the pixels are invalid)"
        shares = sum(stats.depth.counts)
        rows = [
            (name, n, f"{100 * n / shares:.1f} %")
            for name, n, _ in _ranges(stats.depth, whole=False)
        ]
        yield _bars(title, rows)


def _parts(stats: Any) -> Any:
    left = ("source", "split", "annotations (samples)")
    table = new_table(*left[:2], "samples", "groups", "frames", "hours", "size", left[2], left=left)
    for part in stats.parts:
        fields = ", ".join(
            name if n == part.samples else f"{name} ({n:,})" for name, n in part.fields.items()
        )
        numbers = (f"{part.samples:,}", f"{part.groups:,}", f"{part.frames:,}", f"{part.hours:.2f}")
        table.add_row(part.source, part.split, *numbers, size_text(part.bytes), fields)
    return table


def _together(stats: Any) -> Any:
    names = list(stats.together)
    title = "annotated together (samples)"
    table = new_table("", *names, left=("",), title=title, title_justify="left")
    for a in names:
        counts = [stats.together[a][b] for b in names]
        cells = (styled(f"{n:,}" if n else ("·", "dim")) for n in counts)
        table.add_row(styled((a, "bold")), *cells)
    return table


def _classes(counts: Any, top: int) -> Any:
    items = [*counts.counts.items()]
    space = f" of '{counts.space}'" if counts.space else ""
    title = f"{counts.source}: {counts.field} classes{space} ({counts.unit}; {len(items)} of {counts.classes} occur)"
    total = max(sum(counts.counts.values()), 1)
    as_share = counts.unit == "pixels"
    rows = [
        (name, n, f"{100 * n / total:.1f} %" if as_share else f"{n:,}") for name, n in items[:top]
    ]
    if len(items) > top:
        rest = sum(n for _, n in items[top:])
        rows.append(
            (
                f"{len(items) - top} more",
                0,
                f"{100 * rest / total:.1f} %" if as_share else f"{rest:,}",
            )
        )
    return _bars(title, rows)


def _ranges(histogram: Any, *, whole: bool) -> list[tuple[str, int, str]]:
    """Bins as (name, count, text); empty ones are left out where there are gaps."""
    edges = histogram.edges
    rows = []
    for low, high, count in zip(edges, edges[1:], histogram.counts, strict=False):
        last = high - 1 if whole else high
        name = f"{low:g}" if last == low else f"{low:g}-{last:g}"
        rows.append((name, count, f"{count:,}"))
    return [row for row in rows if row[1]] if whole else rows


def _bars(title: str, rows: list[tuple[str, int, str]]) -> Any:
    table = new_table(title=title, title_justify="left", show_header=False)
    table.add_column(justify="left", overflow="ellipsis", no_wrap=True, max_width=40)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right")
    longest = max((n for _, n, _ in rows), default=1) or 1
    for name, number, text in rows:
        table.add_row(name, _bar(number / longest), text)
    return table


def _bar(share: float) -> str:
    eighths = max(1, round(share * BAR * 8)) if share > 0 else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
