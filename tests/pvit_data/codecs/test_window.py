"""Decoding a part of a picture gives exactly that part of the whole one."""

import io

import numpy as np
import pytest
from PIL import Image

from pvit_data.codecs.still import decode_still, encode_still
from pvit_data.codecs.video import decode_video, encode_video
from pvit_data.codecs.window import Window
from pvit_data.errors import FormatError

RNG = np.random.default_rng(0)
SMOOTH = (np.sin(np.arange(96)[:, None, None] / [9, 7, 5] + np.arange(128)[:, None] / [11, 13, 6]) * 100 + 128).astype(
    np.uint8
)
WINDOWS = [Window(0, 0, 96, 128), Window(3, 5, 40, 51), Window(55, 77, 40, 50), Window(95, 127, 1, 1)]


@pytest.mark.parametrize(("height", "width"), [(96, 128), (95, 127)])
def test_a_window_of_a_video(height: int, width: int) -> None:
    clip = np.stack([np.roll(SMOOTH[:height, :width], shift, 1) for shift in range(5)])
    clip = (clip // 2 + RNG.integers(0, 100, clip.shape)).astype(np.uint8)
    data = encode_video(clip, 30.0)
    frames = np.array([0, 2, 4])
    whole = decode_video(data, frames, (height, width))
    for w in WINDOWS[1:3]:
        part = decode_video(data, frames, (height, width), w)
        np.testing.assert_array_equal(part, whole[:, w.top : w.top + w.height, w.left : w.left + w.width])
    assert decode_video(data, np.array([], int), None, WINDOWS[1]).shape == (0, 40, 51, 3)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_of_a_still(window: Window) -> None:
    data = encode_still(SMOOTH)
    whole = decode_still(data)
    rows, columns = slice(window.top, window.top + window.height), slice(window.left, window.left + window.width)
    np.testing.assert_array_equal(decode_still(data, window, (96, 128)), whole[rows, columns])


@pytest.mark.parametrize("shrink", [2, 4])
def test_a_shrunken_window_averages_the_pixels_it_stands_for(shrink: int) -> None:
    data = encode_still(SMOOTH)
    part = decode_still(data, Window(16, 32, 64, 48, shrink))
    assert part.shape == (64 // shrink, 48 // shrink, 3)
    blocks = decode_still(data)[16:80, 32:80].reshape(64 // shrink, shrink, 48 // shrink, shrink, 3).mean((1, 3))
    assert np.abs(part - blocks).mean() < 1.5
    shifted = np.roll(blocks, 1, 1)
    assert np.abs(part - shifted).mean() > 3  # the comparison would see a shift by one pixel


def test_turned_stills_are_cut_as_they_are_shown() -> None:
    image, buffer = Image.fromarray(SMOOTH), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(buffer, "JPEG", exif=exif)
    whole = decode_still(buffer.getvalue())
    assert whole.shape == (128, 96, 3)
    part = decode_still(buffer.getvalue(), Window(8, 4, 40, 60, 2), (128, 96))
    np.testing.assert_array_equal(part, whole[8:48, 4:64])


def test_windows_outside_and_wrong_sizes_are_refused() -> None:
    still, clip = encode_still(SMOOTH), encode_video(SMOOTH[None], 30.0)
    for window in (Window(90, 0, 10, 10), Window(-1, 0, 10, 10), Window(0, 0, 0, 5)):
        with pytest.raises(FormatError, match="is not inside a picture of 96 x 128"):
            decode_still(still, window)
        with pytest.raises(FormatError, match="is not inside a picture of 96 x 128"):
            decode_video(clip, None, None, window)
    with pytest.raises(FormatError, match=r"JPEG is \(96, 128\), expected \(96, 127\)"):
        decode_still(still, WINDOWS[0], (96, 127))
    with pytest.raises(FormatError, match=r"video is \(96, 128\), expected \(90, 128\)"):
        decode_video(clip, None, (90, 128), Window(0, 0, 5, 5))
