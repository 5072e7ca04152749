"""validate, stats, show and gallery from the command line, on converted data."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pvit_data
from pvit_cli.data import main
from pvit_cli.halfblocks import half_blocks


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_validate(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "validate", shards, "--deep")
    assert code == 0
    assert ": ok; " in out.splitlines()[-1]
    broken = Path(shutil.copytree(shards, tmp_path / "d"))
    shard = sorted(broken.glob("ssv2/*.tar"))[0]
    key = pvit_data.open(broken, "ssv2").select([0]).column("key")[0]
    offset = int(pvit_data.open(broken, "ssv2").column("rgb_offset")[0])
    data = bytearray(shard.read_bytes())
    data[offset + 100] ^= 1
    shard.write_bytes(data)
    code, out, err = run(capsys, "validate", broken)
    assert (code, err) == (1, "")
    assert f"ssv2/{shard.name}: {key}: rgb.webm has a wrong CRC" in out or f"{key}: rgb.mp4 has a wrong CRC" in out
    assert out.splitlines()[-1].startswith(f"{broken}: 2 problems; ")
    code, out, _ = run(capsys, "validate", broken, "--json")
    report = json.loads(out)
    assert (code, report["ok"]) == (1, False)
    assert report["counts"] == {"shard-hash": 1, "member-damaged": 1}
    assert {p["key"] for p in report["problems"]} == {"", key}
    code, _, err = run(capsys, "validate", tmp_path / "nothing")
    assert code == 2
    assert err.startswith("error: ")


def test_stats(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = pvit_data.open(shards)
    code, out, _ = run(capsys, "stats", shards)
    assert code == 0
    assert out.startswith(f"{len(dataset)} samples")
    for part in ("annotated together", "bytes by member", "segm classes of 'nyu40'", "valid depth", "picture size"):
        assert part in out
    code, out, _ = run(capsys, "stats", shards, "--json", "--where", "has_depth")
    assert code == 0
    assert json.loads(out)["samples"] == int(dataset.column("has_depth").sum())


def test_show(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = pvit_data.open(shards).column("key")
    code, out, _ = run(capsys, "show", shards)
    assert code == 0
    assert f"key          {keys[0]}" in out
    assert "next: pvit-data show" in out
    code, out, _ = run(capsys, "show", shards, keys[3], "--json")
    assert (code, json.loads(out)["row"]) == (0, 3)
    code, out, _ = run(capsys, "show", shards, "3", "--json")
    assert json.loads(out)["key"] == keys[3]
    code, out, _ = run(capsys, "show", shards, "--out", tmp_path / "new/sheet.png", "--samples", 4, "--height", 48)
    assert code == 0
    with Image.open(tmp_path / "new/sheet.png") as image:
        assert image.height == 4 * (22 + 20 + 48 + 20) + 5 * 6  # heading, caption, picture, legend
    code, out, _ = run(capsys, "show", shards, keys[0], "--out", tmp_path / "one.png")
    assert code == 0
    for argv, text in (
        ([keys[0][:-1] + "x"], "did you mean 'hypersim-ai"),
        (["999"], "numbers go from 0 to"),
        ([keys[0], "--frame", "7"], "has frames 0 to 0"),
        (["--where", "frames > 1000"], "no sample fulfils"),
    ):
        code, _, err = run(capsys, "show", shards, *argv)
        assert code == 2
        assert text in err


def test_gallery(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "pages/g.html"
    code, out, _ = run(capsys, "gallery", shards, "--out", page, "--samples", 6)
    assert code == 0
    assert out.startswith(f"{page}: 6 of ")
    assert "not to be published: it holds pictures of ssv2," in out
    broken = Path(shutil.copytree(shards, tmp_path / "d"))
    for shard in broken.glob("ssv2/*.tar"):
        shard.write_bytes(shard.read_bytes()[:600])
    code, out, _ = run(capsys, "gallery", broken, "--out", page, "--json")
    report = json.loads(out)
    assert code == 0
    assert {key.split("-")[0] for key in report["skipped"]} == {"ssv2"}
    assert report["bytes"] == page.stat().st_size
    code, _, err = run(capsys, "gallery", broken, "--source", "ssv2", "--out", page)
    assert code == 1
    assert "no sample could be read" in err


def test_half_blocks() -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[::2] = (255, 0, 0)
    text = half_blocks(picture, 8)
    assert text.plain == ("▀" * 8 + "\n") * 2
    styles = {(str(span.style.color.triplet.hex), str(span.style.bgcolor.triplet.hex)) for span in text.spans}
    assert styles == {("#ff0000", "#000000")}


def test_looking_needs_no_converter(shards: Path, tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["pvit_converters"] = sys.modules["pvit_model"] = sys.modules["torch"] = None
from pvit_cli.data import main
for command in ("validate", "stats", "show"):
    assert main([command, {str(shards)!r}]) == 0, command
assert main(["gallery", {str(shards)!r}, "--out", {str(tmp_path / "page.html")!r}, "--samples", "2"]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_part_is_never_called_ok(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    total = len(pvit_data.open(shards))
    names = sorted(path.relative_to(shards).as_posix() for path in shards.glob("*/*.tar"))
    for number in (0, 1):
        code, out, _ = run(capsys, "validate", shards, "--shard", f"{number}/2", "--resume", tmp_path / "state")
        mine = len(names[number::2])
        assert code == 0
        assert ": ok" not in out
        assert re.search(
            rf": no problems in what was looked at; \d+ of {total} samples in {mine} of {len(names)} shards, ", out
        )
        assert f"not looked at: {len(names) - mine} other shard" in out
    code, out, _ = run(capsys, "validate", shards, "--sample", "50%", "--json")
    report = json.loads(out)
    assert (code, report["ok"], report["complete"], report["hashed"]) == (0, True, False, False)
    assert 0 < report["samples"] < report["of"]["samples"] == total
    assert report["sample"] == 0.5
    code, out, _ = run(capsys, "validate", shards, "--sample", "50%")
    assert "not looked at: all but 50 % of the samples of a shard, the sha256 of shards" in out
    code, out, _ = run(capsys, "validate", shards, "--resume", tmp_path / "state")
    assert code == 0
    assert f": ok; {total} samples in {len(names)} shards, " in out
    assert f"found by an earlier validation: {len(names)} shards of these" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shard", "2/2"], "shard 2/2: expected i/n with i from 0 to n - 1"),
        (["--shard", "1"], "--shard 1: expected I/N, such as 0/8"),
        (["--shard", "-1/2"], "--shard -1/2: expected I/N"),
        (["--shard", "0/0"], "shard 0/0: expected i/n"),
        (["--sample", "5"], "--sample 5: expected a percentage, such as 5%"),
        (["--sample", "x%"], "--sample x%: expected a percentage"),
        (["--sample", "0%"], "sample 0%: expected a share above 0 %"),
        (["--sample", "nan%"], "sample nan%: expected a share above 0 %"),
        (["--sample", "101%"], "sample 101%: expected a share above 0 %"),
    ],
)
def test_no_such_part(shards: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    code, out, err = run(capsys, "validate", shards, *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
