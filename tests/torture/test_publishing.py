"""Publications that are killed again and again: nothing that arrived whole is sent twice, no manifest without shards.

Three in `make test` (tests/pvit_cli/test_publish_commands.py), twenty here.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.hub_server import Hub
from tests.pvit_cli.test_publish_commands import SIZE, SMALL, hub, kill_and_repeat, write_noise

__all__ = ["hub"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Shards that are sent alone, and such as are sent together."""
    root = tmp_path_factory.mktemp("publish")
    return [write_noise(root / "large", 12, SIZE), write_noise(root / "small", 30, SMALL)]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(20))
def test_twenty_killed_publications(hub: Hub, folders: list[Path], tmp_path: Path, seed: int) -> None:
    """Whole files and files in parts, one at a time and four."""
    rng = random.Random(100 + seed)
    hub.part_bytes = rng.choice([0, 20_000])
    kill_and_repeat(hub, rng.choice(folders), tmp_path / "home", rng, jobs=rng.choice([1, 4]))
