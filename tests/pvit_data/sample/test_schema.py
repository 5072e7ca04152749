"""Samples that break the schema are refused with key, field, what was found and what was expected."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data.errors import FormatError, UsageError
from pvit_data.format.receipts import Skip
from pvit_data.sample.sample import Actions, Boxes, Camera, EncodedMedia, Sample
from pvit_data.writing.encode import Encoding, encode_sample
from pvit_data.writing.shard import write_shard
from tests.pvit_data.samples import SPACES, H, T, W, bare_sample, full_sample


def boxes(xyxy: list[float], **columns: Any) -> Boxes:
    return Boxes(np.array([xyxy], np.float32), **{name: np.array([v]) for name, v in columns.items()})


def camera(**changes: Any) -> Camera:
    return Camera(
        **({"K": np.eye(3, dtype=np.float32)[None], "world_from_camera": np.eye(4, dtype=np.float32)[None]} | changes)
    )


def joints(last: int) -> dict[str, Any]:
    return {"pose3d": np.zeros((T, 2, 25, last), np.float32), "pose3d_valid": np.zeros((T, 2, 25), np.uint8)}


GOOD = [0.1, 0.1, 0.2, 0.2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": np.ones((T, H, W + 1), np.float32)}, r"fields disagree about the \(height, width\)"),
        ({"depth": np.ones((T - 1, H, W), np.float32)}, "fields disagree about the number of frames"),
        ({"depth": np.ones((H, W), np.float32)}, "depth has shape"),
        ({"depth": np.ones((T, H, W), np.int64)}, "expected shape .* of dtype kind 'f'"),
        ({"depth": -np.ones((T, H, W), np.float32)}, "negative or non-finite"),
        ({"normal": np.ones((3, H, W, 3), np.float32)}, "vector of length 1.73"),
        ({"frames": {"normal": np.array([0, 2])}}, "normal has 3 maps, but 2 frame numbers"),
        ({"frames": {"normal": np.array([0, 2, 6])}}, "not ascending inside 0..5"),
        ({"frames": {"normal": np.array([2, 0, 5])}}, "not ascending"),
        ({"segm": np.zeros((T, H, W), np.int64)}, "segm holds id 0, expected 1..40 of 'nyu40'"),
        ({"rgb": np.zeros((T, H, W, 3), np.float32)}, "rgb"),
        ({"rgb": np.zeros((T, H, W, 4), np.uint8)}, "rgb is uint8.*expected shape"),
        ({"rgb": EncodedMedia(b"nonsense", "mp4")}, "neither MP4, WebM nor AVI"),
        ({"rgb": EncodedMedia(b"nonsense", "jpg")}, "not a JPEG"),
        ({"fps": -1.0}, "fps is -1"),
        ({"frame_times": np.zeros(3, np.float32)}, "frame_times has shape"),
        ({"pose3d_valid": None}, "expected both or neither"),
        (joints(2), "pose3d is float32"),
        ({"pose3d_valid": np.full((T, 2, 25), 3, np.uint8)}, "pose3d_valid holds 3"),
        ({"pose2d": np.full((T, 2, 25, 2), np.nan, np.float32)}, "pose2d holds values that are not finite"),
        ({"boxes": boxes([0.5, 0, 0.2, 1])}, "boxes row 0 is .* expected x1 <= x2"),
        ({"boxes": boxes([0, 0, 1.2, 1])}, "inside"),
        ({"boxes": boxes(GOOD, frame=6)}, "boxes.frame holds 6, expected 0..5"),
        ({"boxes": boxes(GOOD, class_id=3)}, "boxes has class id 3, expected 0..2 of 'things'"),
        ({"boxes": boxes(GOOD, partner=1)}, "boxes.partner holds 1"),
        ({"boxes": boxes(GOOD, role=4)}, "boxes.role holds 4"),
        ({"action": 10}, "action has class id 10, expected 0..9 of 'verbs'"),
        ({"action": -0.5}, "action time is -0.5"),
        ({"actions": Actions(np.array([11]))}, "action has class id 11"),
        ({"camera": camera(K=np.zeros((1, 3, 3), np.float32))}, "not invertible"),
        (
            {"camera": camera(K=np.tile(np.eye(3, dtype=np.float32), (2, 1, 1)), world_from_camera=None)},
            "expected 1 or 6",
        ),
        ({"camera": camera(world_from_camera=2 * np.eye(4, dtype=np.float32)[None])}, "not a rigid transform"),
        ({"camera": camera(up="up")}, "camera.up is 'up'"),
        ({"meta": {"a": object()}}, "meta is not JSON"),
        ({"meta": {"a": float("nan")}}, "meta is not JSON"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=f"sample 'mine-0000': .*{message}"):
        encode_sample(full_sample(0, **changes), Encoding(spaces=SPACES))


def test_label_space_of_a_map_must_be_declared() -> None:
    with pytest.raises(FormatError, match=r"no label space is declared for segm: pass spaces=\{'segm'"):
        encode_sample(full_sample(0), Encoding())


def test_length_must_be_told_by_something() -> None:
    with pytest.raises(FormatError, match="set num_frames"):
        encode_sample(Sample(key="a", action=1), Encoding())


def test_a_refused_sample_does_not_end_the_writer(tmp_path: Path) -> None:
    with pvit_data.ShardWriter(tmp_path, "mine", spaces=SPACES) as writer:
        writer.write(bare_sample(0))
        with pytest.raises(FormatError):
            writer.write(full_sample(1, action=99))
        with pytest.raises(FormatError, match=r"'mine-0000' is in mine/train-00000\.tar already"):
            writer.write(bare_sample(0))
        writer.write(full_sample(1))
    assert list(pvit_data.open(tmp_path).column("key")) == ["mine-0000", "mine-0001"]


def test_skipped_samples_are_listed_in_the_receipt(tmp_path: Path) -> None:
    source = pvit_data.SourceSpec(name="mine", spaces=SPACES)
    samples = [bare_sample(0), Skip("x", "missing-file", "no depth"), full_sample(1, action=99)]
    receipt = write_shard(tmp_path, source, "train", 3, samples, {"plan": "abc"}, skip_invalid=True)
    assert (receipt.name, receipt.samples, receipt.extra) == ("mine/train-00003.tar", 1, {"plan": "abc"})
    assert [(s.key, s.reason) for s in receipt.skipped] == [("x", "missing-file"), ("mine-0001", "schema")]
    with pytest.raises(FormatError, match="class id 99"):
        write_shard(tmp_path, source, "train", 4, [full_sample(1, action=99)])
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {
        "train-00003.tar",
        "train-00003.json",
        "source.json",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "split 'dev': expected one of train, val, test"),
        ({"encodings": {"depth": "png"}}, "depth encoding 'png'"),
        ({"encodings": {"normal": "png"}}, "normal encoding 'png'"),
        ({"encodings": {"rgb": "png"}}, "encoding of 'rgb' cannot be chosen"),
        ({"source": "My Source"}, "source name 'My Source'"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    def write() -> None:
        with pvit_data.ShardWriter(tmp_path, **({"source": "mine"} | arguments)) as writer:
            writer.write(bare_sample(0))

    with pytest.raises(UsageError, match=message):
        write()


def test_options_of_a_source(tmp_path: Path) -> None:
    """Lossless depth and octahedral normals, chosen once for a source."""
    encodings = {"depth": "float32", "normal": "octahedral"}
    with pvit_data.ShardWriter(tmp_path, "mine", spaces=SPACES, encodings=encodings) as writer:
        writer.write(full_sample(0))
    found, truth = pvit_data.open(tmp_path)[0], full_sample(0)
    np.testing.assert_array_equal(found.depth, truth.depth)
    np.testing.assert_allclose(found.normal, truth.normal, atol=1e-4)
