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

    def struct(self) -> dict[int, Any]:
        """A struct: its values by the numbers of their fields."""
        try:
            found, self.place = _struct(self._data, self.place, 0)
        except IndexError:
            raise ValueError("a description does not end") from None
        return found


def _struct(data: bytes, place: int, depth: int) -> tuple[dict[int, Any], int]:
    """A struct and the place behind it: a loop without a call per number, for there are thousands in a file.

    Raises:
        IndexError: if the bytes end before it does.
    """
    if depth > MAX_DEPTH:
        raise ValueError("a description is nested too deep")
    found: dict[int, Any] = {}
    number = 0
    while head := data[place]:
        place += 1
        kind = head & 15
        if step := head >> 4:
            number += step
        else:
            number, place = _integer(data, place)
        if kind in _INTEGERS:
            found[number], place = _integer(data, place)
        else:
            found[number], place = _value(data, place, kind, depth)
    return found, place + 1


def _value(data: bytes, place: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        return _integer(data, place)
    if kind == _BINARY:
        size, place = _varint(data, place)
        return _bytes(data, place, size)
    if kind == _STRUCT:
        return _struct(data, place, depth + 1)
    if kind in _LISTS:
        return _list(data, place, depth + 1)
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, place
    if kind in (_BYTE, _DOUBLE):
        return _bytes(data, place, 1 if kind == _BYTE else 8)
    raise ValueError(f"a description holds a value of kind {kind}")


def _list(data: bytes, place: int, depth: int) -> tuple[list[Any], int]:
    if depth > MAX_DEPTH:
        raise ValueError("a description is nested too deep")
    head = data[place]
    count, kind, place = head >> 4, head & 15, place + 1
    if count == 15:
        count, place = _varint(data, place)
    if count > len(data) - place:  # each takes a byte at least
        raise ValueError(f"a description claims a list of {count} values")
    if kind in (_TRUE, _FALSE):
        return [byte == _TRUE for byte in data[place : place + count]], place + count
    found = []
    for _ in range(count):
        value, place = _value(data, place, kind, depth)
        found.append(value)
    return found, place


def _bytes(data: bytes, place: int, size: int) -> tuple[bytes, int]:
    if size > len(data) - place:
        raise ValueError("a description does not end")
    return data[place : place + size], place + size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number in a description does not end")


def _integer(data: bytes, place: int) -> tuple[int, int]:
    byte = data[place]
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), place + 1
    value, place = _varint(data, place)
    return (value >> 1) ^ -(value & 1), place
