"""Clips: colours, exact frames after seeking, odd sizes, other containers, limits."""

import io
import os

import av
import numpy as np
import pytest

from pvit_data.codecs.video import VideoInfo, decode_video, encode_video, probe_video
from pvit_data.errors import FormatError
from pvit_data.sample import limits
from tests.pvit_data.samples import clip

TRIALS = 5000 if os.environ.get("PVIT_TORTURE") else 100


def numbered(count: int, size: int = 64) -> np.ndarray:
    """Each frame has its own grey, so that a wrong frame is seen at once."""
    return np.stack([np.full((size, size, 3), 20 + 4 * i, np.uint8) for i in range(count)])


@pytest.fixture(scope="module")
def video() -> bytes:
    return encode_video(numbered(50), 25, gop=8)


def test_colours_come_back() -> None:
    frames = np.zeros((4, 32, 48, 3), np.uint8)
    frames[:, :, :24] = (200, 40, 90)
    frames[:, :, 24:] = (20, 180, 240)
    assert np.abs(decode_video(encode_video(frames, 10)).astype(int) - frames).mean() < 3


def test_every_choice_of_frames_is_exact(video: bytes) -> None:
    rng = np.random.default_rng(0)
    assert probe_video(video) == VideoInfo(50, 25.0, 64, 64)
    whole = decode_video(video)
    assert np.abs(whole[:, 30, 30, 0].astype(int) - numbered(50)[:, 30, 30, 0]).max() <= 2
    for _ in range(30):
        picks = rng.integers(0, 50, rng.integers(0, 9))
        np.testing.assert_array_equal(decode_video(video, picks), whole[picks])


def test_odd_sizes_are_padded_and_cut() -> None:
    frames = clip(np.random.default_rng(0), 5, 33, 47)
    data = encode_video(frames, 10)
    assert decode_video(data).shape == (5, 34, 48, 3)
    found = decode_video(data, None, (33, 47))
    assert found.shape == frames.shape
    assert np.abs(found.astype(int) - frames).mean() < 6


@pytest.mark.parametrize(
    ("container", "codec", "pixels"),
    [
        ("webm", "libvpx", "yuv420p"),
        ("webm", "libvpx-vp9", "yuv420p"),
        ("avi", "mpeg4", "yuv420p"),
        ("mp4", "libx264", "yuv444p"),
    ],
)
def test_other_containers_and_codecs(container: str, codec: str, pixels: str) -> None:
    """VP8 has packets that are never shown (alternate references): they must not be counted."""
    frames = clip(np.random.default_rng(1), 40, 64, 64)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        options = {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k"} if codec == "libvpx" else {}
        stream = out.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    data = buffer.getvalue()
    assert probe_video(data) == VideoInfo(40, 10.0, 64, 64)
    whole = decode_video(data)
    assert whole.shape == (40, 64, 64, 3)
    picks = np.array([39, 0, 17, 17, 3])
    np.testing.assert_array_equal(decode_video(data, picks), whole[picks])


def test_tagged_colour_matrix_is_obeyed() -> None:
    """The same BT.709 planes, tagged and untagged, give different colours; the tagged ones are right."""
    found = []
    for tag in (1, 2):
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as out:
            stream = out.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            stream.codec_context.colorspace = tag
            colour = np.full((32, 32, 3), (200, 40, 90), np.uint8)
            frame = av.VideoFrame.from_ndarray(colour, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="itu709"
            )
            frame.pts = 0
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        found.append(decode_video(buffer.getvalue())[0, 9, 9].astype(int))
    assert np.abs(found[0] - (200, 40, 90)).max() <= 3
    assert np.abs(found[1] - (200, 40, 90)).max() > 8


def test_wrong_frames_and_damage(video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="has 50 frames, asked for 3 to 50"):
        decode_video(video, np.array([3, 50]))
    for data in (b"", b"RIFF", b"\x00" * 300, video[:100], video[: len(video) // 2]):
        with pytest.raises(FormatError):
            decode_video(data)
    with pytest.raises(FormatError, match="neither MP4, WebM nor AVI"):
        decode_video(b"ffconcat version 1.0\nfile secret.mp4\n")
    monkeypatch.setattr(limits, "MAX_DECODED_BYTES", 1000)
    with pytest.raises(FormatError, match="ask for fewer frames"):
        decode_video(video)
    monkeypatch.setattr(limits, "MAX_PIXELS", 1000)
    with pytest.raises(FormatError, match="claims 64 x 64 pixels"):
        probe_video(video)


@pytest.mark.torture
def test_damaged_bytes_raise_only_our_error(video: bytes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(TRIALS):
        data = bytearray(video)
        for position in rng.integers(0, len(data), 8):
            data[position] ^= 1 << rng.integers(8)
        try:
            decode_video(bytes(data))
        except FormatError:
            continue
