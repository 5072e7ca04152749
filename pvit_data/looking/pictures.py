"""Pictures of annotations and predictions: colour maps, boxes, skeletons, captions and contact grids.

Everything takes and returns uint8 RGB arrays; only numpy and Pillow are used.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from pvit_data.looking.colours import (
    INVALID,
    LEFT,
    MIDDLE,
    RIGHT,
    class_colours,
    palette,
    ramp,
)
from pvit_data.looking.colours import (
    Mark as Mark,
)
from pvit_data.sample.kinect25 import NAMES, PARENTS
from pvit_data.sample.labels import LabelSpace

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
GROUND, INK, DARK = (18, 18, 18), (230, 230, 230), (0, 0, 0)
CAPTION = 18  # pixels of a strip above or below a picture
HEADING = 22  # pixels of a line above a row


def depth_range(depth: Float[np.ndarray, "..."]) -> tuple[float, float]:
    """Near and far of a picture's scale: the 2nd and 98th percentile of valid (positive, finite) depths, metres."""
    valid = depth[np.isfinite(depth) & (depth > 0)]
    if not len(valid):
        return 0.0, 1.0
    near, far = np.percentile(valid, (2, 98))
    return float(near), float(max(far, near + 1e-3))


def depth_picture(
    depth: Float[np.ndarray, "h w"], scale: tuple[float, float] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A depth map in colours.

    Args:
        depth: metres; 0 or not finite = invalid, drawn dark grey.
        scale: depths of the two ends of the ramp; default: the map's own percentiles.
    """
    near, far = scale or depth_range(depth)
    valid = np.isfinite(depth) & (depth > 0)
    level = np.clip((np.where(valid, depth, near) - near) / (far - near), 0, 1)
    picture: UInt8[np.ndarray, "h w 3"] = ramp()[np.rint(255 * level).astype(int)]
    picture[~valid] = INVALID
    return picture


def normal_picture(
    normal: Float[np.ndarray, "h w 3"], camera: bool = True
) -> UInt8[np.ndarray, "h w 3"]:
    """A normal map in the customary colours.

    Args:
        normal: vectors of any length; zero = invalid.
        camera: whether axes are the camera's (right, down, forward): then red = right, green = up, blue = towards the
            viewer. World normals are drawn with their own axes.
    """
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    unit = np.divide(
        normal, length, out=np.zeros_like(normal, dtype=np.float64), where=length > 1e-6
    )
    if camera:
        unit = unit * (1, -1, -1)
    picture: UInt8[np.ndarray, "h w 3"] = np.rint(127.5 * (unit + 1)).astype(np.uint8)
    picture[length[..., 0] <= 1e-6] = INVALID
    return picture


def segm_picture(
    segm: Integer[np.ndarray, "h w"], space: LabelSpace | None = None, ignore: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A segmentation in class colours; ignored and unknown ids are dark grey."""
    table = class_colours(space, int(segm.max(initial=0)) + 1)
    ignored = space.ignore if space and ignore is None else ignore
    known = (segm >= 0) & (segm < len(table)) & (segm != (-1 if ignored is None else ignored))
    picture = table[np.where(known, segm, 0)]
    picture[~known] = INVALID
    return picture


def blend(
    picture: UInt8[np.ndarray, "h w 3"], over: UInt8[np.ndarray, "h w 3"], opacity: float = 0.5
) -> UInt8[np.ndarray, "h w 3"]:
    """`over` laid onto `picture`."""
    mixed = (1 - opacity) * picture.astype(np.float64) + opacity * over
    return np.rint(mixed).astype(np.uint8)


def resize(
    picture: UInt8[np.ndarray, "h w 3"], height: int, width: int, smooth: bool = True
) -> UInt8[np.ndarray, "height width 3"]:
    """A picture at another size; `smooth=False` keeps class colours pure."""
    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize((width, height), how))


def draw_boxes(
    picture: UInt8[np.ndarray, "h w 3"],
    xyxy: Float[np.ndarray, "n 4"],
    labels: Sequence[str] = (),
    colours: UInt8[np.ndarray, "n 3"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Boxes with labels.

    Args:
        picture: left untouched; the result is a copy.
        xyxy: corners in [0, 1], half-open.
        labels: a text per box, or none.
        colours: one per box; default: the class palette in order.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    height, width = picture.shape[:2]
    shades = palette(len(xyxy)) if colours is None else colours
    thick = max(1, round(height / 70))
    corners = []
    for box, shade in zip(np.asarray(xyxy, np.float64), shades, strict=False):
        x1, x2 = sorted((box[0] * width, box[2] * width - 1))
        y1, y2 = sorted((box[1] * height, box[3] * height - 1))
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=DARK)  # seen on a light ground
        draw.rectangle((x1, y1, x2, y2), outline=_rgb(shade), width=thick)
        corners.append((x1, y1))
    tags = _Tags(draw, width, height)
    for place, text, shade in zip(corners, labels, shades, strict=False):
        if text:
            tags.put(text, place, _rgb(shade))
    return np.asarray(image)


class _Tags:
    """Labels that can be read on any ground, and do not lie on each other while there is room.

    Args:
        draw: the picture.
        width, height: of it.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
        self._draw, self._width, self._height = draw, width, height
        self._font = _font(max(9, height // 18))
        self._taken: list[tuple[float, float, float, float]] = []

    def put(self, text: str, place: tuple[float, float], shade: tuple[int, int, int]) -> None:
        """Writes a text on its colour: above a place, else below it, else further down."""
        left, top, right, bottom = self._draw.textbbox((0, 0), text, font=self._font)
        w, h = right - left + 4, bottom - top + 4
        x = min(max(place[0], 0), max(self._width - w, 0))
        below = [place[1] + 1 + number * h for number in range(8)]
        fitting = [y for y in (place[1] - h, *below) if 0 <= y <= self._height - h]
        free = [y for y in fitting if not self._covers(x, y, w, h)]
        y = next(iter(free or fitting), 0.0)
        self._taken.append((x, y, x + w, y + h))
        self._draw.rectangle((x, y, x + w - 1, y + h - 1), fill=shade)
        self._draw.text((x + 2 - left, y + 2 - top), text, fill=_ink(shade), font=self._font)

    def _covers(self, x: float, y: float, w: float, h: float) -> bool:
        return any(
            x < right and left < x + w and y < bottom and top < y + h
            for left, top, right, bottom in self._taken
        )


def _ink(shade: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever is read better on a colour."""
    light = np.dot(shade, (0.2126, 0.7152, 0.0722))
    return (0, 0, 0) if light > 110 else (255, 255, 255)


def draw_skeleton(
    picture: UInt8[np.ndarray, "h w 3"],
    joints: Float[np.ndarray, "25 2"],
    valid: Bool[np.ndarray, "25"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """The 25 Kinect joints over a picture: left limbs orange, right ones blue.

    Args:
        picture: left untouched; the result is a copy.
        joints: pixels.
        valid: joints to draw; default: all.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    shown = np.ones(len(NAMES), bool) if valid is None else valid
    width = max(1, picture.shape[0] // 70)
    for rim in (1, 0):  # first a dark rim below all of it, which is seen on a light ground
        for joint, parent in enumerate(PARENTS):
            if parent >= 0 and shown[joint] and shown[parent]:
                line = [tuple(map(float, joints[parent])), tuple(map(float, joints[joint]))]
                draw.line(line, fill=DARK if rim else _side(joint), width=width + 2 * rim)
        for joint in np.flatnonzero(shown).tolist():
            x, y = map(float, joints[joint])
            r = width + rim
            draw.ellipse((x - r, y - r, x + r, y + r), fill=DARK if rim else _side(joint))
    return np.asarray(image)


def pose_picture(
    joints: Float[np.ndarray, "25 3"],
    size: int,
    valid: Bool[np.ndarray, "25"] | None = None,
    span: float = 2.2,
    over: UInt8[np.ndarray, "h w 3"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """A root-relative pose seen from the camera, without perspective, its root in the middle.

    Args:
        joints: metres, camera axes, relative to the root.
        size: side of the picture, pixels.
        valid: joints to draw; default: all.
        span: metres that the side shows.
        over: the picture below it, which is dimmed; default: a dark square.
    """
    ground = np.full((size, size, 3), 24, np.uint8) if over is None else over // 2
    middle = np.array(ground.shape[1::-1]) / 2
    return draw_skeleton(ground, joints[:, :2] * (size / span) + middle, valid)


def _side(joint: int) -> tuple[int, int, int]:
    return LEFT if "Left" in NAMES[joint] else RIGHT if "Right" in NAMES[joint] else MIDDLE


def _rgb(colour: UInt8[np.ndarray, "3"]) -> tuple[int, int, int]:
    r, g, b = (int(c) for c in colour)
    return r, g, b


@functools.lru_cache(maxsize=16)
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def captioned(
    picture: UInt8[np.ndarray, "h w 3"],
    text: str,
    height: int = CAPTION,
    ground: tuple[int, int, int] = GROUND,
    legend: Sequence[Mark] | None = None,
) -> UInt8[np.ndarray, "h2 w 3"]:
    """A picture with a strip of text above it, and one that explains its colours below it.

    Args:
        picture: of any size.
        text: of one line; what is too long is cut with an ellipsis.
        height: of each strip.
        ground: colour of the strips.
        legend: as many entries as fit are shown, and how many others there are. None: no strip; (): an empty one.
    """
    width = picture.shape[1]
    parts = [_strip(text, width, height, ground), picture]
    if legend is not None:
        parts.append(_legend(legend, width, height, ground))
    return np.concatenate(parts)


def _strip(
    text: str, width: int, height: int, ground: tuple[int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    strip = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(strip)
    font = _font(max(8, round(height * 0.62)))
    draw.text((3, height // 2), _cut(draw, font, text, width - 6), fill=INK, font=font, anchor="lm")
    return np.asarray(strip)


def _cut(draw: ImageDraw.ImageDraw, font: Font, text: str, width: float) -> str:
    """As much of a text as fits, with an ellipsis where that is not all."""
    shown = text
    while shown and draw.textlength(shown, font=font) > width:
        shown = shown.removesuffix("…")[:-1].rstrip() + "…" if len(shown) > 1 else ""
    return shown


def _legend(
    marks: Sequence[Mark], width: int, height: int, ground: tuple[int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    strip = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(strip)
    font = _font(max(8, round(height * 0.55)))
    x = 3.0
    for number, mark in enumerate(marks):
        left = len(marks) - number
        rest = draw.textlength(f"+{left - 1}", font=font) + 4 if left > 1 else 0
        needed = sum(_mark_widths(draw, font, mark, height))
        if x + needed > width - rest and number:
            draw.text((x, height // 2), f"+{left}", fill=INK, font=font, anchor="lm")
            break
        _put_mark(draw, font, mark, x, height, width)
        x += needed
    return np.asarray(strip)


def _mark_widths(
    draw: ImageDraw.ImageDraw, font: Font, mark: Mark, height: int
) -> tuple[float, float, float]:
    """Pixels of the text before the colours, of the colours, and of the text behind them."""
    before = draw.textlength(mark.start, font=font) + 4 if mark.start else 0
    colours = 3 * height if len(mark.colours) > 1 else height // 2
    return before, colours, 3 + draw.textlength(mark.text, font=font) + 6


def _put_mark(
    draw: ImageDraw.ImageDraw, font: Font, mark: Mark, x: float, height: int, width: int
) -> None:
    before, wide, _ = _mark_widths(draw, font, mark, height)
    middle = height // 2
    draw.text((x, middle), mark.start, fill=INK, font=font, anchor="lm")
    x += before
    for column in range(int(wide)):
        colour = mark.colours[column * len(mark.colours) // int(wide)]
        draw.line((x + column, height // 4, x + column, 3 * height // 4), fill=_rgb(colour))
    x += wide + 3
    text = _cut(draw, font, mark.text, width - x)
    draw.text((x, middle), text, fill=INK, font=font, anchor="lm")


def grid(
    rows: Sequence[Sequence[UInt8[np.ndarray, "h w 3"]]],
    gap: int = 4,
    ground: tuple[int, int, int] = GROUND,
    headings: Sequence[str] = (),
) -> UInt8[np.ndarray, "H W 3"]:
    """A contact sheet: pictures of any sizes in rows, aligned in columns, short rows left open at their end.

    Args:
        rows: the pictures.
        gap: pixels between them.
        ground: colour of what they leave open.
        headings: a line above each row, as wide as the sheet; "" = none.

    Example:
        >>> tile = np.zeros((10, 20, 3), np.uint8)
        >>> grid([[tile, tile], [tile]]).shape
        (32, 52, 3)
    """
    columns = max((len(row) for row in rows), default=0)
    heights = [max((tile.shape[0] for tile in row), default=0) for row in rows]
    widths = [
        max((row[i].shape[1] for row in rows if i < len(row)), default=0) for i in range(columns)
    ]
    above = [*headings, *[""] * (len(rows) - len(headings))]
    height = sum(heights) + gap * (len(rows) + 1) + HEADING * sum(map(bool, above))
    width = sum(widths) + gap * (columns + 1)
    sheet = np.full((height, width, 3), ground, np.uint8)
    y = gap
    for row, row_height, heading in zip(rows, heights, above, strict=True):
        if heading:
            sheet[y : y + HEADING, gap : width - gap] = _strip(
                heading, width - 2 * gap, HEADING, ground
            )
            y += HEADING
        x = gap
        for tile, column_width in zip(row, widths, strict=False):
            sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            x += column_width + gap
        y += row_height + gap
    return sheet


def png(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A picture as a PNG file."""
    import io

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
