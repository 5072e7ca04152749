"""Training in bfloat16 takes the same step as in float32, up to rounding: losses and gradients."""

import importlib.util
import sys
from pathlib import Path

import torch

from pvit_model import create_model

ROOT = Path(__file__).parents[3]


def load(path: Path):  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_bfloat16_agrees_on_the_small_model() -> None:
    precision = load(ROOT / "benchmarks/precision.py")
    clip = (8, 64, 64)
    options = {"dropout": 0.0, "dense_dropout": 0.0, "drop_path": 0.0}
    model = create_model("mvitv2_xxs", precision.TASKS, 10, {"a": 7}, clip=clip, **options)
    found = precision.compare(model, clip)
    assert max(abs(ratio - 1) for ratio in found.loss_ratios.values()) <= 0.02, found.loss_ratios
    assert found.cosine >= 0.999
    assert min(found.tensor_cosines.values()) >= 0.85, sorted(found.tensor_cosines.items(), key=lambda x: x[1])[:3]


def test_autocast_reaches_the_fast_forms() -> None:
    """The attention, pooling and MLP of CPU training run in bfloat16 under autocast."""
    model = create_model("mvitv2_xxs", (), 3, clip=(4, 32, 32))
    kinds: list[torch.dtype] = []
    for block in model.backbone.blocks:
        block.attn.proj.register_forward_pre_hook(lambda _, inputs: kinds.append(inputs[0].dtype))
        block.mlp.register_forward_hook(lambda _, __, out: kinds.append(out.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(torch.randn(1, 3, 4, 32, 32))
    assert set(kinds) == {torch.bfloat16}
