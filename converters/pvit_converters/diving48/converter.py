"""The Diving48 converter: whole clips, copied undecoded, each with its dive's class and the frames that it lies in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.diving48 import labels
from pvit_converters.diving48.info import INFO
from pvit_converters.diving48.layout import find_clips
from pvit_converters.diving48.listing import MIN_FRAMES, list_dives
from pvit_converters.diving48.options import Diving48Options
from pvit_converters.raw.frame_folders import GAPS, has_gaps, numbered_files, read_frames
from pvit_converters.raw.video import Clip, read_clip
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample

_FRAME = re.compile(r"(?:image|img)_(?P<number>\d{5,6})\.jpe?g\Z", re.IGNORECASE)
_TOLD = ("vid_name", "label", "start_frame", "end_frame")


class Diving48Converter(Converter[Diving48Options]):
    """Converts a Diving48 tree with the labels of the second edition."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = Diving48Options

    def identity(self) -> dict[str, Any]:
        """The names of the classes: samples are planned with their numbers."""
        return {"classes": list(labels.classes(self.root))}

    def spaces(self) -> dict[str, LabelSpace]:
        """The 48 classes of the tree's vocabulary."""
        return {"action": labels.space(self.root)}

    def list_items(self) -> Listing:
        """The listed dives that are there."""
        return list_dives(self.root, find_clips(self.root), self.options)

    def load(self, item: Item) -> Sample:
        """One clip with its dive's class and place."""
        path = self.root / item.ref["file"]
        clip = self._read(path)
        first, end = item.ref["start_frame"], item.ref["end_frame"]
        last = min(end, clip.num_frames)
        if last - first < MIN_FRAMES:
            raise SourceError(
                f"{path}: has {clip.num_frames} frames, and its dive is said to lie in frames {first} to {end - 1}",
                reason="range-outside-video",
            )
        sample = Sample(
            key=item.key, group=item.group, rgb=clip.rgb, fps=clip.fps, action=item.ref["action"]
        )
        sample.num_frames, sample.height, sample.width = clip.num_frames, clip.height, clip.width
        clamped = ["range-ends-after-video"] if last < end else []
        sample.meta = {name: item.ref[name] for name in _TOLD}
        sample.meta |= {
            "range": [first, last],
            "edition": self.options.labels,
            "split": item.split,
            "fps": clip.fps,
            "num_frames": clip.num_frames,
            "height": clip.height,
            "width": clip.width,
            "warnings": [*clip.warnings, *clamped],
        }
        return sample

    def _read(self, path: Path) -> Clip:
        options = self.options
        if not path.is_dir():
            return read_clip(path, copy_video=options.copy_video, rescue=options.verify)
        files = numbered_files(path, _FRAME, "image_000001.jpg or img_00001.jpg")
        numbers = list(files)
        if has_gaps(numbers):
            raise SourceError(
                f"{path}: holds {len(numbers)} frames of those from 1 to {numbers[-1]}, so that the frames of its dive "
                "cannot be counted; use the videos",
                reason=GAPS,
            )
        return read_frames(files, options.frame_rate)
