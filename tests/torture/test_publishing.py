"""Publications that are killed again and again, and what `datasets` reads of a published one.

Nothing that arrived whole is sent twice, and there is no manifest without shards: three times in `make test`
(tests/pvit_cli/test_publish_commands.py), twenty times here.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_server import REPO, Hub
from tests.pvit_cli.test_publish_commands import (
    ROOT,
    SECRET,
    SIZE,
    SMALL,
    done,
    hub,
    kill_and_repeat,
    start,
    write_noise,
)
from tests.pvit_data.reading.test_layers import annotated, keys, write_base, write_layer

__all__ = ["hub"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Shards that are sent alone, and such as are sent together."""
    root = tmp_path_factory.mktemp("publish")
    return [write_noise(root / "large", 12, SIZE), write_noise(root / "small", 30, SMALL)]


@pytest.mark.full
@pytest.mark.parametrize("xet", ["", "0"], ids=["lfs", "xet"])
@pytest.mark.parametrize("seed", range(20))
def test_twenty_killed_publications(hub: Hub, folders: list[Path], tmp_path: Path, seed: int, xet: str) -> None:
    """Whole files and files in parts, one at a time and four; by Xet small ones of one call are in flight together."""
    rng = random.Random(100 + seed)
    hub.part_bytes = rng.choice([0, 20_000])
    folder = rng.choice(folders)
    together = 100 if xet and folder == folders[1] else 1
    jobs = rng.choice([1, 4])
    kill_and_repeat(hub, folder, tmp_path / "home", rng, jobs, together, xet)


@pytest.mark.full
def test_datasets_streams_what_was_published(hub: Hub, tmp_path: Path) -> None:
    """Sources and layers by their names, from the repository."""
    free = {"licence": "CC0-1.0", "redistributable": True}
    write_base(tmp_path / "d", **free)
    write_layer(tmp_path / "d", **free)
    done(start(hub, tmp_path / "home", "publish", str(tmp_path / "d"), "--repo", REPO))
    code = f"""
import json
from datasets import load_dataset
found = {{}}
for name in ("clips", "later"):
    rows = [row for split in ("train", "val") for row in load_dataset("{REPO}", name, split=split, streaming=True)]
    found[name] = {{row["__key__"]: sorted(row) for row in rows}}
print(json.dumps(found))
"""
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": SECRET, "HF_HUB_DISABLE_XET": "1"}
    words = [sys.executable, "-c", code]
    told = subprocess.run(words, env=os.environ | own, cwd=ROOT, text=True, capture_output=True, check=True)
    found = json.loads(told.stdout)
    assert sorted(found["clips"]) == sorted(keys())
    assert sorted(found["later"]) == sorted(annotated())
    assert all("depth.tif" in columns for columns in found["later"].values())
