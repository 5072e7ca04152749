"""What names in foreign tars say: key and extension of a member, source and split of a shard."""

from __future__ import annotations

import hashlib
import re

from pvit_data.format.names import SPLIT_WORDS
from pvit_data.sample.sample import KEY_PATTERN
from pvit_data.storage.files import is_litter

_WORD = re.compile(r"[^\W\d_]+")
"""A word that may name a split: a run of letters."""
_NO_SAMPLE = re.compile(r"[^a-z0-9_-]")


def split_foreign(name: str) -> tuple[str, str]:
    """Key and extension: at the first dot of the last part of the name; without a dot the extension is empty."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    stem, _, extension = base.partition(".")
    return f"{folder}{slash}{stem}", extension.lower()


def is_member(name: str) -> bool:
    """Whether a file belongs to a sample: names that begin with a dot do not (as in WebDataset), nor does litter."""
    parts = name.removeprefix("./").split("/")
    return not parts[-1].startswith(".") and not any(map(is_litter, parts))


def place_of(shard: str) -> tuple[str, str]:
    """Source and split that a shard is counted to: its folder, and the split that its name says, else its folders'.

    Folders that are named for a split alone (`train/`, `val2017/`) belong to the source above them.
    """
    *folders, _ = shard.split("/")
    while (
        folders and (words := _WORD.findall(folders[-1].lower())) and SPLIT_WORDS.keys() >= {*words}
    ):
        folders.pop()
    folder = "/".join(folders)
    name = _NO_SAMPLE.sub("_", folder.lower())[:40] or "webdataset"
    told = _told(shard)
    return name, told.pop() if len(told) == 1 else "train"


def is_ambiguous(shard: str) -> bool:
    """Whether the part of its name that says a split says two; it counts to train then."""
    return len(_told(shard)) > 1


def _told(shard: str) -> set[str]:
    """The splits that the file's name says, else those of the innermost folder that says any."""
    for part in reversed(shard.lower().split("/")):
        if told := {SPLIT_WORDS[word] for word in _WORD.findall(part) if word in SPLIT_WORDS}:
            return told
    return set()


def plain_key(key: str) -> str:
    """A foreign key in the characters of ours; changed ones get a piece of their hash, so that they stay unique."""
    if KEY_PATTERN.match(key):
        return key
    digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{_NO_SAMPLE.sub('_', key.lower())[-63:]}-{digest}"
