"""Names of classes by id, from the files in which data sets and programs keep them; AVA's label maps among them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_IDS
from pvit_data.scoring.files.kinds import kind_of
from pvit_data.scoring.files.scores import whole_number
from pvit_data.scoring.files.tables import read_rows, read_values, whole_text
from pvit_data.scoring.metrics.ava import ALL, EVALUATED

BESIDE = {
    "ssv2": ("labels.json", "something-something-v2-labels.json"),
    "something-else": ("labels.json",),
    "diving48": ("Diving48_vocab.json",),
}
"""Files with classes that lie beside a list of videos, or in a folder of labels beside it."""
FOLDERS = (".", "labels", "annotations", "../labels", "../annotations", "..")
NAMED = {"ava60": EVALUATED, "ava80": ALL}
"""Label maps that need no file."""
OFFICIAL = "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
MAX_CLASSES = 1000
_FORMS = '{"name": "id", ...}, {"id": "name", ...} or a list of names of classes'
_CODE = re.compile(r"c\d{3}\s+\S")
_BEFORE = re.compile(r"(\d{1,6})[\s,;]+(\S.*)")
_NAME = re.compile(r"  name: *\"(.*)\"")
_ID = re.compile(r"  (?:id|label_id): *(\d{1,6})\s*")


def read_classes(path: Path) -> dict[str, int]:
    """Ids by name.

    Args:
        path: JSON `{"name": "id"}` or `{"id": "name"}`, or a list (of names, or of lists of parts of a name); a CSV
            with the columns `id,name`; or text with one name per line, its number counting from 0 or standing before
            it. Of lines `c000 words` (Charades) the code is the name.

    Raises:
        FormatError: if it is something else, or ids are not 0, 1, 2, ...
    """
    is_json = kind_of(path) == "json"
    pairs = _of_json(read_values(path), path) if is_json else _of_text(path)
    names = dict(pairs)
    if len(names) != len(pairs):
        raise FormatError(f"{path}: a class stands twice")
    if not names or len(names) > MAX_IDS or not _is_numbered(pairs):
        raise FormatError(
            f"{path}: its {len(names)} ids are not 0..{max(0, len(names) - 1)}, each once"
        )
    return names


def _is_numbered(pairs: list[tuple[str, int]]) -> bool:
    return sorted(number for _, number in pairs) == list(range(len(pairs)))


def _of_json(values: Any, path: Path) -> list[tuple[str, int]]:
    if isinstance(values, list) and all(isinstance(v, str | int | list) for v in values):
        names = ["+".join(map(str, v)) if isinstance(v, list) else str(v) for v in values]
        return [(name, number) for number, name in enumerate(names)]
    if not isinstance(values, dict):
        raise FormatError(f"{path}: expected {_FORMS}")
    readings = [_numbered(values.items()), _numbered((v, k) for k, v in values.items())]
    good = [pairs for pairs in readings if pairs is not None and _is_numbered(pairs)]
    if len(good) > 1 and sorted(good[0]) != sorted(good[1]):
        raise FormatError(
            f"{path}: its names are numbers, as the ids are: which are which? Write a list of the names instead"
        )
    found = next((pairs for pairs in (*good, *readings) if pairs is not None), None)
    if found is None:
        raise FormatError(f"{path}: expected {_FORMS}")
    return found


def _numbered(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[str, int]] | None:
    """Names with their ids; None where those are no whole numbers. Names may stand in quotes of their own."""
    found = []
    for name, text in pairs:
        number = whole_number(str(text))
        if number is None or not isinstance(name, str | int):
            return None
        name = str(name)
        found.append((name[1:-1] if len(name) > 2 and name[0] + name[-1] == '""' else name, number))
    return found


def _of_text(path: Path) -> list[tuple[str, int]]:
    lines = [line for line in map(str.strip, whole_text(path).splitlines()) if line]
    header = {name.strip().lower() for name in re.split("[,;\t]", lines[0])} if lines else set()
    if header == {"id", "name"}:
        rows = read_rows(path, ("id", "name")) or []
        if (pairs := _numbered((row["name"], row["id"]) for row in rows)) is None:
            raise FormatError(f"{path}: column 'id' holds something else than whole numbers")
        return pairs
    if lines and all(_CODE.match(line) for line in lines):
        lines = [line.split()[0] for line in lines]
    before = [match for line in lines if (match := _BEFORE.fullmatch(line))]
    pairs = [(match[2], int(match[1])) for match in before]
    first = min((number for _, number in pairs), default=0)
    ids = sorted(number - first for _, number in pairs)
    if len(pairs) == len(lines) > 1 and first in (0, 1) and ids == list(range(len(lines))):
        return pairs  # of ids from 1 on it is said that they do not begin at 0
    return [(name, number) for number, name in enumerate(lines)]


def ordered(classes: Mapping[str, int]) -> tuple[str, ...]:
    """The names in the order of their ids."""
    return tuple(sorted(classes, key=classes.__getitem__))


def classes_beside(protocol: str, truth: Path) -> Path | None:
    """The file with the classes of a protocol that belongs to a list of videos; None where there is none."""
    names = BESIDE.get(protocol, ())
    if protocol == "something-else":  # base_validation_set.json, finetune_5shot_validation.json
        names = (f"{truth.name.partition('_')[0]}_labels.json", *names)
    for folder in FOLDERS:
        for name in names:
            if (path := truth.parent / folder / name).is_file() and path != truth:
                return path
    return None


def read_label_map(path: Path) -> dict[int, str]:
    """Names by id. As the official script, only lines that begin with exactly two blanks are read.

    Raises:
        FormatError: if there is no class in it, or one twice.
    """
    names: dict[int, str] = {}
    name = ""
    for line in whole_text(path).splitlines():
        if match := _NAME.match(line):
            name = match[1]
        elif match := _ID.fullmatch(line):
            number = int(match[1])
            if number in names or not 0 < number <= MAX_CLASSES:
                raise FormatError(
                    f"{path}: class {number} stands twice, or is none of 1..{MAX_CLASSES}"
                )
            names[number] = name
    if not names:
        raise FormatError(
            f'{path}: no class in it; expected blocks with `  name: "..."` and `  id: N`'
        )
    return names


def differs(ids: tuple[int, ...]) -> str:
    """How a label map differs from the 60 classes that count; "" where it does not."""
    more, less = sorted(set(ids) - set(EVALUATED)), sorted(set(EVALUATED) - set(ids))
    said = [f"{len(more)} more ({_few(more)})"] if more else []
    said += [f"{len(less)} missing ({_few(less)})"] if less else []
    return f"{len(ids)} classes: {' and '.join(said)}" if said else ""


def _few(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:6])) + (", ..." if len(ids) > 6 else "")
