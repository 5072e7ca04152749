"""Names of classes by id, from the files in which data sets and programs keep them; AVA's label maps among them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_IDS
from pvit_data.scoring.files.kinds import kind_of
from pvit_data.scoring.files.tables import read_values, whole_text
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
_NAME = re.compile(r"  name: *\"(.*)\"")
_ID = re.compile(r"  (?:id|label_id): *(\d{1,6})\s*")


def read_classes(path: Path) -> dict[str, int]:
    """Ids by name.

    Args:
        path: JSON `{"name": "id"}` or a list (of names, or of lists of parts of a name), or text with one name per
            line, its number counting from 0.

    Raises:
        FormatError: if it is something else, or ids are not 0, 1, 2, ...
    """
    if kind_of(path) == "json":
        values = read_values(path)
        names = _of_json(values, path)
    else:
        lines = [line.strip() for line in whole_text(path).splitlines()]
        names = {name: number for number, name in enumerate(filter(None, lines))}
        if len(names) != len([line for line in lines if line]):
            raise FormatError(f"{path}: a class stands twice")
    if not names or len(names) > MAX_IDS or sorted(names.values()) != list(range(len(names))):
        raise FormatError(
            f"{path}: its {len(names)} ids are not 0..{max(0, len(names) - 1)}, each once"
        )
    return names


def _of_json(values: Any, path: Path) -> dict[str, int]:
    try:
        if isinstance(values, dict):
            return {str(name): int(number) for name, number in values.items()}
        names = ["+".join(map(str, v)) if isinstance(v, list) else str(v) for v in values]
    except (TypeError, ValueError):
        raise FormatError(
            f'{path}: expected {{"name": "id", ...}} or a list of names of classes'
        ) from None
    if len(set(names)) != len(names):
        raise FormatError(f"{path}: a class stands twice")
    return {name: number for number, name in enumerate(names)}


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
