"""What users of other commands expect: versions, `python -m`, completion in their shell."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import pvit_data
import pvit_model
from pvit_cli import data, model


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
