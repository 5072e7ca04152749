"""Writes numbered dives in the layouts of Diving48, with what is wrong in real copies (spec diving48, 1 and 5).

Names that begin with `-` and `_`, ranges that begin late, end after their video or hold two frames, absent videos and
some that no label names, an archive, and the labels of the first edition beside those of the second.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pvit_converters.simulate.files.images import jpeg
from pvit_converters.simulate.files.numbered import numbered
from pvit_converters.simulate.files.video import encode
from pvit_converters.simulate.tree import (
    Job,
    Simulator,
    Size,
    Tree,
    fresh,
    rng_of,
    spread,
    write_truth,
)
from pvit_data.errors import UsageError

PRESETS = {
    "tiny": (20, Size(20, 32, 32)),
    "small": (48, Size(48, 64, 64)),
    "format": (10, Size(70, 256, 340)),
}
"""Default number of dives, length of their videos and size."""

DIVES = {
    "Back": "15som/05Twis/FREE 15som/15Twis/FREE 15som/25Twis/FREE 15som/NoTwis/PIKE 15som/NoTwis/TUCK "
            "25som/15Twis/PIKE 25som/25Twis/PIKE 25som/NoTwis/PIKE 25som/NoTwis/TUCK 2som/15Twis/FREE "
            "2som/25Twis/FREE 35som/NoTwis/PIKE 35som/NoTwis/TUCK 3som/NoTwis/PIKE 3som/NoTwis/TUCK "
            "Dive/NoTwis/PIKE Dive/NoTwis/TUCK",
    "Forward": "15som/1Twis/FREE 15som/2Twis/FREE 15som/NoTwis/PIKE 1som/NoTwis/PIKE 25som/1Twis/PIKE "
            "25som/2Twis/PIKE 25som/3Twis/PIKE 25som/NoTwis/PIKE 25som/NoTwis/TUCK 35som/NoTwis/PIKE "
            "35som/NoTwis/TUCK 45som/NoTwis/TUCK Dive/NoTwis/PIKE Dive/NoTwis/STR",
    "Inward": "15som/NoTwis/PIKE 15som/NoTwis/TUCK 25som/NoTwis/PIKE 25som/NoTwis/TUCK 35som/NoTwis/TUCK "
            "Dive/NoTwis/PIKE",
    "Reverse": "15som/05Twis/FREE 15som/15Twis/FREE 15som/25Twis/FREE 15som/35Twis/FREE 15som/NoTwis/PIKE "
            "25som/15Twis/PIKE 25som/NoTwis/PIKE 25som/NoTwis/TUCK 35som/NoTwis/TUCK Dive/NoTwis/PIKE "
            "Dive/NoTwis/TUCK",
}  # fmt: skip
"""The 48 classes in the order of the release: by take-off, somersault/twist/position of each."""
CLASSES = tuple(
    (takeoff, *dive.split("/")) for takeoff, dives in DIVES.items() for dive in dives.split()
)
OCCURRING = (0, 1, 17, 47)
RATES = (30.0, 25.0, 30000 / 1001, 24.0, 60.0)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ODD_IDS = ("-mmq0PT-u8k", "_8Vy3dlHg2w", "AbCdEfGhIjK", "aBcDeFgHiJk", "a_00017_bc_")
SPLITS = ("train", "train", "test", "train", "train")
"""Of five dives each."""
WITH_DAMAGE = 20
"""Of so many dives on, a further one is damaged."""
FATES = ("fine", "late", "ends-after-video", "fine", "fine")
LAYOUTS = ("rgb", "videos", "frames", "rawframes")


@dataclass(frozen=True)
class DiveTruth:
    """What is written of a dive.

    Args:
        name: of its video, without the ending.
        split, label: as in the lists.
        start_frame, end_frame: as in the lists.
        number: that its pictures show; they also show their own, from 0 on.
        frames, fps, height, width: of the video.
        fate: `"fine"`, `"late"` (does not begin at frame 0), `"ends-after-video"`, `"short"` (two frames), `"absent"`,
            `"stray"` (in no list) or `"empty"` (a file without bytes, or a folder without frames).
    """

    name: str
    split: str
    label: int
    start_frame: int
    end_frame: int
    number: int
    frames: int
    fps: float
    height: int
    width: int
    fate: str


def _dives(seed: int, count: int, size: Size) -> list[DiveTruth]:
    fates = [FATES[n % len(FATES)] for n in range(count)]
    fates += ["short", "absent", "stray", *(["empty"] if count >= WITH_DAMAGE else [])]
    return [_dive(seed, n, fate, size) for n, fate in enumerate(fates)]


def _dive(seed: int, number: int, fate: str, size: Size) -> DiveTruth:
    rng = rng_of(seed, number)
    video = "".join(ALPHABET[i] for i in rng.integers(0, len(ALPHABET), 11))
    index = int(rng.integers(0, 1000))
    if number < len(ODD_IDS):
        video, index = ODD_IDS[number], 155
    frames = size.frames + number % 6
    start = 5 if fate == "late" else 0
    ends = {"ends-after-video": frames + 4, "short": 2, "late": frames - 2}
    return DiveTruth(
        name=f"{video}_{index:05d}",
        split=SPLITS[number % len(SPLITS)],
        label=OCCURRING[number % len(OCCURRING)],
        start_frame=start,
        end_frame=ends.get(fate, frames),
        number=number,
        frames=frames,
        fps=RATES[number % len(RATES)],
        height=size.height,
        width=size.width,
        fate=fate,
    )


@dataclass(frozen=True)
class _Task:
    """Writes single dives, in this process or others."""

    root: Path
    layout: str

    def write(self, dive: DiveTruth) -> int:
        folder = self.root / self.layout
        folder.mkdir(exist_ok=True)
        if dive.fate == "absent":
            return 1
        pictures = numbered(dive.frames, dive.number, dive.height, dive.width)
        if self.layout in ("rgb", "videos"):
            data = b"" if dive.fate == "empty" else encode(pictures, dive.fps, "mp4")
            (folder / f"{dive.name}.mp4").write_bytes(data)
            return 1
        form = "image_{:06d}.jpg" if self.layout == "frames" else "img_{:05d}.jpg"
        (folder / dive.name).mkdir()
        for n, picture in enumerate(pictures[: 0 if dive.fate == "empty" else None], 1):
            (folder / dive.name / form.format(n)).write_bytes(jpeg(picture))
        return 1


def _write_labels(folder: Path, dives: list[DiveTruth]) -> None:
    """Both editions: in the first one every label is another."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        mine = [dive for dive in dives if dive.split == split and dive.fate != "stray"]
        for edition, shift in (("V2_", 0), ("", 1)):
            rows = [
                {
                    "vid_name": dive.name,
                    "label": (dive.label + shift) % len(CLASSES),
                    "start_frame": dive.start_frame,
                    "end_frame": dive.end_frame,
                }
                for dive in mine
            ]
            text = json.dumps(rows)
            (folder / f"Diving48_{edition}{split}.json").write_text(text, encoding="utf-8")
    (folder / "Diving48_vocab.json").write_text(json.dumps(CLASSES), encoding="utf-8")


def simulate(
    job: Job,
    *,
    layout: Literal["rgb", "videos", "frames", "rawframes"] = "rgb",
    frames: int | None = None,
) -> Tree:
    """Writes a Diving48 tree.

    Args:
        job: `samples` is the number of dives that convert: 4 of 5 train, the rest test.
            Presets: `tiny` (20 frames of 32x32), `small` (48 of 64x64) or `format` (70 of 256x340).
        layout: `rgb` as downloaded, `videos` as mmaction2 sorts it, or one of two forms of extracted `frames`.
        frames: another length; single videos have up to five more.
    """
    if layout not in LAYOUTS:
        raise UsageError(
            f"simulate diving48: layout '{layout}': expected one of {', '.join(LAYOUTS)}."
        )
    count, size = PRESETS[job.preset]
    size = Size(frames or size.frames, size.height, size.width)
    root = fresh(job.out)
    dives = _dives(job.seed, job.samples or count, size)
    _write_labels(root if layout == "rgb" else root / "annotations", dives)
    write_truth(job, dives=[asdict(dive) for dive in dives])
    spread(_Task(root, layout).write, dives, job)
    if layout == "rgb":
        (root / "Diving48_rgb.tar.gz").write_bytes(b"\x1f\x8b\x08simulated")
        (root / "rgb" / f"._{dives[0].name}.mp4").write_bytes(b"\x00\x05\x16\x07")
    here = [dive for dive in dives if dive.fate in FATES]
    splits = {split: sum(d.split == split for d in here) for split in ("train", "test")}
    notes = (
        "ranges begin late, end after their video or are too short; some videos are absent or in no list",
    )
    return Tree(root, len(here), splits, notes)


SIMULATOR = Simulator("numbered dives with a class and a range of frames each", simulate)
