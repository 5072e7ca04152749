"""Publications that are killed again and again: nothing that arrived whole is sent twice, no manifest without shards.

Three in `make test` (tests/pvit_cli/test_publish_commands.py), twenty here.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.hub_server import Hub
from tests.pvit_cli.test_publish_commands import folder, hub, kill_and_repeat

__all__ = ["folder", "hub"]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(20))
def test_twenty_killed_publications(hub: Hub, folder: Path, tmp_path: Path, seed: int) -> None:
    """Whole files and files in parts, one at a time and four."""
    rng = random.Random(100 + seed)
    hub.part_bytes = rng.choice([0, 20_000])
    kill_and_repeat(hub, folder, tmp_path / "home", rng, jobs=rng.choice([1, 4]))
