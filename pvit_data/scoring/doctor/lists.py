"""Lists of videos: whose ids these are if not the named list's, and whether training saw them.

Other lists are the official files beside the truth; they are read only when they are needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from pvit_data.errors import PvitError
from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.files.ava import Videos, read_truth
from pvit_data.scoring.files.class_truth import read_names
from pvit_data.scoring.files.ego4d import read_annotations
from pvit_data.scoring.files.scores import stem
from pvit_data.scoring.protocols import is_first_edition

PATTERNS = {
    "ssv2": (
        "train.json",
        "validation.json",
        "test.json",
        "something-something-v2-*.json",
        "test-answers.csv",
    ),
    "something-else": ("*train*.json", "*validation*.json"),
    "kinetics400": ("train.csv", "val.csv", "test.csv", "kinetics-400_*.csv"),
    "diving48": ("Diving48_*train.json", "Diving48_*test.json"),
    "ego4d": ("fho_oscc-pnr_*.json", "train.json", "val.json"),
    "ava": ("ava_train_v*.csv", "ava_val_v*.csv", "ava_test_v*.csv"),
}
MOST = 16  # files


def lists_beside(
    truth: Path, protocol: str, clean: Callable[[str], str]
) -> Iterator[tuple[str, set[str]]]:
    """Name and ids of each other official list that lies beside the truth."""
    found: list[Path] = []
    for pattern in PATTERNS.get(protocol, ()):
        found += [p for p in sorted(truth.parent.glob(pattern)) if p != truth and p not in found]
    for path in found[:MOST]:
        try:
            yield path.name, ids_of(path, protocol, clean)
        except PvitError:  # somebody else's file of that name is no list
            continue


def ids_of(path: Path, protocol: str, clean: Callable[[str], str]) -> set[str]:
    """The ids in a list, with folders and endings where it writes them; of AVA the movies.

    Raises:
        PvitError: if it is no list.
    """
    if protocol == "ava":
        videos = Videos()
        read_truth(path, videos)
        return set(videos.numbers)
    if protocol == "ego4d":
        return set(read_annotations(path).ids)
    return set(map(clean, read_names(path)))


def another_list(
    given: Collection[str], truth: Path, protocol: str, clean: Callable[[str], str]
) -> str:
    """The name of the list whose ids these are; "" if none is known."""
    ids = set(given)
    for name, listed in lists_beside(truth, protocol, clean):
        if ids == listed:
            return name
    return ""


def leak(
    ids: Collection[str],
    truth: Path | None,
    training: Path | None,
    protocol: str,
    clean: Callable[[str], str],
    paths: Collection[str] = (),
) -> Finding | None:
    """Ids that are in the training list as well.

    Args:
        ids: that are scored.
        truth: the list's file, beside which official training lists are looked for; None: not a file.
        training: the training list, if it was given.
        protocol, clean: as in `ids_of`.
        paths: of the videos as the list writes them, where ids are without folders; one per id.

    Raises:
        PvitError: if the given training list cannot be read.
    """
    lists: Iterator[tuple[str, set[str]]] = iter(())
    if training is not None:
        lists = iter([(training.name, ids_of(training, protocol, clean))])
    elif truth is not None:
        lists = (
            pair for pair in lists_beside(truth, protocol, clean) if _is_training(pair[0], truth)
        )
    for name, listed in lists:
        seen, sure = seen_in(paths or ids, listed)
        if both := sorted(id for id, is_seen in zip(ids, seen, strict=True) if is_seen):
            return Finding(
                "leak",
                f"{len(both):,} of the {len(ids):,} ids are in the training list {name} as well, first {both[0]}",
                sure,
                "score a list that training has not seen, or take these ids out of training",
            )
    return None


def seen_in(paths: Collection[str], listed: Collection[str]) -> tuple[list[bool], str]:
    """Whether each video is in another list, too, and how sure that is.

    Paths are the same if they end alike, by as many folders as both have; where each list begins in a folder of its own
    (`train/`, `val/`), names that count from 0 there are not. Where all that one list has is names without
    folders, these count where they tell the other's videos apart.

    >>> seen_in(["val/run/1.mp4", "run/2.mp4"], ["train/run/1.mp4", "/data/run/2.mp4"])[0]
    [False, True]
    >>> seen_in(["run/1.mp4", "run/2.mp4", "walk/2.mp4"], ["1", "2"])[0]
    [True, False, False]
    """
    mine, theirs = [_parts(path) for path in paths], {_parts(path) for path in listed}
    if not (_has_folders(mine) and _has_folders(theirs)):
        times = [Counter(parts[-1] for parts in side) for side in (set(mine), theirs)]
        seen = [times[0][parts[-1]] == times[1][parts[-1]] == 1 for parts in mine]
        is_bare = not (_has_folders(mine) or _has_folders(theirs))
        return seen, "certain" if is_bare else "by their names without folders"
    lengths = {len(parts) for parts in theirs} - {1}
    ends = {parts[-n:] for n in {len(parts) for parts in mine} - {1} for parts in theirs}
    seen = [
        parts in theirs or parts in ends or any(parts[-n:] in theirs for n in lengths)
        for parts in mine
    ]
    both = [path for path, found in zip(paths, seen, strict=True) if found]
    if not all(_parts(path) in theirs for path in both):
        return seen, "by as many folders as both lists have, if these begin in the same one"
    whole = {_parts(path) for path in listed if path.startswith("/")}
    is_sure = all(path.startswith("/") and _parts(path) in whole for path in both)
    return seen, "certain" if is_sure else "by their paths, if both lists begin in the same folder"


def _parts(path: str) -> tuple[str, ...]:
    """Folders and name, without what ends a video's name."""
    parts = [part for part in path.split("/") if part not in ("", ".")] or [path]
    return (*parts[:-1], stem(parts[-1]))


def _has_folders(videos: Iterable[tuple[str, ...]]) -> bool:
    return any(len(parts) > 1 for parts in videos)


def _is_training(name: str, truth: Path) -> bool:
    """SomethingElse has several training lists in a folder: that of the same setting counts."""
    if "train" not in name.lower():
        return False
    if is_first_edition(name) and not is_first_edition(truth.name):
        return False  # the second edition of Diving48 was split anew
    first, _, rest = truth.name.partition("_")
    if first in ("base", "finetune"):
        shot = next((part for part in rest.split("_") if part.endswith("shot")), "")
        return name.startswith(f"{first}_") and shot in name
    return True
