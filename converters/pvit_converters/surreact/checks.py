"""The self-check of a set (spec surreact, section 6.3): geometry, orientation, sides, kind of depth.

Joints in 3D, seen by the camera, must fall on the stored joints in 2D; the map of body parts must lie below them, left
on left. One clip cannot decide (a centred person fits several hypotheses), so clips of a set are pooled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float, UInt8

from pvit_converters.evenly import evenly
from pvit_converters.surreact import maps
from pvit_converters.surreact.camera import HEIGHT, WIDTH, View, project, view_of
from pvit_converters.surreact.layout import Clip
from pvit_converters.surreact.options import SurreactOptions
from pvit_converters.surreact.person import Info, read_info
from pvit_data.errors import SourceError

T = TypeVar("T")

MIN_AGREEMENT = 0.95
"""Overlap of body parts and depth, below which they come from different renderings (spec surreact, section 10)."""

DEPTH_CLIPS = 8

CLIPS = 50
"""Clips that are looked at per set."""

LEFT_ARM, RIGHT_ARM = 17, 18
_ARMS = {LEFT_ARM: (16, 18), RIGHT_ARM: (17, 19)}
_HEAD, _PELVIS = 15, 0
_MIN_PIXELS = 30

SLACK = 0.5
"""Pixels of misfit that don't count: a centred person seen from behind nearly fits the mirrored front as well."""

FEW = 0.6
"""Share of the joints on body parts, below which maps and joints don't belong together (0.9 is expected)."""

MAX_MISFIT = 1.5
"""Pixels; stored joints are rounded, so a right hypothesis misses them by less than 1."""


class Geometry(NamedTuple):
    """One hypothesis about the files.

    Args:
        angle: where the azimuth comes from: `"view"` (the file name), `"zrot"` (`zrot_euler`) or `"zero"`.
        rows: joints2D count from the `"top"` or the `"bottom"` of the picture.
        is_mirrored: the picture is the mirror image of the joints.
    """

    angle: str = "view"
    rows: str = "top"
    is_mirrored: bool = False

    def view(self, info: Info, view: int) -> View:
        """The camera of a clip."""
        angle = {"view": float(view), "zrot": info.zrot, "zero": 0.0}[self.angle]
        return view_of(angle, info.distance, info.height, self.is_mirrored)

    def misfit(self, info: Info, view: int, frames: int) -> float:
        """Median distance in pixels between projected and stored joints; inf where nothing can be compared."""
        if info.joints2d is None:
            return float("inf")
        good = info.usable()[:frames]
        seen = project(self.view(info, view).see(info.joints3d[:frames][good].astype(np.float64)))
        stored = info.joints2d[:frames][good].astype(np.float64)
        if self.rows == "bottom":
            stored[..., 1] = HEIGHT - stored[..., 1]
        miss = np.hypot(*np.moveaxis(seen - stored, -1, 0))
        miss = miss[np.isfinite(miss)]
        return float(np.median(miss)) if miss.size else float("inf")

    def __str__(self) -> str:
        angle = {"view": "the view of the file name", "zrot": "zrot_euler", "zero": "angle 0"}[
            self.angle
        ]
        return f"{angle}, joints2D from the {self.rows}" + (
            ", mirrored" if self.is_mirrored else ""
        )


HYPOTHESES = tuple(
    Geometry(angle, rows, mirrored)
    for mirrored, angle, rows in product((False, True), ("view", "zrot", "zero"), ("top", "bottom"))
)


class Evidence(NamedTuple):
    """One clip of a set: its joints, its view, the frames that all its files have, and its first map of parts."""

    info: Info
    view: int
    frames: int
    segm: UInt8[np.ndarray, "240 320"] | None


@dataclass
class Outcome:
    """What holds for a set.

    Args:
        geometry: the best hypothesis.
        misfit, next_best: median pixels of it and of the best that differs from it.
        clips: clips looked at.
        on_people: share of the projected joints that lie on a body part, as stored and with the map upside down; None
            without maps.
        straight, crossed: arms whose part lies nearer to its own joints, and to the other side's.
        upright: share of frames with the head above the pelvis.
    """

    geometry: Geometry = field(default_factory=Geometry)
    misfit: float = float("inf")
    next_best: float = float("inf")
    clips: int = 0
    on_people: tuple[float, float] | None = None
    straight: int = 0
    crossed: int = 0
    upright: float = 1.0

    @property
    def flips_maps(self) -> bool:
        """Whether the maps are stored upside down."""
        return self.on_people is not None and self.on_people[1] > self.on_people[0]

    @property
    def sides_agree(self) -> bool:
        """Whether left joints lie on left parts."""
        return self.straight >= self.crossed

    def sentence(self, name: str) -> str:
        """For the report."""
        if not self.clips:
            return f"check of {name}: no clip that was tried can be read"
        text = (
            f"check of {name}, {self.clips} clips: joints project with {self.geometry}, median error "
            f"{self.misfit:.2f} px (next best {self.next_best:.2f}); head above pelvis in {self.upright:.0%} of frames"
        )
        if self.on_people is not None:
            stored, turned = self.on_people
            text += f"; {stored:.0%} of the joints on body parts ({turned:.0%} upside down)"
            text += f", arms on their own side {self.straight} of {self.straight + self.crossed}"
        if self.misfit > MAX_MISFIT:
            text += "; NO CAMERA FITS: pose3d is left out where a clip's joints miss their pixels (--min-fit)"
        if self.on_people is not None and max(self.on_people) < FEW:
            text += "; FEW JOINTS LIE ON BODIES: maps and joints may come from different renderings"
        if self.flips_maps:
            text += "; the maps are stored upside down and were turned"
        if not self.sides_agree:
            text += "; LEFT AND RIGHT of joints and parts disagree: pose3d is left out"
        if self.upright < 0.5:
            text += "; MOST PEOPLE STAND ON THEIR HEADS: look at the pictures before you use pose3d"
        return text


def examine(clips: Sequence[Evidence]) -> Outcome:
    """Pools the clips of one set."""
    if not clips:
        return Outcome()
    miss = {
        h: float(np.median([h.misfit(c.info, c.view, c.frames) for c in clips])) for h in HYPOTHESES
    }
    # The first of those that rounding cannot tell apart: the view of the name, not mirrored.
    best = next(h for h in HYPOTHESES if miss[h] <= min(miss.values()) + SLACK)
    others = [value for value in miss.values() if value > miss[best] + SLACK]
    out = Outcome(best, miss[best], min(others, default=float("inf")), len(clips))
    inside = np.zeros(3)
    heads: list[Bool[np.ndarray, "n"]] = []
    for clip in clips:
        if best.misfit(clip.info, clip.view, clip.frames) > MAX_MISFIT:
            continue  # joints that don't project say nothing about the maps
        good = clip.info.usable()[: clip.frames]
        pixels = project(
            best.view(clip.info, clip.view).see(
                clip.info.joints3d[: clip.frames].astype(np.float64)
            )
        )
        heads.append((pixels[:, :, _HEAD, 1] < pixels[:, :, _PELVIS, 1])[good])
        if clip.segm is not None and good[:1].any():
            inside += _on_parts(pixels[0][good[0]], clip.segm)
            _compare_arms(pixels[0][good[0]], clip.segm, out)
    if inside[2]:
        out.on_people = (float(inside[0] / inside[2]), float(inside[1] / inside[2]))
    if sum(map(len, heads)):
        out.upright = float(np.concatenate(heads).mean())
    return out


def _on_parts(
    pixels: Float[np.ndarray, "p 24 2"], segm: UInt8[np.ndarray, "240 320"]
) -> Float[np.ndarray, "3"]:
    """Joints on a part, on a part of the map upside down, and joints inside the picture."""
    column, row = np.floor(pixels.reshape(-1, 2).T).astype(int)
    there = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    column, row = column[there], row[there]
    return np.array(
        [(segm[row, column] > 0).sum(), (segm[HEIGHT - 1 - row, column] > 0).sum(), there.sum()],
        float,
    )


def _compare_arms(
    pixels: Float[np.ndarray, "p 24 2"], segm: UInt8[np.ndarray, "240 320"], out: Outcome
) -> None:
    """One person's upper arms: is the part nearer to its own joints?"""
    if len(pixels) != 1:
        return  # two people share the part numbers
    segm = segm[::-1] if out.flips_maps else segm
    middles = {part: pixels[0, list(joints)].mean(0) for part, joints in _ARMS.items()}
    for part, other in ((LEFT_ARM, RIGHT_ARM), (RIGHT_ARM, LEFT_ARM)):
        rows, columns = np.nonzero(segm == part)
        if len(rows) < _MIN_PIXELS:
            continue
        centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
        own, cross = (float(np.hypot(*(centre - middles[p]))) for p in (part, other))
        out.straight += own <= cross
        out.crossed += own > cross


@dataclass(frozen=True)
class SetFacts:
    """What holds for all clips of a set.

    Args:
        outcome: of the check of joints and maps.
        is_distance: depth is the distance to the camera's centre, not planar.
        notes: sentences for the report.
    """

    outcome: Outcome
    is_distance: bool
    notes: list[str]


def examine_set(root: Path, name: str, clips: Sequence[Clip], options: SurreactOptions) -> SetFacts:
    """The self-check of a set: geometry, orientation, sides, kind of depth."""
    with_info = [clip for clip in clips if "info" in clip.files]
    if not with_info:
        unpack = f"{name}: no _info.mat, so no joints; unpack the archive of the set again"
        return SetFacts(Outcome(), False, [unpack])
    outcome = examine(_readable(evenly(with_info, CLIPS), lambda clip: _evidence(root, clip)))
    with_depth = [clip for clip in with_info if "depth" in clip.files]
    is_distance, kind = _depth_kind(root, with_depth, outcome, options.depth_kind)
    origin = _origin_of_depth(root, [clip for clip in with_depth if "segm" in clip.files])
    notes = [f"{name}: {text}" for text in (kind, origin) if text]
    return SetFacts(outcome, is_distance, [outcome.sentence(name), *notes])


def _readable(clips: Iterable[Clip], look: Callable[[Clip], T]) -> list[T]:
    """What is seen in each clip that can be read; the conversion will report the others."""
    out = []
    for clip in clips:
        try:
            out.append(look(clip))
        except SourceError:
            continue
    return out


def _evidence(root: Path, clip: Clip) -> Evidence:
    info = read_info(root / clip.files["info"])
    if "segm" not in clip.files:
        return Evidence(info, clip.view, info.length, None)
    series = maps.Series.open(root / clip.files["segm"], "segm")
    frames = min(info.length, series.length)
    return Evidence(info, clip.view, frames, maps.read_parts(series, 1)[0])


def _depth_kind(
    root: Path, clips: Sequence[Clip], outcome: Outcome, choice: str
) -> tuple[bool, str]:
    """Whether depth is a distance, by the normals or the user's word."""
    if not clips:
        return False, ""
    if choice != "auto":
        return choice == "distance", f"depth is taken as {choice} (--depth-kind)"

    def errors(clip: Clip) -> tuple[float, float]:
        turn = outcome.flips_maps
        depth = maps.Series.open(root / clip.files["depth"], "depth", turn)
        normal = maps.Series.open(root / clip.files["normal"], "normal", turn)
        view = outcome.geometry.view(read_info(root / clip.files["info"]), clip.view)
        frame = min(depth.length, normal.length) // 2
        return maps.angle_errors(depth.read(frame), maps.camera_normals(normal.read(frame), view))

    with_normals = [clip for clip in clips if "normal" in clip.files]
    return maps.decide_kind(_readable(evenly(with_normals, DEPTH_CLIPS), errors))


def _origin_of_depth(root: Path, clips: Sequence[Clip]) -> str:
    """Whether depth belongs to the released maps; clips whose depth doesn't are converted without it."""

    def overlap(clip: Clip) -> float:
        segm = maps.Series.open(root / clip.files["segm"], "segm")
        depth = maps.Series.open(root / clip.files["depth"], "depth")
        frames = min(segm.length, depth.length, 1)
        return maps.agreement(maps.read_parts(segm, frames), maps.read_depth(depth, frames, False))

    shares = _readable(evenly(clips, min(DEPTH_CLIPS, 1 + len(clips) // CLIPS)), overlap)
    if not shares:
        return ""
    foreign = sum(share < MIN_AGREEMENT for share in shares)
    text = f"people in depth and body parts overlap by {min(shares):.0%} at least ({len(shares)} clips)"
    if foreign:
        text += f"; {foreign} OF THEM ARE OF ANOTHER RENDERING, such depth is left out"
    return text
