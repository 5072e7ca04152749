"""MViTv2-S against torchvision's `mvit_v2_s` with the same random weights: logits and every gradient."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.video.mvit import MSBlockConfig, MViT, mvit_v1_b

from pvit_model import PViT, create_model, load_backbone_checkpoint

TO_SLOWFAST = (
    ("conv_proj.", "patch_embed.proj."),
    ("pos_encoding.class_token", "cls_token"),
    ("attn.project.0.", "attn.proj."),
    ("mlp.0.", "mlp.fc1."),
    ("mlp.3.", "mlp.fc2."),
    (".project.", ".proj."),
    ("head.1.", "head.projection."),
)


def reference(clip: tuple[int, int, int]) -> MViT:
    """torchvision's mvit_v2_s for a clip size, dropout and drop path off, weights large enough to matter."""
    torch.manual_seed(0)
    blocks, dim, heads, kv = [], 96, 1, 8
    for i in range(16):
        grow = i in (1, 3, 14)
        out, heads, kv = (2 * dim, 2 * heads, kv // 2) if grow else (dim, heads, kv)
        q_stride, kv_stride = [1, 2, 2] if grow else [1, 1, 1], [1, kv, kv]
        blocks.append(MSBlockConfig(heads, dim, out, [3, 3, 3], [3, 3, 3], q_stride, kv_stride))
        dim = out
    model = MViT(
        clip[1:], clip[0], blocks, residual_pool=True, residual_with_cls_embed=False, rel_pos_embed=True,
        proj_after_attn=True, dropout=0.0, stochastic_depth_prob=0.0, num_classes=400,
    )  # fmt: skip
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2 if "rel_pos" in name or "pool" in name else 0.04)
        else:
            parameter.data += 0.1 * torch.randn(parameter.shape)
    return model


def slowfast_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {}
    for name, value in state.items():
        for old, new in TO_SLOWFAST:
            name = name.replace(old, new)
        name = re.sub(r"pool_(\w)\.pool\.", r"pool_\1.", name)
        name = re.sub(r"pool_(\w)\.norm_act\.0\.", r"norm_\1.", name)
        out[name] = value[None, None] if name == "cls_token" else value
    return out


def compare(clip: tuple[int, int, int], batch: int, files: tuple[str, ...], folder: Path) -> None:
    theirs, model = reference(clip), create_model("mvitv2_s", clip=clip, drop_path=0.0, dropout=0.0)
    video = torch.randn(batch, 3, *clip)
    torch.save({"model_state": slowfast_names(theirs.state_dict())}, folder / "slowfast.pyth")
    torch.save(theirs.state_dict(), folder / "torchvision.pth")
    expected = theirs(video)
    for file in files:
        report = load_backbone_checkpoint(model, folder / file)
        assert (report.fresh, report.unused, report.resized) == ([], [], [])
        logits = model(video).logits
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    for out in (expected, logits):
        (out.softmax(-1)[:, 3].log().sum() - 0.01 * out.square().sum()).backward()
    check_gradients(theirs, model)


def check_gradients(theirs: nn.Module, model: PViT) -> None:
    """Within 1e-3 for each tensor whose gradient is not negligible; the others are negligible in both."""
    given = slowfast_names({name: p.grad for name, p in theirs.named_parameters() if p.grad is not None})
    own = {
        name.removeprefix("backbone.").replace("head.", "head.projection."): p.grad
        for name, p in model.named_parameters()
    }
    own.pop("prompts")
    assert own.keys() == given.keys()
    negligible = 1e-6 * max(float(g.norm()) for g in given.values())
    for name, g in given.items():
        mine = own[name]
        assert mine is not None
        if g.norm() < negligible:
            assert mine.norm() < negligible, name
        else:
            assert float((mine - g).norm() / g.norm()) < 1e-3, name


def test_parity_on_a_small_clip(tmp_path: Path) -> None:
    compare((4, 64, 64), 2, ("torchvision.pth", "slowfast.pyth"), tmp_path)


@torch.no_grad()
def test_torchvisions_mvit_v1_b() -> None:
    """Its state loads by its own names too, and gives its logits."""
    torch.manual_seed(0)
    theirs, model = mvit_v1_b().eval(), create_model("mvitv1_b").eval()
    for parameter in theirs.parameters():
        parameter += 0.02 * torch.randn(parameter.shape)
    report = load_backbone_checkpoint(model, theirs.state_dict())
    assert (report.fresh, report.unused, report.resized) == ([], [], [])
    video = torch.randn(1, 3, 16, 224, 224)
    torch.testing.assert_close(model(video).logits, theirs(video), atol=1e-4, rtol=0)


@pytest.mark.full
def test_parity_at_full_size(tmp_path: Path) -> None:
    compare((16, 224, 224), 1, ("slowfast.pyth",), tmp_path)
