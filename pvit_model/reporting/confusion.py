"""Results by class: accuracy of each, which are taken for which; as tables (CSV) and as a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image, ImageDraw, ImageFont

from pvit_data.looking.pictures import png
from pvit_data.storage.files import write_file
from pvit_model.using.source_report import SourceReport

GROUND, INK, SOFT, FULL = (255, 255, 255), (25, 25, 25), (120, 120, 120), (24, 78, 156)
LARGEST, READABLE, SIDE = 34, 13, 900
"""Pixels: most of a cell, least of one with a name beside it, and what the matrix of many classes is as wide as."""
LONGEST, MARGIN, LETTER, BAR = 40, 16, 12, 14


@dataclass(frozen=True)
class ClassResult:
    """One class.

    Args:
        class_id, name: of it.
        videos: with this label.
        accuracy: share of them that is found; nan without videos.
        confused_with: what most of the others are taken for; "" for nothing.
        confused: how many are.
    """

    class_id: int
    name: str
    videos: int
    accuracy: float
    confused_with: str
    confused: int


def matrix(found: Mapping[str, Any]) -> Int64[np.ndarray, "k k"]:
    """Videos by class (row) and predicted class (column).

    Args:
        found: of one target, as in `SourceReport.classes`.
    """
    counts = np.zeros((len(found["names"]),) * 2, np.int64)
    for row, column, number in found["confusion"]:
        counts[row, column] = number
    return counts


def class_results(found: Mapping[str, Any]) -> list[ClassResult]:
    """Every class that has videos or is predicted, by id."""
    counts, names = matrix(found), found["names"]
    others = counts * ~np.eye(len(counts), dtype=bool)
    results = []
    for i in np.flatnonzero(counts.sum(0) + counts.sum(1)).tolist():
        most = int(others[i].argmax())
        number = int(others[i, most])
        accuracy = float(found["accuracy"][i])
        results.append(
            ClassResult(
                i, names[i], found["videos"][i], accuracy, names[most] if number else "", number
            )
        )
    return results


def write_class_tables(report: SourceReport, out: Path) -> list[Path]:
    """Writes classes.csv, confusion.csv and confusion.png to `OUT/SOURCE/TARGET` for each target with classes.

    Returns:
        The folders.
    """
    folders = []
    for target, found in report.classes.items():
        folder = out / report.source / target
        folders.append(folder)
        write_file(folder / "classes.csv", _classes(class_results(found)))
        names, counts = found["names"], matrix(found)
        rows = [[name, *row] for name, row in zip(names, counts.tolist(), strict=True)]
        write_file(folder / "confusion.csv", _csv(["class", *names], rows))
        title = f"{report.source} {report.split}: {target}, {int(counts.sum()):,} videos"
        write_file(folder / "confusion.png", png(confusion_picture(names, counts, title)))
    return folders


def _classes(results: Sequence[ClassResult]) -> str:
    head = ["id", "class", "videos", "accuracy", "most confused with", "videos confused"]
    rows = [
        [r.class_id, r.name, r.videos, _number(r.accuracy), r.confused_with, r.confused]
        for r in results
    ]
    return _csv(head, rows)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def confusion_picture(
    names: Sequence[str], counts: Int64[np.ndarray, "k k"], title: str
) -> UInt8[np.ndarray, "h w 3"]:
    """The matrix as a picture: a row for each class, a column for each prediction, dark where many videos are.

    Shades are shares of a row. Classes without videos and predictions are left out. Few classes have their names and
    counts; of very many only the shades are drawn.
    """
    used = np.flatnonzero(counts.sum(0) + counts.sum(1))
    counts, shown = counts[np.ix_(used, used)], [names[i] for i in used.tolist()]
    cell = max(2, min(LARGEST, SIDE // max(1, len(used))))
    font = ImageFont.load_default(LETTER)
    labels = [_short(name) for name in shown] if cell >= READABLE else []
    wide = math.ceil(max((font.getlength(text) for text in labels), default=0)) + 8
    left, top = MARGIN + LETTER + 8 + wide, 3 * MARGIN + LETTER + wide
    side = cell * len(used)
    width = max(left + side + MARGIN, math.ceil(font.getlength(title)) + 2 * MARGIN, left + 290)
    image = Image.new("RGB", (width, top + side + 4 * MARGIN + BAR), GROUND)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), title, INK, font, anchor="lm")
    draw.text((left + side / 2, MARGIN + LETTER + 8), "predicted class", SOFT, font, anchor="mm")
    _sideways(image, "true class", MARGIN, top + side / 2, SOFT)
    _cells(draw, counts, (left, top, cell))
    for i, text in enumerate(labels):
        draw.text((left - 6, top + (i + 0.5) * cell), text, INK, font, anchor="rm")
        _sideways(image, text, left + (i + 0.5) * cell - LETTER / 2, top - 6, INK, centred=False)
    _legend(draw, left, top + side + MARGIN)
    return np.asarray(image)


def _short(name: str) -> str:
    """The name without its middle, if it is long: classes often begin alike."""
    text = "".join(c if c.isprintable() else "?" for c in name)
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[: half - 1]}…{text[-half:]}"


def _shade(share: float) -> tuple[int, int, int]:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(GROUND, FULL, strict=True))
    return red, green, blue


def _cells(
    draw: ImageDraw.ImageDraw, counts: Int64[np.ndarray, "k k"], place: tuple[int, int, int]
) -> None:
    left, top, cell = place
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    font = ImageFont.load_default(LETTER - 2)
    gap = 1 if cell >= READABLE else 0
    for row, column in np.ndindex(*counts.shape):
        x, y, share = left + column * cell, top + row * cell, float(shares[row, column])
        number = str(counts[row, column])
        draw.rectangle((x, y, x + cell - 1 - gap, y + cell - 1 - gap), _shade(share))
        if counts[row, column] and font.getlength(number) < cell - 3:
            ink = GROUND if share > 0.5 else INK
            draw.text((x + cell / 2, y + cell / 2), number, ink, font, anchor="mm")
    side = cell * len(counts)
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline=SOFT)


def _legend(draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """What shades mean."""
    font = ImageFont.load_default(LETTER)
    for i in range(200):
        draw.line((left + i, top, left + i, top + BAR), _shade(i / 199))
    draw.rectangle((left, top, left + 200, top + BAR), outline=SOFT)
    draw.text((left, top + BAR + 4), "0", SOFT, font)
    draw.text((left + 200, top + BAR + 4), "100 % of the true class", SOFT, font, anchor="ma")


def _sideways(
    image: Image.Image,
    text: str,
    x: float,
    y: float,
    ink: tuple[int, int, int],
    centred: bool = True,
) -> None:
    """Text that runs upwards, its middle at y, or else its beginning."""
    font = ImageFont.load_default(LETTER)
    strip = Image.new("RGB", (max(1, math.ceil(font.getlength(text))), LETTER + 4), GROUND)
    ImageDraw.Draw(strip).text((0, (LETTER + 4) / 2), text, ink, font, anchor="lm")
    turned = strip.rotate(90, expand=True)
    up = turned.height / 2 if centred else turned.height
    image.paste(turned, (round(x), round(y - up)))
