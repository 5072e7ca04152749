"""The printed plan of a mixture against numbers counted by hand."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import pvit_data
from pvit_data.errors import UsageError
from pvit_data.looking.mix_figure import figure
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.plan import survey
from pvit_data.mixing.sources import MixtureSource
from pvit_data.sample.sample import Sample
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.mixtures import recipe_mixture
from pvit_model.recipes.plan import make_plan
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


FLAT = "shards: [real, synth]\ndownstream: real\nbatch_size: 6\nquotas: {pose3d: 2}\n"
SETTINGS = ["clip.downstream=real", "mixture.batch_size=6", "mixture.quotas={pose3d: 2}"]


def test_the_mixture_of_a_recipe_is_the_one_that_is_trained(shards: Path) -> None:
    folders = [str(shards / name) for name in ("real", "synth")]
    mixture, notes = recipe_mixture("demo", folders, SETTINGS)
    trained = make_plan(load_recipe("demo", SETTINGS), folders).mixture
    assert notes == ()
    assert [source.name for source in mixture.sources] == ["real", "synth"]
    assert mixture.wanted.tolist() == [3, 3]
    assert [mixture.plan(step) for step in range(20)] == [trained.plan(step) for step in range(20)]
    assert [t.name for t in survey(mixture).tasks] == ["depth", "pose3d", "action"]


def test_a_file_of_the_flat_form_says_the_same(shards: Path) -> None:
    (shards / "mix.yaml").write_text(FLAT + "seed: 3\nweights: {synth: 2}\nsplit: train\nsources: [synth]\n")
    mixture, _ = recipe_mixture(str(shards / "mix.yaml"))
    folders = [str(shards / name) for name in ("real", "synth")]
    expected, _ = recipe_mixture("demo", folders, [*SETTINGS, "run.seed=3", "mixture.weights={synth: 2}"])
    assert [mixture.plan(step) for step in range(20)] == [expected.plan(step) for step in range(20)]
    assert mixture.wanted.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shards: [real]\ndownstream: real\nbatchsize: 3\n", "unknown key 'batchsize'; did you mean 'batch_size'"),
        ("shards: [real]\ndownstream: ssv2\n", "downstream source 'ssv2' is not in the shards, which hold real"),
        ("shards: [real]\ndownstream: real\nsources: [boat]\n", "no source 'boat' in the shards, which hold real"),
        ("shards: []\ndownstream: real\n", "no shards given"),
        ("shards: real\ndownstream: real\n", "shards is 'real', expected a list"),
        ("shards: [real]\ndownstream: real\nbatch_size: many\n", "'mixture.batch_size' = 'many'"),
        ("- 1\n", "expected sections"),
        ("a: [\n", "not readable as YAML"),
    ],
)
def test_unusable_files_are_refused_in_one_line(shards: Path, text: str, message: str) -> None:
    (shards / "bad.yaml").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        recipe_mixture(str(shards / "bad.yaml"))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"none\.yaml': No such file"):
        recipe_mixture(str(shards / "none.yaml"))


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


def test_the_command_takes_recipes_and_needs_no_torch(shards: Path) -> None:
    import json
    import subprocess
    import sys

    code = (
        "import sys\nfrom pvit_cli.data import main\ncode = main(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules\nsys.exit(code)"
    )
    folders = [word for name in ("real", "synth") for word in ("--shards", str(shards / name))]
    options = [*folders, "--downstream", "real", "--set", "mixture.batch_size=6", "--json"]
    done = subprocess.run([sys.executable, "-c", code, "mix", "demo", *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert [source["name"] for source in plan["sources"]] == ["real", "synth"]
    assert [source["per_batch"] for source in plan["sources"]] == [3, 3]
