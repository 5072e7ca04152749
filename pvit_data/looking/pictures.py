"""Pictures of annotations and predictions: colour maps, boxes, skeletons, captions and contact grids.

Everything takes and returns uint8 RGB arrays; only numpy and Pillow are used.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from pvit_data.looking.colours import INVALID, LEFT, MIDDLE, RIGHT, class_colours, palette, ramp
from pvit_data.sample.kinect25 import NAMES, PARENTS
from pvit_data.sample.labels import LabelSpace


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
    font = _font(max(9, height // 18))
    for i, box in enumerate(np.asarray(xyxy, np.float64)):
        x1, x2 = sorted((box[0] * width, box[2] * width - 1))
        y1, y2 = sorted((box[1] * height, box[3] * height - 1))
        shade = _rgb(shades[i])
        draw.rectangle((x1, y1, x2, y2), outline=shade, width=max(1, height // 112))
        if i < len(labels) and labels[i]:
            draw.text(
                (x1 + 2, y1 + 1),
                labels[i],
                fill=shade,
                font=font,
                stroke_width=1,
                stroke_fill=(0, 0, 0),
            )
    return np.asarray(image)


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
    width = max(1, picture.shape[0] // 90)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0 and shown[joint] and shown[parent]:
            line = [tuple(map(float, joints[parent])), tuple(map(float, joints[joint]))]
            draw.line(line, fill=_side(joint), width=width)
    for joint in range(len(NAMES)):
        if shown[joint]:
            x, y = map(float, joints[joint])
            draw.ellipse((x - width, y - width, x + width, y + width), fill=_side(joint))
    return np.asarray(image)


def pose_picture(
    joints: Float[np.ndarray, "25 3"],
    size: int,
    valid: Bool[np.ndarray, "25"] | None = None,
    span: float = 2.2,
) -> UInt8[np.ndarray, "size size 3"]:
    """A root-relative pose seen from the camera, without perspective, on a dark ground.

    Args:
        joints: metres, camera axes, relative to the root.
        size: side of the picture, pixels.
        valid: joints to draw; default: all.
        span: metres that the side shows.
    """
    ground = np.full((size, size, 3), 24, np.uint8)
    return draw_skeleton(ground, joints[:, :2] * (size / span) + size / 2, valid)


def _side(joint: int) -> tuple[int, int, int]:
    return LEFT if "Left" in NAMES[joint] else RIGHT if "Right" in NAMES[joint] else MIDDLE


def _rgb(colour: UInt8[np.ndarray, "3"]) -> tuple[int, int, int]:
    r, g, b = (int(c) for c in colour)
    return r, g, b


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def captioned(
    picture: UInt8[np.ndarray, "h w 3"],
    text: str,
    height: int = 18,
    ground: tuple[int, int, int] = (18, 18, 18),
) -> UInt8[np.ndarray, "h2 w 3"]:
    """A picture with a strip of text above it; text that is too long is cut with an ellipsis."""
    width = picture.shape[1]
    strip = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(strip)
    font = _font(max(8, round(height * 0.62)))
    shown = text
    while shown and draw.textlength(shown, font=font) > width - 6:
        shown = shown.removesuffix("…")[:-1].rstrip() + "…" if len(shown) > 1 else ""
    draw.text((3, height // 2), shown, fill=(230, 230, 230), font=font, anchor="lm")
    return np.concatenate([np.asarray(strip), picture])


def grid(
    rows: Sequence[Sequence[UInt8[np.ndarray, "h w 3"]]],
    gap: int = 4,
    ground: tuple[int, int, int] = (18, 18, 18),
) -> UInt8[np.ndarray, "H W 3"]:
    """A contact sheet: pictures of any sizes in rows, aligned in columns, short rows left open at their end.

    >>> tile = np.zeros((10, 20, 3), np.uint8)
    >>> grid([[tile, tile], [tile]]).shape
    (32, 52, 3)
    """
    columns = max((len(row) for row in rows), default=0)
    heights = [max((tile.shape[0] for tile in row), default=0) for row in rows]
    widths = [
        max((row[i].shape[1] for row in rows if i < len(row)), default=0) for i in range(columns)
    ]
    height, width = sum(heights) + gap * (len(rows) + 1), sum(widths) + gap * (columns + 1)
    sheet = np.full((height, width, 3), ground, np.uint8)
    y = gap
    for row, row_height in zip(rows, heights, strict=True):
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
