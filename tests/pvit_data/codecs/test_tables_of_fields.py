"""The tables of fields agree: a field that one of them lacks would be written and not read, or read and not checked."""

import typing

import numpy as np
import pytest

from pvit_data.codecs.dense import DENSE, check_choices
from pvit_data.errors import UsageError
from pvit_data.format.index import NUMBERS
from pvit_data.format.members import FIELDS, FILES, MEMBERS, file_of
from pvit_data.format.record import TYPES
from pvit_data.reading.decode import DECODERS
from pvit_data.sample.sample import DENSE_FIELDS, Sample


def test_every_field_is_decoded() -> None:
    assert list(DECODERS) == list(FIELDS)
    assert set(FIELDS) <= set(typing.get_type_hints(Sample))


def test_a_dense_field_is_known_everywhere() -> None:
    assert tuple(DENSE) == DENSE_FIELDS
    assert tuple(name for name, files in FILES.items() if f"{name}.tif" in files) == DENSE_FIELDS
    for name, dense in DENSE.items():
        assert TYPES[f"{name}_frames"] == list[int]
        assert f"{name}_frames" in NUMBERS
        assert (f"{name}_encoding" in TYPES) == bool(dense.default)
        assert (f"{name}_space" in TYPES) == dense.spaced


@pytest.mark.parametrize("name", DENSE)
def test_the_default_encoding_may_be_chosen(name: str) -> None:
    if DENSE[name].default:
        check_choices({name: DENSE[name].default})
    else:
        with pytest.raises(UsageError, match=f"encoding of '{name}' cannot be chosen: expected depth or normal"):
            check_choices({name: "png"})


def test_pixel_bytes_are_those_of_decoded_maps() -> None:
    for dense in DENSE.values():
        widest = np.uint16 if dense.spaced else np.float32
        assert dense.pixel_bytes == np.dtype(widest).itemsize * int(np.prod(dense.channels))


def test_files_of_members() -> None:
    assert list(MEMBERS) == sorted(MEMBERS)
    assert [file_of(member, "webm") for member in ("json", "rgb", "depth", "boxes_id")] == [
        "json",
        "rgb.webm",
        "depth.tif",
        "boxes_id.npy",
    ]
