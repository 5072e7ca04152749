"""Random damage: never a crash, never a wrong sample, and every undamaged sample still delivered."""

import copy
import os
import random
import shutil
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_data.errors import CorruptShardError, FormatError, PvitError, UsageError
from pvit_data.sample.sample import Sample
from tests.pvit_data.samples import SPACES, full_sample

TRIALS = 2000 if os.environ.get("PVIT_TORTURE") else 20  # of each kind of damage
pytestmark = pytest.mark.torture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("damage")
    with pvit_data.ShardWriter(out, "mine", "train", spaces=SPACES) as writer:
        for seed in range(4):
            writer.write(full_sample(seed))
    return out


def same(a: Sample, b: Sample) -> bool:
    arrays = ("rgb", "depth", "normal", "segm", "pose3d", "pose3d_valid", "pose2d")
    equal = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)
    assert a.boxes is not None
    assert b.boxes is not None
    return equal and np.array_equal(a.boxes.xyxy, b.boxes.xyxy) and (a.meta, a.action) == (b.meta, b.action)


def damaged(data: bytes, kind: str, rng: random.Random, headers: list[int] | None = None) -> bytes:
    changed = bytearray(data)
    if kind == "cut":
        return data[: rng.randrange(len(data))]
    if kind == "header":
        changed[rng.choice(headers or [0]) + rng.randrange(512)] ^= 1 << rng.randrange(8)
        return bytes(changed)
    for _ in range(64 if kind == "bytes" else 1):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("kind", ["bit", "bytes", "cut", "header"])
def test_r4_damaged_shard(folder: Path, tmp_path: Path, kind: str) -> None:
    """With the index, damage costs exactly the samples whose contents it changes, and each of them is counted."""
    truth = {s.key: s for s in pvit_data.open(folder)}
    shutil.copytree(folder, tmp_path / "d")
    shard = tmp_path / "d/mine/train-00000.tar"
    whole = shard.read_bytes()
    rng, slowest = random.Random(kind), 0.0
    with tarfile.open(shard) as archive:
        members = archive.getmembers()
    for _ in range(TRIALS):
        changed = damaged(whole, kind, rng, [member.offset for member in members])
        hit = {m.name.partition(".")[0] for m in members if contents(m, changed) != contents(m, whole)}
        shard.write_bytes(changed)
        begun = time.monotonic()
        dataset = pvit_data.open(tmp_path / "d", on_corrupt="skip")
        found = {s.key: s for s in dataset}
        slowest = max(slowest, time.monotonic() - begun)
        assert set(dataset.skipped) == hit
        assert set(found) == set(truth) - hit
        assert all(same(sample, truth[key]) for key, sample in found.items())
    assert slowest < 5


def contents(member: tarfile.TarInfo, archive: bytes) -> bytes:
    return archive[member.offset_data : member.offset_data + member.size]


@pytest.mark.parametrize("name", ["mine/index/train.parquet", "manifest.json"])
@pytest.mark.parametrize("kind", ["bit", "cut"])
def test_damaged_index_or_manifest(folder: Path, tmp_path: Path, name: str, kind: str) -> None:
    """One of our own errors, before any sample is returned."""
    shutil.copytree(folder, tmp_path / "d")
    whole = (folder / name).read_bytes()
    rng = random.Random(name + kind)
    for _ in range(TRIALS // 4):
        changed = damaged(whole, kind, rng)
        if changed == whole:
            continue
        (tmp_path / "d" / name).write_bytes(changed)
        with pytest.raises(PvitError):
            pvit_data.open(tmp_path / "d")[0]


@pytest.mark.parametrize("kind", ["bit", "cut"])
def test_damaged_shard_without_index(folder: Path, tmp_path: Path, kind: str) -> None:
    """Without checksums damage may go unseen, but nothing other than our errors may come out."""
    whole = (folder / "mine/train-00000.tar").read_bytes()
    rng = random.Random(kind)
    for _ in range(TRIALS // 4):
        (tmp_path / "train-00000.tar").write_bytes(damaged(whole, kind, rng))
        dataset = pvit_data.open(tmp_path, on_corrupt="skip")
        assert len(list(dataset)) <= 4
    (tmp_path / "train-00000.tar").write_bytes(whole[:-1])
    with pytest.raises(FormatError, match="does not end"):
        list(pvit_data.open(tmp_path))


def test_undamaged_shard_without_index_streams(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "mine/train-00000.tar", tmp_path)
    stream = pvit_data.open(tmp_path)
    assert all(same(a, b) for a, b in zip(stream, pvit_data.open(folder), strict=True))
    for action in (
        lambda: stream[0],
        lambda: len(stream),
        lambda: stream.column("key"),
        lambda: stream.where("has_depth"),
        lambda: stream.sources,
    ):
        with pytest.raises(UsageError, match="no index, so it can only be iterated: run 'pvit-data index'"):
            action()
    assert not isinstance(stream, pvit_data.ShardDataset)
    assert not hasattr(stream, "select")
    assert [s.key for s in copy.deepcopy(stream)] == [s.key for s in stream]


def test_missing_shard_and_limit(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "d")
    shard = tmp_path / "d/mine/train-00000.tar"
    data = bytearray(shard.read_bytes())
    data[600:-600] = bytes(len(data) - 1200)
    shard.write_bytes(data)
    with pytest.raises(CorruptShardError, match=r"mine/train-00000\.tar: member .* of sample 'mine-000"):
        list(pvit_data.open(tmp_path / "d"))
    shard.unlink()
    with pytest.raises(PvitError, match=r"train-00000\.tar: no such file"):
        pvit_data.open(tmp_path / "d")[0]


def test_newer_major_version_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "d")
    manifest = tmp_path / "d/manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": "1.0"', '"version": "2.0"'))
    with pytest.raises(FormatError, match=r"format version 2\.0, this reader knows 1\.x: update"):
        pvit_data.open(tmp_path / "d")
