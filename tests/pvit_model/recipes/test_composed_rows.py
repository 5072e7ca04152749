"""Recipes of data set and variant: every row of published tables builds and takes steps on simulated data.

Names of before build what they built; targets are those of the published tables.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator

import pvit_data
from pvit_cli.data import main as data
from pvit_cli.model import main
from pvit_converters.simulate import simulate
from pvit_data import Sample, ShardWriter
from pvit_data.errors import ConfigError, UsageError
from pvit_data.loading.loader import loader
from pvit_data.mixing.config import MixtureConfig
from pvit_data.scoring.protocols import protocol_of_source
from pvit_data.tasks.table import every_task
from pvit_model.recipes.config import TrainConfig
from pvit_model.recipes.loading import (
    data_names,
    load_recipe,
    recipe_names,
    row_names,
    variant_names,
)
from pvit_model.recipes.plan import Plan, make_plan
from pvit_model.recipes.sources import choose_sources, sources_of
from pvit_model.runs.changes import changes_of
from pvit_model.training.build import build_network
from pvit_model.training.engine import make_accelerator, release
from pvit_model.training.mixup import mixer_of
from pvit_model.training.optim import make_optimizer
from pvit_model.training.step import StepOptions, Stepper
from pvit_model.training.trainer import run_plan

BEFORE = yaml.safe_load((Path(__file__).parent / "names_before.yaml").read_text())
AUXILIARY = {"hypersim": 3, "surreact": 3, "phav": 3, "synadl": 3, "ehoi": 3}
DOWNSTREAM = {"diving48": 6, "kinetics400": 6, "ego4d": None}
SETTINGS = ("compositional", "base", "5shot", "10shot")
SMALL = (
    "model.name=mvitv2_xxs", "clip.num_frames=4", "clip.size=[32, 32]", "mixture.batch_size=10", "data.workers=0",
    "run.threads=1", "run.watchdog_s=0", "run.precision=fp32", "run.predictions=0", "run.eval_clips=2", "data.crops=1",
    "data.clips=1",
)  # fmt: skip
PUBLISHED = {
    "ssv2/baseline": (68.2, 91.4), "ssv2/mt": (68.4, 91.4), "ssv2/vpt": (61.5, 87.5), "ssv2/pvit": (69.4, 91.6),
    "ssv2/slowfast": (68.2, 91.4), "kinetics400/slowfast": (81.0, 94.6),
    "something-else-compositional/baseline": (63.3, 87.5), "something-else-compositional/mt": (63.0, 87.6),
    "something-else-compositional/vpt": (53.0, 81.8), "something-else-compositional/pvit": (65.1, 88.8),
    "something-else-compositional/pvit-best": (65.5, 89.0), "something-else-compositional/only-depth": (64.8, 88.7),
    "something-else-base/baseline": (83.7, 96.8), "something-else-base/pvit": (85.0, 97.4),
    "something-else-5shot/pvit": (34.3,), "something-else-10shot/pvit": (41.3,),
    "something-else-5shot/baseline": (32.7,), "something-else-10shot/vpt": (39.0,),
    "diving48/baseline": (73.1,), "diving48/mt": (82.2,), "diving48/pvit": (85.8,),
    "ava/baseline": (26.8,), "ava/pvit": (28.4,),
    "ego4d/baseline": (0.702, 71.6), "ego4d/mt": (0.640, 73.6), "ego4d/pvit": (0.637, 74.8),
}  # fmt: skip
OF_SSV2 = ("action", "depth?", "normal?", "segm?", "pose3d?")
FULL_SIZE = ("ssv2", "something-else-compositional", "diving48", "kinetics400", "ava", "ego4d")
"""A data set each: the settings of SomethingElse differ in their labels alone."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of all: SSv2 with the protocols and boxes of SomethingElse, AVA with its persons, auxiliary sources."""
    root = tmp_path_factory.mktemp("simulated")
    raw, shards = root / "raw", root / "shards"
    simulate("something-else", raw / "something-else", preset="tiny", samples=40)
    convert("ssv2", raw / "something-else/ssv2", shards / "ssv2")
    for setting in SETTINGS:
        convert(
            "something-else", raw / "something-else", shards / "layers", "--base", shards / "ssv2", "--setting", setting
        )
    convert("something-else-boxes", raw / "something-else", shards / "layers", "--base", shards / "ssv2")
    for name, samples in (AUXILIARY | DOWNSTREAM).items():
        options = {"maps": True} if name == "surreact" else {}
        simulate(name, raw / name, preset="tiny", samples=samples, **options)
        convert(name, raw / name, shards / name)
    simulate("ava", raw / "ava", preset="tiny")
    convert("ava", raw / "ava", shards / "ava", "--split", "train")  # val has 897 seconds
    convert("ava-train", raw / "ava", shards / "ava", "--base", shards / "ava")
    return shards


def convert(source: str, raw: Path, out: Path, *options: object) -> None:
    assert data(["convert", source, str(raw), str(out), *map(str, options), "--workers", "1"]) == 0


def planned(row: str, simulated: Path, *settings: str, small: Sequence[str] = SMALL) -> Plan:
    on = row.partition("/")[0]
    own = ("ssv2", "layers") if on.startswith(("ssv2", "something-else")) else (on,)
    return make_plan(load_recipe(row, [*small, *settings]), [str(simulated / n) for n in (*own, *AUXILIARY)])


@pytest.fixture(scope="module")
def accelerator() -> Iterator[Accelerator]:
    """One for all: to let go of one takes as long as a step."""
    made = make_accelerator(load_recipe("ssv2/pvit", SMALL).run)
    yield made
    release(made)


def taken(
    steps: int, plan: Plan, accelerator: Accelerator
) -> tuple[set[str], torch.nn.Module, dict[str, torch.Tensor]]:
    """Targets that had a loss; the network after these steps, and its parameters before."""
    network = build_network(plan)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    model, stepping = accelerator.prepare(network, make_optimizer(network, plan.config.optim))
    weights = {target: plan.config.losses.weight_of(target) for target in plan.targets}
    optim = plan.config.optim
    options = StepOptions(
        weights=weights, losses=plan.inference().losses(), accumulate=optim.accumulate, clip_norm=optim.clip_norm
    )
    stepper, mixer, seen = Stepper(model, stepping, accelerator, options), mixer_of(plan), set[str]()
    model.train()
    for batch in loader(plan.mixture, num_steps=steps, clip=plan.config.clip):
        result = stepper.step(batch if mixer is None else mixer(batch))
        assert not result.skipped
        seen |= set(result.losses)
    return seen, network, before


def essence(config: TrainConfig) -> str:
    """What of a configuration two steps depend on, besides rates and the names of what is trained on."""
    values = config.model_dump(mode="json")
    labels = values["clip"]["tasks"].pop(config.clip.downstream, ())
    numbers = ("lr", "lr_batch", "final_lr", "weight_decay", "epochs", "warmup_steps", "clip_norm")
    optim = {key: value for key, value in values["optim"].items() if key not in numbers}
    clip = {k: v for k, v in values["clip"].items() if k not in ("downstream", "samplers", "flip", "eval_scale")}
    sampler = config.clip.samplers.get(config.clip.downstream)
    kept = [values["model"], values["mixture"], values["losses"], optim, clip, labels, sampler]
    return json.dumps(kept, sort_keys=True)


@pytest.fixture(scope="module")
def stepped() -> set[str]:
    """Essences that took their steps already."""
    return set()


@pytest.mark.parametrize("row", row_names())
def test_a_row_builds_and_takes_two_steps(
    row: str, simulated: Path, stepped: set[str], accelerator: Accelerator
) -> None:
    """All make their plan; of those that differ by numbers and names only, the first builds its network and steps."""
    plan = planned(row, simulated)
    key = essence(plan.config)
    if key in stepped:
        return
    stepped.add(key)
    seen, network, before = taken(2, plan, accelerator)
    trained = {task for source in plan.sources for task in source.targets}
    assert seen == trained & set(plan.targets)
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    frozen = plan.config.model.variant in ("vpt", "pvit-vpt")
    assert any(name.startswith("backbone.") for name in moved) != frozen
    assert plan.action is None or "head.weight" in moved


def test_rows_train_what_the_tables_say(simulated: Path) -> None:
    """Which task on which source, where shards hold more: real boxes are no task but that of `real-boxes`."""
    on = "something-else-compositional"

    def tasks(variant: str) -> dict[str, tuple[str, ...]]:
        return {s.name: tuple(sorted(s.tasks)) for s in planned(f"{on}/{variant}", simulated).sources}

    everything = {
        on: (), "ehoi": ("boxes", "segm"), "hypersim": ("depth", "normal"), "phav": ("depth", "segm"),
        "surreact": ("depth", "pose3d", "segm"), "synadl": ("pose3d",),
    }  # fmt: skip
    assert tasks("pvit") == everything
    assert tasks("real-boxes") == {**everything, on: ("boxes/real",)}
    assert tasks("only-segm") == {on: (), "ehoi": ("segm",), "surreact": ("segm",)}
    assert tasks("only-depth") == {on: (), "hypersim": ("depth",), "phav": ("depth",), "surreact": ("depth",)}
    assert tasks("only-ehoi") == {on: (), "ehoi": ("boxes", "segm")}
    assert tasks("baseline") == {on: ()}
    assert tasks("pretrain") == {name: found for name, found in everything.items() if name != on}


@pytest.mark.parametrize("on", ["ssv2", "diving48"])
def test_real_boxes_of_ssv2_are_no_task_of_other_rows(on: str, simulated: Path) -> None:
    """Whichever data set is trained where SSv2 lies with them."""
    shards = [str(simulated / name) for name in {"ssv2", "layers", "ehoi", on}]
    plan = make_plan(load_recipe(f"{on}/pvit", SMALL), shards)
    assert {s.name: s.tasks for s in plan.sources} == {on: (), "ehoi": ("boxes", "segm")}
    said = "boxes of its layers are not trained, since the recipe says what is; --set 'clip.tasks.ssv2=[action, boxes]'"
    assert any(said in note for note in plan.notes) == (on == "ssv2")
    asked = make_plan(load_recipe(f"{on}/pvit", [*SMALL, "clip.tasks.ssv2=[action, boxes]"]), shards)
    assert {s.name: s.tasks for s in asked.sources}["ssv2"] == ("boxes",)


@pytest.fixture(scope="module")
def with_depth(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """SSv2 with what lies over it, and with a layer of depth that somebody made of its real videos."""
    mine = tmp_path_factory.mktemp("mine")
    with ShardWriter(mine, "mine", base=f"{simulated}/ssv2#ssv2", made_by="me 1.0", licence="CC0-1.0") as writer:
        for sample in pvit_data.open(simulated / "ssv2", split="train"):
            size = (sample.num_frames, sample.height, sample.width)
            writer.write(Sample(key=sample.key, depth=np.ones(size, np.float32)))
    return [*(str(simulated / name) for name in ("ssv2", "layers", "ehoi")), str(mine)]


def with_layer(row: str, with_depth: list[str], *settings: str) -> tuple[dict[str, tuple[str, ...]], str]:
    """What a row trains on each source where the layer lies, and the notes of its plan."""
    plan = make_plan(load_recipe(row, [*SMALL, *settings]), with_depth)
    return {s.name: s.tasks for s in plan.sources}, "\n".join(plan.notes)


def test_layers_over_ssv2_join_its_rows(with_depth: list[str]) -> None:
    """Also in the protocols over SSv2."""
    for row in ("ssv2/pvit", "something-else-compositional/pvit"):
        assert with_layer(row, with_depth)[0][row.partition("/")[0]] == ("depth",)
    tasks, notes = with_layer("ssv2/real-boxes", with_depth)
    assert tasks["ssv2"] == ("depth", "boxes/real")
    assert "not trained" not in notes


@pytest.mark.parametrize("on", ["ssv2", "something-else-5shot", "diving48"])
def test_pretraining_is_on_synthetic_clips_alone(on: str, with_depth: list[str]) -> None:
    """SSv2's real ones hold what its protocols hold out."""
    assert with_layer(f"{on}/pretrain", with_depth)[0] == {"ehoi": ("boxes", "segm")}


def test_real_boxes_are_the_downstreams_own(with_depth: list[str], simulated: Path) -> None:
    tasks, notes = with_layer("diving48/real-boxes", [*with_depth, f"{simulated}/diving48"])
    assert tasks == {"diving48": ("boxes/real",), "ehoi": ("boxes", "segm"), "ssv2": ("depth",)}
    assert "no training sample of source 'diving48' carries boxes/real" in notes


@pytest.mark.parametrize("variant", ["np", "vpt", "baseline"])
def test_a_network_without_heads_trains_labels_alone(variant: str, with_depth: list[str]) -> None:
    tasks, notes = with_layer(f"ssv2/{variant}", with_depth)
    assert tasks == {"ssv2": ()}
    assert "heads" not in notes
    assert "not trained" not in notes
    tasks, notes = with_layer(f"ssv2/{variant}", with_depth, "clip.tasks.ssv2=[depth]", "mixture.portion=1")
    assert tasks == {"ssv2": ()}
    assert f"depth of clip.tasks is not trained, since a network of the variant '{variant}' has no heads" in notes
    without = make_plan(load_recipe(f"ssv2/{variant}", [*SMALL, "model.tasks=null", "mixture.portion=1"]), with_depth)
    assert without.tasks == ("depth", "segm", "boxes")  # prompts, where it has some


def test_a_task_that_is_asked_for_in_vain_is_told(with_depth: list[str]) -> None:
    on = "something-else-compositional"
    tasks, notes = with_layer(f"{on}/pvit-best", with_depth, f"clip.tasks.{on}=[boxes/real, depth]")
    assert tasks[on] == ("depth",)
    said = f"source '{on}': boxes/real of clip.tasks is not trained, since model.tasks lacks it"
    assert f"{said}; --set 'model.tasks=[depth, segm, boxes, boxes/real]' trains it" in notes
    assert "of its layers are not trained" not in notes


def test_the_head_alone_leaves_layers_out(with_depth: list[str]) -> None:
    """They are meant where they lie; what is asked for by name is refused, and the way out leads out."""
    on, head = "something-else-5shot", "model.finetune=head"
    for row in (f"{on}/pvit", f"{on}/np"):
        assert with_layer(row, with_depth, head)[0] == {on: ()}
    with pytest.raises(ConfigError, match=r"are there for depth; train its actions alone with --set") as caught:
        with_layer(f"{on}/pvit", with_depth, head, f"clip.tasks.{on}=[action, depth]")
    way = str(caught.value).partition("--set '")[2].partition("'")[0]
    assert with_layer(f"{on}/pvit", with_depth, head, way)[0] == {on: ()}
    with pytest.raises(ConfigError, match=r"there for boxes, segm; train all$"):
        with_layer(f"{on}/pretrain", with_depth, head)


def test_one_start_is_given(simulated: Path) -> None:
    plan = planned("ssv2/baseline", simulated, "model.init_from=RUN", "model.checkpoint=FILE")
    with pytest.raises(ConfigError, match=r"init_from 'RUN' and model.checkpoint 'FILE' are both given"):
        build_network(plan)
    assert build_network(plan, started=True)


def test_variants_on_few_shots(simulated: Path) -> None:
    """Pretraining is on the auxiliary sources, real boxes on the shots."""
    first = planned("something-else-5shot/pretrain", simulated)
    assert {s.name for s in first.sources} == set(AUXILIARY)
    (source,) = planned("something-else-5shot/real-boxes", simulated).sources
    assert (source.labels, source.tasks) == (("action",), ("boxes/real",))


def test_people_are_those_of_the_layers_where_they_lie(simulated: Path, tmp_path: Path) -> None:
    """One command is the row; without the layers the plan says whose boxes are taken."""
    said = "source 'ava': its own boxes are trained and validated on, not a detector's"
    with_layer = planned("ava/baseline", simulated)
    assert with_layer.sources[0].found.layers == (f"{simulated}/ava#ava-train",)
    assert not [note for note in with_layer.notes if note.startswith(said)]
    alone = planned("ava/baseline", simulated, "data.layers={ava: []}")
    assert alone.sources[0].found.layers == ()
    assert [note for note in alone.notes if note.startswith(said)]
    with pytest.raises(UsageError, match="has no layer 'ava-detections'"):
        planned("ava/baseline", simulated, "data.layers={ava: [ava-train, ava-detections]}")


def test_a_source_that_is_called_almost_like_a_data_set(shards: list[str]) -> None:
    """The recipe's own mention of SSv2 is no misspelling of it."""
    config = load_recipe("baseline", [*SMALL, "clip.downstream=real"])
    found = {name.replace("scenes", "ssv3"): source for name, source in sources_of(config, shards).items()}
    assert list(choose_sources(config, found).found) == ["real"]
    with pytest.raises(UsageError, match=r"source 'ssv2' is not in the shards, .* did you mean 'ssv3'"):
        choose_sources(config.model_copy(update={"mixture": MixtureConfig(weights={"ssv2": 2})}), found)


def test_a_few_shots_from_the_base_classes(simulated: Path, tmp_path: Path) -> None:
    """Both stages: a fresh head of the new classes; then all of it is trained, or the head alone."""
    run_plan(planned("something-else-base/baseline", simulated), tmp_path / "base", fast_dev_run=True)
    start = f"model.init_from={tmp_path}/base"
    row = "something-else-5shot/baseline"
    plans = {how: planned(row, simulated, start, f"model.finetune={how}") for how in ("all", "head")}
    assert plans["all"].action != planned("something-else-base/baseline", simulated).action
    accelerator = make_accelerator(plans["all"].config.run)
    for how, plan in plans.items():
        _, network, before = taken(2, plan, accelerator)
        moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
        assert {"head.weight", "head.bias"} <= moved
        assert (moved == {"head.weight", "head.bias"}) == (how == "head")
        training = {module.training for module in network.backbone.modules()}
        assert training == {how == "all"}
        assert network.dropout.training  # of the head
    release(accelerator)
    said: list[str] = []
    build_network(plans["head"], said.append)
    assert any("action head alone" in line for line in said)


def test_the_head_alone_needs_actions_and_nothing_else(simulated: Path) -> None:
    with pytest.raises(ConfigError, match=r"finetune=head .* the sources are there for boxes, .*; leave auxiliary"):
        planned("something-else-base/pvit", simulated, "model.finetune=head")


@pytest.mark.parametrize("name", sorted(BEFORE))
def test_names_of_before_build_what_they_built(name: str) -> None:
    config = load_recipe(name)
    values = config.model_dump(mode="json", exclude_unset=True)
    assert config.name == name
    assert {k: v for k, v in values.items() if k in BEFORE[name]} == BEFORE[name]
    assert set(values) - set(BEFORE[name]) <= {"name", "about", "target", "paper", "ours"}


def test_a_variant_alone_is_that_of_ssv2() -> None:
    for name in variant_names():
        alone, whole = load_recipe(name), load_recipe(f"ssv2/{name}")
        assert alone.model_copy(update={"name": ""}) == whole.model_copy(update={"name": ""})


def test_targets_are_the_published_numbers() -> None:
    assert {row: tuple(load_recipe(row).target.values()) for row in PUBLISHED} == PUBLISHED
    assert load_recipe("pvit+timesformer").target == load_recipe("timesformer").target == {}  # of another backbone


@pytest.mark.parametrize("row", row_names())
def test_a_row_says_what_is_the_papers_and_what_is_ours(row: str) -> None:
    config, on = load_recipe(row), row.partition("/")[0]
    assert config.about
    assert config.paper
    assert config.ours
    assert config.clip.downstream in (on, "")
    protocol = protocol_of_source(on)
    if protocol is not None:  # scoring refuses other views
        assert (config.data.clips, config.data.crops) == (protocol.clips, protocol.crops)
    alone = config.mixture.portion == 0
    assert config.optim.lr_batch == config.mixture.batch_size
    real = [int(n) for text in config.paper for n in re.findall(r"(\d+) real clips", text)]
    assert not real or real == [16 if on == "ava" else 64]
    named = {name for text in config.paper for name in ("Adam", "SGD") if re.search(rf"\b{name}\b", text)}
    assert len(named) <= 1
    assert named <= {{"adam": "Adam", "sgd": "SGD"}.get(config.optim.name)}
    if config.pretrained and not row.endswith(("slowfast", "pretrain")):
        whole = 32 if on == "ava" else 128
        assert config.mixture.batch_size == (whole // 2 if alone else whole)


def test_every_data_set_and_task_has_its_name() -> None:
    assert data_names() == [
        "ava", "diving48", "ego4d", "kinetics400", "something-else-10shot", "something-else-5shot",
        "something-else-base", "something-else-compositional", "ssv2",
    ]  # fmt: skip
    assert load_recipe("ava/pvit").clip.tasks == {"ava": ("persons",), "ssv2": OF_SSV2}
    assert {task for row in row_names() for tasks in load_recipe(row).clip.tasks.values() for task in tasks} <= {
        *OF_SSV2,
        *every_task(), "boxes/real",
    }  # fmt: skip


def test_what_a_run_changed_of_its_recipe_is_known(simulated: Path) -> None:
    def changed(*settings: str) -> list[str]:
        shards = [str(simulated / name) for name in ("ssv2", "hypersim", "ehoi")]
        return changes_of(make_plan(load_recipe("mt", ["model.name=mvitv2_xxs", *settings]), shards).config)

    more = [
        "sources (without surreact, phav, synadl)", "tasks (without pose3d)", "model.checkpoint (none: random weights)"
    ]  # fmt: skip
    assert changed("run.threads=1", "data.workers=0") == ["model.name", *more]
    assert changed("optim.epochs=3", "losses.weights={depth: 2.0}") == [
        "model.name", "losses.weights", "optim.epochs", *more,
    ]  # fmt: skip
    assert changed("clip.num_frames=4", "clip.size=[32,32]", "clip.rate=2") == [
        "clip.num_frames", "clip.size", "clip.rate", "model.name", *more,
    ]  # fmt: skip
    assert changed("clip.tasks={hypersim: [depth]}", "data.where={ssv2: action < 90}", "data.allow_overlap=true") == [
        "data.where", "data.allow_overlap", "model.name", more[0], "clip.tasks (hypersim: depth)",
        "tasks (without normal, pose3d)", more[2],
    ]  # fmt: skip
    assert changed("clip.samplers={ssv2: dense}", "run.best=action/top5", "run.precision=fp32") == [
        "model.name", "run.precision", "run.best", "clip.samplers (ssv2: dense)", *more,
    ]  # fmt: skip
    assert changed("clip.samplers={ssv2: segment, ehoi: fit}") == ["model.name", *more]


def test_classes_are_the_datas_and_layers_that_a_row_means_are_told(simulated: Path) -> None:
    config = planned("ava/baseline", simulated, small=("model.checkpoint=x.pyth",)).config
    assert config.clip.label_classes
    assert changes_of(config) == changes_of(config, {}, {"ava": ["ava-detections", "ava-train"]}) == []
    assert changes_of(config, {}, {"ava": ["ava-train"]}) == ["data.layers (ava: without ava-detections)"]


@pytest.mark.parametrize("row", ["pvit", "real-boxes", "only-segm", "baseline", "pretrain"])
def test_a_run_of_all_that_a_row_means_changed_nothing(row: str, simulated: Path) -> None:
    """What is trained is the row's; a task that no sample carried is told, and one that is not the row's."""
    plan = planned(f"something-else-compositional/{row}", simulated, small=("model.checkpoint=x.pyth",))
    assert changes_of(plan.config) == []
    if row == "pvit":
        told = changes_of(plan.config, {"synadl": ["pose3d"], "phav": ["segm"]})
        assert told == ["sources (without synadl)", "clip.tasks (phav: depth)"]
        tasks = plan.config.clip.tasks | {"mine": ("boxes",)}
        clip = plan.config.clip.model_copy(update={"tasks": tasks})
        assert changes_of(plan.config.model_copy(update={"clip": clip})) == ["clip.tasks (mine: boxes)"]


def test_the_table_of_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--table"]) == 0
    shown = capsys.readouterr().out
    assert "something-else-compositional/pvit-best" in shown
    assert "top1 65.5, top5 89.0" in shown
    assert main(["recipes", "--table", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == set(row_names())
    assert told["ego4d/pvit"]["target"] == {"pnr_error_sec": 0.637, "oscc_top1": 74.8}
    assert main(["recipes", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(recipe_names())
    assert main(["recipes"]) == 0
    assert "57 DATA/VARIANT are rows" in capsys.readouterr().out
    assert main(["recipes", "pvit", "--table"]) == 2


@pytest.mark.parametrize("name", ["ssv2", "ssv2/", "ssv2/nothing"])
def test_a_data_set_alone_is_told_what_is_missing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", name]) != 0
    told = capsys.readouterr().err
    assert f"unknown recipe '{name}': 'ssv2' is a data set, and recipes on it are DATA/VARIANT" in told
    assert all(load_recipe(f"ssv2/{v}") for v in told.rpartition("variants are ")[2].split(", ")[:2])


@pytest.mark.full
@pytest.mark.parametrize("on", FULL_SIZE)
def test_a_full_size_row_of_each_data_set(on: str, simulated: Path) -> None:
    """The paper's network, clips of 16x224x224 and optimiser: a step of one real and one synthetic clip."""
    sized = ("mixture.batch_size=2", "optim.accumulate=2", "data.workers=0", "run.precision=fp32")
    people = ["data.where={ava: boxes > 1}"] if on == "ava" else []
    plan = planned(f"{on}/pvit", simulated, *people, small=sized)
    assert (plan.config.clip.num_frames, plan.config.clip.size) == (16, (224, 224))
    accelerator = make_accelerator(plan.config.run)
    seen, network, before = taken(1, plan, accelerator)
    release(accelerator)
    assert seen & set(plan.config.clip.tasks[on])
    assert sum(p.numel() for p in network.backbone.parameters()) > 34e6
    moved = [name for name, p in network.named_parameters() if not torch.equal(p, before[name])]
    assert any(name.startswith("backbone.") for name in moved)
