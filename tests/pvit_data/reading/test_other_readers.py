"""The shards without our reader: webdataset, datasets, Pillow and tarfile give the same values."""

import ast
import io
import json
import re
import tarfile
import warnings
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageSequence

import pvit_data
from pvit_data.decoders import decode
from pvit_data.sample.sample import Boxes, Sample
from tests.pvit_data.reading import test_layers as layers
from tests.pvit_data.samples import SPACES, bare_sample, full_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven samples without annotations first: more than `datasets` looks at."""
    out = tmp_path_factory.mktemp("mixed")
    with pvit_data.ShardWriter(out, "mine", "train", licence="CC-BY-4.0", spaces=SPACES) as writer:
        for seed in range(7):
            writer.write(bare_sample(seed))
        writer.write(Sample(key="still", rgb=bare_sample(7).rgb[:1]))
        writer.write(full_sample(8))
        writer.write(full_sample(9, rgb=None, boxes=None))
    with pvit_data.ShardWriter(out, "other", "val") as writer:
        writer.write(Sample(key="other-0", num_frames=2, action=1.0))
    return out


def pages(image: Image.Image) -> np.ndarray:
    return np.stack([np.array(page) for page in ImageSequence.Iterator(image)])


def check_row(row: dict[str, Any], truth: Sample) -> None:
    """Applies the documented decodings to what another reader returned."""
    assert row["__key__"] == truth.key
    record = row["json"] if isinstance(row["json"], dict) else json.loads(row["json"])
    assert json.loads(record["meta"]) == truth.meta
    for name in ("depth", "normal", "segm"):
        image, value = row.get(f"{name}.tif"), getattr(truth, name)
        assert (image is None) == (value is None)
        if image is None:
            continue
        raw = pages(image if isinstance(image, Image.Image) else Image.open(io.BytesIO(image)))
        if name == "depth":
            np.testing.assert_array_equal(raw.view(np.float16).astype(np.float32), value)
        elif name == "segm":
            np.testing.assert_array_equal(raw, value)
        else:
            vectors = raw.astype(np.float64) - 128
            vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
            vectors[~raw.any(-1)] = 0
            np.testing.assert_allclose(vectors, value, atol=1e-6)
    for name, value in (("pose3d", truth.pose3d), ("boxes", None if truth.boxes is None else truth.boxes.xyxy)):
        found = row.get(f"{name}.npy")
        assert (found is None) == (value is None)
        if found is not None:
            array = np.load(io.BytesIO(found)) if isinstance(found, bytes) else np.array(found, np.float32)
            np.testing.assert_array_equal(array, value)


@pytest.mark.parametrize("streaming", [True, False])
def test_load_dataset(folder: Path, streaming: bool, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of datasets' own dependencies
        import datasets

        rows = datasets.load_dataset(
            str(folder), "mine", split="train", streaming=streaming, cache_dir=str(tmp_path / "cache")
        )
        truths = list(pvit_data.open(folder, source="mine"))
        found = list(rows)
    assert len(found) == len(truths) == 10
    for row, truth in zip(found, truths, strict=True):
        check_row(row, truth)
        assert (row["rgb.mp4"] is None) == (truth.rgb is None or len(truth.rgb) == 1)
        if row["rgb.jpg"] is not None:
            np.testing.assert_array_equal(np.array(row["rgb.jpg"]), truth.rgb[0])
        if row["rgb.mp4"] is not None:
            with tarfile.open(folder / "mine/train-00000.tar") as tar:
                member = tar.extractfile(f"{truth.key}.rgb.mp4")
                assert member is not None
                assert row["rgb.mp4"]["bytes"] == member.read()


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with a layer of maps and scored boxes, and a protocol."""
    out = tmp_path_factory.mktemp("layered")
    clips = [bare_sample(seed) for seed in range(3)]
    with pvit_data.ShardWriter(out, "mine", licence="CC-BY-4.0", spaces=SPACES) as writer:
        for clip in clips:
            writer.write(clip)
    with pvit_data.ShardWriter(out, "added", base="mine", spaces={"boxes": SPACES["boxes"]}) as writer:
        for n, clip in enumerate(clips[:2]):
            depth = np.full((1, *clip.rgb.shape[1:3]), 1 + n, np.float32)
            boxes = Boxes(np.array([[0, 0, 0.5, 1]]), frame=np.array([1]), score=np.array([0.25]))
            frames = {"depth": np.array([1]), "boxes": np.array([1])}
            found = {"boxes": boxes} if n else {}
            writer.write(Sample(key=clip.key, depth=depth, frames=frames if n else {"depth": frames["depth"]}, **found))
    for split, clip in zip(("train", "test"), clips, strict=False):
        with pvit_data.ShardWriter(out, "few", split, base="mine", kind="protocol") as writer:
            writer.write(Sample(key=clip.key))
    return out


@pytest.mark.parametrize("streaming", [True, False])
def test_load_dataset_of_a_layer(layered: Path, streaming: bool, tmp_path: Path) -> None:
    """A configuration per annotation layer, with its own columns; rows are found in the base by their keys."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of datasets' own dependencies
        import datasets

        names = datasets.get_dataset_config_names(str(layered), cache_dir=str(tmp_path / "cache"))
        loaded = {
            name: datasets.load_dataset(str(layered), name, streaming=streaming, cache_dir=str(tmp_path / "cache"))
            for name in names
        }
    assert {name: sorted(splits) for name, splits in loaded.items()} == {"mine": ["train"], "added": ["train"]}
    truths = {s.key: s for s in pvit_data.open(layered, "mine", layers=["added"])}
    rows = [*loaded["added"]["train"]]
    assert [row["__key__"] for row in rows] == [*truths][:2]
    assert rows[0]["boxes_score.npy"] is None
    assert rows[1]["boxes_score.npy"] == [0.25]
    assert [row["json"]["boxes_frames"] for row in rows] == [[], [1]]
    table = pvit_data.open(layered, "mine")
    crcs = [f"{crc:08x}" for crc in table.column("rgb_crc32")[:2]]
    assert [row["json"]["base_crc32"] for row in rows] == crcs
    for row in rows:
        np.testing.assert_array_equal(
            pages(row["depth.tif"]).view(np.float16).astype(np.float32), truths[row["__key__"]].depth
        )
    assert not any(name.startswith("rgb") for name in rows[0])


def test_load_dataset_of_a_protocol(layered: Path, tmp_path: Path) -> None:
    """The card has the line that loads its rows; where there is nothing else they have a configuration."""
    base = pvit_data.open(layered, "mine")
    (line,) = re.findall(r"its rows: `load_dataset\((.*?)\)`", (layered / "README.md").read_text())
    kind, _, files = line.partition(", data_files=")
    alone = tmp_path / "alone"
    with pvit_data.ShardWriter(alone, "few", base=f"{layered}#mine", kind="protocol", spaces=SPACES) as writer:
        writer.write(Sample(key="mine-0001", action=2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of datasets' own dependencies
        import datasets

        named = {s: path.replace("URL", str(layered)) for s, path in ast.literal_eval(files).items()}
        rows = datasets.load_dataset(ast.literal_eval(kind), data_files=named, cache_dir=str(tmp_path / "cache"))
        (row,) = datasets.load_dataset(str(alone), "few", split="train", cache_dir=str(tmp_path / "cache"))
    (held,) = rows["test"]
    assert (held["key"], held["base_crc32"]) == ("mine-0001", base.column("rgb_crc32")[1])
    assert (row["key"], row["action"], row["has_action"]) == ("mine-0001", 2, True)


def test_webdataset(folder: Path) -> None:
    import webdataset as wds

    url = str(folder / "mine/train-00000.tar")
    truths = list(pvit_data.open(folder, source="mine"))
    for row, truth in zip(wds.WebDataset(url, shardshuffle=False), truths, strict=True):
        check_row(row, truth)
    samples = wds.WebDataset(url, shardshuffle=False).map(decode)
    for sample, truth in zip(samples, truths, strict=True):
        for name in ("rgb", "depth", "normal", "segm", "pose3d"):
            np.testing.assert_array_equal(getattr(sample, name), getattr(truth, name))


def test_the_archive_is_plain_ustar_in_fixed_order(folder: Path) -> None:
    with tarfile.open(folder / "mine/train-00000.tar") as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    assert [m.name.partition(".")[2] for m in members if m.name.startswith("mine-0008.")] == [
        "boxes.npy", "boxes_id.npy", "boxes_labels.npy", "camera_k.npy", "camera_pose.npy", "depth.tif", "json",
        "normal.tif", "pose2d.npy", "pose3d.npy", "pose3d_valid.npy", "rgb.mp4", "segm.tif",
    ]  # fmt: skip


def rows_of(folder: Path, where: str) -> dict[str, dict[str, Any]]:
    """The rows of all indices of a source or layer by key, as the page tells; with the split."""
    rows = {}
    for path in sorted((folder / where / "index").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            rows[row["key"]] = {**row, "split": path.stem, "file": folder / where / row["shard"]}
    return rows


def member(row: dict[str, Any], name: str) -> bytes:
    """A member by its place in the shard, compared with its checksum."""
    with row["file"].open("rb") as file:
        file.seek(row[f"{name}_offset"])
        data = file.read(row[f"{name}_size"])
    assert zlib.crc32(data) == row[f"{name}_crc32"]
    return data


def frames_of(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_layers_without_our_code(tmp_path: Path) -> None:
    """A base, an annotation layer and a protocol joined by what the page says: tars, JSON, Parquet, pictures."""
    layers.write_base(tmp_path)
    layers.write_layer(tmp_path)
    layers.write_protocol(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["version"] == "1.1"
    later, few = (manifest["layers"][name] for name in ("later", "few"))
    assert (later["spec"]["kind"], few["spec"]["kind"]) == ("annotation", "protocol")
    assert later["spec"]["base"]["source"] == few["spec"]["base"]["source"] == "clips"
    assert {field for split in later["splits"].values() for field in split["fields"]} >= {"depth", "segm", "boxes"}
    base, own, chosen = (rows_of(tmp_path, where) for where in ("clips", "layers/later", "layers/few"))
    truth = {sample.key: sample for sample in pvit_data.open(tmp_path, source="clips", layers=["later"])}
    assert own.keys() < base.keys() == truth.keys()
    for key, row in base.items():
        sample = truth[key]
        assert np.abs(frames_of(member(row, "rgb")).astype(int) - np.asarray(sample.rgb)).max() <= 1
        assert json.loads(json.loads(member(row, "json"))["meta"]) == sample.meta
        if key not in own:
            assert (sample.depth, sample.segm, sample.boxes) == (None, None, None)
            continue
        found = own[key]
        record = json.loads(member(found, "json"))
        assert (record["frames"], record["group"]) == (row["frames"], row["group"])
        assert int(record["base_crc32"], 16) == found["base_crc32"] == row["rgb_crc32"]
        assert (record["depth_encoding"], record["boxes_frames"], found["split"]) == ("float16", [], row["split"])
        depth = pages(Image.open(io.BytesIO(member(found, "depth"))))
        np.testing.assert_array_equal(depth.view(np.float16).astype(np.float32), sample.depth)
        np.testing.assert_array_equal(pages(Image.open(io.BytesIO(member(found, "segm")))), sample.segm)
        boxes, score = (np.load(io.BytesIO(member(found, name))) for name in ("boxes", "boxes_score"))
        assert sample.boxes is not None
        np.testing.assert_array_equal(boxes, sample.boxes.xyxy)
        np.testing.assert_array_equal(score, sample.boxes.score)
    for sample in pvit_data.open(tmp_path, source="few"):
        row = chosen[sample.key]
        assert (row["split"], row["action"]) == (sample.split, sample.action)
        texts = [json.loads(member(of[sample.key], "json"))["meta"] for of in (base, chosen)]
        assert row["meta_bytes"] == len(texts[1].encode())
        assert json.loads(texts[0]) | json.loads(texts[1]) == sample.meta
    assert len(chosen) == 5
