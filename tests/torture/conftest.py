"""Everything in this folder is torture: a small size in `make test`, the full figures with PVIT_TORTURE=1."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("torture")
