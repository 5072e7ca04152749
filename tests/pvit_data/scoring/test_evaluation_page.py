"""The page about evaluation: every block runs, in order, and does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pvit_data.scoring.protocols import PROTOCOLS

PAGE = (Path(__file__).parents[3] / "docs/evaluation.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each shell block printed; the Python blocks share their names."""
    place = tmp_path_factory.mktemp("page")
    (place / "pvit").write_text(f'#!/bin/bash\nexec {sys.executable} -m pvit_cli.model "$@"\n')
    (place / "pvit").chmod(0o755)
    environment = os.environ | {"PATH": f"{place}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    code, printed = "", []
    for language, block in re.findall(r"```(python|bash)\n(.*?)```", PAGE, re.DOTALL):
        if language == "python":
            code += block
            command = [sys.executable, "-c", code]
        else:
            command = ["bash", "-ec", block]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, block + done.stderr
        if language == "bash":
            printed.append(done.stdout)
    return printed


def test_every_block_runs(outputs: list[str]) -> None:
    npz, text, submission, ava, doctor, passports = outputs
    assert npz.splitlines()[1:3] == text.splitlines()[1:3] == submission.splitlines()[1:3]
    assert "N = 600" in npz
    assert ava.count("\n  mAP:") == 2
    assert "FINDING: permuted classes" in doctor
    assert "ids that count from 1" in doctor
    assert "exit code 1" in doctor
    assert "NOT comparable" not in passports
    assert "comparable" in passports


def test_the_table_holds_every_protocol() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| ([^|]*) \|", PAGE, re.MULTILINE))
    assert rows.keys() == PROTOCOLS.keys()
    for name, metrics in rows.items():
        assert tuple(re.findall(r"`(\w+)`", metrics)) == PROTOCOLS[name].metrics
