"""Where things lie in SURREACT: clips are found by their file names, at any depth (spec surreact, section 2).

The set (NTU or UESTC, hmmr or vibe) comes from the sequence name and the folders above it; the archives of a set may be
unpacked over each other or side by side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pvit_converters.raw.listing import walk_files
from pvit_data.errors import SourceError

FILE = re.compile(
    r"^(?P<seq>S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}|a\d+_d\d+_p\d+_c\d+_color\.avi)_v(?P<view>\d{3})_r(?P<rep>\d{2})"
    r"(?P<kind>\.mp4|_(?:info|segm|depth|normal|gtflow)\.mat)$"
)
"""A file of a clip. Foreground videos (`_fg.mp4`) do not match."""

PUBLISHED = {
    ("ntu", "vibe", "train"): 105_162, ("ntu", "vibe", "test"): 480, ("ntu", "hmmr", "train"): 105_503,
    ("ntu", "hmmr", "test"): 480, ("uestc", "vibe", "train"): 12_800, ("uestc", "hmmr", "train"): 3_154,
    ("uestc", "hmmr", "test"): 39,
}  # fmt: skip
"""Released videos by set and split (spec, section 1)."""

PAPER = (("ntu", "vibe", "train"), ("uestc", "hmmr", "train"))
"""What the paper trains on: 105,162 + 3,154 = 108,316, the only pair that gives its 108.3 thousand."""

_KINDS = {
    ".mp4": "mp4",
    "_info.mat": "info",
    "_segm.mat": "segm",
    "_depth.mat": "depth",
    "_normal.mat": "normal",
}
_ESTIMATOR = re.compile(r"vibe|hmmr", re.IGNORECASE)


@dataclass
class Clip:
    """The files of one clip.

    Args:
        dataset: `"ntu"` or `"uestc"`.
        estimator: `"vibe"` or `"hmmr"`.
        split: `"train"`, `"val"` or `"test"`.
        sequence: its sequence name, with `.avi` for UESTC.
        view: azimuth in degrees.
        stem: file name without `.mp4`.
        files: path relative to the root by kind (`"mp4"`, `"info"`, `"segm"`, `"depth"`, `"normal"`).
        size: bytes by kind.
    """

    dataset: str
    estimator: str
    split: str
    sequence: str
    view: int
    stem: str
    files: dict[str, str] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)

    @property
    def set(self) -> tuple[str, str]:
        """`("ntu", "vibe")`."""
        return self.dataset, self.estimator

    @property
    def key(self) -> str:
        """`surreact-ntu-vibe-s001c002p003r002a001_v045_r00`."""
        return f"surreact-{self.dataset}-{self.estimator}-{self.stem.replace('.avi', '').lower()}"

    @property
    def group(self) -> str:
        """All views of a sequence, of whichever estimator."""
        return f"{self.dataset}-{self.sequence.removesuffix('.avi').lower()}"


@dataclass
class Found:
    """What a tree holds.

    Args:
        clips: by key.
        archives: names of archives that lie there unpacked or not.
        doubled: files that are there twice; the first is used.
        splitless: clips in whose path neither train nor test stands; they count as training data.
    """

    clips: dict[str, Clip] = field(default_factory=dict)
    archives: list[str] = field(default_factory=list)
    doubled: int = 0
    splitless: int = 0


def find_clips(root: Path, estimator: str = "auto") -> Found:
    """Walks the tree once.

    Args:
        root: folder of the raw data.
        estimator: `"vibe"` or `"hmmr"` where no folder name says it.

    Raises:
        SourceError: if the folder is not there, or a set's estimator cannot be told.
    """
    if not root.is_dir():
        raise SourceError(
            f"{root}: no such folder; give the folder into which SURREACT's archives were unpacked"
        )
    found = Found()
    above = root.resolve().parts
    for place, entry in walk_files(root):
        if match := FILE.match(entry.name):
            _add(found, root, place, match, estimator, above, entry.stat().st_size)
        elif entry.name.endswith((".tar.gz", ".tgz", ".tar")):
            found.archives.append(place)
    return found


def _add(
    found: Found,
    root: Path,
    relative: str,
    match: re.Match[str],
    estimator: str,
    above: tuple[str, ...],
    size: int,
) -> None:
    kind = _KINDS.get(match["kind"])
    if kind is None:
        return
    folders = relative.split("/")[:-1]
    name = _estimator_of(folders, above) if estimator == "auto" else estimator
    if not name:
        raise SourceError(
            f"{root / relative}: no folder name says vibe or hmmr; unpack into a folder such as surreact/ntu/vibe, or "
            "pass --estimator",
            reason="unknown-set",
        )
    stem = relative.rsplit("/", 1)[-1].removesuffix(match["kind"])
    dataset = "ntu" if match["seq"].startswith("S") else "uestc"
    # The split is the folder above the sequence's, which may lie above the root if a user gives train/ or test/.
    split = next(
        (f.lower() for f in [*above, *folders][:-3:-1] if f.lower() in ("train", "val", "test")), ""
    )
    clip = Clip(dataset, name, split or "train", match["seq"], int(match["view"]), stem)
    found.splitless += clip.key not in found.clips and not split
    clip = found.clips.setdefault(clip.key, clip)
    if kind in clip.files:
        found.doubled += 1
        return
    clip.files[kind], clip.size[kind] = relative, size


def _estimator_of(folders: Sequence[str], above: Sequence[str]) -> str:
    """What the innermost folder name says that says anything; "" where none does."""
    told = _ESTIMATOR.findall("/".join(folders)) or _ESTIMATOR.findall("/".join(above))
    return told[-1].lower() if told else ""


def missing_sets(
    counts: Mapping[tuple[str, str, str], int], wanted: tuple[tuple[str, str, str], ...]
) -> list[str]:
    """Sentences on how many of the published videos are there, for the sets found or wanted."""
    out = []
    for name, total in PUBLISHED.items():
        here = counts.get(name, 0)
        if (here or name in wanted) and here != total:
            out.append(f"{'/'.join(name)}: {here:,} of the {total:,} published videos are here")
    return out
