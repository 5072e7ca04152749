"""Names of shards and receipts: folders stay small, every name says which shard it is, older names are legal."""

from collections import Counter

import pytest

from pvit_data.format.names import (
    IN_SOURCE,
    SHARD_NAME,
    SOURCE_FOLDERS,
    SPLITS,
    Place,
    in_order,
    is_receipt,
    part_of,
    place_of,
    receipt_name,
    rows_name,
    shard_name,
)

NUMBERS = [0, 1, 2999, 3000, 5999, 6000, 99_999, 100_000, 1_000_000, 999_999_999]


def test_no_folder_has_more_than_ten_thousand_entries() -> None:
    """A million shards in each of three splits, with their receipts and rows."""
    entries: Counter[str] = Counter()
    folders: set[str] = set()
    for split in SPLITS:
        for number in range(0, 1_000_000, 500):  # each stands for 500 in the same folder: 3,000 is a multiple of 500
            receipt = receipt_name("a", split, number)
            assert part_of(number) == part_of(number + 499)
            for name in (shard_name("a", split, number), receipt, rows_name(receipt)):
                folder = name.rpartition("/")[0]
                entries[folder] += 500
                folders.add(folder)
    for folder in folders:
        if "/" in folder:
            entries[folder.rpartition("/")[0]] += 1
    assert max(entries.values()) <= 10_000


@pytest.mark.parametrize("number", NUMBERS)
def test_names_say_what_they_are(number: int) -> None:
    for split in SPLITS:
        for part in (None, 0):
            shard = shard_name("mine", split, number, part)
            receipt = receipt_name("mine", split, number, part)
            assert SHARD_NAME.match(shard)
            assert place_of(shard) == Place("mine", split, number)
            assert is_receipt(receipt)
            for name in (shard, receipt, rows_name(receipt)):
                inside = name.partition("/")[2]
                assert IN_SOURCE.fullmatch(inside)
                assert "/" not in inside or SOURCE_FOLDERS.fullmatch(inside.rpartition("/")[0])


def test_the_first_ones_are_called_as_ever() -> None:
    assert shard_name("mine", "train", 7) == "mine/train-00007.tar"
    assert receipt_name("mine", "val", 2999) == "mine/receipts/val-02999.json"
    assert rows_name("mine/receipts/part-00033/test-100000.json") == "mine/receipts/rows/part-00033/test-100000.parquet"


def test_order_goes_by_number() -> None:
    names = [shard_name(s, split, n) for s in ("a", "b-c") for split in ("test", "train", "val") for n in NUMBERS]
    assert sorted(sorted(names), key=in_order) == names
    assert sorted(["x-10.tar", "b/y.tar", "x-9.tar"], key=in_order) == ["b/y.tar", "x-10.tar", "x-9.tar"]


@pytest.mark.parametrize(
    "name",
    ["mine/part-1/train-03000.tar", "mine/part-00001/../train-03000.tar", "mine/part-00001/part-00001/train-03000.tar",
     "part-00001/other/train-03000.tar/x", "mine/part-00001/train-03000.tar\n", "mine/part-00001/all-03000.tar"],
)  # fmt: skip
def test_other_names_are_none(name: str) -> None:
    assert not SHARD_NAME.match(name)
    assert not IN_SOURCE.fullmatch(name.partition("/")[2])


def test_declarations_are_no_receipts() -> None:
    assert not is_receipt("mine/receipts/source.json")
    assert is_receipt("mine/receipts/anything.json")  # and refused when it is read
    assert not is_receipt("mine/receipts/rows/x.json")
    assert not is_receipt("mine/plan.json")
