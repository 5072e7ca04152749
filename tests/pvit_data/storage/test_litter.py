"""Litter in a dataset, and beside receipts, stops nothing: it is read, checked, continued and finished as without."""

import shutil
from pathlib import Path

import pytest

import pvit_data
from pvit_data.looking.stats import collect
from pvit_data.reading.foreign.index import index_foreign
from pvit_data.storage.files import is_litter
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.writing.finish import write_manifest
from tests.litter import LITTER, scatter
from tests.pvit_data.samples import SPACES, full_sample


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset with litter in every folder, called like the files beside it."""
    out = tmp_path / "data"
    with pvit_data.ShardWriter(out, "mine", spaces=SPACES, licence="CC0-1.0") as writer:
        for i in range(3):
            writer.write(full_sample(i))
    scatter(out, copies=True)
    return out


@pytest.mark.parametrize("name", LITTER)
def test_names(name: str) -> None:
    assert is_litter(name)


@pytest.mark.parametrize("name", ["train-00000.tar", "manifest.json", ".nv-meta", "thumbs", "lost", "index"])
def test_no_litter(name: str) -> None:
    assert not is_litter(name)


def test_read_and_validated(folder: Path) -> None:
    assert [s.key for s in pvit_data.open(folder)] == ["mine-0000", "mine-0001", "mine-0002"]
    assert [p.kind for p in validate(folder, deep=True).problems] == []
    assert collect(pvit_data.open(folder)).samples == 3


def test_listed_and_finished_again(folder: Path) -> None:
    storage = Storage(folder)
    assert storage.list("*/receipts/*.json") == ["mine/receipts/source.json", "mine/receipts/train-00000.json"]
    assert storage.list("*/*.tar") == ["mine/train-00000.tar"]
    before = {p: p.read_bytes() for p in (folder / "manifest.json", folder / "mine/index/train.parquet")}
    for path in before:
        path.unlink()
    write_manifest(folder)
    assert {p: p.read_bytes() for p in before} == before


def test_appended_to(folder: Path) -> None:
    with pvit_data.ShardWriter(folder, "mine", spaces=SPACES, licence="CC0-1.0") as writer:
        writer.write(full_sample(3))
    assert len(pvit_data.open(folder)) == 4


def test_foreign_tars(folder: Path) -> None:
    """As another tool leaves tars: no manifest, no receipts."""
    (folder / "manifest.json").unlink()
    shutil.rmtree(folder / "mine/receipts")
    assert [s.key for s in pvit_data.open(folder)] == ["mine-0000", "mine-0001", "mine-0002"], "as a stream"
    assert index_foreign(folder).shards == 1
    assert len(pvit_data.open(folder)) == 3
    assert [p.kind for p in validate(folder).problems] == []
