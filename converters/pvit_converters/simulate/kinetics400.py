"""Writes numbered videos in the layouts of Kinetics-400, with what is wrong in real copies (spec kinetics400, 1 and 6).

Videos without a stream of pictures, empty ones, corrupted ones with a replacement, some in no list, some in none of the
folders, ids that begin with `-` and `_` or differ in case only, what macOS and the downloader leave behind.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

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
    "tiny": (24, Size(24, 32, 32)),
    "small": (60, Size(60, 64, 64)),
    "format": (12, Size(280, 256, 340)),
}
"""Default number of videos, their length and size."""

CLASSES = (
    "wrapping present", "hurling (sport)", "abseiling", "massaging person's head", "air drumming",
    "skiing (not slalom or crosscountry)", "zumba", "tai chi",
)  # fmt: skip
NUMBERS = {
    "abseiling": 0, "air drumming": 1, "hurling (sport)": 161, "massaging person's head": 196,
    "skiing (not slalom or crosscountry)": 308, "tai chi": 346, "wrapping present": 394, "zumba": 399,
}  # fmt: skip
"""Their places among the 400 in the order of the alphabet."""
RATES = (30.0, 25.0, 30000 / 1001, 24.0, 15.0, 50.0)
SHAPES = ((1.0, 1.0), (1.0, 1.5), (1.25, 1.0))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ODD_IDS = ("-mmq0PT-u8k", "__8Vy3dlHg_", "a_000417_b-", "AbCdEfGhIjK", "aBcDeFgHiJk")
"""With dashes and underscores anywhere, and two that differ in case only."""
SPLITS = ("train", "train", "val", "train", "train", "test")
"""Of six videos each."""
WITH_DAMAGE = 24
"""Of so many videos on, two further ones are damaged."""


@dataclass(frozen=True)
class ClipTruth:
    """What is written of a video.

    Args:
        name: of its file, without the ending.
        youtube_id, time_start, time_end, split, label: as in the lists.
        number: that its pictures show; they also show their own, from 0 on.
        frames, fps, height, width: of the video.
        fate: `"fine"`, `"replaced"` (corrupted, with a replacement), `"missing"` (not there, with a replacement),
            `"absent"`, `"stray"` (in no list), `"empty"`, or `"silent"` (sound without pictures).
    """

    name: str
    youtube_id: str
    time_start: int
    time_end: int
    split: str
    label: str
    number: int
    frames: int
    fps: float
    height: int
    width: int
    fate: str


def _clips(seed: int, count: int, size: Size) -> list[ClipTruth]:
    fates = ["fine"] * count
    splits = [SPLITS[n % len(SPLITS)] for n in range(count)]
    if count > 1:
        fates[0], fates[1] = "replaced", "missing"
    for split in ("train", "val"):
        extra = ["absent", "stray"]
        extra += [{"train": "empty", "val": "silent"}[split]] if count >= WITH_DAMAGE else []
        fates += extra
        splits += [split] * len(extra)
    return [_clip(seed, n, *each, size) for n, each in enumerate(zip(splits, fates, strict=True))]


def _clip(seed: int, number: int, split: str, fate: str, size: Size) -> ClipTruth:
    rng = rng_of(seed, number)
    video = "".join(ALPHABET[i] for i in rng.integers(0, len(ALPHABET), 11))
    start = int(rng.integers(0, 600))
    if number < len(ODD_IDS):
        video, start = ODD_IDS[number], 417
    tall, wide = SHAPES[number % len(SHAPES)]
    return ClipTruth(
        name=f"{video}_{start:06d}_{start + 10:06d}",
        youtube_id=video,
        time_start=start,
        time_end=start + 10,
        split=split,
        label=CLASSES[number % len(CLASSES)],
        number=number,
        frames=size.frames + number % 7,
        fps=RATES[number % len(RATES)],
        height=int(size.height * tall) // 2 * 2,
        width=int(size.width * wide) // 2 * 2,
        fate=fate,
    )


def _write(clip: ClipTruth, root: Path, folder: str) -> None:
    path = root / folder / f"{clip.name}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    if clip.fate in ("absent", "missing"):
        return
    good = b"" if clip.fate == "empty" else _silent() if clip.fate == "silent" else _video(clip)
    path.write_bytes(good[: len(good) // 3] if clip.fate == "replaced" else good)


def _video(clip: ClipTruth) -> bytes:
    return encode(numbered(clip.frames, clip.number, clip.height, clip.width), clip.fps, "mp4")


def _silent() -> bytes:
    """An MP4 file that holds half a second of sound and no picture."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("aac", rate=16000, layout="mono")
        for n in range(8):
            sound = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            sound.sample_rate, sound.pts = 16000, 1024 * n
            file.mux(stream.encode(sound))
        file.mux(stream.encode(None))
    return out.getvalue()


def _cvdf(clip: ClipTruth) -> str:
    return f"k400/{clip.split}"


def _class_folder(clip: ClipTruth) -> str:
    label = clip.label.replace(" ", "_") if clip.split == "train" else clip.label
    return f"videos_{clip.split}/{label}"


def _listed_folder(clip: ClipTruth) -> str:
    return f"{clip.split}/{clip.label}"


FOLDERS: dict[str, Callable[[ClipTruth], str]] = {
    "cvdf": _cvdf,
    "class-folders": _class_folder,
    "lists": _listed_folder,
}
"""The folder of a video by layout."""


def _write_tables(folder: Path, clips: list[ClipTruth]) -> None:
    """As CVDF's: labels in quotes, those of the test split missing as in the old crawler's file."""
    folder.mkdir(parents=True)
    for split, said in (("train", "train"), ("val", "validate"), ("test", "test")):
        out = io.StringIO()
        header = ["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]
        header = header[1:5] if split == "test" else header
        out.write(",".join(header) + "\n")
        for clip in clips:
            if clip.split == split:
                row = asdict(clip) | {"label": f'"{clip.label}"', "split": said, "is_cc": "0"}
                out.write(",".join(str(row[name]) for name in header) + "\n")
        (folder / f"{split}.csv").write_text(out.getvalue(), encoding="utf-8")


def _write_lists(root: Path, clips: list[ClipTruth]) -> None:
    """As for SlowFast: absolute paths of another machine, blanks in them, and the test list a copy of the val list."""
    for split in ("train", "val"):
        lines = [
            f"/data/k400/{_listed_folder(clip)}/{clip.name}.mp4 {NUMBERS[clip.label]}\n"
            for clip in clips
            if clip.split == split
        ]
        (root / f"{split}.csv").write_text("".join(lines), encoding="utf-8")
    (root / "test.csv").write_bytes((root / "val.csv").read_bytes())


def _write_beside(root: Path, clips: list[ClipTruth]) -> None:
    """Replacements, an archive, and the companions that macOS packs into archives."""
    folder = root / "k400/replacement/replacement_for_corrupted_k400"
    folder.mkdir(parents=True)
    for clip in clips:
        if clip.fate in ("replaced", "missing"):
            (folder / f"{clip.name}.mp4").write_bytes(_video(clip))
    archives = root / "k400_targz/val"
    archives.mkdir(parents=True)
    (archives / "part_0.tar.gz").write_bytes(b"\x1f\x8b\x08simulated")
    (root / "k400/train" / f"._{clips[0].name}.mp4").write_bytes(b"\x00\x05\x16\x07")


def simulate(
    job: Job,
    *,
    layout: Literal["cvdf", "class-folders", "lists"] = "cvdf",
    frames: int | None = None,
) -> Tree:
    """Writes a Kinetics-400 tree.

    Args:
        job: `samples` is the number of videos that convert: 4 of 6 train, 1 validation, 1 test.
            Presets: `tiny` (24 frames of 32x32 and more), `small` (60 of 64x64) or `format` (280 of 256x340).
        layout: `cvdf` as downloaded, `class-folders` as others sort it, without lists, or `lists` of paths and numbers.
        frames: another length; single videos have up to six more.
    """
    if layout not in FOLDERS:
        raise UsageError(
            f"simulate kinetics400: layout '{layout}': expected one of {', '.join(FOLDERS)}."
        )
    count, size = PRESETS[job.preset]
    size = Size(frames or size.frames, size.height, size.width)
    root = fresh(job.out)
    clips = _clips(job.seed, job.samples or count, size)
    if layout != "cvdf":
        clips = [clip for clip in clips if clip.fate not in ("replaced", "missing")]
        clips = [clip for clip in clips if layout == "lists" or clip.fate != "stray"]
    listed = [clip for clip in clips if clip.fate != "stray"]
    if layout == "cvdf":
        _write_tables(root / "k400/annotations", listed)
    elif layout == "lists":
        _write_lists(root, [clip for clip in listed if clip.split != "test"])
        clips = [clip for clip in clips if clip.split != "test"]
    write_truth(job, clips=[asdict(clip) for clip in clips])
    spread(_Task(root, layout).write, clips, job)
    if layout == "cvdf":
        _write_beside(root, clips)
    here = [clip for clip in clips if clip.fate in ("fine", "replaced", "missing")]
    splits = {split: sum(c.split == split for c in here) for split in ("train", "val", "test")}
    notes = ("two videos have replacements, some are absent, damaged or in no list",)
    return Tree(root, len(here), splits, notes)


@dataclass(frozen=True)
class _Task:
    """Writes single videos, in this process or others."""

    root: Path
    layout: str

    def write(self, clip: ClipTruth) -> int:
        _write(clip, self.root, FOLDERS[self.layout](clip))
        return 1


SIMULATOR = Simulator(
    "numbered videos with an action each, as Kinetics-400 is downloaded", simulate
)
