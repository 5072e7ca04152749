"""Hostile archives: refused by name, nothing executed, nothing large allocated."""

import contextlib
import gc
import gzip
import io
import json
import os
import pickle
import re
import resource
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data.codecs import tiff
from pvit_data.codecs.video import decode_video, probe_video
from pvit_data.decoders import decode
from pvit_data.errors import FormatError, PvitError, UsageError
from pvit_data.format.record import read_record
from pvit_data.format.tar import END, write_header, write_member
from pvit_data.sample.sample import Sample
from pvit_data.storage.open_files import OPEN
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.writing.encode import Encoding, encode_sample
from tests.pvit_data.samples import SPACES, full_sample

FULL = bool(os.environ.get("PVIT_TORTURE"))
pytestmark = pytest.mark.torture


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """R6: whatever is thrown at it, the reader answers in ten seconds and stays below 1.5 GB.

    A quarter of a gigabyte is for the libraries, which in a test's process are other ones than in a reader's.
    """
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak so far
    before, begun = memory("VmRSS"), time.process_time()
    yield
    assert time.process_time() - begun < 10
    assert memory("VmHWM") - before < 1.25e9


def memory(what: str) -> int:
    """Bytes that this process has now (VmRSS) or had at most (VmHWM)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found is not None
    return 1024 * int(found[1])


def files() -> dict[str, bytes]:
    return dict(encode_sample(full_sample(0), Encoding(spaces=SPACES)).files)


def member(kind: bytes = tarfile.REGTYPE, name: str = "a.json", size: int = 0, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info.tobuf(tarfile.USTAR_FORMAT)


class Executed:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Executed.trace, ())

    ran = False

    @staticmethod
    def trace() -> None:
        Executed.ran = True


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (member(tarfile.SYMTYPE, link="/etc/passwd"), "a symbolic link"),
        (member(tarfile.LNKTYPE, link="b.json"), "a hard link"),
        (member(tarfile.CHRTYPE), "a device"),
        (member(tarfile.BLKTYPE), "a device"),
        (member(tarfile.FIFOTYPE), "a pipe"),
        (member(tarfile.DIRTYPE), "a folder"),
        (member(tarfile.GNUTYPE_SPARSE, size=6 << 30), "a sparse file"),
        (member(tarfile.XHDTYPE), "a pax header"),
        (member(tarfile.GNUTYPE_LONGNAME), "a GNU long name"),
        (member(name="../a.json"), "flat name"),
        (member(name="/etc/a.json"), "flat name"),
        (member(name="a/b.json"), "flat name"),
        (member(name="A.json"), "flat name"),
        (member(name="json"), "flat name"),
        (member(size=(1 << 30) + 1), "claims 1073741825 bytes"),
        (member(size=8**11 - 1), "claims 8589934591 bytes"),
        (member(size=99), "ends inside member 'a.json'"),
        (member()[:-3], "ends inside a header"),
        (b"PK\x03\x04" + bytes(508), "octal"),
        (write_member("a.json", b"{}") * 2 + END, "comes twice"),
        (b"".join(write_member(f"{k}.json", b"{}") for k in "aba") + END, "lacks the key"),
    ],
)
def test_archive_is_refused(tmp_path: Path, archive: bytes, message: str) -> None:
    (tmp_path / "train-00000.tar").write_bytes(archive)
    with pytest.raises(FormatError, match=message):
        list(pvit_data.open(tmp_path))


def test_executable_members_are_never_looked_at(tmp_path: Path) -> None:
    """Pickles and torch files beside the format's members: ignored, whatever they are called."""
    contents = files()
    for extension in ("pkl", "pyd", "pth", "pickle", "depth.pyd", "npy.gz"):
        contents[extension] = pickle.dumps(Executed())
    blocks = [write_member(f"mine-0000.{extension}", data) for extension, data in sorted(contents.items())]
    (tmp_path / "train-00000.tar").write_bytes(b"".join([*blocks, END]))
    assert [s.key for s in pvit_data.open(tmp_path)] == ["mine-0000"]
    assert not Executed.ran


@pytest.mark.parametrize("extension", sorted(files()))
def test_pickle_under_any_member_name_is_refused(extension: str) -> None:
    object_array = io.BytesIO()
    np.save(object_array, np.array([Executed()], object), allow_pickle=True)
    for data in (pickle.dumps(Executed()), object_array.getvalue()):
        with pytest.raises(FormatError):
            decode(files() | {extension: data})
    assert not Executed.ran


def bomb(make: Callable[[], object]) -> None:
    """Is refused, with 1.5 GB of address space more than now."""
    with pytest.raises(FormatError):
        bomb_free(make)


def bomb_free(make: Callable[[], object]) -> None:
    """Runs with 1.5 GB of address space more than now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 1_500_000_000, before[1]))
    try:
        make()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_picture_bombs() -> None:
    """A PNG of 400 million pixels in 389 kB named JPEG, and a JPEG whose header claims 65,500 x 65,500."""
    from PIL import Image

    png, jpeg = io.BytesIO(), io.BytesIO()
    Image.new("1", (20000, 20000)).save(png, "PNG")
    Image.new("L", (8, 8)).save(jpeg, "JPEG")
    data = jpeg.getvalue()
    sizes = data.index(b"\xff\xc0") + 5
    huge = data[:sizes] + (65500).to_bytes(2, "big") * 2 + data[sizes + 4 :]
    record = json.loads(files()["json"]) | {"rgb_encoding": "jpg", "frames": 1, "fields": ["rgb"]}
    for picture in (png.getvalue(), huge, gzip.compress(bytes(10_000_000))):
        for size in ({}, {"height": 20000, "width": 20000}, {"height": 65500, "width": 65500}):
            text = json.dumps(record | size).encode()
            bomb(lambda text=text, picture=picture: decode({"json": text, "rgb.jpg": picture}))  # type: ignore[misc]


def test_compressed_archives_are_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "train-00000.tar").write_bytes(gzip.compress(bytes(200_000_000), 1))
    with pytest.raises(FormatError, match="octal"):
        list(pvit_data.open(tmp_path))


def append_tiny_members(path: Path, name: str, number: int = 1_000_000 if FULL else 10_000) -> None:
    """Puts empty members `NAME0000000` and so on at the end of an archive that has none yet."""
    head = np.frombuffer(write_header(f"{name}0000000", 0), np.uint8)
    plain = int(head[:148].sum()) - 7 * 48 + 8 * 32 + int(head[156:].sum())
    with path.open("ab") as file:
        for start in range(0, number, 10_000):
            headers = np.tile(head, (10_000, 1))
            digits = 48 + np.arange(start, start + 10_000)[:, None] // 10 ** np.arange(7)[::-1] % 10
            headers[:, len(name) : len(name) + 7] = digits
            headers[:, 148:154] = 48 + (plain + digits.sum(1))[:, None] // 8 ** np.arange(6)[::-1] % 8
            file.write(headers.tobytes())
        file.write(END)


@pytest.mark.parametrize(
    ("name", "message"), [("a.x", "sample 'a' has more than 100 files"), ("a.json.x", "more than 100 files")]
)
def test_a_million_tiny_members(tmp_path: Path, name: str, message: str) -> None:
    append_tiny_members(tmp_path / "train-00000.tar", name)
    with tarfile.open(tmp_path / "train-00000.tar") as opened:
        assert [opened.next(), opened.next()] != [None, None]  # a sound archive
    for policy in ("raise", "skip"):
        dataset = pvit_data.open(tmp_path, on_corrupt=policy)  # type: ignore[arg-type]
        if policy == "raise":
            with pytest.raises(FormatError, match=message):
                list(dataset)
        else:
            assert list(dataset) == []
            assert len(dataset.skipped) == 1


def test_a_million_members_behind_the_listed_ones(tmp_path: Path) -> None:
    with pvit_data.ShardWriter(tmp_path, "mine") as writer:
        writer.write(Sample(key="a", num_frames=1, action=1.0))
    shard = tmp_path / "mine/train-00000.tar"
    shard.write_bytes(shard.read_bytes()[: -len(END)])
    append_tiny_members(shard, "b.x")
    report = validate(tmp_path)
    assert report.counts["member-unlisted"] == 2000
    assert any("not looked at" in problem.message for problem in report.of_kind("shard-layout"))
    assert [s.key for s in pvit_data.open(tmp_path)] == ["a"]


@pytest.mark.parametrize(
    ("container", "codec", "old", "new"),
    [
        ("mp4", "libx264", b"\x00\x01" + bytes(16) + b"\x00\x40" * 2, b"\x00\x01" + bytes(16) + b"\xff\xff" * 2),
        ("webm", "libvpx", b"\xb0\x81\x40\xba\x81\x40", b"\xb0\x81\xff\xba\x81\xff"),
        ("avi", "mpeg4", b"\x28\x00\x00\x00\x40\x00\x00\x00\x40\x00\x00\x00", b"\x28\0\0\0" + b"\x40\x42\x0f\0" * 2),
    ],
    ids=["mp4", "webm", "avi"],
)
def test_videos_that_claim_to_be_large(container: str, codec: str, old: bytes, new: bytes) -> None:
    """An AVI of a million by a million pixels, an MP4 of 65,535 by 65,535; a WebM that lies about its 64."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, 5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        output.mux([*stream.encode(picture), *stream.encode(None)])
    data = buffer.getvalue()
    assert decode_video(data).shape == (1, 64, 64, 3)
    assert old in data
    for read in (decode_video, probe_video):
        with contextlib.suppress(FormatError):  # the stream itself may tell the truth
            bomb_free(lambda read=read: read(data.replace(old, new)))  # type: ignore[misc]


def test_a_video_that_is_large() -> None:
    """67 million pixels in some kilobytes."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("libx264", 5, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 8192, 8192, "yuv420p"
        stream.codec_context.thread_count = 1
        picture = av.VideoFrame(8192, 8192, "yuv420p")
        output.mux([*stream.encode(picture), *stream.encode(None)])
    bomb(lambda: decode_video(buffer.getvalue()))
    bomb(lambda: probe_video(buffer.getvalue()))


def test_bombs() -> None:
    """A TIFF whose header claims more than its strips can hold, one that really inflates far, and lying records."""
    small = tiff.write_tiff(np.zeros((1, 8, 8), np.uint8), tiff.UINT8)
    huge = tiff._header(tiff.UINT8, 5000, 6000, np.array([20])) + small[-20:]
    bomb(lambda: tiff.TiffReader(huge).read())
    bomb(lambda: tiff.TiffReader(tiff._header(tiff.UINT8, 1 << 20, 1 << 20, np.array([20])) + small[-20:]).read())
    page = tiff.write_tiff(np.zeros((1, 4096, 8192), np.uint8), tiff.UINT8)
    start = len(tiff._header(tiff.UINT8, 4096, 8192, np.array([1])))
    many = tiff._header(tiff.UINT8, 4096, 8192, np.full(40, len(page) - start)) + page[start:] * 40
    bomb(lambda: tiff.TiffReader(many).read())
    record = json.loads(files()["json"])
    bomb(lambda: decode(files() | {"json": json.dumps(record | {"frames": 1 << 30}).encode()}))
    bomb(lambda: decode(files() | {"json": json.dumps(record | {"height": 1 << 30, "width": 1 << 30}).encode()}))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"null", b"{}", b"{" * 100_000, b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b'{"key": NaN}',
        b"1" * 5000, b'{"key": 1' + b"0" * 5000 + b"}", b'"' + b"x" * (1 << 25) + b'"',
    ],
)  # fmt: skip
def test_record_that_is_none(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_record(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": "6"}, "frames = '6', expected int"),
        ({"fps": None}, "fps = 'None', expected float"),
        ({"segm_frames": [0, 1.5]}, "segm_frames"),
        ({"format": 2}, "format version 2, this reader knows 1: update"),
        ({"depth_encoding": "exec"}, "depth encoding 'exec'"),
        ({"rgb_encoding": "../../x"}, "rgb encoding"),
        ({"depth_frames": [0, 1, 2, 3, 4, 9]}, "not ascending"),
        ({"segm_frames": [1 << 80]}, "does not fit into 32 bits"),
        ({"meta": "[1]"}, "meta is not a JSON object"),
        ({"key": "../x"}, "sample key"),
    ],
)
def test_lying_records(change: dict[str, Any], message: str) -> None:
    record = json.loads(files()["json"]) | change
    with pytest.raises(FormatError, match=message):
        decode(files() | {"json": json.dumps(record).encode()})


@pytest.mark.parametrize(
    "url", ["pipe:cat /etc/passwd", "pipe://cat", "simplecache::http://x", "ssh://host/x", "zip://x::http://y"]
)
def test_only_listed_schemes_are_opened(url: str) -> None:
    with pytest.raises(UsageError):
        pvit_data.open(url)


@pytest.mark.parametrize("name", ["../up/train-00000.tar", "/etc/passwd", "mine/train-0.tar", "mine/../../x-00000.tar"])
def test_manifest_cannot_point_outside(tmp_path: Path, name: str) -> None:
    with pvit_data.ShardWriter(tmp_path, "mine") as writer:
        writer.write(Sample(key="a", num_frames=1, action=1.0))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["sources"]["mine"]["splits"]["train"]["shards"][0]["name"] = name
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PvitError, match=r"shard name .* is not SOURCE/SPLIT-NUMBER\.tar"):
        pvit_data.open(tmp_path)


def test_names_that_no_header_may_hold() -> None:
    for name in ("../a.json", "a" * 120 + ".json", "a b.json", "a"):
        with pytest.raises(FormatError, match="USTAR header"):
            write_header(name, 3)


def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for i in range(OPEN.most + 50):
        (tmp_path / f"{i}").write_bytes(b"x")
        storage.read_range(f"{i}", 0, 1)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + OPEN.most
    storage.close()
    gc.collect()  # what other tests left open may close only now
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
