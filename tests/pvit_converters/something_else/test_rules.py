"""SomethingElse's rules one by one: mirror pairs of its spaces, records by time, box files that are damaged or odd."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_converters.something_else import box_files
from pvit_converters.something_else.box_files import Place, find_boxes, members, read_records
from pvit_converters.something_else.boxes import Film, see
from pvit_converters.something_else.settings import Files
from pvit_converters.something_else.splits import read_classes, read_rows
from pvit_data.errors import SourceError
from pvit_data.sample.labels import mirrored_pairs

BASE = (
    "6 13 15 16 17 18 19 20 27 28 29 30 31 36 37 40 42 43 45 47 51 52 53 54 55 56 57 58 65 68 69 71 72 73 74 75 76 80 "
    "82 83 84 85 86 87 88 89 93 94 95 96 98 99 100 101 103 104 105 106 107 109 110 112 113 114 118 120 121 125 126 127 "
    "129 130 134 135 143 146 148 149 150 151 152 153 154 155 156 157 164 171"
)
"""Classes of base_labels.json among the 174; the other 86 are those of finetune_labels.json."""
TWO_OBJECTS_ONLY = {3, 60, 65, 77, 91, 128, 163, 169}
"""Classes that compositional_oneobject lacks."""


def spaces() -> dict[str, set[int]]:
    base = set(map(int, BASE.split()))
    return {
        "all": set(range(174)),
        "base": base,
        "novel": set(range(174)) - base,
        "one": set(range(174)) - TWO_OBJECTS_ONLY,
    }


@pytest.mark.parametrize(
    ("name", "size", "pairs"),
    [
        ("all", 174, ((86, 87), (93, 94), (166, 167))),
        ("base", 88, ((42, 43), (46, 47))),
        ("novel", 86, ((79, 80),)),
        ("one", 166, ((82, 83), (88, 89), (159, 160))),
    ],
)
def test_mirror_pairs_of_the_real_spaces(
    name: str, size: int, pairs: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    """By rule from the names; the numbers are the published ones. The values in a label file count for nothing."""
    text = resources.files("pvit_model").joinpath("network/ssv2_classes.txt").read_text()
    names = text.splitlines()
    mine = [names[i] for i in spaces()[name]]
    (tmp_path / "labels.json").write_text(json.dumps({n: i for i, n in enumerate(reversed(mine))}))
    classes = read_classes(tmp_path / "labels.json")
    assert len(classes) == size
    assert mirrored_pairs({n: i for i, n in enumerate(classes)}) == pairs


def box(x1: float, y1: float, x2: float, y2: float, name: str = "0000") -> dict[str, Any]:
    return {"box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2}, "standard_category": name}


def record(number: int, *labels: dict[str, Any], video: str = "2") -> dict[str, Any]:
    return {"name": f"{video}/{number:04d}.jpg", "labels": list(labels), "nr_instances": len(labels)}


def film(frames: int = 48, fps: float = 12.0, height: int = 240, width: int = 427) -> Film:
    return Film("2", frames, fps, height, width)


def test_the_published_record() -> None:
    """The first record of the authors' examples, as it stands in their file."""
    pillow, hand = box(97.65, 11.89, 427, 239.93), box(210.12, 78.66, 345.43, 209.69, "hand")
    seen = see([record(1, pillow, hand)], film())
    table = seen.table()
    expected = np.array([[97.65, 11.89, 427, 239.93], [210.12, 78.66, 345.43, 209.69]]) / [427, 240, 427, 240]
    assert np.allclose(table.xyxy, expected, atol=1e-6)
    assert table.xyxy[0, 2] == 1
    assert (table.track.tolist(), table.role.tolist(), table.frame.tolist()) == ([0, -1], [1, 2], [0, 0])
    assert (seen.searched, dict(seen.warnings)) == ([0], {})


@pytest.mark.parametrize(
    ("fps", "frames", "expected"),
    [
        (12.0, 6, {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6}),
        (30.0, 15, {0: 1, 3: 2, 5: 3, 8: 4, 10: 5, 13: 6}),
        (6.0, 3, {0: 1, 1: 3, 2: 5}),
        (11.988, 6, {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6}),
        (25.0, 13, {0: 1, 2: 2, 4: 3, 6: 4, 8: 5, 10: 6}),
    ],
)
def test_records_belong_to_frames_by_time(fps: float, frames: int, expected: dict[int, int]) -> None:
    """Record k is at (k - 1) / 12 s; of two records nearest to a frame the nearer one counts."""
    records = [record(k, box(0, 0, k, 10)) for k in range(1, 7)]
    seen = see(records[::-1], film(frames, fps, 100, 100))
    assert seen.searched == sorted(expected)
    found = dict(zip(seen.frame, (round(100 * b[2]) for b in seen.boxes), strict=True))
    assert found == expected


def test_odd_boxes_are_counted() -> None:
    labels = [
        box(-3, 0, 10, 10),
        box(5, 5, 5, 9),
        box(500, 0, 600, 10),
        box(0, 0, 9, 9, "lamp"),
        box(0, 0, 427.3, 240),
    ]
    records = [record(1, *labels) | {"nr_instances": 2}, record(9, labels[0]), record(2)]
    seen = see(records, film(frames=8))
    assert dict(seen.warnings) == {
        "other-number-of-boxes": 1,
        "boxes-outside-the-picture": 1,
        "empty-boxes": 2,
        "boxes-of-unknown-category": 1,
        "records-after-the-end": 1,
    }
    assert np.allclose(seen.boxes, [[0, 0, 10 / 427, 10 / 240], [0, 0, 1, 1]])
    assert seen.searched == [0, 1], "a frame in which nothing was found was looked at"


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ({"2": []}, "expected a list of at most"),
        ([record(1, video="3")], "has a record of another video, '3/0001.jpg'"),
        ([{"name": "2/0001.jpg"}], "expected a record"),
        ([{"name": "2/cover.jpg", "labels": []}], "expected a record"),
        ([record(0)], "expected a record"),
        (["x"], "expected a record"),
        ([record(1, {"box2d": {"x1": 1}})], "expected a box"),
        ([record(1, box(float("nan"), 0, 1, 1))], "expected a box"),
        ([record(1, box("1", 0, 1, 1))], "expected a box"),  # type: ignore[arg-type]
        ([record(1, box(10**400, 0, 1, 1))], "expected a box"),
    ],
)
def test_records_that_are_none(records: Any, told: str) -> None:
    with pytest.raises(SourceError, match=told) as error:
        see(records, film())
    assert error.value.reason == "bad-boxes"


def write_part(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("chunk", [7, 64, 1 << 20])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_places_are_bytes_whatever_the_letters(
    chunk: int, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indented, with letters of two to four bytes, brackets and quotes in texts, cut anywhere."""
    monkeypatch.setattr(box_files, "CHUNK", chunk)
    value = {
        "7": [{"name": "7/0001.jpg", "gt_placeholders": ["crème", ']}"{[\\']}],
        "0042": [],
        "9": [{"name": "9/0001.jpg", "gt_placeholders": ["茶", "🫖"]}] * 3,
    }
    path = write_part(tmp_path / "any name.json", mark + json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    found = {v: read_records(tmp_path, Place(path.name, a, b)) for v, a, b in members(path)}
    assert found == {str(int(video)): records for video, records in value.items()}


def test_forms_of_the_box_files(tmp_path: Path) -> None:
    """Any name, a file per video, and what is no box file beside them; what comes again counts once."""
    write_part(tmp_path / "bounding_box_smthsmth_part1.json", '{"1": [], "2": []}')
    write_part(tmp_path / "part2.json", '{"2": [1], "3": []}')
    write_part(tmp_path / "labels.json", '{"Pushing something": "0"}')
    write_part(tmp_path / "ids.json", '["1", "2"]')
    (tmp_path / "bbox_jsons").mkdir()
    write_part(tmp_path / "bbox_jsons/0017.json", "[]")
    write_part(tmp_path / "bbox_jsons/DONE", "")
    found = find_boxes(tmp_path)
    assert (set(found.places), found.files, found.repeated) == ({"1", "2", "3", "17"}, 3, 1)
    assert read_records(tmp_path, found.places["2"]) == []
    assert found.places["17"].file == "bbox_jsons/0017.json"


@pytest.mark.parametrize(
    "text",
    [
        '{"1": [], "2": [{"na',
        '{"1": [], "2"',
        '{"1": []',
        '{"1": [], 2: []}',
        '{"1": [], "x": []}',
        '{"1": [], "2": {}}',
    ],
)
def test_damaged_box_files(text: str, tmp_path: Path) -> None:
    write_part(tmp_path / "part1.json", text)
    with pytest.raises(SourceError, match=r"part1\.json: ") as error:
        find_boxes(tmp_path)
    assert error.value.reason == "bad-json"
    assert "\n" not in str(error.value)


def test_box_files_that_claim_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_files, "MAX_VIDEO", 100)
    monkeypatch.setattr(box_files, "CHUNK", 16)
    path = write_part(tmp_path / "part1.json", '{"1": [' + "0, " * 200 + "0]}")
    with pytest.raises(SourceError, match="comes no JSON with an end"):
        list(members(path))
    with pytest.raises(SourceError, match="more than 100"):
        read_records(tmp_path, Place("part1.json", 0, 101))
    with pytest.raises(SourceError, match="it was changed since it was listed"):
        read_records(tmp_path, Place("part1.json", 600, 690))


def test_no_box_files(tmp_path: Path) -> None:
    (tmp_path / "boxes.zip").write_bytes(b"PK")
    with pytest.raises(SourceError, match=r"no bounding_box_smthsmth_part1\.json .*unpack boxes\.zip first"):
        find_boxes(tmp_path)
    (tmp_path / "boxes.zip").rename(tmp_path / "bounding_box_smthsmth_part1.json.gz")
    with pytest.raises(SourceError, match=r"unpack bounding_box_smthsmth_part1\.json\.gz first"):
        find_boxes(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "bounding_box_smthsmth_part1.json.gz").rename(tmp_path / "mine/bounding_box_smthsmth_part1.json")
    with pytest.raises(SourceError, match=r"mine/ has them: give .*/mine"):
        find_boxes(tmp_path)
    with pytest.raises(SourceError, match="no such folder"):
        find_boxes(tmp_path / "nowhere")


def split_files(folder: Path, train: Any, val: Any) -> Files:
    found = Files(folder / "train.json", folder / "validation.json", folder / "labels.json")
    for path, value in zip((found.train, found.val), (train, val), strict=True):
        path.write_text(json.dumps(value))
    return found


def test_rows_that_come_again(tmp_path: Path) -> None:
    """Ids as texts, numbers, with zeros in front; nobody is trained on what is tested."""
    one = {"template": "Doing [something]"}
    train = [{"id": 5, **one}, {"id": "0005", **one}, {"id": "7", **one}]
    found = read_rows(split_files(tmp_path, train, [{"id": "07", **one}]), ("Doing something",))
    assert {video: row.split for video, row in found.rows.items()} == {"7": "val", "5": "train"}
    assert found.absent == {"listed twice": 1, "listed in train and validation (it is in val)": 1}
    files = split_files(tmp_path, [*train, {"id": 5, "template": "Undoing [something]"}], [])
    with pytest.raises(SourceError, match=r"train.json: video 5 is listed twice, as 'Doing something' and as 'Undo"):
        read_rows(files, ("Doing something", "Undoing something"))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({}, "expected a list"),
        ([{"id": "x", "template": "a"}], 'expected a list of {"id": "1"'),
        ([{"id": "1"}], "video 1 has no template"),
        ([{"id": "1", "template": "Undoing [something]"}], "is not in labels.json; the files don't belong together"),
    ],
)
def test_rows_that_are_none(rows: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"train\.json: .*") as error:
        read_rows(split_files(tmp_path, rows, []), ("Doing something",))
    assert told in str(error.value)
