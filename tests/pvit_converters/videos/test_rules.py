"""What could mean two things is said with both readings and the option that decides; strangers' tables are bounded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import pvit_data
from pvit_cli.data import main
from pvit_converters.engine.run import Job, convert
from pvit_converters.videos import VideosConverter, VideosOptions
from pvit_data.errors import UsageError
from tests.pvit_data.odd_videos import encode, flipped, frames

VIDEO = encode("mp4", "libx264", {"preset": "ultrafast"}, frames(3))


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(VIDEO)
    return root


def listed(root: Path, **options: Any) -> dict[str, tuple[str, list[str]]]:
    """Split and labels by key."""
    converter = VideosConverter(root, VideosOptions(name="x", **options))
    return {i.key: (i.split, i.ref.get("labels", [])) for i in converter.list_items().items}


def classes(root: Path, **options: Any) -> tuple[str, ...]:
    return VideosConverter(root, VideosOptions(name="x", **options)).spaces()["action"].classes


def notes_of(root: Path) -> list[str]:
    return VideosConverter(root, VideosOptions(name="x")).list_items().notes


def table(root: Path, text: str, name: str = "t.csv") -> dict[str, Any]:
    (root / name).write_text(text, encoding="utf-8")
    return {"table": root / name}


def test_a_class_called_train(tmp_path: Path) -> None:
    root = tree(tmp_path, "train/a.mp4", "car/b.mp4")
    with pytest.raises(UsageError, match=r"train could be a class \(--layout classes\) or a split \(--layout splits\)"):
        listed(root)
    assert listed(root, layout="classes") == {"x-a": ("", ["train"]), "x-car-b": ("", ["car"])}
    assert listed(root, layout="splits") == {"x-a": ("train", []), "x-car-b": ("", ["car"])}


def test_folders_in_folders(tmp_path: Path) -> None:
    root = tree(tmp_path, "train/anna/jump/a.mp4", "test/ben/run/a.mp4")
    with pytest.raises(UsageError, match=r"could be (anna|ben) \(--label-folder first\) or (jump|run) \(--label"):
        listed(root)
    assert classes(root, label_folder="last") == ("jump", "run")
    assert classes(root, label_folder="first") == ("anna", "ben")
    assert listed(root, label_folder="none") == {"x-anna-jump-a": ("train", []), "x-ben-run-a": ("test", [])}


def test_no_folders_at_all(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.mp4", "b.mp4")
    with pytest.raises(UsageError, match=r"no folder that would be their class: --table FILE .* --label-folder none"):
        listed(root)
    assert listed(root, label_folder="none") == {"x-a": ("", []), "x-b": ("", [])}


def test_numbers_as_labels(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.mp4", "b.mp4")
    options = table(root, "a.mp4 0\nb.mp4 2\n")
    with pytest.raises(UsageError, match=r"--classes FILE.*--labels ids.*--labels names"):
        classes(root, **options)
    assert classes(root, **options, labels="ids") == ("0", "1", "2")
    assert classes(root, **options, labels="names") == ("0", "2")
    (root / "three.txt").write_text("zero\none\ntwo\n")
    assert classes(root, **options, classes=root / "three.txt") == ("zero", "one", "two")
    (root / "digits.txt").write_text("2\n0\n1\n")
    with pytest.raises(UsageError, match=r"of that number \(--labels ids\) or of that name \(--labels names\)"):
        classes(root, **options, classes=root / "digits.txt")
    (root / "few.txt").write_text("zero\none\n")
    with pytest.raises(UsageError, match=r"t.csv, line 2: label is '2', expected 0 to 1"):
        classes(root, **options, classes=root / "few.txt")
    (root / "named.json").write_text(json.dumps(["walk", "jump"]))
    with pytest.raises(
        UsageError,
        match=r"line 1: label is 'jmup', expected one of the 2 names of .*\['walk', 'jump'\]; did you mean 'jump'",
    ):
        classes(root, **table(root, "a.mp4,jmup\n"), classes=root / "named.json")


def test_columns_that_nobody_reads_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.mp4")
    options = VideosOptions(name="x", **table(root, "path,lable,note\na.mp4,run,good\n"))
    assert VideosConverter(root, options).list_items().notes == [
        "t.csv: path = path; not used: lable, note; no column of labels: --label-column names it"
    ]


def test_files_of_other_kinds_are_told(tmp_path: Path) -> None:
    root = tree(tmp_path, "run/a.mp4", "run/notes.txt", "list.xyz", "run/.hidden", "run/b.flv")
    notes = notes_of(root)
    assert "1 x .flv is left out: it is not read" in notes
    assert "2 files of other kinds left out, such as list.xyz" in notes


def test_two_columns_that_could_be_the_label(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.mp4")
    options = table(root, "file,class,action\na.mp4,person,jump\n")
    with pytest.raises(UsageError, match=r"class and action could both be the label: --label-column class or --label-"):
        listed(root, **options)
    assert classes(root, **options, label_column="Action") == ("jump",)
    with pytest.raises(UsageError, match=r"--label-column acton: .* no such column; did you mean 'action'"):
        listed(root, **options, label_column="acton")
    with pytest.raises(UsageError, match=r"line 2: has 4 cells, its header 3"):
        listed(root, **table(root, "file,class,split\na.mp4,a, b,train\n"))
    with pytest.raises(UsageError, match=r"line 2: split is 'dunno', expected train, val or test"):
        listed(root, **table(root, "file,class,split\na.mp4,a,dunno\n"))


def test_two_ways_to_cut_a_line(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.mp4")
    options = table(root, "a.mp4\t3 4\n") | {"labels": "names"}
    with pytest.raises(UsageError, match=r"\['3 4'\] \(--separator tab\) or \['3', '4'\] \(--separator ' '\)"):
        listed(root, **options)
    assert listed(root, **options, separator=" ") == {"x-a": ("", ["3", "4"])}
    assert listed(root, **options, separator="tab") == {"x-a": ("", ["3 4"])}


def test_paths_in_two_places(tmp_path: Path) -> None:
    root, lists = tree(tmp_path / "videos", "a.mp4"), tree(tmp_path / "lists", "a.mp4", "b.mp4")
    options = table(lists, "path,label\na.mp4,jump\nb.mp4,run\n")
    with pytest.raises(
        UsageError, match=r"a.mp4 is in ROOT, .*\(--paths root\), and beside the table, .*--paths table"
    ):
        listed(root, **options)
    assert len(listed(root, **options, paths="table")) == 2
    converter = VideosConverter(root, VideosOptions(name="x", paths="root", **options))
    listing = converter.list_items()
    assert listing.absent == {"file not present": 1}
    assert listing.notes[1].startswith("file not present: the first is b.mp4 of ")
    assert listing.notes[1].endswith("line 3")


def test_several_labels_are_actions(tmp_path: Path) -> None:
    root = tree(tmp_path / "raw", "a.mp4", "b.mp4", "c.mp4")
    tables = {
        "rows.csv": "path,label\na.mp4,jump\na.mp4,run\nb.mp4,run\nc.mp4,",
        "cells.csv": "path;labels\na.mp4;jump|run\nb.mp4;run\nc.mp4;",
        "rows.json": json.dumps(
            [{"path": "a.mp4", "label": ["jump", "run"]}, {"path": "b.mp4", "label": "run"}, {"path": "c.mp4"}]
        ),
    }
    for name, text in tables.items():
        options = table(root, text, name) | {"label_separator": "|" if name == "cells.csv" else ""}
        out = tmp_path / f"out-{name}"
        convert(Job(VideosConverter, root, str(out), VideosOptions(name="x", **options)))
        found = {s.key: s.actions for s in pvit_data.open(out)}
        assert [found["x-a"].class_id.tolist(), found["x-b"].class_id.tolist(), found["x-c"]] == [[0, 1], [1], None]
    rows = pa.table({"path": ["a.mp4", "b.mp4"], "label": [["jump", "run"], ["run"]], "start": [None, 0.05]})
    pq.write_table(rows, root / "t.parquet")
    assert listed(root, table=root / "t.parquet") == {"x-a": ("", ["jump", "run"]), "x-b-s50": ("", ["run"])}


def test_keys_come_from_paths_only(tmp_path: Path) -> None:
    long = "a" * 120
    root = tree(
        tmp_path, "Ä b/É 1.mp4", "ä b/é-1.mov", f"c/{long}.mp4", "val2017/c/z.mp4", "动作/视频.mp4", "动/作.mp4"
    )
    keys = set(listed(root, layout="splits"))
    plain = {key for key in keys if key[-9:-8] != "-"}
    assert plain == {"x-c-z"}
    assert {key[:-9] for key in keys - plain} == {"x-a-b-e-1", f"x-c-{'a' * 67}", "x"}
    assert len(keys) == 6
    assert max(map(len, keys)) == 80
    first = listed(tree(tmp_path / "n", "v/a.mp4"), **table(tmp_path / "n", "path,label\nv/a.mp4,wave\n"))
    second = listed(tmp_path / "n", **table(tmp_path / "n", "path,label\nv/a.mp4,jump\n"))
    assert first.keys() == second.keys() == {"x-v-a"}


def test_only_what_the_user_named_is_read(tmp_path: Path) -> None:
    secret = tree(tmp_path / "secret", "s.mp4") / "s.mp4"
    root = tree(tmp_path / "raw", "a/good.mp4")
    (root / "a/link.mp4").symlink_to(secret)
    lines = f"path,label\na/good.mp4,a\n../secret/s.mp4,a\n{secret},a\na/link.mp4,a\nhttp,a\n"
    options = VideosOptions(name="x", **table(root, lines))
    report = convert(Job(VideosConverter, root, str(tmp_path / "out"), options, max_failed=0.9))
    assert (report.converted, report.failed) == (1, {"outside-root": 1})
    assert report.absent == {"path outside of ROOT and the folder of the table": 2, "file not present": 1}
    report = convert(Job(VideosConverter, root, str(tmp_path / "out2"), options, follow_links=True))
    assert (report.converted, report.num_failed) == (2, 0)
    with pytest.raises(UsageError, match=r"none of the 1 listed files is in it; .* give the folder above it as ROOT"):
        listed(root, **table(root, f"path\n{secret}\n"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x80\x04\x95junk", "neither Parquet nor text"),
        (b"path,label\0", "neither Parquet nor text"),
        (b"PAR1 and nothing else", "is not a Parquet file"),
        (b"", "is empty"),
        (b"path,label\n" + b"a" * 70_000, "line 2: is longer than"),
        (b'[{"path": "a.mp4", "label": ' + b"[" * 5000 + b"]" * 5000 + b"}]", "cannot be read as JSON"),
        (b"[1, 2]", "expected a list of objects"),
        (b"who,what\nanna,jump\n", "names no column such as path"),
        (b'path,label\n"a.mp4,jump\n', "names no clip|no row of a table|has 1 cells"),
        (b"path,start\na.mp4,soon\n", "line 2: start is 'soon', expected seconds, or h:m:s"),
        (b"path,start,end\na.mp4,2,1\n", "line 2: the clip ends at 1, and starts at 2"),
        (b"path,label\nhttps://a/b.mp4,1\n", "line 2: path is 'https://a/b.mp4', expected that of a file"),
        (
            b"path,split\na.mp4,train\na.mp4,val\n",
            "line 3: split is 'val', and 'train' in .*line 2, which is the same clip",
        ),
    ],
)
def test_tables_that_are_none(data: bytes, said: str, tmp_path: Path) -> None:
    root = tree(tmp_path, "a.mp4")
    (root / "t").write_bytes(data)
    with pytest.raises(UsageError, match=said) as error:
        listed(root, table=root / "t")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [{"table": "gone.csv"}, {"classes": "gone.txt"}, {"classes": "bad.json"}])
def test_files_of_options_that_cannot_be_read(given: dict[str, str], tmp_path: Path) -> None:
    root = tree(tmp_path, "jump/a.mp4")
    (root / "bad.json").write_text("[")
    with pytest.raises(UsageError, match=r"gone.*no such file|bad.json: cannot be read as JSON"):
        listed(root, **{name: root / file for name, file in given.items()})


def test_pictures_among_videos_are_counted(tmp_path: Path) -> None:
    root = tree(tmp_path, "jump/a.mp4", "run/b.mp4")
    assert not any("picture" in note for note in notes_of(root))
    Image.new("RGB", (32, 24)).save(root / "run/photo.jpg")
    assert "1 picture among the videos: converted as stills, clips of one frame" in notes_of(root)
    for name in ("jump/a.mp4", "run/b.mp4"):
        (root / name).unlink()
    assert not any("picture" in note for note in notes_of(root)), "a set of pictures"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tree(tmp_path / "raw", *(f"{c}/{n}.mp4" for c in ("jump", "run") for n in range(6)))
    (root / "run/broken.mp4").write_bytes(VIDEO[: len(VIDEO) // 2])
    (root / "run/notes.txt").write_text("x")
    (root / "run/old.wmv").write_bytes(b"x")
    out = str(tmp_path / "out")
    assert main(["convert", "videos", str(root), out]) == 2
    assert "--name is missing" in capsys.readouterr().err
    assert main(["convert", "videos", str(root), out, "--name", "My Set"]) == 2
    assert "--name My Set: expected" in capsys.readouterr().err
    assert main(["convert", "videos", str(root), out, "--name", "moves", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == {"train": 11, "val": 2}
    few = tree(tmp_path / "few", "run/a.mp4")
    (few / "run/broken.mp4").write_bytes(VIDEO[: len(VIDEO) // 2])
    assert main(["convert", "videos", str(few), out, "--name", "few", "--dry-run"]) == 0
    assert "note: more than 10% of them failed" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert main(["convert", "videos", str(root), out, "--name", "moves", "--max-failed", "20", "--holdout", "50"]) == 0
    said = capsys.readouterr().out
    assert "moves: 12 samples converted" in said
    assert "failed: 1 x corrupt-video" in said
    assert "1 x .wmv is left out: it is not read" in said
    assert "--append converts groups that are added" in said
    assert main(["validate", out]) == 0
    capsys.readouterr()
    assert main(["convert", "videos", str(root), out, "--name", "moves"]) == 2
    assert "holdout: 50.0 there, 20.0 now" in capsys.readouterr().err
    assert main(["convert", "videos", str(root), out, "--name", "others", "--max-failed", "20"]) == 0
    assert set(np.unique(pvit_data.open(out).column("source"))) == {"moves", "others"}


def test_damaged_bytes_cost_one_clip(tmp_path: Path) -> None:
    root = tree(tmp_path / "raw", *(f"jump/{n}.mp4" for n in range(4)), "run/good.mp4")
    for n in range(4):
        (root / f"jump/{n}.mp4").write_bytes(flipped(VIDEO, 30, n))
    report = convert(Job(VideosConverter, root, str(tmp_path / "out"), VideosOptions(name="x"), max_failed=1.0))
    assert report.converted + report.num_failed == 5
    assert set(report.failed) <= {"corrupt-video"}
