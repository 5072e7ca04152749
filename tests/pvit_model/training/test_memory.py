"""The memory estimate against a count made by hand, and against what a whole step really keeps."""

import pytest
import torch
from torch import nn

from pvit_data.loading.loader import loader
from pvit_model.recipes.config import load_mapping
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.training.build import build_network
from pvit_model.training.memory import SavedBytes, activation_bytes, memory_line, rows_per_step, state_bytes


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.blocks = []
        self.one, self.two = nn.Linear(10, 20), nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.two(self.one(x).relu())
        return found


def test_what_autograd_keeps_is_counted_once() -> None:
    """The input (7 x 10, asked for by weights' gradient) and relu's result (7 x 20), which two operations keep."""
    model = TwoLayers()
    saved = SavedBytes(model)
    with saved.watching(model):
        model(torch.rand(7, 10))
    assert saved.total == 4 * (7 * 10 + 7 * 20)


def test_state_is_counted() -> None:
    adam, sgd = load_mapping({}), load_mapping({"optim": {"name": "sgd", "ema": 0.9}})
    assert state_bytes(adam, 1000, 800, 4) == 4 * (1000 + 800 + 2 * 800)
    assert state_bytes(sgd, 1000, 800, 1) == 4 * (1000 + 800 + 800 + 1000)
    sharded = load_mapping({"run": {"strategy": "fsdp"}})
    assert state_bytes(sharded, 1000, 1000, 4) == 4 * (1000 + 1000)


def test_activations_are_those_of_a_real_batch(shards: list[str], tiny_recipe: str) -> None:
    plan = make_plan(load_recipe(tiny_recipe), shards)
    network = build_network(plan)
    batch = next(iter(loader(plan.mixture, clip=plan.config.clip, num_steps=1)))
    assert rows_per_step(plan, 6) == {
        "action": 3, "depth": 2, "normal": 2, "pose3d": 2, "boxes": 2, "segm/things": 2,
    }  # fmt: skip
    saved = SavedBytes(network)
    with saved.watching(network.train()):
        network(batch.video, rows={n: t.rows for n, t in batch.targets.items()})
    assert activation_bytes(network, plan, 6) == pytest.approx(saved.total, rel=0.15)
    assert "activations of 3 clips" in memory_line(network, plan, ranks=2)
