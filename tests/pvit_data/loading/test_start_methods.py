"""However worker processes begin, and wherever they find the index: the same batches; and little travels to them."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data.errors import StorageError, UsageError
from pvit_data.format.index import COLUMNS, MAPPED_ROWS, MappedIndex, encode_table, table_of
from pvit_data.format.manifest import FileInfo, Manifest, SplitInfo, read_manifest
from pvit_data.loading.build import EvaluationBatches, TrainingBatches
from pvit_data.storage.storage import Storage
from pvit_data.testing import assert_equal_batches

CLIP = pvit_data.ClipConfig(num_frames=4, size=(32, 32), flip=0.5)
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def changed(manifest: Manifest, source: str, **values: Any) -> Manifest:
    """A manifest that says otherwise about the training split of a source."""
    entry = manifest.sources[source]
    splits = {**entry.splits, "train": SplitInfo(**(entry.splits["train"].model_dump() | values))}
    sources = {**manifest.sources, source: entry.model_copy(update={"splits": splits})}
    return manifest.model_copy(update={"sources": sources}).sealed()


@pytest.fixture(scope="module")
def many(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted stills of which each has thousands of rows in an index large enough to be mapped."""
    folder = tmp_path_factory.mktemp("many") / "data"
    shutil.copytree(shards, folder)
    part: Any = pvit_data.open(folder, source="hypersim", split="train")._parts[0]
    rows = -(-MAPPED_ROWS // part.samples) * part.samples
    columns = {name: np.resize(part.column(name), rows).tolist() for name in COLUMNS}
    data = encode_table(table_of(columns))
    (folder / "hypersim/index/train.parquet").write_bytes(data)
    index = FileInfo(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    listed = [shard.model_copy(update={"bytes": rows << 10}) for shard in part.info.shards]
    manifest = changed(read_manifest(Storage(folder)), "hypersim", samples=rows, index=index, shards=listed)
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    return folder


def mixture(folder: Path) -> pvit_data.Mixture:
    stills = pvit_data.open(folder, source="hypersim", split="train", where="has_depth and frames == 1")
    clips = pvit_data.open(folder, source="ssv2", split="train")
    sources = [pvit_data.MixtureSource(clips), pvit_data.MixtureSource(stills, "auxiliary")]
    return pvit_data.Mixture(sources, 4, quotas={"depth": 1})


def test_batches_do_not_depend_on_how_workers_begin(many: Path) -> None:
    mixed = mixture(many)
    assert isinstance(mixed.sources[1].ds._parts[0].index, MappedIndex)  # type: ignore[attr-defined]
    truth = list(pvit_data.loader(mixed, num_steps=4, clip=CLIP))
    assert {source for batch in truth for source in batch.sources} == {"ssv2", "hypersim"}
    for start_method in ("fork", "spawn", "forkserver"):
        found = pvit_data.loader(mixed, 1, num_steps=4, clip=CLIP, start_method=start_method)  # type: ignore[arg-type]
        for batch, expected in zip(found, truth, strict=True):
            assert_equal_batches(batch, expected)


def test_held_out_clips_do_not_either(many: Path) -> None:
    ds = pvit_data.open(many, source="hypersim", split="train").select(range(0, 70_000, 9000))
    truth = list(pvit_data.eval_loader(ds, CLIP, 3, views=(1, 2)))
    assert [len(batch.keys) for batch in truth] == [2] * 8  # both views of each, in one batch
    spawned = pvit_data.eval_loader(ds, CLIP, 3, views=(1, 2), workers=1, start_method="spawn")
    for batch, expected in zip(spawned, truth, strict=True):
        assert_equal_batches(batch, expected)


def test_a_start_method_that_there_is_not(many: Path) -> None:
    with pytest.raises(UsageError, match="start_method 'thread': this system knows fork, spawn, forkserver; choose"):
        next(iter(pvit_data.loader(mixture(many), 1, clip=CLIP, start_method="thread")))  # type: ignore[arg-type]


def test_a_pickled_data_set_is_a_path_and_a_hash(many: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(many, folder)
    manifest = read_manifest(Storage(folder))
    (first,) = manifest.sources["hypersim"].splits["train"].shards
    listed = [first.model_copy(update={"name": f"hypersim/train-{i:05d}.tar"}) for i in range(1000)]
    (folder / "manifest.json").write_bytes(changed(manifest, "hypersim", samples=1_000_000, shards=listed).to_bytes())
    ds = pvit_data.open(folder, source="hypersim", split="train")
    assert len(ds) == 1_000_000
    sent = pickle.dumps(ds)
    assert len(sent) < 10_000
    other = pickle.loads(sent)
    assert other.digest_of("hypersim") == ds.digest_of("hypersim")
    assert other.sources == ds.sources


def test_what_a_worker_gets_does_not_grow_with_the_rows(many: Path) -> None:
    third = np.arange(MAPPED_ROWS) % 3 > 0
    ds = pvit_data.open(many, source="hypersim", split="train").select(np.flatnonzero(third))
    training = TrainingBatches(pvit_data.Mixture([pvit_data.MixtureSource(ds, "auxiliary")], 4), CLIP)
    held_out = EvaluationBatches(ds, CLIP, 4)
    held_out.build(0, str)
    assert max(len(pickle.dumps(training)), len(pickle.dumps(held_out))) < 10_000 + 2 * MAPPED_ROWS / 8


def test_a_data_set_that_is_replaced_before_a_worker_begins(many: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(many, folder)
    sent = pickle.dumps(pvit_data.open(folder, source="hypersim", split="train"))
    manifest = read_manifest(Storage(folder)).model_copy(update={"version": "1.0", "conventions": {}})
    (folder / "manifest.json").write_bytes(manifest.sealed().to_bytes())
    with pytest.raises(StorageError, match="was changed while it was read: open it again"):
        pickle.loads(sent)[0]


def test_every_selection_answers_as_its_columns_do(many: Path) -> None:
    """Numbers in any order, of several parts, selected again: by whole columns, by rows, by single values."""
    whole = pvit_data.open(many)
    rng = np.random.default_rng(0)
    names = ("key", "source", "split", "shard", "frames", "has_depth", "action", "rgb_offset")
    truth = {name: whole.column(name) for name in names}
    picks = [
        rng.integers(0, len(whole), 50),
        np.sort(rng.permutation(len(whole))[:60_000]),
        np.flatnonzero(truth["source"] == "ssv2"),
        rng.permutation(len(whole)),
        np.arange(len(whole)),
        np.zeros(0, int),
    ]
    for rows in picks:
        ds = whole.select(rows)
        few = rng.integers(0, max(1, len(rows)), min(9, len(rows)))
        again = ds.select(few)
        for name in names:
            assert ds.column(name).tolist() == truth[name][rows].tolist()
            assert again.column(name).tolist() == truth[name][rows][few].tolist()
            assert [ds.value(name, i) for i in few.tolist()] == truth[name][rows][few].tolist()
        for source in ("ssv2", "hypersim"):
            assert ds.of_source(source).tolist() == (truth["source"][rows] == source).tolist()
        for split in ("train", "val", "test"):
            mine = ds.in_split(split)
            found = [] if mine is None else mine.column("key").tolist()
            assert found == truth["key"][rows][truth["split"][rows] == split].tolist()
    assert whole.of_source("ssv2").sum() == (truth["source"] == "ssv2").sum()
    with pytest.raises(IndexError):
        whole.value("key", len(whole))
    assert len(list(itertools.islice(whole.where("source == 'hypersim'"), 2))) == 2
