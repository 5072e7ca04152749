"""Layers over indexed tars of somebody else: made by the engine, by the writer and by `split`, joined to what they are
over; the tars and their index stay as they are."""

import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

import pvit_data
from pvit_cli.data import main
from pvit_converters.engine.run import Job, convert
from pvit_data import Sample, ShardWriter
from pvit_data.errors import FormatError, SourceError, UsageError
from pvit_data.reading.foreign.index import index_foreign
from pvit_data.validate import validate

TOYS = Path(__file__).parents[1] / "toys"
KEYS = ["Cat No 1", "cat-2", "dog-3", "dog-4", "owl-5", "owl-6"]  # the first is no key of ours


def grey(number: int) -> int:
    return 20 + 30 * number


def jpg(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (12, 8), (value, value, value)).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name, numbers in (("train-b", (2, 3)), ("train-a", (0, 1)), ("val-0", (4, 5))):
        with webdataset.TarWriter(str(folder / f"{name}.tar")) as writer:
            for i in numbers:
                writer.write({"__key__": KEYS[i], "jpg": jpg(grey(i)), "cls": i // 2})
    index_foreign(folder)
    return folder


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TOYS))
    import toy_layers

    return toy_layers


def sums(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def job(toys: Any, root: Path, out: Path) -> Job:
    return Job(toys.Bright, root, str(out), toys.BrightOptions(), workers=1)


def source_of(folder: Path) -> str:
    (name,) = pvit_data.open(folder).sources
    return name


def depths(folder: Path, layer: str) -> dict[str, float]:
    ds = pvit_data.open(folder, source=source_of(folder), layers=[layer])
    return {s.key: float(s.depth[0, 0, 0]) for s in ds if s.depth is not None}


def test_a_layer_by_the_engine(foreign: Path, toys: Any, tmp_path: Path) -> None:
    before = sums(foreign)
    out = tmp_path / "mine"
    convert(job(toys, foreign, out))
    plain = pvit_data.open(foreign).keys().to_pylist()
    assert plain[0].startswith("cat_no_1-")
    assert plain[1:4] == ["cat-2", "dog-3", "dog-4"]
    assert depths(foreign, f"{out}#bright") == {key: grey(i) for i, key in enumerate(plain)}
    names = sorted(path.name for path in out.rglob("*.tar"))
    assert names == ["train-00000.tar", "train-00001.tar", "val-00000.tar"]  # one per tar of theirs
    assert sums(foreign) == before
    assert validate(str(out), base=str(foreign)).problems == []
    held_out = pvit_data.open(foreign, source_of(foreign), "val", layers=[f"{out}#bright"])
    assert [float(s.depth[0, 0, 0]) for s in held_out] == [grey(4), grey(5)]  # type: ignore[index]


def test_a_base_that_was_changed_is_noticed(foreign: Path, toys: Any, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    convert(job(toys, foreign, out))
    with webdataset.TarWriter(str(foreign / "train-b.tar")) as writer:
        writer.write({"__key__": KEYS[2], "jpg": jpg(7), "cls": 1})
    index_foreign(foreign)
    with pytest.raises((SourceError, UsageError), match=r"train-00001 of the base"):
        convert(job(toys, foreign, out))


def test_a_layer_by_the_writer(foreign: Path, tmp_path: Path) -> None:
    out, source = tmp_path / "mine", source_of(foreign)
    with ShardWriter(out, "near", base=f"{foreign}#{source}") as writer:
        writer.write(Sample(key="owl-6", depth=np.full((1, 8, 12), 3, np.float32)))
        writer.write(Sample(key="dog-3", depth=np.full((1, 8, 12), 2, np.float32)))
        with pytest.raises(FormatError, match="sample 'cow-9' is not in"):
            writer.write(Sample(key="cow-9", depth=np.ones((1, 8, 12), np.float32)))
    assert depths(foreign, f"{out}#near") == {"dog-3": 2, "owl-6": 3}


def test_protocols_by_split(foreign: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    told = ["--name", "few", "--per-class", "1", "--of", "train,val", "--out", str(out)]
    assert main(["split", str(foreign), *told]) == 0
    few = pvit_data.open(out, source="few", base=foreign)
    assert Counter((s.split, s.action) for s in few) == {(split, k): 1 for split in ("train", "test") for k in range(3)}
    for name, keys in (("train", KEYS[4:]), ("val", KEYS[:1])):
        (tmp_path / name).write_text("\n".join(keys))
    told = ["--name", "told", "--train", str(tmp_path / "train"), "--val", str(tmp_path / "val"), "--out", str(out)]
    assert main(["split", str(foreign), *told]) == 0
    told_ones = pvit_data.open(out, source="told", base=foreign)
    assert [s.key[:7] for s in told_ones] == ["owl-5", "owl-6", "cat_no_"]


def test_what_is_no_base(foreign: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no source 'theirz' to make a layer over: it has"):
        ShardWriter(tmp_path / "x", "near", base=f"{foreign}#theirz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"has no manifest\.json and no webdataset\.parquet, so it is no base"):
        ShardWriter(tmp_path / "x", "near", base=f"{tmp_path / 'empty'}#a")
