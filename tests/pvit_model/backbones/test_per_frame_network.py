"""A backbone as a newcomer writes it from docs/add-a-backbone.md: a 2D network of torchvision, frame by frame.

It convolves, so it has no tokens that prompts could join, and it has batch norms, whose statistics are no parameters.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from pvit_model import PViT, create_model, load_backbone_checkpoint, load_model
from pvit_model.network.info import describe
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.training.build import build_network
from pvit_model.training.memory import memory_line
from pvit_model.training.trainer import run_plan
from tests.pages import install

MODULE = '''
"""ResNet-18 on every frame; prompts look at all places of all frames, and all places are told what they found."""

import torch
from torch import nn
from torchvision.models import resnet18

from pvit_model import Backbone, BackboneOutput


class Stage(nn.Module):
    def __init__(self, stage, before, width):
        super().__init__()
        self.stage, self.widen = stage, nn.Linear(before, width)
        self.read = nn.MultiheadAttention(width, 4, batch_first=True)
        self.tell = nn.Linear(width, width, bias=False)

    def forward(self, x, extra):
        x, extra = self.stage(x), self.widen(extra)
        places = x.unflatten(0, (len(extra), -1)).permute(0, 1, 3, 4, 2).flatten(1, 3)
        extra = extra + self.read(extra, places, places, need_weights=False)[0]
        told = self.tell(extra.sum(1)).repeat_interleave(len(x) // len(extra), 0)
        return x + told[:, :, None, None], extra


class ResNet(Backbone):
    stride = 1
    normalise = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    width, dims, dense_layers = 64, (64, 128, 256, 512), (0, 1, 2, 3)

    def __init__(self, clip=(16, 224, 224)):
        super().__init__()
        self.clip, net = tuple(clip), resnet18(weights=None)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        parts = zip((net.layer1, net.layer2, net.layer3, net.layer4), (64, 64, 128, 256), self.dims)
        self.blocks = nn.ModuleList(Stage(*part) for part in parts)
        theirs = {id(tensor): name for name, tensor in net.state_dict(keep_vars=True).items()}
        own = self.state_dict(keep_vars=True).items()
        self.names = {theirs[id(tensor)]: name for name, tensor in own if id(tensor) in theirs}

    def grid(self, t, h, w):
        return tuple((t, -(-h // side), -(-w // side)) for side in (4, 8, 16, 32))

    def translate(self, state):
        names = self.names | {"fc.weight": "head.weight", "fc.bias": "head.bias"}
        return {names.get(name, name): value for name, value in state.items()}

    def forward(self, clip, extra=None, *, extra_layer=0, layers=()):
        x, features = self.stem(clip.transpose(1, 2).flatten(0, 1)), {}
        prompts = x.new_zeros(len(clip), 0, self.width)
        for i, block in enumerate(self.blocks):
            prompts = extra.to(x.dtype) if i == extra_layer and extra is not None else prompts
            x, prompts = block(x, prompts)
            tokens = x.unflatten(0, (len(clip), -1)).permute(0, 1, 3, 4, 2)
            if i in layers:
                features[i] = (tokens.flatten(1, 3), tuple(tokens.shape[1:4]))
        tokens = tokens.flatten(1, 3)
        return BackboneOutput(tokens.mean(1), prompts, tokens, features)
'''
RECIPE = """
about: a recipe for tests
clip: {downstream: real, num_frames: 4, size: [32, 32], normal_axes: camera}
mixture: {batch_size: 4}
model: {name: resnet_frames}
optim: {name: sgd, lr: 0.001, steps: 1, layer_decay: 0.7}
data: {crops: 1, workers: 0}
run: {eval_clips: 1, predictions: 0, threads: 1, watchdog_s: 0}
"""


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        entries = {"pvit.backbones": {"resnet_frames": "resnet_frames:ResNet"}}
        install(tmp_path_factory.mktemp("site"), "resnet_frames", MODULE, entries, patch)
        yield


def model_of(*tasks: str, **options: object) -> PViT:
    torch.manual_seed(0)
    return create_model("resnet_frames", tasks, 5, dropout=0.0, dense_dropout=0.0, **options).eval()


def seen() -> nn.Module:
    """torchvision's own, whose batch norms have seen something."""
    torch.manual_seed(1)
    net = resnet18(weights=None, num_classes=5).train()
    net(1 + 2 * torch.randn(4, 3, 64, 64))
    return net.eval()


def test_it_is_the_mean_over_frames_of_torchvisions() -> None:
    net, model = seen(), model_of()
    report = load_backbone_checkpoint(model, net.state_dict())
    assert report.unused == []
    assert {name.split(".")[2] for name in report.fresh} == {"widen", "read", "tell"}
    assert "blocks.0.stage.0.bn1.running_var" in report.loaded
    video = torch.randn(2, 3, 3, 64, 72)
    expected = torch.stack([net(video[:, :, i]) for i in range(3)]).mean(0)
    torch.testing.assert_close(model(video).logits, expected, atol=1e-5, rtol=1e-5)


def test_every_parameter_takes_part_with_and_without_prompts() -> None:
    video = torch.randn(2, 3, 2, 64, 64)
    for variant in ("baseline", "mt", "pvit"):
        model = model_of("depth", "pose3d", variant=variant).train()
        out = model(video, rows={})
        (out.logits.sum() + sum(value.sum() for value in out.tasks.values())).backward()
        assert [name for name, p in model.named_parameters() if p.numel() and p.grad is None] == [], variant
        assert out.logits.isfinite().all()


def test_its_costs_are_those_of_its_frames() -> None:
    """torchvision's table: 1.814 GFLOPs for an image of 224 x 224; keys and values of all places come on top."""
    found = describe(model_of().config, (16, 224, 224))
    places = [(56 * 56, 64), (28 * 28, 128), (14 * 14, 256), (7 * 7, 512)]
    reading = sum(16 * number * 2 * width**2 for number, width in places)
    assert found.test_gflops == pytest.approx(16 * 1.814 + reading / 1e9, rel=1e-3)
    assert [stage.grid[1] for stage in found.stages] == [56, 28, 14, 7]


def test_it_is_trained_and_the_estimate_leaves_its_statistics_alone(shards: list[str], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    torch.save(seen().state_dict(), tmp_path / "resnet.pth")
    settings = [f"model.checkpoint={tmp_path / 'resnet.pth'}"]
    plan = make_plan(load_recipe(str(tmp_path / "recipe.yaml"), settings), shards)
    network = build_network(plan)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert "activations of 4 clips" in memory_line(network, plan)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    run_plan(plan, tmp_path / "run")
    trained, _ = load_model(str(tmp_path / "run"))
    steps = trained.backbone.blocks[0].stage[0].bn1.num_batches_tracked
    assert int(steps) == 2  # one of `seen`, one of the run
