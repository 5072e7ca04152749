"""`--frames`: annotations of some frames only."""

import numpy as np
import pytest

from pvit_converters.annotations.frames import keep_frames, parse_frames
from pvit_converters.phav.options import PhavOptions
from pvit_converters.surreact.options import SurreactOptions
from pvit_converters.synadl.options import SynadlOptions
from pvit_data.errors import UsageError
from pvit_data.sample.sample import Boxes, Sample


def make() -> Sample:
    """Ten frames; depth of the frames 2 to 9, joints of all, boxes in the frames 0, 3, 4 and 8."""
    sample = Sample(key="a", rgb=np.zeros((10, 2, 2, 3), np.uint8), num_frames=10, height=2, width=2)
    sample.depth = np.arange(2, 10, dtype=np.float32)[:, None, None].repeat(2, 1).repeat(2, 2)
    sample.frames["depth"] = np.arange(2, 10)
    sample.pose3d = np.arange(10, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 25, 3), np.float32)
    sample.pose3d_valid = np.full((10, 1, 25), 2, np.uint8)
    sample.boxes = Boxes(np.zeros((4, 4)), frame=np.array([0, 3, 4, 8]), partner=np.array([-1, -1, 3, 2]))
    return sample


def test_every_fourth_frame() -> None:
    sample = make()
    keep_frames(sample, "::4")
    assert sample.depth is not None
    assert sample.pose3d is not None
    assert sample.boxes is not None
    assert sample.depth[:, 0, 0].tolist() == sample.frames["depth"].tolist() == [4, 8]
    assert sample.pose3d[:, 0, 0, 0].tolist() == sample.frames["pose3d"].tolist() == [0, 4, 8]
    assert sample.pose3d_valid is not None
    assert sample.pose3d_valid.shape == (3, 1, 25)
    assert sample.boxes.frame.tolist() == [0, 4, 8]
    assert sample.boxes.partner.tolist() == [-1, 2, 1]
    assert sample.rgb is not None
    assert sample.num_frames == 10


def test_boxes_keep_their_further_labels() -> None:
    sample = make()
    sample.boxes.labels = np.array([[0, 7], [1, 8], [3, 9]], np.int32)
    keep_frames(sample, "::4")
    assert sample.boxes.labels.tolist() == [[0, 7], [2, 9]]


def test_a_range_and_nothing() -> None:
    sample = make()
    keep_frames(sample, ":3")
    assert sample.frames["depth"].tolist() == [2]
    sample = make()
    keep_frames(sample, ":2")
    assert sample.depth is None
    assert "depth" not in sample.frames
    assert sample.frames["pose3d"].tolist() == [0, 1]
    for text in ("", ":", "0:10", "::1", ":300"):
        sample = make()
        keep_frames(sample, text)
        assert "pose3d" not in sample.frames
        assert len(sample.boxes or []) == 4


@pytest.mark.parametrize("text", ["4", "::0", "a:b", "-1:", "1:2:3:4", "1,2"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--frames"):
        parse_frames(text)


def test_sources_with_clips_have_the_option() -> None:
    for options in (SurreactOptions, PhavOptions, SynadlOptions):
        assert options(frames="::4").model_dump()["frames"] == "::4"
