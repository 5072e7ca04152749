"""The PHAV converter: which videos there are, what holds for all of them, and what one becomes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pvit_converters.annotations.frames import keep_frames, parse_frames
from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.phav import offset as shift
from pvit_converters.phav.classes import (
    ACTIONS,
    FIRST_PART,
    HUMAN,
    PHAV36,
    PHAV63,
    PHAV_ACTIONS,
    action_of,
)
from pvit_converters.phav.colours import DEFAULT_ROWS, Rows, extra_rows, find_colours, rows_at
from pvit_converters.phav.info import INFO
from pvit_converters.phav.layout import (
    NAME,
    VideoFiles,
    find_videos_folder,
    patterns_of,
    sample_key,
    scan_video,
)
from pvit_converters.phav.options import PhavOptions
from pvit_converters.phav.video import PLAUSIBLE, Video
from pvit_converters.raw.files import read_yaml
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.labels import IGNORE_8, LabelSpace
from pvit_data.sample.sample import Sample

FPS = 30.0
TOTAL = 39_982
LOOKED_AT = 20
"""Videos that are listed and judged before the conversion."""
_VAL, _TEST = {"Alexis", "Justin"}, {"Model_Girl", "Model_Boy"}
_SHRINK = {"rgb": 0.35, "depth": 0.9, "semantic": 1.0}


class PhavConverter(Converter[PhavOptions]):
    """Converts unpacked PHAV torrents, any subset of the modalities."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = PhavOptions

    def __init__(self, root: Path, options: PhavOptions) -> None:
        super().__init__(root, options)
        parse_frames(options.frames)  # refused before any work
        self.folders = [
            find_videos_folder(each) for each in (self.root, *map(Path, options.more_roots))
        ]

    def spaces(self) -> dict[str, LabelSpace]:
        """Classes (full or reduced), classes of boxes, actions."""
        return {
            "segm": PHAV63 if self.options.classes == "full" else PHAV36,
            "boxes": PHAV63,
            "action": PHAV_ACTIONS,
        }

    @cached_property
    def _layout(self) -> dict[str, Any]:
        path = self.options.layout
        if path is None:
            return {"patterns": {}, "packing": ""}
        values = read_yaml(path, "--layout")
        patterns = patterns_of(values, f"--layout {path}")
        packing = str(values.get("phav", values).get("depth_packing", ""))
        if packing not in ("", "rgb24"):
            raise UsageError(f"--layout {path}: depth_packing {packing}, expected rgb24")
        return {"patterns": patterns, "packing": packing}

    @cached_property
    def _extra(self) -> Rows:
        path = self.options.label_map
        return (
            ()
            if path is None
            else extra_rows(read_yaml(path, "--label-map"), f"--label-map {path}")
        )

    # ---- which videos there are ------------------------------------------------------------------------------

    def list_items(self) -> Listing:
        """All videos of the selected actions, and the outcome of a look at twenty of them."""
        videos = self._videos()
        if not videos:
            raise SourceError(self._nothing_found())
        names = sorted(videos)
        looked_at = (
            names
            if len(names) <= LOOKED_AT
            else [names[i * len(names) // LOOKED_AT] for i in range(LOOKED_AT)]
        )
        seen = [self._scan(videos[name]) for name in looked_at]
        offset, notes = self._offset(seen)
        size = 4096 + sum(map(_estimate, seen)) // len(seen)
        items, taken = [], set()
        for name in names:
            key = sample_key("/".join(name), name[1])
            if key in taken:
                key = sample_key("/".join(name), "")
            taken.add(key)
            ref = {"name": list(name), "folders": videos[name], "offset": offset}
            items.append(Item(key, key, self._split(name[1]), ref, size))
        return Listing(items, {}, [*self._notes(names, seen), *notes, *self._check_depth(seen)])

    def _videos(self) -> dict[tuple[str, str], list[list[Any]]]:
        """By (action folder, video folder): [number of the root, relative path] of every folder it has."""
        wanted = {action_of(name) for name in self.options.actions}
        if None in wanted:
            raise UsageError(
                f"--actions {','.join(self.options.actions)}: PHAV's actions are {', '.join(ACTIONS)}"
            )
        videos: dict[tuple[str, str], list[list[Any]]] = {}
        for number, root in enumerate(self.folders):
            for folder in _folders(root):
                action = action_of(folder)
                if action is None and not self.options.allow_unknown_actions:
                    raise SourceError(self._unknown_action(root, folder), reason="unknown-action")
                if wanted and action not in wanted:
                    continue
                for video in _folders(root / folder):
                    videos.setdefault((folder, video), []).append([number, f"{folder}/{video}"])
        return videos

    @staticmethod
    def _unknown_action(root: Path, folder: str) -> str:
        if NAME.match(folder):
            return (
                f"{root / folder}: a video where an action folder is expected; give {root.parent}"
            )
        archive = next((root / folder).glob("*.tar.bz2"), None)
        what = (
            f"{archive.name} in it is not unpacked. {INFO.obtain}"
            if archive
            else "or --allow-unknown-actions"
        )
        return f"{root / folder}: no action of PHAV; expected folders {', '.join(ACTIONS)} in {root}; {what}"

    def _scan(self, folders: list[list[Any]]) -> VideoFiles:
        return scan_video([self.folders[n] / path for n, path in folders], self._layout["patterns"])

    def _split(self, name: str) -> str:
        if self.options.preset == "paper":
            return "train"
        if self.options.split == "all":
            return ""
        match = NAME.match(name)
        character = match["character"] if match else ""
        return "val" if character in _VAL else "test" if character in _TEST else "train"

    def _offset(self, seen: list[VideoFiles]) -> tuple[int, list[str]]:
        """1 where the maps count from 0, RGB from 1, and the pictures say that they belong together in order."""
        if self.options.phav_index_offset != "auto":
            return int(self.options.phav_index_offset), []
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

    def _check_depth(self, seen: list[VideoFiles]) -> list[str]:
        """How far away people stand, on one frame of every video looked at; what cannot be read is left out."""
        metres = []
        for files in seen:
            both = sorted(files.of("depth").keys() & files.of("semantic").keys())
            if not both:
                continue
            number = both[len(both) // 2]
            paths = {name: {number: files.of(name)[number]} for name in ("depth", "semantic")}
            try:
                rows, _ = self._rows(files)
                packing = self._layout["packing"]
                video = Video(
                    VideoFiles(paths, files.folders), 0, rows, self._extra, self.options, packing
                )
                segm, depth = video.classes(), video.depth()
            except SourceError:
                continue
            if segm is not None and depth is not None:
                video.check_depth(depth, segm)
                metres.append(video.meta.get("median_body_depth"))
        there = sorted(m for m in metres if m is not None)
        if not there:
            return (
                ["check of depth: nobody is seen in it, so its scale is unverified"]
                if metres
                else []
            )
        low, high = PLAUSIBLE
        odd = sum(not low <= m <= high for m in there)
        told = f"; IMPLAUSIBLE IN {odd}: look at --depth-scale" if odd else ""
        middle = there[len(there) // 2]
        return [
            f"check of depth, {len(there)} videos: people stand {there[0]}..{there[-1]} m away, mostly {middle}{told}"
        ]

    def _notes(self, names: list[tuple[str, str]], seen: list[VideoFiles]) -> list[str]:
        notes = []
        if odd := sum(not NAME.match(video) for _, video in names):
            notes.append(
                f"{odd} folder names do not parse; their keys are hashes, name_parsed is false in meta"
            )
        for modality in ("rgb", "depth", "semantic", "instance"):
            if without := sum(not files.of(modality) for files in seen):
                notes.append(
                    f"{without} of the {len(seen)} videos looked at have no {modality} files"
                )
        if ignored := sorted(set().union(*(files.ignored for files in seen))):
            notes.append(f"ignored files: {', '.join(ignored[:10])}")
        if self.options.preset == "paper":
            notes.append(
                f"paper: {len(names)} of PHAV's {TOTAL} videos are here; the paper trains on all (39.9K)"
            )
        return notes

    def _nothing_found(self) -> str:
        archives = next((p for root in self.folders for p in root.glob("**/*.tar.bz2")), None)
        leftover = f"; {archives} is not unpacked" if archives else ""
        return (
            f"{self.folders[0]}: no video folder ACTION/VIDEO/ with frames such as BrushHair/b1045-.../img_00001.jpg"
            f"{leftover}. {INFO.obtain}"
        )

    # ---- what a video becomes --------------------------------------------------------------------------------

    def load(self, item: Item) -> Sample:
        """One video with whichever of depth, classes and boxes it has."""
        action, name = item.ref["name"]
        files = self._scan(item.ref["folders"])
        rows, warnings = self._rows(files)
        video = Video(
            files,
            self._offset_of(item, files),
            rows,
            self._extra,
            self.options,
            self._layout["packing"],
        )
        sample = Sample(key=item.key, group=item.group, fps=FPS, action=action_of(action))
        sample.rgb = video.rgb()
        if (segm := video.classes()) is not None:
            sample.frames["segm"], sample.segm = segm
        if (depth := video.depth()) is not None:
            sample.frames["depth"], sample.depth = depth
            if segm is not None:
                video.check_depth(depth, segm)
        sample.boxes = video.boxes(segm)
        if self.options.classes == "person" and sample.segm is not None:
            sample.segm[(sample.segm >= FIRST_PART) & (sample.segm != IGNORE_8)] = HUMAN
        sample.num_frames, (sample.height, sample.width) = video.num_frames, video.size or (0, 0)
        match = NAME.match(name)
        sample.meta = {
            "name": name,
            "action_folder": action,
            "name_parsed": match is not None,
            **video.meta,
        }
        sample.meta |= {
            "index_offset": video.offset,
            "warnings": sorted({*warnings, *video.warnings}),
        }
        if match:
            sample.meta |= {key: value for key, value in match.groupdict().items() if key != "id"}
        keep_frames(sample, self.options.frames)
        return sample

    def _offset_of(self, item: Item, files: VideoFiles) -> int:
        """The offset of the tree, where this video's own numbers allow it."""
        offset = int(item.ref["offset"])
        rgb = files.of("rgb")
        maps = {i for name in ("semantic", "depth", "instance") for i in files.of(name)}
        if self.options.phav_index_offset == "auto" and rgb and not shift.starts_before(rgb, maps):
            return 0
        return offset

    def _rows(self, files: VideoFiles) -> tuple[Rows, list[str]]:
        top = next((f for f in self.folders if f in files.folders[0].parents), files.folders[0])
        path = find_colours(files.folders[0], top)
        if path is None:
            return DEFAULT_ROWS, []
        rows = rows_at(path)
        same = dict(rows) == dict(DEFAULT_ROWS)
        return rows, [] if same else [
            f"{path.name} differs from the published table, the file is used"
        ]


def _folders(folder: Path) -> Iterator[str]:
    yield from sorted(
        e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")
    )


def _estimate(files: VideoFiles) -> int:
    sizes = Counter[str]()
    for name in _SHRINK:
        sizes[name] = sum(path.stat().st_size for path in files.of(name).values())
    return int(sum(_SHRINK[name] * size for name, size in sizes.items()))
