"""docs/layers.md: its figure is what its script draws, all of its code runs, in order, and says what the page says."""

import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from tests.pages import DOCS, entry_points, install

PAGE = "layers.md"
FIGURE = DOCS / "figures/layers.svg"


def blocks() -> list[tuple[str, str]]:
    """Language and text of every block of code."""
    found = re.findall(r"```(\w+)\n(.*?)```", (DOCS / PAGE).read_text(encoding="utf-8"), re.DOTALL)
    assert {language for language, _ in found} == {"python", "bash", "toml"}
    return found


def test_the_figure_is_what_its_script_draws() -> None:
    drawn = runpy.run_path(str(FIGURE.with_suffix(".py")))["figure"]()
    assert FIGURE.read_text(encoding="utf-8") == drawn, f"run python {FIGURE.with_suffix('.py')}"
    assert f"figures/{FIGURE.name}" in (DOCS / PAGE).read_text(encoding="utf-8")


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    module = next(text for _, text in blocks() if "LayerConverter" in text)
    install(tmp_path / "site", "my_layers", module, entry_points(PAGE), monkeypatch)
    scope: dict[str, object] = {}
    for language, text in blocks():
        if language == "python" and text != module:
            exec(compile(text, PAGE, "exec"), scope)
        for line in text.splitlines() if language == "bash" else ():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "pvit-data"
            assert main([*arguments]) == 0, line
    printed = capsys.readouterr().out
    assert "[('jar', True), ('cup', False), ('pen', True), ('lid', False)]" in printed
    assert "[('lid', 'train', 0), ('jar', 'test', 0), ('pen', 'test', 1)]" in printed
    assert "4 ['clips']" in printed
    assert "[('jar', False), ('cup', True), ('pen', False), ('lid', False)]" in printed
    assert {p.name for p in (tmp_path / "data/layers").iterdir()} == {"facing", "later", "few", "halves-0", "halves-1"}
    facing = pvit_data.open("data", source="clips", layers=["facing"])[0]
    assert np.allclose(np.asarray(facing.normal), (0, 0, -1))
