"""JSON and YAML of strangers: plain values, or one sentence; never more memory or time than the text deserves."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvit_data.errors import ConfigError, FormatError
from pvit_data.storage.values import MAX_JSON_BYTES, MAX_YAML_BYTES, parse_json, parse_yaml

LAUGHS = "a: &a [x, x]\n" + "\n".join(f"k{i}: &k{i} [*k{i - 1}, *k{i - 1}]" for i in range(1, 40))
BOMBS = {
    "aliases": (LAUGHS, "anchors and aliases"),
    "anchor alone": ("a: &a 1", "anchors and aliases"),
    "deep": ("[" * MAX_YAML_BYTES, "nested more than 32"),
    "deep keys": ("? " * 5000, "nested more than 32"),
    "many": ("[" + "a," * 100_000 + "]", "more than 50,000 values"),
    "large": ("#" * (MAX_YAML_BYTES + 1), "of YAML, at most"),
    "digits": ("a: " + "9" * 5000, "a number of 5,000"),
    "sexagesimal": ("a: 1" + ":1" * 200_000, "a number of"),
    "2 to the 70": (f"a: [{{b: {2**70}}}]", "1180591620717411303424 is larger"),
    "as a key": (f"{2**70}: 1", "is larger"),
    "date": ("a: 2001-99-99", "month must be"),
    "python": ("!!python/object/apply:os.system [ls]", "tags such as"),
    "tag": ("!!timestamp a", "tags such as"),
    "twice": ("a: 1\nb: 2\na: 3", "line 3: .*'a' stands twice"),
    "list as key": ("[a]: 1", "unhashable"),
    "control": ("a: \x00", "not readable"),
    "two": ("---\na\n---\nb", "another document"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_no_plain_yaml_is_refused_at_once(name: str) -> None:
    text, said = BOMBS[name]
    began = time.monotonic()
    with pytest.raises(ConfigError, match=said) as caught:
        parse_yaml(text, "my.yaml")
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("my.yaml")
    assert len(str(caught.value)) < 300


def test_plain_yaml_is_what_it_was() -> None:
    assert parse_yaml("a: {b: [1, 2.5, x, null, true]}\nc: 'y'\n", "") == {
        "a": {"b": [1, 2.5, "x", None, True]},
        "c": "y",
    }
    assert parse_yaml(b"", "") is None
    assert parse_yaml(f"seed: {2**63 - 1}", "") == {"seed": 2**63 - 1}


@given(st.text(alphabet=st.sampled_from("ab10:-?[]{},&*!|>'\"#%@\n \t.<=_e~\x00é"), max_size=60))
def test_any_text_is_values_or_our_own_error(text: str) -> None:
    try:
        parse_yaml(text, "x")
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[" * 200_000, "nested too deep"),
        (b"[1" + b"0" * 5000 + b"]", "not readable"),
        (f'{{"a": {2**70}}}'.encode(), "is larger"),
        (b" " * (MAX_JSON_BYTES + 1), "more than 16.8 MB"),
        (b"\xff", "not readable"),
        (b'{"a": ', "not readable"),
    ],
)
def test_what_is_no_plain_json_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        parse_json(text, "report.json")


def test_json_keeps_what_python_writes() -> None:
    values = parse_json(b'{"a": NaN, "b": -Infinity, "c": [1]}', "x")
    assert values["a"] != values["a"]
    assert values["b"] == -float("inf")
