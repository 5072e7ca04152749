"""Samples that break the schema are refused with key, field, what was found and what was expected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pvit_data
from pvit_data.errors import FormatError, UsageError
from pvit_data.format.receipts import Skip
from pvit_data.loading.batch import Batch, Targets
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Actions, Boxes, Camera, EncodedMedia, Sample
from pvit_data.tasks.target import Target
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
        ({"action": -0.5}, r"action is float -0.5, expected a class id 0\.\.9 of 'verbs'"),
        ({"action": 0.25}, r"action is float 0.25, expected a class id 0\.\.9 of 'verbs'"),
        ({"action": float("nan")}, "action is float nan, expected a class id"),
        ({"action": True}, "action is bool True, expected a class id"),
        ({"action": np.True_}, "action is bool, expected a class id"),
        ({"action": 10.0}, "action has class id 10, expected 0..9"),
        ({"action": "verb 11"}, "action is str 'verb 11', expected a class of 'verbs'; did you mean 'verb 1'"),
        ({"action": [1]}, "action is list of length 1, expected a class id"),
        ({"action": torch.tensor(3)}, "action is Tensor, expected a class id"),
        ({"rgb": "x.mp4"}, "rgb is str 'x.mp4', expected a uint8 numpy array .* or EncodedMedia"),
        ({"rgb": Path("x.mp4")}, "rgb is PosixPath, expected"),
        ({"rgb": torch.zeros(T, H, W, 3, dtype=torch.uint8)}, r"rgb is Tensor\(6, 46, 60, 3\), .*; pass .numpy\(\)"),
        (
            {"rgb": EncodedMedia("mp4", b"\0secret" * 99)},
            "rgb is EncodedMedia with data = str .mp4., expected",
        ),
        ({"rgb": EncodedMedia(b"x", b"\0secret" * 99)}, "rgb has extension 693 bytes, expected one of mp4"),
        ({"depth": torch.ones(T, H, W)}, r"depth is Tensor\(6, 46, 60\), expected a numpy array"),
        ({"depth": [[[1.0]]]}, "depth is list of length 1, expected a numpy array"),
        ({"pose3d": "joints.npy"}, "pose3d is str 'joints.npy', expected a numpy array"),
        ({"frame_times": [0.0] * T}, "frame_times is list of length 6, expected a numpy array"),
        ({"frames": [0, 2, 5]}, "frames is list of length 3, expected frame numbers by field"),
        ({"boxes": np.zeros((1, 4))}, r"boxes is float64\(1, 4\), expected Boxes"),
        ({"actions": [1, 2]}, "actions is list of length 2, expected Actions"),
        ({"camera": np.eye(3)}, r"camera is float64\(3, 3\), expected Camera"),
        ({"camera": Camera([[1, 0, 0]])}, r"camera.K is list of length 1, expected a numpy array"),
        ({"meta": "a"}, "meta is str 'a', expected a dict"),
        ({"fps": "25"}, "fps is str '25', expected a number"),
        ({"num_frames": 6.0}, "num_frames is float 6.0, expected a whole number"),
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


@pytest.mark.parametrize(
    ("given", "stored"),
    [(3, 3), (3.0, 3), (np.float32(3), 3), (np.int64(3), 3), (np.uint8(3), 3), ("verb 3", 3), (np.str_("verb 3"), 3)],
)
def test_a_class_is_given_by_id_or_by_name(given: Any, stored: int) -> None:
    """Ids out of tables with gaps are floats: they are no times where the source names its classes."""
    record = encode_sample(full_sample(0, action=given), Encoding(spaces=SPACES)).record
    assert (record.action_id, record.action_time) == (stored, -1.0)


def test_names_count_from_the_first_id() -> None:
    space = LabelSpace("moves", ("walk", "run"), first=1)
    record = encode_sample(Sample(key="a", num_frames=1, action="run"), Encoding(spaces={"action": space})).record
    assert record.action_id == 2


def test_a_float_is_a_time_where_no_classes_are_declared() -> None:
    record = encode_sample(Sample(key="a", num_frames=1, action=1.0), Encoding()).record
    assert (record.action_id, record.action_time) == (-1, 1.0)
    with pytest.raises(FormatError, match="sample 'a': action time is -1"):
        encode_sample(Sample(key="a", num_frames=1, action=-1.0), Encoding())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", 1),
        ("action", "walk"),
        ("actions", Actions([1])),
        ("boxes", Boxes([[0, 0, 1, 1]], class_id=[0])),
        ("boxes", Boxes([[0, 0, 1, 1]], labels=[[0, 1]])),
    ],
)
def test_class_ids_need_a_label_space(field: str, value: Any) -> None:
    sample = Sample(key="a", num_frames=1, **{field: value})
    with pytest.raises(FormatError, match=r"no label space is declared for (action|boxes): pass spaces="):
        encode_sample(sample, Encoding())
    encode_sample(sample if value != "walk" else Sample(key="a", num_frames=1, action=0), Encoding(spaces=SPACES))


def test_boxes_without_classes_need_no_label_space() -> None:
    encode_sample(Sample(key="a", num_frames=1, boxes=Boxes([[0, 0, 1, 1]])), Encoding())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Boxes([[0, 0, 1, 1]], class_id=[0.5]), r"boxes\.class_id holds 0.5, expected whole numbers"),
        (lambda: Boxes([[0, 0, 1, 1]], track=[1 << 40]), r"boxes\.track holds 1099511627776, expected .* 32 bits"),
        (lambda: Boxes([[0, 0, 1, 1]], track=[float("nan")]), r"boxes\.track holds nan, expected whole"),
        (lambda: Boxes([[0, 0, 1, 1]], class_id=["cup"]), r"boxes\.class_id is list of length 1, expected numbers"),
        (lambda: Boxes([[0, 0, 1]]), r"boxes\.xyxy has shape \(1, 3\), expected \(n, 4\)"),
        (lambda: Boxes("a.json"), r"boxes\.xyxy is str 'a\.json', expected numbers"),
        (lambda: Boxes([[0, 0, 1, 1], [0]]), r"boxes\.xyxy is list of length 2, expected numbers"),
        (lambda: Actions([0.5]), r"actions\.class_id holds 0.5"),
        (lambda: Actions(["walk"]), r"actions\.class_id is list of length 1"),
        (lambda: Actions([1], start=["a"]), r"actions\.start is list"),
        (lambda: Sample(key=7), r"sample key is int 7: expected 1 to 80"),
    ],
)
def test_tables_take_numbers_that_they_can_hold(make: Callable[[], object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        make()


def test_whole_floats_are_ids_of_boxes() -> None:
    assert Boxes([[0, 0, 1, 1]], class_id=[2.0]).class_id.tolist() == [2]


def test_nothing_prints_pixels_or_bytes() -> None:
    """Not a sample, not what it consists of, not a batch; and no message, whatever was passed for what."""
    sample = full_sample(0, rgb=EncodedMedia(b"\x00\xffsecret" * 1000, "mp4"))
    shown = repr(sample)
    assert "rgb=EncodedMedia(data=8000 bytes, extension='mp4')" in shown
    assert f"depth=float32({T}, {H}, {W})" in shown
    assert "action=3" in shown
    assert "frames={'normal': int64(3,)}" in shown
    encoded = encode_sample(full_sample(0), Encoding(spaces=SPACES))
    for text in (shown, repr(encoded), repr(Boxes(np.zeros((500, 4)))), repr(camera()), repr(sample.actions)):
        assert len(text) < 2500, text
        assert "secret" not in text
        assert "[[" not in text
        assert "\\x" not in text
    assert repr(Sample(key="a")) == "Sample(key='a', group='a')"
    assert repr(Sample(key="a", action=0)) == "Sample(key='a', group='a', action=0)"
    target = Target(np.zeros((8, 4)), np.zeros(8, bool))
    assert repr(target) == "Target(value=float64(8, 4), valid=bool(8,))"
    batch = Batch(3, ["a"], ["mine"], torch.zeros(1, 3, 4, 8, 8), {"depth": Targets(*[torch.zeros(1)] * 3)})
    assert "video=Tensor(1, 3, 4, 8, 8)" in repr(batch)
    assert "tensor([" not in repr(batch)


def test_label_space_of_a_map_must_be_declared() -> None:
    with pytest.raises(FormatError, match=r"no label space is declared for segm: pass spaces=\{'segm'"):
        encode_sample(full_sample(0), Encoding())


def test_length_must_be_told_by_something() -> None:
    with pytest.raises(FormatError, match="set num_frames"):
        encode_sample(Sample(key="a", action=1), Encoding(spaces=SPACES))


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
        "train-00003.parquet",
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
        ({"spaces": {"action": ["walk", "run"]}}, "source 'mine': 'spaces.action'"),
        ({"licence": 4}, "source 'mine': 'licence' = 4"),
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
