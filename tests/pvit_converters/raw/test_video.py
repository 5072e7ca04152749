"""What becomes of other people's videos in a conversion: whatever converts can be read and trained on."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_converters.engine.run import Job, convert
from pvit_converters.raw.video import Clip, clip_of
from pvit_converters.ssv2.converter import SSv2Converter, SSv2Options
from pvit_data.clips.config import ClipConfig
from pvit_data.codecs.video import decode_video, encode_video
from pvit_data.errors import SourceError
from pvit_data.sample.sample import EncodedMedia
from pvit_data.validate import validate
from tests.pvit_data import odd_videos as odd

RE_ENCODED = {
    "h264_b.avi": (),
    "mpeg4_b.avi": (),
    "invented_times.mp4": ("unordered-video-re-encoded",),
    "intra_refresh.mp4": ("unseekable-video-re-encoded",),
}


@pytest.fixture(scope="module")
def videos() -> dict[str, bytes]:
    return odd.odd_videos()


def shown(clip: Clip) -> np.ndarray:
    """Its frames as they will be read."""
    return decode_video(clip.rgb.data) if isinstance(clip.rgb, EncodedMedia) else clip.rgb


@pytest.mark.parametrize("name", odd.odd_videos())
def test_bytes_are_kept_only_of_sound_files(videos: dict[str, bytes], name: str) -> None:
    clip = clip_of(videos[name], name)
    assert isinstance(clip.rgb, EncodedMedia) is (name not in RE_ENCODED)
    assert clip.warnings == RE_ENCODED.get(name, ())
    assert odd.numbers(shown(clip)) == list(range(odd.COUNT))
    assert (clip.num_frames, clip.height, clip.width) == (odd.COUNT, odd.HEIGHT, odd.WIDTH)


@pytest.mark.parametrize("name", odd.MIRRORS)
def test_mirrored_files_are_kept_and_re_encoded_as_they_are_shown(name: str) -> None:
    columns, show = odd.MIRRORS[name]
    data = odd.encode("mp4", "libx264", odd.SHARP, odd.noise())
    expected, turned = show(decode_video(data)), odd.with_matrix(data, columns)
    np.testing.assert_array_equal(shown(clip_of(turned, name)), expected)
    avi = odd.with_matrix(odd.remuxed(data, "mp4", by_file_order=True), columns)  # B-frames: not in order
    clip = clip_of(avi, name)
    assert isinstance(clip.rgb, np.ndarray)
    np.testing.assert_array_equal(clip.rgb, expected)


@pytest.mark.parametrize("name", [*RE_ENCODED, "phone.mp4"])
def test_long_videos_are_encoded_picture_by_picture(
    videos: dict[str, bytes], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into memory at once becomes the same bytes as what does."""
    hevc = {"preset": "ultrafast", "x265-params": "log-level=none"}
    phone = odd.with_matrix(odd.encode("mp4", "libx265", hevc, odd.noise()), odd.MIRRORS["clockwise"][0])
    data = phone if name == "phone.mp4" else videos[name]
    whole = clip_of(data, name)
    assert isinstance(whole.rgb, np.ndarray)
    monkeypatch.setattr("pvit_converters.raw.video.MAX_DECODED_BYTES", 1000)
    clip = clip_of(data, name)
    assert isinstance(clip.rgb, EncodedMedia)
    assert clip.rgb.data == encode_video(whole.rgb, whole.fps)
    assert (clip.num_frames, clip.height, clip.width) == whole.rgb.shape[:3]
    assert (clip.fps, clip.warnings) == (whole.fps, whole.warnings)


def test_changing_sizes_are_refused_with_the_frame() -> None:
    with pytest.raises(SourceError, match=r"7\.webm.*from \(96, 64\) to \(64, 96\) at frame 20") as error:
        clip_of(odd.changing_size(), "7.webm")
    assert error.value.reason == "corrupt-video"


@pytest.mark.parametrize("is_long", [False, True])
def test_damage_that_the_decoder_marks_is_cut_off(is_long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_long:
        monkeypatch.setattr("pvit_converters.raw.video.MAX_DECODED_BYTES", 1000)
    sound = odd.encode("mp4", "libx264", {**odd.SHARP, "g": "12"}, odd.noise(24))
    data = odd.flipped(sound, 10, 6)
    clip = clip_of(data, "x")
    assert clip.warnings == ("damaged-video-re-encoded",)
    assert isinstance(clip.rgb, EncodedMedia) is is_long
    assert 0 < clip.num_frames == len(shown(clip)) < 24
    if not is_long:
        np.testing.assert_array_equal(shown(clip)[:2], decode_video(sound)[:2])
    with pytest.raises(SourceError, match=r"x: not a playable video \(frame \d+ is damaged"):
        clip_of(data, "x", rescue=False)


def test_an_error_of_any_kind_names_the_file(monkeypatch: pytest.MonkeyPatch, videos: dict[str, bytes]) -> None:
    import pvit_data.codecs.video as codec

    def fail(data: bytes, codecs: object) -> None:
        raise ZeroDivisionError("1/0")

    monkeypatch.setattr(codec, "survey_if", fail)
    with pytest.raises(SourceError, match=r"videos/7\.mp4: unexpected ZeroDivisionError: 1/0") as error:
        clip_of(videos["plain.mp4"], "videos/7.mp4")
    assert error.value.reason == "unexpected"


def tree(root: Path, videos: dict[str, bytes]) -> Path:
    """An SSv2 tree of these files, named as SSv2 names them: the content tells what they are."""
    folder, labels = root / "20bn-something-something-v2", root / "labels"
    folder.mkdir(parents=True)
    labels.mkdir()
    rows = []
    for i, data in enumerate(videos.values(), start=1):
        (folder / f"{i}.mp4").write_bytes(data)
        template = "Poking [something]"
        rows.append({"id": str(i), "label": "poking a cup", "template": template, "placeholders": ["a cup"]})
    (labels / "labels.json").write_text(json.dumps({"Poking something": "0"}))
    for name, content in (("train", rows), ("validation", []), ("test", [])):
        (labels / f"{name}.json").write_text(json.dumps(content))
    return root


def test_what_converts_can_be_trained_on(tmp_path: Path, videos: dict[str, bytes]) -> None:
    """Forty clips of each, drawn as in training; the grey of each of their frames is one of the video's, in order."""
    slow = odd.encode("mp4", "libx264", odd.SHARP, odd.frames(3), Fraction(1, 4000))
    files = {**videos, "slow": slow, "refused": odd.changing_size(), "no video": b"\x00\x00\x00\x18ftypmp42"}
    raw, out = tree(tmp_path / "raw", files), tmp_path / "out"
    job = Job(SSv2Converter, raw, str(out), SSv2Options())
    report = convert(job)
    assert report.failed == {"corrupt-video": 2}
    assert report.converted == len(videos) + 1
    assert validate(out, deep=True).ok
    ds = pvit_data.open(out, split="train")
    config = ClipConfig(num_frames=4, size=(32, 32), jitter=(1.0, 1.2), downstream="ssv2")
    mixture = pvit_data.Mixture([pvit_data.MixtureSource(ds, "downstream")], batch_size=len(ds))
    batches: Any = iter(pvit_data.loader(mixture, clip=config))
    for _ in range(40):
        batch = next(batches)
        assert len(batch.keys) == len(ds)
        grey = (batch.video.mean(dim=(1, 3, 4)) * 0.225 + 0.45) * 255
        number = (grey - 20) / 5
        long = [row for row, key in enumerate(batch.keys) if key != f"ssv2-{len(videos) + 1:06d}"]
        assert bool((number.round().diff(dim=1) >= 0).all())
        assert len(long) == len(videos)
        for t, (first, last) in enumerate(pairwise(np.linspace(0, odd.COUNT - 1, 5).round())):
            assert bool(((first <= number[long, t].round()) & (number[long, t].round() <= last)).all())
