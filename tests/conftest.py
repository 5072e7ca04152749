"""Settings for every test, and the small converted dataset that several of them look at."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is written into the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PVIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated Hypersim stills (depth, normals, segmentation, boxes, camera) and SSv2 clips, converted. Read only."""
    from pvit_cli.data import main

    root = tmp_path_factory.mktemp("shards")
    for source in ("hypersim", "ssv2"):
        raw = str(root / source)
        assert main(["simulate", source, raw, "--preset", "tiny", "--samples", "8", "--seed", "1"]) == 0
        assert main(["convert", source, raw, str(root / "data"), "--workers", "1"]) == 0
    return root / "data"
