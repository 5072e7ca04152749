"""Everything in this folder is torture: a small size in `make test`, the full figures with PVIT_TORTURE=1.

What is marked `full` has no small size: it takes minutes of starting processes, and is of `make torture` alone.
"""

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("torture")
    if not os.environ.get("PVIT_TORTURE"):
        full = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in full]
        config.hook.pytest_deselected(items=full)
