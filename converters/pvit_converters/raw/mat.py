"""Reading numeric arrays and texts from a MATLAB file that nobody vouches for.

Version 5 files (what `scipy.io.savemat` writes) are read by our own small parser: it indexes variables without
inflating their data, knows every size before it allocates, and has no objects, functions or structs. Version 7.3 files
are HDF5 and go through `safe_hdf5`. Format: MathWorks, "MAT-File Format", version 5.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pvit_converters.raw import hdf5 as safe_hdf5
from pvit_converters.raw.files import read_bytes
from pvit_data.errors import SourceError

Array = np.ndarray[Any, np.dtype[Any]]

MAX_FILE = 1 << 30
MAX_BYTES = 256 << 20
MAX_VARIABLES = 100_000
_HEADER = 128
_PEEK = 1024  # holds the header of any array of up to 100 dimensions
_MATRIX, _COMPRESSED, _INT8, _INT32, _UINT32 = 14, 15, 1, 5, 6
_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
}
_CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
    4: "u2",
}
_CHAR, _IS_COMPLEX = 4, 0x0800


@dataclass(frozen=True)
class _Variable:
    """Where a variable lies and what its header says."""

    start: int
    length: int
    is_compressed: bool
    kind: int
    shape: tuple[int, ...]
    size: int  # bytes of the whole inflated element, its tag included
    body: int  # where the data element begins within it

    @property
    def decoded(self) -> int:
        """Bytes of the array: files hold small whole numbers of a wide type as bytes."""
        return math.prod(self.shape) * np.dtype(_CLASSES[self.kind]).itemsize


class MatFile:
    """The variables of one MATLAB file.

    Args:
        path: the file.

    Raises:
        SourceError: `"missing-file"`, or `"corrupt-mat"` if it is no complete MATLAB file of version 5 or 7.3.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = memoryview(read_bytes(path, MAX_FILE))
        self._variables: dict[str, _Variable] = {}
        self._names_hdf5: list[str] | None = None
        if bytes(self._data[:10]) == b"MATLAB 7.3" or bytes(self._data[:4]) == b"\x89HDF":
            self._names_hdf5 = safe_hdf5.list_names(path)
            return
        mark = bytes(self._data[126:128])
        if len(self._data) < _HEADER or mark not in (b"IM", b"MI"):
            raise self._corrupt("no header of a MATLAB file")
        self._order = "<" if mark == b"IM" else ">"
        try:
            self._index()
        except (ValueError, IndexError, zlib.error) as error:
            raise self._corrupt(str(error)) from error

    @property
    def names(self) -> list[str]:
        """Names of all readable variables, in the order of the file."""
        return list(self._variables) if self._names_hdf5 is None else self._names_hdf5

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def array(self, name: str, max_bytes: int = MAX_BYTES) -> Array:
        """A variable as MATLAB shows it (at least two dimensions); texts are arrays of character codes.

        Raises:
            SourceError: `"missing-variable"`, `"too-large"` or `"corrupt-mat"`.
        """
        if name not in self.names:
            raise SourceError(
                f"{self.path}: no variable '{name}', found {self.names[:8]}",
                reason="missing-variable",
            )
        if self._names_hdf5 is not None:
            return safe_hdf5.read_hdf5(self.path, None, name=name, max_bytes=max_bytes).T
        variable = self._variables[name]
        size = max(variable.size, variable.decoded)
        if size > max_bytes:
            message = (
                f"{self.path}: '{name}' claims {size} bytes, more than the limit of {max_bytes}"
            )
            raise SourceError(message, reason="too-large")
        try:
            return self._decode(variable)
        except (ValueError, IndexError, zlib.error) as error:
            raise self._corrupt(f"variable '{name}': {error}") from error

    def scalar(self, name: str) -> float:
        """The only number of a variable.

        Raises:
            SourceError: also if it has another number of elements (`"wrong-shape"`).
        """
        value = self.array(name)
        if value.size != 1:
            raise SourceError(
                f"{self.path}: '{name}' has shape {value.shape}, expected one number",
                reason="wrong-shape",
            )
        return float(value.ravel()[0])

    def text(self, name: str) -> str:
        """A text variable."""
        return "".join(map(chr, self.array(name).ravel().tolist()))

    # ---- version 5 -------------------------------------------------------------------------------------------

    def _index(self) -> None:
        place = _HEADER
        while place < len(self._data):
            kind, length, start = self._tag(self._data, place)
            if start + length > len(self._data):
                raise ValueError(f"it ends within a variable, at byte {len(self._data)}")
            if kind == _COMPRESSED:
                head = memoryview(
                    zlib.decompressobj().decompress(self._data[start : start + length], _PEEK)
                )
                self._add(head, start, length, True)
            elif kind == _MATRIX:
                self._add(self._data[place : place + _PEEK], place, start - place + length, False)
            else:
                raise ValueError(f"element of type {kind} at byte {place}")
            place = start + length
            if len(self._variables) > MAX_VARIABLES:
                raise ValueError(f"more than {MAX_VARIABLES} variables")

    def _add(self, head: memoryview, start: int, length: int, is_compressed: bool) -> None:
        kind, inner, place = self._tag(head, 0)
        if kind != _MATRIX:
            return
        flags, place = self._element(head, place)
        if len(flags) < 2:
            raise ValueError("array without flags")
        if int(flags[0]) & 0xFF not in _CLASSES or int(flags[0]) & _IS_COMPLEX:
            return  # structs, cells, objects, sparse and complex arrays: not readable, so not listed
        shape, place = self._element(head, place)
        name, place = self._element(head, place)
        if shape.size < 2 or shape.min(initial=0) < 0:
            raise ValueError(f"array with the shape {shape.tolist()}")
        sizes = tuple(int(n) for n in shape)
        text = bytes(name.astype(np.uint8)).decode("latin-1")
        self._variables[text] = _Variable(
            start, length, is_compressed, int(flags[0]) & 0xFF, sizes, 8 + inner, place
        )

    def _decode(self, variable: _Variable) -> Array:
        raw = self._data[variable.start : variable.start + variable.length]
        data = memoryview(_inflate(raw, variable.size)) if variable.is_compressed else raw
        if len(data) < variable.size:
            raise ValueError(f"{len(data)} bytes, its header promises {variable.size}")
        values, _ = self._element(data, variable.body)
        if values.size != math.prod(variable.shape):
            raise ValueError(
                f"{values.size} values, its header promises the shape {variable.shape}"
            )
        out: Array = values.reshape(variable.shape, order="F").astype(_CLASSES[variable.kind])
        return out

    def _tag(self, data: memoryview, place: int) -> tuple[int, int, int]:
        """Type, bytes and start of the element at `place`."""
        if place + 8 > len(data):
            raise ValueError("it ends within a tag")
        first, second = np.frombuffer(data[place : place + 8], f"{self._order}u4").tolist()
        if first >> 16:  # small element: the type in the low half, the bytes in the high half
            return first & 0xFFFF, first >> 16, place + 4
        return first, second, place + 8

    def _element(self, data: memoryview, place: int) -> tuple[Array, int]:
        """The values of the element at `place`, and where the next one begins."""
        kind, length, start = self._tag(data, place)
        if kind not in _STORED:
            raise ValueError(f"values of type {kind}")
        if start + length > len(data):
            raise ValueError("it ends within an element")
        is_small = start == place + 4
        if is_small and length > 4:
            raise ValueError(f"a small element of {length} bytes")
        values: Array = np.frombuffer(data[start : start + length], f"{self._order}{_STORED[kind]}")
        return values, place + 8 if is_small else start + -(-length // 8) * 8

    def _corrupt(self, why: str) -> SourceError:
        message = (
            f"{self.path}: cannot be read as a MATLAB file ({why}); "
            "the file is damaged or truncated, get it again"
        )
        return SourceError(message, reason="corrupt-mat")


def _inflate(raw: memoryview, size: int) -> bytes:
    """At most `size` bytes of a zlib stream, which must be complete and have the right checksum."""
    stream = zlib.decompressobj()
    data = stream.decompress(raw, size)
    if not stream.eof:
        stream.decompress(stream.unconsumed_tail, 64)
    if not stream.eof:
        raise ValueError("a compressed variable that does not end where it should")
    return data
