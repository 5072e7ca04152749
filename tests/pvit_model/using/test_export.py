"""Exporting a model: files of the user's own mode; a full disk or Ctrl-C leaves nothing and is said in a sentence."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from safetensors import SafetensorError

from pvit_cli.model import main
from pvit_data.errors import StorageError
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.training.trainer import run_plan
from pvit_model.using.export import export_model
from pvit_model.using.loading import load_model

FULL = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.fixture(params=[0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_have_the_users_mode(run_folder: Path, tmp_path: Path, umask: int) -> None:
    export_model(str(run_folder), tmp_path / "model")
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "model").iterdir()}
    assert modes == dict.fromkeys(("config.json", "inference.json", "model.safetensors"), 0o666 & ~umask)
    load_model(str(tmp_path / "model"))


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Saving writes some bytes, then fails."""

    def save_file(tensors: Any, path: Path, metadata: Any = None) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(safetensors.torch, "save_file", save_file)


def files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


def test_export_to_a_full_disk(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, FULL)
    assert main(["export", "--model", str(run_folder), str(tmp_path / "model")]) == 1
    said = capsys.readouterr().err
    assert "no space left on the device; free some space and run the same command again" in said
    assert f"error: {tmp_path / 'model' / 'model.safetensors'}: " in said
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_exporting(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert main(["export", "--model", str(run_folder), str(tmp_path / "model")]) == 75
    assert "interrupted; run the same command again" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()])
def test_training_on_a_full_disk(
    error: BaseException, shards: list[str], tiny_recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with the system's reason, leaves no half or empty file, and goes on once there is room."""
    plan = make_plan(load_recipe(tiny_recipe), shards)
    with monkeypatch.context() as patch:
        fail_with(patch, error)
        with pytest.raises((StorageError, KeyboardInterrupt)) as caught:
            run_plan(plan, tmp_path / "run")
        if error is FULL:
            assert "free some space and run the same command with --resume" in str(caught.value)
    assert [p for p in files(tmp_path) if p.stat().st_size <= 4 or p.name.startswith(".")] == []
    assert run_plan(plan, tmp_path / "run", resume=True).steps == 6


@pytest.mark.parametrize("name", ["config.yaml", "plan.txt", "data.json"])
def test_a_disk_that_is_full_from_the_beginning(
    name: str, shards: list[str], tiny_recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file had no room: what is said then leads to a finished run."""
    plan, write = make_plan(load_recipe(tiny_recipe), shards), Path.write_bytes

    def write_bytes(self: Path, data: Any) -> int:
        if name in self.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(StorageError, match="with --resume"):
            run_plan(plan, tmp_path / "run")
    assert run_plan(plan, tmp_path / "run", resume=True).steps == 6
