"""Exact attention with MViTv2's decomposed relative positions, in three forms that agree to float rounding.

The bias of query i and key j is q_i . Rt[t_i, t_j] + q_i . Rh[h_i, h_j] + q_i . Rw[w_i, w_j]. It is linear in q, so it
folds into the dot product of longer vectors, q' = [q, q.Rt, q.Rh, q.Rw] and k' = [k * scale, onehot(t, h, w)], and no
bias tensor is needed.

- `"blocked"` (CPU): folded; some hundred queries at a time, so that their scores stay in the cache. Backward computes
  the scores again, nothing of size queries x keys is kept.
- `"sdpa"` (GPU): folded; PyTorch's fused kernel, nothing of size queries x keys in device memory.
- `"matmul"`: the textbook form, the bias added to the scores. For export, compilation on CPUs, and as the reference.

Layout of q, k, v: (batch, tokens, heads, width); the first `special` tokens ([CLS], prompts) have no position.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Form = Literal["auto", "blocked", "sdpa", "matmul"]
Grid = tuple[int, int, int]
Tables = tuple[Float[Tensor, "qt kt d"], Float[Tensor, "qh kh d"], Float[Tensor, "qw kw d"]]

SCORES_PER_BLOCK = 1 << 19
"""Scores computed at a time by the blocked form, per thread: 2 MiB in float32. Smaller blocks stay closer in the cache,
but threads wait for each other several times a block, which costs dearly where other work shares the cores."""


def pair_table(
    table: Float[Tensor, "l d"], queries: int, keys: int
) -> Float[Tensor, "{queries} {keys} d"]:
    """The relative-position vector of every (query, key) pair along one axis.

    The table is linearly interpolated to 2 * max(queries, keys) - 1 entries where it has another length
    (MViTv2: distances are in units of the finer of the two grids, truncated to an integer).
    """
    length = 2 * max(queries, keys) - 1
    if len(table) != length:
        table = F.interpolate(table.t()[None], size=length, mode="linear")[0].t()
    q_step, k_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    q = torch.arange(queries, device=table.device)[:, None] * q_step
    k = torch.arange(keys, device=table.device)[None, :] * k_step
    distance = (q - k + (keys - 1) * k_step).long()
    return torch.unflatten(table[distance.flatten()], 0, (queries, keys))


def attend(
    q: Float[Tensor, "b n heads d"],
    k: Float[Tensor, "b m heads d"],
    v: Float[Tensor, "b m heads d"],
    *,
    special: int,
    grid: Grid,
    tables: Tables | None,
    residual: int | None,
    form: Form = "auto",
) -> Float[Tensor, "b n heads d"]:
    """softmax(q k^T / sqrt(d) + relative positions) v, plus q itself for the tokens from number `residual` on.

    Args:
        special: number of leading tokens without a position, in queries and keys alike.
        grid: (T, H, W) of the other queries.
        tables: `pair_table` of the time, height and width axes, or None for no relative positions.
        residual: first query that is added to its own output (MViTv2's residual pooling), or None.
        form: see the module's docstring; `"auto"` chooses by device.
    """
    if form == "auto":
        form = _form_for(q)
    if form == "matmul":
        return _matmul_form(q, k, v, special, grid, tables, residual)
    if tables is None:
        folded_q, folded_k = q, k * q.shape[-1] ** -0.5
    else:
        folded_q, folded_k = _Fold.apply(q, special, grid, *tables), fold_keys(k, special, tables)
    if form == "sdpa":
        return _sdpa_form(folded_q, folded_k, v, residual)
    lower = torch.is_autocast_enabled("cpu") and q.device.type == "cpu"
    cast = torch.get_autocast_dtype("cpu") if lower else q.dtype
    out: Tensor = _Blocked.apply(folded_q.to(cast), folded_k.to(cast), v.to(cast), residual)
    return out


def _form_for(q: Tensor) -> Form:
    if q.device.type not in ("cpu", "meta"):
        return "sdpa"
    return "matmul" if torch.compiler.is_compiling() else "blocked"


def _matmul_form(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    special: int,
    grid: Grid,
    tables: Tables | None,
    residual: int | None,
) -> Tensor:
    scores = torch.einsum("bnyd,bmyd->bynm", q * q.shape[-1] ** -0.5, k)
    if tables is not None:
        patches = _on_grid(q, special, grid)
        t = torch.einsum("bthwyd,tkd->bythwk", patches, tables[0])[..., :, None, None]
        h = torch.einsum("bthwyd,hkd->bythwk", patches, tables[1])[..., None, :, None]
        w = torch.einsum("bthwyd,wkd->bythwk", patches, tables[2])[..., None, None, :]
        bias = (t + h + w).flatten(5).flatten(2, 4)
        scores = scores + F.pad(bias, (special, 0, special, 0))
    out = torch.einsum("bynm,bmyd->bnyd", scores.softmax(-1), v)
    return _add_residual(out, q, residual)


def _add_residual(out: Tensor, q: Tensor, residual: int | None) -> Tensor:
    if residual is None:
        return out
    return torch.cat([out[:, :residual], out[:, residual:] + q[:, residual:].to(out.dtype)], dim=1)


def _sdpa_form(q: Tensor, k: Tensor, v: Tensor, residual: int | None) -> Tensor:
    """One width for q, k and v, a multiple of 8: what the fused kernels take."""
    d = v.shape[-1]
    width = -(-q.shape[-1] // 8) * 8
    q_, k_, v_ = (F.pad(x, (0, width - x.shape[-1])).transpose(1, 2) for x in (q, k, v))
    if torch.is_autocast_enabled(q.device.type):
        q_, k_, v_ = (x.to(torch.get_autocast_dtype(q.device.type)) for x in (q_, k_, v_))
    out = F.scaled_dot_product_attention(q_, k_, v_, scale=1.0)
    return _add_residual(out.transpose(1, 2)[..., :d], q[..., :d], residual)


def _on_grid(x: Tensor, special: int, grid: Grid) -> Tensor:
    """The patches of (b, n, heads, d) as a view (b, t, h, w, heads, d)."""
    return torch.unflatten(x[:, special:], 1, grid)


def fold_keys(
    k: Float[Tensor, "b m heads d"], special: int, tables: Tables
) -> Float[Tensor, "b m heads e"]:
    """k' = [k / sqrt(d), onehot(t), onehot(h), onehot(w)], zeros for the special tokens."""
    grid = tuple(table.shape[1] for table in tables)
    at = torch.meshgrid(*(torch.arange(n, device=k.device) for n in grid), indexing="ij")
    hot = torch.cat([F.one_hot(i.flatten(), n) for i, n in zip(at, grid, strict=True)], dim=1)
    hot = F.pad(hot.to(k.dtype), (0, 0, special, 0))[None, :, None]
    return torch.cat([k * k.shape[-1] ** -0.5, hot.expand(*k.shape[:3], -1)], dim=-1)


class _Fold(torch.autograd.Function):
    """q' = [q, q.Rt, q.Rh, q.Rw]; keeps only its own output for backward (q is a part of it)."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, special: int, grid: Grid, rt: Tensor, rh: Tensor, rw: Tensor
    ) -> Tensor:
        b, n, heads, d = q.shape
        t, h, w = (r.shape[1] for r in (rt, rh, rw))
        out = q.new_empty(b, n, heads, d + t + h + w)
        out[..., :d] = q
        out[:, :special, :, d:] = 0
        patches = _on_grid(q, special, grid)
        bias = _on_grid(out[..., d:], special, grid)
        bias[..., :t] = torch.einsum("bthwyd,tkd->bthwyk", patches, rt)
        bias[..., t : t + h] = torch.einsum("bthwyd,hkd->bthwyk", patches, rh)
        bias[..., t + h :] = torch.einsum("bthwyd,wkd->bthwyk", patches, rw)
        ctx.save_for_backward(out, rt, rh, rw)
        ctx.special, ctx.grid = special, grid
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        out, rt, rh, rw = ctx.saved_tensors
        d = rt.shape[-1]
        grad = grads[0].to(out.dtype)
        rt, rh, rw = (r.to(out.dtype) for r in (rt, rh, rw))  # autocast ends before backward
        patches = _on_grid(out[..., :d], ctx.special, ctx.grid)
        sizes = [r.shape[1] for r in (rt, rh, rw)]
        gt, gh, gw = torch.split(_on_grid(grad[..., d:], ctx.special, ctx.grid), sizes, dim=-1)
        dq = grad[..., :d].clone()
        dp = _on_grid(dq, ctx.special, ctx.grid)
        dp += torch.einsum("bthwyk,tkd->bthwyd", gt, rt)
        dp += torch.einsum("bthwyk,hkd->bthwyd", gh, rh)
        dp += torch.einsum("bthwyk,wkd->bthwyd", gw, rw)
        drt = torch.einsum("bthwyk,bthwyd->tkd", gt, patches)
        drh = torch.einsum("bthwyk,bthwyd->hkd", gh, patches)
        drw = torch.einsum("bthwyk,bthwyd->wkd", gw, patches)
        return dq, None, None, drt, drh, drw


class _Blocked(torch.autograd.Function):
    """softmax(q k^T) v for blocks of queries; q and k may be wider than v (folded): they start with the plain ones."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, residual: int | None) -> Tensor:
        d = v.shape[-1]
        out = v.new_zeros(*q.shape[:3], d)
        if residual is not None:
            out[:, residual:] = q[:, residual:, :, :d]
        rows = _rows(q, k.shape[1])
        buffer = q.new_empty(rows, k.shape[1])
        for b, y in _pairs(q):
            keys, values = k[b, :, y].t(), v[b, :, y]
            for queries, o in zip(
                torch.split(q[b, :, y], rows), torch.split(out[b, :, y], rows), strict=True
            ):
                scores = torch.mm(queries, keys, out=buffer[: len(queries)])
                o.addmm_(torch.softmax(scores, -1, out=scores), values)
        ctx.save_for_backward(q, k, v)
        ctx.residual = residual
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        g, d = grads[0], v.shape[-1]
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        rows = _rows(q, k.shape[1])
        p_buffer, g_buffer, s_buffer = (q.new_empty(rows, k.shape[1]) for _ in range(3))
        for b, y in _pairs(q):
            keys, values, dkeys, dvalues = (x[b, :, y] for x in (k, v, dk[..., :d], dv))
            blocks = (torch.split(x[b, :, y], rows) for x in (q, g, dq))
            for q_, g_, dq_ in zip(*blocks, strict=True):
                p = torch.mm(q_, keys.t(), out=p_buffer[: len(q_)])
                p = torch.softmax(p, -1, out=p)
                dvalues.addmm_(p.t(), g_)
                dp = torch.mm(g_, values.t(), out=g_buffer[: len(q_)])
                ds = s_buffer[: len(q_)]
                torch.ops.aten._softmax_backward_data.out(dp, p, -1, p.dtype, grad_input=ds)
                torch.mm(ds, keys, out=dq_)
                dkeys.addmm_(ds.t(), q_[:, :d])
        if ctx.residual is not None:
            dq[:, ctx.residual :, :, :d] += g[:, ctx.residual :]
        return dq, dk, dv, None


def _rows(q: Tensor, keys: int) -> int:
    if q.is_meta:
        return q.shape[1]
    return max(SCORES_PER_BLOCK * torch.get_num_threads() // keys, 64)


def _pairs(q: Tensor) -> list[tuple[int, int]]:
    return [(b, y) for b in range(q.shape[0]) for y in range(q.shape[2])]
