"""The Something-Something V2 converter: short clips of hands doing things to objects, with one of 174 labels each.

Videos are copied undecoded.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pvit_converters.base import AskedLayer, Converter, Item, Listing, SourceInfo
from pvit_converters.raw.video import read_clip
from pvit_converters.ssv2.frames import read_frames
from pvit_converters.ssv2.info import INFO
from pvit_converters.ssv2.labels import Labels
from pvit_converters.ssv2.layout import find_videos
from pvit_converters.ssv2.listing import empty_boxes_folder, list_videos
from pvit_converters.ssv2.options import SSv2Options
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample


class SSv2Converter(Converter[SSv2Options]):
    """Converts a Something-Something V2 tree in either of its two usual layouts."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = SSv2Options

    def __init__(self, root: Path, options: SSv2Options) -> None:
        super().__init__(root, options)
        self.videos = find_videos(self.root)
        self.labels = Labels(self.root)

    @classmethod
    def layers_asked(cls, options: SSv2Options) -> tuple[SSv2Options, list[AskedLayer]]:
        """All videos, and the list of those that have boxes as a protocol over them: nothing is stored twice."""
        if options.val_list == "official":
            return options, []
        layer = AskedLayer("ssv2-no-empty-boxes", empty_boxes_folder(options))
        return options.model_copy(update={"val_list": "official", "empty_boxes": None}), [layer]

    def spaces(self) -> dict[str, LabelSpace]:
        """The classes of the tree's own `labels.json` (174 in the release)."""
        return {"action": self.labels.space}

    def list_items(self) -> Listing:
        """The listed videos that are there."""
        return list_videos(self.root, self.videos, self.options, self.labels)

    def load(self, item: Item) -> Sample:
        """One video with its class."""
        path = self.root / item.ref["file"]
        if path.is_dir():
            clip = read_frames(path, self.options.frame_rate)
        else:
            clip = read_clip(path, copy_video=self.options.copy_video, rescue=self.options.verify)
        sample = Sample(
            key=item.key,
            group=item.group,
            rgb=clip.rgb,
            fps=clip.fps,
            action=item.ref.get("action"),
        )
        sample.num_frames, sample.height, sample.width = clip.num_frames, clip.height, clip.width
        sample.meta = {
            name: item.ref[name]
            for name in ("label", "template", "placeholders")
            if name in item.ref
        }
        sample.meta |= {
            "video_id": item.ref["video_id"],
            "split": item.split,
            "fps": clip.fps,
            "num_frames": clip.num_frames,
            "height": clip.height,
            "width": clip.width,
            "warnings": list(clip.warnings),
        }
        return sample
