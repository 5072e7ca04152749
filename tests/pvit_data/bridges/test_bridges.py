"""Bridges to other libraries give each sample once, and in it what `open` gives."""

import os
import pickle
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data.bridges.runs import Run, cut, runs_of
from pvit_data.codecs.video import encode_video
from pvit_data.errors import CorruptShardError, StorageError, UsageError
from pvit_data.reading.foreign.index import index_foreign
from pvit_data.sample.sample import Actions, Camera
from tests.pages import DOCS
from tests.pvit_data.range_server import serve
from tests.pvit_data.reading import test_layers as layers
from tests.pvit_data.samples import SPACES, bare_sample, full_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips in several shards and two splits, with a layer and a protocol."""
    folder = tmp_path_factory.mktemp("bridged")
    layers.write_base(folder)
    layers.write_layer(folder)
    layers.write_protocol(folder)
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples with every field, and with none."""
    folder = tmp_path_factory.mktemp("full")
    with pvit_data.ShardWriter(folder, "mine", spaces=SPACES, licence="CC0-1.0") as writer:
        for seed in range(4):
            writer.write(bare_sample(seed) if seed % 2 else full_sample(seed))
    return folder


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the other libraries' dependencies
        yield


VIEWS: list[dict[str, Any]] = [
    {"source": "clips"},
    {"source": "clips", "layers": ["later"]},
    {"source": "clips", "split": "val", "where": "frames >= 4"},
    {"source": "few"},
]


def as_columns(value: Any) -> Any:
    """Tables as dictionaries of their columns."""
    is_table = isinstance(value, pvit_data.Boxes | Actions | Camera)
    return {k: as_columns(v) for k, v in (vars(value) if is_table else value).items()} if is_table or isinstance(
        value, dict
    ) else value  # fmt: skip


def require_row(row: dict[str, Any], truth: pvit_data.Sample) -> None:
    """Every attribute of the sample is in the row, or the source never has it."""
    for name, expected in vars(truth).items():
        if name in ("spaces", "origins"):
            continue
        if name not in row:
            assert expected is None, name
        elif name == "fps":
            assert row[name] == np.float32(expected)
        else:
            np.testing.assert_equal(row[name], as_columns(expected), name)


def key_of(sample: pvit_data.Sample) -> str:
    return sample.key


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_webdataset_gives_the_samples_of_open(folder: Path, view: dict[str, Any]) -> None:
    truths = [*pvit_data.open(folder, **view)]
    found = [*pvit_data.as_webdataset(folder, **view, shuffle=0)]
    assert len(found) == len(truths) > 0
    for one, other in zip(found, truths, strict=True):
        layers.require_equal(one, other)
        assert (one.meta, one.spaces, one.split) == (other.meta, other.spaces, other.split)


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("view", VIEWS[:2], ids=str)
def test_an_epoch_of_all_nodes_and_workers_has_each_sample_once(
    folder: Path, view: dict[str, Any], nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 nodes of 2 workers, and 3 of 2: more than there are shards of a split."""
    from torch.utils.data import DataLoader

    truths = Counter(pvit_data.open(folder, **view).keys().to_pylist())
    monkeypatch.setenv("WORLD_SIZE", str(nodes))
    for _ in range(2 if nodes == 2 else 1):
        found: Counter[str] = Counter()
        for rank in range(nodes):
            monkeypatch.setenv("RANK", str(rank))
            pipeline = pvit_data.as_webdataset(folder, **view, fields=(), shuffle=4, seed=rank).map(key_of)
            mine = [*DataLoader(pipeline, batch_size=None, num_workers=2 * (nodes == 2))]
            assert mine
            found.update(mine)
        assert found == truths


def test_shuffled_epochs_differ_and_seeds_repeat_them(folder: Path) -> None:
    from torch import manual_seed
    from torch.utils.data import DataLoader

    def orders(seed: int, epochs: int = 2) -> list[list[str]]:
        pipeline = pvit_data.as_webdataset(folder, "clips", shuffle=5, seed=seed).map(key_of)
        return [[*pipeline] for _ in range(epochs)]

    first, second = orders(1)
    assert first != second
    assert sorted(first) == sorted(second) == sorted(layers.keys())
    assert orders(1) == [first, second]
    assert orders(2)[0] != first
    pipeline = pvit_data.as_webdataset(folder, "clips", shuffle=5).map(key_of)
    manual_seed(0)
    in_workers = [[*DataLoader(pipeline, batch_size=None, num_workers=1)] for _ in range(2)]
    assert in_workers[0] != in_workers[1]


def test_runs_are_cut_into_as_many_as_are_needed(folder: Path) -> None:
    dataset = pvit_data.open(folder, "clips")
    runs = runs_of(dataset)
    shards = dataset.column("shard")
    assert [shards[run.start] for run in runs] == [*dict.fromkeys(shards[:7]), *dict.fromkeys(shards[7:])]
    for least in range(12):
        pieces = cut(runs, least)
        assert [n for piece in pieces for n in range(*piece)] == [*range(10)]
        assert len(pieces) >= min(least, 10)
    assert cut([Run(0, 1), Run(1, 100)], 20)[-1].stop == 100
    assert cut([], 4) == []


def test_what_lies_behind_a_url_is_read_once_from_front_to_back(folder: Path) -> None:
    from torch.utils.data import DataLoader

    with serve(folder) as traffic:
        pipeline = pvit_data.as_webdataset(traffic.url, "clips", layers=["later"], shuffle=0)
        found = [*pipeline]
        asked = [path for path, _ in traffic.sent if path.endswith(".tar")]
        in_worker = [*DataLoader(pipeline.map(key_of), batch_size=None, num_workers=1)]  # of a process with threads
        rows = [*pvit_data.as_hf(traffic.url, "clips", layers=["later"])]
    for one, other, row in zip(found, pvit_data.open(folder, "clips", layers=["later"]), rows, strict=True):
        layers.require_equal(one, other)
        require_row(row, other)
    assert max(Counter(asked).values()) == 1
    assert in_worker == [sample.key for sample in found]


def test_a_block_that_came_damaged_is_fetched_again(folder: Path) -> None:
    hits: list[str] = []

    def fault(path: str) -> str:
        if path.endswith("clips/train-00000.tar") and not hits:
            hits.append(path)
            return "flip"
        return ""

    with serve(folder) as traffic:
        pipeline = pvit_data.as_webdataset(traffic.url, "clips", "train", shuffle=0)
        traffic.fault = fault
        found = [*pipeline]
    assert hits
    for one, other in zip(found, pvit_data.open(folder, "clips", "train"), strict=True):
        layers.require_equal(one, other)


@pytest.mark.parametrize("how", ["webdataset", "hf"])
def test_damaged_samples_raise_or_are_counted(folder: Path, tmp_path: Path, how: str) -> None:
    shutil.copytree(folder, tmp_path / "damaged")
    shard = tmp_path / "damaged/clips/val-00000.tar"
    data = bytearray(shard.read_bytes())
    place = data.index(b"ftyp")
    data[place] ^= 1
    shard.write_bytes(data)
    if how == "hf":
        with pytest.raises(CorruptShardError, match="member rgb of sample 'val-"):
            list(pvit_data.as_hf(tmp_path / "damaged", "clips", "val"))
        with pytest.raises(CorruptShardError, match="member rgb of sample 'val-"):
            [row["rgb"] for row in pvit_data.as_hf(tmp_path / "damaged", "clips", "val", streaming=False)]
        return
    with pytest.raises(CorruptShardError, match="member rgb of sample 'val-"):
        list(pvit_data.as_webdataset(tmp_path / "damaged", "clips"))
    with pytest.warns(RuntimeWarning, match="skipped: .* member rgb of sample 'val-"):
        found = [*pvit_data.as_webdataset(tmp_path / "damaged", "clips", on_corrupt="skip")]
    assert len(found) == 9


def test_what_cannot_be_a_pipeline_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shuffle is -1"):
        pvit_data.as_webdataset(folder, shuffle=-1)
    with pytest.raises(UsageError, match="is an annotation layer over 'clips': open that"):
        pvit_data.as_webdataset(folder, "later")
    (tmp_path / "clips").mkdir()
    shutil.copy(folder / "clips/val-00000.tar", tmp_path / "clips")
    for bridge in (pvit_data.as_webdataset, pvit_data.as_hf):
        with pytest.raises(UsageError, match="has no index"):
            bridge(tmp_path, "clips")
    with serve(folder) as traffic:
        address = traffic.url.replace("http://", "http://me:secret@")
        with pytest.raises(UsageError, match="would keep the password") as error:
            pvit_data.as_hf(address, "clips", streaming=False)
        assert "secret" not in str(error.value)
        assert "secret" not in str(pvit_data.as_hf(address, "clips").features["rgb"].origin)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_datasets_have_the_samples_of_open(folder: Path, view: dict[str, Any], streaming: bool) -> None:
    rows = [*pvit_data.as_hf(folder, **view, streaming=streaming)]
    for row, truth in zip(rows, pvit_data.open(folder, **view), strict=True):
        require_row(row, truth)


def test_tars_of_other_tools(tmp_path: Path) -> None:
    """Indexed ones, whose keys are other names than samples may have."""
    import webdataset as wds

    for number in range(2):
        with wds.TarWriter(str(tmp_path / f"train-{number}.tar")) as writer:
            for i in range(3):
                files = {"mp4": encode_video(np.asarray(bare_sample(i).rgb), 10.0), "cls": b"%d" % i, "json": b"{}"}
                writer.write({"__key__": f"Clips/take {number}{i}", **files})
    index_foreign(tmp_path)
    truths = [*pvit_data.open(tmp_path)]
    for one, other in zip(pvit_data.as_webdataset(tmp_path, shuffle=0), truths, strict=True):
        layers.require_equal(one, other)
    for streaming in (True, False):
        rows = pvit_data.as_hf(tmp_path, truths[0].source, streaming=streaming)
        for row, truth in zip(rows, truths, strict=True):
            require_row(row, truth)


@pytest.mark.parametrize("streaming", [True, False])
def test_every_field_is_a_column(full: Path, streaming: bool) -> None:
    found = pvit_data.as_hf(full, "mine", streaming=streaming)
    for row, truth in zip(found, pvit_data.open(full, "mine"), strict=True):
        require_row(row, truth)
    assert found.features["action"].names == [*SPACES["action"].classes]
    segm = found.features["segm"]
    assert (segm.names, segm.first) == ([*SPACES["segm"].classes], 1)
    assert "metres" in found.features["depth"].convention
    some = pvit_data.as_hf(full, "mine", streaming=streaming, fields=["depth"])
    assert {"rgb", "action", "boxes"}.isdisjoint(some.features)
    assert next(iter(some))["depth"].dtype == np.float32


def test_what_the_libraries_do_with_them(full: Path) -> None:
    """Spawned workers get a pickled pipeline; rows are mapped, filtered, batched and turned into tensors."""
    import torch

    pipeline = pvit_data.as_webdataset(full, fields=["rgb"], shuffle=3)
    again = pickle.loads(pickle.dumps(pipeline))
    assert sorted(map(key_of, again)) == sorted(map(key_of, pipeline)) == [f"mine-000{i}" for i in range(4)]
    for streaming in (True, False):
        rows = pvit_data.as_hf(full, "mine", fields=["rgb", "depth"], streaming=streaming)
        mapped = rows.map(lambda row: {"mean": float(row["rgb"].mean())}).filter(lambda row: row["depth"] is not None)
        assert [row["mean"] for row in mapped] == [pvit_data.open(full)[i].rgb.mean() for i in (0, 2)]
        batch = next(iter(rows.batch(2))) if streaming else next(rows.iter(2))
        assert [clip.shape for clip in batch["rgb"]] == [(6, 46, 60, 3)] * 2
        tensor = next(iter(rows.with_format("torch")))["rgb"]
        assert torch.equal(tensor, torch.from_numpy(pvit_data.open(full)[0].rgb))


def test_a_stream_is_split_by_node_and_worker(folder: Path) -> None:
    import datasets.distributed
    from torch.utils.data import DataLoader

    stream = pvit_data.as_hf(folder, "clips").select_columns(["key"])
    assert stream.num_shards == len(runs_of(pvit_data.open(folder, "clips")))
    found = []
    for rank in range(2):
        mine = datasets.distributed.split_dataset_by_node(stream.shuffle(seed=1, buffer_size=3), rank, 2)
        found += [row["key"] for row in DataLoader(mine, batch_size=None, num_workers=2)]
    assert sorted(found) == sorted(layers.keys())


def test_a_table_is_selected_saved_and_opened_again(folder: Path, tmp_path: Path) -> None:
    import datasets

    from pvit_data.bridges import columns

    shutil.copytree(folder, tmp_path / "data")
    table = pvit_data.as_hf(tmp_path / "data", "clips", layers=["later"], streaming=False)
    truths = {s.key: s for s in pvit_data.open(folder, "clips", layers=["later"])}
    chosen = table.filter(lambda split: split == "val", input_columns="split").shuffle(seed=0)
    chosen = chosen.map(lambda row: {"mean": float(row["rgb"].mean())})
    chosen.save_to_disk(tmp_path / "saved")
    columns._OPEN.clear()
    loaded = datasets.load_from_disk(tmp_path / "saved")
    assert sorted(loaded["key"]) == ["val-0", "val-1", "val-2"]
    for row in loaded:
        require_row(row, truths[row["key"]])
        assert row["mean"] == truths[row["key"]].rgb.mean()
    columns._OPEN.clear()
    with pvit_data.ShardWriter(tmp_path / "data", "clips", "test", spaces={"action": layers.ACTION}) as writer:
        writer.write(layers.clip("test-0"))
    with pytest.raises(StorageError, match="has other samples than when the table was made"):
        _ = loaded[0]["rgb"]


def test_the_page_shows_code_that_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pvit_data.ShardWriter("data", "mine", spaces=SPACES) as writer:
        for seed in range(8):
            clip = np.repeat(np.asarray(bare_sample(seed).rgb), 2, 0)
            writer.write(full_sample(seed, rgb=clip, **dict.fromkeys(
                ("depth", "normal", "segm", "pose3d", "pose3d_valid", "pose2d", "camera")), frames={}
            ))  # fmt: skip
    page = (DOCS / "reading.md").read_text()
    section = page.partition("## In training loops of your own")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 3
    for code in blocks:
        values: dict[str, Any] = {"__name__": "page"}
        exec(code, values)
        if "video" in values:
            assert (values["video"].shape, values["action"].shape) == ((4, 3, 8, 46, 60), (4,))
        if "found" in values:
            assert (values["found"]["rgb"].shape, values["action"]) == ((12, 3, 96, 128), 3)
        if "clip" in values:
            assert values["clip"].shape == (12, 46, 60, 3)
            assert values["boxes"].shape == (3, 4)
    assert os.listdir() == ["data"]
