"""One prediction or target of one frame as a picture, by task; captions that say how to read it.

Shared by `pvit predict` (predictions on any video) and by the training report (prediction beside target).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from pvit_data.looking import pictures as draw
from pvit_data.sample.labels import LabelSpace

NEAREST = 1e-3
"""Metres."""
SLOTS = ("left hand", "right hand")


@dataclass(frozen=True)
class Canvas:
    """Where pictures of one clip are drawn.

    Args:
        rgb: the frames that predictions belong to.
        depth_scale: depths of the two ends of the ramp, metres, one for the whole clip so that it doesn't flicker.
        camera_normals: whether normals are in camera axes.
        spaces: label spaces of segmentation targets, by name.
    """

    rgb: UInt8[np.ndarray, "t h w 3"]
    depth_scale: tuple[float, float]
    camera_normals: bool
    spaces: dict[str, LabelSpace]

    def picture(
        self,
        target: str,
        value: Shaped[np.ndarray, "..."],
        frame: int,
        valid: Bool[np.ndarray, "..."] | None = None,
    ) -> UInt8[np.ndarray, "h w 3"]:
        """A picture as large as the frame.

        Args:
            target: target name.
            value: that frame's value: depth (h, w), normal (h, w, 3), segm (h, w) ids, pose3d (25, 3), boxes (O, 4).
            frame: number of the frame among `rgb`.
            valid: which entries exist; default: all.
        """
        height, width = self.rgb.shape[1:3]
        task, _, space = target.partition("/")
        if task == "depth":
            # A network may answer with a depth below zero; it means "very near", not "invalid".
            shown = np.maximum(value, NEAREST) if valid is None else np.where(valid, value, 0)
            return draw.resize(
                draw.depth_picture(shown, self.depth_scale), height, width, smooth=valid is None
            )
        if task == "normal":
            shown = value if valid is None else np.where(valid[..., None], value, 0)
            return draw.resize(
                draw.normal_picture(shown, self.camera_normals), height, width, smooth=valid is None
            )
        if task == "segm":
            shown = value if valid is None else np.where(valid, value, -1)
            coloured = draw.resize(
                draw.segm_picture(shown, self.spaces.get(space)), height, width, smooth=False
            )
            return draw.blend(self.rgb[frame], coloured, 0.6)
        if task == "pose3d":
            return draw.resize(draw.pose_picture(value, min(height, width), valid), height, width)
        return self._boxes(value, frame, valid)

    def _boxes(
        self, cxcywh: Float[np.ndarray, "o 4"], frame: int, valid: np.ndarray | None
    ) -> np.ndarray:
        names = [SLOTS[i] if i < len(SLOTS) else f"object {i - 1}" for i in range(len(cxcywh))]
        keep = np.arange(len(cxcywh)) if valid is None else np.flatnonzero(valid)
        centre, half = cxcywh[:, :2], cxcywh[:, 2:] / 2
        xyxy = np.clip(np.concatenate([centre - half, centre + half], axis=1), 0, 1)
        colours = draw.palette(len(cxcywh))[keep]
        return draw.draw_boxes(self.rgb[frame], xyxy[keep], [names[i] for i in keep], colours)


def caption(target: str, canvas: Canvas) -> str:
    """What a column shows."""
    task, _, space = target.partition("/")
    near, far = canvas.depth_scale
    return {
        "depth": f"depth {near:.1f}-{far:.1f} m",
        "normal": "normals" + ("" if canvas.camera_normals else " (world)"),
        "segm": f"segmentation {space}",
        "pose3d": "pose",
        "boxes": f"boxes {space}".rstrip(),
    }[task]
