"""Links in a run's folder lead nowhere: files are replaced, linked folders refused; RUN itself may be a link."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pvit_data.errors import FormatError, UsageError
from pvit_data.storage.files import open_appended
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.runs import checkpoint, folder
from pvit_model.runs.log import FILE, MetricsLog, read_log
from pvit_model.training.trainer import run_plan
from pvit_model.using.export import export_model


def run(tiny_recipe: str, shards: list[str], out: Path, resume: bool = False, steps: int = 3) -> None:
    settings = [f"optim.steps={steps}", "run.eval_every=3"]
    run_plan(make_plan(load_recipe(tiny_recipe, settings), shards), out, resume=resume)


@pytest.mark.parametrize("name", folder.FOLDERS)
def test_a_linked_folder_of_a_run_is_refused(name: str, run_folder: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(run_folder, tmp_path / "run"))
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "events").write_bytes(b"")
    shutil.rmtree(out / name, ignore_errors=True)
    (out / name).symlink_to(victim)
    with pytest.raises(UsageError, match="is a link to"):
        folder.prepare(out, resume=True, is_main=True)
    assert [p.name for p in victim.iterdir()] == ["events"]


def test_linked_files_of_a_run_are_replaced(
    shards: list[str], tiny_recipe: str, run_folder: Path, tmp_path: Path
) -> None:
    """Someone else's run, resumed: what its names lead to stays as it was."""
    out = Path(shutil.copytree(run_folder, tmp_path / "run"))
    names = ("metrics.jsonl", "config.yaml", "plan.txt", "environment.json", "report.html", "report.json")
    for name in names:
        victim = tmp_path / f"victim-{name}"
        shutil.move(out / name, victim)
        (out / name).symlink_to(victim)
    before = {name: (tmp_path / f"victim-{name}").read_bytes() for name in names}
    plan = make_plan(load_recipe(tiny_recipe), shards)
    run_plan(plan, out, resume=True)
    assert {name: (tmp_path / f"victim-{name}").read_bytes() for name in names} == before
    assert not any((out / name).is_symlink() for name in names)


def test_the_folder_itself_may_be_a_link(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    run(tiny_recipe, shards, tmp_path / "run")
    assert (tmp_path / "disk/model/model.safetensors").is_file()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    export_model(str(tmp_path / "run"), tmp_path / "out")
    assert (tmp_path / "elsewhere/model.safetensors").is_file()


def test_the_log_is_appended_to_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "absent"):
        with pytest.raises(OSError, match=r"link|regular|such device|No such"):
            open_appended(tmp_path / name)
    with open_appended(tmp_path / "victim") as file:
        file.write("ä")
    assert (tmp_path / "victim").read_text(encoding="utf-8") == "keptä"


def test_tensorboard_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/tensorboard").symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError, match="is a link to"):
        MetricsLog(tmp_path / "run")
    assert list((tmp_path / "victim").iterdir()) == []


def test_linked_checkpoints_are_not_removed(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").write_bytes(b"x")
    for step in (1, 2, 3):
        (tmp_path / f"step-{step:08d}").mkdir()
    (tmp_path / "step-00000000").symlink_to(tmp_path / "victim")
    checkpoint.prune(tmp_path, 1, best=None)
    assert (tmp_path / "victim/file").is_file()
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [0, 3]


LINES = [
    b"[1]", b"3", b'"x"', b"{}", b'{"kind": "train", "step": "x"}', b'{"kind": "train", "step": 1}',
    b'{"kind": "train", "step": 1, "loss": 1, "lr": 1, "losses": [1]}', b"[" * 100_000, b"\xff\xfe",
    b'{"kind": "train", "step": 1180591620717411303424, "loss": 1, "lr": 1, "losses": {}}',
    b'{"kind": ["eval"], "step": 1}', b"x" * (3 << 20), b'{"kind": "train", "step": 1, "loss": true, "lr": 1}',
]  # fmt: skip


def test_lines_that_no_run_writes_are_left_out(tmp_path: Path) -> None:
    good = {"kind": "train", "step": 2, "loss": float("nan"), "lr": 0.1, "losses": {"depth": 1.0}}
    (tmp_path / FILE).write_bytes(b"\n".join([*LINES, json.dumps(good).encode(), b'{"kind": "tr']))
    (line,) = read_log(tmp_path)
    assert line["losses"] == {"depth": 1.0}
    assert np.isnan(line["loss"])
    MetricsLog(tmp_path, 5).close()
    assert len(read_log(tmp_path)) == 1


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"sources": 3}', '{"sources": {"a": 1}}', '{"sources": {"a": {"sha256": 1}}}', "[" * 9999]
)
def test_what_is_no_record_of_the_data_is_refused(text: str, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_bytes(text.encode())
    with pytest.raises(FormatError, match=r"data\.json"):
        folder.changed_data(tmp_path, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [{}, {"progress": 3}, {"progress": {}, "identity": []}, {"progress": {}, "identity": {"optim": {"lr": "x"}}},
     {"progress": {"step": []}, "identity": {}}],
)  # fmt: skip
def test_a_state_that_no_run_writes_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="state"):
        folder.check_same(None, values)  # type: ignore[arg-type]
