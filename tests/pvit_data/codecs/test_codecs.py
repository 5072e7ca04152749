"""Codecs against other libraries: Pillow, tifffile, numpy."""

import io
import os

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pvit_data.codecs import depth, normal, npy, segm, still, tiff
from pvit_data.errors import FormatError
from pvit_data.sample.labels import LabelSpace
from tests.pvit_data.samples import unit_vectors

EXAMPLES = 2_000 if os.environ.get("PVIT_TORTURE") else 60
pytestmark = pytest.mark.torture
few = settings(max_examples=EXAMPLES, deadline=None)
sizes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))


def pages_of(kind: tiff.Kind, size: tuple[int, int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = size if kind.channels == 1 else (*size, kind.channels)
    if kind.dtype.kind == "f":
        return rng.normal(size=shape).astype(kind.dtype)
    return rng.integers(0, np.iinfo(kind.dtype).max + 1, shape).astype(kind.dtype)


@pytest.mark.parametrize("kind", tiff.KINDS)
@few
@given(size=sizes, seed=st.integers(0, 1 << 30))
def test_tiff_agrees_with_pillow_and_tifffile(kind: tiff.Kind, size: tuple[int, int, int], seed: int) -> None:
    pages = pages_of(kind, size, seed)
    data = tiff.write_tiff(pages, kind)
    reader = tiff.TiffReader(data)
    assert (reader.kind, reader.num_pages, reader.height, reader.width) == (kind, *size)
    np.testing.assert_array_equal(reader.read(), pages)
    image = Image.open(io.BytesIO(data))
    assert image.n_frames == size[0]
    for number, page in enumerate(pages):
        image.seek(number)
        np.testing.assert_array_equal(np.array(image), page)
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data), key=number), page)


def test_tiff_part_equals_part_of_whole() -> None:
    for kind in tiff.KINDS:
        pages = pages_of(kind, (5, 20, 30), 1)
        reader = tiff.TiffReader(tiff.write_tiff(pages, kind))
        picks, rows, columns = np.array([4, 0, 0]), np.array([0, 7, 19]), np.array([29, 3])
        np.testing.assert_array_equal(reader.read(picks, rows, columns), pages[picks][:, rows][:, :, columns])
        with pytest.raises(FormatError, match="has 5 pages, not number 5"):
            reader.read(np.array([5]))


@few
@given(shape=st.lists(st.integers(0, 4), max_size=5), name=st.sampled_from(sorted(npy.DTYPES)))
def test_npy_is_numpys_own(shape: list[int], name: str) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(npy.DTYPES[name])
    data = npy.write_npy(array)
    buffer = io.BytesIO()
    np.save(buffer, array)
    assert buffer.getvalue() == data
    found = npy.read_npy(data)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("array", [np.zeros(3), np.array([None]), np.zeros(2, "f4,i4"), np.zeros((2, 3), "f4").T])
def test_other_npy_is_refused(array: np.ndarray) -> None:
    """float64, objects, structured dtypes, Fortran order."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    with pytest.raises(FormatError, match="header is not version 1"):
        npy.read_npy(buffer.getvalue())


def test_npy_bomb() -> None:
    """192 bytes that claim 512 GiB: refused before anything is allocated."""
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (131072, 1048576), }".ljust(117) + "\n"
    with pytest.raises(FormatError, match="needs 549755813888 bytes, found 0"):
        npy.read_npy(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.encode())


def test_depth_float16_is_exact_to_float16() -> None:
    rng = np.random.default_rng(0)
    value = np.exp(rng.uniform(np.log(0.05), np.log(1000), (3, 40, 50))).astype(np.float32)
    value[:, :5] = 0
    found = depth.decode_depth(depth.encode_depth(value, depth.DepthEncoding()), depth.DepthEncoding())
    np.testing.assert_array_equal(found, value.astype(np.float16).astype(np.float32))
    assert (np.abs(found - value) <= value * 2.0**-11).all()


def test_depth_integers_and_float32_are_exact() -> None:
    millimetres = np.random.default_rng(0).integers(0, 65536, (2, 30, 40))
    for text, value in (
        ("uint16:0.001", (millimetres * 0.001).astype(np.float32)),
        ("float32", np.random.default_rng(1).uniform(0, 1e6, (2, 30, 40)).astype(np.float32)),
    ):
        encoding = depth.DepthEncoding.parse(text)
        data = depth.encode_depth(value, encoding)
        np.testing.assert_array_equal(depth.decode_depth(data, encoding), value)
        picks = np.array([1])
        np.testing.assert_array_equal(depth.decode_depth(data, encoding, picks, np.arange(0, 30, 4)), value[1:, ::4])


@pytest.mark.parametrize(
    ("value", "text", "message"),
    [
        (-1.0, "float16", "negative or non-finite"),
        (np.nan, "float32", "negative or non-finite"),
        (7e4, "float16", "store it with depth=float32"),
        (0.0123, "uint16:0.01", "not a multiple of 0.01"),
        (700, "uint16:0.01", "hold 655.35"),
    ],
)
def test_depth_that_cannot_be_stored(value: float, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        depth.encode_depth(np.full((1, 2, 2), value, np.float32), depth.DepthEncoding.parse(text))


@pytest.mark.parametrize("text", ["", "float64", "uint16", "uint16:0", "uint16:x", "float16:2"])
def test_unknown_depth_encoding(text: str) -> None:
    with pytest.raises(FormatError, match="expected float16, float32 or uint16:METRES_PER_STEP"):
        depth.DepthEncoding.parse(text)


@pytest.mark.parametrize(("encoding", "worst"), [("xyz8", 0.4), ("octahedral", 0.004)])
def test_normal_error_in_degrees(encoding: str, worst: float) -> None:
    value = unit_vectors(np.random.default_rng(0), (2, 60, 50))
    value[0, :3] = 0
    value[1, 0, :6] = np.concatenate([np.eye(3), -np.eye(3)])
    found = normal.decode_normal(normal.encode_normal(value, encoding), encoding)
    valid = value.any(-1)
    a, b = found[valid].astype(float), value[valid].astype(float)
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))
    assert angle.max() < worst
    assert not found[~valid].any()
    np.testing.assert_array_equal(found[1, 0, :6], value[1, 0, :6])
    np.testing.assert_allclose(np.linalg.norm(a, axis=-1), 1, atol=1e-6)
    part = normal.decode_normal(
        normal.encode_normal(value, encoding), encoding, np.array([1]), np.arange(0, 60, 7), np.arange(0, 50, 3)
    )
    np.testing.assert_array_equal(part, found[1:, ::7, ::3])


def test_normal_must_be_of_unit_length() -> None:
    for bad in (0.5, np.nan):
        value = np.zeros((1, 2, 2, 3), np.float32)
        value[0, 1, 1, 0] = bad
        with pytest.raises(FormatError, match="vector of length"):
            normal.encode_normal(value)


@pytest.mark.parametrize(("classes", "dtype", "ignore"), [(200, np.uint8, 255), (300, np.uint16, 65535)])
def test_segmentation(classes: int, dtype: type, ignore: int) -> None:
    space = LabelSpace("many", tuple(map(str, range(classes))), first=1)
    assert space.ignore == ignore
    value = np.random.default_rng(0).integers(1, classes + 1, (2, 30, 40))
    value[0, 0] = ignore
    found = segm.decode_segm(segm.encode_segm(value, space))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, value)
    for bad in (0, classes + 1, -3):
        value[1, 2, 3] = bad
        with pytest.raises(FormatError, match=f"segm holds id {bad}, expected 1..{classes} of 'many'"):
            segm.encode_segm(value, space)


def test_still_keeps_colours_and_orientation() -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, :15] = (200, 40, 90)
    found = still.decode_still(still.encode_still(picture))
    assert np.abs(found.astype(int) - picture).max() < 6
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", exif=exif, quality=95)
    assert still.probe_still(buffer.getvalue()) == still.StillInfo(30, 20)
    assert still.decode_still(buffer.getvalue()).shape == (30, 20, 3)


def test_still_accepts_nothing_but_jpeg() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "PNG")
    with pytest.raises(FormatError, match="not a JPEG"):
        still.decode_still(buffer.getvalue())
    data = still.encode_still(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(FormatError, match="cannot be decoded"):
        still.decode_still(data[:-40])
