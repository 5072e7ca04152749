"""The Ego4D converter: windows sought in long videos, with whether and when an object changes its state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pvit_converters.base import Converter, Item, Listing, SourceInfo
from pvit_converters.ego4d.info import INFO
from pvit_converters.ego4d.layout import find_videos
from pvit_converters.ego4d.listing import list_windows
from pvit_converters.ego4d.options import Ego4dOptions
from pvit_converters.raw.windows import opened_video
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Actions, EncodedMedia, Sample

RATE = 30.0  # of all canonical videos
CHANGE = 1
_TOLERANCE = 0.03  # of a window's frames: rows are rounded, rates are averages
ENDS_EARLY, DAMAGED = "video-ends-before-window", "window-ends-at-damage"
NO_CHANGE = "change-is-not-in-the-stored-frames-no-label"
OTHER_RATE = "rate-differs-from-the-seconds-of-the-row"


class Ego4dConverter(Converter[Ego4dOptions]):
    """Converts the windows of OSCC and PNR from full videos, or from canonical clips."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = Ego4dOptions

    def __init__(self, root: Path, options: Ego4dOptions) -> None:
        super().__init__(root, options)
        find_videos(self.root)

    def spaces(self) -> dict[str, LabelSpace]:
        """Whether an object changes its state."""
        return {"action": LabelSpace("ego4d-oscc", ("no change", "change"))}

    def list_items(self) -> Listing:
        """The windows whose videos are there."""
        return list_windows(self.root, self.options)

    def load(self, item: Item) -> Sample:
        """One window; where its video ends before it, what there is."""
        from pvit_data.codecs.video.long import encode_window

        ref = item.ref
        path = self.root / ref["file"]
        first, count = int(ref["first"]), int(ref["count"])
        with opened_video(path) as (file, table):
            stop = min(first + count, len(table))
            if first >= stop:
                raise SourceError(
                    f"{path}: has {len(table)} frames, the window begins at frame {first}",
                    reason="too-short",
                )
            cut = encode_window(file, table, range(first, stop), short_side=self.options.short_side)
        info = cut.info
        warnings = [ENDS_EARLY] if stop < first + count else []
        warnings += [DAMAGED] if cut.damage else []
        warnings += [OTHER_RATE] if _contradicts(ref["meta"], table.rate) else []
        is_stored = (ref.get("change") or 0) < info.num_frames
        warnings += [] if is_stored else [NO_CHANGE]
        sample = Sample(
            key=item.key, group=item.group, rgb=EncodedMedia(cut.data, "mp4"), fps=info.fps
        )
        sample.num_frames, sample.height, sample.width = info.num_frames, info.height, info.width
        if is_stored:
            _label(sample, ref)
        sample.meta = {
            **ref["meta"],
            "stored_frames": info.num_frames,
            "split": item.split,
            "warnings": warnings,
        }
        return sample


def _contradicts(row: Mapping[str, Any], rate: float) -> bool:
    """Whether the frames of a window take other seconds at a video's rate than its row says."""
    frames = int(row["parent_end_frame"]) - int(row["parent_start_frame"])
    told = [row.get(f"parent_{side}_sec") for side in ("start", "end")]
    seconds = [float(value) for value in told if isinstance(value, int | float)]
    if rate <= 0 or len(seconds) != 2:
        return False
    return abs(rate * (seconds[1] - seconds[0]) - frames) > 1 + _TOLERANCE * frames


def _label(sample: Sample, ref: Any) -> None:
    """Whether its state changes, and when: in one row, in none, or nobody says."""
    if ref.get("state") is None:
        return
    sample.action = int(ref["state"])
    if not ref["state"]:
        sample.actions = Actions(np.zeros(0, np.int32))
    elif ref["change"] is not None:
        seconds = np.array([ref["change"] / RATE], np.float32)
        sample.actions = Actions(np.array([CHANGE], np.int32), seconds, seconds)
