"""The training page says what the code does: its scripts run, its settings and recipes exist."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pvit_model.recipes.config import check_keys, known_paths
from pvit_model.recipes.loading import load_recipe, recipe_names, row_names
from pvit_model.runs.log import read_log
from pvit_model.tasks import LossOptions

PAGE = (Path(__file__).parents[3] / "docs/training.md").read_text()
SCRIPTS = dict(re.findall(r"```bash file=(\S+)\n(.*?)```", PAGE, re.S))
STAND_INS = {
    "srun": '#!/bin/bash\nshift\nexec "$@"\n',
    "scontrol": '#!/bin/bash\nif [ "$1" = show ]; then echo localhost; else echo "$@" >> "$REQUEUED"; fi\n',
    "torchrun": f'#!/bin/bash\nexec {sys.executable} -m torch.distributed.run "$@"\n',
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The scripts, and commands that stand in for the cluster's."""
    for name, text in {**STAND_INS, **SCRIPTS}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def start(place: Path, name: str, out: Path, shards: list[str], recipe: str, steps: int) -> subprocess.Popen[str]:
    folders = [word for url in shards for word in ("--shards", url)]
    settings = (f"optim.steps={steps}", "run.log_every=1", "run.predictions=0", "run.timeout_s=20", "run.eval_clips=1")
    changes = [word for text in settings for word in ("--set", text)]
    environment = os.environ | {
        "PATH": f"{place}:{os.environ['PATH']}", "GPUS": "2", "RESTARTS": "0", "OMP_NUM_THREADS": "1",
        "SLURM_JOB_NODELIST": "localhost", "SLURM_NNODES": "1", "SLURM_JOB_ID": "7",
        "PORT": str(20000 + os.getpid() % 20000),
        "REQUEUED": str(place / "requeued"),
    }  # fmt: skip
    words = ["bash", str(place / name), "--recipe", recipe, "--out", str(out), *folders, *changes]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.full
def test_a_job_that_runs_out_of_time_goes_on(place: Path, shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    """Two ranks: USR1 to the batch script saves and queues the job again; the next start finishes it."""
    out = tmp_path / "run"
    process = start(place, "train.sbatch", out, shards, tiny_recipe, 150)
    begun = time.monotonic()
    while not (out / "metrics.jsonl").is_file() or len(read_log(out)) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < 90
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert "not finished (exit code 1), queued again" in said
    assert "stopped by SIGTERM: saved" in said
    assert (place / "requeued").read_text() == "requeue 7\n"
    saved = max(int(p.name.split("-")[1]) for p in (out / "checkpoints").iterdir())
    process = start(place, "train.sbatch", out, shards, tiny_recipe, 150)
    said, _ = process.communicate(timeout=200)
    assert f"resumed    at step {saved}" in said
    assert "train.sbatch: finished" in said
    assert (out / "report.html").is_file()


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_scripts_are_sound(name: str, place: Path) -> None:
    subprocess.run(["bash", "-n", str(place / name)], check=True)
    done = subprocess.run(["bash", str(place / name)], capture_output=True, text=True, check=False, env={
        "PATH": f"{place}:{os.environ['PATH']}", "GPUS": "1", "RESTARTS": "0", "SLURM_JOB_NODELIST": "localhost",
    })  # fmt: skip
    assert done.returncode != 0  # no --shards, no --out: said, not ignored


def test_recipes_and_settings_exist() -> None:
    named = set(re.findall(r"`([a-z0-9-]+)`", PAGE[PAGE.index("| recipe") : PAGE.index("An unknown key")]))
    assert named == set(recipe_names()) - set(row_names())
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.S)
    assert example
    values = yaml.safe_load(example[1])
    load_recipe(values.pop("base"))
    check_keys(values, "docs/training.md")
    known = set(known_paths())
    for text in re.findall(r"`((?:run|optim|mixture|model|clip|data|losses)\.[a-z_]+)", PAGE):
        assert text in known, text
    (options,) = re.findall(r"'(losses\.options=[^']*)'", PAGE)
    chosen = load_recipe("demo", [options]).losses.options
    assert LossOptions(**chosen) != LossOptions()
