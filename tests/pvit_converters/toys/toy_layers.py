"""Converters that make layers, without a model: brightness as depth and boxes, and labels out of a raw file."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pvit_converters import (
    ConverterOptions,
    Item,
    LayerConverter,
    LayerInfo,
    Listing,
    SourceInfo,
    Unwanted,
    read_json,
)
from pvit_data import Boxes, LabelSpace, Sample
from pvit_data.errors import Interrupted, SourceError


def info(name: str, produces: tuple[str, ...]) -> SourceInfo:
    return SourceInfo(name, name.title(), "CC0-1.0", True, "", "Nothing to get.", "", produces)


class BrightOptions(ConverterOptions):
    selects: ClassVar[frozenset[str]] = frozenset({"seconds", "kill_once", "fail", "interrupt"})

    scale: float = 1
    fail: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    interrupt: tuple[str, ...] = ()
    kill_once: Path | None = None
    seconds: float = 0
    name: str = ""
    attach: str = "default"


class Bright(LayerConverter[BrightOptions]):
    """Each pixel as deep as its frame is bright, and a box in the brightest quarter of the first frame."""

    info = info("bright", ("depth", "boxes"))
    Options = BrightOptions

    def layer(self) -> LayerInfo:
        return LayerInfo(self.options.name, attach=self.options.attach, made_by="toy 1", licence="CC-BY-4.0")

    def spaces(self) -> dict[str, LabelSpace]:
        return {"boxes": LabelSpace("spots", ("bright",))}

    def load(self, item: Item) -> Sample:
        time.sleep(self.options.seconds)
        if item.key in self.options.fail:
            raise SourceError(f"{item.key}: too dark", reason="too-dark")
        if item.key in self.options.unwanted:
            raise Unwanted("too dull")
        if item.key in self.options.interrupt:
            raise Interrupted("stopped")
        once = self.options.kill_once
        if once is not None and item.key == "train-03" and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return bright(item.key, self.base.sample(item.key, ("rgb",)).rgb, self.options.scale)


def bright(key: str, rgb: Any, scale: float = 1) -> Sample:
    means = np.asarray(rgb).astype(np.float32).mean((1, 2, 3)).round() * scale
    depth = np.broadcast_to(means[:, None, None], rgb.shape[:3]).astype(np.float32)
    boxes = Boxes([[0, 0, 0.5, 0.5]], class_id=[0], score=[float(means[0]) / 255 / scale])
    return Sample(key=key, depth=np.ascontiguousarray(depth), boxes=boxes, meta={"mean": float(means[0])})


class LabelOptions(ConverterOptions):
    skip_absent: bool = False


class Labels(LayerConverter[LabelOptions]):
    """A protocol out of `labels.json`: {key: [split, class]}."""

    info = info("labels", ("action",))
    over = "clips"
    Options = LabelOptions

    def __init__(self, root: Any, options: Any, base: Any) -> None:
        super().__init__(root, options, base)
        self.labels = read_json(self.root / "labels.json")

    def layer(self) -> LayerInfo:
        return LayerInfo(kind="protocol", redistributable=False)

    def spaces(self) -> dict[str, LabelSpace]:
        return {"action": LabelSpace("nouns", ("cup", "pen"))}

    def list_items(self) -> Listing:
        there = {k: v for k, v in self.labels.items() if not self.options.skip_absent or k in self.base}
        items = [Item(key, "", split, {"label": label}, 500) for key, (split, label) in there.items()]
        return Listing(items, {"not in the base": len(self.labels) - len(there)})

    def load(self, item: Item) -> Sample:
        return Sample(key=item.key, action=item.ref["label"])


def write_labels(folder: Path, labels: dict[str, tuple[str, int]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.json").write_text(json.dumps(labels))
