"""The AVA converter: one sample per second, its frames sought in the movie, its persons with their actions."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pvit_converters.ava.actions import action_space
from pvit_converters.ava.info import INFO
from pvit_converters.ava.layout import find_movies
from pvit_converters.ava.listing import list_seconds
from pvit_converters.ava.options import AvaOptions
from pvit_converters.ava.pictures import Window, read_folder, read_movie
from pvit_converters.ava.rows import boxes_of
from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import EncodedMedia, Sample

DROPPED = "boxes-without-area-left-out"


class AvaConverter(Converter[AvaOptions]):
    """Converts AVA from movies, from movies cut at 900 s, or from folders of frames."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = AvaOptions

    def __init__(self, root: Path, options: AvaOptions) -> None:
        super().__init__(root, options)
        find_movies(self.root)

    def spaces(self) -> dict[str, LabelSpace]:
        """The 80 actions, ids from 1; 60 of them are evaluated."""
        return {"boxes": action_space(self.root)}

    def list_items(self) -> Listing:
        """The seconds of the movies that are there."""
        return list_seconds(self.root, self.options)

    def load(self, item: Item) -> Sample:
        """One second: the frames around it, and who does what in its key frame."""
        ref = item.ref
        window = self._window(self.root / ref["file"], ref["form"], int(ref["second"]))
        key_frame = int(window.grid[len(window.grid) // 2])
        sample = Sample(
            key=item.key,
            group=item.group,
            rgb=EncodedMedia(window.data, "mp4"),
            fps=window.info.fps,
        )
        info = window.info
        sample.num_frames, sample.height, sample.width = info.num_frames, info.height, info.width
        warnings = list(window.warnings)
        if "persons" in ref:
            boxes, dropped = boxes_of(ref["persons"], key_frame, scored=False, labelled=True)
            sample.boxes = boxes
            warnings += [DROPPED] if dropped else []
        sample.meta = {
            "video_id": ref["movie"],
            "second": ref["second"],
            "excluded": ref["excluded"],
            "key_frame": key_frame,
            "grid": window.grid.tolist(),
            "movie_frames": window.frames.tolist(),
            "split": item.split,
            "warnings": warnings,
        }
        return sample

    def _window(self, path: Path, form: str, second: int) -> Window:
        context, short_side = int(self.options.context), self.options.short_side
        if form == "frames":
            return read_folder(path, second, context, short_side=short_side)
        return read_movie(path, second, context, is_cut=form == "cut", short_side=short_side)
