"""Settings for every test, and the small converted dataset that several of them look at."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

LONG = (
    "test_processes.py",
    "test_text.py",
    "test_training.py",
    "test_several_ranks.py",
    "test_run.py",
    "test_parsers.py",
    "test_backbone_parity.py",
    "test_secrets.py",
    "test_deploy.py",
    "test_dump.py",
    "test_other_backbone.py",
    "test_families.py",
)
"""Files that take longest come first, so that no process is left with one of them at the end."""


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """What is marked `full` is of `make torture` alone, whatever is selected: it has no small size."""
    full = [item for item in items if item.get_closest_marker("full")]
    for item in full:
        item.add_marker("torture")
    if full and not os.environ.get("PVIT_TORTURE"):
        items[:] = [item for item in items if item not in full]
        config.hook.pytest_deselected(items=full)
    yield
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


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
