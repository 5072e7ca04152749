"""Random faults in shards, index and manifest: each is harmless, or reported with its file and the samples it hits.

A small number in `make test`, the full one in `make torture` (PVIT_TORTURE=1).
"""

import os
import random
import shutil
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

import pvit_data
from pvit_data.errors import PvitError
from pvit_data.validate import validate
from tests.pvit_data.reading.test_damage import same
from tests.pvit_data.samples import SPACES, bare_sample, full_sample

FAULTS = 500 if os.environ.get("PVIT_TORTURE") else 24


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
