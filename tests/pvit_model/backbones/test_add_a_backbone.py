"""docs/add-a-backbone.md: its file and its entry point, and nothing else, make timm's image ViT a backbone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from pvit_data.codecs.video import encode_video
from pvit_model import PViT, create_model, load_backbone_checkpoint, load_model, predict
from pvit_model.config import make_config
from pvit_model.network.info import describe
from pvit_model.ranks import whole
from pvit_model.recipes.config import OptimConfig
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.training.build import build_network
from pvit_model.training.memory import memory_line
from pvit_model.training.optim import make_optimizer
from pvit_model.training.sharded import recompute_blocks, shard
from pvit_model.training.trainer import run_plan
from pvit_model.using.export import export_model, export_program
from tests.pages import block, entry_points, install

PAGE = "add-a-backbone.md"
TINY = {"width": 16, "depth": 3, "head_width": 8, "patch": 8, "clip": (4, 32, 32)}
RECIPE = """
about: a recipe for tests
clip: {downstream: real, num_frames: 4, size: [32, 32], normal_axes: camera}
mixture: {batch_size: 6}
model: {name: frame_vit, options: {width: 16, depth: 3, head_width: 8, patch: 8}}
optim: {name: sgd, lr: 0.01, steps: 2, layer_decay: 0.5}
data: {crops: 1, workers: 0}
run: {log_every: 1, checkpoint_every: 2, eval_clips: 2, predictions: 1, threads: 1, watchdog_s: 0,
  checkpoint_activations: true}
"""


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        install(tmp_path_factory.mktemp("site"), "frame_vit", block(PAGE, "python"), entry_points(PAGE), patch)
        yield


def theirs(size: int = 32) -> VisionTransformer:
    """timm's own at the size of `TINY`, with other weights."""
    torch.manual_seed(1)
    net = VisionTransformer(size, 8, embed_dim=16, depth=3, num_heads=2, num_classes=5)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net.eval()


def model_of(*tasks: str, **options: object) -> PViT:
    torch.manual_seed(0)
    return create_model("frame_vit", tasks, 5, {"a": 3}, dropout=0.0, dense_dropout=0.0, **{**TINY, **options}).eval()


def test_the_file_is_short() -> None:
    assert len(block(PAGE, "python").splitlines()) < 80


def test_without_prompts_it_is_the_mean_over_frames_of_timms(tmp_path: Path) -> None:
    """Loaded from timm's own state dict. Every tensor is accounted for."""
    net, model = theirs(), model_of()
    torch.save(net.state_dict(), tmp_path / "vit.pth")
    report = load_backbone_checkpoint(model, tmp_path / "vit.pth")
    assert report.fresh == report.unused == report.resized == []
    assert len(report.loaded) == len(net.state_dict())
    video = torch.randn(2, 3, 4, 32, 32)
    expected = torch.stack([net(frame) for frame in video.unbind(2)]).mean(0)
    torch.testing.assert_close(model(video).logits, expected, atol=1e-5, rtol=1e-5)


def test_a_checkpoint_of_another_crop_is_resized_and_what_is_left_is_reported() -> None:
    state = theirs(64).state_dict() | {"blocks.0.norm1.weight": torch.zeros(7), "odd": torch.zeros(1)}
    del state["norm.bias"]
    report = load_backbone_checkpoint(model_of(), state)
    assert report.resized == ["pos_embed"]
    assert set(report.fresh) == {"norm.bias", "blocks.0.block.norm1.weight (7,) -> (16,)"}
    assert report.unused == ["odd"]


def test_prompts_and_patches_see_each_other() -> None:
    model, video = model_of("depth", "pose3d"), torch.randn(1, 3, 4, 32, 48)
    load_backbone_checkpoint(model, theirs().state_dict())
    before = model(video)
    with torch.no_grad():
        model.prompts[0] += 1
    after = model(video)
    moved = (after.tokens - before.tokens).abs().amax(-1)
    assert (moved > 0).all()  # every patch reads the prompts
    assert not torch.equal(after.prompts[:, 1], before.prompts[:, 1])  # and so does the other prompt
    other = model(video + 0.1 * torch.randn_like(video))
    assert ((other.prompts - after.prompts).abs().amax(-1) > 0).all()  # prompts read the patches


def test_costs_are_the_published_ones() -> None:
    """ViT-S/16: 22,050,664 parameters with 1,000 classes, 4.6 GFLOPs for an image."""
    found = describe(make_config(backbone="frame_vit", num_classes=1000))
    assert found.train_parameters == 22_050_664
    assert found.test_gflops == pytest.approx(8 * 4.6, rel=0.01)
    assert [(s.layers, s.width, s.grid, s.tokens) for s in found.stages] == [((0, 11), 384, (8, 14, 14), 8 * 197)]
    assert found.saved_mib > 0


def test_every_variant_and_head_runs_and_every_parameter_has_a_gradient() -> None:
    video = torch.randn(1, 3, 4, 32, 32)
    for variant in ("baseline", "mt", "op", "np", "vpt", "pvit"):
        model = model_of("depth", "segm", "pose3d", "boxes", variant=variant).train()
        out = model(video, rows={"depth": torch.tensor([0])})
        (out.logits.sum() + sum(value.sum() for value in out.tasks.values())).backward()
        missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == [], variant
    assert out.tasks["depth"].shape == (1, 4, 4, 4)


def test_recomputed_layers_give_the_same_gradient() -> None:
    video, found = torch.randn(2, 3, 4, 32, 32), []
    for again in (False, True):
        model = model_of("depth").train()
        if again:
            recompute_blocks(model)
        out = model(video)
        (out.logits.square().sum() + out.tasks["depth"].sum()).backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")  # of views, which nobody writes to
def test_shards_give_the_same_output_and_gradient() -> None:
    """FSDP2 with one rank: what is spread over ranks is gathered by block."""
    video, model = torch.randn(2, 3, 4, 32, 32), model_of("depth").train()
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        sharded = shard(model, torch.device("cpu"))
        for network in (model, sharded):
            torch.manual_seed(0)  # some layers are dropped
            out = network(video)
            (out.logits.square().sum() + out.tasks["depth"].sum()).backward()
        spread = dict(sharded.named_parameters())
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(whole(spread[name].grad), parameter.grad)
    finally:
        torch.distributed.destroy_process_group()


def test_each_layer_has_its_own_rate_and_its_tables_do_not_decay() -> None:
    groups = make_optimizer(model_of("depth"), OptimConfig(layer_decay=0.5, weight_decay=0.3)).param_groups
    rate = {name: group["factor"] for group in groups for name in group["names"]}
    decay = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert [rate[f"backbone.blocks.{i}.block.attn.qkv.weight"] for i in range(3)] == [0.125, 0.25, 0.5]
    assert rate["backbone.embed.weight"] == rate["backbone.pos_embed"] == 0.0625
    assert rate["backbone.norm.weight"] == rate["head.weight"] == 1
    assert decay["backbone.pos_embed"] == decay["backbone.cls_token"] == decay["prompts"] == 0
    assert decay["backbone.blocks.0.block.attn.qkv.weight"] == 0.3


def test_it_is_trained_resumed_exported_and_used(shards: list[str], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    plan = make_plan(load_recipe(str(tmp_path / "recipe.yaml")), shards)
    assert plan.config.clip.mean == (0.5, 0.5, 0.5)
    assert (plan.config.clip.stride, plan.config.clip.maps) == (1, (4, 4))
    assert "activations of 6 clips" in memory_line(build_network(plan), plan)
    run, out = tmp_path / "run", tmp_path / "exported"
    result = run_plan(plan, run)
    assert {"depth", "normal", "segm/things"} <= set(next(r for r in result.reports if r.source == "scenes").metrics)
    export_model(str(run), out)
    (first, _), (second, _) = load_model(str(run)), load_model(str(out))
    video = torch.randn(1, 3, 4, 32, 32)
    torch.testing.assert_close(first(video).logits, second(video).logits, atol=0, rtol=0)
    program = export_program(second, (4, 32, 32))
    torch.testing.assert_close(program.module()(video), second(video).logits.detach(), atol=1e-4, rtol=0)
    frames = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3)).astype(np.uint8)
    (tmp_path / "clip.mp4").write_bytes(encode_video(frames, fps=12))
    assert predict(str(tmp_path / "clip.mp4"), str(out)).outputs["depth"].shape == (4, 4, 4)
