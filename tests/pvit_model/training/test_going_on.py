"""Runs that go on: with their name alone, past their end, after a failed start; and where else their numbers go."""

import json
import shutil
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from pvit_cli.model import main
from pvit_data.errors import UsageError
from pvit_model.recipes.config import OptimConfig
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.recipes.schedule import lr_at
from pvit_model.reporting.view import make_view
from pvit_model.runs import folder
from pvit_model.runs.log import MetricsLog, read_log
from pvit_model.runs.resume import new_length, resolved, shards_of, start_of

QUIET = ["--set", "run.predictions=0", "--set", "run.eval_clips=2"]


@pytest.fixture
def finished(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of a finished run of 6 steps."""
    shutil.copytree(run_folder, tmp_path / "run")
    return tmp_path / "run"


def rates(run: Path) -> dict[int, float]:
    return {x["step"]: x["lr"] for x in read_log(run) if x["kind"] == "train"}


def test_a_run_goes_on_by_its_name_alone_and_past_its_end(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rates(finished)
    capsys.readouterr()
    assert main(["train", "--resume", "--out", str(finished), "--set", "optim.steps=9", *QUIET]) == 0
    after = rates(finished)
    assert sorted(after) == list(range(1, 10))
    assert {step: after[step] for step in before} == before
    optim = OptimConfig(lr=0.003)
    for step in (7, 8, 9):  # the schedule of the new length
        assert after[step] == pytest.approx(lr_at(step - 1, 9, 0.003, optim))
    said = capsys.readouterr().out
    jump = f"learning rate {after[7]:.3g} of the schedule over 9 steps, the last one had {before[6]:.3g}"
    assert f"the finished run of 6 steps grows to 9: the next step has the {jump}" in said
    assert (finished / "report.html").is_file()
    assert load_recipe(str(finished / "config.yaml")).optim.steps == 9
    # And to its end again, which changes nothing but the report.
    assert main(["train", "--resume", "--out", str(finished)]) == 0
    assert rates(finished) == after


def test_a_run_that_grows_is_finished_no_more(finished: Path, shards: list[str], tiny_recipe: str) -> None:
    """Scripts ask for the report: it must not be there while there is more to do."""
    from pvit_model.training.trainer import Trainer

    plan = make_plan(load_recipe(tiny_recipe, ["optim.steps=9"]), shards)
    Trainer(plan, finished, Console(quiet=True), resume=True)
    assert not (finished / "report.html").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "optim.steps=5",
            r"optim.steps was 6 and is now 5, which gives 5 steps, but the run is at step 6; give 6 steps",
        ),
        (
            "optim.epochs=50",
            r"optim.epochs was 100.0 and is now 50.0, but this run's length is optim.steps=6; set that",
        ),
        ("optim.lr=0.1", r"optim.lr was 0.003 and is now 0.1; undo that change"),
    ],
)
def test_nothing_else_of_a_run_may_change(
    setting: str, message: str, finished: Path, shards: list[str], tiny_recipe: str
) -> None:
    with pytest.raises(UsageError, match=message):
        start_of(make_plan(load_recipe(tiny_recipe, [setting]), shards), finished, resume=True)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            9,
            "the run of 12 steps shrinks to 9: the next step has the learning rate {:.3g} of the schedule over 9 steps",
        ),
        (
            20,
            "the run of 12 steps grows to 20: the next step has the learning rate {:.3g} of the schedule over 20 steps",
        ),
        (6, "the run of 12 steps ends where it is, at step 6"),
    ],
)
def test_a_stopped_run_may_become_shorter_and_longer(
    steps: int, said: str, run_folder: Path, shards: list[str], tiny_recipe: str
) -> None:
    """A run of 12 steps that was stopped after 6."""
    long = make_plan(load_recipe(tiny_recipe, ["optim.steps=12"]), shards)
    state = {"identity": folder.identity(long), "num_steps": 12, "progress": {"step": 6, "best_value": None}}
    assert not folder.check_same(long, state)
    plan = make_plan(load_recipe(tiny_recipe, [f"optim.steps={steps}"]), shards)
    assert folder.check_same(plan, state)
    assert said.format(lr_at(6, steps, 0.003, OptimConfig(lr=0.003))) in new_length(plan, state)
    short = make_plan(load_recipe(tiny_recipe, ["optim.steps=5"]), shards)
    with pytest.raises(UsageError, match="5 steps, but the run is at step 6"):
        folder.check_same(short, state)


def test_what_a_run_was_trained_on(finished: Path, shards: list[str], tmp_path: Path) -> None:
    config, urls = resolved(None, (), finished, ["optim.steps=7"], resume=True)
    assert sorted(urls) == sorted(shards)
    assert config.optim.steps == 7
    record = {
        "sources": {
            "p": {"url": "hf://a/p", "sha256": "x", "base": "s3://b/c", "layers": ["/l#one", "/m#two"]},
            "q": {"url": "s3://b/c", "sha256": "y"},
        }
    }
    (finished / "data.json").write_text(json.dumps(record))
    assert shards_of(finished, config) == ["hf://a/p", "s3://b/c", "/l", "/m"]
    named = config.model_copy(update={"data": config.data.model_copy(update={"layers": {"q": ("/m#two",)}})})
    assert shards_of(finished, named) == ["hf://a/p", "s3://b/c", "/l"]
    (finished / "data.json").write_text(json.dumps({"/old/folder": "0" * 64}))  # of earlier versions
    assert shards_of(finished, config) == ["/old/folder"]
    with pytest.raises(UsageError, match="holds no run to go on with, so say which data to train on: --shards"):
        resolved(None, (), tmp_path / "none", (), resume=True)
    with pytest.raises(UsageError, match=r"^say which data to train on: --shards FOLDER"):
        resolved("demo", (), tmp_path / "none", (), resume=False)


def test_a_failed_start_is_replaced(
    shards: list[str], tiny_recipe: str, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    for name in ("config.yaml", "metrics.jsonl", "tensorboard/events.1", "debug/x/info.json", "mine.txt"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("of an earlier start")
    folders = [word for url in shards for word in ("--shards", url)]
    command = ["train", *folders, "--recipe", tiny_recipe, "--out", str(out), "--set", "optim.steps=1", *QUIET]
    assert main(command) == 2
    assert "replace what never got to a checkpoint with --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert not (out / "tensorboard/events.1").exists()
    assert not (out / "debug").exists()
    assert (out / "mine.txt").is_file()  # not a run's
    assert main([*command, "--overwrite"]) == 2
    assert "has checkpoints; continue it with --resume" in capsys.readouterr().err


def test_the_time_left_is_there_from_the_first_step() -> None:
    text = StringIO()
    view = make_view(Console(file=text, width=200), 300)
    for step in (1, 2, 3):
        view.tick(step, 300.0 - step)
    assert text.getvalue() == "step 1/300  about 4m59s left\n"
    text = StringIO()
    view = make_view(Console(file=text, width=200, force_terminal=True), 300)
    view.tick(1, 299.0)
    view.close()
    assert "step 1/300" in text.getvalue()
    assert "eta 4m59s" in text.getvalue()


class FakeTracker:
    """Stands for the modules `trackio` and `wandb`."""

    def __init__(self) -> None:
        self.inits: list[dict[str, object]] = []
        self.logged: list[tuple[dict[str, object], int]] = []
        self.finished = 0
        self.Image = lambda picture: picture.shape
        self.__spec__ = SimpleNamespace()

    def init(self, **options: object) -> "FakeTracker":
        self.inits.append(options)
        return self

    def log(self, values: dict[str, object], step: int) -> None:
        self.logged.append((values, step))

    def finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_numbers_go_to_trackers_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTracker()
    monkeypatch.setitem(sys.modules, name, fake)  # type: ignore[arg-type]
    for start in (None, 1):
        log = MetricsLog(tmp_path, start, [name], {"name": "mine"})
        log.write("train", 1, {"loss": 0.5, "losses": {"depth": 0.25}})
        log.write("event", 1, {"event": "skipped"})
        log.image("real/0", 1, np.zeros((4, 6, 3), np.uint8))
        log.close()
    assert fake.logged[:2] == [({"train/loss": 0.5, "train/losses/depth": 0.25}, 1), ({"real/0": (4, 6, 3)}, 1)]
    assert fake.finished == 2
    first, second = fake.inits
    assert first == second  # a resumed run goes on under its name
    assert (first["project"], first["resume"], first["config"]) == ("pvit", "allow", {"name": "mine"})
    assert ("id" in first) is (name == "wandb")
    assert not (tmp_path / "tensorboard").exists()


def test_missing_trackers_are_said_at_the_start(
    shards: list[str], tiny_recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [word for url in shards for word in ("--shards", url)]
    command = ["train", *folders, "--recipe", tiny_recipe, "--out", str(tmp_path / "run"), "--set", "run.log=[trackio]"]
    for more in ([], ["--dry-run"]):
        assert main([*command, *more]) == 2
        assert "run.log: 'trackio' is not installed: pip install 'pvit-toolkit[trackio]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
