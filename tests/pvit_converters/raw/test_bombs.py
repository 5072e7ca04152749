"""Small raw files that would fill the memory or take minutes: refused by what they claim, before anything is made."""

import io
import json
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pvit_converters.raw.files import parse_json
from pvit_converters.raw.hdf5 import read_hdf5
from pvit_converters.raw.images import decode_image
from pvit_converters.raw.mat import MatFile
from pvit_converters.raw.zips import read_place
from pvit_data.codecs.still import check_scans, decode_still, probe_still
from pvit_data.errors import FormatError, SourceError
from tests.bombs import deflated, raw_deflated, require_cheap

READ_HDF5 = """
from pvit_converters.raw.hdf5 import read_hdf5
print(read_hdf5(Path(sys.argv[1]), (None, None), "f").shape)
"""


def write_chunk(path: Path, shape: tuple[int, int], chunk: tuple[int, int], data: bytes) -> None:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("dataset", shape, "f4", maxshape=(None, None), chunks=chunk, compression="gzip")
        dataset.id.write_direct_chunk((0, 0), data)


def test_a_chunk_of_a_gibibyte_behind_a_small_shape(tmp_path: Path) -> None:
    write_chunk(tmp_path / "a.h5", (16, 16), (16_384, 16_384), deflated(1024))
    assert "1 chunks of 1073741824 bytes" in require_cheap(READ_HDF5, tmp_path / "a.h5")


def test_a_chunk_that_inflates_to_more_than_it_is(tmp_path: Path) -> None:
    write_chunk(tmp_path / "a.h5", (1024, 1024), (1024, 1024), deflated(2048))
    assert "a chunk of 4194304 bytes inflates to more" in require_cheap(READ_HDF5, tmp_path / "a.h5")


def test_a_chunk_that_is_deflated_twice(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((16, 16))
        properties.set_deflate(9)
        properties.set_filter(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FLAG_OPTIONAL, (9,))
        space = h5py.h5s.create_simple((16, 16))
        h5py.h5d.create(file.id, b"dataset", h5py.h5t.IEEE_F32LE, space, properties)
    with pytest.raises(SourceError, match=r"HDF5 filters \[1, 1\]; refused"):
        read_hdf5(tmp_path / "a.h5", (None, None), "f")


@pytest.mark.parametrize("options", [{}, {"shuffle": True, "fletcher32": True}])
def test_large_chunks_of_any_content_are_read(tmp_path: Path, options: dict[str, bool]) -> None:
    """Noise, which deflate stores as it is or leaves out, and zeros."""
    for array in (np.random.default_rng(0).random((1024, 512), np.float32), np.zeros((1024, 512), np.float32)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("dataset", data=array, chunks=(1024, 512), compression="gzip", **options)
        np.testing.assert_array_equal(read_hdf5(tmp_path / "a.h5", (None, None), "f"), array)


def test_bytes_that_are_doubles_once_read(tmp_path: Path) -> None:
    """240 MiB of zeros as bytes are 1.9 GiB as the array that the header announces."""
    size = 240 << 20
    inner = np.array([14, size + 48, 6, 8, 6, 0, 5, 8, size // 16, 16, 1, 1], "<u4").tobytes()
    inner += b"a".ljust(8, b"\0") + np.array([2, size], "<u4").tobytes()
    packer = zlib.compressobj(1)
    packed = packer.compress(inner) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(240)) + packer.flush()
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + np.array([15, len(packed)], "<u4").tobytes() + packed)
    code = "from pvit_converters.raw.mat import MatFile\nMatFile(Path(sys.argv[1])).array('a')"
    assert f"'a' claims {8 * size} bytes" in require_cheap(code, path)
    with pytest.raises(SourceError) as caught:
        MatFile(path).array("a")
    assert caught.value.reason == "too-large"


def test_a_zip_member_of_a_gibibyte(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("b.avi", raw_deflated(1000))
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    for place in (8, raw.rfind(b"PK\1\2") + 10):  # in the member's own header and in the directory
        raw[place : place + 2] = b"\x08\0"
        raw[place + 14 : place + 18] = (1000 << 20).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(raw)
    assert len(raw) < 2_000_000
    code = "from pvit_converters.raw.zips import read_place\nread_place(Path(sys.argv[1]), 'a.zip!b.avi')"
    assert "SourceError too-large" in require_cheap(code, tmp_path)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 25) + 1])
def test_members_of_common_ratios_are_read(tmp_path: Path, size: int) -> None:
    data = (np.arange(size // 4 + 1, dtype=np.uint32) // 7).tobytes()[:size]
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("b.json", data)
    assert read_place(tmp_path, "a.zip!b.json") == data


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_damaged_members_of_every_kind(tmp_path: Path, kind: int) -> None:
    refused = 0
    for place in range(34, 60):
        with zipfile.ZipFile(tmp_path / f"{place}.zip", "w", kind) as file:
            file.writestr("b.json", bytes(range(256)) * 20)
        raw = bytearray((tmp_path / f"{place}.zip").read_bytes())
        raw[place] ^= 0x5A
        (tmp_path / f"{place}.zip").write_bytes(raw)
        try:
            read_place(tmp_path, f"{place}.zip!b.json")
        except SourceError as error:
            assert error.reason == "corrupt-zip"  # noqa: PT017
            refused += 1
    assert refused > 10


def test_a_member_that_is_longer_than_the_directory_says(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("b.json", bytes(1000))
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    place = raw.rfind(b"PK\1\2") + 24
    raw[place : place + 4] = (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(SourceError, match="cannot be read"):
        read_place(tmp_path, "a.zip!b.json")


@pytest.mark.parametrize(("unit", "count"), [("[],", 20_000_000), ('{"":0},', 9_000_000), ("1.5,", 4_000_000)])
def test_json_of_very_many_values(tmp_path: Path, unit: str, count: int) -> None:
    text = "[" + unit * count + "0]"
    (tmp_path / "a.json").write_text(text)
    code = "from pvit_converters.raw.files import read_json\nprint(len(read_json(Path(sys.argv[1]))))"
    require_cheap(code, tmp_path / "a.json")


def test_json_of_labels_is_read() -> None:
    """As long as the list of SSv2's training videos, the longest that is read at once."""
    row = {
        "id": "78687",
        "label": "holding potato next to vicks",
        "template": "Holding [a] next to [b]",
        "placeholders": ["a", "b"],
    }
    assert len(parse_json(json.dumps([row] * 168_913).encode(), "x")) == 168_913


def progressive(scans: int, width: int, height: int, mode: str = "L") -> bytes:
    """A JPEG whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "JPEG", progressive=True, quality=10)
    data = buffer.getvalue()
    last = data.rfind(b"\xff\xc4", 0, data.rfind(b"\xff\xda"))
    found = data.count(b"\xff\xda")
    return data[:-2] + data[last:-2] * (scans - found) + data[-2:]


def test_a_jpeg_of_six_thousand_scans(tmp_path: Path) -> None:
    data = progressive(6000, 5792, 5792)
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    code = """
from pvit_converters.raw.images import read_still
from pvit_data.codecs.still import decode_still, probe_still
for read in (probe_still, decode_still):
    try:
        read(Path(sys.argv[1]).read_bytes())
    except PvitError as error:
        print(error)
read_still(Path(sys.argv[1]))
"""
    assert require_cheap(code, path).count("JPEG of 5792 x 5792 pixels has more than 64 scans") == 3


def test_scans_are_counted_where_decoders_count_them() -> None:
    assert probe_still(progressive(100, 64, 48)).width == 64
    with pytest.raises(FormatError, match="has more than 100 scans"):
        probe_still(progressive(101, 64, 48))
    with pytest.raises(SourceError, match="has more than 100 scans"):
        decode_image(progressive(101, 64, 48), "x.jpg")
    # The bytes of a scan's marker in metadata, and behind the end, are none.
    buffer = io.BytesIO()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    picture.save(buffer, "JPEG", progressive=True, exif=b"Exif\0\0" + b"\xff\xda" * 500, icc_profile=b"\xff\xda" * 9000)
    data = buffer.getvalue() + b"\xff\xda\0\x08" * 500
    assert decode_still(data).shape == (48, 64, 3)
    for options in ({}, {"subsampling": 0}, {"quality": 100, "optimize": True}, {"restart_marker_blocks": 1}):
        plain = io.BytesIO()
        picture.save(plain, "JPEG", **options)
        check_scans(plain.getvalue() + b"\xff\xda\0\x08" * 500, 48, 64)


@pytest.mark.parametrize("cut", [2, 3, 20, 200, 600])
def test_a_jpeg_that_ends_anywhere_is_no_other_error(cut: int) -> None:
    check_scans(progressive(20, 64, 48)[:cut], 48, 64)


def test_a_recording_of_many_bodies_and_frames(tmp_path: Path) -> None:
    """64 bodies in the first four of as many frames as it may announce, with nobody in the rest."""
    body = "{} " + "0 " * 9 + "25 " + "0 " * (12 * 25)
    first = " ".join("16 " + " ".join(body.format(16 * f + b) for b in range(16)) for f in range(4))
    (tmp_path / "a.skeleton").write_text(f"10000 {first} " + "0 " * 9996)
    code = """
from pvit_converters.annotations.kinect import read_recording
print(read_recording(Path(sys.argv[1])).joints.shape)
"""
    assert "(10000, 64, 25, 3)" in require_cheap(code, tmp_path / "a.skeleton")
    (tmp_path / "a.skeleton").write_text(f"9999 {first}")
    assert "SourceError bad-skeleton" in require_cheap(code, tmp_path / "a.skeleton")
    (tmp_path / "a.skeleton").write_bytes(b"1 " * (1 << 24))
    assert "SourceError bad-skeleton" in require_cheap(code, tmp_path / "a.skeleton")
