"""The Kinetics-400 converter: clips of about ten seconds with one of 400 labels each. Videos are copied undecoded."""

from __future__ import annotations

from typing import Any, ClassVar

from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.kinetics400 import classes
from pvit_converters.kinetics400.info import INFO
from pvit_converters.kinetics400.listing import list_videos
from pvit_converters.kinetics400.options import Kinetics400Options
from pvit_converters.raw.video import read_clip
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample

_TOLD = ("youtube_id", "label", "time_start", "time_end", "is_cc", "replaced")


class Kinetics400Converter(Converter[Kinetics400Options]):
    """Converts a Kinetics-400 tree as CVDF's scripts leave it, sorted into class folders, or with lists of files."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = Kinetics400Options

    def identity(self) -> dict[str, Any]:
        """The order in which lists number the classes, where it is not the alphabet's."""
        path = self.options.classes
        return {} if path is None else {"classes": list(classes.read_order(path))}

    def spaces(self) -> dict[str, LabelSpace]:
        """All 400 classes, whichever are there."""
        return {"action": classes.space()}

    def list_items(self) -> Listing:
        """The listed videos that are there."""
        return list_videos(self.root, self.options)

    def load(self, item: Item) -> Sample:
        """One video with its class."""
        options = self.options
        path = self.root / item.ref["file"]
        clip = read_clip(path, copy_video=options.copy_video, rescue=options.verify)
        sample = Sample(
            key=item.key,
            group=item.group,
            rgb=clip.rgb,
            fps=clip.fps,
            action=item.ref.get("action"),
        )
        sample.num_frames, sample.height, sample.width = clip.num_frames, clip.height, clip.width
        sample.meta = {name: item.ref[name] for name in _TOLD if name in item.ref}
        sample.meta |= {
            "split": item.split,
            "fps": clip.fps,
            "num_frames": clip.num_frames,
            "height": clip.height,
            "width": clip.width,
            "warnings": list(clip.warnings),
        }
        return sample
