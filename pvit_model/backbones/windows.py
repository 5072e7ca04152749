"""Attention inside windows with a bias that is learned per pair of places: softmax(q k^T / sqrt(d) + bias) v.

Fused kernels give no gradient of a bias on CPUs, and the textbook form keeps the scores of every window for backward.
- `"blocked"` (CPU): one window at a time, whose scores stay near the cache; backward computes them again.
- `"sdpa"` (GPU, export, no gradient): PyTorch's kernel with the bias as its mask.
Both agree to float rounding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

SCORES_AT_A_TIME = 1 << 19
"""2 MiB in float32: what stays near the cores."""
APART = -100.0
"""Added to the scores of tokens that do not see each other, as in the published code."""


def attend(
    qkv: Float[Tensor, "b w n c3"],
    heads: int,
    bias: Float[Tensor, "heads n n"],
    regions: Int[Tensor, "w n"] | None,
) -> Float[Tensor, "b w n c"]:
    """Attention inside each of w windows.

    Args:
        qkv: queries, keys and values of the windows' tokens, side by side.
        heads: number of heads.
        bias: added to every window's scores.
        regions: of each window's tokens; those of one region see each other, and those of region -1 see all and are
            seen by all. None: all see all.
    """
    blocked = (
        qkv.device.type in ("cpu", "meta")
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )
    if not blocked:
        return _sdpa_form(qkv, heads, bias, regions)
    if torch.is_autocast_enabled("cpu"):
        qkv = qkv.to(torch.get_autocast_dtype("cpu"))
    masks: list[Tensor | None] = [None] * qkv.shape[1]
    if regions is not None and not qkv.is_meta:
        masks = [_mask_of(ids) for ids in regions]
    out: Tensor = _Blocked.apply(qkv.flatten(0, 1), heads, bias.to(qkv.dtype), masks)
    return torch.unflatten(out, 0, qkv.shape[:2])


def _mask_of(ids: Tensor) -> Tensor | None:
    """Where one window's tokens do not see each other; None if all do."""
    apart = _apart(ids)
    return apart if bool(apart.any()) else None


def _apart(ids: Tensor) -> Tensor:
    a, b = ids[..., :, None], ids[..., None, :]
    return (a != b) & (a >= 0) & (b >= 0)


def _sdpa_form(qkv: Tensor, heads: int, bias: Tensor, regions: Tensor | None) -> Tensor:
    """Windows beside heads, so that all samples share one mask."""
    windows = qkv.shape[1]
    parts = torch.unflatten(qkv, -1, (3, heads, -1)).permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
    added = bias[None] if regions is None else bias + APART * _apart(regions)[:, None]
    added = added.expand(windows, -1, -1, -1).flatten(0, 1)[None]
    q, k, v = parts
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=added.to(q.dtype))
    out = torch.unflatten(out, 1, (windows, heads)).transpose(2, 3)
    # A copy: of a single window, exporters note a view of the fused kernel's memory, which lies otherwise without it.
    return out.clone(memory_format=torch.contiguous_format).flatten(3)


class _Blocked(torch.autograd.Function):
    """Over windows (of all samples); keeps its inputs for backward, nothing of the size of the scores."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, heads: int, bias: Tensor, masks: list[Tensor | None]
    ) -> Tensor:
        windows, number, width = qkv.shape
        out = qkv.new_empty(windows, number, width // 3)
        group = _group(heads, number)
        buffer = qkv.new_empty(group, number, number)
        for i in range(0 if qkv.is_meta else windows):
            mask = masks[i % len(masks)]
            parts = (*_split(qkv[i], heads), bias, _by_head(out[i], heads))
            for q, k, v, b, o in zip(*(torch.split(x, group) for x in parts), strict=True):
                p = _probabilities(q, k, b, mask, buffer[: len(q)])
                o.copy_(torch.bmm(p, v))
        ctx.save_for_backward(qkv, bias)
        ctx.heads, ctx.masks = heads, masks
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        qkv, bias = ctx.saved_tensors
        heads, masks, grad = ctx.heads, ctx.masks, grads[0]
        windows, number, _ = qkv.shape
        out = torch.empty_like(qkv)
        # A sum over all windows, which bf16 would stop at: each term is smaller than its last digit after some hundred.
        dbias = torch.zeros_like(bias, dtype=torch.promote_types(bias.dtype, torch.float32))
        group = _group(heads, number)
        buffers = [qkv.new_empty(group, number, number) for _ in range(3)]
        for i in range(windows):
            mask = masks[i % len(masks)]
            given = (*_split(qkv[i], heads), _by_head(grad[i], heads), bias)
            parts = (*given, *_split(out[i], heads), dbias)
            for q, k, v, g, b, dq, dk, dv, db in zip(
                *(torch.split(x, group) for x in parts), strict=True
            ):
                scores, errors, ds = (x[: len(q)] for x in buffers)
                p = _probabilities(q, k, b, mask, scores)
                torch.bmm(g, v.transpose(1, 2), out=errors)
                torch.ops.aten._softmax_backward_data.out(errors, p, -1, p.dtype, grad_input=ds)
                db += ds
                scale = q.shape[-1] ** -0.5
                dq.copy_(torch.bmm(ds, k)).mul_(scale)
                dk.copy_(torch.bmm(ds.transpose(1, 2), q)).mul_(scale)
                dv.copy_(torch.bmm(p.transpose(1, 2), g))
        return out, None, dbias.to(bias.dtype), None


def _group(heads: int, number: int) -> int:
    return min(heads, max(1, SCORES_AT_A_TIME // number**2))


def _by_head(x: Tensor, heads: int) -> Tensor:
    return torch.unflatten(x, -1, (heads, -1)).transpose(0, 1)


def _split(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.unflatten(qkv, -1, (3, heads, -1)).permute(1, 2, 0, 3)
    return q, k, v


def _probabilities(q: Tensor, k: Tensor, bias: Tensor, mask: Tensor | None, out: Tensor) -> Tensor:
    """Computed in the memory of `out`."""
    torch.baddbmm(bias, q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5, out=out)
    if mask is not None:
        out.add_(mask, alpha=APART)
    return torch.softmax(out, -1, out=out)
