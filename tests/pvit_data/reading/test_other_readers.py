"""The shards without our reader: webdataset, datasets, Pillow and tarfile give the same values."""

import io
import json
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

import pvit_data
from pvit_data.decoders import decode
from pvit_data.sample.sample import Sample
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
