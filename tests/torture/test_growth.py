"""Many samples in a shard, and many shards: written, finished, opened, resumed, appended to and validated.

Small numbers in `make test`; 30,000 samples and 100,000 shards in `make torture` (PVIT_TORTURE=1).
"""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from benchmarks.scale.data import small_shards
from pvit_converters.engine.finishing import finish_dataset
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_data.format import receipts
from pvit_data.format.manifest import read_manifest
from pvit_data.format.names import PER_FOLDER
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.writing import finish

FULL = bool(os.environ.get("PVIT_TORTURE"))
SAMPLES = 30_000 if FULL else 900
SHARDS = 100_000 if FULL else 150
FIRST = 0 if FULL else PER_FOLDER - 75  # a small number of shards lies in two folders, too


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "pvit_converters/toys"))
    import toy_converter

    return toy_converter


@pytest.fixture(autouse=True)
def _as_narrow_as_the_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """What 30,000 samples are to 16 MiB of JSON, and 100,000 shards to it, small ones are to less."""
    if not FULL:
        monkeypatch.setattr(receipts, "MAX_RECEIPT_BYTES", 1 << 17)
        monkeypatch.setattr(finish, "MAX_INLINE", 100)
        monkeypatch.setattr(finish, "MAX_INLINE_ALL", 100)


def entries(folder: Path) -> int:
    """Of the fullest folder."""
    return max(Counter(path.parent for path in folder.rglob("*")).values())


def test_a_shard_of_many_small_samples(tmp_path: Path) -> None:
    def written(first: int, count: int) -> None:
        with pvit_data.ShardWriter(tmp_path, "mine") as writer:
            for number in range(first, first + count):
                meta = {"text": f"{number:06d}" * 100}
                writer.write(Sample(key=f"k{number:06d}", num_frames=1, action=1.0, meta=meta))

    written(0, SAMPLES)
    (shard,) = read_manifest(Storage(tmp_path)).sources["mine"].splits["train"].shards
    assert shard.samples == SAMPLES
    assert 1800 < shard.bytes / SAMPLES < 2200
    written(SAMPLES, 10)
    dataset = pvit_data.open(tmp_path)
    assert len(dataset) == SAMPLES + 10
    assert dataset[SAMPLES - 1].key == f"k{SAMPLES - 1:06d}"
    assert validate(tmp_path).problems == []


def test_a_conversion_of_many_small_samples(toy: Any, tmp_path: Path) -> None:
    settings = Settings(shard_bytes=10**9, holdout=0)

    def run(groups: int, **options: Any) -> Any:
        return convert(
            Job(toy.ToyConverter, Path("."), str(tmp_path), toy.ToyOptions(groups=groups), settings, 1, **options)
        )

    assert run(SAMPLES // 3).converted == SAMPLES
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.tar")}
    assert len(before) == 1
    assert run(SAMPLES // 3).complete
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.tar")} == before
    assert run(SAMPLES // 3 + 2, append=True).converted == SAMPLES + 6
    (report,) = finish_dataset(str(tmp_path))
    assert report.converted == len(pvit_data.open(tmp_path)) == SAMPLES + 6
    assert validate(tmp_path).problems == []


def most_memory() -> int:
    """Bytes that this process had at most since `forget_memory`: other tests ran in it before."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


def forget_memory() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def test_a_data_set_of_many_shards(tmp_path: Path) -> None:
    forget_memory()
    small_shards(tmp_path, range(FIRST, FIRST + SHARDS))
    manifest = finish.write_manifest(tmp_path)
    info = manifest.sources["a"].splits["train"]
    assert (manifest.version, info.shards, info.samples, info.last) == ("1.1", [], SHARDS, FIRST + SHARDS - 1)
    assert (tmp_path / "manifest.json").stat().st_size < 4000
    assert entries(tmp_path) <= 10_000
    dataset = pvit_data.open(tmp_path)
    assert [dataset[n].key for n in (0, SHARDS - 1)] == [f"a-{FIRST:09d}", f"a-{FIRST + SHARDS - 1:09d}"]
    with pvit_data.ShardWriter(tmp_path, manifest.sources["a"].spec) as writer:
        writer.write(Sample(key="one-more", num_frames=1, action=1.0))
    assert pvit_data.open(tmp_path).column("key")[-1] == "one-more"
    report = validate(tmp_path)
    assert (report.problems, report.shards) == ([], SHARDS + 1)
    assert most_memory() < 3e9


def test_a_conversion_of_many_shards(toy: Any, tmp_path: Path) -> None:
    """Continued when half of it is there, and appended to; a tenth of the shards, which are made in full."""
    shards = SHARDS // 10
    settings = Settings(shard_bytes=1, holdout=0)

    def run(groups: int, **options: Any) -> Any:
        toy_options = toy.ToyOptions(groups=groups, per_group=1)
        return convert(Job(toy.ToyConverter, Path("."), str(tmp_path), toy_options, settings, 1, **options))

    assert not run(shards, num_tasks=2, task_index=0).complete
    assert run(shards).complete
    assert run(shards + 1, append=True).planned_shards == shards + 1
    (report,) = finish_dataset(str(tmp_path))
    assert report.shards == len(pvit_data.open(tmp_path)) == shards + 1
    assert entries(tmp_path) <= 10_000
    assert validate(tmp_path).problems == []
