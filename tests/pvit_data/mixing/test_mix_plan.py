"""The printed plan of a mixture against numbers counted by hand."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import pvit_data
from pvit_data.errors import ConfigError
from pvit_data.looking.mix_figure import figure
from pvit_data.mixing import config as mix_config
from pvit_data.mixing.mixture import Mixture, MixtureSource
from pvit_data.mixing.plan import survey
from pvit_data.sample.sample import Sample
from tests.pvit_data.memory_set import MemorySet, real, synthetic

TINY = np.zeros((1, 1, 1, 3), np.uint8)


def rows(number: int, source: str, **fields: object) -> list[Sample]:
    return [Sample(key=f"{source}-{i}", source=source, rgb=TINY, num_frames=1, **fields) for i in range(number)]  # type: ignore[arg-type]


def example(**options: object) -> Mixture:
    depth = {"depth": np.ones((1, 1, 1), np.float32)}
    some = [*rows(4, "aux", **depth), Sample(key="bare", source="aux", rgb=TINY, num_frames=1)]
    sources = [
        MixtureSource(MemorySet(rows(40, "real", action=0))),
        MixtureSource(MemorySet(some), "auxiliary"),
        MixtureSource(MemorySet(rows(2, "other", **depth)), "auxiliary"),
    ]
    return Mixture(sources, 8, **options)  # type: ignore[arg-type]


def test_shares_repeats_and_warnings() -> None:
    plan = survey(example())
    first, second, third = plan.sources
    assert (plan.steps_per_epoch, plan.steps) == (10, 10)
    assert (first.rows, first.per_batch, first.per_epoch, first.repeats) == (40, 4, 40, 1)
    assert (second.rows, second.left_out) == (4, 1)
    assert second.per_batch == pytest.approx(8 / 3)
    assert second.repeats == pytest.approx(8 / 3 * 10 / 4)
    assert third.fewest <= 4 / 3 <= third.most
    tasks = {task.name: task for task in plan.tasks}
    assert set(tasks) == {"action", "depth"}
    assert (tasks["depth"].per_batch, tasks["depth"].fewest, tasks["depth"].starved) == (4, 4, 0)
    assert tasks["depth"].sources == ("aux", "other")
    assert [sum(batch) for batch in plan.first] == [8] * 10
    text = "\n".join(plan.warnings)
    assert "aux: each of its 4 samples is shown 6.7 times per epoch" in text
    assert "aux: 1 samples are never drawn" in text


def test_starvation_is_announced() -> None:
    sources = example().sources
    rare = Mixture([sources[0], MixtureSource(sources[1].ds, "auxiliary", 0.05)], 8)
    plan = survey(rare)
    assert any("of the batches have no sample with it; set a quota (depth: 1)" in w for w in plan.warnings)
    fed = survey(Mixture(rare.sources, 8, quotas={"depth": 1}))
    assert {task.name: task.fewest for task in fed.tasks}["depth"] == 1


def test_the_figure_is_a_picture_of_the_plan() -> None:
    plan = survey(example(quotas={"depth": 2}))
    root = ElementTree.fromstring(figure(plan))
    texts = [e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("quota 2" in text for text in texts)
    bars = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if len(e) and "batch 0:" in (e[0].text or "")]
    assert sum(float(e.get("height", 0)) for e in bars) == pytest.approx(180, abs=0.2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mix")
    for name, make in (("real", real), ("synth", synthetic)):
        samples = [make(f"{name}-{i}") for i in range(4)]
        tasks = ("action",) if name == "real" else ("depth", "pose3d")
        writer = pvit_data.ShardWriter(
            folder / name, source=name, licence="CC0-1.0", redistributable=True, spaces=dict(samples[0].spaces),
            tasks=tasks,
        )  # fmt: skip
        with writer:
            for sample in samples:
                writer.write(sample)
    return folder


def test_a_mixture_from_a_file(shards: Path) -> None:
    (shards / "mix.yaml").write_text("shards: [real, synth]\ndownstream: real\nbatch_size: 6\nquotas: {pose3d: 2}\n")
    mixture = mix_config.load(shards / "mix.yaml").build()
    assert [source.name for source in mixture.sources] == ["real", "synth"]
    assert mixture.wanted.tolist() == [3, 3]
    assert [t.name for t in survey(mixture).tasks] == ["depth", "pose3d", "action"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shards: [real]\ndownstream: real\nbatchsize: 3\n", "unknown key 'batchsize'; did you mean 'batch_size'"),
        ("shards: [real]\ndownstream: ssv2\n", "no source 'ssv2' in .*there is real"),
        ("shards: [real, real]\ndownstream: real\n", "source 'real' is in .* and in .*"),
        ("shards: []\ndownstream: real\n", "shards: Tuple should have at least 1 item"),
        ("- 1\n", "expected keys and values"),
        ("a: [\n", "not YAML"),
    ],
)
def test_unusable_files_are_refused_in_one_line(shards: Path, text: str, message: str) -> None:
    (shards / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        mix_config.load(shards / "bad.yaml").build()
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        mix_config.load(shards / "none.yaml")


def test_the_command(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from pvit_cli.data import main

    (shards / "mix.yaml").write_text("shards: [real, synth]\ndownstream: real\nbatch_size: 6\nquotas: {pose3d: 2}\n")
    assert main(["mix", str(shards / "mix.yaml"), "--figure", str(shards / "mix.svg")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 samples a batch, 2 batches an epoch")
    assert "pose3d" in out
    assert (shards / "mix.svg").read_text().startswith("<svg")
    assert main(["mix", str(shards / "mix.yaml"), "--json", "--steps", "5"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 5
    assert main(["mix", str(shards / "none.yaml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
