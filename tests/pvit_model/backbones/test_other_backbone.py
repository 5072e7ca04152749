"""A backbone of another package, unlike the built-in ones, gets every feature: only its entry point says what it is.

It looks at frames one by one in patches of 8x8, has no class token, positions of its own, another normalisation, and a
temporal stride of 1.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pvit_data.codecs.video import encode_video
from pvit_data.errors import ConfigError, UsageError
from pvit_model import backbone_names, build_backbone, create_model, load_backbone_checkpoint
from pvit_model.config import make_config
from pvit_model.network.info import describe
from pvit_model.network.pvit import PViT
from pvit_model.recipes.config import OptimConfig
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import Plan, make_plan
from pvit_model.runs.log import read_log
from pvit_model.training.build import build_network
from pvit_model.training.memory import SavedBytes, memory_line
from pvit_model.training.optim import make_optimizer
from pvit_model.training.sharded import recompute_blocks
from pvit_model.training.trainer import run_plan
from pvit_model.using.export import export_model, export_program
from pvit_model.using.loading import load_model
from pvit_model.using.predict import predict

MODULE = '''
"""Frames in patches, then a plain transformer."""

import torch
import torch.nn.functional as F
from torch import nn

from pvit_model.backbones.base import Backbone, BackboneOutput


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v))
        return x + self.mlp(self.norm2(x))


class PerFrame(Backbone):
    stride = 1
    dense_width = 8
    normalise = ((0.5,) * 3, (0.25,) * 3)

    def __init__(self, clip=(4, 32, 32), width=16, depth=3):
        super().__init__()
        self.clip, self.width, self.dims = tuple(clip), width, (width,) * depth
        self.dense_layers = (0, depth - 1)
        self.patches = nn.Conv3d(3, width, (1, 8, 8), (1, 8, 8))
        self.place = nn.Parameter(torch.randn(1, 1, width))
        self.blocks = nn.ModuleList(Layer(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def grid(self, t, h, w):
        return ((t, h // 8, w // 8),) * len(self.dims)

    def undecayed(self):
        return frozenset({"place"})

    def forward(self, clip, extra=None, *, extra_layer=0, layers=()):
        x = self.patches(clip).flatten(2).transpose(1, 2) + self.place
        grid, n, features = self.grid(*clip.shape[2:])[0], x.shape[1], {}
        for i, block in enumerate(self.blocks):
            if i == extra_layer and extra is not None:
                x = torch.cat([x, extra.to(x.dtype)], 1)
            x = block(x)
            if i in layers:
                features[i] = (x[:, :n], grid)
        x = self.norm(x)
        return BackboneOutput(x[:, :n].mean(1), x[:, n:], x[:, :n], features)


def no_backbone(**options):
    return nn.Linear(2, 2)
'''
NAME = "per_frame"
RECIPE = f"""
about: a recipe for tests
clip: {{downstream: real, num_frames: 8, size: [32, 32], normal_axes: camera}}
mixture: {{batch_size: 6}}
model: {{name: {NAME}, options: {{dropout: 0, dense_dropout: 0}}}}
optim: {{name: sgd, lr: 0.01, steps: 2}}
data: {{crops: 1, workers: 0}}
run: {{log_every: 1, checkpoint_every: 1, eval_clips: 2, predictions: 1, threads: 1, watchdog_s: 0, timeout_s: 60}}
"""


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installed package, on the path of this process and of those that it starts."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "per_frame_package.py").write_text(MODULE)
    info = folder / "per_frame_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: per-frame-package\nVersion: 1.0\n")
    entries = f"{NAME} = per_frame_package:PerFrame\nno_backbone = per_frame_package:no_backbone\n"
    (info / "entry_points.txt").write_text(f"[pvit.backbones]\n{entries}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        yield folder


def model_of(tasks: tuple[str, ...] = ("depth", "segm", "pose3d"), **options: object) -> PViT:
    torch.manual_seed(0)
    return create_model(NAME, tasks, 5, {"a": 3}, dropout=0.0, dense_dropout=0.0, **options)


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return str(tmp_path / "recipe.yaml")


def plan_of(recipe: str, shards: list[str], *settings: str) -> Plan:
    return make_plan(load_recipe(recipe, settings), shards)


def test_it_is_found_and_checked() -> None:
    assert NAME in backbone_names()
    with pytest.raises(UsageError, match="backbone 'no_backbone' is a Linear; expected a subclass of"):
        build_backbone("no_backbone")
    with pytest.raises(UsageError, match="does not take the options"):
        build_backbone(NAME, heads=3)


def test_every_head_and_variant_runs_on_it() -> None:
    video = torch.randn(2, 3, 4, 32, 40)
    tasks = model_of()(video, tasks="all").tasks
    assert tasks["depth"].shape == (2, 4, 4, 5)  # every frame, a map cell per patch
    assert tasks["segm"]["a"].shape == (2, 3, 4, 4, 5)
    assert tasks["pose3d"].shape == (2, 4, 25, 3)
    for variant in ("baseline", "mt", "op", "np", "vpt"):
        assert model_of(("depth",), variant=variant).eval()(video).logits.shape == (2, 5)


def test_costs_are_counted() -> None:
    """Multiply-adds by hand: patches, per layer products and two norms, the last norm, the classifier."""
    found = describe(make_config(backbone=NAME, num_classes=5))
    n, c, depth = 4 * 4 * 4, 16, 3
    layer = 4 * n * c * c + 2 * n * n * c + 2 * n * c * 2 * c + 2 * 5 * n * c
    assert found.test_gflops * 1e9 == pytest.approx(n * c * 3 * 64 + depth * layer + 5 * n * c + 5 * c)
    assert found.train_parameters == sum(p.numel() for p in create_model(NAME, num_classes=5).parameters())
    assert [(s.layers, s.width, s.grid) for s in found.stages] == [((0, 2), 16, (4, 4, 4))]
    assert found.saved_mib > 0
    assert "38.2" not in str(found)  # the remark on the paper's backbone is not on this one


def test_recomputed_blocks_give_the_same_gradient_with_less_memory() -> None:
    video, found, kept = torch.randn(2, 3, 4, 32, 32), [], []
    for again in (False, True):
        model = model_of().train()
        if again:
            recompute_blocks(model)
        saved = SavedBytes(model)
        with saved.watching(model):
            out = model(video)
        (out.logits.square().sum() + out.tasks["depth"].sum()).backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
        kept.append(saved.total)
    for name, gradient in found[0].items():
        assert gradient is found[1][name] is None or torch.equal(gradient, found[1][name]), name
    assert kept[1] < kept[0]
    assert saved.inputs == 4 * 2 * 16 * 3 * (64 + 3)  # what three blocks are given: patches and prompts, in float32


def test_each_layer_has_its_own_rate_and_positions_do_not_decay() -> None:
    model = model_of()
    groups = make_optimizer(model, OptimConfig(layer_decay=0.5, weight_decay=0.3)).param_groups
    rate = {name: group["factor"] for group in groups for name in group["names"]}
    decay = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert set(rate) == {name for name, _ in model.named_parameters()}
    assert [rate[f"backbone.blocks.{i}.qkv.weight"] for i in range(3)] == [0.125, 0.25, 0.5]
    assert rate["backbone.patches.weight"] == rate["backbone.place"] == 0.0625
    assert rate["backbone.norm.weight"] == rate["head.weight"] == rate["prompts"] == 1
    assert decay["backbone.place"] == decay["prompts"] == decay["backbone.norm.weight"] == 0
    assert decay["backbone.patches.weight"] == decay["backbone.blocks.2.mlp.0.weight"] == 0.3


def test_clips_and_targets_follow_the_backbone(shards: list[str], recipe: str) -> None:
    plan = plan_of(recipe, shards)
    clip = plan.config.clip
    assert (clip.mean, clip.std, clip.stride, clip.maps) == ((0.5,) * 3, (0.25,) * 3, 1, (4, 4))
    assert "activations of 6 clips" in memory_line(build_network(plan), plan)
    with pytest.raises(ConfigError, match=r"clip\.stride = 4: the backbone 'per_frame' has 1; leave it out"):
        plan_of(recipe, shards, "clip.stride=4")


def test_a_run_is_resumed_exported_and_used(shards: list[str], recipe: str, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "exported"
    result = run_plan(plan_of(recipe, shards), run)
    assert result.steps == 2
    assert {"depth", "normal", "segm/things"} <= set(next(r for r in result.reports if r.source == "scenes").metrics)
    assert run_plan(plan_of(recipe, shards), run, resume=True).steps == 2
    export_model(str(run), out)
    (first, _), (second, inference) = load_model(str(run)), load_model(str(out))
    video = torch.randn(1, 3, 8, 32, 32)
    torch.testing.assert_close(first(video).logits, second(video).logits, atol=0, rtol=0)
    program = export_program(second, (8, 32, 32))
    torch.testing.assert_close(program.module()(video), second(video).logits.detach(), atol=1e-4, rtol=0)
    frames = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3)).astype(np.uint8)
    (tmp_path / "clip.mp4").write_bytes(encode_video(frames, fps=12))
    prediction = predict(str(tmp_path / "clip.mp4"), str(out), tmp_path / "shown")
    assert prediction.outputs["depth"].shape == (8, 4, 4)
    assert (tmp_path / "shown/overlay.png").stat().st_size > 0
    assert inference.clip.mean == (0.5, 0.5, 0.5)


@pytest.mark.full
def test_shards_of_its_weights_train_like_the_whole(shards: list[str], recipe: str, tmp_path: Path) -> None:
    """FSDP2 on two ranks (gloo) against one process, by their curves."""
    settings = ("run.predictions=0", "run.eval_clips=1")
    one, two = tmp_path / "one", tmp_path / "two"
    run_plan(plan_of(recipe, shards, *settings), one)
    changes = [word for text in (*settings, "run.strategy=fsdp") for word in ("--set", text)]
    folders = [word for url in shards for word in ("--shards", url)]
    ranks = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [*ranks, "-m", "pvit_cli.model", "train", "--recipe", recipe, "--out", str(two), *folders, *changes]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    curves = [[x["loss"] for x in read_log(run) if x["kind"] == "train"] for run in (one, two)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_loading_says_what_became_of_every_parameter() -> None:
    given = create_model(NAME, num_classes=5)
    state = {f"backbone.{name}": value for name, value in given.backbone.state_dict().items()}
    flat = state["backbone.patches.weight"]
    state |= {"backbone.patches.weight": flat[:, :, 0], "backbone.stranger": torch.zeros(2)}
    state["head.weight"] = torch.zeros(9, 16)
    del state["backbone.place"]
    model = model_of()
    report = load_backbone_checkpoint(model, state)
    assert report.resized == ["patches.weight"]  # a 2D kernel, repeated in time
    assert report.fresh == ["place", "head.weight (9, 16) -> (5, 16)", "head.bias"]
    assert report.unused == ["stranger"]
    assert len(report.loaded) == len(list(model.backbone.parameters())) - 2
    torch.testing.assert_close(model.backbone.patches.weight, flat)


def test_another_networks_weights_are_refused_with_the_counts() -> None:
    model = model_of()
    before = model.backbone.norm.weight.detach().clone()
    state = {"norm.weight": torch.full((16,), 7.0), "norm.bias": torch.zeros(16), "stranger": torch.zeros(5)}
    tensors = list(model.backbone.parameters())
    total = sum(p.numel() for p in tensors)
    said = rf"fills 32 of {total:,} parameters \(2 of {len(tensors)} tensors\), less than half"
    with pytest.raises(ConfigError, match=said):
        load_backbone_checkpoint(model, state)
    assert torch.equal(model.backbone.norm.weight, before)
    assert len(load_backbone_checkpoint(model, state, allow_partial=True).loaded) == 2
    assert (model.backbone.norm.weight == 7).all()
