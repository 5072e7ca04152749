"""Prompts and every feature of the toolkit on TimeSformer, Motionformer and Video Swin, small ones of each."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pvit_data.codecs.video import encode_video
from pvit_data.errors import ConfigError, UsageError
from pvit_model import PViT, build_backbone, create_model, load_model, predict
from pvit_model.backbones import windows
from pvit_model.backbones.motionformer import DividedAttention, Motionformer
from pvit_model.network.info import describe
from pvit_model.ranks import whole
from pvit_model.recipes.config import OptimConfig
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import Plan, make_plan
from pvit_model.runs.log import read_log
from pvit_model.training.build import build_network
from pvit_model.training.memory import memory_line
from pvit_model.training.optim import make_optimizer
from pvit_model.training.sharded import recompute_blocks, shard
from pvit_model.training.trainer import run_plan
from pvit_model.using.export import export_model, export_program

VIT = {"width": 16, "depth": 3, "head_width": 8, "drop_path": 0.0}
SWIN = {"width": 8, "depths": [1, 2], "head_width": 8, "window": [2, 3, 3], "drop_path": 0.0}
FAMILIES = {"timesformer_b": VIT, "motionformer_b": VIT, "swin3d_t": SWIN}
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "divided": ("timesformer_b", VIT),
    "joint": ("timesformer_b", VIT | {"attention": "joint"}),
    "trajectory": ("motionformer_b", VIT),
    "projected": ("motionformer_b", VIT | {"values": "projected"}),
    "prompt keys": ("motionformer_b", VIT | {"prompt_keys": True}),
    "joint trajectory": ("motionformer_b", VIT | {"attention": "joint"}),
    "divided trajectory": ("motionformer_b", VIT | {"attention": "divided"}),
    "windows": ("swin3d_t", SWIN),
}
CLIP = (4, 32, 64)
TASKS = ("depth", "segm", "pose3d", "boxes")
NORMALISE = {"timesformer_b": (0.45, 0.225), "motionformer_b": (0.5, 0.5), "swin3d_t": (0.485, 0.229)}
RECIPE = """
about: a recipe for tests
clip: {{downstream: real, num_frames: 4, size: [32, 32], normal_axes: camera}}
mixture: {{batch_size: 6}}
model: {{name: {name}, options: {options}}}
optim: {{name: sgd, lr: 0.01, steps: 2}}
data: {{crops: 1, workers: 0}}
run: {{log_every: 1, checkpoint_every: 1, eval_clips: 2, predictions: 1, threads: 1, watchdog_s: 0, timeout_s: 60}}
"""


def model_of(kind: str, *tasks: str, **options: object) -> PViT:
    """With weights and prompts that are large enough to matter."""
    name, given = KINDS[kind]
    torch.manual_seed(0)
    fixed = {"clip": CLIP, "dropout": 0.0, "dense_dropout": 0.0}
    model = create_model(name, tasks, 5, {"a": 3}, **{**fixed, **given, **options}).eval()
    for part, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.0 if part == "prompts" else 0.3)
    return model


def video(*size: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, *(size or CLIP))


@pytest.mark.parametrize("kind", KINDS)
def test_without_prompts_it_is_its_plain_self(kind: str) -> None:
    """Without extra tokens, and with an empty set of them."""
    model, clip = model_of(kind), video()
    plain = model.backbone(clip)
    for extra in (None, clip.new_zeros(2, 0, model.backbone.width)):
        out = model.backbone(clip, extra)
        assert torch.equal(out.cls, plain.cls)
        assert torch.equal(out.tokens, plain.tokens)
        assert out.extra.shape == (2, 0, model.backbone.dims[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_readout_hears_every_prompt_and_their_order_is_theirs(kind: str) -> None:
    model, clip = model_of(kind), video()
    extra = torch.randn(2, 4, model.backbone.width, requires_grad=True)
    out = model.backbone(clip, extra)
    slopes = torch.autograd.grad(out.cls.square().sum(), extra)[0]
    assert (slopes.abs().amax(-1) > 0).all()
    order = torch.tensor([2, 0, 3, 1])
    turned = model.backbone(clip, extra[:, order])
    torch.testing.assert_close(turned.extra, out.extra[:, order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(turned.cls, out.cls, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(turned.tokens, out.tokens, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_which_patches_read_the_prompts(kind: str) -> None:
    """All do, but for trajectory attention, in which the published model keeps CLS from the patches, too."""
    model, clip = model_of(kind), video()
    extra = torch.randn(2, 2, model.backbone.width)
    out, other = model.backbone(clip, extra), model.backbone(clip, extra + 1)
    moved = (out.tokens - other.tokens).abs().amax(-1) > 0
    assert not moved.any() if kind in ("trajectory", "projected") else moved.all()
    seen = model.backbone(clip + 0.1 * torch.randn_like(clip), extra)
    assert ((seen.extra - out.extra).abs().amax(-1) > 0).all()  # prompts read the patches


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_may_enter_any_layer(kind: str) -> None:
    clip = video()
    for layer in (1, 2):
        model = model_of(kind, "depth", prompt_layer=layer)
        out = model(clip)
        assert out.prompts.shape == (2, 1, model.backbone.dims[-1])
        model.zero_grad()
        out.logits.square().sum().backward()
        assert model.prompts.grad is not None
        assert (model.prompts.grad.abs().amax(-1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_and_head_runs_and_every_parameter_has_a_gradient(kind: str) -> None:
    for variant in ("baseline", "mt", "op", "np", "vpt", "pvit"):
        model = model_of(kind, *TASKS, variant=variant).train()
        out = model(video(), rows={"depth": torch.tensor([0])})
        (out.logits.sum() + sum(value.sum() for value in out.tasks.values())).backward()
        missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == [], variant
    frames = 4 // model.backbone.stride
    assert out.tasks["depth"].shape == (1, frames, 8, 16)  # a quarter of the clip


@pytest.mark.parametrize("kind", KINDS)
def test_features_lie_on_their_grids_for_every_size(kind: str) -> None:
    model = model_of(kind)
    for size in (CLIP, (8, 64, 32), (1, 32, 32)):
        layers = range(len(model.backbone.dims))
        out = model.backbone(video(*size), torch.zeros(2, 1, model.backbone.width), layers=layers)
        for layer, (width, grid) in enumerate(zip(model.backbone.dims, model.backbone.grid(*size), strict=True)):
            tokens, found = out.features[layer]
            assert found == grid
            assert tokens.shape == (2, grid[0] * grid[1] * grid[2], width)
        assert model.map_size(*size)[0] == -(-size[0] // model.backbone.stride)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_clips_one_by_one(kind: str) -> None:
    model, clip = model_of(kind, "depth", "pose3d"), video(batch=3)
    out = model(clip, tasks="all")
    for i in range(3):
        one = model(clip[i : i + 1], tasks="all")
        torch.testing.assert_close(one.logits[0], out.logits[i], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(one.tasks["depth"][0], out.tasks["depth"][i], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_of_dense_heads_falls_on_a_fixed_batch(name: str) -> None:
    torch.manual_seed(0)
    tasks = ("depth", "normal", "segm")
    model = create_model(name, tasks, 5, {"a": 3}, dropout=0.0, clip=CLIP, **FAMILIES[name]).train()
    clip, optimizer = video(), torch.optim.Adam(model.parameters(), 3e-3)
    size = model.map_size(*CLIP)
    truth = {"depth": torch.rand(2, *size), "normal": torch.randn(2, *size, 3)}
    losses = []
    for _ in range(25):
        out = model(clip)
        loss = sum((out.tasks[task] - target).square().mean() for task, target in truth.items())
        loss = loss + torch.nn.functional.cross_entropy(
            out.tasks["segm"]["a"], torch.arange(size[2]).expand(2, *size) % 3
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_recomputed_layers_give_the_same_gradient(name: str) -> None:
    clip, found = video(), []
    for again in (False, True):
        torch.manual_seed(0)
        model = create_model(name, ("depth",), 5, dropout=0.0, dense_dropout=0.0, clip=CLIP, **FAMILIES[name]).train()
        if again:
            recompute_blocks(model)
        out = model(clip)
        (out.logits.square().sum() + out.tasks["depth"].sum()).backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for part, gradient in found[0].items():
        assert torch.equal(gradient, found[1][part]), part


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")  # of views, which nobody writes to
def test_shards_give_the_same_output_and_gradient(name: str) -> None:
    clip = video()
    model = create_model(name, ("depth",), 5, dropout=0.0, dense_dropout=0.0, clip=CLIP, **FAMILIES[name]).train()
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        sharded = shard(model, torch.device("cpu"))
        for network in (model, sharded):
            out = network(clip)
            (out.logits.square().sum() + out.tasks["depth"].sum()).backward()
        spread = dict(sharded.named_parameters())
        for part, parameter in model.named_parameters():
            torch.testing.assert_close(whole(spread[part].grad), parameter.grad)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", FAMILIES)
def test_each_layer_has_its_own_rate_and_positions_do_not_decay(name: str) -> None:
    model = create_model(name, ("depth",), 5, clip=CLIP, **FAMILIES[name])
    groups = make_optimizer(model, OptimConfig(layer_decay=0.5, weight_decay=0.3)).param_groups
    rate = {part: group["factor"] for group in groups for part in group["names"]}
    decay = {part: group["weight_decay"] for group in groups for part in group["names"]}
    inner = "block.attn" if name == "swin3d_t" else "attn"
    assert [rate[f"backbone.blocks.{i}.{inner}.qkv.weight"] for i in range(3)] == [0.125, 0.25, 0.5]
    patches = next(part for part in rate if "patch_embed" in part and part.endswith("proj.weight"))
    assert rate[patches] == 0.0625
    assert rate["backbone.norm.weight"] == rate["prompts"] == rate["head.weight"] == 1
    tables = [part for part in decay if part.endswith(("_embed", "cls_token", "bias_table"))]
    assert len(tables) == 3
    assert {decay[part] for part in (*tables, "prompts")} == {0}
    assert decay[patches] == decay[f"backbone.blocks.0.{inner}.qkv.weight"] == 0.3


def test_costs_are_the_published_ones() -> None:
    """The tables' figures; Motionformer's 109.14 M count an image's patch embedding, which is left out here."""
    for name, parameters, gflops, own in (
        ("timesformer_b", 121.57, 196, 1),
        ("motionformer_b", 109.14 - 768 * 769 / 1e6, 369.5, 1),
        ("swin3d_t", 28.16, 88.1, 0),
    ):
        found = describe(create_model_config(name))
        assert found.train_parameters / 1e6 == pytest.approx(parameters, abs=0.01), name
        assert found.test_gflops == pytest.approx(gflops, rel=1e-3), name
        first = found.stages[0]
        assert first.tokens == first.grid[0] * first.grid[1] * first.grid[2] + own
        assert "38.2" not in str(found)


def create_model_config(name: str):  # type: ignore[no-untyped-def]
    from pvit_model.config import make_config

    return make_config(backbone=name, num_classes=400)


class Sizes(TorchDispatchMode):
    """Records the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, list | tuple) else [out]:
            if isinstance(value, Tensor):
                self.largest = max(self.largest, value.numel())
        return out


@pytest.mark.parametrize("values", ["original", pytest.param("projected", marks=pytest.mark.full)])
def test_trajectories_need_nothing_of_the_size_of_all_pairs(values: str) -> None:
    """One block at the published size, forward and backward: fewer elements per head than queries x keys."""
    model = build_backbone("motionformer_b", depth=1, values=values)
    assert isinstance(model, Motionformer)
    clip, sizes = torch.zeros(1, 3, *model.clip), Sizes()
    with sizes:
        model(clip, torch.zeros(1, 5, model.width)).cls.square().sum().backward()
    heads, tokens = 12, 8 * 14 * 14
    assert 0 < sizes.largest / heads < tokens**2


@torch.no_grad()
@pytest.mark.parametrize("axis", ["time", "space"])
def test_divided_attention_is_attention_row_by_row(axis: str) -> None:
    """By hand: patches see their row and the special tokens; these see everything."""
    frames, places, special = 3, 4, 2
    model = DividedAttention(8, 2)
    x = torch.randn(1, special + frames * places, 8)
    q, k, v = model.split(x)
    number = torch.arange(frames * places).unflatten(0, (frames, places))
    expected = torch.empty_like(x)
    rows = [*(number.t() if axis == "time" else number), None]
    for row in rows:
        asks = torch.arange(special) if row is None else special + row
        seen = torch.arange(x.shape[1]) if row is None else torch.cat([torch.arange(special), special + row])
        scores = (q[:, :, asks] @ k[:, :, seen].transpose(2, 3) / 2).softmax(-1)
        expected[:, asks] = (scores @ v[:, :, seen]).transpose(1, 2).flatten(2)
    found = model.over(x, frames, special, axis=axis)
    torch.testing.assert_close(found, model.proj(expected))


def test_projected_queries_are_the_textbooks_form() -> None:
    for values in ("original", "projected"):
        model, clip = model_of("trajectory", values=values), video()
        folded = model(clip).logits
        slopes = torch.autograd.grad(folded.square().sum(), list(model.backbone.parameters()))
        model.backbone.use_countable_form()
        torch.testing.assert_close(model(clip).logits, folded, atol=1e-5, rtol=1e-5)
        textbook = torch.autograd.grad(model(clip).logits.square().sum(), list(model.backbone.parameters()))
        for a, b in zip(slopes, textbook, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4 * float(b.abs().max()) + 1e-6, rtol=1e-3)


def test_both_forms_of_windows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs and gradients, also where only a part of the heads fits into a block, and tokens that see everything."""
    monkeypatch.setattr(windows, "SCORES_AT_A_TIME", 2 * 9 * 9)
    torch.manual_seed(0)
    qkv = torch.randn(2, 3, 9, 3 * 3 * 4, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, 9, 9, dtype=torch.float64, requires_grad=True)
    regions = torch.tensor([[-1, 0, 0, 0, 0, 0, 0, 0, 0], [-1, 0, 0, 1, 1, 2, 2, 3, 3], [-1, 1, 1, 1, 1, 0, 0, 0, 0]])
    found = []
    for form in (windows.attend, windows._sdpa_form):
        out = form(qkv, 3, bias, regions)
        found.append((out, *torch.autograd.grad(out.square().sum(), (qkv, bias))))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_the_slope_of_a_bias_is_summed_in_single_precision() -> None:
    """Windows alike have slopes alike: a sum of a thousand of them in bf16 would stop growing."""
    torch.manual_seed(0)
    qkv = torch.randn(1, 1, 4, 3 * 2 * 4).expand(1, 1024, -1, -1)
    slopes = []
    for dtype in (torch.float32, torch.bfloat16):
        bias = torch.zeros(2, 4, 4, dtype=dtype, requires_grad=True)
        out = windows.attend(qkv.to(dtype), 2, bias, None)
        (slope,) = torch.autograd.grad(out.float().square().sum(), bias)
        slopes.append(slope.float())
    assert float(slopes[1].norm() / slopes[0].norm()) == pytest.approx(1, abs=0.02)


def test_sizes_that_do_not_fit_are_refused_by_name() -> None:
    for name, size, said in (
        (
            "timesformer_b",
            (8, 60, 64),
            "backbone 'timesformer_b' takes clips of any number of frames and of sides that",
        ),
        ("motionformer_b", (3, 64, 64), "backbone 'motionformer_b' takes clips of 1 frame or a multiple of 2 and of"),
        ("swin3d_t", (8, 62, 64), "backbone 'swin3d_t' takes clips of 1 frame or a multiple of 2, and of sides"),
    ):
        with pytest.raises(UsageError, match=said):
            create_model(name, (), 5, clip=(4, 64, 64), **FAMILIES[name])(video(*size))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("timesformer_b", {"width": 30}, "multiple of head_width, 64"),
        ("timesformer_b", {"attention": "all"}, "should be 'divided' or 'joint'"),
        ("timesformer_b", {"mlp_ratio": 0}, "'mlp_ratio' = 0: input should be greater than"),
        ("timesformer_b", {"patch": -16}, "'patch' = -16: input should be greater than"),
        ("timesformer_b", {"values": "projected"}, "there is no option 'values'; there are clip, patch"),
        ("motionformer_b", {"depth": 10**9}, "'depth' = 1000000000: input should be less than or equal to 512"),
        ("motionformer_b", {"depth": True}, "'depth' = True: input should be a valid integer"),
        ("motionformer_b", {"patch": [2, 16]}, "'patch.2': field required"),
        ("motionformer_b", {"prompt_keys": "off"}, "'prompt_keys' = 'off': input should be a valid boolean"),
        ("motionformer_b", {"attention": "joint", "prompt_keys": True}, "prompt_keys are of trajectory attention"),
        ("motionformer_b", {"drop_path": float("nan")}, "'drop_path' = nan: input should be"),
        ("motionformer_b", {"values": "mine"}, "should be 'original' or 'projected'"),
        ("swin3d_t", {"depths": [1]}, "expected 2 to 512 blocks"),
        ("swin3d_t", {"window": [0, 7, 7]}, "'window.0' = 0: input should be greater than or equal to 1"),
        ("swin3d_t", {"patch": 7}, "'patch' = 7: input should be a valid tuple"),
        ("swin3d_t", {"drop_path": 1}, "'drop_path' = 1: input should be less than 1"),
        ("swin3d_t", {"heads_of_mine": 3}, "does not take the options heads_of_mine=3"),
        ("mvitv2_s", {"deph": 3}, "there is no option 'deph'; did you mean 'depth'?"),
    ],
)
def test_options_that_make_no_network_are_refused(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build_backbone(name, **options)


def recipe_of(name: str, folder: Path) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(RECIPE.format(name=name, options=FAMILIES[name] | {"dropout": 0, "dense_dropout": 0}))
    return str(path)


def plan_of(recipe: str, shards: list[str], *settings: str) -> Plan:
    return make_plan(load_recipe(recipe, settings), shards)


@pytest.mark.parametrize("name", FAMILIES)
def test_clips_and_targets_follow_the_backbone(name: str, shards: list[str], tmp_path: Path) -> None:
    recipe = recipe_of(name, tmp_path)
    plan = plan_of(recipe, shards)
    backbone = build_network(plan).backbone
    clip, (mean, std) = plan.config.clip, NORMALISE[name]
    assert (clip.mean[0], clip.std[0], clip.stride, clip.maps) == (mean, std, backbone.stride, (8, 8))
    assert (clip.num_frames, clip.size, clip.rate) == (4, (32, 32), backbone.rate)
    assert "activations of 6 clips" in memory_line(build_network(plan), plan)
    with pytest.raises(ConfigError, match=rf"clip\.stride = 4: the backbone '{name}' has"):
        plan_of(recipe, shards, "clip.stride=4")


@pytest.mark.full
@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_is_resumed_exported_and_used(name: str, shards: list[str], tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "exported"
    recipe = recipe_of(name, tmp_path)
    result = run_plan(plan_of(recipe, shards), run)
    assert {"depth", "normal", "segm/things"} <= set(next(r for r in result.reports if r.source == "scenes").metrics)
    assert run_plan(plan_of(recipe, shards), run, resume=True).steps == 2
    export_model(str(run), out)
    (first, _), (second, inference) = load_model(str(run)), load_model(str(out))
    clip = video(4, 32, 32, batch=1)
    torch.testing.assert_close(first(clip).logits, second(clip).logits, atol=0, rtol=0)
    program = export_program(second, (4, 32, 32))
    torch.testing.assert_close(program.module()(clip), second(clip).logits.detach(), atol=1e-4, rtol=0)
    frames = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3)).astype(np.uint8)
    (tmp_path / "clip.mp4").write_bytes(encode_video(frames, fps=12))
    prediction = predict(str(tmp_path / "clip.mp4"), str(out), tmp_path / "shown")
    assert prediction.outputs["depth"].shape == (4 // second.backbone.stride, 8, 8)
    assert (tmp_path / "shown/overlay.png").stat().st_size > 0
    assert inference.clip.mean[0] == NORMALISE[name][0]


@pytest.mark.full
@pytest.mark.parametrize("name", FAMILIES)
def test_two_ranks_train_like_one(name: str, shards: list[str], tmp_path: Path) -> None:
    """DDP, in which every parameter needs its gradient, and FSDP2 (gloo), against one process, by their curves."""
    recipe, folders = recipe_of(name, tmp_path), [word for url in shards for word in ("--shards", url)]
    settings = ("run.predictions=0", "run.eval_clips=1", "model.variant=mt")
    run_plan(plan_of(recipe, shards, *settings), tmp_path / "one")
    curves = [[x["loss"] for x in read_log(tmp_path / "one") if x["kind"] == "train"]]
    ranks = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    for strategy in ("ddp", "fsdp"):
        out = str(tmp_path / strategy)
        changes = [word for text in (*settings, f"run.strategy={strategy}") for word in ("--set", text)]
        command = [*ranks, "-m", "pvit_cli.model", "train", "--recipe", recipe, "--out", out, *folders, *changes]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
        assert done.returncode == 0, done.stderr[-4000:]
        curves.append([x["loss"] for x in read_log(tmp_path / strategy) if x["kind"] == "train"])
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)
    assert curves[0] == pytest.approx(curves[2], rel=1e-5)
