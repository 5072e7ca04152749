"""Units of PNR: bins, seconds or absolute frames where frames from the start of the clip are expected.

Each reading has a sign of its own; the one that at least halves the median error is named, with its factor.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.metrics.ego4d import BINS, Windows, errors

LEAST, VALUES = 20, 4
SECONDS, LONG = 8.5, 120  # the longest clip; frames of most
BEYOND, BEYOND_SHARE = 1.1, 0.01
INSIDE = 0.99  # of the predictions, within the seconds of their clips


def frame_units(frames: Float[np.ndarray, "n"], windows: Windows) -> Finding | None:
    """The finding, or None.

    Args:
        frames: predictions of clips in which the state changes.
        windows: of these clips.
    """
    if len(frames) < LEAST or len(np.unique(frames)) < VALUES:
        return None
    length = windows.length
    if (2 * frames == np.rint(2 * frames)).all() and 0 <= frames.min() <= frames.max() < BINS:
        seen = f"all predictions are whole numbers, or halves, up to {frames.max():g}"
    elif frames.max() <= SECONDS and np.median(frames) >= 0 and np.median(length) >= LONG:
        seen = f"all predictions are at most {frames.max():.2f}, of clips of mostly {np.median(length):.0f} frames"
    elif float(_is_inside(frames, windows).mean()) >= INSIDE:
        seen = "the predictions lie between the seconds at which their clips begin and end in the video"
    elif (beyond := float(_is_outside(frames, length).mean())) > BEYOND_SHARE:
        seen = f"{100 * beyond:.1f} % of the predictions are outside of their clip"
    else:
        return None
    return Finding("PNR units", seen, "likely", _remedy(frames, windows))


def _is_outside(
    frames: Float[np.ndarray, "n"], length: Int64[np.ndarray, "n"]
) -> Bool[np.ndarray, "n"]:
    return np.asarray((frames > BEYOND * length) | (frames < (1 - BEYOND) * length))


def _is_inside(frames: Float[np.ndarray, "n"], windows: Windows) -> Bool[np.ndarray, "n"]:
    return np.asarray((frames >= windows.start_sec) & (frames <= windows.end_sec))


def _remedy(frames: Float[np.ndarray, "n"], windows: Windows) -> str:
    """Which reading at least halves the median error."""
    bin_width, rate = windows.length / BINS, windows.rate
    readings = {
        "bins: multiply them by (parent_end_frame - parent_start_frame) / 16, a factor of "
        f"{np.median(bin_width):.1f} on most clips": frames * bin_width,
        f"seconds: multiply them by {np.median(rate):.0f}": frames * rate,
        "frames of the whole video: subtract parent_start_frame": frames - windows.start,
        "seconds of the whole video: subtract parent_start_sec and multiply by "
        f"{np.median(rate):.0f}": (frames - windows.start_sec) * rate,
    }
    plain = float(np.median(errors(frames, windows)))
    values = {name: float(np.median(errors(read, windows))) for name, read in readings.items()}
    best = min(values, key=values.__getitem__)
    expected = "pnr_frame counts frames from the start of the clip"
    if values[best] <= plain / 2:
        return f"{expected}; they look like {best} (the median error falls from {plain:.3f} s to {values[best]:.3f} s)"
    return expected + _factor(frames, windows, plain)


def _factor(frames: Float[np.ndarray, "n"], windows: Windows, plain: float) -> str:
    """The factor that at least halves the median error, whatever unit it may be."""
    usable = frames > 0
    factor = (
        float(np.median((windows.change - windows.start)[usable] / frames[usable]))
        if usable.any()
        else 0.0
    )
    halved = float(np.median(errors(frames * factor, windows)))
    if not factor > 0 or halved > plain / 2:
        return ""
    return (
        f"; multiplied by {factor:.3g} the median error falls from {plain:.3f} s to {halved:.3f} s"
    )
