"""Which SynADL videos there are, which of them are drawn, and the outcome of the self-check."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pvit_converters.base import Item, Listing
from pvit_converters.raw.files import read_yaml
from pvit_converters.synadl.info import INFO
from pvit_converters.synadl.joint_sets import SETS, Skeletons, examine_sets
from pvit_converters.synadl.layout import RANGES, Clip, Found, find_clips, folders_of
from pvit_converters.synadl.options import SynadlOptions
from pvit_data.errors import SourceError, UsageError

PAPER_CLIPS = 48_800
_RECODED = 0.35  # bytes of H.264 per byte of motion JPEG


def list_videos(root: Path, options: SynadlOptions, skeletons: Skeletons) -> Listing:
    """The selected videos, and the outcome of the self-check.

    Raises:
        SourceError: if there is none, or nobody can tell which skeleton files are which.
    """
    found = _find(root, options)
    chosen = [clip for _, clip in sorted(found.clips.items()) if _is_wanted(clip, options)]
    clips = [clip for clip in chosen if "rgb" in clip.files]
    missing = len(chosen) - len(clips)
    clips, notes = _draw(clips, options)
    if not clips:
        raise SourceError(
            f"{root}: none of the {len(found.clips)} videos there is selected by the options"
        )
    frames, sentences = examine_sets(clips, skeletons, options)
    told = {name: [frame.scale, frame.axes.ravel().tolist()] for name, frame in frames.items()}
    return Listing(
        list(_items(clips, told, options)),
        {"video of the skeleton not present": missing} if missing else {},
        [*notes, *_notes(found, clips, options), *sentences],
    )


def _find(root: Path, options: SynadlOptions) -> Found:
    path, folders = options.layout, {}
    if path is not None:
        folders = folders_of(read_yaml(path, "--layout"), f"--layout {path}")
    found = find_clips(root, folders, from_zip=options.from_zip)
    if not any("rgb" in clip.files for clip in found.clips.values()):
        raise SourceError(_nothing_found(root, found))
    solids = {each.solid for each in SETS.values()}
    if found.unplaced and not any(solids & clip.files.keys() for clip in found.clips.values()):
        raise SourceError(
            f"{root / found.unplaced[0]}: {len(found.unplaced)} skeleton files lie in folders that don't say "
            "Kinect or OpenPose and 2DJ or 3DJ; give --layout FILE.yaml with a line such as "
            "synadl: {k3d: FOLDER, k2d: FOLDER}, or move them away to convert the videos alone",
            reason="unknown-layout",
        )
    return found


def _is_wanted(clip: Clip, options: SynadlOptions) -> bool:
    wanted = {
        "action": options.actions,
        "person": options.subjects,
        "group": options.groups,
        "camera": options.cameras,
    }
    return all(
        not values or clip.numbers[name] in _numbers(values) for name, values in wanted.items()
    )


def _draw(clips: list[Clip], options: SynadlOptions) -> tuple[list[Clip], list[str]]:
    """The clips that a limit leaves, drawn by a hash of their names."""
    limit, notes = options.max_clips, []
    if options.preset == "paper":
        limit = limit or PAPER_CLIPS
        notes.append(
            f"paper: it trains on 48.8 thousand of the 462,000 videos; which ones is unknown, so {PAPER_CLIPS:,} "
            "are drawn by a hash of the file name"
        )
    if not limit or limit >= len(clips):
        return clips, notes
    lots = {
        clip.stem: hashlib.sha256(f"{options.seed}:{clip.stem}".encode()).digest() for clip in clips
    }
    first = sorted(clips, key=lambda clip: lots[clip.stem])[:limit]
    drawn = sorted(first, key=lambda clip: clip.stem)
    mark = hashlib.sha256("\n".join(clip.stem for clip in drawn).encode()).hexdigest()[:16]
    notes.append(f"{limit:,} of {len(clips):,} videos drawn with seed {options.seed} (list {mark})")
    return drawn, notes


def _items(
    clips: Iterable[Clip], frames: dict[str, list[Any]], options: SynadlOptions
) -> Iterable[Item]:
    """A plan may hold half a million items: places have `*` for the stem, so that most clips share theirs."""
    shared: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for clip in clips:
        files = {kind: place.replace(clip.stem, "*") for kind, place in clip.files.items()}
        ref: dict[str, Any] = {"stem": clip.stem, "suffix": clip.suffix, "frames": frames}
        ref["files"] = shared.setdefault(tuple(files.items()), files)
        group = clip.stem.rsplit("_C", 1)[0].lower()
        size = 32_768 + int(clip.size if options.copy_video else _RECODED * clip.size)
        yield Item(f"synadl-{clip.stem.lower()}", group, _split(clip, options), ref, size)


def _split(clip: Clip, options: SynadlOptions) -> str:
    if options.preset == "paper":
        return "train"
    if not (options.val_subjects or options.val_cameras):
        return ""
    is_val = clip.numbers["person"] in _numbers(options.val_subjects)
    is_val = is_val or clip.numbers["camera"] in _numbers(options.val_cameras)
    return "val" if is_val else "train"


def _numbers(values: tuple[str, ...]) -> set[int]:
    try:
        return {int(value) for value in values}
    except ValueError as error:
        raise UsageError(f"{','.join(values)}: expected numbers such as 1,5,9") from error


def _notes(found: Found, clips: Sequence[Clip], options: SynadlOptions) -> list[str]:
    counts = Counter(kind for clip in clips for kind in clip.files)
    others = ", ".join(f"{number:,} {kind}" for kind, number in counts.items() if kind != "rgb")
    notes = [f"{len(clips):,} videos; {others}"]
    if odd := sum(not _in_ranges(clip) for clip in clips):
        notes.append(f"{odd} file names have numbers outside A1-55, P101-115, G1-20, C1-28")
    if found.doubled:
        notes.append(
            f"{found.doubled} files are there twice; the one with the shorter name was used"
        )
    if found.archives and not options.from_zip:
        notes.append(
            f"{len(found.archives)} archives, first {found.archives[0]}, are not read; unzip or --from-zip"
        )
    if found.unplaced:
        notes.append(
            f"{len(found.unplaced)} skeleton files lie in folders that don't say Kinect or OpenPose and 2DJ or "
            f"3DJ, first {found.unplaced[0]}; --layout names their folders"
        )
    return notes


def _in_ranges(clip: Clip) -> bool:
    return all(low <= clip.numbers[name] <= high for name, (low, high) in RANGES.items())


def _nothing_found(root: Path, found: Found) -> str:
    what = f"{len(found.clips)} skeletons without videos" if found.clips else "no video"
    leftover = ""
    if found.archives:
        leftover = f"; {found.archives[0]} is not unpacked (unzip it, or pass --from-zip)"
    return f"{root}: {what}; expected files such as RGB/A001_P101_G001_C001.avi{leftover}. {INFO.obtain}"
