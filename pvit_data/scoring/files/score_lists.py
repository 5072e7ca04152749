"""Texts of scores, one video or view per line, streamed.

`path label score score ...`, separated by blanks, tabs or commas: one line per video; a path with blanks in it needs
tabs or commas. `path [score, score, ...] label clip crop` (VideoMAE and its heirs): one line per view, after a line of
totals that is skipped; the files of several processes may be joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from pvit_data.errors import FormatError
from pvit_data.scoring.files.scores import (
    ClassScores,
    bare_names,
    by_video,
    require_finite_size,
    require_once,
    whole_number,
)
from pvit_data.storage.files import open_regular
from pvit_data.words import short, size_text

MAX_LINE = 1 << 20
MAX_BYTES = 1 << 30  # of scores in memory
_CLIP = 10**9  # more crops than any clip has; a view is clip x _CLIP + crop
_VIEW = re.compile(r"(\S(?:.*\S)?)\s+\[([^][]*)\]\s+(-?\d{1,9})\s+(\d{1,9})\s+(\d{1,9})")


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not empty.

    Raises:
        FormatError: if a line is longer than `MAX_LINE`, or the file is no UTF-8.
    """
    with open(open_regular(path), "rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise FormatError(
                    f"{path}, line {number}: more than {size_text(MAX_LINE)} without a line break"
                )
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError:
                raise FormatError(f"{path}, line {number}: is no UTF-8") from None
            if text:
                yield number, text


def read_score_list(path: Path) -> ClassScores:
    """Predictions of classes in either form.

    Raises:
        FormatError: naming the first line that is of neither.
    """
    names: list[str] = []
    labels: list[int] = []
    views: list[int] = []
    rows: list[Float[np.ndarray, "k"]] = []
    in_views = None
    for number, line in text_lines(path):
        match = _VIEW.fullmatch(line)
        if in_views is not False and match is None and _is_totals(line):
            continue  # of each process, where its files were joined
        if in_views is None:
            in_views = match is not None
        if in_views != (match is not None):
            raise FormatError(f"{path}, line {number}: is of another form than the lines before")
        name, label, values, view = _parsed(match, line, f"{path}, line {number}")
        if rows and len(values) != len(rows[0]):
            raise FormatError(
                f"{path}, line {number}: {len(values)} scores, {len(rows[0])} in the first line"
            )
        if (len(rows) + 1) * values.nbytes > MAX_BYTES:
            raise FormatError(f"{path}: more than {size_text(MAX_BYTES)} of scores")
        names.append(name)
        labels.append(label)
        views.append(view)
        rows.append(values)
    require_finite_size(len(rows), str(path))
    array, classes = np.stack(rows), np.array(labels, np.int64)
    if not in_views:
        require_once(names, str(path))
        ids = bare_names(names)
        return ClassScores(ids, array[:, None, :], False, classes, paths=names)
    numbers = np.array(views, np.int64)
    order, listed = by_video(names, numbers, str(path))
    told = zip(("clips", "crops"), np.divmod(numbers[order], _CLIP), strict=True)
    return ClassScores(
        ids=bare_names(listed),
        logits=array[order],
        has_views=True,
        labels=classes[order[:, 0]],
        paths=listed,
        about={name: _most(of_videos) for name, of_videos in told},
    )


def _most(numbers: Int64[np.ndarray, "n v"]) -> int:
    """How many different numbers a row has, the most that one has."""
    return int((np.diff(np.sort(numbers, axis=1), axis=1) > 0).sum(axis=1).max()) + 1


def _is_totals(line: str) -> bool:
    """Top-1 and top-5 before the rows; too few numbers for a video."""
    words = line.replace(",", " ").split()
    return len(words) < 4 and all(map(_is_number, words))


def _parsed(
    match: re.Match[str] | None, line: str, where: str
) -> tuple[str, int, Float[np.ndarray, "k"], int]:
    """Name, label, scores and number of the view of a line."""
    try:
        if match is not None:
            values = np.array(match[2].split(","), np.float64)
            return match[1], int(match[3]), values, int(match[4]) * _CLIP + int(match[5])
        parts = _cells(line)
        label = whole_number(parts[1]) if len(parts) > 3 else None
        if label is None or label < -1:
            raise ValueError
        return parts[0], label, np.array(parts[2:], np.float64), 0
    except ValueError:
        parts = line.split()
        has_blank = len(parts) > 4 and not _is_number(parts[1]) and _is_number(parts[-1])
        hint = "; a path with blanks in it needs tabs or commas between the columns"
        raise FormatError(
            f"{where}: expected `path label score score ...`, or `path [score, ...] label clip crop`, found "
            f"{short(line, 80)}{hint if has_blank else ''}"
        ) from None


def _cells(line: str) -> list[str]:
    """The columns of a line: cut at tabs, or at commas, where the path is before the first of them; else at blanks."""
    for mark in ("\t", ","):
        cells = [cell.strip() for cell in line.split(mark)]
        words = cells[0].split()
        has_label = len(words) > 2 and _is_number(words[-1]) and _is_number(words[-2])
        if len(cells) > 3 and not has_label and " " not in "".join(cells[1:]):
            return cells
    return line.replace(",", " ").split()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
