"""Thrift's compact form, as Parquet files describe themselves in it: structs, lists, numbers and texts.

The library that reads Parquet ends the process where a description contradicts itself, so ours asks before it does.
"""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 16
_TRUE, _FALSE, _BYTE = 1, 2, 3
_INTEGERS = (4, 5, 6)
_DOUBLE, _BINARY = 7, 8
_LISTS = (9, 10)
_STRUCT = 12


class Compact:
    """Values that lie one after another.

    Attributes:
        place: where the next one begins.

    Args:
        data: the bytes; what comes behind the values is not looked at.

    Raises:
        ValueError: by every method, if there is no such value.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """A struct: its values by the numbers of their fields."""
        if depth > MAX_DEPTH:
            raise ValueError("a description is nested too deep")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._integer()
            found[number] = self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in _LISTS:
            return self._list(depth + 1)
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in (_BYTE, _DOUBLE):
            return self._bytes(1 if kind == _BYTE else 8)
        raise ValueError(f"a description holds a value of kind {kind}")

    def _list(self, depth: int) -> list[Any]:
        if depth > MAX_DEPTH:
            raise ValueError("a description is nested too deep")
        head = self._byte()
        count, kind = head >> 4, head & 15
        count = self._varint() if count == 15 else count
        if count > len(self._data) - self.place:  # each takes a byte at least
            raise ValueError(f"a description claims a list of {count} values")
        if kind in (_TRUE, _FALSE):
            return [self._byte() == _TRUE for _ in range(count)]
        return [self._value(kind, depth) for _ in range(count)]

    def _bytes(self, size: int) -> bytes:
        found = self._data[self.place : self.place + size]
        if len(found) != size:
            raise ValueError("a description does not end")
        self.place += size
        return found

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number in a description does not end")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
