"""One training step in float32 and in bfloat16 autocast: loss terms and gradients side by side.

Run: python -m benchmarks.precision          (MViTv2-S at 16x224x224, all five tasks)
     python -m benchmarks.precision --small  (mvitv2_xxs at 16x64x64)

Weights are filled from their names, dropout and drop path are off, so that both runs are the same computation.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_model import PViT, create_model, task_losses
from pvit_model.network.total_loss import default_weights, total_loss

TASKS = ("depth", "normal", "segm", "pose3d", "boxes")
TABLES = ("rel_pos", "pos_embed", "cls_token", "prompts")


@dataclass(frozen=True)
class Agreement:
    """bfloat16 against float32.

    Args:
        loss_ratios: bfloat16 / float32 of each loss term.
        cosine: of the whole gradient.
        tensor_cosines: of each parameter whose gradient is above 1e-5 of the whole norm.
    """

    loss_ratios: dict[str, float]
    cosine: float
    tensor_cosines: dict[str, float]


def fill_by_name(model: PViT) -> None:
    """Biases 0.1 n, other vectors 1 + 0.1 n, tables 0.2 n, matrices n / sqrt(fan in), with n seeded by the name."""
    for name, parameter in model.named_parameters():
        n = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(parameter.shape))
        if name.endswith("bias"):
            value = 0.1 * n
        elif parameter.ndim == 1:
            value = 1 + 0.1 * n
        elif any(part in name for part in TABLES):
            value = 0.2 * n
        else:
            value = n / np.sqrt(np.prod(parameter.shape[1:]))
        parameter.data.copy_(torch.from_numpy(value))


def random_targets(model: PViT, clip: tuple[int, int, int], batch: int = 1) -> dict[str, Targets]:
    """Targets of every task for every row, all valid."""
    g = torch.Generator().manual_seed(3)
    t, h, w = model.map_size(*clip)
    rows = torch.arange(batch)
    normal = torch.nn.functional.normalize(torch.randn(batch, t, h, w, 3, generator=g), dim=-1)
    values: dict[str, Tensor] = {
        "action": torch.randint(0, model.config.num_classes, (batch,), generator=g),
        "depth": torch.rand(batch, t, h, w, generator=g) * 9 + 0.5,
        "normal": normal,
        "pose3d": torch.randn(batch, t, 25, 3, generator=g) * 0.3,
        "boxes": torch.rand(batch, t, 4, 4, generator=g) * 0.4 + 0.1,
    }
    for space, ids in model.config.segm_spaces.items():
        values[f"segm/{space}"] = torch.randint(0, ids, (batch, t, h, w), generator=g)
    vectors = {"normal", "pose3d", "boxes"}
    return {
        name: Targets(
            rows,
            value,
            torch.ones(value.shape[:-1] if name in vectors else value.shape, dtype=torch.bool),
        )
        for name, value in values.items()
    }


def step(
    model: PViT, video: Tensor, targets: dict[str, Targets], lower: bool
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Loss terms and gradients of one step."""
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=lower):
        out = model(video, rows={name: t.rows for name, t in targets.items()})
        losses = task_losses(out, targets)
        total = total_loss(losses, default_weights(out))
    total.backward()
    grads = {
        name: p.grad.float().clone() for name, p in model.named_parameters() if p.grad is not None
    }
    return {name: loss.mean.item() for name, loss in losses.items()}, grads


def compare(model: PViT, clip: tuple[int, int, int]) -> Agreement:
    """Take the step twice."""
    fill_by_name(model)
    video = torch.from_numpy(
        np.random.RandomState(7).standard_normal((1, 3, *clip)).astype(np.float32)
    )
    targets = random_targets(model, clip)
    full_losses, full = step(model, video, targets, lower=False)
    low_losses, low = step(model, video, targets, lower=True)
    norm = sum(float(g.square().sum()) for g in full.values()) ** 0.5
    low_norm = sum(float(g.square().sum()) for g in low.values()) ** 0.5
    dots = {name: float((low[name] * full[name]).sum()) for name in full}
    cosines = {
        name: dots[name] / float(low[name].norm() * full[name].norm())
        for name in full
        if float(full[name].norm()) > 1e-5 * norm
    }
    ratios = {name: low_losses[name] / full_losses[name] for name in full_losses}
    return Agreement(ratios, sum(dots.values()) / (norm * low_norm), cosines)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--small", action="store_true", help="the small model, seconds instead of minutes"
    )
    small = parser.parse_args().small
    name, clip = ("mvitv2_xxs", (16, 64, 64)) if small else ("mvitv2_s", (16, 224, 224))
    options = {"dropout": 0.0, "dense_dropout": 0.0, "drop_path": 0.0, "clip": clip}
    found = compare(create_model(name, TASKS, 174, {"nyu40": 41}, **options), clip)
    print(f"{name} at {'x'.join(map(str, clip))}, bfloat16 / float32")
    for target, ratio in found.loss_ratios.items():
        print(f"  loss {target:12} {ratio:.4f}")
    print(f"  cosine of the whole gradient {found.cosine:.5f}")
    print("  lowest cosines of single tensors:")
    for parameter, cosine in sorted(found.tensor_cosines.items(), key=lambda item: item[1])[:5]:
        print(f"    {cosine:.4f}  {parameter}")


if __name__ == "__main__":
    main()
