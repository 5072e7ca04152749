"""Where things lie in a PHAV tree: action and video folders, and which file of a video is what.

File names are not hard-coded, since no source shows the archives themselves: a file is classified by what stands before
its number (spec phav, section 3), unless a YAML file of the user names the patterns.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pvit_converters.phav.classes import action_of
from pvit_converters.raw.listing import list_entries, list_folders
from pvit_data.errors import SourceError, UsageError
from pvit_data.storage.files import utf8

NAME = re.compile(
    r"^(?P<key>b\d+)-(?P<environment>[^-]+)-(?P<phase>[^-]+)-(?P<weather>[^-]+)-(?P<motion>[^-]+)-(?P<character>[^-]+)"
    r"-(?P<camera>[^-]+)-(?P<variation>[a-z])-(?P<id>[0-9a-f]{32})$"
)
"""Name of a video folder (spec, section 4)."""

MAPS = ("depth", "semantic", "instance")
MODALITIES = ("rgb", *MAPS, "flow_x", "flow_y", "raw")
_FILE = re.compile(
    r"^(?P<prefix>.*?)[_-]?(?P<index>\d{4,6})\.(?P<ext>png|jpg|jpeg)$", re.IGNORECASE
)
_PLACE = re.compile(r"\{(?::0?(\d)d)?\}")
_KNOWN_TEXTS = {"instances.txt", "colors.txt"}
_TEXTS = (".txt", ".json", ".xml", ".csv")


@dataclass
class VideoFiles:
    """The numbered files of one video.

    Args:
        paths: by modality, path by file number.
        folders: where they lie.
        ignored: names of text files that are not understood.
        is_raw: the RGB frames are those from before post-processing, since no others are there.
    """

    paths: dict[str, dict[int, Path]] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)
    is_raw: bool = False

    def of(self, modality: str) -> dict[int, Path]:
        """Path by file number, in order; empty where the modality is not there."""
        return dict(sorted(self.paths.get(modality, {}).items()))


def find_videos_folder(root: Path) -> Path:
    """The folder that holds the action folders: `root`, `root/videos`, or the only folder in `root` that has some.

    Raises:
        SourceError: if the folder is not there.
    """
    if not root.is_dir():
        raise SourceError(
            f"{root}: no such folder; give the folder into which PHAV's archives were unpacked"
        )
    named = next(
        (root / name for name in ("videos", "phav", "PHAV") if (root / name).is_dir()), None
    )
    if named is not None or _has_actions(root):
        return named or root
    # The archives have one folder above the actions, which a user may not have stripped.
    inner = [root / name for name in list_folders(root) if _has_actions(root / name)]
    return inner[0] if len(inner) == 1 else root


def _has_actions(folder: Path) -> bool:
    return any(action_of(name) is not None for name in list_folders(folder))


def sample_key(relative: str, name: str) -> str:
    """`phav-` and the video's own id, or a hash of its relative path where its name does not parse."""
    match = NAME.match(name)
    return f"phav-{match['id'] if match else hashlib.sha256(utf8(relative)).hexdigest()[:32]}"


def patterns_of(values: object, flag: str) -> dict[str, re.Pattern[str]]:
    """File patterns by modality from the user's YAML, `{"rgb": "img_{:05d}.jpg"}`.

    Raises:
        UsageError: if it has other keys, or a pattern without a place for the number.
    """
    table = values.get("phav", values) if isinstance(values, Mapping) else None
    if not isinstance(table, Mapping) or not set(table) <= {*MODALITIES, "depth_packing"}:
        raise UsageError(
            f'{flag}: expected phav: {{rgb: "img_{{:05d}}.jpg", ...}} with any of {", ".join(MODALITIES)}'
        )
    out = {}
    for modality, text in table.items():
        if modality == "depth_packing":
            continue
        parts = _PLACE.split(str(text))
        if len(parts) != 3:
            raise UsageError(
                f"{flag}: {modality}: '{text}' has no place for the number such as {{:05d}}"
            )
        out[modality] = re.compile(
            f"{re.escape(parts[0])}(?P<index>\\d{{1,9}}){re.escape(parts[2])}", re.IGNORECASE
        )
    return out


def scan_video(places: Sequence[Path], patterns: Mapping[str, re.Pattern[str]]) -> VideoFiles:
    """Lists a video's folders once and classifies their files.

    Raises:
        SourceError: if two sets of files could be the same modality, or a folder is gone.
    """
    out = VideoFiles(folders=list(places))
    found: dict[tuple[str, str], dict[int, Path]] = {}
    for folder in places:
        for name in (entry.name for entry in list_entries(folder) if entry.is_file()):
            _classify(folder, name, patterns, out, found)
    _choose(out, found)
    return out


def _classify(
    folder: Path,
    name: str,
    patterns: Mapping[str, re.Pattern[str]],
    out: VideoFiles,
    found: dict[tuple[str, str], dict[int, Path]],
) -> None:
    for modality, pattern in patterns.items():
        if match := pattern.fullmatch(name):
            out.paths.setdefault(modality, {}).setdefault(int(match["index"]), folder / name)
            return
    if match := _FILE.match(name):
        prefix = match["prefix"].lower()
        modality = modality_of(prefix)
        if modality in patterns:
            return
        ranked = found.setdefault((modality, prefix), {})
        index, is_png = int(match["index"]), match["ext"].lower() == "png"
        wanted = is_png != (modality in ("rgb", "raw", "flow_x", "flow_y"))
        if index not in ranked or (wanted and ranked[index].parent == folder):
            ranked[index] = folder / name
    elif name.lower().endswith(_TEXTS) and name.lower() not in _KNOWN_TEXTS:
        out.ignored.add(name)


def modality_of(prefix: str) -> str:
    """The modality of a file by what stands before its number (spec, section 3, the table)."""
    prefix = prefix.lower()
    if "depth" in prefix:
        return "depth"
    if "classgt" in prefix or (
        "inst" not in prefix and any(w in prefix for w in ("class", "semantic", "segm"))
    ):
        return "semantic"
    if "inst" in prefix:
        return "instance"
    if "flow" in prefix:
        return "flow_y" if prefix.endswith("y") else "flow_x"
    return "raw" if "raw" in prefix or "unproc" in prefix else "rgb"


def _choose(out: VideoFiles, found: dict[tuple[str, str], dict[int, Path]]) -> None:
    for modality in MODALITIES:
        prefixes = {prefix: files for (kind, prefix), files in found.items() if kind == modality}
        if modality == "rgb" and len(prefixes) > 1:
            prefixes = _finished_rgb(prefixes)
        if len(prefixes) > 1:
            names = [next(iter(files.values())) for files in prefixes.values()]
            line = f'phav: {{{modality}: "{sorted(prefixes)[0]}_{{:05d}}{names[0].suffix}"}}'
            raise SourceError(
                f"{names[0].parent}: {names[0].name} and {names[1].name} could both be {modality}; say which with "
                f"--layout FILE.yaml and the line {line}",
                reason="ambiguous-names",
            )
        for files in prefixes.values():
            out.paths[modality] = files
    if "rgb" not in out.paths and "raw" in out.paths:
        out.paths["rgb"], out.is_raw = out.paths.pop("raw"), True


def _finished_rgb(prefixes: dict[str, dict[int, Path]]) -> dict[str, dict[int, Path]]:
    """Of several sets of RGB files the one whose name says that it is finished, else the only one of JPEGs."""
    named = [p for p in prefixes if p in ("img", "rgb") or p.startswith("post")]
    if len(named) == 1:
        return {p: prefixes[p] for p in named}
    firsts = {p: next(iter(files.values())) for p, files in prefixes.items()}
    jpegs = [p for p, path in firsts.items() if path.suffix.lower() != ".png"]
    if len(jpegs) == 1 and not named:
        return {p: prefixes[p] for p in jpegs}
    return prefixes
