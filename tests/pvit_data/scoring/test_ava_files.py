"""AVA's CSV as it is read: in blocks of whole lines, and what is wrong is named with its line."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pvit_data.errors import FormatError
from pvit_data.scoring.files import ava
from pvit_data.scoring.files.ava import Videos, read_detections, read_truth, write_csv
from pvit_data.scoring.files.dump import write_dump
from pvit_data.scoring.options import ScoreOptions
from pvit_data.scoring.protocols import find_protocol
from pvit_data.scoring.score import score
from tests.pvit_data.scoring import made

LINES = [f"film{n % 7},{902 + n},0.{n:03d},0.1,0.9,0.8,{1 + n % 80},0.{n:04d}5" for n in range(200)]


def rows(path: Path) -> list[tuple[str, int, float, int, float]]:
    videos = Videos()
    table = read_detections(path, videos)
    names = videos.names()
    return [
        (names[image // ava.SECONDS], image % ava.SECONDS, box[0], action, score)
        for image, box, action, score in zip(
            table.image.tolist(), table.xyxy.tolist(), table.class_id.tolist(), table.score.tolist(), strict=True
        )
    ]


@pytest.mark.parametrize("block", [1 << 22, 64, 333])
@pytest.mark.parametrize(
    ("start", "between", "end"), [("", "\n", "\n"), ("", "\n", ""), ("\ufeff", "\r\n\r\n", "\r\n")]
)
def test_blocks_of_any_size(
    start: str, between: str, end: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without a last line break, with empty lines, a mark of byte order and Windows' line ends."""
    monkeypatch.setattr(ava, "BLOCK", block)
    (tmp_path / "p.csv").write_bytes((start + between.join(LINES) + end).encode())
    expected = [line.split(",") for line in LINES]
    assert rows(tmp_path / "p.csv") == [(c[0], int(c[1]), float(c[2]), int(c[6]), float(c[7])) for c in expected]


@pytest.mark.parametrize("block", [1 << 22, 64])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"film1,0902,0.1,0.1,0.5,0.5,99,0.5", "action 99, expected 1..80: AVA's ids begin at 1"),
        (b"film1,0902,0.1,0.1,0.5,0.5,0,0.5", "action 0, expected 1..80: AVA's ids begin at 1"),
        (b"film1,0902,0.1,0.1,0.5,0.5,,0.5", "a detection has no action"),
        (b"film1,0902,0.1,nan,0.5,0.5,1,0.5", "y1 is missing, NaN or infinite"),
        (b"film1,0902,0.1,0.1,0.5,0.5,1,", "score is missing, NaN or infinite"),
        (b"film1,-2,0.1,0.1,0.5,0.5,1,0.5", "second -2, expected 902..1798"),
        (b"film1,,0.1,0.1,0.5,0.5,1,0.5", "no video or no second"),
        (b"film1,9.5,0.1,0.1,0.5,0.5,1,0.5", "second is '9.5', expected a whole number"),
        (b"film1,0902,0.1,0.1,0.5", "5 columns, expected 8: 'film1,0902,0.1,0.1,0.5'"),
        (b"film1,0902,0.1", "3 columns, expected 8: 'film1,0902,0.1'"),
        (b"film\xff,0902,0.1,0.1,0.5,0.5,1,0.5", "is no UTF-8"),
    ],
)
def test_the_line_is_named(line: bytes, said: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty lines count. No thread of pyarrow calls Python, which the end of the program would abort."""
    monkeypatch.setattr(ava, "BLOCK", block)
    monkeypatch.setattr(pa, "PythonFile", None)
    text = [line.encode() for line in LINES[:120]] + [b""] + [line] + [line.encode() for line in LINES[120:]]
    (tmp_path / "p.csv").write_bytes(b"\n".join(text))
    with pytest.raises(FormatError) as error:
        read_detections(tmp_path / "p.csv", Videos())
    assert str(error.value).startswith(f"{tmp_path}/p.csv, line 122: ")
    assert said in str(error.value)


def test_a_header(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("video_id,second,x1,y1,x2,y2,action,score\n" + "\n".join(LINES))
    with pytest.raises(
        FormatError, match=r"line 1: .* second is 'second', expected a whole number; AVA's files have no he"
    ):
        read_detections(tmp_path / "p.csv", Videos())


def test_truth_with_lines_of_two_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ava, "BLOCK", 48)
    (tmp_path / "t.csv").write_text("m,0901\nm,0902\nm,0903,0.1,0.2,0.3,0.4,12,0\nm,0904,0.1,0.2,0.3,0.4,80,\nn,0905\n")
    truth = read_truth(tmp_path / "t.csv", Videos())
    assert (truth.image % ava.SECONDS).tolist() == [903, 904]
    assert truth.class_id.tolist() == [12, 80]
    assert np.divmod(truth.listed, ava.SECONDS)[1].tolist() == [901, 902, 905]
    (tmp_path / "t.csv").write_text("m,0901\nm,0902,0.1,0.2,0.3,0.4,81,0\n")
    with pytest.raises(FormatError, match=r"t\.csv, line 2: action 81, expected 1\.\.80"):
        read_truth(tmp_path / "t.csv", Videos())


def test_movies_may_be_files_and_rows_of_the_truth_that_shards_lack_are_told(tmp_path: Path) -> None:
    """Names without endings, as the official files have them, are the same movies."""
    truth = made.movies(seconds=4)
    found = made.detections(truth)
    plain = made.diagnose_boxes(tmp_path, truth, found)
    named = made.diagnose_boxes(tmp_path, truth, [row._replace(video=f"{row.video}.mkv") for row in found])
    assert (named.values, named.detections) == (plain.values, plain.detections)
    assert not any("converted shards" in note for note in plain.notes)
    odd = [truth[0]._replace(second=901), truth[0]._replace(box=(0.5, 0.1, 0.5, 0.9)), truth[1]._replace(second=1799)]
    told = [note for note in made.diagnose_boxes(tmp_path, truth + odd, found).notes if "converted shards" in note]
    assert [note.partition(";")[0] for note in told] == [
        "2 rows of the truth are of seconds outside 902..1798", "1 rows of the truth are of boxes without area",
    ]  # fmt: skip


def test_a_movie_in_which_nobody_was_found(tmp_path: Path) -> None:
    """Its people are missed; a line of two columns says that it was looked at."""
    truth = made.movies(seconds=4)
    found = [row for row in made.detections(truth) if row.video == "aaaaaaaaaaa"]
    with pytest.raises(FormatError, match=r"1 of 2 movies without detections.* a line MOVIE,SECOND says so"):
        made.diagnose_boxes(tmp_path, truth, found)
    text = (tmp_path / "found.csv").read_text()
    how = ScoreOptions(protocol=find_protocol("ava", None), truth=str(tmp_path / "ava_val_v2.2.csv"), no_excluded=True)
    movie, second = found[0].video, found[0].second
    (tmp_path / "found.csv").write_text(f"{text}{movie},{second}\n")  # as a file ends whose writer was killed
    with pytest.raises(FormatError, match=f"{movie}, second {second} stands there without a box, and with one"):
        score(tmp_path / "found.csv", "ava", how)
    (tmp_path / "found.csv").write_text(f"{text}bbbbbbbbbbb,0902\n")
    result = score(tmp_path / "found.csv", "ava", how)
    far = [row for row in truth if row.video == "bbbbbbbbbbb"]
    moved = [row._replace(score=0.0, box=(0.0, 0.0, 0.001, 0.001)) for row in far[:1]]
    assert result.values["mAP"] == pytest.approx(made.diagnose_boxes(tmp_path, truth, found + moved).values["mAP"])
    assert (result.scored.n, result.details["images_matched"] < 1) == (2, True)
    assert "1 seconds are listed in which nobody was found" in result.notes


def test_movies_in_which_nobody_was_found(tmp_path: Path) -> None:
    """A dump names a second of each, CSV has a line for it; one becomes the other."""
    boxes = np.array([[0.1, 0.2, 0.3, 0.4]])
    about = {ava.EMPTY: ["film2,0902"]}
    number = np.zeros(1, np.int64)
    write_dump(tmp_path / "p.parquet", ["a"], ["film1,0905"], number, number, np.zeros((1, 2)), about, boxes)
    for path in (tmp_path / "p.parquet", tmp_path / "p.csv"):
        videos = Videos()
        table = read_detections(path, videos)
        assert sorted(videos.numbers) == ["film1", "film2"]
        assert (table.listed % ava.SECONDS, table.listed // ava.SECONDS) == (902, videos.numbers["film2"])
        assert (table.image // ava.SECONDS).tolist() == [videos.numbers["film1"]] * 2
        write_csv(tmp_path / "p.csv", table, videos)


def test_names_of_files_are_movies(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("m1,0902,0.1,0.1,0.5,0.5,12,0\nc/m1,0902,0.1,0.1,0.5,0.5,12,0\nv1.5,0903\n")
    (tmp_path / "p.csv").write_text(
        "c/m1.mkv,0902,0.1,0.1,0.5,0.5,12,0.7\nm1.mp4,0902,0.1,0.1,0.5,0.5,12,0.7\nv1.5,0903\n"
    )
    videos = Videos()
    truth, found = read_truth(tmp_path / "t.csv", videos), read_detections(tmp_path / "p.csv", videos)
    assert videos.names() == ["m1", "c/m1", "v1.5"]
    assert (truth.image.tolist(), truth.listed.tolist()) == (found.image.tolist()[::-1], found.listed.tolist())
