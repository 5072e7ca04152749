"""A backbone that contradicts itself is refused by name; what serves prompts alone takes part without prompts, too."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from pvit_data.errors import UsageError
from pvit_model import Backbone, BackboneOutput, PViT, create_model
from pvit_model.runs.log import read_log
from tests.pages import install

MODULE = '''
"""A linear layer on patches, wrong in one way or another."""

import torch
from torch import nn

from pvit_model import Backbone, BackboneOutput


class Slip(Backbone):
    width, dims, dense_layers, stride = 8, (8, 8), (0, 1), 1

    def __init__(self, clip=(2, 16, 16), wrong=""):
        super().__init__()
        self.clip, self.wrong = tuple(clip), wrong
        self.embed = nn.Conv3d(3, 8, (1, 8, 8), (1, 8, 8))
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3 if wrong == "blocks" else 2))
        self.norm = nn.LayerNorm(8)
        self.for_prompts = nn.Linear(8, 8)
        if wrong == "stride":
            self.stride = 2
        if wrong == "dims":
            del type(self).dims

    def grid(self, t, h, w):
        return ((t, h // 8, w // 8),) * (1 if self.wrong == "grids" else 2)

    def forward(self, clip, extra=None, *, extra_layer=0, layers=()):
        x = self.embed(clip).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        grid = self.grid(*clip.shape[2:])[0]
        features = {layer: (x, grid) for layer in layers}
        extra = x.new_zeros(len(x), 0, 8) if extra is None else self.for_prompts(extra)
        x = self.norm(x)
        cls = x.mean(1)
        if self.wrong == "cls":
            cls = cls[:, :4]
        if self.wrong == "extra":
            extra = extra[:, :1]
        if self.wrong == "features":
            features = {layer: (x[:, 1:], grid) for layer in layers}
        if self.wrong == "no features":
            features = {}
        if self.wrong == "feature grid":
            features = {layer: (x, (1, *grid[1:])) for layer in layers}
        return BackboneOutput(cls, extra, x, features)
'''


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        entries = {"pvit.backbones": {"slip": "slip:Slip"}}
        install(tmp_path_factory.mktemp("site"), "slip", MODULE, entries, patch)
        yield


def model_of(wrong: str = "", **options: object) -> PViT:
    return create_model("slip", ("depth", "pose3d"), 5, wrong=wrong, **options)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("blocks", r"backbone 'slip' has 3 blocks; expected 2, one for each of dims"),
        ("grids", r"backbone 'slip' has 1 grids of a 2x16x16 clip; expected 2"),
        ("stride", r"backbone 'slip': maps of a 2x16x16 clip have 2 frames; expected 1, every 2 of the clip's"),
        ("cls", r"backbone 'slip': cls of shape \(2, 4\); expected \(2, 8\)"),
        ("extra", r"backbone 'slip': extra of shape \(2, 1, 8\); expected \(2, 2, 8\)"),
        (
            "features",
            r"of which task 'depth' reads layer 0: features of shape \(2, 7, 8\); expected \(2, 8, 8\)",
        ),
        ("no features", r"backbone 'slip', of which task 'depth' reads layer 0, returned features of no layer only"),
        ("feature grid", r"task 'depth' reads layer 0: features on the grid \(1, 2, 2\); expected \(2, 2, 2\)"),
    ],
)
def test_a_slip_is_told_by_name(wrong: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        model_of(wrong).train()(torch.zeros(2, 3, 2, 16, 16))


def test_what_it_does_not_say_is_named() -> None:
    class Silent(Backbone):
        def grid(self, t: int, h: int, w: int) -> tuple[tuple[int, int, int], ...]:
            return ()

        def forward(self, clip, extra=None, *, extra_layer=0, layers=()) -> BackboneOutput:  # type: ignore[no-untyped-def]
            raise NotImplementedError

    from pvit_model.backbones.checks import check_definition

    with pytest.raises(UsageError, match="backbone 'silent' does not say its clip"):
        check_definition("silent", Silent())


@pytest.mark.parametrize("variant", ["baseline", "mt", "pvit"])
def test_what_serves_prompts_alone_has_a_gradient(variant: str) -> None:
    model = model_of(variant=variant).train()
    out = model(torch.randn(2, 3, 2, 16, 16), rows={})
    (out.logits.sum() + sum(value.sum() for value in out.tasks.values())).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert out.logits.isfinite().all()
    assert model.eval()(torch.randn(1, 3, 2, 16, 16)).logits.shape == (1, 5)


def test_an_empty_set_of_prompts_changes_nothing() -> None:
    """Bit for bit, outputs and gradients, on a network that has no use for it."""
    torch.manual_seed(0)
    options = {"embed_dim": 8, "depth": 2, "stages": [1], "dense_layers": [0, 1], "clip": [4, 32, 32], "dropout": 0.0}
    model = create_model("mvitv2_xxs", (), 5, variant="baseline", **options)
    video, found = torch.randn(2, 3, 4, 32, 32), []
    for training in (True, False):
        logits = model.train(training)(video).logits
        found.append((logits, *torch.autograd.grad(logits.square().sum(), [*model.backbone.parameters()])))
    assert isinstance(model.backbone, nn.Module)
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


@pytest.mark.full
def test_it_trains_on_two_ranks_without_prompts(shards: list[str], tmp_path: Path) -> None:
    """DDP waits for every parameter's gradient; the curve is that of one process."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "about: a recipe for tests\n"
        "clip: {downstream: real, num_frames: 2, size: [32, 32], normal_axes: camera}\n"
        "mixture: {batch_size: 6}\n"
        "model: {name: slip, variant: mt, options: {dropout: 0, dense_dropout: 0}}\n"
        "optim: {name: sgd, lr: 0.01, steps: 3}\n"
        "data: {crops: 1, workers: 0}\n"
        "run: {log_every: 1, eval_clips: 1, predictions: 0, threads: 1, watchdog_s: 0, timeout_s: 60}\n"
    )
    folders = [word for url in shards for word in ("--shards", url)]
    curves = []
    for ranks in (1, 2):
        out = tmp_path / str(ranks)
        launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "--standalone"]
        command = [*launch, "-m", "pvit_cli.model", "train", "--recipe", str(recipe), "--out", str(out), *folders]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == 0, done.stderr[-4000:]
        curves.append([x["loss"] for x in read_log(out) if x["kind"] == "train"])
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)
