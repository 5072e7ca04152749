"""Every container with every codec that PyAV writes into it: frames by number are those of the decoder."""

import io

import av
import numpy as np
import pytest

from pvit_converters.raw.video import clip_of
from pvit_data.codecs.video import decode_video, storable, survey
from pvit_data.sample.sample import EncodedMedia
from tests.pvit_data import odd_videos as odd

CONTAINERS = ("avi", "mp4", "matroska", "webm")
QUIET = "log-level=0:pools=none:frame-threads=1:wpp=0"
VPX = {"crf": "4", "b": "9M", "cpu-used": "8"}
ALT_REF = {**VPX, "auto-alt-ref": "1", "lag-in-frames": "16", "g": "20"}  # with frames that are never shown
ENCODERS = {
    "mpeg4": ("mpeg4", {"qmin": "1", "qmax": "2", "b": "9M", "g": "9"}),
    "mpeg4 with B-frames": ("mpeg4", {"qmin": "1", "qmax": "2", "b": "9M", "g": "9", "bf": "2"}),
    "h264": ("libx264", {**odd.SHARP, "bf": "0", "g": "9"}),
    "h264 with B-frames": ("libx264", odd.B_FRAMES),
    "h264 of fields": ("libx264", {**odd.SHARP, "flags": "+ildct+ilme", "bf": "2", "g": "9"}),
    "h264, open": ("libx264", {**odd.SHARP, "bf": "3", "x264-params": "open-gop=1:keyint=9:b-adapt=0"}),
    "hevc": ("libx265", {"crf": "8", "x265-params": f"{QUIET}:bframes=0:keyint=9"}),
    "hevc with B-frames": ("libx265", {"crf": "8", "x265-params": f"{QUIET}:bframes=3:b-adapt=0:keyint=9:open-gop=1"}),
    "vp8": ("libvpx", {**VPX, "deadline": "realtime", "g": "9"}),
    "vp8 with hidden frames": ("libvpx", ALT_REF),
    "vp9": ("libvpx-vp9", {**VPX, "deadline": "realtime", "g": "9"}),
    "vp9 with hidden frames": ("libvpx-vp9", ALT_REF),
    "av1": ("libsvtav1", {"crf": "8", "preset": "10", "svtav1-params": "lp=1:pred-struct=1", "g": "9"}),
    "av1 with hidden frames": ("libsvtav1", {"crf": "8", "preset": "10", "svtav1-params": "lp=1", "g": "20"}),
}  # fmt: skip


def is_written(container: str, codec: str) -> bool:
    """Whether PyAV puts a codec into a container: it refuses some that FFmpeg would not, such as AV1 in WebM."""
    with av.open(io.BytesIO(), "w", format=container) as file:
        try:
            file.add_stream(codec, rate=25)
        except ValueError:
            return False
    return True


PAIRS = [(c, e) for c in CONTAINERS for e, (codec, _) in ENCODERS.items() if is_written(c, codec)]


REFUSED = {(c, e) for c in CONTAINERS for e in ENCODERS if e.startswith("av1")}
"""Streams that PyAV does not copy: it looks for an encoder with the name of AV1's decoder."""


def written(container: str, encoder: str) -> bytes:
    codec, options = ENCODERS[encoder]
    return odd.encode(container, codec, options, odd.frames())


def test_most_pairs_exist() -> None:
    assert len(PAIRS) >= 40
    assert {encoder for container, encoder in PAIRS if container == "matroska"} == set(ENCODERS)


@pytest.mark.torture
@pytest.mark.parametrize(("container", "encoder"), PAIRS)
def test_every_container_with_every_codec(container: str, encoder: str) -> None:
    data, rng = written(container, encoder), np.random.default_rng(0)
    for n in rng.permutation(odd.COUNT):
        assert odd.numbers(decode_video(data, np.array([n]))) == [n]
    assert odd.numbers(decode_video(data)) == list(range(odd.COUNT))
    assert survey(data).info.num_frames == odd.COUNT
    stored, info = storable(data)
    assert info.num_frames == odd.COUNT
    whole = decode_video(stored)
    for _ in range(12):
        picks = rng.integers(0, odd.COUNT, 6)
        assert odd.numbers(decode_video(data, picks)) == list(picks)
        np.testing.assert_array_equal(decode_video(stored, picks, checked=True), whole[picks])
    for copy_video in (False, True):
        rgb = clip_of(data, "x", copy_video=copy_video).rgb
        frames = decode_video(rgb.data) if isinstance(rgb, EncodedMedia) else rgb
        assert odd.numbers(frames) == list(range(odd.COUNT))


@pytest.mark.torture
@pytest.mark.parametrize(("container", "encoder"), [p for p in PAIRS if p not in REFUSED])
def test_packets_timed_by_their_order_in_the_file(container: str, encoder: str) -> None:
    """A careless remux; where there are no B-frames it is right."""
    source = written("avi" if encoder.startswith(("mpeg4", "h264")) else "matroska", encoder)
    data = odd.remuxed(source, container, by_file_order=True)
    expected = list(range(odd.COUNT))
    assert odd.numbers(decode_video(data)) == expected
    for n in np.random.default_rng(0).permutation(odd.COUNT):
        assert odd.numbers(decode_video(data, np.array([n]))) == [n]
    stored, _ = storable(data)
    picks = np.random.default_rng(1).permutation(odd.COUNT)
    assert odd.numbers(decode_video(stored, picks, checked=True)) == list(picks)
