"""`rgb`: a video, or a JPEG for a still; the record names the container. Files of a source are kept as they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from pvit_data.codecs.still import decode_still, encode_still, probe_still
from pvit_data.codecs.window import Asked, Files, Frames, Told, Window
from pvit_data.errors import FormatError
from pvit_data.sample.sample import CONTAINERS, Container, EncodedMedia

STILL: Container = "jpg"
BLOCK_BYTES = 1 << 28  # decoded at a time by `check_pictures`


class Pictures(NamedTuple):
    """What encoded pictures say about themselves: frames, size, and a rate that is 0 where unknown."""

    num_frames: int
    height: int
    width: int
    fps: float


def probe_pictures(media: EncodedMedia) -> Pictures:
    """Reads length, size and rate without decoding.

    Raises:
        FormatError: if it is no such file.
    """
    if media.extension == STILL:
        still = probe_still(media.data)
        return Pictures(1, still.height, still.width, 0.0)
    from pvit_data.codecs.video import probe_video  # loads FFmpeg

    video = probe_video(media.data)
    return Pictures(video.num_frames, video.height, video.width, video.fps)


def encode_pictures(
    rgb: UInt8[np.ndarray, "t h w 3"] | EncodedMedia, fps: float
) -> tuple[EncodedMedia, Pictures]:
    """The file to store, and what it holds; frames become a JPEG or an MP4.

    Raises:
        FormatError: if there is no frame, or an encoded file is not what it is called.
    """
    if isinstance(rgb, EncodedMedia):
        return _storable(rgb)
    if len(rgb) == 0:
        raise FormatError("rgb has no frames")
    size = Pictures(len(rgb), rgb.shape[1], rgb.shape[2], 0.0)
    if len(rgb) == 1:
        return EncodedMedia(encode_still(rgb[0]), STILL), size
    from pvit_data.codecs.video import encode_video

    return EncodedMedia(encode_video(rgb, fps), "mp4"), size


def _storable(media: EncodedMedia) -> tuple[EncodedMedia, Pictures]:
    """A file as it is where it may be read by frame number, else encoded anew."""
    if media.extension == STILL:
        return media, probe_pictures(media)
    from pvit_data.codecs.video import storable

    data, video = storable(media.data)
    kept = media if data is media.data else EncodedMedia(data, "mp4")
    return kept, Pictures(video.num_frames, video.height, video.width, video.fps)


def decode_pictures(
    name: str, told: Told, files: Files, asked: Asked
) -> tuple[dict[str, UInt8[np.ndarray, "n h w 3"]], Frames | None]:
    """The asked frames, and of each the asked window.

    Raises:
        FormatError: if they do not decode to what the record says.
    """
    container = told["rgb_encoding"]
    size = (told["height"], told["width"])
    if container not in CONTAINERS:
        raise FormatError(f"rgb encoding {container!r} is not one of {list(CONTAINERS)}")
    data = files[f"rgb.{container}"]
    picks = _inside(asked.frames, told["frames"])
    if container == STILL:
        if told["frames"] != 1:
            raise FormatError(f"rgb is a still, the record says {told['frames']} frames")
        rgb = _decode_still(data, picks, size, asked.window)
    else:
        from pvit_data.codecs.video import decode_video

        every = range(told["frames"]) if picks is None else picks
        rgb = decode_video(data, every, size, asked.window, checked=asked.checked)
    expected = (told["frames"] if picks is None else len(picks), *size, 3)
    if rgb.shape not in {(expected[0], *side, 3) for side in _sides(size, asked.window)}:
        raise FormatError(f"rgb decodes to {rgb.shape}, the record says {expected}")
    return {name: rgb}, picks


def _inside(frames: Frames | None, num_frames: int) -> Frames | None:
    if frames is None:
        return None
    asked = np.asarray(frames)
    return asked[(asked >= 0) & (asked < num_frames)]


def _decode_still(
    data: bytes, picks: Frames | None, size: tuple[int, int], window: Window | None
) -> UInt8[np.ndarray, "n h w 3"]:
    still = decode_still(data, window, size)[None]
    return still if picks is None else still[picks]


def _sides(size: tuple[int, int], window: Window | None) -> set[tuple[int, int]]:
    """Sizes that frames may come back with: a window may be shrunk or not."""
    if window is None:
        return {size}
    return {(window.height // by, window.width // by) for by in (1, window.shrink)}


def check_pictures(told: Told, files: Files) -> None:
    """Decodes every frame, some at a time.

    Raises:
        FormatError: if there are not as many as the record says, or one does not decode to its size.
    """
    container = told["rgb_encoding"]
    num_frames = told["frames"]
    if container not in CONTAINERS:
        raise FormatError(f"rgb encoding {container!r} is not one of {list(CONTAINERS)}")
    if container != STILL:
        from pvit_data.codecs.video import check_stored

        check_stored(files[f"rgb.{container}"], num_frames)
    block = max(1, BLOCK_BYTES // (3 * max(1, told["height"] * told["width"])))
    for start in range(0, num_frames, block):
        frames = np.arange(start, min(start + block, num_frames))
        decode_pictures("rgb", told, files, Asked(frames))
