"""TimeSformer, Motionformer and Video Swin against the code that others keep of them, and the files that they load.

Networks are small; every parameter is filled from its name alone (`published_weights`), so that a loader that drops
biases, which start at 0, does not pass.
"""

import importlib.util
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor
from torchvision.models.swin_transformer import SwinTransformer as ImageSwin
from torchvision.models.video.swin_transformer import SwinTransformer3d, swin3d_t

from pvit_data.errors import PvitError
from pvit_model import Backbone, PViT, build_backbone, create_model, load_backbone_checkpoint

_spec = importlib.util.spec_from_file_location("published_weights", Path(__file__).with_name("published_weights.py"))
assert _spec is not None
assert _spec.loader is not None
published = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(published)

CLASSES, DIM, DEPTH = 5, 32, 3
VIT = {"width": DIM, "depth": DEPTH, "head_width": 8, "clip": (4, 64, 64)}
SWIN = {"width": 16, "depths": (2, 2), "head_width": 8, "window": (4, 3, 3), "clip": (8, 64, 64)}
FAMILIES = {
    "timesformer_b": (VIT, published.timesformer(DIM, DEPTH, 4, 16, CLASSES), "model_state"),
    "motionformer_b": (VIT, published.motionformer(DIM, DEPTH, 2, 16, CLASSES), "model_state"),
    "swin3d_t": (SWIN, published.video_swin(16, (2, 2), (4, 3, 3), CLASSES, 8), "state_dict"),
}
UNUSED = {"motionformer_b": {"patch_embed.proj.weight", "patch_embed.proj.bias"}}


def model_of(name: str, **options: object) -> PViT:
    torch.manual_seed(0)
    return create_model(name, (), CLASSES, **{**FAMILIES[name][0], **options}).eval()


def state_of(name: str) -> dict[str, Tensor]:
    return published.fill(FAMILIES[name][1])


@pytest.mark.parametrize("name", FAMILIES)
def test_every_tensor_of_a_file_is_loaded_and_missed_where_it_lacks(name: str) -> None:
    """Each left out in its turn: the report names what stays as it was."""
    state, container = state_of(name), FAMILIES[name][2]
    whole = model_of(name)
    report = load_backbone_checkpoint(whole, {container: state})
    assert report.resized == report.fresh == []
    assert set(report.unused) == UNUSED.get(name, set())
    assert len(report.loaded) == len(state) - len(report.unused)
    assert len(set(report.loaded)) == len(report.loaded)
    missed = []
    for tensor in state:
        rest = {key: value for key, value in state.items() if key != tensor}
        found = load_backbone_checkpoint(model_of(name), {container: rest})
        if not tensor.startswith(tuple(UNUSED.get(name, ()))):
            gone = set(report.loaded) - set(found.loaded)
            assert len(gone) == 1, tensor
            assert found.fresh == list(gone), tensor
            missed += list(gone)
    assert sorted(missed) == sorted(report.loaded)


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    """`transformers`' TimeSformer, small, every parameter filled from its name."""
    transformers = pytest.importorskip("transformers")
    config = transformers.TimesformerConfig(
        image_size=64, patch_size=16, num_frames=4, hidden_size=DIM, num_hidden_layers=DEPTH, num_attention_heads=4,
        intermediate_size=4 * DIM, num_labels=CLASSES,
    )  # fmt: skip
    net = transformers.TimesformerForVideoClassification(config).eval()
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    net.load_state_dict(published.fill(shapes))
    return net


@torch.no_grad()
@pytest.mark.parametrize("crop", [64, 96])
def test_timesformer_is_that_of_transformers(theirs: torch.nn.Module, crop: int) -> None:
    """Tokens and logits, from their own names; at another crop positions are the nearest ones, there and here."""
    model = model_of("timesformer_b")
    report = load_backbone_checkpoint(model, theirs.state_dict())
    assert report.resized == report.fresh == report.unused == []
    assert len(report.loaded) == len(theirs.state_dict())
    video = torch.randn(2, 3, 4, crop, crop)
    expected = theirs(video.transpose(1, 2), output_hidden_states=True)
    out = model(video)
    torch.testing.assert_close(out.logits, expected.logits, atol=1e-4, rtol=0)
    tokens = theirs.timesformer(video.transpose(1, 2)).last_hidden_state[:, 1:]
    by_frame = tokens.unflatten(1, (-1, 4)).transpose(1, 2).flatten(1, 2)  # theirs are ordered by place, then time
    torch.testing.assert_close(out.tokens, by_frame, atol=1e-4, rtol=0)


@torch.no_grad()
def test_joint_attention_is_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.TimesformerConfig(
        image_size=64, patch_size=16, num_frames=4, hidden_size=DIM, num_hidden_layers=DEPTH, num_attention_heads=4,
        intermediate_size=4 * DIM, num_labels=CLASSES, attention_type="joint_space_time",
    )  # fmt: skip
    net = transformers.TimesformerForVideoClassification(config).eval()
    net.load_state_dict(published.fill({name: tuple(value.shape) for name, value in net.state_dict().items()}))
    model = model_of("timesformer_b", attention="joint")
    report = load_backbone_checkpoint(model, net.state_dict())
    assert report.fresh == report.unused == []
    video = torch.randn(1, 3, 4, 64, 64)
    torch.testing.assert_close(model(video).logits, net(video.transpose(1, 2)).logits, atol=1e-4, rtol=0)


def torchvisions(window: tuple[int, int, int] = (4, 3, 3)) -> SwinTransformer3d:
    net = SwinTransformer3d([2, 4, 4], 16, [2, 2], [2, 4], list(window), num_classes=CLASSES, stochastic_depth_prob=0.0)
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items() if "index" not in name}
    net.load_state_dict(published.fill(shapes), strict=False)
    return net.eval()


@pytest.mark.parametrize("size", [(8, 64, 64), (6, 36, 52), (1, 32, 32), (16, 64, 44)])
def test_video_swin_is_that_of_torchvision(size: tuple[int, int, int]) -> None:
    """Logits, with and without gradient, and every gradient, from its own names; padded and capped windows included."""
    net, model = torchvisions(), model_of("swin3d_t", drop_path=0.0, dropout=0.0)
    report = load_backbone_checkpoint(model, net.state_dict())
    assert report.resized == report.fresh == report.unused == []
    assert [name for name in net.state_dict() if name.endswith("relative_position_index")] == report.indices
    assert len(report.loaded) == len(list(net.parameters()))
    video = torch.randn(2, 3, *size)
    expected, found = net(video), model(video).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(model(video).logits, expected, atol=1e-4, rtol=0)
    expected.square().sum().backward()
    found.square().sum().backward()
    slopes = {name: p.grad for name, p in net.named_parameters()}
    translated = model.backbone.translate(slopes)
    for name, parameter in (
        *model.backbone.named_parameters(),
        *((f"head.{n}", p) for n, p in model.head.named_parameters()),
    ):
        scale = translated[name].abs().max()
        torch.testing.assert_close(parameter.grad, translated[name], atol=1e-5 * float(scale) + 1e-7, rtol=1e-4)


@torch.no_grad()
def test_the_published_swin_is_torchvisions() -> None:
    """At its own sizes of layers and windows, on a clip whose windows are padded, shifted and capped."""
    net = swin3d_t(weights=None).eval()
    net.load_state_dict(
        published.fill({name: tuple(value.shape) for name, value in net.named_parameters()}), strict=False
    )
    model = create_model("swin3d_t").eval()
    report = load_backbone_checkpoint(model, net.state_dict())
    assert report.resized == report.fresh == []
    video = published.clip(20, 96, 64)
    torch.testing.assert_close(model(video).logits, net(video), atol=1e-4, rtol=0)


def test_images_vit_is_inflated() -> None:
    """A still, repeated: the patches of a video give the image's tokens; attention over time starts as a copy."""
    state = published.fill(published.image_vit(DIM, DEPTH, 16, 16))
    image = torch.randn(1, 3, 64, 64)
    expected = F.conv2d(image, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], 16).flatten(2)
    for name, embedding in (("timesformer_b", "patch_embed"), ("motionformer_b", "patch_embed_3d")):
        model = model_of(name)
        report = load_backbone_checkpoint(model, state)
        assert {"head.weight (1000, 32) -> (5, 32)", "head.bias (1000,) -> (5,)"} <= set(report.fresh)
        assert report.unused == []
        still = image[:, :, None].expand(-1, -1, 4, -1, -1)
        tokens = model.backbone.get_submodule(embedding)(still)
        for frame in tokens.unbind(1):
            torch.testing.assert_close(frame, expected.transpose(1, 2), atol=1e-5, rtol=0)
    time = build_backbone("timesformer_b", **VIT)
    load_backbone_checkpoint(time, state)
    for part in ("norm1.weight", "attn.qkv.weight", "attn.proj.bias"):
        assert torch.equal(time.state_dict()[f"blocks.1.temporal_{part}"], state[f"blocks.1.{part}"])


def test_an_images_swin_is_inflated() -> None:
    shapes = published.video_swin(16, (2, 2), (1, 3, 3), CLASSES, 8)
    shapes["backbone.patch_embed.proj.weight"] = (16, 3, 4, 4)
    state = published.fill(shapes)
    model = model_of("swin3d_t")
    report = load_backbone_checkpoint(model, state)
    assert report.fresh == report.unused == []
    assert len(report.resized) == 5  # patches and four tables
    kernel = model.backbone.state_dict()["patch_embed.proj.weight"]
    torch.testing.assert_close(kernel.sum(2), state["backbone.patch_embed.proj.weight"])
    table = model.backbone.state_dict()["blocks.0.block.attn.relative_position_bias_table"].unflatten(0, (7, 25))
    for part in table:
        torch.testing.assert_close(part, state["backbone.layers.0.blocks.0.attn.relative_position_bias_table"])


def named_by_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """An image ViT's weights under the names of the files of `transformers` (vit-base-patch16-224)."""
    names = {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection", "blocks": "encoder.layer",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after", "attn.proj": "attention.output.dense", "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense", "norm": "layernorm", "head": "classifier",
    }  # fmt: skip
    found = {}
    for name, value in state.items():
        for ours in sorted(names, key=len, reverse=True):
            name = re.sub(rf"(^|\.){re.escape(ours)}(\.|$)", rf"\g<1>{names[ours]}\g<2>", name, count=1)
        parts = value.chunk(3) if ".attn.qkv." in name else ()
        for part, rows in zip(("query", "key", "value"), parts, strict=False):
            found[f"vit.{name.replace('.attn.qkv.', f'.attention.attention.{part}.')}"] = rows
        if not parts:
            found[name if name.startswith("classifier") else f"vit.{name}"] = value
    return found


def named_in_memory(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of their files as `transformers` has them in memory since version 5."""
    pairs = {
        "encoder.layer.": "layers.", "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj", "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj", "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
    }  # fmt: skip
    found = {}
    for name, value in state.items():
        for old, new in pairs.items():
            name = name.replace(old, new)
        found[name] = value
    return found


@pytest.mark.parametrize("name", ["timesformer_b", "motionformer_b"])
def test_an_images_vit_of_transformers_is_that_of_timm(name: str) -> None:
    state = published.fill(published.image_vit(DIM, DEPTH, 16, 16))
    theirs = named_by_transformers(state)
    one = model_of(name)
    report = load_backbone_checkpoint(one, state)
    for names in (theirs, named_in_memory(theirs)):
        other = model_of(name)
        again = load_backbone_checkpoint(other, names)
        assert (again.fresh, again.unused) == (report.fresh, [])
        for key, value in one.backbone.state_dict().items():
            assert torch.equal(other.backbone.state_dict()[key], value), key


def test_images_swins_of_timm_and_torchvision_are_whole() -> None:
    """timm merges patches where a stage starts; torchvision's image model counts its embedding as the first part."""
    sizes = {"embed_dim": 16, "num_classes": CLASSES}
    theirs = SwinTransformer(img_size=24, window_size=3, depths=(2, 2), num_heads=(2, 4), **sizes)
    image = ImageSwin(patch_size=[4, 4], window_size=[3, 3], depths=[2, 2], num_heads=[2, 4], **sizes)
    for network, merging in ((theirs, "layers.1.downsample"), (image, "features.2")):
        state = published.fill({name: tuple(value.shape) for name, value in network.named_parameters()})
        model = model_of("swin3d_t")
        report = load_backbone_checkpoint(model, state)
        assert [line for line in report.fresh if not line.startswith("head.")] == []
        assert all(name.startswith("head.") for name in report.unused)
        found = model.backbone.state_dict()["blocks.2.merge.reduction.weight"]
        assert torch.equal(found, state[f"{merging}.reduction.weight"])


def test_other_clips_resize_positions_as_the_originals_do() -> None:
    """By hand: TimeSformer takes the nearest, Motionformer interpolates; once, whether at loading or in `forward`."""
    for name, mode, table in (("timesformer_b", "nearest", "time_embed"), ("motionformer_b", "bicubic", "temp_embed")):
        state, small, large = state_of(name), model_of(name), model_of(name, clip=(8, 96, 128))
        prefix = "model." if name == "timesformer_b" else ""
        load_backbone_checkpoint(small, state)
        report = load_backbone_checkpoint(large, state)
        assert set(report.resized) == {"pos_embed", table}
        image = state[f"{prefix}pos_embed"][:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
        wide = F.interpolate(image, (6, 8), mode=mode).flatten(2).transpose(1, 2)
        torch.testing.assert_close(large.backbone.state_dict()["pos_embed"][:, 1:], wide)
        video = torch.randn(1, 3, 8, 96, 128)
        torch.testing.assert_close(large(video).logits, small(video).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["timesformer_b", "motionformer_b"])
def test_a_square_table_for_an_oblong_clip_with_as_many_places(name: str) -> None:
    """4x4 places are not 2x8: the clip gives the same at loading and in `forward`; a run's own oblong table stays."""
    square, oblong = model_of(name), model_of(name, clip=(4, 32, 128))
    for model in (square, oblong):
        report = load_backbone_checkpoint(model, state_of(name))
        assert report.resized == (["pos_embed"] if model is oblong else [])
    video = torch.randn(1, 3, 4, 32, 128)
    torch.testing.assert_close(oblong(video).logits, square(video).logits, atol=1e-5, rtol=0)
    mode = "nearest" if name == "timesformer_b" else "bicubic"
    table = oblong.backbone.state_dict()["pos_embed"]
    image = table[:, 1:].unflatten(1, (2, 8)).permute(0, 3, 1, 2)
    expected = F.interpolate(image, (4, 4), mode=mode).flatten(2).transpose(1, 2)
    found = square.backbone.resize("pos_embed", table, table.shape, oblong.backbone)
    assert found is not None
    torch.testing.assert_close(found[:, 1:], expected)
    assert oblong.backbone.resize("pos_embed", table, table.shape, oblong.backbone) is table


def test_a_swin_table_whose_length_has_two_readings() -> None:
    """15 x 15 x 15 entries are no 135 x 5 x 5: without its window it is left, with it it is interpolated in space."""
    small, large = model_of("swin3d_t", window=(8, 3, 3)).backbone, model_of("swin3d_t", window=(8, 8, 8)).backbone
    name = "blocks.0.block.attn.relative_position_bias_table"
    rows = torch.linspace(-1, 1, 15)[None, :, None, None].expand(15, 15, 15, 2).reshape(-1, 2)
    shape = small.state_dict()[name].shape
    assert small.resize(name, rows, shape) is None
    found = small.resize(name, rows, shape, large)
    assert found is not None
    image = rows.unflatten(0, (15, 15, 15)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, F.interpolate(image, (5, 5), mode="bicubic").permute(0, 2, 3, 1).flatten(0, 2))


def test_a_table_of_another_window_is_interpolated_in_time() -> None:
    state = published.fill(published.video_swin(16, (2, 2), (4, 3, 3), CLASSES, 8))
    model = model_of("swin3d_t", window=(8, 3, 3))
    report = load_backbone_checkpoint(model, {"state_dict": state})
    assert len(report.resized) == 4
    assert report.fresh == report.unused == []
    name = "blocks.1.block.attn.relative_position_bias_table"
    old = state["backbone.layers.0.blocks.1.attn.relative_position_bias_table"].unflatten(0, (7, 25))
    expected = F.interpolate(old.permute(1, 2, 0), 15, mode="linear").permute(2, 0, 1).flatten(0, 1)
    torch.testing.assert_close(model.backbone.state_dict()[name], expected)


def test_an_images_table_of_another_window_is_resized_as_published() -> None:
    """Bicubically in space, then the same at every distance in time."""
    state = published.fill(published.video_swin(16, (2, 2), (1, 5, 5), CLASSES, 8))
    state["backbone.patch_embed.proj.weight"] = state["backbone.patch_embed.proj.weight"][:, :, 0]
    model = model_of("swin3d_t")
    report = load_backbone_checkpoint(model, state)
    assert report.fresh == report.unused == []
    old = state["backbone.layers.0.blocks.1.attn.relative_position_bias_table"]
    small = F.interpolate(old.t().reshape(1, -1, 9, 9), (5, 5), mode="bicubic").flatten(2)[0].t()
    found = model.backbone.state_dict()["blocks.1.block.attn.relative_position_bias_table"]
    torch.testing.assert_close(found, small.repeat(7, 1))


@pytest.mark.parametrize("name", FAMILIES)
def test_tables_that_cannot_be_resized_are_left_fresh(name: str) -> None:
    state = state_of(name)
    odd = {
        key: torch.zeros(1, 13, DIM) if value.ndim == 3 and "pos_embed" in key else value
        for key, value in state.items()
    }
    odd |= {key: torch.zeros(11, value.shape[1]) for key, value in state.items() if "bias_table" in key}
    report = load_backbone_checkpoint(model_of(name), odd)
    assert report.fresh
    assert all("pos_embed" in line or "bias_table" in line for line in report.fresh)


def test_the_files_index_tells_its_window() -> None:
    """Changed in time and in space: of as many places, 4x3x3 is no 3x4x3; interpolated as by hand."""
    state = published.fill({name: tuple(value.shape) for name, value in torchvisions().named_parameters()})
    model, name = model_of("swin3d_t", window=(2, 5, 5)), "attn.relative_position_bias_table"
    assert len(load_backbone_checkpoint(model, state).fresh) == 4  # 7 x 5 x 5 entries, by nothing but their number
    report = load_backbone_checkpoint(model, torchvisions().state_dict() | state)
    assert (report.fresh, len(report.resized)) == ([], 4)
    old = state[f"features.0.1.{name}"].unflatten(0, (7, 5, 5)).permute(3, 0, 1, 2)
    wide = F.interpolate(old, (9, 9), mode="bicubic").permute(0, 2, 3, 1).flatten(1, 2)
    expected = F.interpolate(wide, 3, mode="linear").unflatten(1, (9, 9)).permute(3, 1, 2, 0).flatten(0, 2)
    torch.testing.assert_close(model.backbone.state_dict()[f"blocks.1.block.{name}"], expected)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("timesformer_b", {"depth": 2}),
        ("motionformer_b", {"depth": 2}),
        ("swin3d_t", {"depths": (1, 2)}),
        ("swin3d_t", {"depths": (2,)}),
    ],
)
def test_a_file_of_a_deeper_network_is_refused(name: str, more: dict[str, object]) -> None:
    """Unless part of it is wanted; what else it holds may be left over."""
    state = state_of(name) | {"rpn.conv.weight": torch.zeros(3), "decoder.blocks.0.weight": torch.zeros(3)}
    model = model_of(name, **more)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(PvitError, match=r"is of a deeper network: \d+ weights of its further layers"):
        load_backbone_checkpoint(model, state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    report = load_backbone_checkpoint(model, state, allow_partial=True)
    assert all(line.startswith(("norm.", "head.")) for line in report.fresh)  # of the width of the last stage
    if more == {"depths": (1, 2)}:  # the second stage begins with its own
        own = model.backbone.state_dict()["blocks.1.block.norm1.weight"]
        assert torch.equal(own, state["backbone.layers.1.blocks.0.norm1.weight"])
    assert load_backbone_checkpoint(model_of(name), state).fresh == []


@pytest.mark.parametrize("name", ["timesformer_b", "motionformer_b", "mvitv2_xxs"])
def test_a_runs_file_has_the_grid_of_its_run(name: str, tmp_path: Path) -> None:
    """From the config.json beside it: 4 x 6 places are no 6 x 4, nor are 2 x 8 of them 4 x 4."""
    small = {"embed_dim": 8, "depth": 1, "stages": (), "dense_layers": (0,)} if name == "mvitv2_xxs" else VIT
    step, table = (4, "pos_embed_spatial") if name == "mvitv2_xxs" else (16, "pos_embed")
    for old, new in (((4, 6), (6, 4)), ((2, 8), (4, 4)), ((4, 4), (2, 8))):
        clips = [(4, rows * step, columns * step) for rows, columns in (old, new)]
        run, model = (create_model(name, num_classes=3, **{**small, "clip": clip}).backbone for clip in clips)
        create_model(name, num_classes=3, **{**small, "clip": clips[0]}).save_pretrained(tmp_path)
        load_backbone_checkpoint(run, tmp_path / "model.safetensors")
        report = load_backbone_checkpoint(model, tmp_path / "model.safetensors")
        assert table in report.resized
        first = run.state_dict()[table][:, -old[0] * old[1] :].unflatten(1, old).permute(0, 3, 1, 2)
        mode = "nearest" if name == "timesformer_b" else "bicubic"
        expected = F.interpolate(first, new, mode=mode).flatten(2).transpose(1, 2)
        torch.testing.assert_close(model.state_dict()[table][:, -new[0] * new[1] :], expected)
    save_file({"cls_token": torch.zeros(1, 1, model.width)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')  # of somebody else
    assert load_backbone_checkpoint(model, tmp_path / "model.safetensors", allow_partial=True).loaded == ["cls_token"]


def test_weights_that_are_left_over_are_listed_once() -> None:
    """Attention over time, a copy, makes no second one of them."""
    state = published.fill(published.image_vit(DIM, DEPTH, 16, 16)) | {"blocks.0.attn.q_norm.weight": torch.ones(8)}
    assert load_backbone_checkpoint(model_of("timesformer_b"), state).unused == ["blocks.0.attn.q_norm.weight"]


def test_an_images_swin_of_transformers_is_told() -> None:
    state = {"swin.encoder.layers.0.blocks.0.layernorm_before.weight": torch.zeros(16)}
    with pytest.raises(PvitError, match="image Swin under the names of 'transformers'"):
        load_backbone_checkpoint(model_of("swin3d_t"), state)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_of_another_family_is_refused(name: str) -> None:
    for other in set(FAMILIES) - {name}:
        said = r"no parameter of this backbone|less than half|weights of (Motion|TimeS)former; choose the backbone"
        with pytest.raises(PvitError, match=said):
            load_backbone_checkpoint(model_of(name), state_of(other))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_told_of_its_weights(name: str) -> None:
    with torch.device("meta"):
        backbone: Backbone = build_backbone(name)
    assert backbone.published
    for file in backbone.published:
        assert file.url.startswith("https://")
        assert file.licence
        assert file.rate > 0 or "SSv2" in file.trained_on
    assert backbone.published[0].clip == backbone.clip
    assert backbone.published[0].rate == backbone.rate
