"""Weights that anyone can make again: every parameter filled from its published name alone (see `fill`).

Also the names and shapes of the published SlowFast checkpoints, written here from the models' description, so that they
do not come from the code under test.
"""

import zlib
from collections.abc import Mapping

import numpy as np
import torch

Shapes = dict[str, tuple[int, ...]]
TABLES = ("rel_pos", "pos_embed", "cls_token", "temp_embed", "time_embed", "bias_table")


def fill(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """The state dict of the given names and shapes."""
    state = {}
    for name, shape in shapes.items():
        n = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if name.endswith("bias"):
            value = 0.1 * n
        elif len(shape) == 1:
            value = 1 + 0.1 * n
        elif any(part in name for part in TABLES):
            value = 0.2 * n
        else:
            value = n / np.sqrt(np.prod(shape[1:]))
        state[name] = torch.from_numpy(value.astype(np.float32))
    return state


def clip(t: int, h: int, w: int) -> torch.Tensor:
    """The input of the reference values."""
    return torch.from_numpy(np.random.RandomState(7).standard_normal((1, 3, t, h, w)).astype(np.float32))


def _affine(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def mvitv2(depth: int, stages: tuple[int, ...], frames: int, dim: int = 96, size: int = 56, kv: int = 8) -> Shapes:
    """SlowFast's MViTv2 with 400 classes: width and heads double and queries are strided at `stages`."""
    shapes: Shapes = {"cls_token": (1, 1, dim), **_affine("patch_embed.proj", dim, 3, 3, 7, 7)}
    for i in range(depth):
        before, p = dim, f"blocks.{i}"
        if i in stages:
            dim, kv = 2 * dim, kv // 2
            q_size = size // 2
        else:
            q_size = size
        finest = max(q_size, size // kv)
        shapes |= _affine(f"{p}.norm1", before) | _affine(f"{p}.attn.qkv", 3 * dim, before)
        shapes |= _affine(f"{p}.attn.proj", dim, dim)
        for x in "qkv":
            shapes |= {f"{p}.attn.pool_{x}.weight": (96, 1, 3, 3, 3)} | _affine(f"{p}.attn.norm_{x}", 96)
        shapes |= {f"{p}.attn.rel_pos_{a}": (2 * finest - 1, 96) for a in "hw"}
        shapes |= {f"{p}.attn.rel_pos_t": (2 * frames - 1, 96)}
        shapes |= (
            _affine(f"{p}.norm2", dim) | _affine(f"{p}.mlp.fc1", 4 * dim, dim) | _affine(f"{p}.mlp.fc2", dim, 4 * dim)
        )
        if before != dim:
            shapes |= _affine(f"{p}.proj", dim, before)
        size = q_size
    return shapes | _affine("norm", dim) | _affine("head.projection", 400, dim)


def mvitv2_s() -> Shapes:
    return mvitv2(16, (1, 3, 14), 8)


def mvitv2_b() -> Shapes:
    return mvitv2(24, (2, 5, 21), 16)


def mvitv1_b() -> Shapes:
    """SlowFast's MViTv1-B 16x4 with 400 classes: the MLP of blocks 0, 2, 13 doubles the width."""
    shapes: Shapes = {
        "cls_token": (1, 1, 96),
        "pos_embed_spatial": (1, 56 * 56, 96),
        "pos_embed_temporal": (1, 8, 96),
        "pos_embed_class": (1, 1, 96),
        **_affine("patch_embed.proj", 96, 3, 3, 7, 7),
    }
    dim = 96
    for i in range(16):
        p, out = f"blocks.{i}", dim * (2 if i in (0, 2, 13) else 1)
        shapes |= (
            _affine(f"{p}.norm1", dim) | _affine(f"{p}.attn.qkv", 3 * dim, dim) | _affine(f"{p}.attn.proj", dim, dim)
        )
        for x in "qkv" if i in (1, 3, 14) else "kv":
            shapes |= {f"{p}.attn.pool_{x}.weight": (96, 1, 3, 3, 3)} | _affine(f"{p}.attn.norm_{x}", 96)
        shapes |= (
            _affine(f"{p}.norm2", dim) | _affine(f"{p}.mlp.fc1", 4 * dim, dim) | _affine(f"{p}.mlp.fc2", out, 4 * dim)
        )
        if out != dim:
            shapes |= _affine(f"{p}.proj", out, dim)
        dim = out
    return shapes | _affine("norm", dim) | _affine("head.projection", 400, dim)


def _layers(name: str, dim: int, hidden: int) -> Shapes:
    """The two linear layers of an MLP."""
    return _affine(f"{name}.fc1", hidden, dim) | _affine(f"{name}.fc2", dim, hidden)


def timesformer(
    dim: int = 768, depth: int = 12, frames: int = 8, places: int = 196, classes: int = 400, patch: int = 16
) -> Shapes:
    """TimeSformer's divided attention, as its files name it."""
    shapes: Shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, places + 1, dim), "time_embed": (1, frames, dim)}
    shapes |= _affine("patch_embed.proj", dim, 3, patch, patch)
    for i in range(depth):
        p = f"blocks.{i}"
        for norm in ("norm1", "temporal_norm1", "norm2"):
            shapes |= _affine(f"{p}.{norm}", dim)
        for attn in ("attn", "temporal_attn"):
            shapes |= _affine(f"{p}.{attn}.qkv", 3 * dim, dim) | _affine(f"{p}.{attn}.proj", dim, dim)
        shapes |= _affine(f"{p}.temporal_fc", dim, dim) | _layers(f"{p}.mlp", dim, 4 * dim)
    shapes |= _affine("norm", dim) | _affine("head", classes, dim)
    return {f"model.{name}": shape for name, shape in shapes.items()}


def image_vit(dim: int, depth: int, places: int, patch: int) -> Shapes:
    """An image's vision transformer, as timm names it, with 1000 classes."""
    shapes: Shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, places + 1, dim)}
    shapes |= _affine("patch_embed.proj", dim, 3, patch, patch)
    for i in range(depth):
        p = f"blocks.{i}"
        shapes |= _affine(f"{p}.norm1", dim) | _affine(f"{p}.norm2", dim) | _affine(f"{p}.attn.qkv", 3 * dim, dim)
        shapes |= _affine(f"{p}.attn.proj", dim, dim) | _layers(f"{p}.mlp", dim, 4 * dim)
    return shapes | _affine("norm", dim) | _affine("head", 1000, dim)


def motionformer(
    dim: int = 768, depth: int = 12, frames: int = 8, places: int = 196, classes: int = 400, patch: int = 16
) -> Shapes:
    """Motionformer's trajectory attention, as its files name it: with an image's patch embedding, which is unused."""
    shapes: Shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, places + 1, dim), "temp_embed": (1, frames, dim)}
    shapes |= _affine("patch_embed.proj", dim, 3, patch, patch)
    shapes |= _affine("patch_embed_3d.proj", dim, 3, 2, patch, patch)
    for i in range(depth):
        p = f"blocks.{i}"
        shapes |= _affine(f"{p}.norm1", dim) | _affine(f"{p}.norm2", dim)
        for name, rows in (("qkv", 3), ("proj_q", 1), ("proj_kv", 2), ("proj", 1)):
            shapes |= _affine(f"{p}.attn.{name}", rows * dim, dim)
        shapes |= _layers(f"{p}.mlp", dim, 4 * dim)
    return shapes | _affine("norm", dim) | _affine("pre_logits.fc", dim, dim) | _affine("head", classes, dim)


def video_swin(
    dim: int = 96,
    depths: tuple[int, ...] = (2, 2, 6, 2),
    window: tuple[int, int, int] = (8, 7, 7),
    classes: int = 400,
    head_width: int = 32,
) -> Shapes:
    """Video Swin with its recogniser's prefixes."""
    shapes = _affine("patch_embed.proj", dim, 3, 2, 4, 4) | _affine("patch_embed.norm", dim)
    t, h, w = window
    for stage, depth in enumerate(depths):
        for i in range(depth):
            p = f"layers.{stage}.blocks.{i}"
            shapes |= _affine(f"{p}.norm1", dim) | _affine(f"{p}.norm2", dim) | _layers(f"{p}.mlp", dim, 4 * dim)
            shapes |= _affine(f"{p}.attn.qkv", 3 * dim, dim) | _affine(f"{p}.attn.proj", dim, dim)
            number = (2 * t - 1) * (2 * h - 1) * (2 * w - 1)
            shapes |= {f"{p}.attn.relative_position_bias_table": (number, dim // head_width)}
        if stage + 1 < len(depths):
            shapes |= {f"layers.{stage}.downsample.reduction.weight": (2 * dim, 4 * dim)}
            shapes |= _affine(f"layers.{stage}.downsample.norm", 4 * dim)
            dim *= 2
    shapes |= _affine("norm", dim)
    shapes = {f"backbone.{name}": shape for name, shape in shapes.items()}
    return shapes | _affine("cls_head.fc_cls", classes, dim)
