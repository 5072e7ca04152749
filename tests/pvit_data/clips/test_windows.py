"""Samplers of windows cut out of longer videos: the published vectors, in numbers of the full video."""

import numpy as np
import pytest

from pvit_data.clips.about import About
from pvit_data.clips.config import ClipConfig
from pvit_data.clips.frames import WindowStart, choose, ego4d_grid, ego4d_window
from pvit_data.clips.view import Viewer
from pvit_data.codecs.video import VideoInfo
from pvit_data.errors import ConfigError


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (74, 314, list(range(75, 301, 15))),
        (49, 202, list(range(50, 201, 10))),
        (6919, 7140, list(range(6929, 7125, 13))),
    ],
)
def test_the_grid_of_ego4d_lies_on_the_full_video(start: int, end: int, frames: list[int]) -> None:
    assert ego4d_grid(start, end).tolist() == frames
    lower = [f for f in range(start, end) if f % ((end - start) // 16) == 0]
    upper = [f for f in range(start, end) if f % -(-(end - start) // 16) == 0]
    assert frames == (lower if len(upper) < 16 else upper)[:16], "as published"
    about = About.of({"parent_start_frame": start, "parent_end_frame": end})
    assert choose("ego4d-grid", end - start + 1, 16, about=about).tolist() == [f - start for f in frames]
    short = choose("ego4d-grid", 100, 16, about=about)
    assert short.max() == 99, "a window whose video ends repeats its last frame"


@pytest.mark.parametrize("length", [1, 5, 15, 16, 17, 31, 32, 33, 153, 240])
@pytest.mark.parametrize("start", [0, 1, 49, 6919])
def test_the_grid_is_the_published_loop(start: int, length: int) -> None:
    found = ego4d_grid(start, start + length)
    assert len(found) == 16
    if length >= 16:
        low, high = length // 16, -(-length // 16)
        lower = [f for f in range(start, start + length) if f % low == 0]
        upper = [f for f in range(start, start + length) if f % high == 0]
        assert found.tolist() == (lower if len(upper) < 16 else upper)[:16]


def test_training_windows_of_ego4d_hold_the_change() -> None:
    rng = np.random.default_rng(0)
    windows = [ego4d_window(2.4877, 10.4877, 184, rng) for _ in range(500)]
    assert all(74 <= first <= 184 <= last <= 314 for first, last in windows)
    lengths = [last - first for first, last in windows]
    assert min(lengths) >= 149
    free = [ego4d_window(0.0, 8.0, None, rng) for _ in range(500)]
    assert min(first for first, _ in free) < 5, "windows may begin with the row"
    assert max(last for _, last in free) > 235
    short = [ego4d_window(1.0, 6.0, None, rng) for _ in range(50)]
    assert all(30 <= first < last <= 180 for first, last in short)


def test_the_published_start_is_theirs() -> None:
    """A window of length L begins between 1 s and 8 - L, so that of 5 s never before 1 s; the change stays in it."""
    rng = np.random.default_rng(0)
    windows = [ego4d_window(0.0, 8.0, None, rng, "published") for _ in range(2000)]
    for first, last in windows:
        length = (last - first + 1) / 30
        slack = 8 - length if last < 240 else 0  # of those that end with the row no more is known
        assert min(1, slack) - 0.07 <= first / 30 <= max(1, slack + 0.07, 8 - 5)
    assert min(first for first, last in windows if last - first <= 165) >= 29, "5.5 s or less: not before 1 s"
    assert any(first < 5 for first, _ in windows), "8 s begin anywhere below 1 s"
    with_change = [ego4d_window(2.4877, 10.4877, 80, rng, "published") for _ in range(200)]
    assert all(74 <= first <= 80 <= last <= 314 for first, last in with_change)


def test_the_configuration_chooses_the_start() -> None:
    about = About.of({"parent_start_frame": 0, "parent_end_frame": 240, "parent_start_sec": 0.0, "parent_end_sec": 8.0})
    video = VideoInfo(241, 30.0, 32, 32)

    def earliest(start: WindowStart) -> int:
        viewer = Viewer(ClipConfig(size=(32, 32), window_start=start), "ego4d-grid")
        rngs = map(np.random.default_rng, range(200))
        views = [viewer.training(video, 0, rng, about).frames for rng in rngs]
        return min(int(view[0]) for view in views if view[-1] - view[0] < 150)  # of about 5 s

    assert earliest("intended") < 15
    assert earliest("published") >= 29


def test_ava_takes_every_fourth_place_of_its_grid() -> None:
    grid = [min(n * 4 // 5, 50) for n in range(64)]
    about = About.of({"grid": grid, "key_frame": grid[32]})
    found = choose("keyframe", 51, 16, rate=4, about=about)
    assert found.tolist() == grid[0::4]
    assert found[8] == grid[32]


@pytest.mark.parametrize(("length", "rate", "kept"), [(32, 3, 64), (16, 8, 64), (32, 4, 96)])
def test_ava_clips_longer_than_what_was_kept_are_refused(length: int, rate: int, kept: int) -> None:
    """Else the outermost frame would stand for pictures that the movie has."""
    with pytest.raises(ConfigError, match=rf"rate {rate} need {length * rate} places .* and {kept} were kept"):
        choose("keyframe", kept, length, rate=rate, about=About.of({"grid": list(range(kept))}))


@pytest.mark.parametrize(("length", "rate", "kept"), [(16, 4, 64), (32, 2, 64), (32, 3, 96), (8, 4, 64), (1, 64, 64)])
def test_ava_clips_of_all_that_was_kept_are_taken(length: int, rate: int, kept: int) -> None:
    found = choose("keyframe", kept, length, rate=rate, about=About.of({"grid": list(range(kept))}))
    assert found.tolist() == [kept // 2 + rate * (n - length // 2) for n in range(length)]


@pytest.mark.parametrize("meta", [{"grid": "no"}, {"grid": [1, "a"]}, {"key_frame": True}, {"parent_start_frame": -3}])
def test_what_is_of_another_form_counts_as_not_said(meta: dict[str, object]) -> None:
    assert About.of(meta) == About()
