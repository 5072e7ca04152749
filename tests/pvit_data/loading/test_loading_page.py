"""The loading page says what the code does: its example runs, its numbers are the defaults."""

import re
from pathlib import Path

import pytest

from pvit_data.loading.loader import loader
from pvit_data.mixing import order
from pvit_data.mixing.mixture import Mixture
from pvit_data.tasks.table import ORDER
from pvit_model.recipes.loading import load_recipe

PAGE = (Path(__file__).parents[3] / "docs/loading.md").read_text()


def test_the_example_runs(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert code
    text = code[1].replace('"data/ssv2"', f'"{shards}", source="ssv2"')
    text = text.replace('"data/hypersim"', f'"{shards}", source="hypersim"')
    exec(compile(text, "loading.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2"]
    assert all("(4, 3, 8, 64, 64)" in line and "(2, 4, 16, 16)" in line for line in lines)


def test_the_numbers_are_the_defaults() -> None:
    assert order.WINDOW == 256 * order.BLOCK
    assert loader.__kwdefaults__["max_corrupt"] == 0.01
    assert loader.__kwdefaults__["on_corrupt"] == "raise"
    assert Mixture.__init__.__defaults__ == (0, None, 3.0)
    assert all(name in PAGE for name in ORDER)


def test_the_recipe_of_the_page_is_one(tmp_path: Path) -> None:
    code = re.search(r"```yaml\n(.*?)```", PAGE, re.S)
    assert code
    (tmp_path / "mine.yaml").write_text(code[1])
    config = load_recipe(str(tmp_path / "mine.yaml"))
    assert (config.mixture.batch_size, config.mixture.quotas) == (64, {"depth": 4})
