"""The converter of anybody's videos and pictures, sorted into folders or listed in a table.

H.264 in MP4 and VP8, VP9, AV1 in WebM are copied undecoded; parts of videos too, if they begin and end at key frames.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.videos.files import folders
from pvit_converters.videos.info import INFO
from pvit_converters.videos.listing import Videos, find_videos
from pvit_converters.videos.options import VideosOptions
from pvit_converters.videos.pictures import read_pictures
from pvit_data.errors import SourceError, UsageError
from pvit_data.format.names import LAYERS, SOURCE_NAME
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Actions, EncodedMedia, Sample


class VideosConverter(Converter[VideosOptions]):
    """Converts videos and pictures of one's own; the source that it makes is called as `--name` says."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = VideosOptions
    holdout: ClassVar[float] = 20.0
    lists_first: ClassVar[bool] = True

    def __init__(self, root: Path, options: VideosOptions) -> None:
        super().__init__(root, options)
        if not SOURCE_NAME.match(options.name) or options.name == LAYERS:
            given = f"--name {options.name}: expected" if options.name else "--name is missing: say"
            raise UsageError(
                f"{given} what the source is called from now on, 1 to 40 characters of a-z, 0-9, '_' and '-'"
            )
        if not self.root.is_dir():
            raise SourceError(f"{self.root}: no such folder; give the one that holds your videos")
        self._folders = {"": str(self.root), **folders(self.root, options)}

    @classmethod
    def places(cls, root: Path, options: VideosOptions) -> list[Path]:
        """ROOT, and the folders of the tables, since paths may begin there."""
        beside = map(Path, folders(root, options).values())
        return [*super().places(root, options), *beside]

    def source(self) -> SourceInfo:
        """Name and licence as the options say."""
        options = self.options
        return replace(
            self.info,
            name=options.name,
            title=options.name,
            licence=options.licence,
            redistributable=options.redistributable,
        )

    @cached_property
    def _videos(self) -> Videos:
        return find_videos(self.root, self.options)

    def identity(self) -> dict[str, Any]:
        """The names of the classes: samples are planned with their numbers."""
        classes = self._videos.classes
        return {} if classes is None else {"classes": list(classes.names)}

    def spaces(self) -> dict[str, LabelSpace]:
        """The classes of all rows, or of the class file; none where nothing is labelled."""
        classes = self._videos.classes
        return {} if classes is None else {"action": classes.space(self.options.name)}

    def list_items(self) -> Listing:
        """The clips whose files are there."""
        return self._videos.listing

    def load(self, item: Item) -> Sample:
        """One clip with its classes."""
        ref = item.ref
        path = Path(self._folders[ref.get("beside", "")]) / ref["file"]
        start, end = ref.get("start"), ref.get("end")
        options = self.options
        clip = read_pictures(path, start, end, options.unit, copy_video=options.copy_video)
        sample = Sample(key=item.key, group=item.group, rgb=clip.rgb, fps=clip.fps)
        if not isinstance(clip.rgb, EncodedMedia) or clip.rgb.extension != "jpg":  # may be turned
            sample.height, sample.width = clip.height, clip.width
        sample.num_frames = clip.num_frames
        _label(sample, item)
        sample.meta = {
            "path": ref["file"],
            "labels": list(ref.get("labels", ())),
            "split": item.split,
            "warnings": list(clip.warnings),
        }
        if start is not None or end is not None:
            sample.meta |= {"start": start or 0, "end": -1 if end is None else end}
            sample.meta["unit"] = options.unit
        return sample


def _label(sample: Sample, item: Item) -> None:
    """Its class; or its classes, where any clip of the source has several."""
    ids = item.ref.get("ids", ())
    if ids and item.ref["several"]:
        sample.actions = Actions(np.array(ids, np.int32))
    elif ids:
        sample.action = ids[0]
