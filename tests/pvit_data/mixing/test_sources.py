"""What a source declares decides how it is sampled and what it trains; a configuration overrules it."""

import json
from pathlib import Path

import pytest

import pvit_data
from pvit_data.clips.config import ClipConfig
from pvit_data.errors import UsageError
from pvit_data.mixing.sources import auxiliary_tasks, sampler_of, trained_tasks
from pvit_data.reading.layers.places import find_sources
from pvit_model.recipes.config import TrainConfig
from pvit_model.recipes.sources import choose_sources
from tests.pvit_data.memory_set import MemorySet, real, still, synthetic
from tests.pvit_data.range_server import serve


def written(folder: Path, sampler: str, source: str = "ssv2", samples: int = 3) -> str:
    spec = pvit_data.SourceSpec(name=source, licence="CC0-1.0", sampler=sampler, spaces=dict(real("r").spaces))
    with pvit_data.ShardWriter(folder, spec) as writer:
        for i in range(samples):
            writer.write(real(f"{source}-{i}", source=""))
    return str(folder)


def test_the_sampler_is_the_declared_one_else_the_published_one(tmp_path: Path) -> None:
    declared = pvit_data.open(written(tmp_path / "a", "dense"))
    silent = pvit_data.open(written(tmp_path / "b", ""))
    foreign = pvit_data.open(written(tmp_path / "c", "", "mine"))
    plain, named = ClipConfig(), ClipConfig(samplers={"ssv2": "whole"})
    assert sampler_of(declared, "ssv2", plain) == "dense"
    assert sampler_of(silent, "ssv2", plain) == "segment"
    assert sampler_of(foreign, "mine", plain) == "fit"
    assert sampler_of(declared, "ssv2", named) == "whole"
    assert sampler_of(MemorySet([real("r", source="ava")]), "ava", plain) == "keyframe"  # declares nothing at all


def test_a_plan_keeps_the_declared_sampler_for_the_network(tmp_path: Path) -> None:
    config = TrainConfig(clip=ClipConfig(downstream="ssv2"))
    for name, expected in (("dense", {"ssv2": "dense"}), ("", {})):
        url = written(tmp_path / f"x{name}", name)
        assert choose_sources(config, find_sources([url])).config.clip.samplers == expected


def test_what_was_written_before_samplers_were_declared_is_continued(tmp_path: Path) -> None:
    old = tmp_path / "ssv2/receipts/source.json"
    written(tmp_path, "")
    values = json.loads(old.read_text())
    del values["sampler"]
    old.write_text(json.dumps(values, sort_keys=True, indent=2) + "\n")
    spec = pvit_data.SourceSpec(name="ssv2", licence="CC0-1.0", sampler="segment", spaces=dict(real("r").spaces))
    with pvit_data.ShardWriter(tmp_path, spec, split="val") as writer:
        writer.write(real("later", source=""))
    assert pvit_data.open(tmp_path).sources["ssv2"].sampler == "segment"
    other = spec.model_copy(update={"sampler": "dense"})
    with (
        pytest.raises(UsageError, match="source 'ssv2' with sampler = 'segment', not 'dense'"),
        pvit_data.ShardWriter(tmp_path, other, split="test") as writer,
    ):
        writer.write(real("last", source=""))


def test_tasks_of_a_source() -> None:
    ds = MemorySet([synthetic("s"), still("i"), real("r")], {"synth": ("segm", "action"), "real": ("action",)})
    assert auxiliary_tasks(ds, "synth", {}) == ("segm",)  # declared
    assert auxiliary_tasks(ds, "stills", {}) == ("depth",)  # carried
    assert auxiliary_tasks(ds, "synth", {"synth": ("boxes/hands", "depth", "action")}) == ("boxes/hands", "depth")
    assert auxiliary_tasks(ds, "synth", {"synth": ()}) == ()
    assert trained_tasks(ds, "real", {}, downstream=True) == ("action",)
    assert trained_tasks(ds, "synth", {}, downstream=True) == ("segm", "action")
    assert trained_tasks(ds, "synth", {}, downstream=False) == ("segm",)


def test_sources_are_found_once(tmp_path: Path) -> None:
    one, two = written(tmp_path / "1", ""), written(tmp_path / "2", "", "mine")
    found = find_sources([one, two, one])
    assert {name: source.url for name, source in found.items()} == {"ssv2": one, "mine": two}
    with pytest.raises(UsageError, match=r"source 'ssv2' is in both '.*1' and '.*3'; give one of them"):
        find_sources([one, written(tmp_path / "3", "")])
    with pytest.raises(UsageError, match="no shards given"):
        find_sources([])


def test_a_split_that_is_empty_is_none(tmp_path: Path) -> None:
    source = find_sources([written(tmp_path, "")])["ssv2"]
    train = source.split("train")
    assert train is not None
    assert len(train) == 3
    assert source.split("val") is None
    assert source.split("train", "frames > 100") is None


def test_a_plan_opens_each_url_once(tmp_path: Path) -> None:
    for source in ("ssv2", "mine", "third"):
        written(tmp_path, "dense", source)
    config = TrainConfig(clip=ClipConfig(downstream="ssv2", tasks={"mine": ("depth",), "third": ("depth",)}))
    with serve(tmp_path) as server:
        found = find_sources([server.url, server.url])
        chosen = choose_sources(config, found)
        assert chosen.found["ssv2"].split("val") is None
        assert len(found["ssv2"].ds.digest_of("ssv2")) == 64
        train = found["ssv2"].split("train")
        assert train is not None
        assert train.column("key").tolist() == ["ssv2-0", "ssv2-1", "ssv2-2"]
        assert [path for path, _ in server.sent] == ["/manifest.json", "/ssv2/index/train.parquet"]
        assert server.heads == 1
