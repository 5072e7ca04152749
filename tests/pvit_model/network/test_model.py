"""Building, running, saving and loading a PViT; its variants; what it says when something does not fit."""

from pathlib import Path

import pytest
import torch

from pvit_data.errors import ConfigError, SourceError, UsageError
from pvit_model import VARIANTS, PViT, backbone_names, create_model, load_backbone_checkpoint
from pvit_model.network.info import describe

TASKS = ["depth", "normal", "segm", "pose3d", "boxes"]
CLIP = (4, 32, 32)


def small(tasks: list[str] = TASKS, **options: object) -> PViT:
    torch.manual_seed(0)
    settings: dict[str, object] = {"num_classes": 7, "segm_spaces": {"a": 5}, "clip": CLIP}
    return create_model("mvitv2_xxs", tasks, **(settings | options))  # type: ignore[arg-type]


def test_outputs_in_training_and_evaluation() -> None:
    model, video = small(), torch.randn(2, 3, *CLIP)
    out = model(video)
    assert (out.logits.shape, out.prompts.shape, out.tokens.shape) == ((2, 7), (2, 5, 128), (2, 2 * 2 * 2, 128))
    assert set(out.tasks) == set(TASKS)
    model.eval()
    assert model(video).tasks == {}
    tasks = model(video, tasks="all").tasks
    assert model.map_size(*CLIP) == (2, 8, 8)
    assert tasks["depth"].shape == (2, 2, 8, 8)
    assert tasks["normal"].shape == (2, 2, 8, 8, 3)
    assert tasks["segm"]["a"].shape == (2, 5, 2, 8, 8)
    assert tasks["pose3d"].shape == (2, 2, 25, 3)
    assert tasks["boxes"].shape == (2, 2, 4, 4)
    assert ((tasks["boxes"] > 0) & (tasks["boxes"] < 1)).all()
    assert set(model(video, tasks=["depth", "boxes"]).tasks) == {"depth", "boxes"}
    assert set(model(video, tasks="depth").tasks) == {"depth"}


def test_depth_is_in_metres() -> None:
    """An output layer that says 0 everywhere means 5 m, the middle of the 0 to 10 m that the loss sees."""
    model = small(["depth"]).eval()
    for parameter in model.heads["depth"].outputs["map"].parameters():
        torch.nn.init.zeros_(parameter)
    assert (model(torch.randn(1, 3, *CLIP), tasks="all").tasks["depth"] == 5.0).all()


@pytest.mark.parametrize("clip", [(1, 32, 32), (2, 36, 60), (8, 32, 48)])
def test_any_clip_size(clip: tuple[int, int, int]) -> None:
    model = small().eval()
    size = model.map_size(*clip)
    assert size == (max(clip[0] // 2, 1), clip[1] // 4, clip[2] // 4)
    tasks = model(torch.randn(2, 3, *clip), tasks="all").tasks
    assert tasks["depth"].shape == (2, *size)
    assert tasks["pose3d"].shape == (2, size[0], 25, 3)


def test_other_sizes_say_what_fits() -> None:
    with pytest.raises(
        UsageError, match="1 or an even number of frames and sides that are multiples of 4, not 3x32x32"
    ):
        small()(torch.randn(1, 3, 3, 32, 32))


def test_variants() -> None:
    """Tokens, heads and what is trained, as the paper's table 4."""
    found = {}
    for variant in VARIANTS:
        model = small(["depth", "pose3d"], variant=variant)
        trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad and p.numel()}
        out = model(torch.randn(2, 3, *CLIP))
        found[variant] = (len(model.prompts), sorted(out.tasks), sorted(trained))
    both, none = ["depth", "pose3d"], list[str]()
    assert found == {
        "pvit": (2, both, ["backbone", "head", "heads", "prompts"]),
        "baseline": (0, none, ["backbone", "head"]),
        "mt": (0, both, ["backbone", "head", "heads"]),
        "op": (1, both, ["backbone", "head", "heads", "prompts", "reader"]),
        "np": (2, none, ["backbone", "head", "prompts"]),
        "vpt": (2, none, ["head", "prompts"]),
        "pvit-vpt": (2, both, ["head", "heads", "prompts"]),
    }


def test_mt_heads_read_the_class_token() -> None:
    model = small(["pose3d"], variant="mt").eval()
    video = torch.randn(1, 3, *CLIP)
    expected = model.heads["pose3d"](model.backbone(video).cls, 2)
    torch.testing.assert_close(model(video, tasks="all").tasks["pose3d"], expected)


def test_shared_prompt_is_projected_to_one_slice_per_task() -> None:
    model = small(["pose3d", "boxes"], variant="op").eval()
    video = torch.randn(1, 3, *CLIP)
    out = model(video, tasks="all")
    slices = model.reader.project(out.prompts[:, 0])
    torch.testing.assert_close(out.tasks["boxes"], model.heads["boxes"](slices[:, 128:], 2))


def test_a_frozen_backbone_stays_in_evaluation_mode_and_gets_no_gradient() -> None:
    model = small(["depth"], variant="pvit-vpt", drop_path=0.5).train()
    assert not model.backbone.training
    assert model.heads.training
    model(torch.randn(1, 3, *CLIP)).tasks["depth"].sum().backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert model.prompts.grad is not None


def test_a_further_task_of_a_kind_has_its_own_prompt_and_head() -> None:
    model = small(["boxes", "boxes/hands"])
    out = model(torch.randn(1, 3, *CLIP))
    assert model.tasks == ("boxes", "boxes/hands")
    assert model.prompts.shape == (2, 32)
    assert not torch.allclose(out.tasks["boxes"], out.tasks["boxes/hands"])


def test_saving_and_loading(tmp_path: Path) -> None:
    model = small(prompts_per_task=2, extra={"classes": ["x"]}).eval()
    model.add_segm_space("nyu40", 41)
    model.save_pretrained(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["config.json", "model.safetensors"]
    again = PViT.from_pretrained(tmp_path / "model")
    assert again.config == model.config
    assert not again.training
    video = torch.randn(1, 3, *CLIP)
    torch.testing.assert_close(again(video).logits, model(video).logits, atol=0, rtol=0)
    space = again(video, tasks="all").tasks["segm"]["nyu40"]
    torch.testing.assert_close(space, model(video, tasks="all").tasks["segm"]["nyu40"], atol=0, rtol=0)


def test_folders_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no config\.json"):
        PViT.from_pretrained(tmp_path)
    small(["depth"]).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"backbon": "x"}')
    with pytest.raises(ConfigError, match="is no model configuration"):
        PViT.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(small(["normal"]).config.model_dump_json())
    with pytest.raises(SourceError, match="do not belong together"):
        PViT.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "vtp"}, "unknown variant 'vtp'; did you mean 'vpt'"),
        ({"tasks": ["dept"]}, "unknown task 'dept'. Nearest: 'depth'"),
        ({"tasks": ["depth", "depth"]}, "name one twice"),
        ({"tasks": ["segm/more"]}, "unknown task 'segm/more': there can be only one of the kind 'segm'"),
        ({"dropout": 2.0}, "model option 'dropout' = 2.0"),
        ({"depht": 3}, "does not take the options .*depht=3"),
        ({"prompt_layer": 9}, "must be below 5"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small(**options)  # type: ignore[arg-type]


def test_unknown_backbone() -> None:
    with pytest.raises(UsageError, match=r"unknown backbone 'mvit2_s'\. Nearest: 'mvitv2_s'"):
        create_model("mvit2_s")
    assert {"mvitv1_b", "mvitv2_b", "mvitv2_s", "mvitv2_xxs"} <= set(backbone_names())


def test_segm_space_of_another_size_is_refused() -> None:
    model = small()
    model.add_segm_space("a", 5)
    with pytest.raises(UsageError, match="'a' has 5 ids in this model, not 6"):
        model.add_segm_space("a", 6)


def test_checkpoint_report(tmp_path: Path) -> None:
    """Prefixes are stripped, tables resized, a head of another size left fresh, strangers reported."""
    given = small([], clip=(8, 64, 64), num_classes=9)
    state = {f"module.backbone.{name}": value for name, value in given.backbone.state_dict().items()}
    state |= {
        "module.head.projection.weight": given.head.weight.data,
        "module.head.projection.bias": given.head.bias.data,
    }
    state["module.backbone.stranger"] = torch.zeros(3)
    del state["module.backbone.norm.bias"]
    path = tmp_path / "some.pyth"
    torch.save({"model_state": state, "epoch": 3}, path)
    model = small()
    report = load_backbone_checkpoint(model, path)
    assert report.fresh == ["norm.bias", "head.weight (9, 128) -> (7, 128)", "head.bias (9,) -> (7,)"]
    assert report.unused == ["stranger"]
    assert {name.split(".")[-1] for name in report.resized} == {
        "pos_embed_temporal", "pos_embed_spatial", "rel_pos_h", "rel_pos_w", "rel_pos_t",
    }  # fmt: skip
    assert len(report.loaded) + len(report.resized) + 1 == len(list(model.backbone.parameters()))
    torch.testing.assert_close(model.backbone.blocks[2].mlp.fc1.weight, given.backbone.blocks[2].mlp.fc1.weight)
    assert str(report).splitlines()[3] == "unused      1  stranger"


def test_tables_are_interpolated_once(tmp_path: Path) -> None:
    """A model made for a clip size and given another size's weights equals the other model at that size."""
    given = create_model("mvitv2_s", clip=(4, 64, 64), depth=4, dense_layers=(0, 1, 3)).eval()
    for name, parameter in given.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(parameter)
    torch.save(given.backbone.state_dict(), tmp_path / "w.pth")
    model = create_model("mvitv2_s", clip=(2, 96, 96), depth=4, dense_layers=(0, 1, 3)).eval()
    model.head.load_state_dict(given.head.state_dict())
    assert load_backbone_checkpoint(model, tmp_path / "w.pth").resized
    video = torch.randn(1, 3, 2, 96, 96)
    torch.testing.assert_close(model(video).logits, given(video).logits, atol=1e-5, rtol=1e-5)


def test_image_checkpoints_are_inflated(tmp_path: Path) -> None:
    """Kernels are repeated in time, not divided; temporal tables stay fresh."""
    model = create_model("mvitv2_s", clip=(4, 64, 64), depth=2, stages=(1,), dense_layers=(0, 1, 1))
    state = {k: v for k, v in model.backbone.state_dict().items() if "rel_pos_t" not in k}
    flat = {k: v[:, :, 1] if v.ndim == 5 else v for k, v in state.items()}
    torch.save({"model_state": flat}, tmp_path / "image.pyth")
    report = load_backbone_checkpoint(model, tmp_path / "image.pyth")
    assert {name.rsplit(".", 1)[1] for name in report.fresh if "rel_pos" in name} == {"rel_pos_t"}
    kernel = model.backbone.blocks[1].attn.pool_q.weight
    torch.testing.assert_close(kernel[:, :, 0], kernel[:, :, 2])
    assert "patch_embed.proj.weight" in report.resized


def test_unusable_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        load_backbone_checkpoint(small(), tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"no tensors here")
    with pytest.raises(SourceError, match="is no file of PyTorch's weights, or a damaged one: download it again"):
        load_backbone_checkpoint(small(), tmp_path / "bad.pth")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="no parameter of this backbone"):
        load_backbone_checkpoint(small(), tmp_path / "other.pth")


def test_info_reproduces_published_figures() -> None:
    """MViTv2-S 16x4 at 400 and 174 classes; the heads' share; the note on the paper's table 4a."""
    from pvit_model.config import make_config

    plain = describe(make_config(backbone="mvitv2_s"))
    assert (plain.train_parameters, plain.test_parameters) == (34_537_744, 34_537_744)
    assert round(plain.test_gflops, 1) == 64.5
    assert [(s.layers, s.width, s.grid) for s in plain.stages] == [
        ((0, 0), 96, (8, 56, 56)), ((1, 2), 192, (8, 28, 28)), ((3, 13), 384, (8, 14, 14)), ((14, 15), 768, (8, 7, 7)),
    ]  # fmt: skip
    assert "70.6 is the figure of MViTv1-B" in str(plain)
    full = describe(make_config(backbone="mvitv2_s", tasks=tuple(TASKS), num_classes=174, segm_spaces={"nyu40": 41}))
    assert full.test_parameters == 34_363_950 + 5 * 96
    heads = (full.train_parameters - full.test_parameters) / 1e6
    assert f"does not state (here {heads:.1f} M)" in str(full)
    assert f"(here {full.train_gflops - full.test_gflops:.1f}, in training only)" in str(full)
    assert "(here 5 cost 0.3)" in str(full)  # 5 of 25,088 to 392 tokens a layer: half a percent of 64.5
    assert full.test_gflops < 1.01 * plain.test_gflops


def test_prompts_alone_train_what_the_paper_says() -> None:
    """Table 4a, VPT: 0.13 M = a 174-way head on 768 channels and 5 prompts of 96."""
    from pvit_model.config import make_config

    found = describe(make_config(backbone="mvitv2_s", tasks=tuple(TASKS), num_classes=174, variant="vpt"))
    assert found.trained_parameters == 174 * 769 + 5 * 96
    assert round(found.trained_parameters / 1e6, 2) == 0.13


def test_info_of_the_siblings() -> None:
    from pvit_model.config import make_config

    v1, b = describe(make_config(backbone="mvitv1_b")), describe(make_config(backbone="mvitv2_b"))
    assert (round(v1.train_parameters / 1e6, 2), round(b.train_parameters / 1e6, 2)) == (36.61, 51.23)
    assert 70.6 <= round(v1.test_gflops, 1) <= 70.8
    assert round(b.test_gflops, 1) == 225.2


def test_dense_head_is_its_definition() -> None:
    """Norm, convolution at each layer's grid, upsampling, concatenation with the prompt at every position, MLP."""
    from torch.nn import functional as F

    from pvit_model.tasks.heads import DenseHead

    torch.manual_seed(0)
    head = DenseHead((6, 10), 12, 4, 0.3, {"": 2}).eval()
    grids = ((2, 4, 3), (2, 2, 2))
    features = [(torch.randn(3, t * h * w, c), (t, h, w)) for c, (t, h, w) in zip((6, 10), grids, strict=True)]
    prompt, size = torch.randn(3, 12), (2, 8, 6)
    maps = []
    for norm, conv, (tokens, grid) in zip(head.norms, head.convs, features, strict=True):
        volume = conv(norm(tokens).transpose(1, 2).reshape(3, -1, *grid))
        maps.append(F.interpolate(volume, size=size, mode="trilinear", align_corners=False))
    everywhere = prompt[:, :, None, None, None].expand(-1, -1, *size)
    joined = torch.cat([*maps, everywhere], dim=1).movedim(1, -1)
    weight = torch.cat([head.mix.weight, head.mix_prompt.weight], dim=1)
    expected = head.outputs["map"](F.gelu(F.linear(joined, weight, head.mix.bias)))
    torch.testing.assert_close(head.finish(head.trunk(features, prompt, size), ""), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_rate_and_independence(rate: float) -> None:
    from pvit_model.tasks.heads import drop

    torch.manual_seed(0)
    kept = drop(torch.ones(400_003), rate) != 0
    sd = (rate * (1 - rate) / len(kept)) ** 0.5
    assert abs(float(kept.float().mean()) - (1 - rate)) < 5 * sd
    for offset in (1, 2, 4):  # neighbours come from one random word
        both = (kept[offset:] & kept[:-offset]).float().mean()
        assert abs(float(both) - (1 - rate) ** 2) < 6 * sd
    torch.manual_seed(0)
    assert torch.equal(drop(torch.ones(400_003), rate) != 0, kept)


def test_dense_dropout_keeps_the_expectation(monkeypatch: pytest.MonkeyPatch) -> None:
    from pvit_model.tasks.heads import DenseHead

    torch.manual_seed(0)
    head = DenseHead((6,), 12, 16, 0.5, {"": 2})
    features, prompt = [(torch.randn(1, 8, 6), (2, 2, 2))], torch.zeros(1, 12)
    monkeypatch.setattr("torch.nn.functional.gelu", lambda x: x)
    drawn = torch.stack([head.trunk(features, prompt, (2, 4, 4)).detach() for _ in range(600)])
    fixed = head.eval().trunk(features, prompt, (2, 4, 4)).detach()
    assert drawn.std(0).mean() > 0.05
    torch.testing.assert_close(drawn.mean(0), fixed, atol=0.12, rtol=0)
