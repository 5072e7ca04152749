"""Small arrays as `.npy`: version 1.0 with three dtypes, parsed by one regular expression.

`numpy.load` is not used: its header is parsed as Python (not thread-safe in Python 3.11) and it allocates whatever the
header claims. Layout: numpy/lib/format.py, "Format Version 1.0".
"""

from __future__ import annotations

import re
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pvit_data.errors import FormatError

DTYPES: dict[str, np.dtype[Any]] = {
    "<f4": np.dtype("<f4"),
    "<i4": np.dtype("<i4"),
    "|u1": np.dtype("u1"),
}
MAX_DIMS = 8
_ALIGN = 64
_PREFIX = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '(<f4|<i4|\|u1)', 'fortran_order': False, 'shape': \(((?:\d{1,10}(?:, ?\d{1,10})*,?)?)\), \} *\n"
)


def write_npy(array: Shaped[np.ndarray, "..."]) -> bytes:
    """Encodes a float32, int32 or uint8 array.

    Raises:
        FormatError: for another dtype or more than 8 dimensions.
    """
    descr = next((d for d, dtype in DTYPES.items() if dtype == array.dtype), None)
    if descr is None or array.ndim > MAX_DIMS:
        raise FormatError(
            f".npy of {array.dtype} with {array.ndim} dimensions, expected one of {list(DTYPES)}, at most 8"
        )
    shape = f"{array.shape[0]}," if array.ndim == 1 else ", ".join(map(str, array.shape))
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}".encode()
    text += b" " * (-(len(_PREFIX) + 2 + len(text) + 1) % _ALIGN) + b"\n"
    return _PREFIX + len(text).to_bytes(2, "little") + text + np.ascontiguousarray(array).tobytes()


def read_npy(data: bytes | memoryview) -> Shaped[np.ndarray, "..."]:
    """Decodes what `write_npy` or `numpy.save` of such an array wrote; the result is a copy and writable.

    Raises:
        FormatError: if the header is not of that form, or the payload is not exactly what its shape needs.
    """
    data = memoryview(data)
    start = len(_PREFIX) + 2
    length = int.from_bytes(data[len(_PREFIX) : start], "little")
    match = _HEADER.fullmatch(data[start : start + length])
    if data[: len(_PREFIX)] != _PREFIX or match is None:
        raise FormatError(".npy header is not version 1.0 with dtype <f4, <i4 or |u1 in C order")
    dtype = DTYPES[match[1].decode()]
    shape = tuple(int(n) for n in match[2].split(b",") if n.strip())
    expected = prod(shape) * dtype.itemsize
    if len(shape) > MAX_DIMS or len(data) - start - length != expected:
        raise FormatError(
            f".npy of shape {shape} needs {expected} bytes, found {len(data) - start - length}"
        )
    array: Shaped[np.ndarray, "..."] = (
        np.frombuffer(data, dtype, offset=start + length).reshape(shape).copy()
    )
    return array
