"""Frame tables in files: the same as those that are made, of this video only, and whole or not used."""

import hashlib
import json
import os
import tracemalloc
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_converters.raw.windows import kept_table
from pvit_converters.simulate.long_video import write_long_video
from pvit_data.codecs.video.long import FrameTable, VideoFile, frame_table, table
from pvit_data.storage.files import open_regular


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_long_video(tmp_path / "video.mp4", 300, Fraction(24000, 1001), [range(100, 110)], late=7)
    return tmp_path / "video.mp4"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[VideoFile]]:
    """The files whose tables were made; nothing is remembered in memory."""
    files: list[VideoFile] = []
    read = table._read

    def counted(file: VideoFile) -> FrameTable:
        files.append(file)
        return read(file)

    monkeypatch.setattr(table, "KEPT", 0)
    monkeypatch.setattr(table, "_read", counted)
    yield files
    table._tables.clear()


def take(video: Path, place: Path) -> FrameTable:
    with VideoFile(open_regular(video)) as file:
        return kept_table(file, place)


def assert_same(one: FrameTable, other: FrameTable) -> None:
    assert np.array_equal(one.pts, other.pts)
    assert np.array_equal(one.is_key, other.is_key)
    assert (one.unit, one.rate, one.height, one.width) == (other.unit, other.rate, other.height, other.width)


def test_it_is_made_once_and_comes_back_as_it_was(video: Path, tmp_path: Path, made: list[VideoFile]) -> None:
    place = tmp_path / "kept"
    with VideoFile(open_regular(video)) as file:
        wanted = frame_table(file)
    made.clear()
    for _ in range(3):
        assert_same(take(video, place), wanted)
    assert len(made) == 1
    assert place.stat().st_size < 1000, "300 frames; their distances repeat"


def test_another_video_has_another_table(video: Path, tmp_path: Path, made: list[VideoFile]) -> None:
    place = tmp_path / "kept"
    take(video, place)
    write_long_video(video, 200, Fraction(25), [])
    assert len(take(video, place)) == 200
    os.utime(video, (1, 1))
    assert len(take(video, place)) == 200
    assert len(made) == 3


def wrong(place: Path, **claims: Any) -> None:
    head, _, packed = place.read_bytes().partition(b"\n")
    place.write_bytes(json.dumps(json.loads(head) | claims).encode() + b"\n" + packed)


def bomb(place: Path) -> None:
    """64 MiB of zeros, said to be as many frames as there may be."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    place.write_bytes(place.read_bytes().partition(b"\n")[0] + b"\n" + packed)
    wrong(place, frames=1 << 20, sha256=hashlib.sha256(packed).hexdigest())


DAMAGE = {
    "a byte": lambda p: p.write_bytes(p.read_bytes()[:-9] + b"\x00" + p.read_bytes()[-8:]),
    "its end": lambda p: p.write_bytes(p.read_bytes()[:-9]),
    "all of it": lambda p: p.write_bytes(b""),
    "no table": lambda p: p.write_bytes(b"[" * 5000),
    "no object": lambda p: p.write_bytes(b"7\n"),
    "no file": lambda p: (p.unlink(), p.mkdir()),
    "too many frames": lambda p: wrong(p, frames=1 << 40),
    "fewer frames": lambda p: wrong(p, frames=-1),
    "no unit": lambda p: wrong(p, unit=[1, 0]),
    "no numbers": lambda p: wrong(p, size="ab"),
    "no rate": lambda p: wrong(p, rate=float("nan")),
    "of a later version": lambda p: wrong(p, version=2),
    "a bomb": bomb,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_is_made_anew(kind: str, video: Path, tmp_path: Path, made: list[VideoFile]) -> None:
    place = tmp_path / "kept"
    wanted = take(video, place)
    DAMAGE[kind](place)
    tracemalloc.start()
    assert_same(take(video, place), wanted)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    assert len(made) == 2
