"""The first example of writing, as it stands in the README."""

import re
from pathlib import Path

import pytest

import pvit_data

README = Path(__file__).parents[3] / "README.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n([^`]*ShardWriter.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code
    exec(compile(code[1], "README.md", "exec"), {})
    sample = pvit_data.open("shards")[0]
    assert (sample.key, sample.split, sample.licence) == ("take-1", "train", "CC-BY-4.0")
    assert sample.spaces["action"].class_name(sample.action) == "left"
    assert sample.rgb.shape == (16, 112, 112, 3)
    assert sample.depth.shape == (16, 112, 112)
