"""Whole runs on tiny shards: exact resume after signals and kills, damaged checkpoints, non-finite losses."""

import functools
import json
import math
import os
import shutil
import signal
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from pvit_data.errors import ConfigError, Interrupted, PvitError, UsageError
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import Plan, make_plan
from pvit_model.reporting.view import make_view
from pvit_model.runs.log import read_log
from pvit_model.training.build import build_network
from pvit_model.training.signals import StopRequest
from pvit_model.training.trainer import Trainer, run_plan


def plan_of(recipe: str, shards: list[str], *settings: str) -> Plan:
    return make_plan(load_recipe(recipe, settings), shards)


def weights(run: Path, step: int = 6) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:08d}" / "model.safetensors")


def losses(run: Path) -> list[tuple[int, float, dict[str, float]]]:
    """(step, loss, losses by target) of every step, exactly as logged: JSON keeps all digits."""
    return [(x["step"], x["loss"], x["losses"]) for x in read_log(run) if x["kind"] == "train"]


def assert_same_run(a: Path, b: Path) -> None:
    assert losses(a) == losses(b)
    one, two = weights(a), weights(b)
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    first, second = ([x for x in read_log(run) if x["kind"] == "eval"] for run in (a, b))
    assert first == second


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Sends this process a SIGTERM in the middle of step `step`."""
    original = Trainer._step

    def wrapped(self: Trainer, batch: object, stop: bool) -> object:
        if self.progress.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch, stop)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_step", wrapped)


EVERYTHING = ("run.precision=bf16", "optim.ema=0.9", "optim.accumulate=2", "losses.learned=true")


@pytest.mark.parametrize("settings", [(), EVERYTHING])
def test_stopped_and_resumed_is_bit_equal(
    settings: tuple[str, ...], shards: list[str], tiny_recipe: str, tmp_path: Path
) -> None:
    run_plan(plan_of(tiny_recipe, shards, *settings), tmp_path / "whole")
    out = tmp_path / "parts"
    for step in (1, 3):
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(Interrupted, match=f"stopped at step {step + 2} of 6 and saved; continue with --resume"):
                run_plan(plan_of(tiny_recipe, shards, *settings), out, resume=step > 1)
    run_plan(plan_of(tiny_recipe, shards, *settings), out, resume=True)
    assert_same_run(tmp_path / "whole", out)
    if settings:  # the averaged weights are what is handed out
        ema = load_file(out / "checkpoints/step-00000006/ema.safetensors")
        exported = load_file(out / "model/model.safetensors")
        assert all(torch.equal(ema[name], value) for name, value in exported.items())
        assert not all(torch.equal(weights(out)[name], value) for name, value in exported.items())


def test_a_stop_takes_no_validation_away(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    """Stopped at the very step that a validation is due at: it is made up for after resuming."""
    settings = ("run.eval_every=2", "run.checkpoint_every=0")
    run_plan(plan_of(tiny_recipe, shards, *settings), tmp_path / "whole")
    out = tmp_path / "parts"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 0)
        with pytest.raises(Interrupted, match="stopped at step 2 of 6"):
            run_plan(plan_of(tiny_recipe, shards, *settings), out)
    assert [x for x in read_log(out) if x["kind"] == "eval"] == []
    run_plan(plan_of(tiny_recipe, shards, *settings), out, resume=True)
    assert_same_run(tmp_path / "whole", out)
    assert [x["step"] for x in read_log(out) if x["kind"] == "eval"] == [2, 4, 6]


def test_killed_and_resumed_is_bit_equal(run_folder: Path, shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    """What a kill after step 3 leaves: the checkpoint of step 3, and a log that may be ahead of it."""
    out = tmp_path / "run"
    shutil.copytree(run_folder, out)
    shutil.rmtree(out / "checkpoints/step-00000006")
    with (out / "metrics.jsonl").open("a") as log:
        log.write('{"kind": "train", "st')
    (out / "checkpoints/.step-00000004.99.tmp").mkdir()
    run_plan(plan_of(tiny_recipe, shards), out, resume=True)
    assert_same_run(run_folder, out)
    assert sorted(p.name for p in (out / "checkpoints").iterdir()) == ["step-00000003", "step-00000006"]


def test_damaged_checkpoint_gives_way_to_the_one_before(
    run_folder: Path, shards: list[str], tiny_recipe: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(run_folder, out)
    newest = out / "checkpoints/step-00000006/optimizer.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with pytest.warns(UserWarning, match="step-00000006 is damaged .optimizer.safetensors differs"):
        run_plan(plan_of(tiny_recipe, shards), out, resume=True)
    assert_same_run(run_folder, out)


def test_the_folder_tells_everything(run_folder: Path, tiny_recipe: str) -> None:
    names = {p.name for p in run_folder.iterdir()}
    assert names >= {
        "config.yaml", "plan.txt", "data.json", "environment.json", "metrics.jsonl", "tensorboard", "checkpoints",
        "model", "report.html", "report.json",
    }  # fmt: skip
    saved = load_recipe(str(run_folder / "config.yaml"))
    assert saved.clip.tasks == {
        "real": ("action",),
        "people": ("pose3d", "boxes"),
        "scenes": ("depth", "normal", "segm"),
    }
    page = (run_folder / "report.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    assert page.count("<svg") >= 8
    assert page.count("data:image/png;base64,") == 3  # one held-out clip of each source
    assert "binomial standard errors above it" in page
    data = json.loads((run_folder / "data.json").read_text())["sources"]
    assert {name: len(entry["sha256"]) for name, entry in data.items()} == dict.fromkeys(saved.clip.tasks, 64)
    last = [x for x in read_log(run_folder) if x["kind"] == "eval"][-1]
    assert {"real/action/top1", "scenes/depth/rmse_of_constant", "people/boxes/iou", "scenes/segm/things/miou"} <= set(
        last
    )


def test_tensorboard_tells_everything(run_folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(run_folder / "tensorboard"))
    board.Reload()
    found = board.Tags()
    assert {f"train/{name}" for name in ("loss", "lr", "samples_per_s", "data_wait", "memory_gb", "grad_norm")} <= set(
        found["scalars"]
    )
    targets = ("action", "depth", "normal", "pose3d", "boxes", "segm/things")
    assert {f"train/losses/{name}" for name in targets} <= set(found["scalars"])
    assert {"eval/real/action/top1", "eval/people/boxes/iou", "eval/scenes/depth/rmse"} <= set(found["scalars"])
    assert set(found["images"]) == {"real/0", "people/0", "scenes/0"}
    logged = [x["loss"] for x in read_log(run_folder) if x["kind"] == "train"]
    assert [x.value for x in board.Scalars("train/loss")] == pytest.approx(logged)


def test_the_terminal_shows_time_losses_and_waiting() -> None:
    values = {"loss": 1.5, "lr": 1e-3, "samples_per_s": 12.5, "data_wait": 0.031, "memory_gb": 0.7, "eta_s": 75.0}
    for terminal in (True, False):
        screen = StringIO()
        console = Console(file=screen, force_terminal=terminal, width=120)
        view = make_view(console, 40)
        view.update(10, values, {"depth": 0.25, "segm/things": 0.5})
        view.note("a sentence")
        view.close()
        said = screen.getvalue()
        assert all(x in said for x in ("step 10/40", "eta 1m15s", "data wait 3%", "12.5 samples/s", "a sentence"))
        assert all(x in said for x in ("depth", "0.25", "segm/things", "0.5"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_run_is_the_same_run(
    shards: list[str], tiny_recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced and split into graphs, but not translated, which takes minutes; dropout is off: its draws are others."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    same = ("optim.steps=2", "model.options.dropout=0", "model.options.dense_dropout=0", "model.tasks=[depth]")
    run_plan(plan_of(tiny_recipe, shards, *same), tmp_path / "eager")
    run_plan(plan_of(tiny_recipe, shards, *same, "run.compile=true"), tmp_path / "compiled")
    one, two = ([x for _, x, _ in losses(tmp_path / name)] for name in ("eager", "compiled"))
    assert one == pytest.approx(two, rel=1e-4)
    assert weights(tmp_path / "compiled", 2).keys() == weights(tmp_path / "eager", 2).keys()


def test_changed_configuration_is_not_resumed(run_folder: Path, shards: list[str], tiny_recipe: str) -> None:
    with pytest.raises(UsageError, match=r"--resume: optim.lr was 0.003 and is now 0.1; undo that change"):
        run_plan(plan_of(tiny_recipe, shards, "optim.lr=0.1"), run_folder, resume=True)
    with pytest.raises(UsageError, match="already holds a run; continue it with --resume"):
        run_plan(plan_of(tiny_recipe, shards), run_folder)


def test_non_finite_loss_changes_nothing_and_stops_with_names(
    shards: list[str], tiny_recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target turns NaN from step 2 on: those steps are skipped, the third in a row ends the run."""
    from pvit_data.loading.batch import Batch

    original, seen = Trainer._step, {}

    def poisoned(self: Trainer, batch: Batch, stop: bool) -> object:
        if self.progress.step >= 2:
            batch.targets["depth"].value.fill_(float("nan"))
            seen.setdefault("before", {k: v.clone() for k, v in self.network.state_dict().items()})
        seen["network"] = self.network
        return original(self, batch, stop)

    monkeypatch.setattr(Trainer, "_step", poisoned)
    out = tmp_path / "run"
    with pytest.raises(
        PvitError, match=r"step 5: 3 steps in a row had a non-finite loss \(depth\); last samples train-"
    ):
        run_plan(plan_of(tiny_recipe, shards, "run.max_nonfinite=3"), out)
    after = seen["network"].state_dict()
    assert all(torch.equal(v, after[k]) for k, v in seen["before"].items())
    events = [x["step"] for x in read_log(out) if x["kind"] == "event"]
    assert events == [3, 4]
    info = json.loads((out / "debug/step-00000005-rank-0/info.json").read_text())
    assert info["nonfinite"] == ["depth"]
    assert load_file(out / "debug/step-00000005-rank-0/batch.safetensors")["depth.value"].isnan().all()


def test_auxiliary_only_and_downstream_only(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    only = plan_of(tiny_recipe, shards, "clip.downstream=''", "optim.steps=2")
    assert only.targets == ("depth", "normal", "pose3d", "boxes", "segm/things")
    assert run_plan(only, tmp_path / "aux").best_step == 2
    alone = plan_of(
        tiny_recipe, shards, "mixture.portion=0", "model.variant=baseline", "model.tasks=[]", "optim.steps=2"
    )
    assert [s.name for s in alone.sources] == ["real"]
    assert alone.targets == ("action",)
    assert run_plan(alone, tmp_path / "real").steps == 2


@pytest.mark.parametrize("variant", ["mt", "op", "np", "vpt", "pvit-vpt"])
def test_variants_take_a_step(variant: str, shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    plan = plan_of(tiny_recipe, shards, f"model.variant={variant}", "run.eval_clips=2")
    result = run_plan(plan, tmp_path / "run", fast_dev_run=True)
    assert result.steps == 2
    assert (plan.targets == ("action",)) == (variant in ("np", "vpt"))


def test_init_from_a_run(run_folder: Path, shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    plan = plan_of(tiny_recipe, shards, f"model.init_from={run_folder}", "optim.lr=1e-30", "optim.weight_decay=0")
    run_plan(plan, tmp_path / "run", fast_dev_run=True)
    given = load_file(run_folder / "model/model.safetensors")
    assert all(torch.allclose(v, given[k]) for k, v in weights(tmp_path / "run", 2).items())
    said = (tmp_path / "run/plan.txt").read_text()
    assert f"weights    {run_folder}: {len(given)} loaded, 0 resized, 0 fresh, 0 unused" in said


def test_published_weights_are_reported_in_the_plan(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    plan = plan_of(tiny_recipe, shards)
    backbone = build_network(plan).backbone.state_dict()
    strange = {name: value for name, value in backbone.items() if name != "norm.bias"} | {"head_old": torch.zeros(2)}
    torch.save({"model_state": strange}, tmp_path / "w.pyth")
    run_plan(plan_of(tiny_recipe, shards, f"model.checkpoint={tmp_path}/w.pyth"), tmp_path / "run", fast_dev_run=True)
    said = (tmp_path / "run/plan.txt").read_text()
    counts = f"{len(backbone) - 1} loaded, 0 resized, 3 fresh (norm.bias, head.weight, head.bias), 1 unused (head_old)"
    assert f"weights    {tmp_path}/w.pyth: {counts}" in said


def test_given_weights_are_needed_once(run_folder: Path, shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    """A resumed run has its own, and does not ask for files that may be gone."""
    shutil.copytree(run_folder / "model", tmp_path / "given")
    plan = plan_of(tiny_recipe, shards, f"model.init_from={tmp_path}/given")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 1)
        with pytest.raises(Interrupted):
            run_plan(plan, tmp_path / "run")
    shutil.rmtree(tmp_path / "given")
    assert run_plan(plan, tmp_path / "run", resume=True).steps == 6


def test_a_further_task_of_a_kind_is_configuration(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    """The boxes of a source once more, as a task with its own prompt, head, loss and metric."""
    plan = plan_of(tiny_recipe, shards, "clip.tasks={people: [pose3d, boxes, boxes/real], real: [boxes/real]}")
    assert plan.tasks == ("depth", "normal", "segm", "pose3d", "boxes", "boxes/real")
    assert "no training sample of source 'real' carries boxes/real" in plan.notes
    result = run_plan(plan, tmp_path / "run", fast_dev_run=True)
    told = json.loads((tmp_path / "run/data.json").read_text())["sources"]
    assert {name: source.get("without") for name, source in told.items()} == {
        "people": None, "real": ["boxes/real"], "scenes": None
    }  # fmt: skip
    people = next(r for r in result.reports if r.source == "people")
    assert set(people.metrics) == {"pose3d", "boxes", "boxes/real"}
    first = losses(tmp_path / "run")[0][2]
    assert first["boxes"] != first["boxes/real"]
    logged = next(x for x in read_log(tmp_path / "run") if x["kind"] == "train")
    assert logged["counts"]["boxes"] == logged["counts"]["boxes/real"]


def test_an_accelerator_gets_pinned_bytes(shards: list[str], tiny_recipe: str) -> None:
    """Pixels are normalised where they arrive; nothing here touches the device it names."""
    plan = plan_of(tiny_recipe, shards)
    for name, pinned in (("cuda:1", True), ("cpu", False)):
        accelerator = SimpleNamespace(device=torch.device(name), process_index=1, num_processes=2)
        trainer = SimpleNamespace(
            accelerator=accelerator, plan=plan, config=plan.config, num_steps=6, progress=SimpleNamespace(step=2)
        )
        options = Trainer._loader(trainer)._options  # type: ignore[arg-type]
        assert options.pin_memory == pinned
        assert options.device == (accelerator.device if pinned else None)


def test_learned_factors_move_and_are_kept(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_plan(plan_of(tiny_recipe, shards, "losses.learned=true"), out)
    factors = [x["factors"] for x in read_log(out) if x["kind"] == "train"]
    assert set(factors[-1]) == {"action", "depth", "normal", "pose3d", "boxes", "segm/things"}
    assert all(v != 1.0 for v in factors[-1].values())
    state = json.loads((out / "checkpoints/step-00000006/state.json").read_text())
    assert [math.exp(-s) for s in state["balance"]] == pytest.approx(list(factors[-1].values()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["clip.downstream=reel"], "downstream source 'reel' is not in the shards, which hold people, real, scenes"),
        (["mixture.weights.scene=2"], "source 'scene' is not in the shards, .* did you mean 'scenes'"),
        (["model.name=mvitv3"], "mvitv3"),
        (["model.tasks=[dept]", "clip.downstream=real"], r"unknown task 'dept'\. Nearest: 'depth'"),
        (["model.variant=mtt"], "unknown variant 'mtt'; did you mean 'mt'"),
        (["model.options.wings=2"], "wings"),
        (["data.where.real=frames >= 99"], "has no training samples that pass the filter"),
        (["losses.options.depht=mse"], "losses.options has no 'depht'"),
    ],
)
def test_unusable_plans_say_why(
    settings: list[str], message: str, shards: list[str], tiny_recipe: str, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, ConfigError), match=message) as caught:
        Trainer(plan_of(tiny_recipe, shards, *settings), tmp_path / "run", Console(quiet=True))
    assert "\n" not in str(caught.value)


def test_init_from_goes_by_names(run_folder: Path, turned: list[str], tiny_recipe: str) -> None:
    """The same classes and tasks in another order: each row of a head, each prompt, is the one of its name."""
    order = "model.tasks=[segm, depth, boxes, pose3d, normal]"
    plan = plan_of(tiny_recipe, turned, f"model.init_from={run_folder}", order)
    notes: list[str] = []
    own = build_network(plan, notes.append).state_dict()
    given = load_file(run_folder / "model/model.safetensors")
    assert torch.equal(own["head.weight"], given["head.weight"][[2, 0, 1]])
    assert torch.equal(own["head.bias"], given["head.bias"][[2, 0, 1]])
    layer = "heads.segm.outputs.things.weight"
    assert torch.equal(own[layer], given[layer][[2, 0, 1]])
    was = ["depth", "normal", "segm", "pose3d", "boxes"]
    now = list(plan.tasks)
    assert torch.equal(own["prompts"], given["prompts"][[was.index(task) for task in now]])
    assert "0 fresh" in notes[0]


def test_init_from_another_clip_size(run_folder: Path, shards: list[str], tiny_recipe: str) -> None:
    notes: list[str] = []
    larger = ("clip.num_frames=16", "clip.size=[64, 64]", f"model.init_from={run_folder}")
    own = build_network(plan_of(tiny_recipe, shards, *larger), notes.append).state_dict()
    given = load_file(run_folder / "model/model.safetensors")
    time = given["backbone.pos_embed_temporal"].transpose(1, 2)
    longer = torch.nn.functional.interpolate(time, size=8, mode="linear").transpose(1, 2)
    assert torch.equal(own["backbone.pos_embed_temporal"], longer)
    assert "0 resized" not in notes[0]
    assert not [name for name in own if name.startswith("backbone.") and name in notes[0].partition("fresh (")[2]]


def test_init_from_a_deeper_network_is_refused(run_folder: Path, shards: list[str], tiny_recipe: str) -> None:
    """Its further blocks would be left over; part of it is taken where that is asked."""
    fewer = ("model.options.depth=1", "model.options.stages=[]", "model.options.dense_layers=[0]")
    sets = (f"model.init_from={run_folder}", *fewer)
    with pytest.raises(ConfigError, match=r"model\.init_from .* is of a deeper network"):
        build_network(plan_of(tiny_recipe, shards, *sets))
    build_network(plan_of(tiny_recipe, shards, *sets, "model.allow_partial=true"))


def test_a_step_that_fails_after_a_signal_is_an_interruption() -> None:
    """As where the signal ended a compiler, too; what is said for the user stays."""

    def fail(error: Exception, name: signal.Signals | None = signal.SIGUSR1) -> None:
        with StopRequest():
            if name is not None:
                signal.raise_signal(name)
            raise error

    with pytest.raises(Interrupted, match="stopped by SIGUSR1 within a step"):
        fail(RuntimeError("compiler"))
    with pytest.raises(ConfigError):
        fail(ConfigError("the disk is full"))
    with pytest.raises(RuntimeError):
        fail(RuntimeError("of itself"), None)
