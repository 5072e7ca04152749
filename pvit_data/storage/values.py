"""Plain values out of JSON and YAML that strangers wrote: bounded in size and depth, each key once, no references.

A YAML alias repeats what its anchor holds, so a kilobyte can stand for gigabytes; none of our files needs one. Whatever
is wrong with a text ends in `ConfigError`, in one line; what the values mean is the caller's business.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from pvit_data.errors import ConfigError, FormatError
from pvit_data.storage.files import read_regular
from pvit_data.words import short, size_text

MAX_YAML_BYTES = 1 << 20
MAX_NODES = 50_000  # values and keys of a YAML text
MAX_DIGITS = 400  # of a number in it
MAX_JSON_BYTES = 1 << 24
MAX_DEPTH = 32  # of values within values
MAX_NUMBER = (1 << 63) - 1  # of whole numbers


class _Plain(yaml.SafeLoader):
    """Refuses, while it reads, what no plain file holds."""

    depth = nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.depth += 1
        self.nodes += 1
        if problem := self._problem(event):
            raise _refusal(problem, event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _problem(self, event: Any) -> str:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            return "anchors and aliases (& and *) are not read; write the values out"
        if event.tag:
            return f"tags such as {short(event.tag, 60)} are not read"
        if self.depth > MAX_DEPTH:
            return f"values are nested more than {MAX_DEPTH} deep"
        return f"more than {MAX_NODES:,} values" if self.nodes > MAX_NODES else ""

    def construct_scalar(self, node: Any) -> Any:
        is_text = node.tag == "tag:yaml.org,2002:str"
        if not is_text and len(node.value) > MAX_DIGITS:
            raise _refusal(f"a number of {len(node.value):,} characters", node)
        return super().construct_scalar(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _refusal(f"key {short(key.value, 60)} stands twice", key)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _refusal(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def parse_yaml(text: str | bytes, where: str) -> Any:
    """The plain values of a YAML text.

    Args:
        text: at most `MAX_YAML_BYTES`.
        where: it comes from, for messages.

    Raises:
        ConfigError: if it is too large, no YAML, has aliases, tags, a key twice, or a number that no setting can have.

    Example:
        >>> parse_yaml("optim: {lr: 0.1}", "my.yaml")
        {'optim': {'lr': 0.1}}
    """
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "replace"))
    if size > MAX_YAML_BYTES:
        raise ConfigError(
            f"{where}: {size_text(size)} of YAML, at most {size_text(MAX_YAML_BYTES)} are read"
        )
    try:
        values = _load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{where}{line}: not readable as YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{where}: not readable as YAML: {first[:120]}") from None
    check_numbers(values, where)
    return values


def _load(text: str | bytes) -> Any:
    loader = _Plain(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def check_numbers(values: Any, where: str, depth: int = 0) -> None:
    """Refuses whole numbers beyond `MAX_NUMBER`, which overflow where they are used, and values within too many others.

    Raises:
        ConfigError: naming the first one.
    """
    if depth > MAX_DEPTH:
        raise ConfigError(f"{where}: values are nested more than {MAX_DEPTH} deep")
    if isinstance(values, dict):
        values = [*values, *values.values()]
    if isinstance(values, list | tuple):
        for value in values:
            check_numbers(value, where, depth + 1)
    elif isinstance(values, int) and abs(values) > MAX_NUMBER:
        raise ConfigError(
            f"{where}: the number {_number(values)} is larger than any setting can be"
        )


def _number(value: int) -> str:
    return str(value) if value.bit_length() < 128 else f"of {value.bit_length()} bits"


def parse_json(text: bytes, where: str, limit: int = MAX_JSON_BYTES) -> Any:
    """The plain values of a JSON text. NaN and infinities, which Python writes, are read.

    Raises:
        FormatError: if it has more than `limit` bytes, is too deep, no JSON, or has a whole number beyond `MAX_NUMBER`.
    """
    if len(text) > limit:
        raise FormatError(f"{where}: more than {size_text(limit)} of JSON; is it the right file?")
    try:
        values = json.loads(text)
        check_numbers(values, where)
    except (ValueError, RecursionError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else str(error)[:120]
        raise FormatError(f"{where}: not readable as JSON: {what}") from None
    except ConfigError as error:
        raise FormatError(str(error)) from None
    return values


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> Any:
    """The plain values of a JSON file, which must be a regular one, of at most `limit` bytes.

    Raises:
        OSError: if it cannot be read.
        FormatError: as `parse_json`.
    """
    return parse_json(read_regular(path, limit + 1), str(path), limit)
