"""Writes Kinect v2 recordings as NTU's `.skeleton` text and UESTC's `_skeleton.mat` (spec surreact, section 8.3).

Both recorded mirrored images: the file's Left is the right side of the person that SURREACT renders, and x, y, z are
Kinect camera axes (y up), so that (x, -y, z) with sides exchanged are OpenCV axes of the rendered person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from pvit_converters.simulate.files.arrays import write_mat
from pvit_data.sample.kinect25 import FLIP


def _recorded(joints: Float[np.ndarray, "p t 25 3"]) -> Float[np.ndarray, "p t 25 3"]:
    mirrored: np.ndarray = joints[:, :, list(FLIP)] * [1.0, -1.0, 1.0]
    return mirrored


def write_ntu(path: Path, joints: Float[np.ndarray, "p t 25 3"]) -> None:
    """One `.skeleton` file of people given in OpenCV camera axes, metres; CRLF line ends, tracked everywhere."""
    points = _recorded(joints)
    lines = [str(points.shape[1])]
    for frame in range(points.shape[1]):
        lines.append(str(len(points)))
        for person, body in enumerate(points[:, frame]):
            lines += [f"{72057594037930000 + person} 0 1 1 1 1 0 0.01 -0.02 2", "25"]
            for x, y, z in body:
                depth = (256 + 366 * x / z, 212 - 366 * y / z)
                colour = (976 + 1055 * x / z, 555 - 1060 * y / z)
                values = [x, y, z, *depth, *colour, 0.0, 0.0, 0.0, 0.0]
                lines.append(" ".join(f"{v:.7g}" for v in values) + " 2")
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode())


def write_uestc(path: Path, joints: Float[np.ndarray, "p t 25 3"], flat: bool) -> None:
    """One `_skeleton.mat` of the first person: variable `v` (T,75), or `skel` (T,25,3)."""
    points = _recorded(joints)[0]
    write_mat(path, {"v": points.reshape(len(points), 75)} if flat else {"skel": points})
