"""The PHAV converter: what a video becomes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pvit_converters.annotations.frames import keep_frames, parse_frames
from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.phav import offset as shift
from pvit_converters.phav.classes import (
    FIRST_PART,
    HUMAN,
    PHAV36,
    PHAV63,
    PHAV_ACTIONS,
    action_of,
)
from pvit_converters.phav.colours import TABLE
from pvit_converters.phav.info import INFO
from pvit_converters.phav.layout import MAPS, NAME, VideoFiles
from pvit_converters.phav.listing import list_videos
from pvit_converters.phav.options import PhavOptions
from pvit_converters.phav.tree import Tree
from pvit_converters.phav.video import Video
from pvit_data.sample.labels import IGNORE_8, LabelSpace
from pvit_data.sample.sample import Sample

FPS = 30.0


class PhavConverter(Converter[PhavOptions]):
    """Converts unpacked PHAV torrents, any subset of the modalities."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = PhavOptions

    def __init__(self, root: Path, options: PhavOptions) -> None:
        super().__init__(root, options)
        parse_frames(options.frames)  # refused before any work
        self.tree = Tree(self.root, options)

    @classmethod
    def places(cls, root: Path, options: PhavOptions) -> list[Path]:
        """Also the further roots, and the table of colours that lies beside a folder of videos."""
        roots = [root, *map(Path, options.more_roots)]
        tables = [
            place.parent / TABLE for each in roots for place in (each.absolute(), each.resolve())
        ]
        beside = [path for path in tables if not path.is_symlink()]
        return [*super().places(root, options), *roots[1:], *beside]

    def spaces(self) -> dict[str, LabelSpace]:
        """Classes (full or reduced), classes of boxes, actions."""
        classes = PHAV63 if self.options.classes == "full" else PHAV36
        return {"segm": classes, "boxes": PHAV63, "action": PHAV_ACTIONS}

    def list_items(self) -> Listing:
        """All videos of the selected actions, and the outcome of a look at twenty of them."""
        return list_videos(self.tree, self.options)

    def load(self, item: Item) -> Sample:
        """One video with whichever of depth, classes and boxes it has."""
        action, name = item.ref["name"]
        files = self.tree.scan(item.ref["folders"])
        video = self.tree.open(files, self._offset_of(item, files))
        sample = Sample(key=item.key, group=item.group, fps=FPS, action=action_of(action))
        sample.rgb = video.rgb()
        self._add_maps(sample, video)
        sample.num_frames, (sample.height, sample.width) = video.num_frames, video.size or (0, 0)
        match = NAME.match(name)
        sample.meta = {
            "name": name,
            "action_folder": action,
            "name_parsed": match is not None,
            **video.meta,
            "index_offset": video.offset,
            "warnings": sorted(set(video.warnings)),
        }
        if match:
            sample.meta |= {key: value for key, value in match.groupdict().items() if key != "id"}
        keep_frames(sample, self.options.frames)
        return sample

    def _add_maps(self, sample: Sample, video: Video) -> None:
        segm, depth = video.classes(), video.depth()
        if segm is not None:
            sample.frames["segm"], sample.segm = segm
        if depth is not None:
            sample.frames["depth"], sample.depth = depth
        if segm is not None and depth is not None:
            video.check_depth(depth, segm)
        sample.boxes = video.boxes(segm)
        if self.options.classes == "person" and sample.segm is not None:
            sample.segm[(sample.segm >= FIRST_PART) & (sample.segm != IGNORE_8)] = HUMAN

    def _offset_of(self, item: Item, files: VideoFiles) -> int:
        """The offset of the tree, where this video's own numbers allow it."""
        offset = int(item.ref["offset"])
        rgb = files.of("rgb")
        maps = {i for name in MAPS for i in files.of(name)}
        if self.options.phav_index_offset == "auto" and rgb and not shift.starts_before(rgb, maps):
            return 0
        return offset
