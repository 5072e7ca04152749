"""Videos of other people: the decoder's order is the truth, however a file is read, and damage does not pass."""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import pvit_data
from pvit_converters.raw.video import clip_of
from pvit_data.codecs.video import (
    check_stored,
    decode_sound,
    decode_video,
    encode_video,
    probe_video,
    storable,
    survey,
)
from pvit_data.codecs.video.container import list_frames, open_video
from pvit_data.codecs.video.cut import cut_off
from pvit_data.codecs.video.encode import playing_rate
from pvit_data.codecs.window import Window
from pvit_data.errors import FormatError, SourceError
from pvit_data.sample.sample import EncodedMedia, Sample
from pvit_data.validate import validate
from tests.pvit_data import odd_videos as odd

KINDS = {
    "invented_times.mp4": "unordered-video",
    "intra_refresh.mp4": "unseekable-video",
}


@pytest.fixture(scope="module")
def videos() -> dict[str, bytes]:
    return odd.odd_videos()


@pytest.mark.parametrize("name", odd.odd_videos())
def test_frames_are_those_of_the_decoder(videos: dict[str, bytes], name: str) -> None:
    """Alone, in any order, before and after anything is known of the file."""
    data, rng = videos[name], np.random.default_rng(0)
    for n in rng.permutation(odd.COUNT):
        assert odd.numbers(decode_video(data, np.array([n]))) == [n]
    assert odd.numbers(decode_video(data)) == list(range(odd.COUNT))
    found = survey(data)
    assert (found.info.num_frames, found.info.height, found.info.width) == (odd.COUNT, odd.HEIGHT, odd.WIDTH)
    assert (found.problem.kind if found.problem else None) == KINDS.get(name)
    for _ in range(10):
        picks = rng.integers(0, odd.COUNT, 5)
        assert odd.numbers(decode_video(data, picks)) == list(picks)


@pytest.mark.parametrize("name", odd.odd_videos())
def test_only_what_needs_nothing_else_is_taken_at_its_word(videos: dict[str, bytes], name: str) -> None:
    """Files whose key frames are not looked at again: their bytes say that none needs anything before it."""
    with open_video(videos[name]) as container:
        listing = list_frames(container, closed=True)
    simple = ("plain.mp4", "b_frames.mp4", "five_degrees.mp4", "vp9.webm", "called_key.mp4", "called_key.webm")
    assert listing.is_simple == (name in simple)
    if listing.is_simple:
        for key in np.flatnonzero(listing.is_key):
            assert odd.numbers(decode_video(videos[name], np.array([key]), checked=True)) == [key]


@pytest.mark.parametrize("name", odd.odd_videos())
def test_stored_media_is_kept_only_if_it_can_be_read(videos: dict[str, bytes], tmp_path: Path, name: str) -> None:
    extension = name.rpartition(".")[2]
    with pvit_data.ShardWriter(tmp_path, source="mine") as writer:
        writer.write(Sample(key="a", rgb=EncodedMedia(videos[name], extension)))
    ds = pvit_data.open(tmp_path)
    assert odd.numbers(ds[0].rgb) == list(range(odd.COUNT))
    for n in np.random.default_rng(1).permutation(odd.COUNT):
        assert odd.numbers(ds.read(0, ["rgb"], frames=[n]).rgb) == [n]
    assert (ds.files(0, [f"rgb.{extension}"])[f"rgb.{extension}"] == videos[name]) is (name not in KINDS)
    assert validate(tmp_path, deep=True).ok


def test_shards_from_before_are_found(
    videos: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once files were stored without a look at the order of their frames."""
    import pvit_data.codecs.video as codec

    with monkeypatch.context() as patch, pvit_data.ShardWriter(tmp_path, source="mine") as writer:
        patch.setattr(codec, "storable", lambda data: (data, probe_video(data)))
        writer.write(Sample(key="a", rgb=EncodedMedia(videos["invented_times.mp4"], "mp4")))
    assert validate(tmp_path).ok
    report = validate(tmp_path, deep=True)
    assert [(p.kind, p.key) for p in report.problems] == [("undecodable", "a")]
    assert "does not come in the order of times" in report.problems[0].message


def test_a_size_that_changes_is_refused_with_the_frame() -> None:
    data = odd.changing_size()
    for read in (survey, decode_video, decode_sound, storable):
        with pytest.raises(FormatError, match=r"from \(96, 64\) to \(64, 96\) at frame 20"):
            read(data)
    assert decode_video(data, np.array([3, 19])).shape == (2, 96, 64, 3)


@pytest.mark.parametrize(("count", "seed"), [(2, 5), (5, 2), (10, 6), (40, 3)])
def test_marked_damage_is_never_stored(count: int, seed: int) -> None:
    """What is kept before the first mark is what a plain decoding gives."""
    data = odd.flipped(odd.encode("mp4", "libx264", {**odd.SHARP, "g": "12"}, odd.noise(24)), count, seed)
    before, is_marked = plain_decode(data)
    assert is_marked, "choose another seed"
    found = survey(data)
    assert found.problem is not None
    assert found.problem.kind == "damaged-video"
    frames, damage = decode_sound(data)
    assert damage
    assert len(frames) == found.info.num_frames <= len(before)
    np.testing.assert_array_equal(frames, before[: len(frames)])
    with pytest.raises(FormatError, match="is damaged"):
        storable(data)
    with pytest.raises(FormatError, match="cannot be read by frame number"):
        check_stored(data, len(before))


def plain_decode(data: bytes) -> tuple[np.ndarray, bool]:
    """The pictures before the first that PyAV marks, and whether there is a mark."""
    pictures = []
    with av.open(io.BytesIO(data)) as container:
        try:
            for frame in container.decode(video=0):
                if frame.is_corrupt:
                    return np.stack(pictures), True
                pictures.append(frame.to_ndarray(format="rgb24"))
        except av.error.FFmpegError:
            return np.stack(pictures), True
    return np.stack(pictures), False


@pytest.mark.parametrize("name", odd.MIRRORS)
def test_display_matrices(name: str) -> None:
    columns, show = odd.MIRRORS[name]
    data = odd.encode("mp4", "libx264", odd.SHARP, odd.noise())
    stored, turned = decode_video(data), odd.with_matrix(data, columns)
    expected = show(stored)
    np.testing.assert_array_equal(decode_video(turned), expected)
    for found in (probe_video(turned), survey(turned).info):
        assert (found.height, found.width) == expected.shape[1:3]
    window = Window(10, 7, 33, 40)
    part = decode_video(turned, np.array([5]), None, window)
    np.testing.assert_array_equal(part, expected[5:6, 10:43, 7:47])


@pytest.mark.parametrize(
    ("degrees", "quarters"), [(5, 0), (44, 0), (46, 0), (85, 0), (90.4, 1), (179.6, 2), (-90.3, 3)]
)
def test_only_right_angles_turn_a_picture(degrees: float, quarters: int) -> None:
    data = odd.encode("mp4", "libx264", odd.SHARP, odd.noise())
    expected = np.rot90(decode_video(data), -quarters, (1, 2))
    turned = odd.turned_by(data, degrees)
    np.testing.assert_array_equal(decode_video(turned), expected)
    assert (probe_video(turned).height, probe_video(turned).width) == expected.shape[1:3]
    assert survey(turned).problem is None


def test_a_window_of_an_interlaced_picture_has_its_colours() -> None:
    options = {**odd.SHARP, "flags": "+ildct+ilme", "x264-params": "tff=1"}
    data = odd.encode("mp4", "libx264", options, odd.noise())
    whole = decode_video(data)
    progressive = decode_video(odd.encode("mp4", "libx264", odd.SHARP, odd.noise()))
    assert np.abs(whole.astype(int) - progressive).max() > 20, "the chroma of fields is no other: a test of nothing"
    for window in (Window(0, 0, 64, 96), Window(3, 5, 20, 31), Window(10, 2, 8, 8), Window(61, 90, 3, 6)):
        rows, columns = slice(window.top, window.top + window.height), slice(window.left, window.left + window.width)
        np.testing.assert_array_equal(decode_video(data, None, None, window), whole[:, rows, columns])


@pytest.mark.parametrize("fps", [1e-9, 1 / 4000, 0.3, 0.999, 29.97, 30000 / 1001, 240.0, 1e9])
def test_every_rate_can_be_written(fps: float) -> None:
    pictures = np.stack(odd.frames(3))
    data = encode_video(pictures, fps)
    found = survey(data)
    assert found.problem is None
    assert found.info.fps == pytest.approx(float(playing_rate(fps)), rel=1e-3)
    assert odd.numbers(decode_video(data)) == [0, 1, 2]
    if 1e-4 < fps < 1e5:
        assert float(playing_rate(fps)) == pytest.approx(fps, rel=1e-3)


def test_frames_that_seeking_does_not_find_come_from_the_start(videos: dict[str, bytes]) -> None:
    """In shards from before, too, whose times are trusted."""
    data = videos["intra_refresh.mp4"]
    for n in (0, 13, 39, 20):
        assert odd.numbers(decode_video(data, np.array([n]), checked=True)) == [n]


def test_a_file_cut_at_an_open_group_has_the_frames_that_decode(videos: dict[str, bytes]) -> None:
    """Its first B-frames need what was cut off."""
    data = videos["open_gop.mp4"]
    keys = [place for place, packet in enumerate(odd.packets(data)) if packet.is_keyframe]
    cut = odd.remuxed(data, "matroska", skip=keys[1])
    found = survey(cut)
    assert found.info.num_frames == probe_video(cut).num_frames < len(list(odd.packets(cut)))
    seen = odd.numbers(decode_sound(cut)[0])
    assert seen == list(range(odd.COUNT - len(seen), odd.COUNT))
    assert odd.numbers(decode_video(cut, np.arange(found.info.num_frames))) == seen


def test_a_short_file_with_pixels_that_nothing_writes_is_not_sound() -> None:
    """VP8 whose data end within the last picture: below lies whatever the memory held, fresh or used."""
    data = (Path(__file__).parents[1] / "format/fuzz_findings/video-unwritten-memory").read_bytes()
    found = survey(data).problem
    assert found is not None
    assert found.frame == 4


@pytest.mark.parametrize(("container", "skip"), [("avi", 3), ("mp4", 3), ("matroska", 3)])
def test_frames_that_are_listed_and_do_not_decode_are_not_counted(
    videos: dict[str, bytes], container: str, skip: int
) -> None:
    """Files that begin in the middle of a group: what indexing foreign tars notes can be read."""
    cut = odd.remuxed(videos["h264_b.avi"], container, skip=skip)
    frames, _ = plain_decode(cut)
    assert probe_video(cut).num_frames == len(frames) < len(list(odd.packets(cut)))


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


@pytest.mark.parametrize(
    ("container", "codec", "how"),
    [
        ("webm", "libvpx", {}),
        ("avi", "libvpx-vp9", {}),
        ("matroska", "libx264", {}),
        ("mp4", "libvpx-vp9", FRAGMENTS),
        ("mp4", "mpeg4", FRAGMENTS),
    ],
)
def test_files_that_end_early_are_called_damaged(container: str, codec: str, how: dict[str, str]) -> None:
    """Also where they end between two frames, so that no decoder sees it."""
    file = io.BytesIO()
    written(file, container, codec, odd.noise(24), how)
    data = file.getvalue()
    assert cut_off(data) == ""
    assert survey(data).problem is None
    last = list(odd.packets(data))[17]
    short = data[: data.rindex(bytes(last))]
    before, _ = plain_decode(short)
    problem = survey(short).problem
    assert problem is not None
    assert problem.kind == "damaged-video"
    frames, damage = decode_sound(short)
    assert damage == problem.text
    assert len(frames) == problem.frame >= 8
    np.testing.assert_array_equal(frames, before[: len(frames)])
    assert clip_of(short, "x").warnings == ("damaged-video-re-encoded",)
    with pytest.raises(SourceError, match=r"damaged|is cut off"):
        clip_of(short, "x", rescue=False)


def test_streams_that_say_no_length_are_not_called_damaged() -> None:
    """As browsers and pipes write them."""

    class Pipe:
        """A file that cannot be sought."""

        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> int:
            """Takes all."""
            self.data += bytes(data)
            return len(data)

    for container, codec in (("webm", "libvpx"), ("avi", "mpeg4"), ("matroska", "libx264")):
        pipe = Pipe()
        written(pipe, container, codec, odd.frames(8), {})
        assert cut_off(pipe.data) == ""
        assert survey(pipe.data).problem is None


def written(file: Any, container: str, codec: str, pictures: list[np.ndarray], how: dict[str, str]) -> None:
    with av.open(file, "w", format=container, options=how) as out:
        stream: Any = out.add_stream(codec, rate=20, options={"g": "6", "deadline": "realtime"})
        stream.height, stream.width, stream.pix_fmt = odd.HEIGHT, odd.WIDTH, "yuv420p"
        for pixels in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
