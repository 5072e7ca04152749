"""Predictions of classes: what every form of them becomes, and which of them belong to which video."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from pvit_data.errors import FormatError
from pvit_data.words import short

_WHOLE = re.compile(r"(-?[0-9]{1,9})(?:\.0*)?")
VIDEO = {".webm", ".mp4", ".mkv", ".avi", ".mov", ".m4v", ".jpg", ".png"}


@dataclass(frozen=True)
class ClassScores:
    """Scores of N videos in V views over K classes.

    Args:
        ids: original id of each video, each once.
        logits: or whatever ranks the classes of a view.
        has_views: whether the file tells views; else its writer combined them, and V is 1.
        labels: class of each video, -1 where the file doesn't say.
        several: classes of each video, where the file says any number of them.
        paths: of the videos as the file writes them, where the ids are these without folders and endings.
        keys: of the samples, where the file has them.
        classes: names of the columns; () where the file doesn't say.
        about: what the file says of itself: frames, clips, crops, source, split, model, ...
    """

    ids: list[str]
    logits: Float[np.ndarray, "n v k"]
    has_views: bool
    labels: Int64[np.ndarray, "n"]
    keys: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    several: Bool[np.ndarray, "n k"] | None = None
    paths: list[str] = field(default_factory=list)

    @property
    def views(self) -> int:
        """Views of each video."""
        return int(self.logits.shape[1])


def is_video(text: str) -> bool:
    """Whether a text ends as the name of a video or picture does."""
    return PurePosixPath(text).suffix.lower() in VIDEO


def path_first(cells: list[str]) -> list[str]:
    """The cells of a line, of which the first is its path: a folder's name may have blanks."""
    end = max((n for n, c in enumerate(cells) if is_video(c)), default=0)
    return [" ".join(cells[: end + 1]), *cells[end + 1 :]]


def stem(text: str, folders: int = 0) -> str:
    """A file's name without ending, and with so many of its folders only; other texts as they are.

    >>> stem("videos/-x_00155.mp4"), stem("v1.5"), stem("data/run/000.mp4", 1), stem("C:\\\\run\\\\000.mp4")
    ('-x_00155', 'v1.5', 'run/000', '000')
    """
    text = text.replace("\\", "/") if is_video(text) else text  # of Windows
    name = "/".join(text.split("/")[-1 - folders :])
    return name[: -len(PurePosixPath(name).suffix)] if is_video(name) else name


def bare_names(paths: list[str]) -> list[str]:
    """The names of files without folders and endings, where these alone tell the files apart; else as they are.

    >>> bare_names(["run/000.mp4", "run/001.mp4"]), bare_names(["run/000.mp4", "walk/000.mp4"])
    (['000', '001'], ['run/000.mp4', 'walk/000.mp4'])
    """
    names = {path: stem(path) for path in paths}
    return [names[path] for path in paths] if len({*names.values()}) == len(names) else paths


def whole_number(text: str) -> int | None:
    """The class that a text says by its number, of at most nine digits; None: it says something else.

    `3.0` is 3: a column of whole numbers with a gap becomes one of floats in some programs.

    >>> whole_number(" 3.0"), whole_number("3.5"), whole_number("run")
    (3, None, None)
    """
    match = _WHOLE.fullmatch(text.strip())
    return int(match[1]) if match else None


_PADDING = (
    "padding of the last batch over several processes does that. Views of one video belong into one (N, views, "
    "classes) array"
)


def require_once(ids: list[str], where: str, why: str = _PADDING) -> None:
    """Refuses ids that come twice.

    Args:
        ids: all of them.
        where: the file.
        why: what does that, and what to do.

    Raises:
        FormatError: with the number of them and the first.
    """
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    doubled = [name for name in ids if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    raise FormatError(
        f"{where}: {len(doubled)} ids stand twice, first {short(doubled[0], 60)}: each video counts once; {why}"
    )


def require_finite_size(number: int, where: str) -> None:
    """Refuses files without predictions.

    Raises:
        FormatError: if there are none.
    """
    if not number:
        raise FormatError(f"{where}: holds no predictions")


def by_video(
    names: list[str], views: Int64[np.ndarray, "r"] | None, where: str
) -> tuple[Int64[np.ndarray, "n v"], list[str]]:
    """Rows of each video by view, and the videos in order of their first rows.

    Args:
        names: of the video of each row.
        views: number of the view of each row; None: in order.
        where: for messages.

    Raises:
        FormatError: if a video has a view twice, or other than as many views as the others.
    """
    place: dict[str, int] = {}
    video = np.array([place.setdefault(name, len(place)) for name in names], np.int64)
    counts = np.bincount(video, minlength=len(place))
    usual = int(np.bincount(counts).argmax()) if len(counts) else 0
    listed = list(place)
    if (odd := np.flatnonzero(counts != usual)).size:
        first = int(odd[0])
        raise FormatError(
            f"{where}: {len(odd)} of {len(listed)} videos have other than {usual} views, first "
            f"{short(listed[first], 60)} with {int(counts[first])}: the evaluation that wrote it lost or repeated some"
        )
    order = np.lexsort((np.arange(len(video)) if views is None else views, video))
    rows = order.reshape(len(listed), usual)
    if views is not None and usual > 1:
        numbers = views[rows]
        same = np.flatnonzero((np.diff(numbers, axis=1) == 0).any(axis=1))
        if same.size:
            raise FormatError(
                f"{where}: {len(same)} videos have a view twice, first {short(listed[int(same[0])], 60)}"
            )
    return rows, listed
