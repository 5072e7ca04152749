"""One decoded picture: which way up it is shown, its colours as RGB, and a part of it.

Colours: files without a colour matrix are BT.601 (FFmpeg's rule), tagged ones as tagged. 4:2:0 video needs even
sides: an odd side is written with its last row or column repeated, and cut when read.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from pvit_data.codecs.window import Window
from pvit_data.errors import FormatError

RIGHT_ANGLE = math.radians(1)  # a display matrix within one degree of a right angle turns by it


class Orientation(NamedTuple):
    """How a stored picture is shown: first transposed, then mirrored."""

    transposed: bool
    left_right: bool
    top_bottom: bool

    @property
    def is_upright(self) -> bool:
        """Shown as it is stored."""
        return not any(self)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) as shown."""
        return (width, height) if self.transposed else (height, width)

    def show(self, picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """A view of a stored picture the way it is shown."""
        if self.is_upright:
            return picture
        shown = picture.swapaxes(0, 1) if self.transposed else picture
        return shown[:: -1 if self.top_bottom else 1, :: -1 if self.left_right else 1]


UPRIGHT = Orientation(False, False, False)


class Turns:
    """The orientation of each picture of a file.

    It is looked up where the angle changes, and not for each picture: PyAV keeps the memory of a picture that was asked
    for its matrix until Python collects garbage, and fresh memory for the next one costs more than decoding it.
    """

    def __init__(self) -> None:
        self._angle: int | None = None
        self._orientation = UPRIGHT

    def of(self, picture: Any) -> Orientation:
        """The orientation of the next picture."""
        if picture.rotation != self._angle:
            self._angle, self._orientation = picture.rotation, orientation(picture)
        return self._orientation


def orientation(picture: Any) -> Orientation:
    """What the display matrix says, as FFmpeg shows it; upright where there is none or it is no right angle.

    The stored point (x, y) is shown at (a x + c y, b x + d y).
    """
    found = picture.side_data.get(Type.DISPLAYMATRIX)
    if found is None:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(found, np.int32)[:5].tolist()
    across, along = math.hypot(a, c), math.hypot(b, d)
    if not across or not along:
        return UPRIGHT
    angle = math.atan2(b / along, a / across) % (math.pi / 2)
    if min(angle, math.pi / 2 - angle) > RIGHT_ANGLE:
        return UPRIGHT
    if abs(b) / along > abs(a) / across:
        return Orientation(True, c < 0, b < 0)
    return Orientation(False, a < 0, d < 0)


def checksum(picture: Any) -> int:
    """Of the samples as decoded; pictures of another size or layout have another one."""
    total = zlib.crc32(f"{picture.format.name} {picture.height} {picture.width}".encode())
    sample_bytes = max((c.bits + 7) // 8 for c in picture.format.components)
    for plane in picture.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        total = zlib.crc32(rows[:, : plane.width * sample_bytes].tobytes(), total)
    return total


class PartReader:
    """Pictures of one file to sRGB: one object for all, since making a converter costs more than using it.

    Args:
        size: (height, width) to cut padded pictures to.
        window: the part wanted of each.
    """

    def __init__(self, size: tuple[int, int] | None, window: Window | None) -> None:
        self.size, self.window = size, window
        self._converter, self._turns = VideoReformatter(), Turns()

    def read(self, picture: Any) -> UInt8[np.ndarray, "h w 3"]:
        """The picture, or its part, as it is shown.

        Raises:
            FormatError: if the window is not inside, or the picture has another size.
        """
        turn, size, window = self._turns.of(picture), self.size, self.window
        if window is None:
            rgb = turn.show(_to_rgb(picture, self._converter))
            return rgb if size is None else rgb[: size[0], : size[1]]
        shown = turn.size(picture.height, picture.width)
        if size is not None and not (
            size[0] <= shown[0] <= size[0] + 1 and size[1] <= shown[1] <= size[1] + 1
        ):
            raise FormatError(f"video is {shown}, expected {size}")
        window.check(*(size or shown))
        top, left = window.top, window.left
        if turn.is_upright and _can_be_cut(picture):
            picture = _cut(picture, window)
            top, left = top % 2, left % 2
        rgb = turn.show(_to_rgb(picture, self._converter))
        return rgb[top : top + window.height, left : left + window.width]


def _can_be_cut(picture: Any) -> bool:
    """Interlaced pictures have their chroma rows in another order, and a cut one cannot be marked as such."""
    even = picture.height % 2 == 0 and picture.width % 2 == 0
    return picture.format.name == "yuv420p" and even and not picture.interlaced_frame


def _cut(picture: Any, window: Window) -> Any:
    """The 4:2:0 picture cut to whole chroma samples around a window: the rest is never converted to RGB."""
    top, left = window.top - window.top % 2, window.left - window.left % 2
    height = (window.top + window.height - top + 1) & ~1
    width = (window.left + window.width - left + 1) & ~1
    part: Any = av.VideoFrame(width, height, picture.format.name)
    for index, step in enumerate((1, 2, 2)):
        source, target = picture.planes[index], part.planes[index]
        rows = np.frombuffer(source, np.uint8).reshape(source.height, source.line_size)
        view = np.frombuffer(target, np.uint8).reshape(target.height, target.line_size)
        view[:, : width // step] = rows[top // step :, left // step :][
            : height // step, : width // step
        ]
    part.colorspace, part.color_range = picture.colorspace, picture.color_range
    return part


def _to_rgb(picture: Any, converter: VideoReformatter) -> UInt8[np.ndarray, "h w 3"]:
    converted: Any = converter.reformat(picture, format="rgb24", threads=1)
    plane = converted.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
