"""What users of other commands expect: versions, `python -m`, completion in their shell."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import pvit_data
import pvit_model
from pvit_cli import data, model

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("application", [data, model], ids=["pvit-data", "pvit"])
def test_versions(application: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert application.main(["--version"]) == 0  # type: ignore[attr-defined]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"pvit-toolkit {version('pvit-toolkit')}, format 1.")
    assert f"torch {version('torch')}" in lines
    assert pvit_data.__version__ == pvit_model.__version__ == version("pvit-toolkit")


@pytest.mark.parametrize(("package", "words"), [("pvit_data", ["sources"]), ("pvit_model", ["recipes"])])
def test_packages_run_as_programs(package: str, words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", package, *words], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) > 3


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_after_installation(tmp_path: Path) -> None:
    """As a user has it: installed into the home folder, read by a new shell, asked for what follows."""
    home = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash", "PATH": f"{BIN}:{os.environ['PATH']}"}
    install = ["bash", "-c", "pvit-data --install-completion; exit $?"]  # the shell is the one that it is called from
    done = subprocess.run(install, env=home, capture_output=True, text=True)
    assert "bash completion installed" in done.stdout, done.stderr
    script = """
        source "$HOME/.bashrc"
        ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pvit_data_completion pvit-data; echo "${COMPREPLY[*]}"; }
        ask pvit-data val
        ask pvit-data convert hyp
        ask pvit-data convert hypersim --shard
    """
    done = subprocess.run(["bash", "-c", script], env=home, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["validate", "hypersim", "--shard-size"]
