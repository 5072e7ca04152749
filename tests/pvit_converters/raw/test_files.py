"""JSON read member by member gives what `json.loads` gives, and refuses what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvit_converters.raw.files import read_members
from pvit_data.errors import SourceError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def members(path: Path, text: str | bytes) -> tuple[dict[str, Any], list[Any]]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    rows: list[Any] = []
    return read_members(path, {"rows": rows.append}), rows


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4), st.lists(VALUES, max_size=5), st.sampled_from([None, 1]))
def test_members_are_those_of_the_standard_library(
    tmp_path: Path, rest: dict[str, Any], rows: list[Any], indent: int | None
) -> None:
    rest.pop("rows", None)
    text = json.dumps({**rest, "rows": rows, "last": [1]}, indent=indent)
    found, taken = members(tmp_path / "x.json", f" \n{text}\n ")
    assert taken == rows
    assert found == {**rest, "rows": len(rows), "last": [1]}


def test_encodings(tmp_path: Path) -> None:
    text = json.dumps({"rows": ["größe"]}, ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert members(tmp_path / "x.json", text.encode(encoding))[1] == ["größe"]


DAMAGED = r"""
[]|3|{|{"rows"|{"rows": [|{"rows": [1|{"rows": [1,|{"rows": [1,]}|{"rows": [1 2]}|{"rows": []|{"rows": [],}
{"rows": []} x|{"rows": 3}|{"rows": {}}|{"a": [1, }|{"a" 1}|{1: 2}|{[]: 2}|{"a": 1,, "b": 2}|{"rows": [,]}
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        *"|".join(DAMAGED.split("\n")[1:-1]).split("|"),
        '{"a": ' + "[" * 100_000,
        b"\xff\xfe\x00",
        b'{"a": "\xff"}',
    ],
)
def test_damage_is_named(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(SourceError, match=r"x\.json: cannot be read as JSON") as error:
        members(tmp_path / "x.json", text)
    assert error.value.reason == "bad-json"


def test_errors_of_whoever_takes_the_elements_are_theirs(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"rows": ["a"]}')
    with pytest.raises(ValueError, match="invalid literal"):
        read_members(tmp_path / "x.json", {"rows": int})  # type: ignore[dict-item]
