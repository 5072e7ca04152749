"""What shards, receipts and their rows are called: no folder gets more than some ten thousand entries.

The first 3,000 shards of each split lie in the folder of their source, further ones in `part-00001`, `part-00002`, ...;
receipts and rows likewise. Before format 1.1 all of them lay in one folder, and such names are read as they are.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SOURCE_NAME = re.compile(r"[a-z0-9_-]{1,40}\Z")
SPLITS = ("train", "val", "test")
PER_FOLDER = 3000
"""Shards of each split in a folder."""
PART_FOLDER = r"part-\d{5,9}"
PART_FOLDERS = "part-*"
"""The same as a glob."""
SHARD_FILE = rf"(?:{'|'.join(SPLITS)})-\d{{5,9}}"
"""A shard's file without `.tar`; its receipt and its rows are called so too."""
SHARD_NAME = re.compile(rf"[a-z0-9_-]{{1,40}}/(?:{PART_FOLDER}/)?{SHARD_FILE}\.tar\Z")
MAX_NUMBER = 10**9 - 1
"""Of a shard: what nine digits can say."""

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

_RECEIPT_FILE = re.compile(rf"[^/]+/receipts/(?:{PART_FOLDER}/)?[^/]+\.json\Z")


class Place(NamedTuple):
    """What the name of a shard says."""

    source: str
    split: str
    number: int


def place_of(name: str) -> Place:
    """What the path of a shard in its dataset says; it must be a `SHARD_NAME`.

    >>> place_of("mine/part-00001/train-03000.tar")
    Place(source='mine', split='train', number=3000)
    """
    source, _, rest = name.partition("/")
    split, _, number = rest.rpartition("/")[2].removesuffix(".tar").partition("-")
    return Place(source, split, int(number))


def part_of(number: int) -> int:
    """Number of the folder that a shard belongs into; 0 is the folder of its source."""
    return number // PER_FOLDER


def part_folder(part: int) -> str:
    """Such a folder within that of the source, with a slash behind it, or ""."""
    return f"part-{part:05d}/" if part else ""


def shard_name(source: str, split: str, number: int, part: int | None = None) -> str:
    """Path of a shard in its dataset.

    Args:
        source, split, number: of the shard.
        part: number of its folder. Default: the one that it belongs into.

    Example:
        >>> shard_name("mine", "train", 0), shard_name("mine", "train", 3000)
        ('mine/train-00000.tar', 'mine/part-00001/train-03000.tar')
    """
    part = part_of(number) if part is None else part
    return f"{source}/{part_folder(part)}{split}-{number:05d}.tar"


def receipt_name(source: str, split: str, number: int, part: int | None = None) -> str:
    """Path of a shard's receipt in its dataset; arguments as those of `shard_name`."""
    part = part_of(number) if part is None else part
    return f"{source}/receipts/{part_folder(part)}{split}-{number:05d}.json"


def rows_name(receipt: str) -> str:
    """Path of the rows that belong to a receipt.

    >>> rows_name(receipt_name("mine", "train", 0))
    'mine/receipts/rows/train-00000.parquet'
    """
    source, _, rest = receipt.partition("/receipts/")
    return f"{source}/receipts/rows/{rest.removesuffix('.json')}.parquet"


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
