"""How a user wants samples to be divided; what is ambiguous about it is refused, with both readings."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvit_data.errors import UsageError
from pvit_data.format.names import SPLITS
from pvit_data.storage.files import read_regular

MAX_FOLDS = 1000


@dataclass(frozen=True)
class Division:
    """How samples are divided: one of `folds`, `holdout`, `per_class` and `lists`; by none of them splits stay.

    Args:
        folds: number of protocols, of each of which another share of the groups is `val`, the others `train`.
        holdout: percentage of the groups that becomes `val`, the others `train`.
        per_class: samples of each class that become `train`, in whole groups, the others `test`.
        lists: by split a file with the ids of its samples; all others are left out.
        column: of the lists, where they are CSV with a header.
        match: what ids are: `"key"`, or a key of the samples' `meta`.
        allow_missing: ids that the base does not have are counted, not refused.
        of: splits of the base that are divided; samples of others keep theirs. Default: the only one that it has.
        where: filter over index columns: which samples are in at all.
        classes: a file with the classes that are in, and how they are called.
        seed: of the order of the groups.
    """

    folds: int = 0
    holdout: float | None = None
    per_class: int = 0
    lists: Mapping[str, Path] = field(default_factory=dict)
    column: str = ""
    match: str = "key"
    allow_missing: bool = False
    of: tuple[str, ...] = ()
    where: str = ""
    classes: Path | None = None
    seed: int = 0

    def require_one(self) -> None:
        """Refuses what says nothing, or two things.

        Raises:
            UsageError: naming the options.
        """
        ways = {
            "--folds": self.folds,
            "--holdout": self.holdout is not None,
            "--per-class": self.per_class,
            "--train, --val, --test": self.lists,
        }
        given = [name for name, value in ways.items() if value]
        if len(given) > 1:
            raise UsageError(
                f"{' and '.join(given)}: each divides the samples on its own; give one"
            )
        if not given and self.of:
            raise UsageError("--of: which splits are divided; by what? Give --folds or --holdout")
        if not given and not self.where and self.classes is None:
            raise UsageError(
                f"says nothing that would be divided: give one of {', '.join(ways)}, or --where or --classes, "
                "by which a part of the samples keeps its splits"
            )
        if self.lists and self.of:
            raise UsageError("--of: lists say of every sample where it goes; leave --of out")
        if not self.lists and (self.column or self.match != "key" or self.allow_missing):
            raise UsageError(
                "--column, --match and --allow-missing are about the lists of --train, --val, --test"
            )
        if self.folds and not 2 <= self.folds <= MAX_FOLDS:
            raise UsageError(f"--folds {self.folds}: expected 2 to {MAX_FOLDS}")
        if self.holdout is not None and not 0 < self.holdout < 100:
            raise UsageError(f"--holdout {self.holdout:g}: expected more than 0 and less than 100")
        if unknown := [name for name in self.of if name not in SPLITS]:
            raise UsageError(f"--of {unknown[0]}: expected some of {', '.join(SPLITS)}")

    @property
    def makes(self) -> tuple[str, ...]:
        """The splits that divided samples get; () where samples are listed, or keep theirs."""
        if self.per_class:
            return ("train", "test")
        return ("train", "val") if self.folds or self.holdout is not None else ()

    def divided(self, there: Sequence[str]) -> Collection[str]:
        """Which splits of the base are divided.

        Args:
            there: splits that the samples have now.

        Raises:
            UsageError: if it is not said, or others would get mixed with what is made.
        """
        if unknown := [split for split in self.of if split not in there]:
            raise UsageError(f"--of {unknown[0]}: no sample is in it; there is {', '.join(there)}")
        if not self.of and len(there) > 1:
            raise UsageError(
                f"the samples are in {', '.join(there)}: --of {','.join(there)} divides all of them anew, "
                f"--of {there[0]} only those of {there[0]}, while the others keep their split"
            )
        own = self.of or tuple(there)
        mixed = [split for split in there if split not in own and split in self.makes]
        if mixed:
            anew = ",".join(split for split in there if split in (*own, *mixed))
            raise UsageError(
                f"the samples of {mixed[0]} would keep their split, and others get into it: divide them too "
                f"(--of {anew}), or leave them out (--where \"split != '{mixed[0]}'\")"
            )
        return own

    def options(self) -> dict[str, Any]:
        """What the protocol's declaration says of it: JSON values; of files their hashes."""
        files = {**self.lists} | ({} if self.classes is None else {"classes": self.classes})
        told: dict[str, Any] = {
            "folds": self.folds,
            "holdout": self.holdout,
            "per_class": self.per_class,
            "of": list(self.of),
            "where": self.where,
            "seed": self.seed,
            "column": self.column,
            "match": self.match if self.lists else "",
            **{name: f"sha256:{_hash(path)}" for name, path in files.items()},
        }
        return {name: value for name, value in told.items() if value}


def _hash(path: Path) -> str:
    return hashlib.sha256(read_regular(path)).hexdigest()
