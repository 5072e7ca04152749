"""Predictions of classes in whichever form they come."""

from __future__ import annotations

from pathlib import Path

from pvit_data.errors import FormatError
from pvit_data.scoring.files.dump import read_dump
from pvit_data.scoring.files.kinds import kind_of
from pvit_data.scoring.files.npz import read_npz
from pvit_data.scoring.files.score_lists import read_score_list
from pvit_data.scoring.files.scores import ClassScores

_READERS = {"parquet": read_dump, "npz": read_npz, "text": read_score_list}


def read_class_scores(path: Path) -> ClassScores:
    """Reads our dump, npz, or a list of scores.

    Raises:
        FormatError: if it is none of them, or damaged.
        UsageError: if it cannot be read.
    """
    kind = kind_of(path)
    if kind not in _READERS:
        raise FormatError(
            f"{path}: JSON holds no scores of classes; expected a dump of `pvit eval`, npz with ids and logits, or "
            "lines `path label score score ...`"
        )
    return _READERS[kind](path)
