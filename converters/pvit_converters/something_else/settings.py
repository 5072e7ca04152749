"""The settings of SomethingElse, each a pair of split files and a list of classes, and where these files lie.

File names: joaanna/something_else, code/dataset_splits; the second name of the 10-shot training file: eladb3/SViT.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pvit_converters.raw.listing import list_files
from pvit_converters.something_else.info import INFO
from pvit_data.errors import SourceError

PLACES = ("", "code/dataset_splits", "dataset_splits", "something_else/code/dataset_splits")


@dataclass(frozen=True)
class Setting:
    """Files of a setting.

    Args:
        folder: that they lie in, below one of `PLACES`.
        train, val, labels: names without `.json`, the usual one first.
        space: name of its label space.
    """

    folder: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    labels: tuple[str, ...]
    space: str


def _compositional(folder: str, space: str) -> Setting:
    return Setting(folder, ("train",), ("validation",), ("labels",), space)


def _novel(shots: str) -> Setting:
    train = (f"finetune_{shots}_training", f"finetune_{shots}_train")
    val = (f"finetune_{shots}_validation",)
    return Setting("fewshot", train, val, ("finetune_labels",), "something-else-novel")


SETTINGS = {
    "compositional": _compositional("compositional", "something-else"),
    "shuffled": _compositional("compositional_shuffled", "something-else"),
    "oneobject": _compositional("compositional_oneobject", "something-else-oneobject"),
    "base": Setting(
        "fewshot",
        ("base_training_set",),
        ("base_validation_set",),
        ("base_labels",),
        "something-else-base",
    ),
    "5shot": _novel("5shot"),
    "10shot": _novel("10shot"),
}


@dataclass(frozen=True)
class Files:
    """Where the files of a setting are."""

    train: Path
    val: Path
    labels: Path


def find_files(root: Path, setting: Setting) -> Files:
    """The files of a setting.

    Raises:
        SourceError: if there is no such folder, or a file is missing; the message names it.
    """
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder; give the clone of SomethingElse's repository")
    folders = [root / place / setting.folder for place in PLACES]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise SourceError(
            f"{root}: not a tree of SomethingElse: no folder {setting.folder}/ in it or in code/dataset_splits/"
            f"{_archives(root)}. {INFO.obtain}"
        )
    return Files(
        *(_one_of(folder, names) for names in (setting.train, setting.val, setting.labels))
    )


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    paths = [folder / f"{name}.json" for name in names]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        missing = " or ".join(path.name for path in paths)
        raise SourceError(
            f"{folder}: no {missing}{_archives(folder)}. {INFO.obtain}", reason="missing-file"
        )
    return found


def _archives(folder: Path) -> str:
    """What to do about archives that were not unpacked, as the end of a sentence."""
    found = [*list_files(folder, ".zip"), *list_files(folder, ".tar.gz")]
    return f"; unpack {found[0]} first" if found else ""
