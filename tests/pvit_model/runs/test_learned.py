"""What a run learned from, and under which rights: recorded when it happens, only added to, else unknown."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data import Sample, ShardWriter
from pvit_data.errors import FormatError, LicenceError
from pvit_data.format.manifest import SourceSpec
from pvit_data.sample.rights import Rights as OfField
from pvit_model.publishing.licences import require_allowed
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import Plan, make_plan
from pvit_model.runs.folder import describe, layers_of
from pvit_model.runs.learned import Learned, Rights, config_of, read_learned, run_of
from tests.pvit_model.conftest import COLOURS, clip

FREE: dict[str, Any] = {"licence": "CC0-1.0", "redistributable": True}
THEIRS = "Theirs (no redistribution)"


@pytest.fixture(scope="module")
def frees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `real`, with actions, and `rooms`, pictures alone; all for everybody."""
    root = tmp_path_factory.mktemp("free")
    write_actions(root)
    for split in ("train", "val"):
        write_pictures(root, "rooms", split)
    return root


@pytest.fixture
def free(frees: Path, tmp_path: Path) -> Path:
    """The same, to write into."""
    return Path(shutil.copytree(frees, tmp_path / "free"))


def write_actions(root: Path, first: int = 0, **how: Any) -> None:
    rng = np.random.default_rng(first)
    about: dict[str, Any] = {"spaces": {"action": COLOURS}, "role": "downstream", "tasks": (), **FREE, **how}
    for split in ("train", "val"):
        with ShardWriter(root / "real", "real", split, **about) as writer:
            for i in range(first, first + 6):
                writer.write(Sample(key=f"{split}-{i}", rgb=clip(rng, i % 3), fps=12.0, action=i % 3))


def write_pictures(root: Path, name: str, split: str = "train") -> None:
    with ShardWriter(root / name, name, split, tasks=("depth",), **FREE) as writer:
        for i in range(2):
            writer.write(Sample(key=f"{split}-{name}-{i}", rgb=clip(np.random.default_rng(i), 0), fps=12.0))


def add_depth(root: Path, base: str, name: str, split: str = "train", **how: Any) -> None:
    samples = pvit_data.open(root / base, source=base, split=split, fields=[])
    with ShardWriter(root / base, name, base=base, **how) as writer:
        for sample in samples:
            writer.write(Sample(key=sample.key, depth=np.full((6, 32, 32), 2.5, np.float32)))


def plan_of(recipe: str, *folders: Path, **settings: str) -> Plan:
    return make_plan(load_recipe(recipe, [f"{k}={v}" for k, v in settings.items()]), [*map(str, folders)])


def begun(run: Path, plan: Plan, goes_on: bool = False) -> Learned:
    run.mkdir(exist_ok=True)
    describe(run, plan, [], goes_on)
    return read_learned(run, config_of(run))


def licences(learned: Learned) -> list[tuple[str, str]]:
    return sorted((each.name, each.licence) for each in learned.rights)


def refused(learned: Learned) -> str:
    try:
        require_allowed(learned.rights, private=False, confirmed=False)
    except LicenceError as error:
        return str(error).partition(": ")[2].partition(". What you can do")[0]
    return ""


NOBODY = "nobody said that what is made from it may be passed on; licence: "


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (FREE, ""),
        ({"licence": THEIRS}, f"gt: {NOBODY}{THEIRS}"),
        ({"licence": "MIT"}, f"gt: {NOBODY}MIT"),
        ({}, "gt: its licence is unknown"),
    ],
)
def test_a_layer_is_under_its_own_licence(
    free: Path, tiny_recipe: str, tmp_path: Path, layer: dict[str, Any], reason: str
) -> None:
    add_depth(free, "rooms", "gt", **layer)
    learned = begun(tmp_path / "run", plan_of(tiny_recipe, free / "real", free / "rooms"))
    assert layers_of(tmp_path / "run") == {"real": [], "rooms": ["gt"]}
    assert licences(learned) == [("gt", layer.get("licence", "")), ("real", "CC0-1.0"), ("rooms", "CC0-1.0")]
    assert refused(learned) == reason


def test_layers_of_one_name_and_those_of_each_split_are_all_told(free: Path, tiny_recipe: str, tmp_path: Path) -> None:
    write_pictures(free, "cellars")
    add_depth(free, "rooms", "gt", **FREE)
    add_depth(free, "rooms", "held", "val", licence="MIT")
    add_depth(free, "cellars", "gt", licence=THEIRS)
    learned = begun(tmp_path / "run", plan_of(tiny_recipe, free / "real", free / "rooms", free / "cellars"))
    layers = [each for each in licences(learned) if each[0] in ("gt", "held")]
    assert layers == [("gt", "CC0-1.0"), ("gt", THEIRS), ("held", "MIT")]
    assert refused(learned) == f"gt: {NOBODY}{THEIRS}; held: {NOBODY}MIT"


def test_a_layer_that_is_not_read_and_a_division_are_nothing_to_learn_from(
    free: Path, tiny_recipe: str, tmp_path: Path
) -> None:
    add_depth(free, "real", "unread", licence=THEIRS)
    keys = [s.key for s in pvit_data.open(free / "real", fields=[])]
    with ShardWriter(free / "real", "few", base="real", kind="protocol", role="downstream") as writer:
        for key in keys[:6]:
            writer.write(Sample(key=key))
    plan = plan_of(tiny_recipe, free / "real", **{"clip.downstream": "few", "clip.tasks": "{few: [action], real: []}"})
    assert licences(begun(tmp_path / "run", plan)) == [("real", "CC0-1.0")]
    with ShardWriter(
        free / "real",
        "named",
        base="real",
        kind="protocol",
        role="downstream",
        licence=THEIRS,
        spaces={"action": COLOURS},
    ) as writer:
        for key in keys[:6]:
            writer.write(Sample(key=key, action=0))
    plan = plan_of(
        tiny_recipe, free / "real", **{"clip.downstream": "named", "clip.tasks": "{named: [action], real: []}"}
    )
    assert refused(begun(tmp_path / "run", plan)) == f"named: {NOBODY}{THEIRS}"


def test_a_field_of_a_stricter_licence_is_told(tiny_recipe: str, tmp_path: Path) -> None:
    own = OfField(THEIRS, "no", "They say no.", "somebody")
    write_actions(tmp_path)
    spec = SourceSpec(name="rooms", tasks=("depth",), rights={"depth": own, "boxes": own}, **FREE)
    with ShardWriter(tmp_path / "rooms", spec) as writer:
        rgb, depth = clip(np.random.default_rng(0), 0), np.ones((6, 32, 32), np.float32)
        writer.write(Sample(key="room", rgb=rgb, fps=12.0, depth=depth))
    learned = begun(tmp_path / "run", plan_of(tiny_recipe, tmp_path / "real", tmp_path / "rooms"))
    assert refused(learned) == f"depth of rooms: {NOBODY}{THEIRS}, They say no"


def test_a_run_that_goes_on_with_other_data_learned_from_both(free: Path, tiny_recipe: str, tmp_path: Path) -> None:
    run, recipe = tmp_path / "run", tiny_recipe
    write_actions(tmp_path, licence=THEIRS, redistributable=False)
    first = begun(run, plan_of(recipe, tmp_path / "real"))
    for _ in range(2):  # with the data that it began with nothing is added
        assert begun(run, plan_of(recipe, tmp_path / "real"), goes_on=True) == first
    both = begun(run, plan_of(recipe, free / "real"), goes_on=True)
    assert (both.before, len(both.sources)) == ([*first.sources.values()], 1)
    assert both.before[0].sha256 != both.sources["real"].sha256 != ""
    assert refused(both) == f"real: {NOBODY}{THEIRS}"
    assert begun(run, plan_of(recipe, free / "real"), goes_on=True).before == both.before
    assert refused(begun(run, plan_of(recipe, free / "real"))) == ""  # from the beginning


@pytest.mark.parametrize("record", [None, {"/some/folder": "0" * 64}])
def test_what_a_run_of_before_learned_from_stays_unknown_when_it_goes_on(
    frees: Path, tiny_recipe: str, tmp_path: Path, record: dict[str, str] | None
) -> None:
    plan = plan_of(tiny_recipe, frees / "real", **{"model.init_from": "r0"})
    if record is not None:
        (tmp_path / "data.json").write_text(json.dumps(record))
    learned = begun(tmp_path, plan, goes_on=True)
    assert licences(learned) == [("r0", ""), ("real", ""), ("real", "CC0-1.0")]
    assert begun(tmp_path, plan, goes_on=True) == learned


def test_what_a_record_of_before_says_of_layers_and_protocols_is_their_bases(tmp_path: Path) -> None:
    rights = [{"name": n, "licence": "MIT", "derived": "yes"} for n in ("clips", "gt")]
    entry = {"sha256": "", "rights": rights}
    (tmp_path / "data.json").write_text(json.dumps({"sources": {"clips": entry}}))
    layer, starts = f"gt: {NOBODY}MIT", "starting weights: its licence is unknown"
    assert refused(read_learned(tmp_path, None)) == f"{layer}; {starts}"
    (tmp_path / "data.json").write_text(json.dumps({"sources": {"clips": entry | {"base": "a"}}}))
    assert refused(read_learned(tmp_path, None)) == f"{layer}; labels of clips: its licence is unknown; {starts}"
    (tmp_path / "data.json").write_text(json.dumps({"sources": {"clips": {"rights": [{"name": 3}]}}}))
    with pytest.raises(FormatError, match=r"data\.json: 'sources.clips.rights"):
        read_learned(tmp_path, None)


def test_starting_weights_are_told_as_they_were_when_the_run_began(
    free: Path, tiny_recipe: str, tmp_path: Path
) -> None:
    other, data = tmp_path / "other", plan_of(tiny_recipe, free / "real")
    from_other = plan_of(tiny_recipe, free / "real", **{"model.init_from": str(other)})
    (other / "checkpoints").mkdir(parents=True)
    assert refused(begun(tmp_path / "a", from_other)) == "other: its licence is unknown"
    write_actions(tmp_path, licence=THEIRS, redistributable=False)
    begun(other, plan_of(tiny_recipe, tmp_path / "real"))
    assert [each.is_weights for each in begun(tmp_path / "b", from_other).rights] == [False, True]
    begun(other, data)
    assert refused(begun(tmp_path / "b", from_other, goes_on=True)) == f"real: {NOBODY}{THEIRS}"
    from_b = plan_of(tiny_recipe, free / "real", **{"model.init_from": str(tmp_path / "b")})
    (tmp_path / "b/checkpoints").mkdir()
    assert refused(begun(tmp_path / "c", from_b)) == f"real: {NOBODY}{THEIRS}"
    assert refused(begun(tmp_path / "d", from_other)) == ""


def test_which_weights_are_a_runs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, step = tmp_path / "run", "checkpoints/step-00000003"
    for name in ("model", step, "exports/best", "checkpoints/mine", "model/checkpoints/model"):
        (run / name).mkdir(parents=True)
        (run / name / "model.safetensors").touch()
    (tmp_path / "link").symlink_to(run / step)
    own = {"run", "run/model", f"run/{step}", "link"}
    others = {"run/exports/best", "run/checkpoints/mine", "run/checkpoints", "run/exports", "owner/model"}
    monkeypatch.chdir(run.parent)
    for where in own | others:
        found = run_of(where)
        assert (found is not None and found.resolve() == run) == (where in own), where
    monkeypatch.chdir(run)
    assert run_of("owner/model") is None
    (run / "model.safetensors").touch()  # no run writes it there
    assert run_of("../run") is None


@pytest.mark.parametrize(
    "licence",
    [
        "CC-BY-ND-4.0",
        "CC BY ND 4.0",
        "Creative Commons, no derivatives",
        "Attribution-NoDerivatives",
        "MIT; CC-BY-NC-ND",
    ],
)
def test_weights_are_made_from_what_may_be_passed_on_unchanged_alone(licence: str) -> None:
    each = Rights(name="a", licence=licence, redistributable=True)
    assert refused(Learned(starts=[each])) == (
        f"a: its licence does not let be passed on what is made from it: {licence}"
    )


def test_what_forbids_what_is_made_from_it_may_itself_be_for_all() -> None:
    each = Rights(name="a", derived="no", derived_clause="They say no.", **FREE)
    assert refused(Learned(starts=[each])).endswith("what is made from it: CC0-1.0, They say no")
