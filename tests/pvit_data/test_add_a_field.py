"""docs/add-a-field.md: its tables are the places where a dense field is named, and what is older stays readable."""

import ast
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import pvit_data
from pvit_data.errors import CorruptShardError, FormatError
from pvit_data.format.index import Index, encode_table
from pvit_data.format.manifest import read_manifest
from pvit_data.format.receipts import read_receipt, read_rows_of
from pvit_data.format.record import Record, read_record, write_record
from pvit_data.sample import sample as fields
from pvit_data.storage.storage import Storage
from pvit_data.writing.card import features

PACKAGE = Path(pvit_data.__file__).parent
PAGE = PACKAGE.parent / "docs/add-a-field.md"
OLD = Path(__file__).parent / "format/version_1"


def texts(tree: ast.Module) -> Iterator[str]:
    """Literals that are no docstrings, and the names of attributes."""
    nodes = [node for node in ast.walk(tree) if isinstance(body := getattr(node, "body", None), list) and body]
    told = {id(part.value) for node in nodes for part in node.body if isinstance(part, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in told and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target)


@pytest.mark.parametrize("name", ["depth", "normal"])
def test_the_page_lists_every_place(name: str) -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if {name, f"{name}.tif", f"{name}_frames"} & set(texts(ast.parse(path.read_text()))):
            found.add(path.relative_to(PACKAGE).as_posix())
    # The distribution of depths, and what the Hub calls tasks: not every field has them.
    found -= {"looking/stats.py", "writing/card.py"}
    listed = re.findall(r"^\| `([\w/.]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert {line.replace("FIELD", name) for line in listed} == found


def test_every_file_of_the_page_exists() -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE.read_text()))
    missing = [n for n in named if not (PACKAGE / n.replace("FIELD", "depth")).exists()]
    assert [n for n in missing if not (PACKAGE.parent / n).exists()] == []


def test_keys_of_later_fields_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if depth had come after format 1.0."""
    values = json.loads(write_record(Record(key="a", group="a", frames=2, depth_frames=[1])))
    old = {key: value for key, value in values.items() if not key.startswith("depth_")}
    with pytest.raises(FormatError, match=r"lacks the key\(s\) depth_encoding, depth_frames, depth_scale"):
        read_record(json.dumps(old).encode())
    monkeypatch.setattr(fields, "LATER_FIELDS", ("boxes_score", "depth"))
    assert read_record(json.dumps(old).encode()) == Record(key="a", group="a", frames=2)
    assert read_record(json.dumps(values).encode()).depth_frames == [1]
    with pytest.raises(FormatError, match=r"lacks the key\(s\) fps"):
        read_record(json.dumps({key: value for key, value in old.items() if key != "fps"}).encode())
    with pytest.raises(FormatError, match="depth_frames"):
        read_record(json.dumps(old | {"depth_frames": None}).encode())


def test_columns_of_later_fields_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pq.read_table(next(OLD.rglob("*.parquet")))
    buffer = io.BytesIO()
    pq.write_table(table.drop_columns([c for c in table.column_names if "depth" in c]), buffer)
    index = Index(buffer.getvalue(), "old")
    with pytest.raises(CorruptShardError, match="lacks the column has_depth"):
        index.column("has_depth")
    monkeypatch.setattr(fields, "LATER_FIELDS", ("boxes_score", "depth"))
    for name, value, dtype in (
        ("has_depth", False, "bool"),
        ("depth_frames", 0, "int32"),
        ("depth_offset", -1, "int64"),
    ):
        column = index.column(name)
        assert column.dtype == dtype
        np.testing.assert_array_equal(column, [value] * table.num_rows)


def test_columns_of_later_fields_may_be_absent_from_receipts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "old/receipts/train-00000.json"
    values = json.loads((OLD / name).read_text())
    values["rows"] = {key: column for key, column in values["rows"].items() if "depth" not in key}
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(json.dumps(values))
    with pytest.raises(FormatError, match="does not agree with itself"):
        read_receipt(Storage(tmp_path), name)
    monkeypatch.setattr(fields, "LATER_FIELDS", ("boxes_score", "depth"))
    rows = read_rows_of(Storage(tmp_path), read_receipt(Storage(tmp_path), name))
    assert (rows["has_depth"].to_pylist(), rows["depth_frames"].to_pylist()) == ([False] * 2, [0] * 2)
    assert "depth_offset" not in rows.column_names
    encode_table(rows)


def test_a_card_from_before_a_field_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = read_manifest(Storage(OLD)).sources["old"]
    monkeypatch.setattr(fields, "LATER_FIELDS", ("boxes_score", "camera"))
    (record,), (bare,) = (
        [column["struct"] for column in features(entry, later) if "struct" in column] for later in (True, False)
    )
    assert [key for key in record if key not in bare] == [{"name": "camera_up", "dtype": "string"}]
