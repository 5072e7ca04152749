"""AVA's CSV files: ground truth, detections, excluded seconds; streamed, whatever their size.

Ground truth `video,second,x1,y1,x2,y2,action,person`, detections the same with a score at the end, seconds without
persons, or in which nobody was found, `video,second`; no header. Boxes are shares of width and height.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from pvit_data.errors import FormatError, UsageError
from pvit_data.scoring.files.dump import Dump, box_columns, model_in
from pvit_data.scoring.files.kinds import head_of, kind_of
from pvit_data.scoring.files.scores import stem
from pvit_data.scoring.metrics.ava import SECONDS, BoxTable
from pvit_data.scoring.metrics.views import sigmoid
from pvit_data.storage.files import open_regular
from pvit_data.words import short, shown, size_text

MAX_VIDEOS = 100_000
BLOCK = 1 << 22
AVA_ACTIONS = 80
_BOX = ("x1", "y1", "x2", "y2")
_COLUMNS = ("video", "second", *_BOX, "action", "last")
EMPTY = "empty"
"""Of a dump's metadata: a second of each movie in which nobody was found."""
EXCHANGED = "are predictions and --truth exchanged?"
FIRST, LAST = 902, 1798  # annotated seconds
_WHOLE = {"second": "int32", "action": "int32"}


@dataclass
class Videos:
    """Numbers of videos by name, the same for all files that are compared, and with or without a file's ending."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """The number of a video, a new one where it has none yet."""
        return self.numbers.setdefault(stem(name, name.count("/")), len(self.numbers))

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
    both = table.listed[np.isin(table.listed, table.image)] if len(table.listed) else table.listed
    if both.size:
        movie, second = divmod(int(both[0]), SECONDS)
        raise FormatError(
            f"{path}: {videos.names()[movie]}, second {second} stands there without a box, and with one: is the file "
            "cut?"
        )
    score = table.score
    if not len(score):
        raise FormatError(f"{path}: holds no detections")
    if (score >= 0).all() and score.max() > 1 and (score == np.rint(score)).all():
        raise FormatError(
            f"{path}: the last column has whole numbers only, up to {score.max():.0f}, as the persons of a ground "
            f"truth have: {EXCHANGED} Scores that are whole numbers must be divided by the largest"
        )
    return table


def read_excluded(path: Path, videos: Videos) -> Int64[np.ndarray, "n"]:
    """Images that are left out, from lines `video,second`.

    Raises:
        FormatError: if it has lines of another form.
    """
    _width(path, (2,), "2 columns: video,second without a header; --no-excluded excludes none")
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


@dataclass(frozen=True)
class _Lines:
    """Some whole lines of a file."""

    path: Path
    first: int  # number of the first line
    text: bytes

    def at(self, rows: Bool[np.ndarray, "n"]) -> str:
        """Where the first of these rows stands; lines of two columns are no rows."""
        numbers = [n for n, line in enumerate(self.text.split(b"\n")) if line.count(b",") > 1]
        return f"{self.path}, line {self.first + numbers[int(np.argmax(rows))]}"


def _read(path: Path, videos: Videos, *, scored: bool = False) -> BoxTable:
    parts: list[tuple[Any, ...]] = []
    listed: list[tuple[str, int]] = []
    width = _width(path)
    if width < 7 and scored:
        raise FormatError(
            f"{path}: {width} columns, expected 8: video,second,x1,y1,x2,y2,action,score without a header"
        )
    for lines in _lines_of(path):
        columns = _columns(lines, width, listed, scored)
        image = _images(columns["video"], columns["second"], videos, lines)
        xyxy = np.column_stack([_numbers(columns[name], name, lines) for name in _BOX])
        action = columns["action"].fill_null(-1).to_numpy().astype(np.int64)
        if scored and (bad := action == -1).any():
            raise FormatError(
                f"{lines.at(bad)}: a detection has no action; it is a file of person boxes, not of predictions"
            )
        if (bad := (action > AVA_ACTIONS) | (scored & (action < 1))).any():
            raise FormatError(
                f"{lines.at(bad)}: action {action[bad][0]}, expected 1..{AVA_ACTIONS}: AVA's ids begin at 1"
            )
        if width == 8 and not scored:
            _require_persons(columns["last"], lines)
        score = _numbers(columns["last"], "score", lines) if scored else np.zeros(0)
        keep = action > 0
        parts.append((image[keep], xyxy[keep], action[keep], score))
    if not any(len(part[0]) for part in parts) and not listed:
        raise FormatError(f"{path}: holds nothing")
    numbers = [
        videos.number(_known(name, videos, path)) * SECONDS + second for name, second in listed
    ]
    image, xyxy, action, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return BoxTable(image, xyxy, action, score, np.array(numbers, np.int64))


def _require_persons(column: Any, lines: _Lines) -> None:
    """Refuses a truth whose last column holds scores instead of numbers of persons."""
    for text in column.unique().to_pylist():
        if _is_number(text or "", whole=False) and float(text) % 1 > 0:
            raise FormatError(
                f"{lines.path}: the last column holds {short(text, 40)}, a score and not the number of a person: "
                f"{EXCHANGED}"
            )


def _known(name: str, videos: Videos, path: Path) -> str:
    if len(videos.numbers) >= MAX_VIDEOS and name not in videos.numbers:
        raise FormatError(f"{path}: more than {MAX_VIDEOS:,} videos; is it AVA's file?")
    return name


def _numbers(column: Any, name: str, lines: _Lines) -> Float[np.ndarray, "n"]:
    values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    if (bad := ~np.isfinite(values)).any():
        raise FormatError(f"{lines.at(bad)}: {name} is missing, NaN or infinite")
    return values


def _images(video: Any, second: Any, videos: Videos, lines: _Lines) -> Int64[np.ndarray, "n"]:
    numbers = second.fill_null(-1).to_numpy().astype(np.int64)
    empty = np.asarray(video.is_null()) | np.asarray(second.is_null())
    if empty.any():
        raise FormatError(f"{lines.at(empty)}: no video or no second")
    if (bad := (numbers < 0) | (numbers >= SECONDS)).any():
        raise FormatError(f"{lines.at(bad)}: second {numbers[bad][0]}, expected {FIRST}..{LAST}")
    names = video.dictionary.to_pylist()
    places = np.array([videos.number(_known(n, videos, lines.path)) for n in names], np.int64)
    return np.asarray(places[video.indices.to_numpy()] * SECONDS + numbers)


def _lines_of(path: Path) -> Iterator[_Lines]:
    """The whole file, some megabytes at a time.

    pyarrow's own streaming reads ahead on a thread that may let go of a Python file while the interpreter ends, which
    aborts the program. So it is given memory of its own.
    """
    with open(open_regular(path), "rb") as file:
        first, rest, more = 1, b"", True
        while more:
            block = file.read(BLOCK)
            more = len(block) == BLOCK
            text, mark, rest = (
                (rest + block).rpartition(b"\n") if more else (rest + block, b"", b"")
            )
            if more and not mark:
                raise FormatError(
                    f"{path}: not readable as AVA's CSV: line {first} has more than {size_text(BLOCK)}"
                )
            if text.strip():
                yield _Lines(path, first, text)
            first += text.count(b"\n") + 1


def _columns(
    lines: _Lines, width: int, listed: list[tuple[str, int]], scored: bool
) -> dict[str, Any]:
    """Columns of some lines; those of two columns go to `listed`."""
    import pyarrow as pa
    from pyarrow import csv

    names = list(_COLUMNS[: max(7, width)])
    types = {name: _WHOLE.get(name, "float64") for name in names} | {"video": "string"}
    if not scored and width == 8:
        types["last"] = "string"  # a person's number, or nothing

    def shorter(row: Any) -> str:
        video, second = _second_alone(row.text)
        if second is None or len(listed) >= 100 * MAX_VIDEOS:
            return "error"
        listed.append((video, second))
        return "skip"

    try:
        lines.text.decode("utf-8")
        memory = pa.BufferOutputStream()
        memory.write(lines.text)
        table = csv.read_csv(
            pa.BufferReader(memory.getvalue()),
            read_options=csv.ReadOptions(
                column_names=names, block_size=2 * BLOCK, use_threads=False
            ),
            parse_options=csv.ParseOptions(invalid_row_handler=shorter),
            convert_options=csv.ConvertOptions(column_types=types),
        )
    except UnicodeDecodeError as error:
        number = lines.first + lines.text.count(b"\n", 0, error.start)
        raise FormatError(f"{lines.path}, line {number}: is no UTF-8") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FormatError(_damage(lines, types, shown(str(error))[:200])) from None
    columns = {name: table.column(name).combine_chunks() for name in names}
    columns["video"] = columns["video"].dictionary_encode()
    return {"last": pa.array(np.ones(len(table))), **columns}


def _second_alone(text: str) -> tuple[str, int | None]:
    """Video and second of a line of two columns; None: it is another one."""
    video, _, number = text.partition(",")
    number = number.strip()
    is_second = number.isascii() and number.isdecimal() and len(number) < 6
    return video, int(number) if is_second else None


def _damage(lines: _Lines, types: dict[str, str], said: str) -> str:
    """The first line that is none of AVA's, and why; what pyarrow said where none is found."""
    for number, line in enumerate(lines.text.decode("utf-8").split("\n"), lines.first):
        at, cells = f"{lines.path}, line {number}", line.strip().split(",")
        is_second = len(cells) == 2 and _second_alone(line)[1] is not None
        if not line.strip() or is_second:
            continue
        if len(cells) != len(types):
            return (
                f"{at}: not readable as AVA's CSV: {len(cells)} columns, expected {len(types)}: "
                f"{short(line.strip(), 80)}"
            )
        for (name, kind), cell in zip(types.items(), cells, strict=True):
            whole = kind in _WHOLE.values()
            if kind != "string" and cell.strip() and not _is_number(cell.strip(), whole=whole):
                expected = "a whole number" if whole else "a number"
                is_name = number == 1 and not _is_number(cell.strip(), whole=False)
                header = "; AVA's files have no header" if is_name else ""
                return f"{at}: not readable as AVA's CSV: {name} is {short(cell, 40)}, expected {expected}{header}"
    return f"{lines.path}: not readable as AVA's CSV: {' '.join(said.split())}"


def _is_number(text: str, *, whole: bool) -> bool:
    try:
        int(text) if whole else float(text)
    except ValueError:
        return False
    return True


def _width(
    path: Path,
    widths: tuple[int, ...] = (2, 7, 8),
    form: str = "7 or 8 columns: video,second,x1,y1,x2,y2,action,score without a header",
) -> int:
    """Columns of the widest of the first lines: lines of two may come first.

    Raises:
        FormatError: if a line is none of AVA's.
    """
    head = head_of(path, 1 << 16)
    lines = head.split(b"\n")[: -1 if len(head) == 1 << 16 else None]
    width = max((line.count(b",") + 1 for line in lines if line.strip()), default=0)
    found = f"{width} columns" if head.strip() else "is empty"
    if width not in widths:
        raise FormatError(f"{path}: {found}, expected {form}")
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
        _empty(dump, videos),
    )


def _empty(dump: Dump, videos: Videos) -> Int64[np.ndarray, "m"]:
    """Seconds of movies in which nobody was found, as `pvit eval` writes them beside its boxes."""
    told = dump.about.get(EMPTY, [])
    if not isinstance(told, list) or not all(isinstance(name, str) for name in told):
        raise FormatError(f"{dump.where}: its metadata '{EMPTY}' are no list of MOVIE,SECOND")
    moments = [_split(name) for name in told]
    return np.array(
        [videos.number(_known(v, videos, Path(dump.where))) * SECONDS + s for v, s in moments],
        np.int64,
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


def model_told_by(path: Path) -> dict[str, Any]:
    """What a dump of ours says of the network."""
    return model_in(Dump(path).about) if kind_of(path) == "parquet" else {}


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
    with replacing(Path(path), follow=True) as part, part.open("w", encoding="utf-8") as file:
        for video, second in zip(
            *(x.tolist() for x in np.divmod(table.listed, SECONDS)), strict=True
        ):
            file.write(f"{names[video]},{second:04d}\n")
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
