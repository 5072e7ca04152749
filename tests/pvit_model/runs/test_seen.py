"""Samples that are held out under one name and were trained on under another, also by the weights that began a run."""

import shutil
from pathlib import Path

import pytest

from pvit_data import Sample, ShardWriter
from pvit_data.errors import UsageError
from pvit_data.reading.layers.places import FoundSource, find_sources
from pvit_model.runs.learned import Learned, Trained, config_of, learned_by_file, published_entry, read_learned
from pvit_model.runs.seen import Seen, require_unseen, seen_before, seen_by, unrecorded_text
from tests.pvit_model.runs.test_learned import begun, plan_of, write_actions

SPLITS = {"few": {"train": ["val-0"], "val": ["train-0", "train-1", "val-3"]}, "other": {"train": ["val-3", "val-4"]}}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`real`, `few`, which holds out two of its training samples, and `other`, which trains what `few` holds out."""
    root = tmp_path_factory.mktemp("seen")
    write_actions(root)
    for name, splits in SPLITS.items():
        for split, keys in splits.items():
            with ShardWriter(
                root / name, name, split, base=f"{root / 'real'}#real", kind="protocol", role="downstream"
            ) as writer:
                for key in keys:
                    writer.write(Sample(key=key))
    return root


def held(shards: Path, name: str, *folders: str) -> FoundSource:
    return find_sources([str(shards / each) for each in ("real", *folders)], None, [name])[name]


def by(learned: Learned, shards: Path, name: str, *folders: str) -> Seen:
    source = held(shards, name, name, *folders) if name != "real" else held(shards, name, *folders)
    ds = source.split("val")
    assert ds is not None
    own = () if name == "real" else (name,)
    return seen_by(learned, [str(shards / each) for each in ("real", *own, *folders)], source, ds)


def test_the_weights_that_a_run_began_with_count(shards: Path, tiny_recipe: str, tmp_path: Path) -> None:
    """A run on `few` from one on `real`; one on `few` from one on nothing of it from one on `real`."""
    first, second = tmp_path / "first", tmp_path / "second"
    for run in (first, second):
        (run / "checkpoints").mkdir(parents=True)
    folders, few = (shards / "real", shards / "few"), {"clip.downstream": "few"}
    begun(first, plan_of(tiny_recipe, shards / "real"))
    plan = plan_of(tiny_recipe, *folders, **few, **{"model.init_from": str(first)})
    learned = begun(second, plan)
    assert [each.name for each in learned.trained_on] == ["few", "real"]
    assert by(learned, shards, "few") == Seen({"real": 2}, [], [])
    assert seen_before(plan) == [
        "2 of 3 held-out samples of 'few' are training samples of 'real', on which the weights were trained that this "
        "run begins with: they tell nothing new"
    ]
    third = plan_of(tiny_recipe, *folders, **few, **{"model.init_from": str(second)})
    assert by(begun(tmp_path / "third", third), shards, "few").overlap == {"real": 2}
    shutil.rmtree(first)  # what was recorded stays
    assert by(begun(second, plan, goes_on=True), shards, "few").overlap == {"real": 2}
    with pytest.raises(UsageError, match=r"2 of 3 samples of 'few' val are training samples of 'real'"):
        require_unseen(learned, map(str, folders), held(shards, "few", "few"), "val")
    assert seen_before(plan_of(tiny_recipe, *folders, **few)) == []


def test_data_over_the_same_pictures_that_are_not_there_are_told(shards: Path) -> None:
    on = Learned(sources={"other": Trained(name="other", over="real"), "scenes": Trained(name="scenes", over="")})
    assert by(on, shards, "few", "other") == Seen({"other": 1}, [], [])
    assert by(on, shards, "few") == Seen({}, ["other"], [])
    assert by(on, shards, "real") == Seen({}, ["other"], [])
    assert by(on, shards, "real", "other").overlap == {"other": 2}
    elsewhere = Learned(sources={"x": Trained(name="x", over="videos"), "real": Trained(name="real", over="")})
    assert by(elsewhere, shards, "real") == Seen({}, [], []), "other pictures, and the source itself"
    unknown = Learned(sources={"other": Trained(name="other")})  # of an earlier version
    assert by(unknown, shards, "few", "other").overlap == {"other": 1}


def test_what_nobody_recorded_is_not_known(shards: Path, tiny_recipe: str, tmp_path: Path) -> None:
    (tmp_path / "exported").mkdir()
    learned = begun(
        tmp_path / "run", plan_of(tiny_recipe, shards / "real", **{"model.init_from": str(tmp_path / "exported")})
    )
    assert by(learned, shards, "real").to_json() == {"unknown": ["exported"]}
    assert unrecorded_text(learned).endswith("nobody recorded what 'exported' was trained on")
    record = tmp_path / "run/data.json"
    record.write_text(record.read_text().replace("starts_on", "x").replace("starts_unknown", "y"))
    assert read_learned(tmp_path / "run", config_of(tmp_path / "run")).starts_unknown == ["exported"]
    assert not unrecorded_text(begun(tmp_path / "random", plan_of(tiny_recipe, shards / "real")))


def test_files_of_published_weights_tell_their_data() -> None:
    def data(backbone: str, file: str) -> tuple[list[str], list[str]]:
        learned = learned_by_file(file, published_entry(backbone, file))
        return [each.name for each in learned.starts_on], learned.starts_unknown

    assert data("mvitv2_s", "MViTv2_S_16x4_ssv2.pyth") == (["ssv2"], [])
    assert data("mvitv2_s", "MViTv2_S_16x4_k400_f302660347.pyth") == (["kinetics400"], [])
    assert data("mvitv2_s", "mine.pyth") == ([], ["mine.pyth"])
