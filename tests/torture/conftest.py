"""Everything in this folder is torture: a small size in `make test`, the full figures with PVIT_TORTURE=1.

What is marked `full`, here or elsewhere, is of `make torture` alone: it has no small size.
"""

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents or item.get_closest_marker("full"):
            item.add_marker("torture")
    if not os.environ.get("PVIT_TORTURE"):
        full = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in full]
        config.hook.pytest_deselected(items=full)
