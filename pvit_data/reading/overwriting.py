"""Files that a command writes must be none of those that it reads: a slip of the pen would cost weights, or shards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pvit_data.errors import UsageError

OF_DATASETS = ("manifest.json", "README.md")
OF_SOURCES = ("plan.json", "report.json")


def refuse_overwriting(
    outputs: Mapping[str, Path | None], inputs: Iterable[tuple[str, str | Path | None]]
) -> None:
    """Refuses files to write that are inputs, files of a data set that is read, the same as others, or no files at all.

    Args:
        outputs: files that will be written, by option.
        inputs: what is read, with words for it: files, folders of data sets; URLs and what is not there are left out.

    Raises:
        UsageError: naming the option; before any work.
    """
    taken: dict[Path, str] = {}
    for words, place in inputs:
        if place and "://" not in str(place) and os.path.exists(os.path.expanduser(place)):
            taken.setdefault(_real(os.path.expanduser(place)), words)
    for option, out in outputs.items():
        if out is None:
            continue
        if out.is_dir() or not out.name:
            raise UsageError(f"{option} {out}: is a folder; name a file")
        if out.exists() and not out.is_file():
            raise UsageError(f"{option} {out}: is a pipe or a device; name a file")
        real = _real(out)
        mine = [folder for folder in real.parents if folder in taken and _is_data(real, folder)]
        if found := [taken[path] for path in (real, *mine) if path in taken]:
            what = f"a file of {found[0]}" if mine else found[0]
            raise UsageError(
                f"{option} {out}: is {what}, which would be overwritten: name another file"
            )
        taken[real] = f"the file of {option}, too"


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))


def _is_data(path: Path, dataset: Path) -> bool:
    """Whether a file is one of a data set's own, not a result that somebody put beside them."""
    folders = path.relative_to(dataset).parts[:-1]
    if not path.exists():
        return False
    if not folders:
        return path.name in OF_DATASETS or path.suffix == ".tar"
    inside = {"index", "receipts", "layers"} & set(folders)
    return bool(inside) or path.suffix == ".tar" or path.name in OF_SOURCES
