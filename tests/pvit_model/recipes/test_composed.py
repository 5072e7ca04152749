"""Recipes laid onto each other, and clips that are their backbone's own."""

from pathlib import Path

import pytest
import yaml

from pvit_data import LabelSpace
from pvit_data.errors import ConfigError
from pvit_model import create_model
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from tests.pvit_model.conftest import COLOURS, write_actions, write_people, write_scenes

OWN = {
    "timesformer": ("timesformer_b", (8, 224, 224), 32, (0.45, 0.225), 1),
    "motionformer": ("motionformer_b", (16, 224, 224), 4, (0.5, 0.5), 2),
    "swin3d": ("swin3d_t", (32, 224, 224), 2, (0.485, 0.229), 2),
}
BATCH = {"timesformer": 0, "motionformer": 128, "swin3d": 64}
"""Clips that the rates belong to: NUM_SHARDS times BATCH_SIZE of SlowFast's kind, 8 GPUs of 8; 0: any number."""
VARIANTS = {"baseline": 0, "mt": 0, "pvit": 5}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """SSv2 and SomethingElse by name, and two auxiliary sources."""
    root = tmp_path_factory.mktemp("composed")
    for source in ("ssv2", "something-else"):
        space = LabelSpace(source, COLOURS.classes)
        for split, number in (("train", 9), ("val", 3)):
            write_actions(root / source, split, number, 0, space, source)
    for split in ("train", "val"):
        write_scenes(root / "aux", split, 9, 1)
        write_people(root / "aux", split, 9, 2)
    return [str(root / name) for name in ("ssv2", "something-else", "aux")]


@pytest.mark.parametrize("downstream", ["ssv2", "something-else"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", OWN)
def test_each_backbone_composes_with_the_variants(
    family: str, variant: str, downstream: str, folders: list[str]
) -> None:
    """Clips, normalisation, maps and stride are the backbone's own; the rest is the variant's."""
    name, (frames, *size), rate, (mean, std), stride = OWN[family]
    alone = load_recipe(variant)
    config = load_recipe(f"{variant}+{family}", [f"clip.downstream={downstream}"])
    assert config.model.name == name
    assert config.model.variant == alone.model.variant
    assert config.mixture == alone.mixture
    assert config.optim.lr_batch == BATCH[family]
    assert config.optim.lr != alone.optim.lr
    shards = [folder for folder in folders if folder.endswith((downstream, "aux"))]
    plan = make_plan(config, shards)
    clip = plan.config.clip
    assert (clip.num_frames, list(clip.size), clip.rate) == (frames, size, rate)
    assert (clip.mean[0], clip.std[0], clip.stride, clip.maps) == (mean, std, stride, (56, 56))
    assert [s.name for s in plan.sources if s.role == "downstream"] == [downstream]
    tiny = {"width": 16, "head_width": 8} | ({"depths": [1, 1]} if family == "swin3d" else {"depth": 2})
    model = create_model(name, **{**plan.model_arguments(), **tiny, "clip": (4, 32, 32)})
    assert len(model.prompts) == VARIANTS[variant]
    assert set(model.heads) == set(plan.tasks if plan.heads else ())


def test_a_family_alone_is_the_papers_pvit_on_it() -> None:
    for family, (name, *_) in OWN.items():
        alone, composed = load_recipe(family), load_recipe(f"pvit+{family}")
        assert alone.model.name == name
        assert alone.model_copy(update={"name": "", "about": ""}) == composed.model_copy(
            update={"name": "", "about": ""}
        )


def test_what_is_laid_onto_a_recipe_keeps_the_data_set_that_it_names(tmp_path: Path) -> None:
    """`demo` and `small` have their own, which a variant alone, that of SSv2, takes over."""
    (tmp_path / "mine.yaml").write_text("clip: {downstream: pots}\n")
    own = {
        "diving48/baseline+demo": "diving48", "something-else-compositional/pvit+small": "something-else-compositional",
        "ssv2/pretrain+demo": "", "mt+small": "mine", f"{tmp_path}/mine.yaml+demo": "pots", "small+demo": "mine",
        "timesformer+small": "mine", "mt+timesformer+small+demo": "mine", "pretrain+demo": "",
        "diving48/mt+pretrain": "",
    }  # fmt: skip
    assert {name: load_recipe(name).clip.downstream for name in own} == own
    assert load_recipe("diving48/baseline+demo").clip.num_frames == 8
    assert load_recipe("diving48/baseline+demo", ["clip.downstream=ssv2"]).clip.downstream == "ssv2"


@pytest.mark.parametrize(
    ("recipe", "instead"),
    [
        ("timesformer+diving48/mt", "diving48/mt+timesformer"),
        ("ssv2/mt+diving48/pvit", "ssv2/mt+pvit"),
        ("mine.yaml+swin3d+diving48/pvit", "diving48/pvit+mine.yaml+swin3d"),
        ("small+ssv2/slowfast+demo", "small+slowfast+demo"),
    ],
)
def test_a_data_set_is_named_first(recipe: str, instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Laid onto another recipe, its rates, lists and splits would be those of a run on other data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("base: pvit\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe)
    assert str(caught.value).endswith(f"write '{instead}'")
    assert load_recipe(instead).clip.downstream in (instead.partition("/")[0], "mine")


@pytest.mark.parametrize(
    ("composed", "row"),
    [
        ("diving48/mt+pvit", "diving48/pvit"),
        ("ava/mt+vpt", "ava/vpt"),
        ("ego4d/pvit+finetune", "ego4d/finetune"),
        ("ava/pvit+slowfast", "ava/slowfast"),
        ("diving48/pvit+real-boxes", "diving48/real-boxes"),
    ],
)
def test_a_variant_is_laid_onto_another_on_its_data_set(composed: str, row: str) -> None:
    said = dict.fromkeys(("name", "about"), "") | dict.fromkeys(("paper", "ours"), ()) | {"target": {}}
    assert load_recipe(composed).model_copy(update=said) == load_recipe(row).model_copy(update=said)


def test_what_parts_are_about_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("about: Our schedule\n")
    assert load_recipe(f"{tmp_path}/mine.yaml+finetune").about.startswith("Our schedule. Second half of")


def test_what_is_said_of_a_recipe_is_said_of_it_alone() -> None:
    """Other optimisers and batches than the paper's are not called the paper's."""
    for name in ("timesformer", "mt+swin3d", "ava/pvit+demo"):
        config = load_recipe(name)
        assert (config.paper, config.ours, config.target) == ((), (), {})


def test_what_a_recipe_states_is_kept(shards: list[str]) -> None:
    tiny = ["model.options={width: 16, head_width: 8, depth: 2}", "clip.downstream=real"]
    config = load_recipe("pvit+timesformer", [*tiny, "clip.num_frames=6", "clip.size=[32, 48]", "clip.rate=3"])
    clip = make_plan(config, shards).config.clip
    assert (clip.num_frames, clip.size, clip.rate) == (6, (32, 48), 3)


def test_a_warm_up_that_is_longer_than_the_run_is_told(shards: list[str]) -> None:
    tiny = ["model.options={width: 16, head_width: 8, depths: [1, 1]}", "clip.downstream=real", "clip.size=[32, 32]"]
    said = "the warm-up takes 6600 steps, the run has 40: the learning rate is low for most of it"
    for steps, told in ((40, True), (14000, False)):
        plan = make_plan(load_recipe("swin3d", [*tiny, f"optim.steps={steps}"]), shards)
        assert any(note.startswith(said) for note in plan.notes) == told


def test_a_composed_recipe_may_be_edited(tmp_path: Path, shards: list[str]) -> None:
    """What `pvit recipes NAME` prints leaves to the backbone what is the backbone's."""
    text = load_recipe("mt+motionformer").to_edit_yaml()
    assert not {"num_frames", "size", "rate", "mean", "std", "stride", "map_size"} & set(yaml.safe_load(text)["clip"])
    (tmp_path / "mine.yaml").write_text(text)
    tiny = "model.options={width: 16, head_width: 8, depth: 2}"
    plan = make_plan(load_recipe(str(tmp_path / "mine.yaml"), [tiny, "clip.downstream=real"]), shards)
    assert plan.config.clip.mean == (0.5, 0.5, 0.5)
    assert "num_frames" in yaml.safe_load(load_recipe("demo").to_edit_yaml())["clip"]


def test_a_part_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown recipe 'swin'"):
        load_recipe("mt+swin")


def test_a_base_may_be_composed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: baseline+timesformer\noptim: {lr: 0.5}\n")
    config = load_recipe(f"{tmp_path / 'mine.yaml'}+demo")
    assert config.name == "mine+demo"
    config = load_recipe(str(tmp_path / "mine.yaml"))
    assert (config.name, config.model.name, config.model.variant) == ("mine", "timesformer_b", "baseline")
    assert (config.optim.lr, config.optim.name) == (0.5, "sgd")


def test_a_file_whose_name_has_a_plus_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a+b.yaml").write_text("base: pvit\noptim: {lr: 0.5}\n")
    assert load_recipe(str(tmp_path / "a+b.yaml")).optim.lr == 0.5
