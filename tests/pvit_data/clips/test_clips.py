"""Clip samplers against the vectors of the published code."""

import numpy as np
import pytest

from pvit_data.clips import frames as clips
from pvit_data.errors import ConfigError

SEGMENT = {
    8: "0 0 1 1 2 2 3 3 4 4 4 5 5 6 6 7",
    16: "0 1 2 3 4 5 6 7 8 8 9 10 11 12 13 14",
    17: "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
    29: "1 3 4 6 8 9 11 13 15 17 18 20 22 23 25 27",
    45: "1 4 7 9 12 15 17 20 23 26 29 31 34 37 39 42",
    117: "3 10 18 25 32 40 47 54 61 68 76 83 90 98 105 112",
}


@pytest.mark.parametrize("num_frames", SEGMENT)
def test_segment_matches_the_published_indices(num_frames: int) -> None:
    assert clips.segment(num_frames, 16).tolist() == [int(i) for i in SEGMENT[num_frames].split()]


@pytest.mark.parametrize("num_frames", [1, 5, 16, 45, 117])
def test_segment_training_indices_cover_each_segment_with_both_ends(num_frames: int) -> None:
    rng = np.random.default_rng(0)
    draws = np.array([clips.segment(num_frames, 16, rng) for _ in range(400)])
    ends = [round(end) for end in np.arange(17) * (num_frames - 1) / 16]  # Python rounds half to even, too
    for i, column in enumerate(draws.T):
        assert set(column) == set(range(ends[i], ends[i + 1] + 1))


def test_dense_matches_the_published_starts_and_indices() -> None:
    clip = clips.dense(300, 16, rate=4, fps=30, view=(0, 5))
    assert clip.tolist() == [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63]
    assert [clips.dense(300, 16, fps=30, view=(i, 5))[0] for i in range(5)] == [0, 59, 118, 177, 236]
    assert clips.dense(300, 16, fps=30)[0] == 118
    assert clips.dense(20, 16, fps=30)[-3:].tolist() == [19, 19, 19]  # short videos repeat the last frame


def test_dense_scales_its_span_with_the_frame_rate() -> None:
    at_25 = clips.dense(1000, 16, fps=25, view=(0, 5))
    assert at_25[-1] == int(4 * 16 / 30 * 25 - 1)
    assert (clips.dense(1000, 16, fps=0) == clips.dense(1000, 16, fps=30)).all()


def test_dense_at_other_rates_starts_where_kinetics_does() -> None:
    """10 s at 25 fps: a span of 53 1/3 frames, so 49 frames from start to start; at 50 fps 106 2/3 and 98."""
    at_25 = [clips.dense(250, 16, fps=25, view=(i, 5)).tolist() for i in range(5)]
    assert [clip[0] for clip in at_25] == [0, 49, 98, 147, 196]
    assert at_25[0] == [0, 3, 6, 10, 13, 17, 20, 24, 27, 31, 34, 38, 41, 45, 48, 52]
    assert [clips.dense(500, 16, fps=50, view=(i, 5))[0] for i in range(5)] == [0, 98, 196, 294, 392]
    assert clips.dense(250, 16, fps=25)[0] == 98


def test_dense_training_starts_are_uniform() -> None:
    rng = np.random.default_rng(1)
    starts = np.array([clips.dense(164, 16, rng)[0] for _ in range(2000)])
    assert starts.min() == 0
    assert starts.max() == 99
    assert abs(starts.mean() - 49.5) < 2.5  # 29 / sqrt(2000) = 0.65 per standard error


def test_fit_shrinks_the_span_to_short_videos() -> None:
    assert clips.fit(8, 8).tolist() == list(range(8))
    assert clips.fit(16, 8)[-1] == 15
    assert clips.fit(1, 16).tolist() == [0] * 16
    assert (clips.fit(500, 16) == clips.dense(500, 16)).all()


def test_whole_and_keyframe() -> None:
    assert clips.whole(9, 5).tolist() == [0, 2, 4, 6, 8]
    assert clips.whole(1, 4).tolist() == [0, 0, 0, 0]
    assert clips.keyframe(27030, 16, 60).tolist() == list(range(28, 89, 4))  # AVA: c - 32 ... c + 28
    assert clips.keyframe(27030, 16, 60)[8] == 60
    assert clips.keyframe(20, 4, 1).tolist() == [0, 0, 1, 5]


@pytest.mark.parametrize("sampler", ["segment", "dense", "fit", "whole", "keyframe"])
def test_a_still_is_its_one_frame_repeated(sampler: clips.Sampler) -> None:
    assert clips.choose(sampler, 1, 16, np.random.default_rng(0)).tolist() == [0] * 16
    assert clips.choose(sampler, 1, 16).tolist() == [0] * 16


def test_errors() -> None:
    with pytest.raises(ConfigError, match="unknown clip sampler 'middle'"):
        clips.choose("middle", 5, 4)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="from a video of 0"):
        clips.choose("fit", 0, 4)
