"""What is installed: the wheel's files alone, on a machine without torch, simulate, convert, publish and pull."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hub_server import TOKEN, serve_hub

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [Path(folder) for folder in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
TRAIN = ("torch", "torchvision", "timm", "accelerate", "tensorboard")
MOST_SECONDS = 0.25  # of CPU

SMOKE = """
import sys, time
before = time.process_time()
import pvit_data
assert time.process_time() - before < {seconds}
from pvit_cli.data import main
for argv in (
    ["simulate", "hypersim", "raw", "--preset", "tiny"],
    ["convert", "hypersim", "raw", "data", "--workers", "1"],
    ["publish", "data", "--repo", "me/rooms"],
    ["pull", "me/rooms", "copy"],
    ["validate", "copy"],
):
    assert main(argv) == 0, argv
assert len(pvit_data.open("copy")) == len(pvit_data.open("data")) > 0
assert not set(sys.modules) & set({train}), set(sys.modules) & set({train})
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as the wheel has them, and what would be installed for training in a way that cannot be imported."""
    site = tmp_path_factory.mktemp("site")
    for folder in PACKAGES:
        shutil.copytree(ROOT / folder, site / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    info = Path(str(importlib.metadata.distribution(PROJECT["project"]["name"])._path))  # type: ignore[attr-defined]
    shutil.copytree(info, site / info.name)
    for name in TRAIN:
        (site / f"{name}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n")
    return site


def python(site: Path, code: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """An interpreter that finds the wheel's files first, and no checkout."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", **more}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=folder, capture_output=True, encoding="utf-8", timeout=200
    )


def test_without_torch_shards_are_made_published_and_pulled(site: Path, tmp_path: Path) -> None:
    with serve_hub() as hub:
        more = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}
        done = python(site, SMOKE.format(seconds=MOST_SECONDS, train=TRAIN), tmp_path, **more)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "manifest.json" in hub.repositories["dataset", "me/rooms"].files
    assert TOKEN not in done.stdout + done.stderr
    found = python(site, "import pvit_data; print(pvit_data.__file__)", tmp_path)
    assert found.stdout.startswith(str(site))


def test_training_without_torch_says_what_to_install(site: Path, tmp_path: Path) -> None:
    code = "from pvit_cli.model import main; raise SystemExit(main(['info', 'mvitv2_xxs']))"
    done = python(site, code, tmp_path)
    assert done.returncode != 0
    assert "pip install 'pvit-toolkit[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_quick_and_loads_no_torch(site: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pvit_cli.data import main; code = main(['--help'])\n"
        "print(code, time.process_time(), 'torch' in sys.modules, file=sys.stderr)"
    )
    tries = [python(site, code, tmp_path).stderr.split() for _ in range(3)]
    assert {(code, loaded) for code, _, loaded in tries} == {("0", "False")}
    assert min(float(seconds) for _, seconds, _ in tries) < 2 * MOST_SECONDS  # beside other tests; alone: once


def test_every_package_says_that_it_is_typed_and_the_version_has_one_place() -> None:
    assert all((ROOT / folder / "py.typed").is_file() for folder in PACKAGES)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["project"]["version"]
    listed = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert all((ROOT / name).exists() for name in listed)
    words = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split()
    assert len(words) < 600  # a page
