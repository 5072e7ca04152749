"""Sections of the published card: a picture, numbers, and where each field comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pvit_data.format.names import GALLERY, PICTURE
from pvit_data.lineage.fields import FieldLineage
from pvit_data.looking.stats import Stats
from pvit_data.publishing.describing.preview import Shown

MOST_CLASSES, MOST_SIZES = 20, 4
LINES = {
    PICTURE: f"![Samples with their annotations]({PICTURE})",
    GALLERY: f"[Samples to play]({GALLERY}): download the page, and open it in a browser.",
}
PROVENANCE = "Provenance and licences"


def pictures(shown: Shown) -> list[str]:
    """The lines that show picture and gallery."""
    return [f"\n{LINES[name]}\n" for name in LINES if name in shown.names]


def shows(card: str, name: str) -> bool:
    """Whether a card has the line of a picture or gallery, so that this is one of what the card is about."""
    return LINES[name] in card.splitlines()


def statistics(stats: Stats | None) -> list[str]:
    """Numbers of the sources, from their indices."""
    if stats is None:
        return []
    rows = ["| source | split | groups | hours |", "| --- | --- | ---: | ---: |"]
    rows += [f"| {p.source} | {p.split} | {p.groups} | {p.hours:.2f} |" for p in stats.parts]
    return ["\n## Statistics\n", *rows, "", *_most(stats)]


def _most(stats: Stats) -> Iterator[str]:
    """What is most frequent."""
    for what, counts in (("Sizes in pixels", stats.sizes), ("Frames per second", stats.rates)):
        if counts:
            told = [f"{name} ({number})" for name, number in [*counts.items()][:MOST_SIZES]]
            yield f"- {what}: {', '.join(told)}{_more(len(counts) - MOST_SIZES)}"
    for classes in stats.actions:
        told = [f"{_cell(n)} ({number})" for n, number in [*classes.counts.items()][:MOST_CLASSES]]
        more = _more(len(classes.counts) - MOST_CLASSES)
        yield f"- {classes.source}, {classes.field} ({classes.space}): {', '.join(told)}{more}"


def _more(number: int) -> str:
    return f" and {number} more" if number > 0 else ""


def provenance(lines: Sequence[FieldLineage]) -> list[str]:
    """Whose each field is, one row for fields of which the same is true."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for line in lines:
        by = f"{line.converter} {line.converter_version}".strip()
        same = (line.name, line.licence or "not stated", line.public, line.why, line.made_from, by)
        alike.setdefault(same, []).append(line.field)
    titles = (
        "source or layer",
        "fields",
        "licence",
        "may be passed on",
        "why",
        "from",
        "converter",
    )
    table = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for (name, *told), fields in alike.items():
        table.append(f"| {' | '.join(map(_cell, [name, ', '.join(fields), *told]))} |")
    note = "`record` is what every sample has: key, split, sizes, meta. `croissant.json` says it for programs."
    return [f"\n## {PROVENANCE}\n", *table, "", f"{note}\n"]


def _cell(text: str) -> str:
    """As it stands in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
