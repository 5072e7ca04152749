"""Layers from the command line: drawn over their base by default, by name, from elsewhere, and by themselves."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_data import Boxes, LabelSpace, Sample, ShardWriter
from pvit_data.looking.sheet import samples_sheet
from pvit_data.reading.layers.views import open_view

FRAMES, SIDE = 3, 16
THINGS, VERBS = LabelSpace("things", ("ball", "cube")), LabelSpace("verbs", ("push", "pull"))


def clip(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (FRAMES, SIDE, SIDE, 3), np.uint8)


def found(score: float, class_id: int) -> Boxes:
    ids = np.array([class_id, class_id])
    corners = np.array([[0, 0, 0.5, 0.5], [0.25, 0.25, 1, 1]])
    return Boxes(corners, frame=np.array([0, 2]), class_id=ids, score=np.array([score, score + 0.25]))


def write_layers(folder: Path, base: str) -> None:
    with ShardWriter(folder, "depths", base=base, made_by="net 2", redistributable=True) as writer:
        for i in (0, 1, 4):
            writer.write(Sample(key=f"k{i}", depth=np.full((FRAMES, SIDE, SIDE), 1.5 + i, np.float32)))
    with ShardWriter(folder, "boxed", base=base, spaces={"boxes": THINGS}) as writer:
        writer.write(Sample(key="k0", boxes=found(0.25, 1)))
    with ShardWriter(folder, "guesses", base=base, attach="on-request", spaces={"boxes": THINGS}) as writer:
        writer.write(Sample(key="k3", boxes=found(0.5, 0)))
    for split, numbers in (("train", (0, 2, 4)), ("test", (1, 3))):
        with ShardWriter(folder, "few", split, base=base, kind="protocol") as writer:
            for i in numbers:
                writer.write(Sample(key=f"k{i}"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with") / "data"
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
        with ShardWriter(folder, "clips", split, spaces={"action": VERBS}, redistributable=True) as writer:
            for i in numbers:
                writer.write(Sample(key=f"k{i}", rgb=clip(i), fps=8, action=i % 2))
    with ShardWriter(folder, "plain", redistributable=True) as writer:
        writer.write(Sample(key="p0", rgb=clip(9), fps=8))
    write_layers(folder, "clips")
    return folder


@pytest.fixture(scope="module")
def apart(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apart") / "layers"
    write_layers(folder, f"{data}#clips")
    return folder


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    return code, out, err


def facts(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, str]:
    code, out, err = run(capsys, "show", *argv, "--json")
    assert (code, err) == (0, "")
    told: dict[str, str] = json.loads(out)
    return told


def test_layers_that_lie_there_are_shown(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = facts(capsys, data, "k0", "--frame", 2)
    assert told["depth"].endswith("1.50-1.50 m, median 1.50 m, 0.0 % invalid")
    assert told["boxes"] == "1 in this frame, 'things': cube 0.50"
    assert told["layers"].splitlines() == ["depths: depth (made by net 2)", "boxed: boxes"]
    assert "depth of depths" in told["stored"]
    assert "depth" not in facts(capsys, data, "p0")
    plain = facts(capsys, data, "k0", "--layer", "none")
    assert not {"depth", "boxes", "layers"} & plain.keys()
    both = facts(capsys, data, "k3", "--layer", "guesses", "--layer", "depths", "--frame", 0)
    assert both["boxes"] == "1 in this frame, 'things': ball 0.50"
    assert both["layers"].splitlines()[-1] == "guesses: boxes"


def test_a_protocol_and_a_layer_are_looked_at_by_name(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = facts(capsys, data, "k4", "--source", "few")
    assert told["source"] == "few over clips, train, licence not stated"
    assert told["layers"].splitlines()[0] == "depths: depth (made by net 2)"
    own = facts(capsys, data, "k0", "--source", "depths")
    assert own["layers"] == "depths: depth (made by net 2)"
    assert "boxes" in facts(capsys, data, "k3", "--source", "guesses")
    dataset = open_view(data, "few", "test")
    assert dataset.column("key").tolist() == ["k1", "k3"]
    assert dataset.column("has_depth").tolist() == [True, False]


@pytest.mark.parametrize("layer", ["depths", ""])
def test_layers_from_elsewhere(data: Path, apart: Path, capsys: pytest.CaptureFixture[str], layer: str) -> None:
    """The layer's folder over the base's, or the base with a layer of another folder: the same picture."""
    named = ("--layer", f"{apart}#depths") if not layer else ("--source", "depths", "--base", data)
    folder = apart if layer else data
    told = (
        facts(capsys, folder, "k1", "--source", "clips", *named) if not layer else facts(capsys, folder, "k1", *named)
    )
    truth = facts(capsys, data, "k1", "--layer", "depths")
    assert told["depth"] == truth["depth"] == "every frame, float16, 2.50-2.50 m, median 2.50 m, 0.0 % invalid"
    assert told["layers"] == "depths: depth (made by net 2)"


def test_what_is_missing_is_told_with_its_option(data: Path, apart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {
        (apart, "--source", "few"): r"'few': the pictures are those of 'clips', which is not in .*--base$",
        (apart, "--source", "few", "--base", apart): "which is not in .*: give the folder or URL .* with --base$",
        (apart,): "'boxed', 'depths', 'guesses': the pictures are those of 'clips', .* with --base$",
        (apart, "--base", data): "both give boxes of 'clips': name the layers .*: --layer guesses \\(or none\\)",
        (data, "--layer", "depth"): "has no layer 'depth': .*did you mean 'depths'",
        (data, "--layer", "few"): "'few' is a protocol, which is opened by its name as source",
        (data, "--layer", "depths", "--source", "plain"): "is over clips, .* plain: give --source clips$",
        (data, "--base", apart): "--base tells where the pictures of a layer or a protocol are: .* --source; .*few",
        (data, "--source", "clip"): "--source clip: .* the sources clips, plain .*layers .*did you mean 'clips'",
        (data, "--source", "few", "--split", "val"): "--split val: .* has train, test of what is shown",
    }
    for argv, text in said.items():
        for command in ("show", "gallery"):
            code, _, err = run(capsys, command, *argv)
            assert code == 2, argv
            assert re.search(text, err.strip()), (argv, err)
            assert err.count("\n") == 1


def test_stats_count_layers(data: Path, apart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "stats", data, "--json")
    told = json.loads(out)
    assert (code, told["samples"]) == (0, 7)
    assert told["layers"] == {"clips": {"boxes": "boxed", "depth": "depths"}}
    assert told["together"]["depth"]["action"] == 3
    counts = {(part["source"], part["split"]): part["fields"].get("depth", 0) for part in told["parts"]}
    assert counts == {("clips", "train"): 2, ("clips", "val"): 1, ("plain", "train"): 0}
    code, out, _ = run(capsys, "stats", data)
    assert "Layers of clips: depth from depths, boxes from boxed." in out
    code, out, _ = run(capsys, "stats", apart, "--json")
    alone = {(part["source"], part["split"]): part["samples"] for part in json.loads(out)["parts"]}
    expected = {"boxed train": 1, "depths train": 2, "depths val": 1, "few train": 3, "few test": 2, "guesses train": 1}
    assert (code, alone) == (0, {tuple(name.split()): n for name, n in expected.items()})
    assert run(capsys, "stats", apart, "--base", apart)[0] == 2
    for command in (("finish",), ("validate", "--deep")):
        assert run(capsys, command[0], apart, *command[1:])[0] == 0


def test_layers_are_named_where_they_are_drawn(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pvit_data.looking import sheet

    captions: list[str] = []
    caption = sheet.pictures.captioned
    monkeypatch.setattr(sheet.pictures, "captioned", lambda *a, **k: captions.append(a[1]) or caption(*a, **k))
    samples_sheet(open_view(data), [0], 48)
    assert [text.rpartition(" ")[2] for text in captions[1:]] == ["(depths)", "(boxed)"]
    page = tmp_path / "g.html"
    code, out, _ = run(capsys, "gallery", data, "--out", page)
    assert code == 0
    assert "not to be published: it holds annotations of boxed, which may not be redistributed" in out
    text = page.read_text("utf-8")
    assert '"given":{"depth":"depths","boxes":"boxed"}' in text
    assert "2 in 2 frames, 'things': 2 x cube 0.25-0.50" in text
    entry = re.search(r'"key":"k0".*?"boxes":(\[\[.*?\]\]\])', text)
    assert entry is not None
    assert [row[-1] for frame in json.loads(entry[1]) for row in frame] == [25, 50]  # hundredths


def test_a_layer_of_one_split_fits_as_a_whole(data: Path, tmp_path: Path) -> None:
    """Which splits are asked for changes nothing about what fits, and what is absent."""
    with ShardWriter(tmp_path, "late", base=f"{data}#clips") as writer:
        writer.write(Sample(key="k4", depth=np.ones((FRAMES, SIDE, SIDE), np.float32)))
    for split, number in (("train", 0), ("val", 1), (None, 1)):
        for dataset in (
            pvit_data.open(data, "clips", split, layers=[f"{tmp_path}#late"]),
            open_view(data, "clips", split, layers=[f"{tmp_path}#late"]),
        ):
            assert (int(dataset.column("has_depth").sum()), dataset.notes) == (number, [])
