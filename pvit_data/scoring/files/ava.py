"""AVA's CSV files: ground truth, detections, excluded seconds; streamed, whatever their size.

Ground truth `video,second,x1,y1,x2,y2,action,person`, detections the same with a score at the end, seconds without
persons `video,second`; no header. Boxes are shares of width and height.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float, Int64

from pvit_data.errors import FormatError, UsageError
from pvit_data.scoring.files.dump import Dump, box_columns
from pvit_data.scoring.files.kinds import head_of, kind_of
from pvit_data.scoring.metrics.ava import SECONDS, BoxTable
from pvit_data.scoring.metrics.views import sigmoid
from pvit_data.storage.files import open_regular
from pvit_data.words import shown

MAX_VIDEOS = 100_000
BLOCK = 1 << 22
AVA_ACTIONS = 80
_BOX = ("x1", "y1", "x2", "y2")
_COLUMNS = ("video", "second", *_BOX, "action", "last")
FIRST, LAST = 902, 1798  # annotated seconds


@dataclass
class Videos:
    """Numbers of videos by name, the same for all files that are compared."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """The number of a video, a new one where it has none yet."""
        return self.numbers.setdefault(name, len(self.numbers))

    def names(self) -> list[str]:
        """Names by number."""
        return list(self.numbers)


def read_truth(path: Path, videos: Videos) -> BoxTable:
    """Ground truth.

    Raises:
        FormatError: naming the line that cannot be read.
    """
    table = _read(path, videos)
    return BoxTable(table.image, table.xyxy, table.class_id, listed=table.listed)


def read_detections(path: Path, videos: Videos) -> BoxTable:
    """Detections with scores, from CSV or from a dump of ours (whose logits become scores by a sigmoid).

    Raises:
        FormatError: naming the line that cannot be read, or that has no score.
    """
    kind = kind_of(path)
    if kind == "parquet":
        return _from_dump(path, videos)
    if kind != "text":
        raise FormatError(f"{path}: expected AVA's CSV or a dump of `pvit eval`, found {kind}")
    table = _read(path, videos, scored=True)
    if len(table.listed):
        raise FormatError(
            f"{path}: {len(table.listed)} lines have two columns; detections have eight: "
            "video,second,x1,y1,x2,y2,action,score"
        )
    return table


def read_excluded(path: Path, videos: Videos) -> Int64[np.ndarray, "n"]:
    """Images that are left out, from lines `video,second`.

    Raises:
        FormatError: if it has lines of another form.
    """
    table = _read(path, videos)
    if len(table):
        raise FormatError(f"{path}: has lines of more than two columns; expected video,second")
    return np.unique(table.listed)


def excluded_beside(truth: Path) -> Path | None:
    """The official list of excluded seconds beside a ground truth (`ava_val_excluded_timestamps_v2.2.csv`)."""
    parts = truth.stem.split("_")
    if len(parts) < 3:
        return None
    path = truth.with_name("_".join([*parts[:2], "excluded_timestamps", *parts[2:]]) + ".csv")
    return path if path.is_file() else None


def _read(path: Path, videos: Videos, *, scored: bool = False) -> BoxTable:
    parts: list[tuple[Any, ...]] = []
    listed: list[tuple[str, int]] = []
    for batch in _batches(path, listed, scored):
        image = _images(batch["video"], batch["second"].to_numpy(), videos, path)
        xyxy = np.column_stack([_numbers(batch[name], name, path) for name in _BOX])
        action = batch["action"].fill_null(-1).to_numpy().astype(np.int64)
        if scored and (action < 0).any():
            raise FormatError(
                f"{path}: a detection has no action; it is a file of person boxes, not of predictions"
            )
        if (action > AVA_ACTIONS).any() or (scored and (action == 0).any()):
            raise FormatError(
                f"{path}: actions {action.min()} to {action.max()}, expected 1..80: AVA's ids begin at 1"
            )
        score = _numbers(batch["last"], "score", path) if scored else np.zeros(0)
        keep = action > 0
        parts.append((image[keep], xyxy[keep], action[keep], score))
    if not parts and not listed:
        raise FormatError(f"{path}: holds nothing")
    numbers = [
        videos.number(_known(name, videos, path)) * SECONDS + second for name, second in listed
    ]
    alone = np.array(numbers, np.int64)
    if not parts:
        nothing = np.zeros(0, np.int64)
        return BoxTable(nothing, np.zeros((0, 4)), nothing, np.zeros(0), alone)
    image, xyxy, action, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return BoxTable(image, xyxy, action, score, alone)


def _known(name: str, videos: Videos, path: Path) -> str:
    if len(videos.numbers) >= MAX_VIDEOS and name not in videos.numbers:
        raise FormatError(f"{path}: more than {MAX_VIDEOS:,} videos; is it AVA's file?")
    return name


def _numbers(column: Any, name: str, path: Path) -> Float[np.ndarray, "n"]:
    values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    if not np.isfinite(values).all():
        raise FormatError(f"{path}: a {name} is missing, NaN or infinite")
    return values


def _images(
    video: Any, second: Int64[np.ndarray, "n"], videos: Videos, path: Path
) -> Int64[np.ndarray, "n"]:
    if len(second) and not 0 <= second.min() <= second.max() < SECONDS:
        raise FormatError(
            f"{path}: seconds {second.min()} to {second.max()}, expected {FIRST}..{LAST}"
        )
    names = video.dictionary.to_pylist()
    numbers = np.array([videos.number(_known(name, videos, path)) for name in names], np.int64)
    return np.asarray(numbers[video.indices.to_numpy()] * SECONDS + second)


def _batches(path: Path, listed: list[tuple[str, int]], scored: bool) -> Iterator[dict[str, Any]]:
    """Columns of a part of the file; lines of two columns go to `listed`."""
    import pyarrow as pa
    from pyarrow import csv

    width = _width(path)
    if width < 7 and scored:
        raise FormatError(
            f"{path}: {width} columns, expected 8: video,second,x1,y1,x2,y2,action,score without a header"
        )
    whole = {"second": pa.int32(), "action": pa.int32()}
    types = {name: whole.get(name, pa.float64()) for name in _COLUMNS}
    types["video"] = pa.dictionary(pa.int32(), pa.string())
    names = list(_COLUMNS[: max(7, width)])
    if not scored and width == 8:
        types["last"] = pa.string()  # a person's number, or nothing

    def shorter(row: Any) -> str:
        video, _, number = row.text.partition(",")
        number = number.strip()
        is_second = number.isascii() and number.isdecimal() and len(number) < 6
        if scored or not is_second or len(listed) >= 100 * MAX_VIDEOS:
            return "error"
        listed.append((video, int(number)))
        return "skip"

    try:
        with open(open_regular(path), "rb") as file:
            reader = csv.open_csv(
                pa.PythonFile(_Text(file), "r"),
                read_options=csv.ReadOptions(
                    column_names=names, block_size=BLOCK, use_threads=False
                ),
                parse_options=csv.ParseOptions(invalid_row_handler=shorter),
                convert_options=csv.ConvertOptions(column_types=types),
            )
            for batch in reader:
                columns = {name: batch.column(place) for place, name in enumerate(names)}
                if columns["video"].null_count or columns["second"].null_count:
                    raise FormatError(f"{path}: a line has no video or no second")
                if "last" not in columns:
                    columns["last"] = pa.array(np.ones(len(batch)))
                yield columns
    except (pa.ArrowException, OSError, UnicodeDecodeError, ValueError) as error:
        said = shown(" ".join(str(error).split()))[:200]
        raise FormatError(f"{path}: not readable as AVA's CSV: {said}") from None


class _Text:
    """The bytes of a file, as far as they are UTF-8: pyarrow only says so where it is too late."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._decoder = file, codecs.getincrementaldecoder("utf-8")()

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        block = self._file.read(size)
        self._decoder.decode(block, final=not block)
        return block

    def close(self) -> None:
        """The file is closed by who opened it."""
        self.closed = True


def _width(path: Path) -> int:
    """Columns of the widest of the first lines: lines of two may come first.

    Raises:
        FormatError: if a line is none of AVA's.
    """
    head = head_of(path, 1 << 16)
    lines = head.split(b"\n")[: -1 if len(head) == 1 << 16 else None]
    width = max((line.count(b",") + 1 for line in lines if line.strip()), default=0)
    if width not in (2, 7, 8):
        raise FormatError(
            f"{path}: {width} columns, expected 7 or 8: video,second,x1,y1,x2,y2,action,score without a header"
        )
    return width


def _from_dump(path: Path, videos: Videos) -> BoxTable:
    dump = Dump(path)
    ids, boxes, views = box_columns(dump)
    if len(views) and views.max() > 0:
        raise FormatError(f"{path}: several views of a box; AVA's protocols have one")
    logits = dump.logits()
    if not np.isfinite(logits).all() or not np.isfinite(boxes).all():
        raise FormatError(f"{path}: boxes or scores hold NaN or infinity")
    image = np.array(
        [videos.number(_known(v, videos, path)) * SECONDS + s for v, s in map(_split, ids)],
        np.int64,
    )
    count, classes = logits.shape
    return BoxTable(
        np.repeat(image, classes),
        np.repeat(boxes, classes, axis=0),
        np.tile(np.arange(1, classes + 1, dtype=np.int64), count),
        sigmoid(logits).reshape(-1),
    )


def told_by(path: Path) -> dict[str, Any]:
    """What a dump of ours says of itself: `threshold` of the detector's scores, `frames` of a clip, whether these are
    `whole`. CSV says nothing.

    Raises:
        FormatError: if the file cannot be read.
    """
    if kind_of(path) != "parquet":
        return {}
    about = Dump(path).about
    threshold, frames = about.get("threshold"), about.get("frames")
    told: dict[str, Any] = {}
    if isinstance(threshold, int | float) and 0 <= threshold <= 1:
        told["threshold"] = float(threshold)
    if isinstance(frames, int) and frames > 0:
        told["frames"] = frames
    if about.get("whole") is True:
        told["whole"] = True
    return told


def _split(name: str) -> tuple[str, int]:
    video, _, second = name.rpartition(",")
    if not video or not second.isdecimal() or len(second) > 5:
        raise FormatError(f"id {name!r:.60} is not MOVIE,SECOND")
    return video, int(second)


def write_csv(path: str | os.PathLike[str], table: BoxTable, videos: Videos) -> None:
    """Detections in the challenge's form, ordered as they are.

    Raises:
        OSError: if it cannot be written.
    """
    from pvit_data.storage.files import replacing

    names = videos.names()
    with replacing(str(path)) as part, part.open("w", encoding="utf-8") as file:
        rows = zip(
            table.image.tolist(), table.xyxy.tolist(), table.class_id.tolist(), table.score.tolist(),
            strict=True,
        )  # fmt: skip
        for image, box, action, score in rows:
            video, second = divmod(image, SECONDS)
            corners = ",".join(f"{value:.6g}" for value in box)
            file.write(f"{names[video]},{second:04d},{corners},{action},{score:.9g}\n")


def require_videos(missing: list[str], given: int, total: int) -> None:
    """Refuses detections on a part of the movies.

    Raises:
        UsageError: naming the first one that is missing.
    """
    if missing:
        raise UsageError(
            f"detections on {given} of {total} movies, {len(missing)} missing, first {missing[0]}: score all, or say "
            "--partial"
        )
