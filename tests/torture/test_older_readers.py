"""The reader of format 1.0, as it was, sees the same samples in a folder to which layers were added."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.pvit_data.reading.test_layers import write_base, write_layer, write_protocol

ROOT = Path(__file__).parents[2]
COMMIT = "4c2fc20"
"""The last one that knew nothing of layers."""

READ = """
import dataclasses, hashlib, json, sys
import numpy as np
import pvit_data

def told(value):
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if dataclasses.is_dataclass(value):
        return {f.name: told(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): told(one) for name, one in value.items()}
    return [told(one) for one in value] if isinstance(value, (list, tuple)) else repr(value)

ds = pvit_data.open(sys.argv[1])
columns = {name: ds.column(name).tolist() for name in ("key", "source", "split", "frames", "has_depth", "action")}
found = {"columns": columns, "sources": sorted(ds.sources), "samples": [told(sample) for sample in ds]}
print(json.dumps({"home": pvit_data.__file__, "found": found}))
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it was."""
    folder = tmp_path_factory.mktemp("older")
    command = ["git", "-C", str(ROOT), "archive", COMMIT, "pvit_data"]
    try:
        packed = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"the history of the repository with {COMMIT} is not here")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def read(folder: Path, package: Path) -> Any:
    run = subprocess.run(
        [sys.executable, "-c", READ, str(folder)],
        env={**os.environ, "PYTHONPATH": str(package)},
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert Path(answer["home"]).is_relative_to(package)
    return answer["found"]


def test_layers_change_nothing_for_a_reader_of_1_0(tmp_path: Path, older: Path) -> None:
    write_base(tmp_path)
    before = read(tmp_path, older)
    assert len(before["samples"]) == 10
    write_layer(tmp_path)
    write_protocol(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["layers"].keys() == {"later", "few"}
    assert read(tmp_path, older) == before
