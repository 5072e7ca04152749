"""Clips cut out of longer videos: exact to the frame, whatever the rate, the container and the order of its frames."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_converters.engine.run import Job, convert
from pvit_converters.raw.video import Clip
from pvit_converters.videos import VideosConverter, VideosOptions, pictures
from pvit_converters.videos.pictures import CUT_SHORT, read_pictures
from pvit_data.codecs.video import decode_video
from pvit_data.errors import SourceError
from tests.pvit_data.odd_videos import (
    B_FRAMES,
    COUNT,
    MIRRORS,
    encode,
    frames,
    numbers,
    odd_videos,
    packets,
    with_matrix,
)

RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30)]
KEYS = 14
"""Distance of the key frames."""


@pytest.fixture(scope="module", params=RATES, ids=["24", "25", "29.97", "30"])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fraction]:
    """Numbered frames, B-frames between them, and their rate."""
    path = tmp_path_factory.mktemp("video") / "long.mp4"
    path.write_bytes(encode("mp4", "libx264", B_FRAMES, frames(), request.param))
    return path, request.param


@pytest.fixture(params=[pictures.LONG, 0], ids=["in memory", "in the file"], autouse=True)
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here is of short and of long videos."""
    monkeypatch.setattr(pictures, "LONG", request.param)


def shown(clip: Clip) -> list[int]:
    assert isinstance(clip.rgb, pvit_data.EncodedMedia)
    found = numbers(decode_video(clip.rgb.data))
    assert len(found) == clip.num_frames
    return found


@pytest.mark.parametrize(("first", "end"), [(0, 1), (1, 2), (5, 20), (13, 14), (17, 39), (3, COUNT)])
def test_exact_in_seconds_and_frames(video: tuple[Path, Fraction], first: int, end: int) -> None:
    path, rate = video
    wanted = list(range(first, end))
    assert shown(read_pictures(path, first, end, "frames")) == wanted
    for digits in (2, 3, 9):  # as tables write them
        start, stop = (round(float(n / rate), digits) for n in (first, end))
        assert shown(read_pictures(path, start, stop, "seconds")) == wanted
    clip = read_pictures(path, first, end, "frames")
    assert clip.fps == pytest.approx(float(rate), rel=1e-3) or clip.num_frames == 1


@pytest.mark.parametrize(("first", "end"), [(KEYS, 2 * KEYS), (0, KEYS), (KEYS, COUNT)])
def test_packets_are_copied_between_key_frames(video: tuple[Path, Fraction], first: int, end: int) -> None:
    path, _ = video
    clip = read_pictures(path, first, end, "frames")
    assert isinstance(clip.rgb, pvit_data.EncodedMedia)
    pictures = [bytes(p) for p in packets(path.read_bytes())]
    copied = [bytes(p) for p in packets(clip.rgb.data)]
    assert copied == pictures[first:end], "byte for byte, since groups are closed"
    assert shown(clip) == list(range(first, end))


def test_all_of_a_video_is_its_bytes(video: tuple[Path, Fraction]) -> None:
    path, _ = video
    clip = read_pictures(path, 0, None, "seconds")
    assert isinstance(clip.rgb, pvit_data.EncodedMedia)
    assert clip.rgb.data == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", B_FRAMES | {"x264-params": "open-gop=1:b-adapt=0:scenecut=0:keyint=10"}),
        ("a.webm", "libvpx-vp9", {"g": "10", "lag-in-frames": "12", "auto-alt-ref": "1", "crf": "10", "b": "0"}),
        ("a.mkv", "libx265", {"crf": "8", "preset": "ultrafast", "x265-params": "log-level=none:keyint=10:bframes=3"}),
        ("a.avi", "mpeg4", {"q": "2", "qmin": "2", "qmax": "2", "g": "10"}),
        ("a.mov", "libx264", B_FRAMES),
        ("b.mkv", "libx264", {**B_FRAMES, "x264-params": "b-adapt=0:scenecut=0:keyint=10"}),
    ],
)
def test_other_containers_and_open_groups(name: str, codec: str, options: dict[str, str], tmp_path: Path) -> None:
    form = {"mkv": "matroska"}.get(name[2:], name[2:])
    (tmp_path / name).write_bytes(encode(form, codec, options, frames(), 25))
    for first, end in ((7, 23), (10, 30), (30, COUNT)):
        assert shown(read_pictures(tmp_path / name, first, end, "frames")) == list(range(first, end))
        assert shown(read_pictures(tmp_path / name, first / 25, end / 25, "seconds")) == list(range(first, end))


@pytest.mark.parametrize("name", sorted(odd_videos(1)))
def test_odd_videos_are_cut_as_they_decode_from_the_start(name: str, tmp_path: Path) -> None:
    data = odd_videos(40)[name]
    (tmp_path / name).write_bytes(data)
    truth = numbers(decode_video(data))
    for first, end in ((14, 19), (3, 22), (0, 8)):
        assert shown(read_pictures(tmp_path / name, first, end, "frames")) == truth[first:end]


def test_what_is_not_there(video: tuple[Path, Fraction]) -> None:
    path, _ = video
    clip = read_pictures(path, 30, 100, "frames")
    assert shown(clip) == list(range(30, COUNT))
    assert clip.warnings == (CUT_SHORT,)
    with pytest.raises(SourceError, match=r"from 50 to 60 frames has no frame of this video, which has 40") as error:
        read_pictures(path, 50, 60, "frames")
    assert error.value.reason == "bad-times"


def test_a_turned_video_is_cut_upright(tmp_path: Path) -> None:
    upright = encode("mp4", "libx264", B_FRAMES, frames(20), 25)
    (tmp_path / "phone.mp4").write_bytes(with_matrix(upright, MIRRORS["clockwise"][0]))
    clip = read_pictures(tmp_path / "phone.mp4", 14, 20, "frames")
    assert (clip.height, clip.width) == (96, 64)
    assert shown(clip) == list(range(14, 20))


def test_a_table_of_cuts(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "day.mp4").write_bytes(encode("mp4", "libx264", B_FRAMES, frames(), 20))
    rows = ["day.mp4,open,0:00,0:00:00.5", "day.mp4,close,0.5,1.25", "day.mp4,open,1.25,", "day.mp4,close,9,10"]
    (raw / "cuts.csv").write_text("path,label,start,end\n" + "\n".join(rows))
    options: dict[str, Any] = {"name": "day", "table": raw / "cuts.csv"}
    report = convert(Job(VideosConverter, raw, str(tmp_path / "out"), VideosOptions(**options), max_failed=0.5))
    assert (report.converted, report.failed) == (3, {"bad-times": 1})
    found = {s.key: s for s in pvit_data.open(tmp_path / "out")}
    wanted = {"day-day-s0-e500": (0, 10), "day-day-s500-e1250": (10, 25), "day-day-s1250": (25, 40)}
    assert {key: numbers(np.asarray(s.rgb)) for key, s in found.items()} == {
        key: list(range(*span)) for key, span in wanted.items()
    }
    assert {s.group for s in found.values()} == {"day.mp4"}, "one video, one split"
    assert len({s.split for s in found.values()}) == 1
    assert found["day-day-s1250"].meta["start"] == 1.25
    assert found["day-day-s1250"].meta["end"] == -1
