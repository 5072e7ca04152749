"""Which form a file has, told from its first bytes; pickles are refused with the line that converts them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pvit_data.errors import FormatError, UsageError
from pvit_data.storage.files import open_regular

_BLOCK = 1 << 20
_PAGE = "is a web page, not the file itself: did the download need a login?"
_UTF16 = "is text in UTF-16; save it in UTF-8"
_STRANGE = {
    b"\x1f\x8b": "is compressed; unpack it first (gunzip -k {})",
    b"bzh": "is compressed; unpack it first (bunzip2 -k {})",
    b"\xfd7zxz\0": "is compressed; unpack it first (unxz -k {})",
    b"(\xb5/\xfd": "is compressed; unpack it first (unzstd {})",
    b"\xff\xfe": _UTF16,
    b"\xfe\xff": _UTF16,
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself; get that with `git lfs pull`",
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
}
"""What is said of files that are never what they should be, by their first bytes in small letters."""


def kind_of(path: Path) -> str:
    """`"parquet"`, `"npz"`, `"json"` or `"text"`.

    Raises:
        UsageError: if it cannot be read.
        FormatError: if it is a pickle, or of a form that is not read.
    """
    head = head_of(path)
    if not head:
        raise FormatError(f"{path}: is empty")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x03\x04"):
        return "npz"
    if head.startswith(b"\x93NUMPY"):
        raise FormatError(
            f"{path}: is one array without ids; write numpy.savez(FILE, ids=ids, logits=logits)"
        )
    if head.startswith(b"\x80") or path.suffix in (".pkl", ".pickle"):
        raise FormatError(
            f"{path}: is a pickle, which may run any code when it is read. {remedy(path)}"
        )
    if b"\0" in head:
        raise FormatError(
            f"{path}: is neither Parquet, npz, JSON nor text (starts with {head[:4]!r})"
        )
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "json" if text[:1] in (b"{", b"[") else "text"


def head_of(path: Path, size: int = 4096) -> bytes:
    """The first bytes of a regular file.

    Raises:
        UsageError: if it cannot be read.
        FormatError: if it is compressed, or a file that something else left in place of it.
    """
    try:
        with open(open_regular(path), "rb") as file:
            head = file.read(size)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    start = head.lstrip().lower()
    if said := next((text for mark, text in _STRANGE.items() if start.startswith(mark)), ""):
        raise FormatError(f"{path}: {said.format(path.name)}")
    return head


def remedy(path: Path) -> str:
    """How to convert a pickle, for those who trust it."""
    return (
        "Where you trust it, convert it once: SlowFast's results with "
        f"`python -c \"import pickle, numpy as n; p, y = pickle.load(open('{path.name}', 'rb')); "
        "n.savez('results.npz', ids=[str(i) for i in range(len(p))], logits=n.asarray(p), labels=n.asarray(y))\"`; "
        "mmaction2's with "
        f"`python -c \"import pickle, numpy as n; r = pickle.load(open('{path.name}', 'rb')); "
        "n.savez('results.npz', ids=[str(i) for i in range(len(r))], logits=n.stack([n.asarray(x['pred_score']) "
        "for x in r]), labels=[int(x['gt_label']) for x in r])\"`; ids are then positions in the list that was "
        "evaluated: replace them by its names"
    )


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(open_regular(path), "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def facts_of(path: Path) -> dict[str, object]:
    """Name, size and sha256 of a file; of a folder or URL only the name."""
    if not path.is_file():
        return {"name": path.name}
    return {"name": path.name, "bytes": os.stat(path).st_size, "sha256": sha256_of(path)}
