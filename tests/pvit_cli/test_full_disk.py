"""A full disk, and Ctrl-C, while results are saved: one sentence, no half file, and what was there stays."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_data.clips.config import ClipConfig
from pvit_data.codecs.video import encode_video
from pvit_data.sample.labels import LabelSpace
from tests.pvit_data.samples import SPACES, clip, full_sample


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    with pvit_data.ShardWriter(tmp_path / "shards", "mine", spaces=SPACES) as writer:
        writer.write(full_sample(0))
    return tmp_path / "shards"


@pytest.fixture(params=[OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """Writing a file fails after its first bytes; gives what is said then, and the exit code."""
    failure = request.param
    write = Path.write_bytes

    def write_bytes(self: Path, data: Any) -> int:
        write(self, bytes(data)[:7])
        raise failure

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    if isinstance(failure, OSError):
        return "no space left on the device; free some space and run the same command again", 1
    return "interrupted; run the same command again", 75


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("arguments", [["gallery"], ["show", "mine-0000"]])
@pytest.mark.parametrize("old", [b"", b"the former one"])
def test_pages_and_sheets(
    arguments: list[str], old: bytes, shards: Path, broken: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = shards.parent / "results"
    out.mkdir()
    target = out / "sheet.png"
    if old:
        with target.open("wb") as file:
            file.write(old)
    sentence, code = broken
    assert main([arguments[0], str(shards), *arguments[1:], "--out", str(target)]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert sentence in error
    assert ".part-" not in error, "the temporary name is nobody's business"
    assert (str(target) in error) == (code == 1)
    assert files(out) == ({"sheet.png": old} if old else {})


def test_predictions(tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    from pvit_cli.model import main as model_main
    from pvit_model.network.create import create_model
    from pvit_model.network.inference import Inference

    model = create_model("mvitv2_xxs", tasks=["depth"], num_classes=2, clip=[4, 64, 64])
    model.save_pretrained(tmp_path / "model")
    space = LabelSpace("moves", ("walk", "run"))
    config = ClipConfig(num_frames=4, size=(64, 64))
    Inference(clip=config, tasks=("depth",), action=space, segm={}, recipe="x").save(tmp_path / "model")
    video = tmp_path / "a.mp4"
    video.write_bytes(encode_video(clip(np.random.default_rng(0), 8, 64, 80), 12.0))
    patch = pytest.MonkeyPatch()
    write = Path.write_bytes

    def write_bytes(self: Path, data: Any) -> int:
        if "overlay.mp4" in self.name:
            write(self, bytes(data)[:7])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    patch.setattr(Path, "write_bytes", write_bytes)
    try:
        code = model_main(["predict", str(video), "--model", str(tmp_path / "model"), "--out", str(tmp_path / "out")])
    finally:
        patch.undo()
    assert code == 1
    assert "overlay.mp4: no space left on the device; free some space" in capsys.readouterr().err
    assert sorted(files(tmp_path / "out")) == ["predictions.json", "predictions.npz"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_tables_on_a_full_disk(shards: Path) -> None:
    """`stats --json > file` on a full disk is an error, and says so."""
    import subprocess
    import sys

    code = "from pvit_cli.data import main; raise SystemExit(main())"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "stats", str(shards), "--json"], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert b"error: no space left on the device; free some space" in done.stderr
    assert b"Traceback" not in done.stderr


def test_written_files_have_the_users_mode(shards: Path) -> None:
    old = os.umask(0o027)
    try:
        assert main(["gallery", str(shards), "--out", str(shards.parent / "page.html")]) == 0
    finally:
        os.umask(old)
    assert (shards.parent / "page.html").stat().st_mode & 0o777 == 0o640
