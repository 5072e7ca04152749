"""Random faults in shards, index and manifest: each is harmless, or reported with its file and the samples it hits.

A small number in `make test`, the full one in `make torture` (PVIT_TORTURE=1).
"""

import os
import random
import shutil
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import pvit_data
from pvit_data.errors import PvitError
from pvit_data.validate import validate
from tests.pvit_data.reading import test_layers as layered
from tests.pvit_data.reading.test_damage import contents, damaged, same
from tests.pvit_data.samples import SPACES, bare_sample, full_sample

FAULTS = 500 if os.environ.get("PVIT_TORTURE") else 24
DAMAGES = 2000 if os.environ.get("PVIT_TORTURE") else 6  # of each kind, in shards of layers and their base


class Fault(NamedTuple):
    """A file with one byte changed, or cut off."""

    file: str
    position: int
    mask: int  # 0 = cut off here

    def apply(self, data: bytes) -> bytes:
        if not self.mask:
            return data[: self.position]
        return data[: self.position] + bytes([data[self.position] ^ self.mask]) + data[self.position + 1 :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("faults") / "data"
    small = {"segm": None, "normal": None, "depth": None, "frames": {}}
    for source, split, seeds in (("one", "train", (0, 2)), ("one", "val", (4,)), ("two", "train", (6, 7))):
        with pvit_data.ShardWriter(out, source, split, spaces=SPACES) as writer:
            for seed in seeds:
                writer.write(full_sample(seed, **(small if source == "two" else {})))
            writer.write(bare_sample(max(seeds) + 10))
    with pvit_data.ShardWriter(out, "later", base="two") as writer:
        for key in ("mine-0006", "mine-0017"):
            writer.write(pvit_data.Sample(key=key, depth=np.full((6, 46, 60), 2, np.float32)))
    with pvit_data.ShardWriter(out, "few", "test", base="one", kind="protocol", spaces=SPACES) as writer:
        writer.write(pvit_data.Sample(key="mine-0012", action=3, meta={"by": "them"}))
    assert validate(out, deep=True).counts == {}
    return out


def places(shard: Path) -> list[tuple[str, int, int]]:
    """Key, first byte and end of each member's contents, as Python's tarfile sees them."""
    with tarfile.open(shard) as archive:
        return [(m.name.partition(".")[0], m.offset_data, m.offset_data + m.size) for m in archive]


def test_random_faults(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    shutil.copytree(folder, out)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.tar"))
    tables = [*sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.parquet")), "manifest.json"]
    truth = {s.key: s for s in pvit_data.open(folder)}
    members = {name: places(folder / name) for name in files}
    rng = random.Random(1)
    for number in range(FAULTS):
        name = rng.choice(files if number % 2 else tables)
        whole = (folder / name).read_bytes()
        fault = Fault(name, rng.randrange(len(whole)), 0 if number % 5 == 0 else rng.randrange(1, 256))
        (out / name).write_bytes(fault.apply(whole))
        report = validate(out, deep=number % 4 == 0)
        told = name.replace("/rows/", "/").replace(".parquet", ".json") if "/rows/" in name else name
        found = [problem for problem in report.problems if problem.file in (name, told)]
        assert found, f"{fault} is not reported"
        assert not report.ok
        hit = {
            key
            for key, start, end in members.get(name, ())
            if (start <= fault.position < end if fault.mask else fault.position < end)
        }
        damaged = {problem.key for problem in report.of_kind("member-damaged")}
        assert damaged == hit, f"{fault} hits {hit}, reported as damaged are {damaged}"
        assert_never_wrong(out, truth)
        (out / name).write_bytes(whole)
    assert validate(out).counts == {}


def assert_never_wrong(out: Path, truth: dict[str, pvit_data.Sample]) -> None:
    """What the reader still returns is right."""
    try:
        dataset = pvit_data.open(out, on_corrupt="skip")
        found = {sample.key: sample for sample in dataset}
    except PvitError:
        return
    for key, sample in found.items():
        if sample.boxes is not None:
            assert same(sample, truth[key])
        else:
            assert (sample.rgb == truth[key].rgb).all()
    assert set(found) | set(dataset.skipped) == set(truth)


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with an annotation layer and a protocol."""
    out = tmp_path_factory.mktemp("layers") / "data"
    layered.write_base(out)
    layered.write_layer(out)
    layered.write_protocol(out)
    return out


VIEWS = {"clips": ("clips/", "layers/later/"), "few": ("clips/", "layers/later/", "layers/few/")}
"""What is opened with the annotation layer attached, and the shards that reading it takes bytes from."""


def view(out: Path, name: str) -> pvit_data.ShardDataset:
    return pvit_data.open(out, source=name, layers=["later"], on_corrupt="skip")


@pytest.mark.parametrize("kind", ["bit", "bytes", "cut", "header"])
def test_damaged_shards_of_layers_and_bases(over: Path, tmp_path: Path, kind: str) -> None:
    """A damage costs the samples whose contents it changes in any of the shards, each is counted, none is wrong."""
    out = tmp_path / "d"
    shutil.copytree(over, out)
    truth = {name: {s.key: s for s in view(over, name)} for name in VIEWS}
    shards = sorted(p.relative_to(over).as_posix() for p in over.rglob("*.tar"))
    whole = {name: (over / name).read_bytes() for name in shards}
    members = {}
    for name in shards:
        with tarfile.open(over / name) as archive:
            members[name] = archive.getmembers()
    rng = random.Random(kind)
    for number in range(DAMAGES):
        shard, name = rng.choice(shards), list(VIEWS)[number % 2]
        changed = damaged(whole[shard], kind, rng, [member.offset for member in members[shard]])
        hit = {m.name.partition(".")[0] for m in members[shard] if contents(m, changed) != contents(m, whole[shard])}
        (out / shard).write_bytes(changed)
        dataset = view(out, name)
        found = {sample.key: sample for sample in dataset}
        lost = hit & truth[name].keys() if shard.startswith(VIEWS[name]) else set()
        assert set(dataset.skipped) == lost
        assert set(found) == truth[name].keys() - lost
        for key, sample in found.items():
            layered.require_equal(sample, truth[name][key])
        (out / shard).write_bytes(whole[shard])


@pytest.mark.parametrize("kind", ["bit", "cut"])
def test_damaged_tables_of_layers(over: Path, tmp_path: Path, kind: str) -> None:
    """One of our own errors, or the right samples; what is not attached disturbs nobody."""
    out = tmp_path / "d"
    shutil.copytree(over, out)
    truth = {name: {s.key: s for s in view(over, name)} for name in VIEWS}
    tables = ["manifest.json", *sorted(p.relative_to(over).as_posix() for p in over.glob("layers/*/index/*.parquet"))]
    rng = random.Random(kind)
    for number in range(max(8, DAMAGES // 4)):
        table, name = tables[number % len(tables)], rng.choice(list(VIEWS))
        whole = (over / table).read_bytes()
        (out / table).write_bytes(damaged(whole, kind, rng))
        is_read = table == "manifest.json" or table.startswith(VIEWS[name])
        try:
            found = {sample.key: sample for sample in view(out, name)}
        except PvitError:
            assert is_read
        else:
            assert not is_read
            for key, sample in found.items():
                layered.require_equal(sample, truth[name][key])
            assert found.keys() == truth[name].keys()
        (out / table).write_bytes(whole)
