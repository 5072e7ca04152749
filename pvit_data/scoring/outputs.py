"""Files that are written must be none of those that are read: a slip of the pen would cost predictions, or a list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pvit_data.errors import PvitError
from pvit_data.reading.overwriting import refuse_overwriting
from pvit_data.scoring.doctor.lists import PATTERNS, ids_of
from pvit_data.scoring.files.ava import excluded_beside
from pvit_data.scoring.files.class_names import OFFICIAL, classes_beside
from pvit_data.scoring.options import ScoreOptions


def require_outputs(
    outputs: Mapping[str, Path | None], predictions: Path, how: ScoreOptions
) -> None:
    """Refuses to write over what is read, over each other, and where no file can be; before any work.

    Args:
        outputs: files that will be written, by option.
        predictions, how: what is read.

    Raises:
        UsageError: naming the option.
    """
    official = [
        ("an official list beside the truth", out)
        for out in outputs.values()
        if out is not None and how.truth is not None and _is_official(out, Path(how.truth), how)
    ]
    refuse_overwriting(outputs, [*_inputs(predictions, how), *official])


def _is_official(out: Path, truth: Path, how: ScoreOptions) -> bool:
    """Whether a file is one of the lists that are looked into beside the truth."""
    protocol = "ava" if "ava" in how.protocol.metrics else how.protocol.name
    patterns = PATTERNS.get(protocol, ())
    named = [
        path
        for path in (out, _real(out))  # a link is written through
        if _real(path.parent) == _real(truth.parent) and any(map(path.match, patterns))
    ]
    if not named or not out.is_file():
        return False
    try:
        return bool(ids_of(out, protocol, how.protocol.clean))
    except PvitError:  # a former result
        return False


def _inputs(predictions: Path, how: ScoreOptions) -> Iterator[tuple[str, Path]]:
    """What is read, with words for it; files that lie beside the truth are read by themselves."""
    yield "the file of predictions", predictions
    if how.truth is not None and "://" not in how.truth:
        truth = Path(how.truth)
        yield "the truth (--truth)", truth
        yield "the label map", truth.with_name(OFFICIAL)
        if excluded := excluded_beside(truth):
            yield "the list of excluded seconds", excluded
        if classes := classes_beside(how.protocol.name, truth):
            yield "the file with the classes", classes
    named = {
        "classes": how.classes,
        "excluded": how.excluded,
        "label-map": how.label_map,
        "train-list": how.train_list,
    }
    for option, path in named.items():
        if path is not None:
            yield f"the file of --{option}", Path(path)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
