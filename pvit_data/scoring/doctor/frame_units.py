"""Units of PNR: bins, seconds or absolute frames where frames from the start of the clip are expected."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.metrics.ego4d import BINS, Windows, errors

LEAST, VALUES = 20, 4
SECONDS, LONG = 8.5, 120
BEYOND, BEYOND_SHARE = 1.1, 0.01


def frame_units(frames: Float[np.ndarray, "n"], windows: Windows) -> Finding | None:
    """The finding, or None.

    Args:
        frames: predictions of clips in which the state changes.
        windows: of these clips.
    """
    if len(frames) < LEAST or len(np.unique(frames)) < VALUES:
        return None
    length = windows.length
    if (frames == np.rint(frames)).all() and frames.max() < BINS and frames.min() >= 0:
        seen = f"all predictions are whole numbers up to {frames.max():.0f}"
    elif frames.max() <= SECONDS and (length >= LONG).all():
        seen = f"all predictions are at most {frames.max():.2f}, of clips of {length.min()} frames and more"
    elif (beyond := float((frames > BEYOND * length).mean())) > BEYOND_SHARE:
        seen = f"{100 * beyond:.1f} % of the predictions are beyond the end of their clip"
    else:
        return None
    return Finding("PNR units", seen, "likely", _remedy(frames, windows))


def _remedy(frames: Float[np.ndarray, "n"], windows: Windows) -> str:
    """Which reading at least halves the median error."""
    readings = {
        "they look like bins: multiply them by (parent_end_frame - parent_start_frame) / 16": frames
        * windows.length
        / BINS,
        "they look like seconds: multiply them by 30": frames * 30,
        "they look like frames of the whole video: subtract parent_start_frame": frames
        - windows.start,
    }
    plain = float(np.median(errors(frames, windows)))
    values = {name: float(np.median(errors(read, windows))) for name, read in readings.items()}
    best = min(values, key=values.__getitem__)
    expected = "pnr_frame counts frames from the start of the clip"
    if values[best] <= plain / 2:
        return f"{expected}; {best} (the median error falls from {plain:.3f} s to {values[best]:.3f} s)"
    return expected
