"""The fast forms of attention, pooling and MLP against their textbook forms, values and gradients."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from pvit_model.backbones.attention import Form, attend, pair_table
from pvit_model.backbones.mlp import Mlp
from pvit_model.backbones.pooling import depthwise_pool, max_pool

Q_GRID, K_GRID = (2, 6, 5), (2, 3, 3)


def inputs(special: int = 3, batch: int = 2, heads: int = 2, width: int = 8) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    n, m = (special + t * h * w for t, h, w in (Q_GRID, K_GRID))
    shapes = [(batch, n, heads, width), (batch, m, heads, width), (batch, m, heads, width)]
    shapes += [(q, k, width) for q, k in zip(Q_GRID, K_GRID, strict=True)]
    return [torch.randn(s, generator=g).requires_grad_() for s in shapes]


def run(form: Form, tensors: list[torch.Tensor], residual: int | None, tables: bool = True) -> torch.Tensor:
    q, k, v, t, h, w = tensors
    return attend(q, k, v, special=3, grid=Q_GRID, tables=(t, h, w) if tables else None, residual=residual, form=form)


def by_loops(tensors: list[torch.Tensor], residual: int | None) -> torch.Tensor:
    """Attention score by score, in float64."""
    q, k, v, rt, rh, rw = (x.detach().double() for x in tensors)
    scores = torch.einsum("bnyd,bmyd->bynm", q, k) / q.shape[-1] ** 0.5
    for i, at in enumerate(itertools.product(*map(range, Q_GRID))):
        for j, to in enumerate(itertools.product(*map(range, K_GRID))):
            bias = sum(r[a, b] for r, a, b in zip((rt, rh, rw), at, to, strict=True))
            scores[:, :, 3 + i, 3 + j] += torch.einsum("byd,d->by", q[:, 3 + i], bias)
    out = torch.einsum("bynm,bmyd->bnyd", scores.softmax(-1), v)
    if residual is not None:
        out[:, residual:] += q[:, residual:]
    return out


@pytest.mark.parametrize("residual", [None, 1, 3])
@pytest.mark.parametrize("form", ["matmul", "blocked", "sdpa"])
def test_attention_equals_its_definition(form: Form, residual: int | None) -> None:
    tensors = inputs()
    torch.testing.assert_close(run(form, tensors, residual).double(), by_loops(tensors, residual), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("tables", [True, False])
@pytest.mark.parametrize("form", ["blocked", "sdpa"])
def test_attention_gradients_agree(form: Form, tables: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pvit_model.backbones.attention.SCORES_PER_BLOCK", 64 * 21
    )  # several blocks, the last one short
    tensors = inputs()
    wanted = tensors if tables else tensors[:3]
    reference = run("matmul", tensors, 3, tables)
    weight = torch.randn(reference.shape)
    expected = torch.autograd.grad(reference, wanted, weight)
    got = torch.autograd.grad(run(form, tensors, 3, tables), wanted, weight)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


class Largest(TorchDispatchMode):
    """The most elements that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, torch.Tensor):
                self.elements = max(self.elements, x.numel())
        return out


@pytest.mark.parametrize(("form", "bound"), [("matmul", False), ("sdpa", True), ("blocked", True)])
def test_fused_forms_hold_no_matrix_of_scores(form: Form, bound: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward: nothing of size queries x keys exists; the textbook form shows the contrast."""
    monkeypatch.setattr("pvit_model.backbones.attention.SCORES_PER_BLOCK", 1 << 15)
    n, m, grid = 3 + 2048, 3 + 512, (8, 16, 16)
    tables = tuple(torch.randn(q, k, 8, requires_grad=True) for q, k in zip(grid, (8, 8, 8), strict=True))
    q, k, v = (torch.randn(1, size, 1, 8, requires_grad=True) for size in (n, m, m))
    with Largest() as largest:
        attend(q, k, v, special=3, grid=grid, tables=tables, residual=3, form=form).sum().backward()  # type: ignore[arg-type]
    assert (largest.elements < n * m / 2) == bound


def test_gpu_takes_the_fused_kernel() -> None:
    """The form is chosen by device; what is only counted, on no device at all, is counted as on a CPU."""
    from pvit_model.backbones import attention

    assert attention._form_for(SimpleNamespace(device=torch.device("cuda"))) == "sdpa"  # type: ignore[arg-type]
    assert attention._form_for(torch.empty(1)) == "blocked"
    assert attention._form_for(torch.empty(1, device="meta")) == "blocked"


@pytest.mark.parametrize(("queries", "keys"), [(56, 7), (28, 14), (7, 7), (45, 6), (3, 6), (1, 1)])
def test_pair_table_is_slowfasts_distance(queries: int, keys: int) -> None:
    length = 2 * max(queries, keys) - 1
    table = torch.arange(length, dtype=torch.float32)[:, None]
    got = pair_table(table, queries, keys)[..., 0]
    ratio_q, ratio_k = max(keys / queries, 1.0), max(queries / keys, 1.0)
    for i in range(queries):
        for j in range(keys):
            assert int(got[i, j]) == int(i * ratio_q - j * ratio_k + (keys - 1) * ratio_k)


def test_pair_table_interpolates_other_lengths() -> None:
    table = torch.randn(13, 4)
    resized = F.interpolate(table.t()[None], size=19, mode="linear")[0].t()
    torch.testing.assert_close(pair_table(table, 10, 5), pair_table(resized, 10, 5))


@pytest.mark.parametrize(("batch", "frames", "stride"), [(1, 4, 1), (3, 4, 2), (2, 6, 4), (2, 1, 2), (1, 2, 8)])
def test_depthwise_pool_is_conv3d(batch: int, frames: int, stride: int) -> None:
    """With 2 heads of 8 channels sharing their kernels."""
    x = torch.randn(batch, frames, 9, 7, 16, requires_grad=True)
    kernel = torch.randn(8, 1, 3, 3, 3, requires_grad=True)
    volume = x.permute(0, 4, 1, 2, 3)
    reference = F.conv3d(volume, kernel.repeat(2, 1, 1, 1, 1), None, (1, stride, stride), 1, 1, 16).permute(
        0, 2, 3, 4, 1
    )
    got = depthwise_pool(x, kernel, stride)
    torch.testing.assert_close(got, reference)
    weight = torch.randn(got.shape)
    pairs = zip(*(torch.autograd.grad(y, [x, kernel], weight) for y in (got, reference)), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_max_pool_is_per_frame() -> None:
    x = torch.randn(2, 3, 9, 7, 4)
    expected = F.max_pool3d(x.permute(0, 4, 1, 2, 3), (1, 3, 3), (1, 2, 2), (0, 1, 1)).permute(0, 2, 3, 4, 1)
    torch.testing.assert_close(max_pool(x, 2), expected)


@pytest.mark.parametrize("frozen", [False, True])
def test_blocked_mlp_is_the_plain_one(frozen: bool) -> None:
    mlp = Mlp(8, 32, 12).requires_grad_(not frozen)
    x = torch.randn(3, 400, 8, requires_grad=True)
    wanted = [x, *(() if frozen else mlp.parameters())]

    def both(function: Callable[[torch.Tensor], torch.Tensor]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        y = function(x)
        return y, torch.autograd.grad(y, wanted, torch.linspace(-1, 1, y.numel()).view_as(y))

    y, grads = both(mlp)
    reference, expected = both(lambda z: mlp.fc2(F.gelu(mlp.fc1(z))))
    torch.testing.assert_close(y, reference)
    for a, b in zip(grads, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
