"""Filters over index columns, such as `has_depth and frames >= 16`, parsed by hand: no text is ever evaluated.

or_test    = and_test ("or" and_test)*
and_test   = not_test ("and" not_test)*
not_test   = "not" not_test | "(" or_test ")" | comparison
comparison = value (("<" | "<=" | ">" | ">=" | "==" | "!=") value)* | NAME ["not"] "in" "(" literal ("," literal)* ")"
value      = NAME | literal;   literal = number | 'text' | "text" | true | false
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from pvit_data.errors import UsageError

MAX_LENGTH = 1000
MAX_DEPTH = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)|(?P<text>'[^']*'|\"[^\"]*\")|(?P<op><=|>=|==|!=|<|>|\(|\)|,)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*))"
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False}

Column = Callable[[str], Shaped[np.ndarray, "n"]]


def evaluate(text: str, column: Column, num_rows: int) -> Bool[np.ndarray, "n"]:
    """Which rows fulfil a filter.

    Args:
        text: the filter.
        column: gives the values of a column, and raises `UsageError` for an unknown one.
        num_rows: rows of the table.

    Raises:
        UsageError: if the filter cannot be parsed, names an unknown column, or compares numbers with text.
    """
    parser = _Parser(text, column)
    mask = parser.any_of(0)
    parser.finish()
    return np.broadcast_to(parser.truth(mask), (num_rows,)).copy()


class _Parser:
    def __init__(self, text: str, column: Column) -> None:
        self._text = text
        self._column = column
        self._tokens: list[tuple[str, str]] = []
        if len(text) > MAX_LENGTH:
            raise UsageError(f"filter has {len(text)} characters, at most {MAX_LENGTH}")
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._error(f"unexpected {text[position:].strip()[0]!r}")
            self._tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            position = match.end()
        self._next = 0

    def _error(self, what: str) -> UsageError:
        return UsageError(
            f'filter {self._text!r}: {what}; expected for example "has_depth and frames >= 16"'
        )

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self, *allowed: str) -> bool:
        if self._peek() not in allowed:
            return False
        self._next += 1
        return True

    def finish(self) -> None:
        if self._next < len(self._tokens):
            raise self._error(f"unexpected {self._peek()!r}")

    def any_of(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self._error("too many brackets")
        value = self.all_of(depth)
        while self._take("or"):
            value = self.truth(value) | self.truth(self.all_of(depth))
        return value

    def all_of(self, depth: int) -> Any:
        value = self.inverse(depth)
        while self._take("and"):
            value = self.truth(value) & self.truth(self.inverse(depth))
        return value

    def inverse(self, depth: int) -> Any:
        flips = 0
        while self._take("not"):
            flips += 1
        if self._take("("):
            value = self.any_of(depth + 1)
            if not self._take(")"):
                raise self._error("a bracket is not closed")
        else:
            value = self.comparison()
        return ~self.truth(value) if flips % 2 else self.truth(value) if flips else value

    def comparison(self) -> Any:
        left = self.value()
        if self._peek() in ("in", "not"):
            inverted = self._take("not")
            if not self._take("in"):
                raise self._error("'not' inside a comparison")
            found = np.isin(left, self.literals(left))
            return ~found if inverted else found
        result = None
        while (name := self._peek()) in _COMPARE:
            self._next += 1
            right = self.value()
            self._comparable(left, right)
            step = _COMPARE[name](left, right)
            result = step if result is None else result & step
            left = right
        return left if result is None else result

    def literals(self, left: Any) -> list[Any]:
        if not self._take("("):
            raise self._error("'in' needs values in brackets")
        values = []
        while not self._take(")"):
            value = self.value()
            if isinstance(value, np.ndarray):
                raise self._error("'in' needs numbers or texts")
            self._comparable(left, value)
            values.append(value)
            if not self._take(",") and self._peek() != ")":
                raise self._error("a bracket is not closed")
        return values

    def value(self) -> Any:
        if self._next >= len(self._tokens):
            raise self._error("ends too early")
        kind, text = self._tokens[self._next]
        self._next += 1
        if kind == "number":
            return float(text) if any(c in text for c in ".eE") else int(text)
        if kind == "text":
            return text[1:-1]
        if kind == "name" and text not in ("and", "or", "not", "in"):
            return _CONSTANTS[text] if text in _CONSTANTS else self._column(text)
        raise self._error(f"unexpected {text!r}")

    def truth(self, value: Any) -> Any:
        array = np.asarray(value)
        if array.dtype != bool:
            raise self._error(
                "'and', 'or', 'not' and the whole filter need conditions, not numbers or texts"
            )
        return array

    def _comparable(self, left: Any, right: Any) -> None:
        if (np.asarray(left).dtype.kind in "OUS") != (np.asarray(right).dtype.kind in "OUS"):
            raise self._error("compares a number with a text")
