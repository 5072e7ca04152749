"""The model page says what the code does: its example runs, its table of backbones is counted."""

import re
from pathlib import Path

import pytest
import torch

from pvit_model import VARIANTS, PViTConfig, create_model
from pvit_model.config import make_config
from pvit_model.network.info import describe

PAGE = (Path(__file__).parents[3] / "docs/model.md").read_text()


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With a checkpoint of random weights under the published name, and a small clip."""
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", PAGE, re.S)
    file = re.search(r'"(\S+\.pyth)"', PAGE)
    assert example
    assert file
    given = create_model("mvitv2_s")
    state = {f"head.projection.{name}": value for name, value in given.head.state_dict().items()}
    torch.save({"model_state": given.backbone.state_dict() | state}, tmp_path / file[1])
    names: dict[str, object] = {"video": torch.randn(1, 3, 4, 64, 64)}
    exec(compile(example[1], "docs/model.md", "exec"), names)
    report = capsys.readouterr().out
    assert re.search(rf"^loaded +{len(given.backbone.state_dict())} ", report, re.M)
    assert "head.weight (400, 768) -> (174, 768)" in report  # of another number of classes
    assert names["out"].tasks == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("row", re.findall(r"^\| `(mvit\w+)`.*?\| ([\d.]+) M \| ([\d.]+) \|", PAGE, re.M))
def test_the_table_is_counted(row: tuple[str, str, str]) -> None:
    name, parameters, gflops = row
    found = describe(make_config(backbone=name))
    assert f"{found.train_parameters / 1e6:.{len(parameters.partition('.')[2])}f}" == parameters
    assert f"{found.test_gflops:.1f}" == gflops


def test_variants_and_fields_exist() -> None:
    section = PAGE[PAGE.index("## Variants") : PAGE.index("## How it is fast")]
    named = set(re.findall(r"`([a-z_-]+)`", section))
    fields = {"prompts", "prompts_per_task", "prompt_layer", "heads", "freeze_backbone", "dense_layers"}
    assert named == set(VARIANTS) | fields
    assert fields <= set(PViTConfig.model_fields)
