"""The label files of Something-Something V2: classes, and the rows of each split.

The class of a row is found by its `template` without brackets, as everywhere else that trains on this dataset; the
free-text `label` is kept in the metadata only. Source of the rules: facebookresearch/SlowFast,
slowfast/datasets/ssv2.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pvit_converters.raw.files import read_json, read_utf8
from pvit_converters.ssv2.layout import FILES, LABEL_FOLDERS, label_file, no_labels
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace, mirrored_pairs
from pvit_data.words import short


class Labels:
    """The label files of one tree, read when they are needed.

    Args:
        root: of the tree.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def classes(self) -> dict[str, int]:
        """Class ids by template without brackets.

        Raises:
            SourceError: if `labels.json` is missing or its indices are not 0, 1, 2, ...
        """
        path = label_file(self.root, "labels")
        if path is None:
            raise SourceError(no_labels(self.root, "labels.json"))
        table = read_table(path)
        try:
            classes = {str(name): int(index) for name, index in table.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise SourceError(
                f'{path}: expected {{"template": "index", ...}} ({error})', reason="bad-json"
            ) from error
        if sorted(classes.values()) != list(range(len(classes))):
            raise SourceError(
                f"{path}: its indices are not 0..{len(classes) - 1}, each once", reason="bad-json"
            )
        return classes

    @property
    def space(self) -> LabelSpace:
        """The classes in order; pairs are those that differ by left and right."""
        names = sorted(self.classes, key=self.classes.__getitem__)
        return LabelSpace("ssv2", tuple(names), pairs=mirrored_pairs(self.classes))

    def action(self, template: str, split: str) -> int:
        """The class of a template.

        Raises:
            SourceError: if `labels.json` does not know it.
        """
        name = template.replace("[", "").replace("]", "")
        if name not in self.classes:
            raise SourceError(
                f"{label_file(self.root, FILES[split])}: template {short(name, 60)} is not in labels.json: the "
                "files do not belong together",
                reason="bad-json",
            )
        return self.classes[name]

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The rows of a split's file; in `test` with an `action` where the labels package answers.

        Raises:
            SourceError: if the file or a row is not as released.
        """
        path = label_file(self.root, FILES[split])
        assert path is not None
        rows = read_table(path)
        answers = self._test_answers() if split == "test" else {}
        for row in rows if isinstance(rows, list) else [rows]:
            _require_row(row, path, needs_template=split != "test")
            if (name := answers.get(str(int(row["id"])), "")) in self.classes:
                row["action"] = self.classes[name]
            yield row

    def _test_answers(self) -> dict[str, str]:
        """Labels of the test split by video, where the labels package has them."""
        paths = [self.root / folder / "test-answers.csv" for folder in LABEL_FOLDERS]
        path = next((p for p in paths if p.is_file()), None)
        lines = read_utf8(path).splitlines() if path else []
        pairs = (line.partition(";") for line in lines)
        return {str(int(v)): name.strip() for v, _, name in pairs if v.isdecimal()}


def _require_row(row: Any, path: Path, *, needs_template: bool) -> None:
    if not isinstance(row, dict) or not str(row.get("id", "")).isdecimal():
        raise SourceError(
            f'{path}: expected a list of {{"id": "1", ...}}, found {row!r:.80}', reason="bad-json"
        )
    is_missing = needs_template and "template" not in row
    if is_missing or not isinstance(row.get("template", ""), str):
        raise SourceError(f"{path}: video {row['id']} has no template", reason="bad-json")


def read_table(path: Path) -> Any:
    """A JSON file of labels.

    Raises:
        SourceError: if it is missing or damaged.
    """
    return read_json(path)
