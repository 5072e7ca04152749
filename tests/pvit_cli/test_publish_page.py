"""docs/publish.md: its commands for data sets, in their order, against a Hub of our own, do what the page says."""

import re
import shlex
from pathlib import Path

import pytest

from pvit_cli.data import main
from tests.hub_server import Hub
from tests.pages import DOCS
from tests.pvit_data.publishing.conftest import hub

__all__ = ["hub"]


def test_every_block_of_the_page_runs(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "publish.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(bash|python)\n(.*?)```", page.partition("\n## Models\n")[0], re.DOTALL)
    assert len(blocks) == 6
    for language, code in blocks:
        if language == "python":
            exec(compile(code, "docs/publish.md", "exec"), {})
            continue
        for line in code.splitlines():
            words = shlex.split(line)
            more = ["--preset", "tiny"] if words[1] == "simulate" else ["--workers", "1"] * (words[1] == "convert")
            assert main([*words[1:], *more]) == 0, line
    assert capsys.readouterr().out.endswith("True True\n")
    assert hub.repositories["dataset", "me/rooms"].tags.keys() == {"v1.0"}
    assert hub.repositories["dataset", "me/rooms-for-us"].private
