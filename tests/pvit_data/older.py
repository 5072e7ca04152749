"""Data sets as they were written before format 1.1: rows inside receipts, all shards in one folder."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pvit_data.format.members import MEMBERS
from pvit_data.format.names import is_receipt, rows_name
from pvit_data.format.rows import with_groups


def make_older(folder: Path) -> None:
    """Puts the rows of every receipt into the receipt."""
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*.json")]
    for name in filter(is_receipt, names):
        values = json.loads((folder / name).read_bytes())
        rows = folder / rows_name(name)
        table = with_groups(pq.read_table(rows), MEMBERS)
        values |= {"version": "1.0", "rows": {column: table[column].to_pylist() for column in table.column_names}}
        write_json(folder / name, values)
        rows.unlink()
    for place in sorted(folder.glob("*/receipts/rows/**/"), reverse=True):
        place.rmdir()


def write_json(path: Path, values: Any) -> None:
    """As our writer does."""
    path.write_text(json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
