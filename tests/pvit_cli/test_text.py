"""Text is UTF-8 whatever the locale; names that are none, and terminals that show none, stop nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_converters.simulate import simulate
from pvit_data.codecs.video import encode_video
from pvit_data.storage.files import utf8, write_file
from tests.pvit_data.samples import SPACES, clip, full_sample, np  # type: ignore[attr-defined]

COMMAND = [sys.executable, "-c", "import sys; from pvit_cli.data import main; raise SystemExit(main())"]
MODEL = [sys.executable, "-c", "import sys; from pvit_cli.model import main; raise SystemExit(main())"]
PLACES = [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1", "LC_ALL": "POSIX"},
]
BYTES = os.fsdecode(b"Stra\xdfe-\xff")
"""A name in an old encoding, as a disk from another system has it."""


def run(command: list[str], *arguments: str | Path, place: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, env={**os.environ, **place})
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert b"codec can't" not in done.stderr, done.stderr.decode(errors="replace")
    return done


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw") / "ssv2"
    simulate("ssv2", root, samples=3, preset="tiny")
    return root


@pytest.fixture(scope="module")
def shards(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("out")
    assert run(COMMAND, "convert", "ssv2", raw, out, place={}).returncode == 0
    return {p.name: p.read_bytes() for p in sorted(out.rglob("*.tar"))}


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(PLACES[0], id="C"),
        pytest.param(PLACES[1], id="ascii", marks=pytest.mark.full),
        pytest.param(PLACES[2], id="latin-1", marks=pytest.mark.full),
    ],
)
def test_every_command_under_every_locale(place: dict[str, str], raw: Path, shards: Any, tmp_path: Path) -> None:
    """With names of all kinds in paths and in the metadata, which stats and show print."""
    root = tmp_path / f"Küche-{BYTES}"
    shutil.copytree(raw, root / "raw")
    for path in root.rglob("train.json"):
        rows = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8-sig")
    out = root / "shards"
    done = run(COMMAND, "convert", "ssv2", root / "raw", out, "--workers", "1", place=place)
    assert done.returncode == 0, done.stderr
    assert {p.name: p.read_bytes() for p in sorted(out.rglob("*.tar"))} == shards
    with pvit_data.ShardWriter(out, "mine", spaces=SPACES) as writer:
        writer.write(full_sample(0))
    for arguments in (
        ["stats", out],
        ["stats", out, "--json"],
        ["validate", out],
        ["show", out],
        ["show", out, "mine-0000", "--out", root / "sheet.png"],
        ["gallery", out, "--out", root / "page.html"],
        ["sources"],
        ["simulate", "ehoi", root / "ehoi", "--preset", "tiny", "--samples", "1"],
    ):
        done = run(COMMAND, *arguments, place=place)
        assert done.returncode == 0, (arguments, done.stderr)
        if "--json" in arguments:
            json.loads(done.stdout)
    assert (root / "sheet.png").stat().st_size > 0
    assert "Küche" in (root / "page.html").read_text(encoding="utf-8")


def test_names_that_are_no_utf8_come_back(tmp_path: Path) -> None:
    """As a source keeps the names of its files: in the metadata, and so in the record."""
    with pvit_data.ShardWriter(tmp_path, "mine") as writer:
        writer.write(pvit_data.Sample(key="a", num_frames=1, action=0.5, meta={"file": BYTES, BYTES: ["Küche"]}))
    sample = pvit_data.open(tmp_path)[0]
    assert os.fsencode(sample.meta["file"]) == b"Stra\xdfe-\xff"
    assert sample.meta[BYTES] == ["Küche"]
    assert json.loads(utf8(json.dumps(BYTES, ensure_ascii=False))) == BYTES


def test_written_text_is_utf8(tmp_path: Path) -> None:
    write_file(tmp_path / "a.txt", "Küche")
    assert (tmp_path / "a.txt").read_bytes() == "Küche".encode()


def test_predict_takes_any_name(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    torch = pytest.importorskip("torch")
    from pvit_data.clips.config import ClipConfig
    from pvit_data.sample.labels import LabelSpace
    from pvit_model.network.create import create_model
    from pvit_model.network.inference import Inference

    torch.manual_seed(0)
    space = LabelSpace("moves", ("gehen → ü", "laufen"))
    model = create_model("mvitv2_xxs", tasks=["depth"], num_classes=2, clip=[4, 64, 64])
    model.save_pretrained(tmp_path / "model")
    config = ClipConfig(num_frames=4, size=(64, 64))
    Inference(clip=config, tasks=("depth",), action=space, segm={}, recipe="x").save(tmp_path / "model")
    video = tmp_path / f"{BYTES}.mp4"
    video.write_bytes(encode_video(clip(np.random.default_rng(0), 8, 64, 80), 12.0))
    for number, place in enumerate(PLACES if os.environ.get("PVIT_TORTURE") else PLACES[:1]):
        out = tmp_path / f"out-{number}-{BYTES}"
        done = run(MODEL, "predict", video, "--model", tmp_path / "model", "--out", out, place=place)
        assert done.returncode == 0, done.stderr
        told = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
        assert told["video"] == str(video)
        assert {row["name"] for row in told["actions"]} == set(space.classes)
