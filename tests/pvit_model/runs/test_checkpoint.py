"""Checkpoints: exact restore, damage always found, the previous one used, nothing half-written left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pvit_data.errors import FormatError
from pvit_model.recipes.config import OptimConfig
from pvit_model.runs import checkpoint
from pvit_model.training.optim import make_optimizer


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        torch.manual_seed(step)
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()


def save(folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Path:
    def weights(path: Path) -> None:
        save_file(model.state_dict(), path / "model.safetensors")

    return checkpoint.save_checkpoint(folder, step, weights, optimizer, {"note": "ä"})


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_restored_training_is_bit_equal(name: str, tmp_path: Path) -> None:
    config = OptimConfig(name=name, lr=0.01, weight_decay=0.1)  # type: ignore[arg-type]
    model = network()
    optimizer = make_optimizer(model, config)
    train(model, optimizer, range(3))
    folder = save(tmp_path, 3, model, optimizer)
    train(model, optimizer, range(3, 7))

    again = network()
    other = make_optimizer(again, config)
    state = checkpoint.restore(folder, again, other, None)
    assert (state["step"], state["note"]) == (3, "ä")
    train(again, other, range(3, 7))
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_damage_is_found_and_the_previous_one_used(tmp_path: Path) -> None:
    model = network()
    optimizer = make_optimizer(model, OptimConfig())
    train(model, optimizer, range(1))
    first, second = save(tmp_path, 1, model, optimizer), save(tmp_path, 2, model, optimizer)
    rng = np.random.default_rng(0)
    files = sorted(second.iterdir())
    for trial in range(60):
        path = files[trial % len(files)]
        good = path.read_bytes()
        bad = bytearray(good)
        if trial % 3 == 0:
            bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        elif trial % 3 == 1:
            del bad[rng.integers(len(bad)) :]
        else:
            bad += b"x"
        path.write_bytes(bad)
        same = path.name == "manifest.json" and _equal_json(good, bytes(bad))
        assert checkpoint.damage(second) or same, f"{path.name}, trial {trial}"
        if not same:
            with pytest.warns(UserWarning, match="is damaged"):
                assert checkpoint.newest(tmp_path) == first
        path.write_bytes(good)
    assert checkpoint.newest(tmp_path) == second


def _equal_json(a: bytes, b: bytes) -> bool:
    try:
        return bool(json.loads(a) == json.loads(b))
    except ValueError:
        return False


def test_all_damaged_is_an_error_and_none_is_none(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "none") is None
    model = network()
    (save(tmp_path, 1, model, make_optimizer(model, OptimConfig())) / "manifest.json").unlink()
    with (
        pytest.warns(UserWarning, match="manifest.json is unreadable"),
        pytest.raises(FormatError, match="all 1 are damaged; start again without --resume"),
    ):
        checkpoint.newest(tmp_path)


def test_only_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    model = network()
    optimizer = make_optimizer(model, OptimConfig())
    for step in range(1, 7):
        save(tmp_path, step, model, optimizer)
    (tmp_path / ".step-00000009.1.tmp").mkdir()
    for name in ("step-best.old", ".step-mine.tmp", "step-00000001.old"):
        (tmp_path / name).mkdir()
    checkpoint.prune(tmp_path, keep_last=2, best=3)
    assert (tmp_path / "step-best.old").is_dir()
    assert (tmp_path / ".step-mine.tmp").is_dir()
    assert not (tmp_path / "step-00000001.old").exists()
    kept = sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("step-0"))
    assert kept == ["step-00000003", "step-00000005", "step-00000006"]


def test_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    model = network()
    folder = save(tmp_path, 1, model, make_optimizer(model, OptimConfig()))
    other = torch.nn.Sequential(torch.nn.Linear(3, 5))
    with pytest.raises(FormatError, match="weights belong to another network"):
        checkpoint.restore(folder, other, make_optimizer(other, OptimConfig()), None)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        (path / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    model = network()
    with pytest.raises(OSError, match="No space"):
        checkpoint.save_checkpoint(tmp_path, 1, fails, make_optimizer(model, OptimConfig()), {})
    assert list(tmp_path.iterdir()) == []


def test_saving_a_step_again_never_leaves_it_without_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at either of the two renames, or between them and the clean-up, the step stays loadable."""
    model = network()
    optimizer = make_optimizer(model, OptimConfig())
    original = Path.rename

    class Killed(BaseException):
        pass

    for fatal in (1, 2, 3):
        folder, calls = tmp_path / str(fatal), 0
        save(folder, 1, model, optimizer)

        def rename(path: Path, target: Path) -> Path:
            nonlocal calls
            calls += 1
            if calls == fatal:  # noqa: B023
                raise Killed
            return original(path, target)

        monkeypatch.setattr(Path, "rename", rename)
        if fatal < 3:
            with pytest.raises(Killed):
                save(folder, 1, model, optimizer)
        else:
            save(folder, 1, model, optimizer)
        monkeypatch.setattr(Path, "rename", original)
        found = checkpoint.newest(folder)
        assert found is not None
        assert checkpoint.read_state(found)["step"] == 1
        save(folder, 1, model, optimizer)
        save(folder, 1, model, optimizer)
        checkpoint.prune(folder, 2, None)
        assert [p.name for p in folder.iterdir()] == ["step-00000001"]


WRITER = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_checkpoint import network, save, make_optimizer, OptimConfig, train, checkpoint
model = network(); optimizer = make_optimizer(model, OptimConfig()); train(model, optimizer, range(1))
print("ready", flush=True)
for step in range(1, 100000):
    save(Path({folder!r}), step, model, optimizer)
    checkpoint.prune(Path({folder!r}), 2, None)
"""


def test_killed_writer_leaves_a_loadable_checkpoint(tmp_path: Path) -> None:
    script = WRITER.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    while not checkpoint.checkpoints(tmp_path):
        assert process.poll() is None
    # Any moment will do: the loop above ends at an arbitrary point of the writer's endless work.
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert checkpoint.read_state(found)["step"] >= 1
