"""What prompts may and may not do, on the small model."""

import pytest
import torch

from pvit_data.loading.batch import Targets
from pvit_model import PViT, create_model, task_losses
from pvit_model.network.total_loss import default_weights, total_loss

TASKS = ("depth", "normal", "segm", "pose3d", "boxes")
CLIP = (4, 32, 32)


def small(tasks: tuple[str, ...] = TASKS, seed: int = 0, **options: object) -> PViT:
    torch.manual_seed(seed)
    settings = {"num_classes": 7, "segm_spaces": {"a": 5, "b": 3}, "clip": CLIP, "dropout": 0.0, "dense_dropout": 0.0}
    return create_model("mvitv2_xxs", tasks, **(settings | options))  # type: ignore[arg-type]


@pytest.fixture
def video() -> torch.Tensor:
    return torch.randn(2, 3, *CLIP, generator=torch.Generator().manual_seed(1))


def test_without_prompts_it_is_the_plain_backbone(video: torch.Tensor) -> None:
    model = small(variant="mt").eval()
    assert model.prompts.shape == (0, 32)
    assert model(video).prompts.shape == (2, 0, 128)
    plain = model.head(model.backbone(video).cls)
    torch.testing.assert_close(model(video).logits, plain, atol=1e-6, rtol=0)


@pytest.mark.parametrize("backbone", ["mvitv2_xxs", "mvitv2_s"])
def test_prompts_reach_everything(video: torch.Tensor, backbone: str) -> None:
    """The action, the final patch tokens and every other prompt's output depend on each prompt."""
    torch.manual_seed(0)
    model = create_model(backbone, TASKS[:3], 7, clip=CLIP).eval()
    out = model(video)
    outputs = [out.logits, out.tokens, *out.prompts.unbind(1)]
    for i, output in enumerate(outputs):
        (gradient,) = torch.autograd.grad((output * torch.randn_like(output)).sum(), model.prompts, retain_graph=True)
        assert (gradient.norm(dim=1) > 0).all(), i


def test_changing_one_prompt_changes_the_others_outputs(video: torch.Tensor) -> None:
    model = small().eval()
    before = model(video).prompts
    with torch.no_grad():
        model.prompts[3] += 1.0
    change = (model(video).prompts - before).abs().amax((0, 2))
    assert (change > 1e-6).all()


def test_permuting_prompts_permutes_their_outputs(video: torch.Tensor) -> None:
    model = small().eval()
    with torch.no_grad():
        model.prompts.mul_(20)
    before = model(video)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        model.prompts.copy_(model.prompts[order].clone())
    after = model(video)
    torch.testing.assert_close(after.prompts, before.prompts[:, order], atol=1e-5, rtol=0)
    torch.testing.assert_close(after.logits, before.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.tokens, before.tokens, atol=1e-5, rtol=0)


def test_svit_pooling_scales_prompts_as_a_constant_volume(video: torch.Tensor) -> None:
    """The option reaches the prompts alone: without prompts nothing changes, with them their outputs do."""
    plain, svit = small().eval(), small(extra_pool="svit").eval()
    assert not torch.allclose(plain(video).prompts, svit(video).prompts, atol=1e-4)
    plain, svit = small(variant="baseline").eval(), small(variant="baseline", extra_pool="svit").eval()
    torch.testing.assert_close(plain(video).logits, svit(video).logits)
    attention = svit.backbone.blocks[1].attn
    kernel = attention.pool_k.weight
    volume = torch.ones(1, kernel.shape[0], 3, 3, 3)
    stride = (1, attention.strides["k"], attention.strides["k"])
    mean = torch.nn.functional.conv3d(volume, kernel, None, stride, 1, 1, len(kernel)).mean((0, 2, 3, 4))
    torch.testing.assert_close(attention._gain(kernel, attention.strides["k"]), mean.repeat(attention.heads))


def test_prompts_may_enter_later(video: torch.Tensor) -> None:
    model = small(prompt_layer=3)
    assert model.prompts.shape == (5, 64)
    assert model(video).prompts.shape == (2, 5, 128)


def test_k_prompts_per_task_are_averaged(video: torch.Tensor) -> None:
    model = small(("depth", "pose3d"), prompts_per_task=3).eval()
    assert model.prompts.shape == (6, 32)
    out = model(video, tasks="pose3d")
    read = out.prompts[:, 3:6].mean(1)
    expected = model.heads["pose3d"](read, 2)
    torch.testing.assert_close(out.tasks["pose3d"], expected)


def targets(rows: list[int], task: str) -> Targets:
    r, g = torch.tensor(rows, dtype=torch.long), torch.Generator().manual_seed(5)
    shapes = {"depth": (2, 8, 8), "normal": (2, 8, 8, 3), "pose3d": (2, 25, 3), "boxes": (2, 4, 4)}
    value = torch.rand(len(r), *shapes[task], generator=g) * 0.5 + 0.25
    shape = value.shape if task == "depth" else value.shape[:-1]
    return Targets(r, value, torch.ones(shape, dtype=torch.bool))


def test_a_prompts_head_never_sees_another_tasks_target(video: torch.Tensor) -> None:
    """With one task supervised, no other head receives a gradient other than zero."""
    for task in ("depth", "normal", "pose3d", "boxes"):
        model = small()
        found = {task: targets([0, 1], task)}
        losses = task_losses(model(video, rows={name: t.rows for name, t in found.items()}), found)
        total_loss(losses, {}).backward()
        for name, head in model.heads.items():
            norm = sum(float(p.grad.norm()) for p in head.parameters() if p.grad is not None)
            assert (norm > 0) == (name == task)
            assert all(p.grad is not None for p in head.parameters())


def test_absent_tasks_contribute_exactly_nothing(video: torch.Tensor) -> None:
    """The gradient of the shared parameters is that of a model without the absent tasks' heads."""
    model = small()
    found = {"depth": targets([1], "depth")}
    out = model(video, rows={"depth": found["depth"].rows})
    assert set(out.tasks) == {"action", "depth", "normal", "segm/a", "segm/b", "pose3d", "boxes"}
    losses = task_losses(out, found)
    assert {name for name, loss in losses.items() if loss.count == 0} == set(out.tasks) - {"depth"}
    assert all(loss.sum == 0 and loss.mean == 0 for name, loss in losses.items() if name != "depth")
    weights = default_weights(out)
    together = torch.autograd.grad(total_loss(losses, weights), model.prompts, retain_graph=True)[0]
    alone = torch.autograd.grad(weights["depth"] * losses["depth"].mean, model.prompts)[0]
    torch.testing.assert_close(together, alone, atol=0, rtol=0)
    assert weights == {
        "action": 1.0, "depth": 0.5, "normal": 0.5, "segm/a": 0.1, "segm/b": 0.1, "pose3d": 3.0, "boxes": 0.1,
    }  # fmt: skip


def test_no_label_space_yet_is_no_error(video: torch.Tensor) -> None:
    model = small(("segm",), segm_spaces={})
    assert model(video, tasks="all").tasks == {"segm": {}}
    losses = task_losses(model(video, rows={}), {})
    total_loss(losses, {}).backward()
    assert all(p.grad is not None for p in model.heads.parameters())
    model.add_segm_space("late", 6)
    assert model(video, tasks="all").tasks["segm"]["late"].shape == (2, 6, 2, 8, 8)


def test_packed_rows_equal_the_whole_batch(video: torch.Tensor) -> None:
    """A head on the supervised rows predicts what it predicts for them in a full batch."""
    model = small().eval()
    rows = {
        "depth": torch.tensor([1]),
        "segm/b": torch.tensor([0]),
        "segm/a": torch.tensor([1]),
        "boxes": torch.tensor([0, 1]),
    }
    packed, full = model(video, rows=rows).tasks, model(video, tasks="all").tasks
    torch.testing.assert_close(packed["depth"], full["depth"][[1]])
    torch.testing.assert_close(packed["segm/b"], full["segm"]["b"][[0]])
    torch.testing.assert_close(packed["segm/a"], full["segm"]["a"][[1]])
    torch.testing.assert_close(packed["boxes"], full["boxes"])
    assert packed["pose3d"].shape == (0, 2, 25, 3)
