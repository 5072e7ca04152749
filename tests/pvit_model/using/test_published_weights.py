"""Published weights evaluated by one command: views by a loop of our own, classes, what is said, what is refused."""

import json
from pathlib import Path

import pytest
import torch

import pvit_data
from pvit_cli.model import main
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.clips.config import ClipConfig
from pvit_data.errors import ConfigError
from pvit_data.loading.loader import eval_loader
from pvit_data.reading.layers.places import find_sources
from pvit_model import create_model
from pvit_model.backbones.base import Published
from pvit_model.backbones.mvit import PUBLISHED, MViT
from pvit_model.backbones.swin3d import PUBLISHED as SWIN
from pvit_model.recipes.clips import require_key_frames
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.published import entry_of, other_options, protocol_recipe
from pvit_model.reporting.results import collect, page
from pvit_model.using.loading import load_published
from tests.pvit_model.conftest import COLOURS, write_actions
from tests.pvit_model.tasks.test_persons import write as write_persons

ENTRIES = (
    Published("tiny_ssv2_f1.pyth", "", "none", "SSv2 68.2", (4, 32, 32), 0),
    Published("tiny_k400.pyth", "", "none", "Kinetics-400 81.0", (4, 32, 32), 3),
)
FILES = {"ssv2": "tiny_ssv2.pyth", "kinetics400": "tiny_k400.pyth"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two data sets of three classes, and weights of a small network in SlowFast's form and names."""
    root = tmp_path_factory.mktemp("published")
    for name in FILES:
        for split, number in (("train", 4), ("val", 7)):
            write_actions(root / name, split, number, 5, LabelSpace(name, COLOURS.classes), name)
    torch.manual_seed(3)
    model = create_model("mvitv2_xxs", num_classes=3, variant="baseline", clip=[4, 32, 32])
    state = {n.removeprefix("backbone."): tensor for n, tensor in model.state_dict().items() if n != "prompts"}
    head = {f"head.projection.{name}": state.pop(f"head.{name}") for name in ("weight", "bias")}
    head["head.projection.weight"] *= 50  # answers that differ
    for name in FILES.values():
        torch.save({"model_state": state | head, "epoch": 7, "cfg": "text"}, root / name)
    torch.save({"model_state": state}, root / "headless.pyth")
    torch.save({"model_state": state | head, "classes": ["reddish", "greenish", "violet"]}, root / "named.pyth")
    torch.save({"model_state": {f"{n}x": t for n, t in state.items()}}, root / "names.pyth")
    without = {n: t for n, t in state.items() if not n.startswith("blocks.1.")}
    torch.save({"model_state": without | head}, root / "blockless.pyth")
    (root / "page.pyth").write_text("\n<!DOCTYPE html><html>404</html>")
    (root / "folder.pyth").mkdir()
    state.pop("blocks.0.norm1.weight")
    torch.save({"model_state": state | head}, root / "short.pyth")
    return root


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small network's files are published ones."""
    monkeypatch.setattr(MViT, "published", ENTRIES)


def evaluated(place: Path, file: str, protocol: str, *more: str) -> int:
    return main([
        "eval", "--weights", str(place / file), "--model-name", "mvitv2_xxs", "--protocol", protocol,
        "--shards", str(place / protocol), *more,
    ])  # fmt: skip


def accuracy(place: Path, name: str, config: ClipConfig, views: tuple[int, int]) -> float:
    """Softmax summed over the views of each video, in a loop."""
    model = create_model("mvitv2_xxs", num_classes=3, variant="baseline", clip=[4, *config.size]).eval()
    state = torch.load(place / FILES[name], weights_only=True)["model_state"]
    given = {
        k.replace("head.projection", "head") if k.startswith("head.") else f"backbone.{k}": v for k, v in state.items()
    }
    assert set(model.load_state_dict(given, strict=False).missing_keys) <= {"prompts"}
    ds = find_sources([str(place / name)])[name].split("val")
    sums: dict[str, torch.Tensor] = {}
    truth = dict(zip(ds.column("key").tolist(), ds.column("action").tolist(), strict=True))
    for batch in eval_loader(ds, config, batch_size=5, views=views):
        for key, scores in zip(batch.keys, model(batch.video).logits.softmax(1).detach(), strict=True):
            sums[key] = sums.get(key, 0) + scores
    return sum(int(sums[key].argmax()) == truth[key] for key in truth) / len(truth)


@pytest.mark.usefixtures("known")
def test_its_views_are_the_protocols(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SSv2: one clip of segments in three crops, plain bilinear; the published number stands beside the result."""
    out = tmp_path / "result.json"
    assert evaluated(place, "tiny_ssv2.pyth", "ssv2", "--out", str(out)) == 0
    clip = ClipConfig(
        num_frames=4, size=(32, 32), antialias=False, downstream="ssv2", tasks={"ssv2": ("action",)},
        samplers={"ssv2": "segment"},
    )  # fmt: skip
    document = json.loads(out.read_text())
    (report,) = document["reports"]
    top1 = report["metrics"]["action"]["top1"]
    assert top1 == pytest.approx(accuracy(place, "ssv2", clip, (1, 3)))
    shown = capsys.readouterr().out
    assert f"published  top1 68.2; here {100 * top1:.2f} on 7 videos of ssv2 val" in shown
    assert "4 frames of 32x32, 1 x 3 views, segment" in shown
    assert "0 resized, 0 fresh, 0 unused" in shown
    assert "the file names no classes: the order of source 'ssv2' is assumed" in shown
    assert document["target"] == {"top1": 68.2, "top5": 91.4}
    assert len(document["parameters"]["loaded"]) > 100
    passport = report["passport"]
    assert (passport["protocol"], passport["views"]["number"]) == ("ssv2", 3)
    assert passport["model"]["backbone"] == "mvitv2_xxs"
    found = collect(tmp_path)
    assert found.weights["mvitv2_xxs", "tiny_ssv2_f1.pyth"].results[0][0] == "result.json"
    (line,) = [line for line in page(found).splitlines() if "result.json" in line]
    assert f"| top1 68.2 | top1 {100 * top1:.1f} | ssv2 val, N = 7; 4 x 1 x 3 |" in line


@pytest.mark.usefixtures("known")
def test_a_files_own_training_samples_are_not_held_out(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ds = pvit_data.open(place / "ssv2", source="ssv2", fields=[])
    keys = {split: ds.in_split(split).column("key").tolist() for split in ("train", "val")}
    with ShardWriter(tmp_path, "mine", "val", base=f"{place / 'ssv2'}#ssv2", kind="protocol") as writer:
        for key in (*keys["train"][:2], keys["val"][0]):
            writer.write(Sample(key=key))
    more = ("--shards", str(tmp_path), "--source", "mine")
    assert evaluated(place, "tiny_ssv2.pyth", "ssv2", *more) == 2
    assert "2 of 3 samples of 'mine' val are training samples of 'ssv2'" in capsys.readouterr().err


@pytest.mark.usefixtures("known")
def test_kinetics_has_five_clips(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "result.json"
    assert evaluated(place, "tiny_k400.pyth", "kinetics400", "--out", str(out)) == 0
    clip = ClipConfig(
        num_frames=4, size=(32, 32), antialias=False, eval_scale=256 / 224, downstream="kinetics400", rate=3,
        tasks={"kinetics400": ("action",)}, samplers={"kinetics400": "dense"},
    )  # fmt: skip
    (report,) = json.loads(out.read_text())["reports"]
    assert report["passport"]["views"] == {"frames": 4, "clips": 5, "crops": 1, "number": 5}
    assert report["passport"]["protocol"] == "kinetics400"
    assert "5 x 1 views, dense" in capsys.readouterr().out
    assert report["metrics"]["action"]["top1"] == pytest.approx(accuracy(place, "kinetics400", clip, (5, 1)))


@pytest.mark.parametrize("protocol", ["ssv2", "something-else-compositional"])
def test_other_sources_are_sampled_as_the_protocols_data_set(protocol: str, place: Path) -> None:
    """Also where they declare, or have by their name, another sampler."""
    shards = [str(place / "kinetics400")]
    model, _ = load_published(str(place / "tiny_k400.pyth"), "mvitv2_xxs", protocol, shards, "kinetics400")
    assert model.inference.clip.sampler("kinetics400") == "segment"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("headless.pyth", "has no head for classes"),
        ("named.pyth", "bluish"),
        ("names.pyth", "has no parameter of 'mvitv2_xxs': its first names are blocks.0."),
        ("blockless.pyth", "% of its numbers (blocks.1."),
        ("page.pyth", "is a page of the web (HTML)"),
        ("folder.pyth", "is a folder"),
        ("nothing.pyth", "does not exist"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    file: str, words: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluated(place, file, "ssv2") != 0
    assert words in capsys.readouterr().err


def test_what_is_missing_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluated(place, "short.pyth", "ssv2", "--limit", "2") == 0
    shown, told = capsys.readouterr()
    assert told.startswith("warning: 1 parameters are not in ")
    assert "MISSING: 1 parameters are not in the file and stay random" in shown
    assert "blocks.0.norm1.weight" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "RUN", "--weights", "F"], "give --model RUN, or a file"),
        ([], "give --model RUN, or a file"),
        (["--weights", "F", "--model-name", "mvitv2_s"], "--weights needs --model-name"),
        (["--model", "RUN", "--protocol", "ssv2"], "belong to --weights"),
        (["--weights", "F", "--model-name", "mvitv2_s", "--protocol", "sssv2"], "did you mean 'ssv2'"),
        (["--weights", "F", "--model-name", "mvitv2_s", "--protocol", "ego4d"], "a head for each of action and pnr"),
    ],
)
def test_options_that_do_not_fit(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--shards", "S", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_published_files_have_their_numbers() -> None:
    """Also under a name that lacks the number at its end."""
    for file in ("MViTv2_S_16x4_ssv2_f308341823.pyth", "MViTv2_S_16x4_ssv2.pyth"):
        entry = entry_of(Path(file), PUBLISHED["mvitv2_s"])
        assert entry is not None
        assert (entry.top1, entry.protocol) == (68.2, "ssv2")
    entry = entry_of(Path("MViTv2_S_16x4_k400.pyth"), PUBLISHED["mvitv2_s"])
    assert entry is not None
    assert (entry.top1, entry.protocol, entry.rate) == (81.0, "kinetics400", 4)
    for name in ("mine.pyth", "MViTv2_S.pyth", "MViTv2_S_16x4.pyth", "mvit.pth", "MViTv2_S_16x4_ssv2_f3.pyth"):
        assert entry_of(Path(name), PUBLISHED["mvitv2_s"]) is None
    for file in ("swin.pth", "swin_base.pth", "swin3d_b.pth"):
        assert entry_of(Path(file), SWIN["swin3d_b"]) is None
    recipe = protocol_recipe("kinetics400")
    assert (recipe.data.clips, recipe.data.crops, recipe.clip.antialias) == (5, 1, False)


@pytest.mark.parametrize(
    ("file", "options", "said"),
    [
        ("k400_joint_224_16x4.pyth", "{}", "with attention=joint, this one has the usual model.options"),
        ("k400_joint_224_16x4.pyth", "{attention: joint, drop_path: 0.1}", ""),
        (
            "k400_motionformer_224_16x4.pyth",
            "{attention: divided}",
            "usual model.options, this one has attention=divided",
        ),
        ("k400_motionformer_224_16x4.pyth", "{attention: trajectory}", ""),
        ("mine.pyth", "{attention: divided}", ""),
    ],
)
def test_weights_of_other_options_are_noted(file: str, options: str, said: str) -> None:
    sets = ["model.name=motionformer_b", f"model.options={options}", f"model.checkpoint=/w/{file}"]
    notes = other_options(load_recipe("ssv2/baseline", sets).model)
    assert [said in note for note in notes] == [True] * bool(said)


def test_persons_need_their_key_frames() -> None:
    with pytest.raises(ConfigError, match=r"persons of source 'ava' are .* of sampler fit; --set clip\.samplers\.ava="):
        require_key_frames(ClipConfig(samplers={"ava": "fit"}), "ava", ["persons"])
    require_key_frames(ClipConfig(), "ava", ["persons"])
    require_key_frames(ClipConfig(), "mine", ["action"])


def test_persons_are_scored_by_their_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """AVA: the file's only head, of 80 classes, reads boxes; on the detector's boxes, in whole frames."""
    write_persons(tmp_path / "shards")
    torch.manual_seed(1)
    heads = {"num_classes": 1, "labels": ["persons"], "label_classes": {"persons": 80}}
    model = create_model("mvitv2_xxs", variant="baseline", clip=[4, 32, 32], **heads)
    own = {n: t for n, t in model.state_dict().items() if n != "prompts" and not n.startswith("head.")}
    head = {n: n.replace("heads.persons.linear.", "head.projection.") for n in own}
    torch.save({"model_state": {head[n].removeprefix("backbone."): t for n, t in own.items()}}, tmp_path / "a.pyth")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MViT, "published", (Published("a.pyth", "", "none", "AVA 26.8", (4, 32, 32), 1),))
        loaded, _ = load_published(str(tmp_path / "a.pyth"), "mvitv2_xxs", "ava", [str(tmp_path / "shards")])
        assert all(torch.equal(loaded.network.state_dict()[n], t) for n, t in own.items())
        words = ["--shards", str(tmp_path / "shards"), "--layer", "ava=ava-detections", "--crops", "full", "--json"]
        weights = ["--weights", str(tmp_path / "a.pyth"), "--model-name", "mvitv2_xxs", "--protocol", "ava"]
        assert main(["eval", *weights, *words]) == 0
    document = json.loads(capsys.readouterr().out)
    (report,) = document["reports"]
    detections = pvit_data.open(tmp_path / "shards", source="ava", split="val", layers=["ava-detections"])
    assert report["metrics"]["persons"]["boxes"] == sum(len(sample.boxes) for sample in detections)
    assert 0 < report["metrics"]["persons"]["mAP"] < report["metrics"]["persons"]["oracle"]
    assert document["parameters"]["fresh"] == []
    assert "ava: whole frames were evaluated, their short side 32 pixels" in document["notes"]
