"""A hostile HDF5 file reads nothing but itself, and claims no memory."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from pvit_converters.raw.hdf5 import read_hdf5
from pvit_data.errors import SourceError

pytestmark = pytest.mark.torture


def refuse(
    path: Path, reason: str, part: str, shape: tuple[int | None, ...] = (None, None), kinds: str = "fiu"
) -> None:
    with pytest.raises(SourceError, match=part) as error:
        read_hdf5(path, shape, kinds)
    assert error.value.reason == reason
    assert path.name in str(error.value)


def test_plain_arrays_are_read(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("dataset", data=array, chunks=(2, 2), compression="gzip", shuffle=True, fletcher32=True)
    np.testing.assert_array_equal(read_hdf5(tmp_path / "a.hdf5", (None, 4), "f"), array)


def test_external_storage_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"s" * 64)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("dataset", (4, 4), np.float32, external=[(str(secret), 0, 64)])
    refuse(tmp_path / "a.hdf5", "unsafe-hdf5", "other files")


def test_links_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["dataset"] = np.ones((2, 2))
    with h5py.File(tmp_path / "external.hdf5", "w") as file:
        file["dataset"] = h5py.ExternalLink(str(tmp_path / "b.hdf5"), "dataset")
    with h5py.File(tmp_path / "soft.hdf5", "w") as file:
        file["dataset"] = h5py.SoftLink("/elsewhere")
    refuse(tmp_path / "external.hdf5", "unsafe-hdf5", "ExternalLink")
    refuse(tmp_path / "soft.hdf5", "unsafe-hdf5", "SoftLink")


def test_virtual_datasets_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["dataset"] = np.ones((2, 2))
    layout = h5py.VirtualLayout((2, 2), np.float64)
    layout[:] = h5py.VirtualSource(str(tmp_path / "b.hdf5"), "dataset", (2, 2))
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_virtual_dataset("dataset", layout)
    refuse(tmp_path / "a.hdf5", "unsafe-hdf5", "other files")


def test_bombs_are_refused_before_allocation(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("dataset", (100_000, 100_000), np.float64, chunks=(1000, 1000), compression="gzip")
    assert (tmp_path / "a.hdf5").stat().st_size < 20_000
    refuse(tmp_path / "a.hdf5", "unsafe-hdf5", "claims 80000000000 bytes")


def test_plug_in_filters_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("dataset", data=np.ones((8, 8)), compression="lzf")
    refuse(tmp_path / "a.hdf5", "unsafe-hdf5", "filters")


def test_wrong_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    for name, value, part in (
        ("dataset", np.ones(3), "shape"),
        ("dataset", np.ones((0, 3)), "shape"),
        ("other", np.ones((2, 2)), "no dataset"),
        ("dataset", np.array([[b"text"]]), "type"),
        ("dataset/inner", np.ones((2, 2)), "not a dataset"),
    ):
        with h5py.File(path, "w") as file:
            file[name] = value
        refuse(path, "wrong-shape", part)


def test_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "dataset", data=np.random.default_rng(0).random((32, 32)), chunks=(8, 8), compression="gzip"
        )
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(bad[: rng.integers(1, len(bad))]) if rng.random() < 0.4 else bytes(bad))
        try:
            array = read_hdf5(path, (None, None), "f")
        except SourceError:
            continue
        assert array.ndim == 2
    refuse(tmp_path / "missing.hdf5", "missing-file", "no such file")
