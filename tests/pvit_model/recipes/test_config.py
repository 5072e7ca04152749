"""Configuration and recipes: every shipped recipe loads, mistakes are named with the nearest key."""

import math
import os
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pvit_data.errors import ConfigError
from pvit_data.storage.values import check_numbers
from pvit_model.recipes import schedule
from pvit_model.recipes.config import (
    OptimConfig,
    RunConfig,
    TrainConfig,
    known_paths,
    load_mapping,
    merge,
    parse_setting,
)
from pvit_model.recipes.loading import load_recipe, recipe_names
from pvit_model.recipes.mixtures import recipe_mixture
from pvit_model.recipes.plan import make_plan
from pvit_model.training import optim
from pvit_model.training.build import build_network
from pvit_model.training.engine import make_accelerator, release


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_load_and_survive_a_round_trip(name: str) -> None:
    config = load_recipe(name)
    assert config.name == name
    assert config.about
    assert load_mapping(yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optim": {"lr_": 1}}, "unknown key 'optim.lr_'; did you mean 'optim.lr'?"),
        ({"optimizer": {}}, "unknown key 'optimizer'; did you mean 'optim'?"),
        ({"batch_size": 4}, "unknown key 'batch_size'; did you mean 'mixture.batch_size'?"),
        ({"optim": 3}, "'optim' is a section, expected keys under it, found 3"),
        ({"optim": {"lr": "fast"}}, "'optim.lr' = 'fast'"),
        ({"run": {"precision": "int8"}}, "'run.precision' = 'int8'"),
        ({"optim": {"lr": -1}}, "'optim.lr' = -1"),
    ],
)
def test_mistakes_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_mapping(values, "recipe 'x'")
    assert message in str(caught.value)
    assert str(caught.value).startswith("recipe 'x': ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("optim.lr=1e-3", {"optim": {"lr": 0.001}}),
        ("model.tasks=[depth, segm]", {"model": {"tasks": ["depth", "segm"]}}),
        ("optim.ema=null", {"optim": {"ema": None}}),
        ("about=a=b", {"about": "a=b"}),
        ("mixture.weights.phav=2", {"mixture": {"weights": {"phav": 2}}}),
    ],
)
def test_settings(text: str, value: object) -> None:
    assert parse_setting(text) == value


@pytest.mark.parametrize("text", ["lr", "=3", "a=[1", "optim.lr=!!python/object:os.system {}"])
def test_unusable_settings(text: str) -> None:
    with pytest.raises(ConfigError):
        load_recipe("demo", [text])


def test_settings_win_over_the_recipe() -> None:
    assert load_recipe("demo", ["optim.lr=0.5", "optim.steps=7"]).optim.steps == 7


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown recipe 'pvit-bets'; did you mean 'pvit-best'"):
        load_recipe("pvit-bets")


def test_own_recipe_file_with_a_base(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: demo\nabout: mine\noptim: {lr: 0.25}\n")
    config = load_recipe(str(path))
    assert (config.name, config.about, config.optim.lr) == ("mine", "mine", 0.25)
    assert config.model == load_recipe("demo").model
    path.write_text(f"base: {path}\n")
    with pytest.raises(ConfigError, match="does a base name itself"):
        load_recipe(str(path))
    path.write_text("a: [1\n")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        load_recipe(str(path))
    with pytest.raises(ConfigError, match="No such file"):
        load_recipe(str(tmp_path / "none.yaml"))


def test_merge_is_deep_and_leaves_its_inputs() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merge(base, {"a": {"b": 3}, "d": [2]}) == {"a": {"b": 3, "c": 2}, "d": [2]}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1]}


def test_paper_recipe_is_the_papers() -> None:
    config = load_recipe("pvit")
    assert (config.optim.name, config.optim.lr, config.optim.weight_decay) == ("adam", 7e-5, 1e-4)
    assert (config.optim.epochs, config.optim.warmup_steps, config.optim.clip_norm) == (100, 0, None)
    assert (config.mixture.batch_size, config.mixture.portion, config.mixture.cap) == (128, 1.0, 3.0)
    weights = {task: config.losses.weight_of(task) for task in ("action", *(config.model.tasks or ()))}
    assert weights == {
        "action": 1.0, "depth": 0.5, "normal": 0.5, "segm": 0.1, "pose3d": 3.0, "boxes": 0.1,
    }  # fmt: skip
    assert config.clip.flip == 0
    assert set(load_recipe("pvit-best").model.tasks or ()) == {"depth", "segm", "boxes"}


def test_schedule_is_half_a_cosine_after_a_linear_warm_up() -> None:
    config = OptimConfig(warmup_steps=4, final_lr=0.1)
    rates = [schedule.lr_at(s, 104, 1.0, config) for s in range(104)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[54] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2)
    assert rates[-1] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 99 / 100)) / 2)


def test_decay_spares_norms_biases_and_tokens() -> None:
    model = torch.nn.Module()
    model.backbone = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    model.prompts = torch.nn.Parameter(torch.zeros(5, 3))
    model.head = torch.nn.Linear(3, 2)
    optimizer = optim.make_optimizer(model, OptimConfig(weight_decay=0.3, head_lr_factor=10))
    optim.set_lr(optimizer, 0.01)
    found = {n: (g["weight_decay"], g["lr"]) for g in optimizer.param_groups for n in g["names"]}
    assert found == {
        "backbone.0.weight": (0.3, 0.01), "backbone.0.bias": (0.0, 0.01),
        "backbone.1.weight": (0.0, 0.01), "backbone.1.bias": (0.0, 0.01),
        "prompts": (0.0, 0.1), "head.weight": (0.3, 0.1), "head.bias": (0.0, 0.1),
    }  # fmt: skip


def test_scaled_learning_rate_is_opt_in() -> None:
    plain = OptimConfig(lr=0.1, lr_batch=128)
    assert schedule.peak_lr(plain, 32) == 0.1
    assert schedule.peak_lr(plain.model_copy(update={"scale_lr": "linear"}), 32) == 0.025


def test_defaults_need_no_recipe() -> None:
    assert load_mapping({}) == TrainConfig()


def test_layer_decay_slows_early_blocks() -> None:
    """0.5: the last block at 1/2 ... of the heads' rate, the patch embedding two blocks further down."""
    from pvit_model import create_model

    model = create_model(
        "mvitv2_xxs", tasks=["depth"], num_classes=2, depth=2, stages=[1], dense_layers=[0, 1], embed_dim=8
    )
    optimizer = optim.make_optimizer(model, OptimConfig(layer_decay=0.5, head_lr_factor=10))
    found = {n: g["factor"] for g in optimizer.param_groups for n in g["names"]}
    assert set(found) == {n for n, _ in model.named_parameters()}
    assert found["head.weight"] == found["prompts"] == 10
    assert found["backbone.norm.weight"] == 1
    assert {f for n, f in found.items() if n.startswith("backbone.blocks.1.")} == {0.5}
    assert {f for n, f in found.items() if n.startswith("backbone.blocks.0.")} == {0.25}
    assert {found["backbone.cls_token"], found["backbone.pos_embed_temporal"]} == {0.125}
    assert {f for n, f in found.items() if n.startswith("backbone.patch_embed.")} == {0.125}


def test_recomputed_blocks_give_the_same_gradient_with_less_memory() -> None:
    from pvit_model import create_model
    from pvit_model.training.memory import SavedBytes
    from pvit_model.training.sharded import recompute_blocks

    found, kept = [], []
    video = torch.rand(2, 3, 4, 32, 32)
    for again in (False, True):
        torch.manual_seed(0)
        model = create_model(
            "mvitv2_xxs", tasks=["depth"], num_classes=2, clip=[4, 32, 32], drop_path=0.5, dropout=0.5
        ).train()
        if again:
            recompute_blocks(model)
        saved = SavedBytes(model)
        torch.manual_seed(1)
        with saved.watching(model):
            out = model(video)
        (out.logits.square().sum() + out.tasks["depth"].sum()).backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
        kept.append(saved.total)
    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])
    assert kept[1] < 0.5 * kept[0]


def test_determinism_is_switched_on_and_off_again() -> None:
    for wanted in (True, False):
        release(make_accelerator(RunConfig(deterministic=wanted)))
        assert torch.are_deterministic_algorithms_enabled() == wanted
        if wanted:
            assert torch.is_deterministic_algorithms_warn_only_enabled()
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


def test_averaged_weights_follow_the_model_to_its_device() -> None:
    """Averages are made, and restored, before the model moves to an accelerator; the meta device stands for one."""
    model = torch.nn.Linear(2, 3)
    ema = optim.Ema(model, 0.5)
    ema.update(model.to("meta"), 10)
    assert {t.device.type for t in ema.tensors.values()} == {"meta"}


def test_averaged_weights_are_the_decayed_sum() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    ema = optim.Ema(model, 0.9)
    expected = 1.0
    for step, value in ((100, 2.0), (101, 4.0)):
        model.weight.data.fill_(value)
        ema.update(model, step)
        expected = 0.9 * expected + 0.1 * value
    assert float(ema.tensors["weight"]) == pytest.approx(expected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(sorted(known_paths())), value=JSON)
def test_any_value_is_taken_or_refused_in_a_line(path: str, value: object) -> None:
    nested: object = value
    for key in reversed(path.split(".")):
        nested = {key: nested}
    try:
        check_numbers(nested, "recipe")
        load_mapping(nested, "recipe").to_yaml()  # type: ignore[arg-type]
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    [
        f"run.seed={2**70}", f"optim.steps={2**70}", "optim.epochs=.inf", "optim.lr=.nan", "optim.steps=1e400",
        f"mixture.batch_size={2**62}", f"clip.num_frames={2**62}", "clip.size=[100000, 100000]",
        "data.workers=10000000", "clip.jitter=[1, .inf]", "mixture.portion=.inf",
        "clip.tasks={a: [" + "depth, " * 2000 + "]}",
    ],
)  # fmt: skip
def test_numbers_that_overflow_later_are_refused_at_once(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("pvit", [text])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


LAUGHS = "a: &a [x, x]\n" + "\n".join(f"k{i}: &k{i} [*a, *a]" for i in range(40))


@pytest.mark.parametrize(
    "text", [LAUGHS, "[" * 500_000, "base: " * 3000, "about: 2001-99-99", "#" * (2 << 20), "\x00", "a: 1\na: 2"]
)
def test_hostile_recipes_end_in_a_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    for read in (load_recipe, recipe_mixture):
        with pytest.raises(ConfigError) as caught:
            read(str(path))
        assert "\n" not in str(caught.value)


def test_recipes_are_regular_files_of_text(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for name, said in (("pipe", "regular"), ("zero", "regular"), ("bytes", "UTF-8"), ("absent", "No such")):
        with pytest.raises(ConfigError, match=said):
            load_recipe(str(tmp_path / f"{name}.yaml"))


@pytest.mark.parametrize(
    "text", ["shards: 3", "shards: [3]", "shards: [a]\nsources: {a: 1}", "shards: [a]\nsplit: []", "shards: [a]\n3: 4"]
)
def test_flat_mixtures_of_other_types_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"m\.yaml"):
        recipe_mixture(str(tmp_path / "m.yaml"))


def test_a_recipe_cannot_ask_for_more_memory_than_there_is(shards: list[str], tiny_recipe: str) -> None:
    """Found on the meta device: nothing is allocated."""
    plan = make_plan(load_recipe(tiny_recipe, ["model.options.embed_dim=8000000"]), shards)
    with pytest.raises(ConfigError, match="the network's parameters take"):
        build_network(plan)
