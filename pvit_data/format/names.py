"""What shards, receipts and their rows are called: no folder gets more than some ten thousand entries.

The first 3,000 shards of each split lie in the folder of their source, further ones in `part-00001`, `part-00002`, ...;
receipts and rows likewise. Before format 1.1 all of them lay in one folder, and such names are read as they are.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

SOURCE_NAME = re.compile(r"[a-z0-9_-]{1,40}\Z")
LAYERS = "layers"
"""The folder in which layers lie, each in a folder of its own."""
_FOLDER = rf"(?:{LAYERS}/)?[a-z0-9_-]{{1,40}}"
FOLDER_NAME = re.compile(rf"{_FOLDER}\Z")
"""The folder of a source or a layer."""
SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What people call splits."""
PER_FOLDER = 3000
"""Shards of each split in a folder."""
PART_FOLDER = r"part-\d{5,9}"
PART_FOLDERS = "part-*"
"""The same as a glob."""
SHARD_FILE = rf"(?:{'|'.join(SPLITS)})-\d{{5,9}}"
"""A shard's file without `.tar`; its receipt and its rows are called so too."""
SHARD_NAME = re.compile(rf"{_FOLDER}/(?:{PART_FOLDER}/)?{SHARD_FILE}\.tar\Z")
MAX_NUMBER = 10**9 - 1
"""Of a shard: what nine digits can say."""

CROISSANT, PICTURE, GALLERY = "croissant.json", "preview.jpg", "gallery.html"
"""What lies beside manifest and card where a dataset was published."""

RESERVED = re.compile(rf"(?:{PART_FOLDER}|receipts|index|plan)\Z")
"""Folders in a source, which may be called as the folder of layers: so no layer is called like them."""

_PART = re.compile(rf"(^|/){PART_FOLDER}/")
_OURS = re.compile(rf"((?:.*/)?(?:{'|'.join(SPLITS)})-)(\d{{5,9}})\.tar")
IN_SOURCE = re.compile(
    rf"(?:{PART_FOLDER}/)?{SHARD_FILE}\.tar|plan\.json|plan/{SHARD_FILE}-\d{{5,9}}\.jsonl|report\.json"
    rf"|index/(?:{'|'.join(SPLITS)})(?:\.shards)?\.parquet|receipts/source\.json"
    rf"|receipts/(?:{PART_FOLDER}/)?{SHARD_FILE}\.json|receipts/rows/(?:{PART_FOLDER}/)?{SHARD_FILE}\.parquet"
)
"""What a conversion writes into the folder of a source, as paths within it."""
SOURCE_FOLDERS = re.compile(
    rf"{PART_FOLDER}|plan|index|receipts(?:/rows)?(?:/{PART_FOLDER})?",
)
"""The folders that it makes there."""

_RECEIPT_FILE = re.compile(rf"(?:{LAYERS}/)?[^/]+/receipts/(?:{PART_FOLDER}/)?[^/]+\.json\Z")


class Place(NamedTuple):
    """What the name of a shard says.

    Args:
        folder: of its source or layer.
        split, number: of the shard.
    """

    folder: str
    split: str
    number: int


def split_named(name: str) -> str | None:
    """The split that somebody calls so, or None.

    >>> split_named("Validation"), split_named("train2017"), split_named("training day")
    ('val', 'train', None)
    """
    return SPLIT_WORDS.get(name.strip().lower().rstrip("0123456789"))


def place_of(name: str) -> Place:
    """What the path of a shard in its dataset says; it must be a `SHARD_NAME`.

    >>> place_of("mine/part-00001/train-03000.tar")
    Place(folder='mine', split='train', number=3000)
    """
    folder, rest = split_folder(name)
    split, _, number = rest.rpartition("/")[2].removesuffix(".tar").partition("-")
    return Place(folder, split, int(number))


def split_folder(name: str) -> tuple[str, str]:
    """The folder of a source or layer, and a path within it.

    >>> split_folder("mine/train-00000.tar"), split_folder("layers/boxes/train-00000.tar")
    (('mine', 'train-00000.tar'), ('layers/boxes', 'train-00000.tar'))
    """
    folder, _, rest = name.partition("/")
    if folder == LAYERS and "/" in rest and not RESERVED.match(rest.partition("/")[0]):
        inner, _, rest = rest.partition("/")
        folder = f"{folder}/{inner}"
    return folder, rest


def split_address(text: str) -> tuple[str, str]:
    """Folder or URL, and the name in it ("" where none is given), of `URL#NAME`; a folder may have # in its path.

    >>> split_address("data/ssv2#depth"), split_address("data/ssv2")
    (('data/ssv2', 'depth'), ('data/ssv2', ''))
    """
    url, is_named, name = text.rpartition("#")
    return (url, name) if is_named and not os.path.isdir(text) else (text, "")


def part_of(number: int) -> int:
    """Number of the folder that a shard belongs into; 0 is the folder of its source."""
    return number // PER_FOLDER


def part_folder(part: int) -> str:
    """Such a folder within that of the source, with a slash behind it, or ""."""
    return f"part-{part:05d}/" if part else ""


def shard_name(folder: str, split: str, number: int, part: int | None = None) -> str:
    """Path of a shard in its dataset.

    Args:
        folder: of its source or layer.
        split, number: of the shard.
        part: number of its folder. Default: the one that it belongs into.

    Example:
        >>> shard_name("mine", "train", 0), shard_name("mine", "train", 3000)
        ('mine/train-00000.tar', 'mine/part-00001/train-03000.tar')
    """
    part = part_of(number) if part is None else part
    return f"{folder}/{part_folder(part)}{split}-{number:05d}.tar"


def receipt_name(folder: str, split: str, number: int, part: int | None = None) -> str:
    """Path of a shard's receipt in its dataset; arguments as those of `shard_name`."""
    part = part_of(number) if part is None else part
    return f"{folder}/receipts/{part_folder(part)}{split}-{number:05d}.json"


def receipts_of(shard: str) -> set[str]:
    """Paths at which a shard's receipt may be, with and without a folder for a thousand of them."""
    folder, split, number = place_of(shard)
    return {receipt_name(folder, split, number, part) for part in {0, part_of(number)}}


def rows_name(receipt: str) -> str:
    """Path of the rows that belong to a receipt.

    >>> rows_name(receipt_name("mine", "train", 0))
    'mine/receipts/rows/train-00000.parquet'
    """
    folder, _, rest = receipt.partition("/receipts/")
    return f"{folder}/receipts/rows/{rest.removesuffix('.json')}.parquet"


def is_receipt(name: str) -> bool:
    """Whether a file lies where receipts lie; `source.json` is none."""
    return bool(_RECEIPT_FILE.match(name)) and not name.endswith("/receipts/source.json")


def in_order(name: str) -> str:
    """What shards are sorted by: source, split and number, whatever part of the folder they lie in; of others the name.

    >>> sorted(["a/part-00001/train-03000.tar", "a/train-00001.tar", "a/train-00000.tar"], key=in_order)
    ['a/train-00000.tar', 'a/train-00001.tar', 'a/part-00001/train-03000.tar']
    """
    path = _PART.sub(r"\1", name)
    found = _OURS.fullmatch(path)
    return f"{found[1]}{int(found[2]):09d}.tar" if found else path
