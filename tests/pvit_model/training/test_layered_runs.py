"""Training on layers over a base is, to the bit, training on one data set that holds all of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_converters.engine.finishing import finish_dataset
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.errors import UsageError
from pvit_data.reading.layers.places import find_sources
from pvit_model.recipes.announcement import plan_lines
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.mixtures import recipe_mixture
from pvit_model.recipes.plan import make_plan
from pvit_model.runs.folder import changed_data, describe
from pvit_model.runs.log import read_log
from pvit_model.training.trainer import run_plan
from pvit_model.using.evaluate import evaluate
from tests.pvit_model.conftest import COLOURS, THINGS

SCENES = ("depth", "normal", "segm")


def take_apart(shards: list[str], out: Path) -> list[str]:
    """The same samples: pictures of `real` as `videos` with the protocol `real`, those of `scenes` with a layer."""
    real, synthetic = (pvit_data.open(url) for url in shards)
    videos, scenes = out / "videos", out / "scenes"
    for split in ("train", "val"):
        with ShardWriter(videos, "videos", split) as writer:
            for sample in real.in_split(split) or ():
                writer.write(Sample(key=sample.key, group=sample.group, rgb=encoded(real, sample.key), fps=12.0))
        with ShardWriter(
            videos, "real", split, base="videos", kind="protocol", spaces={"action": COLOURS}, role="downstream"
        ) as writer:
            for sample in real.in_split(split) or ():
                writer.write(Sample(key=sample.key, action=sample.action))
        for source in ("people", "scenes"):
            own = pvit_data.open(shards[1], source=source).in_split(split)
            assert own is not None
            spec = own.sources[source]
            with ShardWriter(scenes, spec if source == "people" else "scenes", split) as writer:
                for sample in own:
                    sample.rgb = encoded(synthetic, sample.key)
                    if source == "scenes":
                        sample.depth = sample.normal = sample.segm = None
                    writer.write(sample)
    with ShardWriter(
        scenes, "maps", base="scenes", spaces={"segm": THINGS}, tasks=SCENES, made_by="somebody"
    ) as writer:
        for sample in pvit_data.open(shards[1], source="scenes"):
            writer.write(Sample(key=sample.key, depth=sample.depth, normal=sample.normal, segm=sample.segm))
    return [str(videos), str(scenes)]


def encoded(dataset: pvit_data.ShardDataset, key: str) -> pvit_data.EncodedMedia:
    row = dataset.column("key").tolist().index(key)
    return pvit_data.EncodedMedia(dataset.files(row, ["rgb.mp4"])["rgb.mp4"], "mp4")


@pytest.fixture(scope="module")
def apart(shards: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return take_apart(shards, tmp_path_factory.mktemp("apart"))


def losses(run: Path) -> list[tuple[str, float, object]]:
    return [(x["kind"], x["step"], x.get("losses") or x.get("sources")) for x in read_log(run)]


def test_layered_training_is_bit_equal(
    shards: list[str], apart: list[str], tiny_recipe: str, run_folder: Path, tmp_path: Path
) -> None:
    plan = make_plan(load_recipe(tiny_recipe), apart)
    assert [(s.name, s.tasks) for s in plan.sources] == [
        ("real", ()),
        ("people", ("pose3d", "boxes")),
        ("scenes", SCENES),
    ]
    run_plan(plan, tmp_path / "run")
    assert losses(tmp_path / "run") == losses(run_folder)
    assert [x for x in losses(tmp_path / "run") if x[0] == "train"]
    lines = "\n".join(plan_lines(plan, {"parameters": 1}, tmp_path))
    assert "attached   real is a protocol over videos, with action of its own" in lines
    maps = "depth of 18 samples, normal of 12 samples, segm of 18 samples (from maps, made by somebody)"
    assert f"attached   scenes: {maps}" in lines
    notes: list[str] = []
    one = evaluate(str(run_folder), shards, limit=4)
    other = evaluate(str(tmp_path / "run"), apart, limit=4, note=notes.append)
    assert [(r.source, r.metrics) for r in one] == [(r.source, r.metrics) for r in other]
    assert notes[:2] == [
        "protocol 'real', split val: 9 of 9 rows present",
        "real is a protocol over videos, with action of its own",
    ]
    assert notes[2].startswith("scenes: depth of ")
    assert notes[2].endswith("(from maps, made by somebody)")


def test_training_samples_are_not_held_out_under_another_name(
    shards: list[str], run_folder: Path, tmp_path: Path
) -> None:
    """The run was trained on `real`; a protocol over it holds out two of those samples, and one that it never saw."""
    options = {"base": f"{shards[0]}#real", "kind": "protocol"}
    with ShardWriter(tmp_path, "other", "val", **options) as writer:  # type: ignore[arg-type]
        for key in ("train-000", "train-001", "val-000"):
            writer.write(Sample(key=key))
    both = [*shards, str(tmp_path)]
    with pytest.raises(UsageError, match=r"2 of 3 samples of 'other' val are training samples of 'real'"):
        evaluate(str(run_folder), both, "other")
    (report,) = evaluate(str(run_folder), both, "other", reference_split=None, allow_overlap=True, passports=True)
    assert report.metrics["action"]["videos"] == 3
    told = {"source": "other", "split": "val", "clips": 3, "of": 3}
    assert report.passport["model"]["evaluated"] == told | {"overlap": {"real": 2}}
    (report,) = evaluate(str(run_folder), shards, "real", reference_split=None, limit=4, passports=True)
    assert report.passport["model"]["evaluated"] == {"source": "real", "split": "val", "clips": 4, "of": 9}
    assert (report.passport["list"]["n"], report.passport["list"]["of"]) == (4, 9)
    began = began_on(run_folder, tmp_path / "run", {"name": "real", "over": ""})
    with pytest.raises(UsageError, match=r"2 of 3 samples of 'other' val are training samples of 'real'"):
        evaluate(began, both, "other")
    began = began_on(run_folder, tmp_path / "run", {"name": "gone", "over": "real"})
    assert unknown(began, shards, ["gone"]).startswith("real: whether its samples are training samples is not known")
    shutil.copytree(run_folder / "model", tmp_path / "exported")
    said = unknown(str(tmp_path / "exported"), shards, ["exported"])
    assert said.endswith("nobody recorded what 'exported' was trained on")


def began_on(run_folder: Path, run: Path, start: dict[str, str]) -> str:
    """A copy of the run, which began with weights that were trained on that, instead of training on `real` itself."""
    shutil.copytree(run_folder, run, dirs_exist_ok=True)
    record = json.loads((run_folder / "data.json").read_text())
    record["sources"].pop("real")
    (run / "data.json").write_text(json.dumps(record | {"starts_on": [start]}))
    return str(run)


def unknown(model: str, shards: list[str], names: list[str]) -> str:
    """What is said of data that are not known, which is in the passport, too."""
    notes: list[str] = []
    (report,) = evaluate(model, shards, "real", reference_split=None, limit=1, passports=True, note=notes.append)
    facts = report.passport["model"]
    assert facts["evaluated"]["unknown"] == names
    assert ("changed" in facts) == (names == ["gone"]), "only its run says that"
    (said,) = [note for note in notes if "not known" in note]
    return said


def test_what_a_recipe_says_of_layers(apart: list[str], tiny_recipe: str) -> None:
    plan = make_plan(load_recipe(tiny_recipe, ["data.layers={scenes: []}"]), apart)
    assert [s.name for s in plan.sources] == ["real", "people"]
    with pytest.raises(UsageError, match="has no layer 'mops'"):
        make_plan(load_recipe(tiny_recipe, ["data.layers={scenes: [mops]}"]), apart)
    for address in (f"{apart[1]}#maps?", f"{apart[1]}?", "nosuch#maps?"):  # never only where it lies
        with pytest.raises(UsageError, match=r"maps\?' of 'scenes'|scenes\?' of 'scenes'.* leave the '\?' out"):
            make_plan(load_recipe(tiny_recipe, [f"data.layers={{scenes: ['{address}']}}"]), apart)
    with pytest.raises(UsageError, match=r"protocol 'real' is over 'videos', which is not in the shards"):
        make_plan(load_recipe(tiny_recipe), [protocol_alone(apart[0])])


def protocol_alone(folder: str) -> str:
    """The protocol in a folder of its own."""
    out = Path(folder).parent / "alone"
    if not out.exists():
        with ShardWriter(out, "real", base=f"{folder}#videos", kind="protocol", spaces={"action": COLOURS}) as writer:
            writer.write(Sample(key="train-000", action=0))
    return str(out)


def test_two_layers_of_one_field_are_refused_unless_named(apart: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    key = pvit_data.open(apart[1], source="scenes")[0].key
    with ShardWriter(tmp_path, "flat", base=f"{apart[1]}#scenes") as writer:
        writer.write(Sample(key=key, depth=np.ones((6, 32, 32), np.float32)))
    both = [*apart, str(tmp_path)]
    with pytest.raises(
        UsageError, match=r"layer 'flat' and 'maps' both give depth of 'scenes': name the layers to use"
    ):
        make_plan(load_recipe(tiny_recipe), both)
    plan = make_plan(load_recipe(tiny_recipe, ["data.layers={scenes: [maps, flat]}"]), both)
    scenes = next(s for s in plan.sources if s.name == "scenes")
    assert scenes.train.column("has_depth").sum() == 1
    asked = ShardWriter(tmp_path / "asked", "flat", base=f"{apart[1]}#scenes", attach="on-request")
    with asked as writer:
        writer.write(Sample(key=key, depth=np.ones((6, 32, 32), np.float32)))
    plan = make_plan(load_recipe(tiny_recipe), [*apart, str(tmp_path / "asked")])
    assert next(s for s in plan.sources if s.name == "scenes").train.column("has_depth").sum() == 18


def test_samples_trained_on_and_held_out_under_two_names_are_refused(
    apart: list[str], tiny_recipe: str, tmp_path: Path
) -> None:
    base = f"{apart[0]}#videos"
    for split, keys in (("train", ["val-000", "val-001", "train-000"]), ("val", ["train-001"])):
        with ShardWriter(
            tmp_path, "mixed", split, base=base, kind="protocol", spaces={"action": LabelSpace("m", ("a",))}
        ) as writer:
            for key in keys:
                writer.write(Sample(key=key, action=0))
    with ShardWriter(tmp_path, "flat", base=base, tasks=("depth",)) as writer:
        for key in ("val-000", "train-000"):
            writer.write(Sample(key=key, depth=np.ones((6, 32, 32), np.float32)))
    settings = ["data.protocols=[mixed]"]
    with pytest.raises(UsageError, match=r"'real' trains on 1 sample that 'mixed' holds out, over the same"):
        make_plan(load_recipe(tiny_recipe, settings), [*apart, str(tmp_path)])
    plan = make_plan(load_recipe(tiny_recipe, [*settings, "data.allow_overlap=true"]), [*apart, str(tmp_path)])
    assert [(s.name, s.tasks) for s in plan.sources if s.name in ("mixed", "real")] == [
        ("real", ("depth",)),
        ("mixed", ("depth",)),
    ]
    with pytest.raises(UsageError, match=r"'real' trains on 1 sample that 'mixed' holds out"):
        recipe_mixture(tiny_recipe, [*apart, str(tmp_path)], settings)
    where = [*settings, "data.where={mixed: \"key == 'train-000'\"}"]
    assert make_plan(load_recipe(tiny_recipe, where), [*apart, str(tmp_path)]).sources


def test_the_mixture_says_what_is_attached_and_quotas_see_it(
    shards: list[str], apart: list[str], tiny_recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quotas = ["mixture.quotas={normal: 2, boxes: 1}"]
    mixture, notes = recipe_mixture(tiny_recipe, apart, quotas)
    assert notes == (
        "real is a protocol over videos, with action of its own",
        "scenes: depth of 18 samples, normal of 12 samples, segm of 18 samples (from maps, made by somebody)",
    )
    whole, nothing = recipe_mixture(tiny_recipe, shards, quotas)
    assert nothing == ()
    folders = [word for folder in apart for word in ("--shards", folder)]
    assert main(["mix", tiny_recipe, *folders, "--set", quotas[0], "--steps", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [*notes]
    assert [mixture.plan(step) for step in range(20)] == [whole.plan(step) for step in range(20)]


def test_protocols_are_sources_only_when_they_are_named(apart: list[str], tiny_recipe: str) -> None:
    assert set(find_sources(apart)) == {"videos", "people", "scenes"}
    assert set(find_sources(apart, named=["real"])) == {"real", "people", "scenes"}
    assert set(find_sources(apart, named=["real", "videos"])) == {"real", "videos", "people", "scenes"}
    with pytest.raises(UsageError, match=r"data\.protocols: no 'reel' in the shards"):
        make_plan(load_recipe(tiny_recipe, ["data.protocols=[reel]"]), apart)


def test_settings_of_a_protocol_are_those_of_its_base(apart: list[str], tiny_recipe: str) -> None:
    of_base = [
        "clip.per_source={videos: {rate: 2, colour: 0.5}, real: {colour: 0.25}}",
        "clip.flip={videos: 0.5}",
        "clip.samplers={videos: dense}",
        "mixture.weights={videos: 3}",
        "data.where={videos: \"key != 'train-000'\"}",
    ]
    plan = make_plan(load_recipe(tiny_recipe, of_base), apart)
    own = plan.config.clip.of_source("real")
    assert (own.rate, own.colour, own.flip_of("real"), own.sampler("real")) == (2, 0.25, 0.5, "dense")
    assert plan.config.mixture.weights["real"] == 3
    assert len(plan.sources[0].train) == 17


def test_what_was_made_to_be_asked_for_is_no_truth(
    run_folder: Path, shards: list[str], apart: list[str], tmp_path: Path
) -> None:
    with ShardWriter(tmp_path, "guess", base=f"{apart[1]}#scenes", attach="on-request") as writer:
        for sample in pvit_data.open(apart[1], source="scenes", split="val"):
            writer.write(Sample(key=sample.key, depth=np.full((6, 32, 32), 50, np.float32)))

    def depth(data: list[str], layers: dict[str, list[str]] | None = None) -> dict[str, float]:
        (report,) = evaluate(str(run_folder), data, "scenes", reference_split=None, limit=2, layers=layers)
        return report.metrics["depth"]

    both = [*apart, str(tmp_path)]
    assert depth(both) == depth(shards)
    assert depth(both, {"scenes": ["maps", "guess"]}) != depth(shards)


def test_a_run_goes_on_with_the_layers_that_it_began_with(apart: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    moved = [shutil.copytree(url, tmp_path / Path(url).name) for url in apart]
    scenes, recipe = moved[1], load_recipe(tiny_recipe)

    def write(name: str, base: str, **more: Any) -> None:
        with ShardWriter(scenes, name, base=base, **more) as writer:
            for sample in pvit_data.open(scenes, source=base):
                writer.write(Sample(key=sample.key, depth=np.ones((6, 32, 32), np.float32)))

    def changes() -> list[tuple[str, bool]]:
        found, _ = changed_data(tmp_path / "run", make_plan(recipe, [*map(str, moved)]))
        return [(change.source, bool(change.old and change.new)) for change in found]

    (tmp_path / "run").mkdir()
    describe(tmp_path / "run", make_plan(recipe, [*map(str, moved)]), [])
    assert changes() == []
    write("asked", "scenes", attach="on-request")
    with ShardWriter(scenes, "half", base="people", kind="protocol") as writer:
        writer.write(Sample(key=pvit_data.open(scenes, source="people")[0].key))
    (scenes / "README.md").write_text("a card")
    assert changes() == []
    write("more", "people")
    assert changes() == [("people", True)]
    shutil.rmtree(scenes / "layers/more")
    shutil.rmtree(scenes / "layers/maps")
    finish_dataset(str(scenes))
    write("maps", "scenes", tasks=SCENES)
    assert changes() == [("scenes", True)]
