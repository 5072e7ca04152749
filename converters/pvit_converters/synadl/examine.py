"""The self-check of a SynADL tree on its first clips: joint order, units, axes, and how well 3D and 2D agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pvit_converters.synadl import geometry as geo
from pvit_converters.synadl.skeleton import Skeleton
from pvit_data.errors import SourceError

CLIPS = 20
"""Clips that are looked at."""


class Pair(NamedTuple):
    """The 3D and, where it is there, the 2D skeleton of a file set."""

    solid: Skeleton
    flat: Skeleton | None


@dataclass
class Frame:
    """What holds for the 3D files of one joint set.

    Args:
        scale: metres per unit.
        axes: camera axes from file axes.
        sentences: for the report.
    """

    scale: float = 0.01
    axes: Float[np.ndarray, "3 3"] = field(default_factory=lambda: np.diag([1.0, -1.0, 1.0]))
    sentences: list[str] = field(default_factory=list)

    def metres(self, skeleton: Skeleton) -> Float[np.ndarray, "m p 25 3"]:
        """Joints in camera axes, without the missing translation."""
        out: Float[np.ndarray, "m p 25 3"] = skeleton.joints @ self.axes.T * self.scale
        return out


def examine(
    pairs: Sequence[Pair], name: str, scale: float, axes: str, is_main: bool = True
) -> Frame:
    """Units and axes of one joint set.

    Args:
        pairs: files of some clips.
        name: `"Kinect"` or `"OpenPose"`.
        scale: metres per unit, 0 = find out.
        axes: `"auto"` or as for `geometry.parse_axes`.
        is_main: the user's scale and axes are meant for this set; another one takes them only where they fit better.

    Raises:
        SourceError: if the bones are not humanlike in any known unit (`"unknown-units"`).
    """
    lengths = geo.limbs([pair.solid.joints for pair in pairs], openpose=name == "OpenPose")
    detected = geo.find_scale(lengths)
    found = scale or detected if is_main else detected or scale
    text = ", ".join(f"{bone} {length:.4g}" for bone, length in lengths.items())
    if not found:
        raise SourceError(
            f"{name} 3D files: {text} in the files' unit, which is neither centimetres nor metres of a human; give "
            '--joint-scale METRES_PER_UNIT and --joint-axes "x,-y,z"',
            reason="unknown-units",
        )
    out = Frame(found)
    out.sentences.append(
        f"check of {name}, {len(pairs)} clips: {text} in the files' unit, taken as {found:g} m"
    )
    given = {} if axes == "auto" else {"given": geo.parse_axes(axes)}
    known = {label: np.diag(signs) for label, signs in geo.AXES.items()}
    _choose_axes(out, pairs, name, given if given and is_main else given | known)
    return out


def _choose_axes(
    out: Frame, pairs: Sequence[Pair], name: str, candidates: Mapping[str, Float[np.ndarray, "3 3"]]
) -> None:
    both = [pair for pair in pairs if pair.flat is not None]
    if not both:
        _choose_by_body(out, pairs, name, candidates)
        return
    misfit = {
        label: _misfit(Frame(out.scale, matrix), both) for label, matrix in candidates.items()
    }
    best = min(misfit, key=lambda label: misfit[label])
    out.axes = candidates[best]
    numbers = ", ".join(f"{label} {value:.2f} px" for label, value in misfit.items())
    sentence = f"{name}: 3D joints, moved by one translation a file, miss their 2D places by ({numbers}): {best} taken"
    if misfit[best] > geo.MAX_MISFIT:
        sentence += "; NONE FITS: look at the pictures before you use pose3d, or give --joint-axes"
    out.sentences.append(sentence)


def _choose_by_body(
    out: Frame, pairs: Sequence[Pair], name: str, candidates: Mapping[str, Float[np.ndarray, "3 3"]]
) -> None:
    """Without 2D joints only up and down can be told: heads are above ankles."""
    if "given" in candidates:
        out.axes = candidates["given"]
        out.sentences.append(f"{name}: no 2D files, so --joint-axes cannot be verified")
        return
    rise = (
        geo.head_above_ankles([pair.solid.joints for pair in pairs], openpose=name == "OpenPose")
        * out.scale
    )
    label = "y-down" if rise < -geo.STANDING else "y-up"
    out.axes = candidates[label]
    why = (
        f"heads have y {rise:+.2f} m from the ankles"
        if abs(rise) > geo.STANDING
        else "nobody stands"
    )
    out.sentences.append(
        f"{name}: no 2D files, so x right and z forward are unverified; {why}: {label} taken"
    )


def _misfit(frame: Frame, pairs: Sequence[Pair]) -> float:
    values = []
    for pair in pairs:
        shift = shift_of(frame, pair)
        if np.isfinite(shift.misfit):
            values.append(shift.misfit)
    return float(np.median(values)) if values else float("inf")


def shift_of(frame: Frame, pair: Pair) -> geo.Shift:
    """The missing translation of one file, over the frames and people that 2D and 3D share."""
    assert pair.flat is not None
    _, a, b = np.intersect1d(pair.solid.index, pair.flat.index, return_indices=True)
    people = min(pair.solid.people, pair.flat.people)
    points, pixels = frame.metres(pair.solid)[a, :people], pair.flat.joints[b, :people]
    seen = pair.solid.finite[a, :people] & pair.flat.finite[b, :people]
    visible = seen & pair.solid.visible[a, :people] & pair.flat.visible[b, :people]
    # Joints out of view may have no true 2D place; they are used only where too few others are there.
    return geo.find_shift(points, pixels, visible if visible.sum() >= 6 else seen)
