"""Arrays of other programs: `numpy.savez(FILE, ids=..., logits=..., labels=...)`, read without numpy's own reader.

numpy parses headers as Python and allocates what they claim. Here a header is one regular expression, objects (pickles)
are refused, and claims are compared with the bytes that the archive has.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from pvit_data.errors import FormatError
from pvit_data.scoring.files.kinds import remedy
from pvit_data.scoring.files.scores import ClassScores, require_finite_size, require_once
from pvit_data.storage.files import open_regular
from pvit_data.words import short, shown, size_text

MAX_MEMBERS = 64
MAX_BYTES = 1 << 30  # of all arrays
FREE_BYTES = 1 << 26  # of arrays that may be packed as tightly as they like
MAX_RATIO = 20  # of others: logits hardly shrink at all
_MAGIC = re.compile(rb"\x93NUMPY([\x01\x02\x03])\x00")
_HEADER = re.compile(
    rb"\{'descr': '([<|=])([fiuSUb])(\d{1,5})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12}(?:, ?\d{1,12})*,?)?)\), \} *\n"
)
_LOGITS, _IDS, _LABELS = ("logits", "scores", "preds"), ("ids", "id", "names"), ("labels", "label")


def read_npz(path: Path) -> ClassScores:
    """Predictions of classes: `ids` (N,), `logits` (N, V, K) or (N, K), and where there are some, `labels`: (N,) whole
    numbers, or (N, K) of 0 and 1 where a video has any number of classes.

    Raises:
        FormatError: if it holds something else, or claims more than it has.
    """
    arrays = read_arrays(path)
    logits, ids = _one_of(arrays, _LOGITS, path), _one_of(arrays, _IDS, path)
    if logits.ndim not in (2, 3) or logits.dtype.kind not in "fiu" or not logits.size:
        raise FormatError(
            f"{path}: logits are {logits.dtype} of shape {logits.shape}, expected floats (N, K) or (N, views, K)"
        )
    if ids.shape != logits.shape[:1]:
        raise FormatError(f"{path}: {ids.shape} ids for {len(logits)} rows of logits")
    names = [_text(value) for value in ids.tolist()]
    require_finite_size(len(names), str(path))
    require_once(names, str(path))
    given = next((arrays[name] for name in _LABELS if name in arrays), None)
    labels, several = _labels(given, len(names), logits.shape[-1], path)
    return ClassScores(
        ids=names,
        logits=logits if logits.ndim == 3 else logits[:, None, :],
        has_views=logits.ndim == 3,
        labels=labels,
        several=several,
    )


def _labels(
    given: Any, number: int, classes: int, path: Path
) -> tuple[Int64[np.ndarray, "n"], Bool[np.ndarray, "n k"] | None]:
    """One class per row, and flags of classes where the file has those: one of both says nothing."""
    unknown = np.full(number, -1, np.int64)
    if given is None:
        return unknown, None
    if given.shape == (number,) and given.dtype.kind in "iu":
        return given.astype(np.int64), None
    is_table = given.shape == (number, classes) and given.dtype.kind in "iufb"
    if is_table and ((given == 0) | (given == 1)).all():
        flags = given.astype(bool)
        is_one = (flags.sum(axis=1) == 1).all()
        return (flags.argmax(axis=1).astype(np.int64) if is_one else unknown), flags
    raise FormatError(
        f"{path}: labels are {given.dtype} of shape {given.shape}, expected ({number},) whole numbers, or "
        f"({number}, {classes}) of 0 and 1"
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _one_of(arrays: dict[str, Any], names: tuple[str, ...], path: Path) -> Any:
    for name in names:
        if name in arrays:
            return arrays[name]
    raise FormatError(
        f"{path}: no array '{names[0]}', it has {short(', '.join(arrays), 120)}; write numpy.savez(FILE, ids=ids, "
        "logits=logits)"
    )


def read_arrays(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """All arrays of a file, by name.

    Raises:
        FormatError: if one is no plain array, or the archive is damaged.
    """
    try:
        with open(open_regular(path), "rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _require_members(members, path)
            return {
                info.filename.removesuffix(".npy"): _array(archive, info, path) for info in members
            }
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise FormatError(f"{path}: not readable as npz: {shown(str(error)[:120])}") from None


def _require_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    if any(info.filename.endswith((".pkl", "/data.pkl")) for info in members):
        raise FormatError(f"{path}: is a file of torch.save, which holds a pickle. {remedy(path)}")
    if len(members) > MAX_MEMBERS or len({info.filename for info in members}) != len(members):
        raise FormatError(
            f"{path}: {len(members)} members, expected at most {MAX_MEMBERS} of different names"
        )
    if other := [info.filename for info in members if not info.filename.endswith(".npy")]:
        raise FormatError(f"{path}: {short(other[0], 60)} is no array")
    size, packed = sum(info.file_size for info in members), path.stat().st_size
    if size > MAX_BYTES or (size > FREE_BYTES and size > MAX_RATIO * packed):
        raise FormatError(
            f"{path}: claims {size_text(size)} of arrays in {size_text(packed)}; at most {size_text(MAX_BYTES)}, and "
            f"{MAX_RATIO} times of what is packed"
        )


def _array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path
) -> Shaped[np.ndarray, "..."]:
    name = short(info.filename, 60)
    with archive.open(info) as file:
        dtype, shape, fortran, start = _header(file, name, path)
        expected = prod(shape) * dtype.itemsize
        if start + expected != info.file_size:
            raise FormatError(
                f"{path}: array {name} of shape {shape} needs {expected} bytes, found {info.file_size - start}"
            )
        data = bytearray(expected)
        view, done = memoryview(data), 0
        while done < expected:
            block = file.read(min(1 << 20, expected - done))
            if not block:
                raise FormatError(f"{path}: array {name} ends after {done} of {expected} bytes")
            view[done : done + len(block)] = block
            done += len(block)
        file.read(1)  # lets the archive compare its checksum
    array: Shaped[np.ndarray, "..."] = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _header(
    file: IO[bytes], name: str, path: Path
) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    magic = _MAGIC.fullmatch(file.read(8))
    if magic is None:
        raise FormatError(f"{path}: {name} is no array of numpy")
    width = 2 if magic[1] == b"\x01" else 4
    length = int.from_bytes(file.read(width), "little")
    text = file.read(min(length, 1 << 12))
    found = _HEADER.fullmatch(text)
    if found is None:
        if b"'|O'" in text:
            raise FormatError(
                f"{path}: {name} holds Python objects, that is a pickle. Make texts of ids with numpy.asarray(ids, "
                "str) and numbers of scores with numpy.stack(scores) before numpy.savez"
            )
        if re.search(rb"'descr': '>", text):
            raise FormatError(
                f"{path}: {name} has its bytes in the order of other machines (big-endian): write "
                "array.astype(array.dtype.newbyteorder('<')) before numpy.savez"
            )
        raise FormatError(
            f"{path}: {name} is no array of numbers or texts ({short(text.decode('latin1'), 80)})"
        )
    shape = tuple(int(number) for number in found[5].split(b",") if number.strip())
    kind, size = found[2].decode(), int(found[3])
    sizes = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}
    if len(shape) > 4 or (kind in sizes and size not in sizes[kind]) or not size:
        raise FormatError(
            f"{path}: {name} is {kind}{size} of shape {shape}, which no predictions are"
        )
    return np.dtype(f"<{kind}{size}"), shape, found[4] == b"True", 8 + width + length
