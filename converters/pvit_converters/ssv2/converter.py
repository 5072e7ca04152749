"""Something-Something V2: short clips of hands doing things to objects, with one of 174 labels each.

Videos are copied undecoded. The class of a row is found by its `template` without brackets, as everywhere else that
trains on this dataset; the free-text `label` is kept in the metadata only. Source of the rules:
facebookresearch/SlowFast, slowfast/datasets/ssv2.py.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from pvit_converters.base import Converter, ConverterOptions, Item, Listing, SourceInfo
from pvit_converters.raw.video import read_clip
from pvit_converters.ssv2.frames import read_frames
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample

_VIDEO_FOLDERS = ("20bn-something-something-v2", "videos", "frames")
_PACKAGE = "20bn-something-something-download-package-labels"
_LABEL_FOLDERS = ("labels", "annotations", "", _PACKAGE, f"{_PACKAGE}/labels")
_PREFIXES = ("", "something-something-v2-")
_FILES = {"train": "train", "val": "validation", "test": "test"}
_VIDEO = re.compile(r"(\d{1,9})\.(webm|mp4)\Z")
_PART = re.compile(r"20bn-something-something-v2-\w\w\Z|.*\.zip\Z")
_RECORD_BYTES = 2048
_FRAMES_BYTES = (
    200_000  # of a clip made from frames; its 40 to 200 files are not listed before the conversion
)

INFO = SourceInfo(
    name="ssv2",
    title="Something-Something V2",
    licence="Something-Something-V2 research licence (no redistribution)",
    redistributable=False,
    citation="""@inproceedings{goyal2017something,
  title = {The "Something Something" Video Database for Learning and Evaluating Visual Common Sense},
  author = {Goyal, Raghav and Kahou, Samira Ebrahimi and Michalski, Vincent and Materzynska, Joanna and
            Westphal, Susanne and Kim, Heuna and Haenel, Valentin and Fruend, Ingo and Yianilos, Peter and
            Mueller-Freitag, Moritz and others},
  booktitle = {International Conference on Computer Vision (ICCV)},
  year = {2017}
}""",
    obtain=(
        "Register at Qualcomm's developer site (AI datasets, Something-Something V2) and download the videos and the "
        "labels package. Unzip the downloads, then: cat 20bn-something-something-v2-?? | tar zx"
    ),
    tree="""ROOT/
  20bn-something-something-v2/1.webm ... 220847.webm      (or videos/; .mp4 works as well; or extracted frames:
                                                           frames/1/0001.jpg, frames/1/1_000001.jpg)
  labels/{labels,train,validation,test}.json              (or annotations/ or ROOT, with or without the prefix
                                                           something-something-v2-)""",
    produces=("rgb", "action"),
    role="downstream",
)


class SSv2Options(ConverterOptions):
    """Options of the Something-Something V2 converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"split"})

    split: Literal["trainval", "train", "val", "test", "all"] = Field(
        "trainval",
        description="splits to convert; the official test split has no labels and is left out by default",
    )
    val_list: Literal["official", "no-empty-boxes"] = Field(
        "official",
        description="official: every video; no-empty-boxes: without the videos of --empty-boxes, in all splits "
        "(157,389 training and 22,660 validation videos, which the paper most likely used)",
    )
    empty_boxes: Path | None = Field(
        None,
        description="folder with empty_bbox_train.json and empty_bbox_val.json (from eladb3/SViT, data/ssv2)",
    )
    copy_video: bool = Field(False, description="copy every video as it is, whatever its codec")
    frame_rate: float = Field(
        0.0,
        ge=0,
        description="of extracted frames; 0: 12 for frames/1/0001.jpg, 30 for frames/1/1_000001.jpg",
    )
    verify: bool = Field(
        True, description="decode each video once, to count its frames and find damage"
    )


class SSv2Converter(Converter[SSv2Options]):
    """Converts a Something-Something V2 tree in either of its two usual layouts."""

    info: ClassVar[SourceInfo] = INFO
    version: ClassVar[str] = "1"
    Options = SSv2Options

    def __init__(self, root: Path, options: SSv2Options) -> None:
        super().__init__(root, options)
        if not self.root.is_dir():
            raise SourceError(
                f"{self.root}: no such folder; give the folder that holds the videos and labels of SSv2"
            )
        self.videos = self._find_videos()

    @cached_property
    def classes(self) -> dict[str, int]:
        """Class ids by template without brackets."""
        path = self._find_labels("labels")
        if path is None:
            raise SourceError(self._no_labels("labels.json"))
        table = _read_json(path)
        try:
            classes = {str(name): int(index) for name, index in table.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise SourceError(
                f'{path}: expected {{"template": "index", ...}} ({error})', reason="bad-json"
            ) from error
        if sorted(classes.values()) != list(range(len(classes))):
            raise SourceError(
                f"{path}: its indices are not 0..{len(classes) - 1}, each once", reason="bad-json"
            )
        return classes

    def spaces(self) -> dict[str, LabelSpace]:
        """The classes of the tree's own `labels.json` (174 in the release)."""
        names = sorted(self.classes, key=self.classes.__getitem__)
        return {"action": LabelSpace("ssv2", tuple(names), pairs=_mirrored(self.classes))}

    # ---- which videos there are ------------------------------------------------------------------------------

    def list_items(self) -> Listing:
        """The listed videos that are there."""
        present = self._present()
        excluded = self._excluded()
        items, absent = [], Counter[str]()
        for split in self._splits():
            for row in self._rows(split):
                video = str(row["id"])
                if video in excluded:
                    absent["on the list of videos without boxes (--val-list no-empty-boxes)"] += 1
                elif video not in present:
                    absent["video not present"] += 1
                else:
                    items.append(self._item(row, video, split, *present[video]))
        if not items:
            raise SourceError(
                f"{self.videos}: none of the {absent.total()} listed videos is here{self._leftovers()}"
            )
        notes = (
            [f"{absent['video not present']} listed videos are absent{hint}"]
            if (hint := self._leftovers())
            else []
        )
        return Listing(items, dict(absent), [*notes, self._which_list(items)])

    def _which_list(self, items: list[Item]) -> str:
        counts = Counter(item.split for item in items)
        here = ", ".join(f"{n:,} {split}" for split, n in counts.items())
        if self.options.val_list == "official":
            return f"official lists ({here} here): results on all 24,777 validation videos compare with others'"
        return (
            f"lists without the videos that have no boxes ({here} here): "
            "say so beside results, 22,660 of 24,777 count"
        )

    def _item(self, row: dict[str, Any], video: str, split: str, file: str, size: int) -> Item:
        ref: dict[str, Any] = {"file": file, "video_id": video}
        if "template" in row:
            ref |= {
                "label": str(row.get("label") or ""),
                "template": str(row["template"]),
                "placeholders": [str(p) for p in row.get("placeholders") or []],
                "action": self._action(row["template"], split),
            }
        elif "action" in row:
            ref["action"] = row["action"]
        return Item(f"ssv2-{int(video):06d}", video, split, ref, size + _RECORD_BYTES)

    def _action(self, template: str, split: str) -> int:
        name = template.replace("[", "").replace("]", "")
        if name not in self.classes:
            raise SourceError(
                f"{self._find_labels(_FILES[split])}: template '{name}' is not in labels.json; the files don't belong "
                "together",
                reason="bad-json",
            )
        return self.classes[name]

    def _splits(self) -> list[str]:
        wanted = {"trainval": ["train", "val"], "all": ["train", "val", "test"]}.get(
            self.options.split, [self.options.split]
        )
        there = [split for split in wanted if self._find_labels(_FILES[split])]
        if not there:
            raise SourceError(
                self._no_labels(" or ".join(f"{_FILES[split]}.json" for split in wanted))
            )
        return there

    def _rows(self, split: str) -> Iterator[dict[str, Any]]:
        path = self._find_labels(_FILES[split])
        assert path is not None
        rows = _read_json(path)
        answers = self._test_answers() if split == "test" else {}
        for row in rows if isinstance(rows, list) else [rows]:
            if not isinstance(row, dict) or not str(row.get("id", "")).isdecimal():
                raise SourceError(
                    f'{path}: expected a list of {{"id": "1", ...}}, found {row!r:.80}',
                    reason="bad-json",
                )
            if not isinstance(row.get("template", ""), str) or (
                split != "test" and "template" not in row
            ):
                raise SourceError(f"{path}: video {row['id']} has no template", reason="bad-json")
            if (name := answers.get(str(row["id"]), "")) in self.classes:
                row["action"] = self.classes[name]
            yield row

    def _test_answers(self) -> dict[str, str]:
        """Labels of the test split by video, where the labels package has them."""
        paths = [self.root / folder / "test-answers.csv" for folder in _LABEL_FOLDERS]
        path = next((p for p in paths if p.is_file()), None)
        lines = path.read_text(encoding="utf-8").splitlines() if path else []
        return {video: name for video, _, name in (line.partition(";") for line in lines)}

    def _excluded(self) -> set[str]:
        folder = self.options.empty_boxes
        if self.options.val_list == "official":
            return set()
        if folder is None:
            raise UsageError(
                "--val-list no-empty-boxes needs --empty-boxes FOLDER with empty_bbox_train.json and "
                "empty_bbox_val.json, which are in data/ssv2 of https://github.com/eladb3/SViT"
            )
        return {
            str(i)
            for name in ("train", "val")
            for i in _read_json(folder / f"empty_bbox_{name}.json")
        }

    # ---- where things lie ------------------------------------------------------------------------------------

    def _find_videos(self) -> Path:
        there = [self.root / name for name in _VIDEO_FOLDERS if (self.root / name).is_dir()]
        if there:
            return next((folder for folder in there if _holds_clips(folder)), there[0])
        if any(_VIDEO.match(entry.name) for entry in os.scandir(self.root)):
            return self.root
        folders = " or ".join(f"{name}/" for name in _VIDEO_FOLDERS[:2])
        raise SourceError(
            f"{self.root}: not an SSv2 tree: no folder {folders} with videos such as 1.webm{self._leftovers()}. "
            f"{INFO.obtain}"
        )

    def _find_labels(self, name: str) -> Path | None:
        paths = (
            self.root / f / f"{prefix}{name}.json" for f in _LABEL_FOLDERS for prefix in _PREFIXES
        )
        return next((path for path in paths if path.is_file()), None)

    def _no_labels(self, names: str) -> str:
        up = (
            f"; give the folder above it, {self.root.parent}"
            if self.root.name in _VIDEO_FOLDERS
            else ""
        )
        return (
            f"{self.root}: no labels of SSv2: no {names} (or something-something-v2-...) in labels/, annotations/ or "
            f"the folder itself{up}. {INFO.obtain}"
        )

    def _present(self) -> dict[str, tuple[str, int]]:
        """File name (relative to the root) and bytes by video id."""
        found = {}
        for entry in sorted(os.scandir(self.videos), key=lambda e: e.name):
            name = os.path.relpath(entry.path, self.root)
            if match := _VIDEO.match(entry.name):
                found[str(int(match[1]))] = (name, entry.stat().st_size)
            elif entry.name.isdecimal() and entry.is_dir():
                found.setdefault(str(int(entry.name)), (name, _FRAMES_BYTES))
        return found

    def _leftovers(self) -> str:
        """What to do about archives that were not unpacked, as the end of a sentence."""
        places = {self.root, getattr(self, "videos", self.root)}
        names = {
            entry.name for place in places for entry in os.scandir(place) if _PART.match(entry.name)
        }
        parts = sorted(name for name in names if any((place / name).is_file() for place in places))
        if not parts:
            return ""
        zips = [name for name in parts if name.endswith(".zip")]
        how = "unzip them first, then: " if zips else ""
        return (
            f"; archives that are not unpacked lie there ({parts[0]}, {len(parts)} in all): {how}"
            "cat 20bn-something-something-v2-?? | tar zx"
        )

    # ---- what a video becomes --------------------------------------------------------------------------------

    def load(self, item: Item) -> Sample:
        """One video with its class."""
        path = self.root / item.ref["file"]
        if path.is_dir():
            clip = read_frames(path, self.options.frame_rate)
        else:
            clip = read_clip(path, copy_video=self.options.copy_video, verify=self.options.verify)
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


def _holds_clips(folder: Path) -> bool:
    return any(_VIDEO.match(entry.name) or entry.name.isdecimal() for entry in os.scandir(folder))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file", reason="missing-file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{path}: cannot be read as JSON ({error})", reason="bad-json") from error


def _mirrored(classes: dict[str, int]) -> tuple[tuple[int, int], ...]:
    """Pairs of classes whose names differ by left and right, such as the two directions of pushing."""
    swap = {"left": "right", "right": "left"}
    other = {name: re.sub(r"\b(left|right)\b", lambda m: swap[m[1]], name) for name in classes}
    pairs = (
        (index, classes[other[name]]) for name, index in classes.items() if other[name] in classes
    )
    return tuple(sorted((a, b) for a, b in pairs if a < b))
