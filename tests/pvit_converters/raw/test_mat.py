"""Our MATLAB reader against scipy's writer and reader, and against damaged and hostile files."""

import contextlib
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from pvit_converters.raw.mat import MatFile
from pvit_data.errors import SourceError

VALUES: dict[str, Any] = {
    "joints3D": np.arange(2 * 3 * 24 * 5, dtype=np.float32).reshape(2, 3, 24, 5),
    "shape": np.linspace(-1, 1, 10),
    "gender": np.uint8(1),
    "angle": np.float32(45),
    "source": "ntu",
    "segm_1": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "small": np.array([[1, 2]], np.int16),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("compress", [True, False])
def test_reads_what_scipy_writes(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "x.mat"
    savemat(path, VALUES, do_compression=compress)
    file, oracle = MatFile(path), loadmat(path)
    assert file.names == list(VALUES)
    for name in VALUES:
        if name != "source":
            value = file.array(name)
            assert value.dtype == oracle[name].dtype
            np.testing.assert_array_equal(value, oracle[name])
    assert file.text("source") == "ntu"
    assert (file.scalar("gender"), file.scalar("angle")) == (1.0, 45.0)
    assert "nothing" not in file
    with pytest.raises(SourceError, match=r"no variable 'nothing', found \['joints3D'"):
        file.array("nothing")
    with pytest.raises(SourceError, match=r"'shape' has shape \(1, 10\), expected one number"):
        file.scalar("shape")


def test_reads_one_dimensional_and_big_endian_values(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    values = np.arange(6, dtype=">f8")
    inner = np.array([6, 8, 6, 0, 5, 8, 2, 3, 1, 1], ">u4").tobytes() + b"a".ljust(8, b"\0")
    inner += np.array([9, 48], ">u4").tobytes() + values.tobytes()
    path.write_bytes(header + np.array([14, len(inner)], ">u4").tobytes() + inner)
    np.testing.assert_array_equal(MatFile(path).array("a"), loadmat(path)["a"])


def test_structs_cells_and_complex_numbers_are_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"s": {"a": 1}, "c": np.array([1 + 2j]), "o": np.array([1, "x"], object), "fine": 3.0})
    assert MatFile(path).names == ["fine"]


def test_reads_version_73(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    with h5py.File(path, "w", userblock_size=512) as file:
        file["v"] = array.T
        file["evil"] = h5py.ExternalLink("other.h5", "/x")
    data = bytearray(path.read_bytes())
    data[:19] = b"MATLAB 7.3 MAT-file"
    path.write_bytes(data)
    np.testing.assert_array_equal(MatFile(path).array("v"), array)
    with pytest.raises(SourceError, match="ExternalLink"):
        MatFile(path).array("evil")
    path.write_bytes(data[:900])
    with pytest.raises(SourceError, match=r"x.mat"):
        MatFile(path)


def test_truncated_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    savemat(path, VALUES, do_compression=True)
    data = path.read_bytes()
    for length in (0, 50, 128, 140, 300, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(SourceError, match=r"x.mat") as error:
            MatFile(path).array("empty")
        assert error.value.reason in ("corrupt-mat", "missing-variable")
    with pytest.raises(SourceError, match="no such file"):
        MatFile(tmp_path / "y.mat")


def test_an_archive_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    size = 1 << 30
    inner = np.array([14, size, 6, 8, 9, 0, 5, 8, size - 48, 1, 1, 1], "<u4").tobytes() + b"a".ljust(8, b"\0")
    inner += np.array([2, size - 48], "<u4").tobytes() + bytes(1 << 20)
    packed = zlib.compress(inner)
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + np.array([15, len(packed)], "<u4").tobytes() + packed)
    with pytest.raises(SourceError, match="claims 1073741832 bytes") as error:
        MatFile(path).array("a")
    assert error.value.reason == "too-large"


def test_a_damaged_byte_never_passes_unseen_or_crashes(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"segm_1": np.arange(5000, dtype=np.uint16).reshape(50, 100)}, do_compression=True)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(136, len(data), 200):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(SourceError):
            MatFile(path).array("segm_1")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    path = tmp_path_factory.mktemp("mat") / "x.mat"
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + tail)
    with contextlib.suppress(SourceError):
        for name in (file := MatFile(path)).names:
            file.array(name)
