"""Which PHAV videos there are, and what a look at twenty of them says about all."""

from __future__ import annotations

from collections.abc import Sequence

from pvit_converters.base import Item, Listing
from pvit_converters.evenly import evenly
from pvit_converters.phav import offset as shift
from pvit_converters.phav.info import INFO
from pvit_converters.phav.layout import MAPS, NAME, VideoFiles, sample_key
from pvit_converters.phav.options import PhavOptions
from pvit_converters.phav.tree import Tree
from pvit_converters.phav.video import PLAUSIBLE
from pvit_converters.raw.listing import walk_files
from pvit_data.errors import SourceError

TOTAL = 39_982
LOOKED_AT = 20
"""Videos that are listed and judged before the conversion."""

_CHARACTERS = {"Alexis": "val", "Justin": "val", "Model_Girl": "test", "Model_Boy": "test"}
_SHRINK = {"rgb": 0.35, "depth": 0.9, "semantic": 1.0}
"""Bytes in a shard per byte of raw files."""


def list_videos(tree: Tree, options: PhavOptions) -> Listing:
    """All videos of the selected actions, and the outcome of a look at twenty of them.

    Raises:
        SourceError: if there is none.
    """
    videos = tree.videos()
    if not videos:
        raise SourceError(_nothing_found(tree))
    names = sorted(videos)
    seen = [tree.scan(videos[name]) for name in evenly(names, LOOKED_AT)]
    offset, notes = _offset(seen, options.phav_index_offset)
    size = 4096 + sum(map(_estimate, seen)) // len(seen)
    items = []
    for name, key in zip(names, _keys(names), strict=True):
        ref = {"name": list(name), "folders": videos[name], "offset": offset}
        items.append(Item(key, key, _split(name[1], options), ref, size))
    notes = [*_notes(names, seen, options), *notes, *_check_depth(tree, seen)]
    return Listing(items, {}, notes)


def _keys(names: Sequence[tuple[str, str]]) -> list[str]:
    """A video's own id; a hash of its path where that is no id, or is taken."""
    keys: dict[str, None] = {}
    for name in names:
        key = sample_key("/".join(name), name[1])
        if key in keys:
            key = sample_key("/".join(name), "")
        keys[key] = None
    return list(keys)


def _split(name: str, options: PhavOptions) -> str:
    if options.preset == "paper":
        return "train"
    if options.split == "all":
        return ""
    match = NAME.match(name)
    return _CHARACTERS.get(match["character"], "train") if match else "train"


def _offset(seen: Sequence[VideoFiles], choice: str) -> tuple[int, list[str]]:
    """1 where the maps count from 0, RGB from 1, and the pictures say that they belong together in order."""
    if choice != "auto":
        return int(choice), []
    total, tried = shift.Score(), 0
    for files in seen:
        maps = files.of("semantic") or files.of("depth")
        if shift.starts_before(files.of("rgb"), maps):
            total += shift.score(files.of("rgb"), maps)
            tried += 1
    if not tried:
        return 0, []
    zero, one = (s / max(total.frames, 1) for s in total.strength)
    best = total.best
    what = "undecided, 0 taken; give --phav-index-offset" if best is None else f"{best} taken"
    return best or 0, [
        f"RGB numbers start at 1, map numbers at 0: edges of RGB on map boundaries {zero:.1f} for offset 0, "
        f"{one:.1f} for offset 1 ({total.frames} frames of {tried} videos): {what}"
    ]


def _check_depth(tree: Tree, seen: Sequence[VideoFiles]) -> list[str]:
    """How far away people stand, on one frame of every video looked at; what cannot be read is left out."""
    looked, there = 0, []
    for files in seen:
        both = sorted(files.of("depth").keys() & files.of("semantic").keys())
        if not both:
            continue
        try:
            has_both, metres = _body_depth(tree, files, both[len(both) // 2])
        except SourceError:
            continue
        looked += has_both
        there += [] if metres is None else [metres]
    if not there:
        unseen = "check of depth: nobody is seen in it, so its scale is unverified"
        return [unseen] if looked else []
    there.sort()
    low, high = PLAUSIBLE
    odd = sum(not low <= m <= high for m in there)
    told = f"; IMPLAUSIBLE IN {odd}: look at --depth-scale" if odd else ""
    middle = there[len(there) // 2]
    return [
        f"check of depth, {len(there)} videos: people stand {there[0]}..{there[-1]} m away, mostly {middle}{told}"
    ]


def _body_depth(tree: Tree, files: VideoFiles, number: int) -> tuple[bool, float | None]:
    """Whether a frame has depth and classes, and how far its people are where it shows some."""
    paths = {name: {number: files.of(name)[number]} for name in ("depth", "semantic")}
    video = tree.open(VideoFiles(paths, files.folders))
    segm, depth = video.classes(), video.depth()
    if segm is None or depth is None:
        return False, None
    video.check_depth(depth, segm)
    return True, video.meta.get("median_body_depth")


def _notes(
    names: Sequence[tuple[str, str]], seen: Sequence[VideoFiles], options: PhavOptions
) -> list[str]:
    notes = []
    if odd := sum(not NAME.match(video) for _, video in names):
        notes.append(
            f"{odd} folder names do not parse; their keys are hashes, name_parsed is false in meta"
        )
    for modality in ("rgb", *MAPS):
        if without := sum(not files.of(modality) for files in seen):
            notes.append(f"{without} of the {len(seen)} videos looked at have no {modality} files")
    if ignored := sorted(set().union(*(files.ignored for files in seen))):
        notes.append(f"ignored files: {', '.join(ignored[:10])}")
    if options.preset == "paper":
        notes.append(
            f"paper: {len(names)} of PHAV's {TOTAL} videos are here; the paper trains on all (39.9K)"
        )
    return notes


def _nothing_found(tree: Tree) -> str:
    packed = (
        root / p for root in tree.folders for p, _ in walk_files(root) if p.endswith(".tar.bz2")
    )
    archive = next(packed, None)
    leftover = f"; {archive} is not unpacked" if archive else ""
    return (
        f"{tree.folders[0]}: no video folder ACTION/VIDEO/ with frames such as BrushHair/b1045-.../img_00001.jpg"
        f"{leftover}. {INFO.obtain}"
    )


def _estimate(files: VideoFiles) -> int:
    sizes = {name: sum(path.stat().st_size for path in files.of(name).values()) for name in _SHRINK}
    return int(sum(_SHRINK[name] * size for name, size in sizes.items()))
