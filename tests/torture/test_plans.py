"""What the parts of a stranger's plan cost to read, whatever they hold: bounded memory and time, and a sentence."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from pvit_converters.engine.plan_parts import MAX_LINE_BYTES, part_name
from tests.bombs import require_cheap

FULL = bool(os.environ.get("PVIT_TORTURE"))

READ = """
from pvit_converters.engine.plan_file import load_plan
from pvit_data.storage.storage import Storage
plan = load_plan("mine", Storage(sys.argv[1]))
print(sum(len(shard.items) for shard in plan.shards))
"""
ITEM = b'["k","g","train",{},1],'


def forge(folder: Path, items: bytes, samples: int, length: int = 0) -> None:
    """A plan of one shard, whose head says of the line what is true but for its length."""
    line = b'{"items":[' + items.removesuffix(b",") + b'],"number":0,"split":"train"}\n'
    part = folder / part_name("mine", "train", 0)
    part.parent.mkdir(parents=True)
    part.write_bytes(line)
    shard = [samples, samples, length or len(line), hashlib.sha256(line).hexdigest()]
    head = {
        "absent": {},
        "identity": {"source": "mine"},
        "notes": [],
        "parts": [{"split": "train", "first": 0, "shards": [shard]}],
    }
    (folder / "mine/plan.json").write_text(json.dumps(head))


@pytest.mark.parametrize("item", [b"[],", b"{},", b'"ab",', b'"\xc4\x80",', b"1.5,", b"99999,", b"[[[[]]]],", ITEM])
def test_a_line_of_the_largest_size(tmp_path: Path, item: bytes) -> None:
    number = (MAX_LINE_BYTES - 100) // (len(item) if FULL else 8 * len(item))
    forge(tmp_path, item * number, number)
    printed = require_cheap(READ, tmp_path)
    assert printed == f"{number}\n" if item == ITEM else "damaged" in printed


@pytest.mark.parametrize("length", [MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 1 << 62])
def test_a_length_that_is_not_there(tmp_path: Path, length: int) -> None:
    forge(tmp_path, ITEM, 1, length)
    assert "damaged" in require_cheap(READ, tmp_path)
