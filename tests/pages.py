"""Pages of the documentation as readers use them: their code as an installed package, its entry points as told."""

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def block(page: str, language: str) -> str:
    """The first block of code in a language."""
    found = re.search(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def entry_points(page: str) -> dict[str, dict[str, str]]:
    """What the page's pyproject.toml registers, by group."""
    groups: dict[str, dict[str, str]] = tomllib.loads(block(page, "toml"))["project"]["entry-points"]
    return groups


def install(
    site: Path, module: str, code: str, groups: Mapping[str, Mapping[str, str]], patch: pytest.MonkeyPatch
) -> None:
    """What pip would leave behind, for this process and those that it starts."""
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [
        line for group, table in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in table.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    patch.syspath_prepend(str(site))
    patch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    patch.setattr(sys, "dont_write_bytecode", True)
    patch.delitem(sys.modules, module, raising=False)
