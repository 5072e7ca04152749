"""The classes: from the labels of the rows, or from a file that lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pvit_converters.raw.files import parse_json, read_utf8
from pvit_converters.videos.files import given_by_option
from pvit_converters.videos.options import VideosOptions
from pvit_data.errors import FormatError, UsageError
from pvit_data.sample.labels import LabelSpace, mirrored_pairs
from pvit_data.sample.limits import MAX_IDS
from pvit_data.words import counted, did_you_mean, short

MAX_BYTES = 1 << 24
_DIGITS = 7  # of which the number of a class has fewer
_NUMBERED = re.compile(r"(\d{1,6})(?:\s*[,;\t]\s*|\s+)(\S.*)")


@dataclass(frozen=True)
class Classes:
    """The classes of a source.

    Args:
        names: in the order of their ids.
        first: the number of the first one where labels are numbers.
        are_numbers: labels are numbers, not names.
    """

    names: tuple[str, ...]
    first: int = 0
    are_numbers: bool = False

    def id_of(self, label: str, where: str) -> int:
        """The class id of a label.

        Raises:
            UsageError: if there is no such class.
        """
        if not self.are_numbers and label in self._ids:
            return self._ids[label]
        if self.are_numbers and 0 <= int(label) - self.first < len(self.names):
            return int(label) - self.first
        last = self.first + len(self.names) - 1
        named = f"one of the {len(self.names):,} names of --classes: {short(list(self.names), 80)}"
        expected = f"{self.first} to {last}" if self.are_numbers else named
        raise UsageError(
            f"{where}: label is {short(label)}, expected {expected}{did_you_mean(label, self.names)}"
        )

    @cached_property
    def _ids(self) -> dict[str, int]:
        return _numbered(self.names)

    def space(self, name: str) -> LabelSpace:
        """As a label space; classes that differ by left and right are a pair.

        Raises:
            UsageError: if there are more than a space may have.
        """
        try:
            return LabelSpace(name, self.names, pairs=mirrored_pairs(_numbered(self.names)))
        except FormatError as error:
            raise UsageError(f"{counted(len(self.names), 'class', 'classes')}: {error}") from error


def _numbered(names: tuple[str, ...]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def find_classes(labels: Iterable[str], options: VideosOptions) -> Classes:
    """The classes that the labels are of.

    Args:
        labels: all that occur.
        options: of the converter.

    Raises:
        UsageError: if labels are numbers and nobody says of what, or the file of classes is none.
    """
    given = set(labels)
    are_numbers = bool(given) and all(map(_is_number, given))
    if options.classes is not None:
        return _of_file(options.classes, given, are_numbers, options)
    if options.labels == "ids":
        return _of_numbers(given, are_numbers)
    if are_numbers and options.labels == "auto":
        example = min(given, key=int)
        raise UsageError(
            f"labels are numbers such as {example}: the numbers of classes that a file names (--classes FILE) or that "
            "have no names (--labels ids), or names that happen to be numbers (--labels names)?"
        )
    return Classes(tuple(sorted(given, key=(lambda t: (int(t), t)) if are_numbers else None)))


def _is_number(label: str) -> bool:
    return label.isdecimal() and len(label) < _DIGITS


def _of_numbers(given: set[str], are_numbers: bool) -> Classes:
    if given and not are_numbers:
        odd = next(label for label in sorted(given) if not _is_number(label))
        raise UsageError(f"--labels ids: label {short(odd)} is no number of a class")
    most = max(map(int, given), default=-1)
    if most >= MAX_IDS:
        raise UsageError(f"--labels ids: label {most}, expected at most {MAX_IDS - 1}")
    return Classes(tuple(str(number) for number in range(most + 1)), 0, True)


def _of_file(path: Path, given: set[str], are_numbers: bool, options: VideosOptions) -> Classes:
    names, first = read_class_file(path)
    if are_numbers and options.labels == "auto" and given & set(names):
        raise UsageError(
            f"--classes {path}: names classes by numbers, and labels are numbers such as {min(given, key=int)}: "
            "is it the class of that number (--labels ids) or of that name (--labels names)?"
        )
    is_number = options.labels == "ids" or (are_numbers and options.labels == "auto")
    if is_number and not are_numbers and given:
        return _of_numbers(given, are_numbers)
    return Classes(names, first, is_number)


def read_class_file(path: Path) -> tuple[tuple[str, ...], int]:
    """Names of classes in order, and the number of the first one.

    Args:
        path: a name per line, `number name` lines from 0 or 1 on, or JSON: a list of names, or numbers by name.

    Raises:
        UsageError: if it cannot be read, or is none of these.
    """
    first = 0
    with given_by_option():
        text = read_utf8(path, MAX_BYTES)
        is_json = text.lstrip()[:1] in ("[", "{")
        values = parse_json(text.encode(), path) if is_json else None
    if is_json:
        numbered = _of_json(values)
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        found = [_NUMBERED.fullmatch(line) for line in lines]
        numbered = dict(enumerate(lines))
        if lines and all(found):
            told = {int(match[1]): match[2].strip() for match in found if match}
            if sorted(told) in (list(range(len(lines))), list(range(1, len(lines) + 1))):
                numbered, first = told, min(told)
    names = tuple(numbered[number] for number in sorted(numbered))
    in_order = sorted(numbered) == list(range(first, first + len(names)))
    if not names or not all(names) or len(set(names)) != len(names) or not in_order:
        raise UsageError(
            f"--classes {path}: expected a class name per line, each once, 'number name' lines, or in JSON a list of "
            'names or {"name": number, ...} with numbers from 0'
        )
    return names, first


def _of_json(values: object) -> dict[int, str]:
    if isinstance(values, list):
        return {n: v.strip() if isinstance(v, str) else "" for n, v in enumerate(values)}
    assert isinstance(values, dict)
    try:
        if all(str(name).isdecimal() and isinstance(v, str) for name, v in values.items()):
            return {int(number): name.strip() for number, name in values.items()}
        found = {int(number): str(name).strip() for name, number in values.items()}
        return found if len(found) == len(values) else {}
    except (TypeError, ValueError, OverflowError):
        return {}
