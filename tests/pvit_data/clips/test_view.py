"""Views: the published frames and crops by number, and the same clip whoever holds the pixels."""

import numpy as np
import pytest

from pvit_data.clips import crops, frames, transforms
from pvit_data.clips.about import About
from pvit_data.clips.config import ClipConfig
from pvit_data.clips.view import Viewer, clip_of
from pvit_data.codecs.video import VideoInfo
from pvit_data.errors import FormatError

CONFIG = ClipConfig(num_frames=8, size=(16, 16), rate=2)
VIDEO = VideoInfo(num_frames=40, fps=30.0, height=24, width=36)


def test_evaluation_views_count_crops_first() -> None:
    viewer = Viewer(CONFIG, "dense")
    for index in range(6):
        view = viewer.evaluation(VIDEO, index, (2, 3))
        temporal, spatial = index // 3, index % 3
        expected = frames.dense(40, 8, rate=2, fps=30.0, view=(temporal, 2))
        np.testing.assert_array_equal(view.frames, expected)
        assert view.geometry == crops.evaluation_crop((24, 36), CONFIG, spatial, 3)


def test_a_training_view_is_drawn_once_and_in_one_order() -> None:
    view = Viewer(CONFIG, "segment").training(VIDEO, 0.5, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(view.frames, frames.segment(40, 8, rng))
    assert view.geometry == crops.training_crop((24, 36), CONFIG, 0.5, rng)


def test_clips_lie_around_the_key_frame() -> None:
    assert Viewer(CONFIG, "keyframe").evaluation(VIDEO, about=About(key_frame=10)).frames.tolist() == [
        2,
        4,
        6,
        8,
        10,
        12,
        14,
        16,
    ]


@pytest.mark.parametrize("first", [0, 10])
def test_clips_within_a_range(first: int) -> None:
    """Real dives of 48 and 70 frames in longer files: segments of the range, and 64 frames of it at a rate of 4."""
    video = VideoInfo(num_frames=100, fps=30.0, height=24, width=36)
    config = ClipConfig(num_frames=16, size=(16, 16), rate=4)
    dive, long = range(first, first + 48), range(first, first + 70)
    middles = Viewer(config, "segment").evaluation(video, about=About(within=dive)).frames - first
    assert middles.tolist() == [1, 4, 7, 10, 13, 16, 19, 22, 25, 27, 30, 33, 36, 39, 42, 45]
    held = Viewer(config, "dense").evaluation(video, about=About(within=dive)).frames - first
    assert held.tolist() == [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 47, 47, 47, 47]
    centred = Viewer(config, "dense").evaluation(video, about=About(within=long)).frames - first
    assert (centred[0], centred[-1]) == (3, 66)
    rng = np.random.default_rng(0)
    drawn = [Viewer(config, "segment").training(video, 0.0, rng, About(within=dive)).frames for _ in range(200)]
    assert (np.min(drawn), np.max(drawn)) == (first, first + 47)
    assert Viewer(config, "keyframe").evaluation(video, about=About(key_frame=first, within=dive)).frames[0] == first


def test_the_clip_is_made_of_its_distinct_frames() -> None:
    short = VideoInfo(num_frames=3, fps=0.0, height=24, width=36)
    video = np.random.default_rng(0).integers(0, 256, (3, 24, 36, 3), np.uint8)
    view = Viewer(CONFIG, "segment").evaluation(short)
    np.testing.assert_array_equal(view.distinct[view.order], view.frames)
    clip = clip_of(video[view.distinct], view)
    whole = transforms.resize(video, view.geometry)
    np.testing.assert_array_equal(clip, whole[view.frames])
    assert clip.shape == (8, 16, 16, 3)
    with pytest.raises(FormatError, match="the geometric draw was made for"):
        clip_of(video[:, 1:], view)
