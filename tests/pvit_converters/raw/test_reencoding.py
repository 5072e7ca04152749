"""Pictures that are made smaller on the way: the wanted frames at the wanted size, said in record and report."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pvit_data
from pvit_cli.data import main
from pvit_converters.raw.reencoding import Reencoding, reencode
from pvit_data import Sample
from pvit_data.codecs.video import decode_video, survey
from pvit_data.errors import FormatError, UsageError
from pvit_data.sample.sample import EncodedMedia
from tests.pvit_data.odd_videos import B_FRAMES, encode, frames, numbers, odd_videos, packets

VIDEO = encode("mp4", "libx264", B_FRAMES, frames(30), 30)


@pytest.mark.parametrize("kind", ["file", "array"])
@pytest.mark.parametrize(
    ("text", "shown", "size", "rate"),
    [
        ("short-side=32", range(30), (32, 48), 30),
        ("short-side=320", range(30), (64, 96), 30),
        ("gop=4", range(30), (64, 96), 30),
        ("fps=15", range(0, 30, 2), (64, 96), 15),
        ("fps=60", range(30), (64, 96), 30),
        ("short-side=16,gop=5,fps=10", range(0, 30, 3), (16, 24), 10),
    ],
)
def test_frames_size_and_rate(kind: str, text: str, shown: range, size: tuple[int, int], rate: float) -> None:
    rgb = EncodedMedia(VIDEO, "mp4") if kind == "file" else decode_video(VIDEO)
    sample = Sample(key="a", rgb=rgb, fps=30.0, meta={"num_frames": 30, "height": 64})
    reencode(sample, Reencoding.parse(text))
    assert isinstance(sample.rgb, EncodedMedia)
    found = decode_video(sample.rgb.data)
    assert numbers(found) == list(shown)
    assert found.shape[1:3] == size
    assert (sample.num_frames, sample.height, sample.width, sample.fps) == (len(shown), *size, rate)
    assert (sample.meta["num_frames"], sample.meta["height"]) == (len(shown), size[0])
    was = sample.meta["reencoded"]["from"]
    assert (was["num_frames"], was["fps"], was["height"], was["width"]) == (30, 30.0, 64, 96)
    assert was["bytes"] == (len(VIDEO) if kind == "file" else 0)
    assert sample.meta["reencoded"]["to"] == str(Reencoding.parse(text))
    if "gop" in text:
        is_key = [packet.is_keyframe for packet in packets(sample.rgb.data)]
        assert max(np.diff([*np.flatnonzero(is_key), len(shown)])) <= Reencoding.parse(text).gop


def test_stills_get_smaller_only(tmp_path: Path) -> None:
    Image.fromarray(np.full((60, 80, 3), 99, np.uint8)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    sample = Sample(key="a", rgb=EncodedMedia(data, "jpg"))
    reencode(sample, Reencoding(gop=4, short_side=60))
    assert isinstance(sample.rgb, EncodedMedia)
    assert sample.rgb.data == data
    assert "reencoded" not in sample.meta
    reencode(sample, Reencoding(short_side=30))
    assert (sample.num_frames, sample.height, sample.width, sample.rgb.extension) == (1, 30, 40, "jpg")
    assert sample.meta["reencoded"]["from"]["codec"] == "jpg"


def test_damage_is_an_error_and_odd_orders_are_not() -> None:
    sample = Sample(key="a", rgb=EncodedMedia(VIDEO[: len(VIDEO) // 2], "mp4"))
    with pytest.raises(FormatError):
        reencode(sample, Reencoding(gop=4))
    odd = odd_videos(20)
    for name, data in odd.items():
        if survey(data).problem is None or survey(data).problem.kind != "damaged-video":
            sample = Sample(key="a", rgb=EncodedMedia(data, "avi" if data[:4] == b"RIFF" else "mp4"))
            reencode(sample, Reencoding(gop=4))
            assert isinstance(sample.rgb, EncodedMedia)
            assert numbers(decode_video(sample.rgb.data)) == numbers(decode_video(data)), name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short_side=320", "expected some of .*, not 'short_side=320'; did you mean 'short-side'"),
        ("gop=0", "gop is '0', expected 1 to 1000"),
        ("fps=fast", "fps is 'fast', expected 0.1 to 1000"),
        ("", "expected some of"),
    ],
)
def test_what_is_no_reencoding(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Reencoding.parse(text)


def test_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a/x.mp4", "b/y.mp4"):
        (tmp_path / "raw" / name).parent.mkdir(parents=True)
        (tmp_path / "raw" / name).write_bytes(encode("mp4", "libx264", {"crf": "1"}, frames(20), 20))
    out = str(tmp_path / "out")
    command = ["convert", "videos", str(tmp_path / "raw"), out, "--name", "mine"]
    assert main([*command, "--reencode", "short-side=32,gop=5", "--dry-run"]) == 0
    assert main([*command, "--reencode", "short-side=32,gop=5"]) == 0
    assert "re-encoded: 2 samples, " in capsys.readouterr().out
    report = json.loads((tmp_path / "out/mine/report.json").read_text())
    size = sum(p.stat().st_size for p in (tmp_path / "raw").rglob("*.mp4"))
    stored = int(np.sum(pvit_data.open(out).column("rgb_size")))
    assert report["reencoded"] == {"samples": 2, "before": size, "after": stored}
    sample = pvit_data.open(out)[0]
    assert (sample.height, sample.width, numbers(np.asarray(sample.rgb))) == (32, 48, list(range(20)))
    assert sample.meta["reencoded"]["from"]["height"] == 64
    assert main(["validate", out, "--deep"]) == 0
    assert main([*command, "--reencode", "gop=5"]) == 2
    assert "reencode: 'short-side=32,gop=5' there, 'gop=5' now" in capsys.readouterr().err


def test_annotated_frames_keep_their_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = str(tmp_path / "raw"), str(tmp_path / "out")
    assert main(["simulate", "surreact", raw, "--samples", "2", "--preset", "tiny"]) == 0
    assert main(["convert", "surreact", raw, out, "--reencode", "short-side=32"]) == 2
    said = capsys.readouterr().err
    assert "surreact annotates single frames (" in said
    assert "only gop=N is possible here" in said
    assert main(["convert", "surreact", raw, out, "--reencode", "gop=2"]) == 0
    assert main(["validate", out, "--deep"]) == 0
    assert main(["convert", "surreact", raw, str(tmp_path / "as-is")]) == 0
    plain = {s.key: s for s in pvit_data.open(tmp_path / "as-is")}
    for sample in pvit_data.open(out):
        other = plain[sample.key]
        assert np.asarray(sample.rgb).shape == np.asarray(other.rgb).shape
        assert np.array_equal(np.asarray(sample.depth), np.asarray(other.depth))
