"""The two joint sets of SynADL, Kinect's and OpenPose's: their files, and what holds for all files of a set.

Units and axes are not published, so they are judged on the first clips; so is the order of Kinect's joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pvit_converters.annotations.joint_maps import FROM_BODY25, FROM_KINECT, JointMap
from pvit_converters.raw.files import read_yaml
from pvit_converters.raw.zips import read_place
from pvit_converters.synadl import geometry as geo
from pvit_converters.synadl.examine import CLIPS, Frame, Pair, examine
from pvit_converters.synadl.layout import Clip
from pvit_converters.synadl.options import SynadlOptions
from pvit_converters.synadl.skeleton import Skeleton, parse_skeleton
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.kinect25 import NAMES

KINECT, OPENPOSE = "kinect", "openpose"


@dataclass(frozen=True)
class JointSet:
    """One set.

    Args:
        label: its name in sentences.
        solid, flat: kinds of its 3D and 2D files; see `layout.Clip`.
        joint_map: Kinect's joints from the set's own.
    """

    label: str
    solid: str
    flat: str
    joint_map: JointMap


SETS = {
    KINECT: JointSet("Kinect", "k3d", "k2d", FROM_KINECT),
    OPENPOSE: JointSet("OpenPose", "op3d", "op2d", FROM_BODY25),
}
"""In the order in which they are taken."""


class Skeletons:
    """Reads the skeleton files of a tree.

    Args:
        root: of the tree.
        kinect_order: YAML file with the names of Kinect's joints in the files' order, or None.
    """

    def __init__(self, root: Path, kinect_order: Path | None) -> None:
        self.root, self.kinect_order = root, kinect_order

    @cached_property
    def _order(self) -> list[int] | None:
        """Where each Kinect joint stands in the files, from the user's list; None: in Kinect's order."""
        path = self.kinect_order
        if path is None:
            return None
        names = read_yaml(path, "--kinect-order")
        if not isinstance(names, list) or sorted(map(str, names)) != sorted(NAMES):
            raise UsageError(
                f"--kinect-order {path}: expected a list of these 25 names: {', '.join(NAMES)}"
            )
        return [names.index(name) for name in NAMES]

    def pair(self, files: Mapping[str, str], name: str) -> Pair:
        """The skeletons of a clip.

        Args:
            files: place of each kind of file.
            name: of the joint set.

        Raises:
            SourceError: if a file is missing or damaged.
            UsageError: if `kinect_order` is no such list.
        """
        kinds = SETS[name]
        solid = self._read(files[kinds.solid], 3, name)
        flat = self._read(files[kinds.flat], 2, name) if kinds.flat in files else None
        return Pair(solid, flat)

    def _read(self, place: str, dimensions: int, name: str) -> Skeleton:
        found = parse_skeleton(read_place(self.root, place), place, dimensions)
        if name != KINECT or self._order is None:
            return found
        order = self._order
        return Skeleton(found.index, found.joints[:, :, order], found.visible[:, :, order])


Seen = dict[str, Pair]
"""The skeletons of some clips, by stem."""


def examine_sets(
    clips: Sequence[Clip], skeletons: Skeletons, options: SynadlOptions
) -> tuple[dict[str, Frame], list[str]]:
    """Units and axes of each joint set, and sentences for the report.

    Raises:
        SourceError: if the files of the set that is wanted first fail; Kinect's also where their order is wrong.
    """
    wanted = tuple(SETS) if options.joints == "auto" else (options.joints,)
    # Kinect's files are compared with OpenPose's even where only they are wanted.
    looked_at = (OPENPOSE,) if options.joints == OPENPOSE else tuple(SETS)
    seen: dict[str, Seen] = {}
    frames: dict[str, Frame] = {}
    notes: list[str] = []
    for name in looked_at:
        is_main = name in wanted and not frames
        seen[name], problem = _look(clips, skeletons, name)
        if problem is not None and is_main:
            raise _unreadable(problem, name)
        if seen[name]:
            found = _frame_of(seen[name], name, options, is_main=is_main)
            if isinstance(found, Frame):
                frames[name] = found
                notes += found.sentences
            else:
                problem = found
        if problem is not None:
            notes.append(f"{SETS[name].label} files are not used: {problem}")
    if KINECT in frames:
        notes.append(_check_order(frames, seen))
    if not frames:
        notes.append("no 3D skeletons: the samples have videos and actions only")
    return frames, notes


def _look(
    clips: Sequence[Clip], skeletons: Skeletons, name: str
) -> tuple[Seen, SourceError | None]:
    """The skeletons of some clips, without those that cannot be read, which the conversion will report.

    Clips that have both sets are preferred, so that the sets can be compared.

    Returns:
        The skeletons, and an error where there are files and none of those tried can be read.
    """
    with_it = [clip for clip in clips if SETS[name].solid in clip.files]
    solids = {each.solid for each in SETS.values()}
    with_it = [clip for clip in with_it if solids <= clip.files.keys()] or with_it
    seen: Seen = {}
    first = None
    for clip in with_it[:: max(1, len(with_it) // CLIPS)][:CLIPS]:
        try:
            seen[clip.stem] = skeletons.pair(clip.files, name)
        except SourceError as error:
            first = first or error
    return seen, None if seen else first


def _unreadable(error: SourceError, name: str) -> SourceError:
    hint = "; --joints openpose does without the Kinect files" if name == KINECT else ""
    return SourceError(
        f"{error} (and so is every other file that was tried){hint}", reason=error.reason
    )


def _frame_of(
    seen: Seen, name: str, options: SynadlOptions, *, is_main: bool
) -> Frame | SourceError:
    """What holds for a set; the error that says why nothing does, where the set is not the main one."""
    scale, axes = options.joint_scale, options.joint_axes
    try:
        return examine(list(seen.values()), SETS[name].label, scale, axes, is_main)
    except SourceError as unknown:
        if is_main:
            raise
        return unknown


def _check_order(frames: Mapping[str, Frame], seen: Mapping[str, Seen]) -> str:
    kinect, openpose = seen[KINECT], seen[OPENPOSE]
    common = sorted(kinect.keys() & openpose.keys()) if OPENPOSE in frames else []
    if common:
        a = [frames[KINECT].metres(kinect[stem].solid) for stem in common]
        b = [frames[OPENPOSE].metres(openpose[stem].solid) for stem in common]
        check = geo.compare_order(a, b)
    else:
        check = geo.check_body([frames[KINECT].metres(pair.solid) for pair in kinect.values()])
    if not check.is_good:
        raise SourceError(
            f"Kinect files are not in Kinect's joint order: {check.sentence}; give --kinect-order FILE.yaml "
            "with the 25 joint names in the files' order, or --joints openpose",
            reason="joint-order",
        )
    return f"check of Kinect's joint order on {len(common) or len(kinect)} clips: {check.sentence}"
