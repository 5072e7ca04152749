"""Frames of long videos by number: from files, by seeking, as they decode from the start."""

import io
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pvit_data.codecs.video import decode_video
from pvit_data.codecs.video.file import MAX_PIECE
from pvit_data.codecs.video.long import VideoFile, copy_window, encode_window, frame_table, pictures_at, table
from pvit_data.errors import FormatError
from pvit_data.storage.files import open_regular
from tests.pvit_data.odd_videos import (
    B_FRAMES,
    COUNT,
    SHARP,
    encode,
    frames,
    number,
    numbers,
    odd_videos,
    packets,
    remuxed,
)

OPEN = {**SHARP, "bf": "3", "x264-params": "open-gop=1:b-adapt=0:scenecut=0:keyint=10"}
VP9 = {"g": "10", "lag-in-frames": "12", "auto-alt-ref": "1", "crf": "10", "b": "0"}
HEVC = {"crf": "8", "preset": "ultrafast", "x265-params": "log-level=none:keyint=10:bframes=3"}
FORMS: dict[str, tuple[str, str, dict[str, str], Any]] = {
    "23.976": ("mp4", "libx264", B_FRAMES, Fraction(24000, 1001)),
    "24": ("mp4", "libx264", B_FRAMES, 24),
    "25": ("matroska", "libx264", B_FRAMES, 25),
    "29.97": ("mp4", "libx264", OPEN, Fraction(30000, 1001)),
    "30, fragments": ("mp4", "libx264", B_FRAMES, 30),
    "vp9 in mp4": ("mp4", "libvpx-vp9", VP9, 30),
    "vp9 in webm": ("webm", "libvpx-vp9", VP9, 30),
    "hevc": ("mp4", "libx265", HEVC, 30),
}


def later(data: bytes, container: str, seconds: float) -> bytes:
    """The same packets, all shown later."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format=container) as out:
        stream: Any = out.add_stream_from_template(source.streams.video[0])
        for packet in packets(data):
            shift = round(seconds / packet.time_base)
            packet.pts, packet.stream = packet.pts + shift, stream
            packet.dts = None if packet.dts is None else packet.dts + shift
            out.mux(packet)
    return buffer.getvalue()


def put(folder: Path, data: bytes) -> VideoFile:
    path = folder / "video"
    path.write_bytes(data)
    return VideoFile(open_regular(path))


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> tuple[bytes, float]:
    container, codec, options, rate = FORMS[request.param]
    muxing = {"movflags": "frag_keyframe+empty_moov"} if "fragments" in request.param else {}
    return encode(container, codec, options, frames(), rate, **muxing), float(rate)


def test_frames_are_found_by_number_and_time(form: tuple[bytes, float], tmp_path: Path) -> None:
    data, rate = form
    with put(tmp_path, data) as file:
        found = frame_table(file)
        assert len(found) == COUNT
        assert found.rate == pytest.approx(rate, rel=1e-3)
        np.testing.assert_allclose(found.times, np.arange(COUNT) / rate, atol=1.1e-3)  # Matroska counts milliseconds
        for wanted in (range(COUNT), range(7, 23), range(10, 12), [COUNT - 1], [0, 3, 4, 31, 39]):
            picked = list(pictures_at(file, found, wanted))
            assert [n for n, _ in picked] == list(wanted)
            assert [number(p.to_ndarray(format="rgb24")) for _, p in picked] == list(wanted)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_start_that_is_not_zero(container: str, tmp_path: Path) -> None:
    data = later(encode(container, "libx264", B_FRAMES, frames(), 30), container, 1.5)
    with put(tmp_path, data) as file:
        found = frame_table(file)
        np.testing.assert_allclose(found.times, np.arange(COUNT) / 30, atol=1e-3)
        cut = encode_window(file, found, range(15, 25))
    assert numbers(decode_video(cut.data)) == list(range(15, 25))


def test_the_table_of_mp4_comes_from_its_header_and_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(table, "list_frames", lambda container: read.append(1))
    data = encode("mp4", "libx264", OPEN, frames(), 25)
    with put(tmp_path, data) as file:
        found = frame_table(file)
        assert read == [], "no walk through all packets"
        assert frame_table(file) is found
    times = sorted(packet.pts for packet in packets(data))
    assert found.pts.tolist() == times
    assert np.flatnonzero(found.is_key).tolist() == [0, 10, 20, 30]
    (tmp_path / "video").write_bytes(encode("mp4", "libx264", OPEN, frames(20), 25))
    with VideoFile(open_regular(tmp_path / "video")) as file:
        assert len(frame_table(file)) == 20, "another content of the same name"


@pytest.mark.parametrize("name", sorted(odd_videos(1)))
def test_odd_videos_are_read_right_or_refused(name: str, tmp_path: Path) -> None:
    data = odd_videos(40)[name]
    truth = numbers(decode_video(data))
    with put(tmp_path, data) as file:
        try:
            found = frame_table(file)
        except FormatError as error:
            assert "time" in str(error)  # noqa: PT017
            return
        for wanted in (range(14, 19), range(3, 22), range(8)):
            cut = encode_window(file, found, wanted)
            assert numbers(decode_video(cut.data)) == truth[wanted.start : wanted.stop]


def test_a_file_that_begins_in_the_middle_of_a_group(tmp_path: Path) -> None:
    """Frames count from the first one that decodes, as for whoever decodes the file from its start."""
    data = encode("mp4", "libx264", OPEN, frames(), 25)
    cut = remuxed(data, "matroska", skip=[p.is_keyframe for p in packets(data)].index(True, 1))
    truth = numbers(decode_video(cut))
    assert len(truth) < sum(1 for _ in packets(cut)), "its first frames need some that are gone"
    with put(tmp_path, cut) as file:
        window = encode_window(file, frame_table(file), range(len(truth)))
    assert numbers(decode_video(window.data)) == truth


def test_windows_are_the_bytes_that_short_videos_give(tmp_path: Path) -> None:
    from pvit_data.codecs.video import copy_part, encode_part

    data = encode("mp4", "libx264", B_FRAMES, frames(), 25)
    with put(tmp_path, data) as file:
        found = frame_table(file)
        cut = encode_window(file, found, range(5, 20), short_side=32)
        assert (cut.data, cut.info) == encode_part(data, range(5, 20), short_side=32)
        for part in (range(14, 28), range(28, COUNT), range(3, 14), range(14, 20)):
            assert copy_window(file, found, part) == copy_part(data, part)
    opened = encode("mp4", "libx264", OPEN, frames(), 25)
    with put(tmp_path, opened) as file:
        assert copy_window(file, frame_table(file), range(10, 20)) is None, "open groups do not stand for themselves"


def test_damage_ends_a_window_and_is_told(tmp_path: Path) -> None:
    data = encode("mp4", "libx264", {**SHARP, "bf": "0", "g": "10"}, frames(), 25)
    broken = [bytes(p) for p in packets(data)][25]
    spoiled = data.replace(broken, broken[:4] + b"\xff" * (len(broken) - 4))
    with put(tmp_path, spoiled) as file:
        cut = encode_window(file, frame_table(file), range(18, 32))
        assert numbers(decode_video(cut.data)) == list(range(18, 25))
        assert "25" in cut.damage
        with pytest.raises(FormatError, match="40 frames, asked for 38 to 41"):
            list(pictures_at(file, frame_table(file), range(38, 42)))


def test_files_are_read_in_pieces_of_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 1 << 33)
    with VideoFile(open_regular(path)) as file:
        assert len(file) == 1 << 33
        assert file[(1 << 33) - 4 : (1 << 33) + 10] == bytes(4)
        with pytest.raises(FormatError, match="at most 67,108,864 are read"):
            file[: MAX_PIECE + 1]
        with pytest.raises(FormatError, match="neither MP4, WebM nor AVI"):
            frame_table(file)
