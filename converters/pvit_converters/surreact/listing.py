"""Which SURREACT clips there are, and what the self-check says of each set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pvit_converters.base import Item, Listing
from pvit_converters.surreact.checks import SetFacts, examine_set
from pvit_converters.surreact.info import INFO
from pvit_converters.surreact.layout import PAPER, Clip, Found, find_clips, missing_sets
from pvit_converters.surreact.options import SurreactOptions
from pvit_data.errors import SourceError

_SHRINK = {"mp4": 1.0, "segm": 0.6, "depth": 0.4, "normal": 0.3}
"""Bytes in a shard per byte of raw files."""


def list_clips(root: Path, options: SurreactOptions) -> Listing:
    """The selected clips that have a video, and the outcome of the self-check of every set.

    Raises:
        SourceError: if there is none.
    """
    found = find_clips(root, options.estimator)
    if not any("mp4" in clip.files for clip in found.clips.values()):
        raise SourceError(_nothing_found(root, found))
    chosen = [clip for _, clip in sorted(found.clips.items()) if _is_wanted(clip, options)]
    clips = [clip for clip in chosen if "mp4" in clip.files]
    if not clips:
        raise SourceError(
            f"{root}: none of the {len(found.clips)} clips there is selected by the options"
        )
    by_set: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        by_set.setdefault(clip.set, []).append(clip)
    facts = {
        name: examine_set(root, "/".join(name), members, options)
        for name, members in sorted(by_set.items())
    }
    absent = len(chosen) - len(clips)
    return Listing(
        [_item(clip, facts[clip.set]) for clip in clips],
        {"video of the clip not present": absent} if absent else {},
        [*_notes(found, clips, options), *(note for each in facts.values() for note in each.notes)],
    )


def _is_wanted(clip: Clip, options: SurreactOptions) -> bool:
    if options.preset == "paper" and (*clip.set, clip.split) not in PAPER:
        return False
    views = {int(view) for view in options.views if view.isdecimal()}
    return (
        (not options.sets or "/".join(clip.set) in options.sets)
        and options.split in ("all", clip.split)
        and (not options.views or clip.view in views)
    )


def _item(clip: Clip, facts: SetFacts) -> Item:
    outcome = facts.outcome
    ref: dict[str, Any] = {
        "files": clip.files,
        "sequence": clip.sequence,
        "view": clip.view,
        "set": list(clip.set),
        "geometry": list(outcome.geometry),
        "turn": outcome.flips_maps,
        "pose": outcome.sides_agree,
        "distance": facts.is_distance,
    }
    size = 16_384 + int(sum(_SHRINK.get(kind, 0.0) * size for kind, size in clip.size.items()))
    return Item(clip.key, clip.group, clip.split, ref, size)


def _notes(found: Found, clips: Sequence[Clip], options: SurreactOptions) -> list[str]:
    is_paper = options.preset == "paper"
    counts = Counter((*clip.set, clip.split) for clip in clips)
    notes = missing_sets(counts, PAPER if is_paper else ())
    if is_paper:
        total = sum(counts[name] for name in PAPER)
        notes.append(
            f"paper: {total:,} of 108,316 videos; that these two sets are the paper's 108.3 thousand is inferred "
            "from their number, its depth and joints have no published source"
        )
    if found.doubled:
        notes.append(f"{found.doubled} files are there twice; the first was used")
    if found.splitless:
        notes.append(
            f"{found.splitless} clips lie neither in train/ nor in test/; they count as training data"
        )
    leftover = f"; {found.archives[0]} lies there, is it unpacked?" if found.archives else ""
    for kind in ("info", "segm"):
        if without := sum(kind not in clip.files for clip in clips):
            notes.append(f"{without} clips have no _{kind}.mat{leftover}")
    return notes


def _nothing_found(root: Path, found: Found) -> str:
    what = f"{len(found.clips)} clips without their videos" if found.clips else "no clip"
    leftover = f"; {found.archives[0]} is not unpacked" if found.archives else ""
    return (
        f"{root}: {what}; expected files such as ntu/vibe/train/S001C002P003R002A001/"
        f"S001C002P003R002A001_v045_r00.mp4{leftover}. {INFO.obtain}"
    )
