"""Where things lie in a Hypersim tree: the scenes folder, a trajectory's files, a frame's files.

The archives unpack to `ROOT/ai_VVV_NNN`; the official tools call the parent `evermotion_dataset/scenes`. Any file of
any frame may be missing, since users download single modalities and some archives are incomplete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pvit_converters.hypersim.info import INFO
from pvit_converters.raw.files import read_utf8
from pvit_converters.raw.listing import list_entries, list_files, list_folders
from pvit_data.errors import SourceError

SCENE = re.compile(r"ai_\d{3}_\d{3}\Z")
_FILE = re.compile(r"frame\.(\d{4})\.(\w+\.\w+)\Z")
_VARIANTS = ("", "scenes", "evermotion_dataset/scenes")

FINAL = "final_hdf5"
PREVIEW = "final_preview"
GEOMETRY = "geometry_hdf5"
# The files that the converter reads: name -> (folder, ending).
FILES = {
    "color": (FINAL, "color.hdf5"),
    "tonemap": (PREVIEW, "tonemap.jpg"),
    "depth": (GEOMETRY, "depth_meters.hdf5"),
    "normal_world": (GEOMETRY, "normal_world.hdf5"),
    "normal_cam": (GEOMETRY, "normal_cam.hdf5"),
    "semantic": (GEOMETRY, "semantic.hdf5"),
    "instance": (GEOMETRY, "semantic_instance.hdf5"),
    "entity": (GEOMETRY, "render_entity_id.hdf5"),
    "position": (GEOMETRY, "position.hdf5"),
}
# Any of these makes a frame worth a sample; the entity ids and positions only serve the others.
CONTENT = ("color", "tonemap", "depth", "normal_world", "normal_cam", "semantic", "instance")


def find_scenes_folder(root: Path) -> Path:
    """The folder that holds the `ai_VVV_NNN` folders.

    Raises:
        SourceError: if there is none; the message names what was looked for.
    """
    if not root.is_dir():
        raise SourceError(
            f"{root}: no such folder; give the folder that holds Hypersim's ai_VVV_NNN folders"
        )
    for variant in _VARIANTS:
        folder = root / variant
        if folder.is_dir() and any(map(SCENE.match, list_folders(folder))):
            return folder
    place = root.resolve()
    inside = next((p for p in (place, *place.parents) if SCENE.match(p.name)), None)
    hint = "" if inside is None else f"; it is a scene or lies in one: give {inside.parent}"
    zips = [name for name in list_files(root) if re.fullmatch(r"ai_\d{3}_\d{3}\.zip", name)]
    hint += f"; {zips[0]} is not unzipped" if zips else ""
    raise SourceError(
        f"{root}: not a Hypersim tree: no folder ai_VVV_NNN in it, in scenes/ or in evermotion_dataset/scenes/{hint}. "
        f"{INFO.obtain}"
    )


@dataclass(frozen=True)
class Trajectory:
    """One camera of one scene.

    Args:
        folder: the scene's folder.
        camera: name of the camera, `"cam_00"`.
    """

    folder: Path
    camera: str

    def path(self, frame: int, name: str) -> Path:
        """Where a file of a frame lies (see `FILES`)."""
        kind, ending = FILES[name]
        return (
            self.folder / "images" / f"scene_{self.camera}_{kind}" / f"frame.{frame:04d}.{ending}"
        )

    @property
    def orientations(self) -> Path:
        """World from camera rotations of all 100 key frames."""
        return self.folder / "_detail" / self.camera / "camera_keyframe_orientations.hdf5"

    @property
    def positions(self) -> Path:
        """Optical centres of all 100 key frames, asset units."""
        return self.folder / "_detail" / self.camera / "camera_keyframe_positions.hdf5"

    def scan(self) -> dict[int, dict[str, int]]:
        """The files that are there: frame number -> {name in `FILES`: bytes}."""
        names = {kind_and_ending: name for name, kind_and_ending in FILES.items()}
        found: dict[int, dict[str, int]] = {}
        for kind in (FINAL, PREVIEW, GEOMETRY):
            folder = self.folder / "images" / f"scene_{self.camera}_{kind}"
            if not folder.is_dir():
                continue
            for entry in list_entries(folder):
                match = _FILE.match(entry.name)
                if match and (name := names.get((kind, match[2]))):
                    found.setdefault(int(match[1]), {})[name] = entry.stat().st_size
        return found


def has_content(files: Mapping[str, int]) -> bool:
    """Whether a frame's files are worth a sample."""
    return any(name in files for name in CONTENT)


def find_trajectories(folder: Path) -> dict[str, list[str]]:
    """Camera names by scene, for every scene folder that is there."""
    found = {}
    for scene in filter(SCENE.match, list_folders(folder)):
        images = folder / scene / "images"
        names = list_folders(images) if images.is_dir() else []
        cameras = {m[1] for name in names if (m := re.match(r"scene_(cam_\d{2})_\w+\Z", name))}
        found[scene] = sorted(cameras)
    return found


def scale_of_scene(folder: Path) -> float | None:
    """Metres per asset unit from the scene's own `_detail/metadata_scene.csv`; None if it is not there.

    Raises:
        SourceError: if the file is there but does not hold a positive number.
    """
    path = folder / "_detail" / "metadata_scene.csv"
    if not path.is_file():
        return None
    for line in read_utf8(path, lenient=True).splitlines():
        name, _, value = line.partition(",")
        if name.strip() == "meters_per_asset_unit":
            try:
                if 0 < (scale := float(value)) < float("inf"):
                    return scale
            except ValueError:
                break
    raise SourceError(f"{path}: no positive number meters_per_asset_unit in it", reason="bad-csv")
