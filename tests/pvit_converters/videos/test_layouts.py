"""Sixty numbered clips of four classes in every accepted layout and table: the same keys, samples, labels, splits."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import pvit_data
from pvit_converters.engine.plan import Settings, select
from pvit_converters.engine.run import Job, convert
from pvit_converters.videos import VideosConverter, VideosOptions
from pvit_data.errors import UsageError
from pvit_data.format.receipts import read_source
from pvit_data.storage.storage import Storage
from tests.pvit_data.odd_videos import B_FRAMES, encode, numbers, picture

CLASSES = ("open jar", "pour", "turn left", "turn right")
COUNT = 60


def label_of(number: int) -> str:
    return CLASSES[number % 4]


def split_of(number: int) -> str:
    return ("train", "val", "test")[min(number // 4 % 5, 2)] if number // 4 % 5 < 3 else "train"


def name_of(number: int) -> str:
    return f"{label_of(number)}/clip {number:02}.mp4"


def key_of(number: int) -> str:
    return f"mine-{label_of(number).replace(' ', '-')}-clip-{number:02}"


def shown(number: int) -> list[int]:
    """What the frames of a clip show."""
    return [number // 10, number % 10, 11, 12]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class."""
    root = tmp_path_factory.mktemp("raw")
    for number in range(COUNT):
        path = root / name_of(number)
        path.parent.mkdir(exist_ok=True)
        pictures = [picture(n, 32, 32) for n in shown(number)]
        path.write_bytes(encode("mp4", "libx264", B_FRAMES, pictures))
    return root


def write_csv(path: Path, mark: str = ",", rows: int = COUNT) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, delimiter=mark)
        out.writerow(["path", "label", "split"])
        out.writerows([name_of(n), label_of(n), split_of(n)] for n in range(rows))


def objects() -> list[dict[str, str]]:
    return [{"path": name_of(n), "label": label_of(n), "split": split_of(n)} for n in range(COUNT)]


def write_lists(folder: Path, mark: str, label: Callable[[int], object], prefix: str = "") -> dict[str, Path]:
    """A list per split, as SlowFast and mmaction2 have them."""
    paths = {split: folder / f"{split}.csv" for split in ("train", "val", "test")}
    for split, path in paths.items():
        lines = [f"{prefix}{name_of(n)}{mark}{label(n)}\n" for n in range(COUNT) if split_of(n) == split]
        path.write_text("".join(lines))
    return paths


def in_folders(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    root = work / "split"
    for n in range(COUNT):
        path = root / {"train": "train", "val": "validation", "test": "test"}[split_of(n)] / name_of(n)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(raw / name_of(n))
    return root, {}


def in_csv(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    write_csv(work / "clips.csv")
    return raw, {"table": work / "clips.csv"}


def in_tsv(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    write_csv(work / "clips.tsv", "\t")
    return raw, {"table": work / "clips.tsv"}


def in_json(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    (work / "clips.json").write_text(json.dumps(objects()))
    return raw, {"table": work / "clips.json"}


def in_jsonl(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    (work / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in objects()))
    return raw, {"table": work / "clips.jsonl"}


def in_parquet(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    table = pa.Table.from_pylist([row | {"extra": 1} for row in objects()])
    table = table.set_column(1, "label", table["label"].dictionary_encode())
    pq.write_table(table, work / "clips.parquet")
    return raw, {"table": work / "clips.parquet"}


def in_named_columns(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    lines = [f"{label_of(n)};{split_of(n)};{raw / name_of(n)}" for n in range(COUNT)]
    (work / "clips.txt").write_text("what;part;where\n" + "\n".join(lines))
    columns = {"path_column": "where", "label_column": "what", "split_column": "Part"}
    return raw, {"table": work / "clips.txt", **columns}


def in_slowfast_lists(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    (work / "classes.txt").write_text("\n".join(CLASSES))
    lists = write_lists(work, " ", lambda n: n % 4, f"{raw}/")
    return raw, {**lists, "classes": work / "classes.txt"}


def in_mmaction2_lists(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    (work / "classes.json").write_text(json.dumps({name: number for number, name in enumerate(CLASSES)}))
    lists = write_lists(work, ",", lambda n: n % 4)
    return raw, {**lists, "classes": work / "classes.json", "separator": ","}


def in_lists_of_names(raw: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    (work / "classInd.txt").write_text("\n".join(f"{n} {name}" for n, name in enumerate(CLASSES, 1)))
    return raw, {**write_lists(work, "\t", label_of), "classes": work / "classInd.txt"}


LAYOUTS = [
    in_folders,
    in_csv,
    in_tsv,
    in_json,
    in_jsonl,
    in_parquet,
    in_named_columns,
    in_slowfast_lists,
    in_mmaction2_lists,
    in_lists_of_names,
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_says_the_same(layout: Callable[..., Any], raw: Path, tmp_path: Path) -> None:
    root, options = layout(raw, tmp_path)
    converter = VideosConverter(root, VideosOptions(name="mine", **options))
    items = {item.key: item for item in converter.list_items().items}
    assert items.keys() == {key_of(n) for n in range(COUNT)}
    assert converter.spaces()["action"].classes == CLASSES
    assert converter.spaces()["action"].pairs == ((2, 3),)
    assert converter.list_items().absent == {}
    for n in range(COUNT):
        assert items[key_of(n)].split == split_of(n)
        assert items[key_of(n)].ref["ids"] == [n % 4]
    for n in range(0, COUNT, 13):
        sample = converter.load(items[key_of(n)])
        assert isinstance(sample.rgb, pvit_data.EncodedMedia)
        assert sample.rgb.data == (raw / name_of(n)).read_bytes(), "copied, not encoded anew"
        assert sample.action == n % 4
        assert sample.meta["labels"] in ([label_of(n)], [str(n % 4)])


@pytest.mark.parametrize("layout", [in_csv, in_slowfast_lists])
def test_the_shards_hold_what_the_clips_show(layout: Callable[..., Any], raw: Path, tmp_path: Path) -> None:
    root, options = layout(raw, tmp_path)
    job = Job(VideosConverter, root, str(tmp_path / "out"), VideosOptions(name="mine", licence="CC0-1.0", **options))
    report = convert(job)
    assert (report.source, report.converted, report.num_failed) == ("mine", COUNT, 0)
    dataset = pvit_data.open(tmp_path / "out", source="mine")
    assert len(dataset) == COUNT
    for sample in dataset:
        n = int(sample.key[-2:])
        assert (sample.key, sample.split, sample.action) == (key_of(n), split_of(n), n % 4)
        assert numbers(np.asarray(sample.rgb)) == shown(n)
        assert (sample.group, sample.licence) == (name_of(n), "CC0-1.0")
    spec = read_source(Storage(tmp_path / "out"), "mine")
    assert (spec.role, spec.converter, spec.licence, spec.redistributable) == ("downstream", "videos", "CC0-1.0", False)


@pytest.mark.parametrize(("licence", "may", "told"), [("", True, 1), ("", False, 0), ("CC0-1.0", True, 0)])
def test_what_may_be_passed_on_without_a_licence_is_told(raw: Path, licence: str, may: bool, told: int) -> None:
    options = VideosOptions(name="mine", licence=licence, redistributable=may)
    notes = VideosConverter(raw, options).list_items().notes
    assert sum("--redistributable without --licence" in note for note in notes) == told


def test_without_splits_every_class_is_held_out_from(raw: Path) -> None:
    listing = VideosConverter(raw, VideosOptions(name="mine")).list_items()
    assert {item.split for item in listing.items} == {""}
    chosen = select(listing, Settings(holdout=20))
    held = Counter(item.ref["labels"][0] for item in chosen if item.split == "val")
    assert held == dict.fromkeys(CLASSES, 3), "3 of 15"
    assert all(item.split == "train" for item in select(listing, Settings(holdout=0)))


def test_groups_stay_together(raw: Path, tmp_path: Path) -> None:
    """Two people per class appear in several clips each; nobody is in both splits."""
    lines = [f"{name_of(n)},{label_of(n)},person {n // 4 % 3}" for n in range(COUNT)]
    (tmp_path / "clips.csv").write_text("path,label,group\n" + "\n".join(lines))
    converter = VideosConverter(raw, VideosOptions(name="mine", table=tmp_path / "clips.csv"))
    splits: dict[str, set[str]] = {}
    for item in select(converter.list_items(), Settings(holdout=20)):
        splits.setdefault(item.group, set()).add(item.split)
    assert splits.keys() == {"person 0", "person 1", "person 2"}
    assert sorted(map(tuple, splits.values())) == [("train",), ("train",), ("val",)]


def test_stills(tmp_path: Path) -> None:
    for number, name in enumerate(("cat/a.jpg", "cat/b.png", "dog/c.JPEG")):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path, "PNG" if name.endswith("png") else "JPEG")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(picture(3)).save(tmp_path / "raw/dog/phone.jpg", exif=turned)
    convert(Job(VideosConverter, tmp_path / "raw", str(tmp_path / "out"), VideosOptions(name="pets")))
    found = {s.key: s for s in pvit_data.open(tmp_path / "out")}
    assert [found[f"pets-{k}"].action for k in ("cat-a", "cat-b", "dog-c", "dog-phone")] == [0, 0, 1, 1]
    assert [numbers(np.asarray(found[f"pets-{k}"].rgb)) for k in ("cat-a", "cat-b", "dog-c")] == [[0], [1], [2]]
    assert (found["pets-dog-phone"].height, found["pets-dog-phone"].width) == (96, 64), "shown upright"


def test_resume_append_and_a_corrected_table(raw: Path, tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    write_csv(table, rows=40)

    def run(**more: Any) -> Any:
        return convert(
            Job(VideosConverter, raw, str(tmp_path / "out"), VideosOptions(name="mine", table=table), **more)
        )

    assert run().converted == 40
    before = {p: p.read_bytes() for p in (tmp_path / "out/mine").glob("*.tar")}
    write_csv(table, rows=COUNT)
    report = run()
    assert report.converted == 40, "the plan stands until --append"
    more = COUNT - 40
    assert report.notes[0] == f"{more} new groups ({more} samples) in the raw data: --append converts them"
    assert "new group" not in (tmp_path / "out/mine/report.json").read_text(), "of what is there"
    for report in (run(append=True), run()):
        assert report.converted == COUNT
        assert not any("new group" in note for note in report.notes)
    assert all(p.read_bytes() == data for p, data in before.items()), "finished shards stay"


def test_a_new_class_is_not_appended(raw: Path, tmp_path: Path) -> None:
    """Class ids are the places of sorted names: a new one would change what finished shards mean."""
    table = tmp_path / "clips.csv"
    table.write_text(f"path,label\n{name_of(0)},b\n{name_of(1)},c\n")
    options = VideosOptions(name="mine", table=table)
    convert(Job(VideosConverter, raw, str(tmp_path / "out"), options))
    before = sorted((p, p.read_bytes()) for p in (tmp_path / "out").rglob("*") if p.is_file())
    table.write_text(f"path,label\n{name_of(0)},b\n{name_of(1)},c\n{name_of(2)},a\n")
    for append in (False, True):
        with pytest.raises(UsageError, match=r"the classes are not those .* \(\['a'\] is new\).*--overwrite"):
            convert(Job(VideosConverter, raw, str(tmp_path / "out"), options, append=append))
    assert sorted((p, p.read_bytes()) for p in (tmp_path / "out").rglob("*") if p.is_file()) == before
    report = convert(Job(VideosConverter, raw, str(tmp_path / "out"), options, overwrite=True))
    assert report.converted == 3
