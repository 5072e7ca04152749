"""What is written comes back: every field, every sample, only the asked parts."""

import pickle
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_data.errors import FormatError, UsageError
from pvit_data.sample.sample import Boxes, Sample
from pvit_data.validate import validate
from tests.pvit_data.samples import SPACES, T, bare_sample, full_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bare samples first, so that the first samples lack every annotation."""
    out = tmp_path_factory.mktemp("dataset")
    with pvit_data.ShardWriter(
        out, "mine", "train", licence="CC-BY-4.0", redistributable=True, spaces=SPACES, shard_bytes=1
    ) as writer:
        for seed in range(6):
            writer.write(bare_sample(seed) if seed < 2 else full_sample(seed))
    return out


def test_every_field_comes_back(folder: Path) -> None:
    dataset = pvit_data.open(folder, split="train")
    assert len(dataset) == 6
    for seed, found in enumerate(dataset):
        truth = bare_sample(seed) if seed < 2 else full_sample(seed)
        assert (found.key, found.group, found.fps) == (truth.key, truth.group, truth.fps)
        assert (found.source, found.split, found.licence) == ("mine", "train", "CC-BY-4.0")
        assert np.abs(found.rgb.astype(int) - truth.rgb).mean() < 6  # lossy
        assert found.meta == truth.meta
        assert found.spaces == SPACES
        for name in ("depth", "normal", "segm", "pose3d", "boxes", "action", "actions", "camera"):
            assert found.has(name) == truth.has(name), name


def test_values_of_one_sample(folder: Path) -> None:
    found, truth = pvit_data.open(folder)[3], full_sample(3)
    np.testing.assert_array_equal(found.depth, truth.depth.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(found.segm, truth.segm)
    np.testing.assert_array_equal(found.frames_of("normal"), [0, 2, 5])
    cosine = (found.normal.astype(float) * truth.normal).sum(-1)[truth.normal.any(-1)]
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 0.4
    assert not found.normal[~truth.normal.any(-1)].any()
    for name in ("pose3d", "pose3d_valid", "pose2d"):
        np.testing.assert_array_equal(getattr(found, name), getattr(truth, name))
    for name in ("xyxy", "labels", *Boxes.COLUMNS):
        np.testing.assert_array_equal(getattr(found.boxes, name), getattr(truth.boxes, name))
    for name in ("class_id", "start", "end"):
        np.testing.assert_array_equal(getattr(found.actions, name), getattr(truth.actions, name))
    np.testing.assert_array_equal(found.camera.K, truth.camera.K)
    np.testing.assert_array_equal(found.camera.world_from_camera, truth.camera.world_from_camera)
    turned = found.camera.world_from_camera[2, :3, :3] @ found.normal[1, 20, 20]
    np.testing.assert_allclose(found.normal_in("world")[1, 20, 20], turned, atol=1e-6)
    assert found.action == 3
    assert found.camera.up == "z"


def test_only_asked_fields_and_frames(folder: Path) -> None:
    dataset = pvit_data.open(folder)
    whole = dataset[3]
    part = dataset.read(3, ["rgb", "normal", "pose3d", "boxes"], [5, 2, 2, T + 3])
    assert part.depth is None
    assert part.pose2d is None
    np.testing.assert_array_equal(part.rgb, whole.rgb[[5, 2, 2]])
    np.testing.assert_array_equal(part.normal, whole.normal[[2, 1, 1]])
    np.testing.assert_array_equal(part.pose3d_valid, whole.pose3d_valid[[5, 2, 2]])
    assert {name: list(frames) for name, frames in part.frames.items()} == {
        "rgb": [5, 2, 2],
        "normal": [5, 2, 2],
        "pose3d": [5, 2, 2],
    }
    assert part.boxes.frame.tolist() == [5]
    assert part.boxes.labels.tolist() == [[0, 0]]
    assert dataset.read(3, ["boxes"], [0]).boxes.partner.tolist() == [1, 0]
    assert pvit_data.open(folder, fields=["depth"])[3].rgb is None
    rows, columns = np.arange(0, 46, 5), np.arange(59, 0, -7)
    coarse = dataset.read(3, ["depth", "normal", "segm"], [2, 5], (rows, columns))
    for name in ("depth", "normal", "segm"):
        picks = np.searchsorted(whole.frames_of(name), [2, 5])
        np.testing.assert_array_equal(getattr(coarse, name), getattr(whole, name)[picks][:, rows][:, :, columns])


def test_fields_by_their_former_name(folder: Path) -> None:
    with pytest.warns(DeprecationWarning, match=r"tasks=.* is called fields=") as caught:
        dataset = pvit_data.open(folder, tasks=["depth"])
    assert caught[0].filename == __file__
    assert dataset[3].depth is not None
    assert dataset[3].rgb is None
    with pytest.raises(UsageError, match="give fields only"):
        pvit_data.open(folder, fields=["rgb"], tasks=["depth"])
    with pytest.raises(UsageError, match=r"unknown field 'dept': .*did you mean 'depth'"):
        pvit_data.open(folder, fields=["dept"])


def test_a_group_named_after_a_file_that_is_no_utf8(tmp_path: Path) -> None:
    r"""Written as JSON writes such bytes, in the record as in the index: one name, whoever reads."""
    with pvit_data.ShardWriter(tmp_path, "mine", spaces=SPACES) as writer:
        for seed, group in enumerate((b"caf\xe9", b"caf\xe8")):
            sample = full_sample(seed)
            sample.group = group.decode("utf-8", "surrogateescape")
            writer.write(sample)
    dataset = pvit_data.open(tmp_path)
    assert dataset.column("group").tolist() == [sample.group for sample in dataset] == [r"caf\udce9", r"caf\udce8"]
    assert validate(tmp_path, deep=True).ok


def test_annotated_but_empty_differs_from_not_annotated(tmp_path: Path) -> None:
    with pvit_data.ShardWriter(tmp_path, "mine") as writer:
        writer.write(Sample(key="a", num_frames=3, boxes=Boxes(np.zeros((0, 4)))))
        writer.write(Sample(key="b", num_frames=3, action=0.5))
    first, second = pvit_data.open(tmp_path)
    assert first.boxes is not None
    assert len(first.boxes) == 0
    assert second.boxes is None
    assert second.action == 0.5
    assert first.rgb is None
    assert first.num_frames == 3


def test_columns_filters_and_selections(folder: Path) -> None:
    dataset = pvit_data.open(folder, where="has_depth and frames >= 6")
    assert list(dataset.column("key")) == ["mine-0002", "mine-0003", "mine-0004", "mine-0005"]
    assert set(dataset.column("source")) == {"mine"}
    assert dataset.column("boxes").tolist() == [3] * 4
    assert dataset.select([-1, 0])[0].key == "mine-0005"
    assert len(dataset.where("key in ('mine-0002', 'nobody')")) == 1
    assert pickle.loads(pickle.dumps(dataset))[0].key == "mine-0002"
    with pytest.raises(UsageError, match="no column 'nothing'"):
        dataset.where("nothing > 3")


def test_an_exception_publishes_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with pvit_data.ShardWriter(tmp_path, "mine", shard_bytes=1) as writer:
            writer.write(bare_sample(0))
            writer.write(bare_sample(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        pvit_data.open(tmp_path)


def test_append_and_second_source(folder: Path, tmp_path: Path) -> None:
    for source, split, seeds in (("one", "train", [0, 1]), ("two", "val", [4]), ("one", "train", [2])):
        with pvit_data.ShardWriter(tmp_path, source, split) as writer:
            for seed in seeds:
                writer.write(bare_sample(seed))
    dataset = pvit_data.open(tmp_path)
    shards = ["train-00000.tar", "train-00000.tar", "train-00001.tar", "val-00000.tar"]
    assert list(dataset.column("shard")) == shards
    assert len(pvit_data.open(tmp_path, source="two")) == 1
    with (
        pytest.raises(FormatError, match="'mine-0004' is in two/val-00000"),
        pvit_data.ShardWriter(tmp_path, "one") as w,
    ):
        w.write(bare_sample(4))
    with pytest.raises(UsageError, match="licence"), pvit_data.ShardWriter(tmp_path, "one", licence="MIT") as w:
        w.write(bare_sample(5))


def test_same_samples_give_same_bytes(folder: Path, tmp_path: Path) -> None:
    with pvit_data.ShardWriter(
        tmp_path, "mine", "train", licence="CC-BY-4.0", redistributable=True, spaces=SPACES, shard_bytes=1
    ) as writer:
        for seed in range(6):
            writer.write(bare_sample(seed) if seed < 2 else full_sample(seed))
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    again = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == again
