"""TimeSformer, Motionformer and Video Swin against the code that others keep of them: time and memory of a step.

Run: python -m benchmarks.backbones [--pairs N] [--threads N] [--blocks N] [--only NAME ...]

A step is forward + backward of one clip of the published size, dropout and drop path off, the same weights:
- swin3d: torchvision's `swin3d_t`, 32x224x224;
- timesformer: `transformers`' TimesformerForVideoClassification, 8x224x224;
- motionformer: has no installable original; its formula in plain einsum (`plain_trajectories` below), 16x224x224.

Seconds are medians of interleaved pairs, in alternating order. Memory is the most that a process of its own held during
a step, over what it held before it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.model import backward, interleaved
from pvit_model import PViT, create_model, load_backbone_checkpoint
from pvit_model.backbones.motionformer import TrajectoryAttention

CLIPS = {"swin3d": (32, 224, 224), "timesformer": (8, 224, 224), "motionformer": (16, 224, 224)}


def plain_trajectories(self: TrajectoryAttention, x: Tensor, frames: int, special: int) -> Tensor:
    """The published formula as it is written: all scores at once, second keys and values of every token and frame."""
    q, k, v = self.split(x)
    scale = q.shape[-1] ** -0.5
    cls = torch.einsum("byid,byjd->byij", q[:, :, :special] * scale, k).softmax(-1)
    told = torch.einsum("byij,byjd->byid", cls, v).transpose(1, 2).flatten(2)
    scores = torch.einsum("byid,byjd->byij", q[:, :, special:] * scale, k[:, :, special:])
    scores = scores.unflatten(-1, (frames, -1)).softmax(-1)
    places = v[:, :, special:].unflatten(2, (frames, -1))
    paths = torch.einsum("byifn,byfnd->byifd", scores, places).permute(0, 2, 3, 1, 4).flatten(3)
    own = (
        paths.unflatten(1, (frames, -1)).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2).flatten(1, 2)
    )
    q2 = self.proj_q(own).unflatten(-1, (self.heads, -1)) * scale
    k2, v2 = self.proj_kv(paths).unflatten(-1, (2, self.heads, -1)).unbind(3)
    second = torch.einsum("biyd,bifyd->biyf", q2, k2).softmax(-1)
    values = paths.unflatten(-1, (self.heads, -1)) if self.values == "original" else v2
    out = torch.einsum("biyf,bifyd->biyd", second, values).flatten(2)
    return self.proj(torch.cat([told, out], dim=1))


class PlainMlp(nn.Module):
    """Linear, GELU, linear, on the parameters of ours."""

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.fc1, self.fc2 = mlp.fc1, mlp.fc2

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.nn.functional.gelu(self.fc1(x)))


def theirs_of(name: str, blocks: int) -> nn.Module:
    """The other code's network."""
    torch.manual_seed(0)
    if name == "swin3d":
        from torchvision.models.video import swin3d_t
        from torchvision.ops import StochasticDepth

        net = swin3d_t(weights=None)
        for module in net.modules():
            if isinstance(module, StochasticDepth):
                module.p = 0.0
        return net
    if name == "timesformer":
        from transformers import TimesformerConfig, TimesformerForVideoClassification

        config = TimesformerConfig(drop_path_rate=0, num_labels=400, num_hidden_layers=blocks)
        return TimesformerForVideoClassification(config)
    model = ours_of(name, blocks)
    for block in model.backbone.blocks:
        block.attn.over = plain_trajectories.__get__(block.attn)
        block.mlp = PlainMlp(block.mlp)
    return model


def ours_of(name: str, blocks: int) -> PViT:
    """Ours."""
    torch.manual_seed(0)
    if name == "swin3d":
        return create_model("swin3d_t", dropout=0.0, drop_path=0.0)
    return create_model(f"{name}_b", dropout=0.0, drop_path=0.0, depth=blocks)


def step_of(name: str, which: str, blocks: int) -> Callable[[], Any]:
    """A step of one side of a comparison."""
    video = torch.randn(1, 3, *CLIPS[name])
    if which == "ours":
        ours = ours_of(name, blocks).train()
        return lambda: backward(ours(video).logits)
    theirs = theirs_of(name, blocks).train()
    if name == "timesformer":
        frames = video.transpose(1, 2).contiguous()
        return lambda: backward(theirs(frames).logits)
    if name == "motionformer":
        return lambda: backward(theirs(video).logits)
    return lambda: backward(theirs(video))


def check(name: str, blocks: int) -> float:
    """Largest difference of the logits of both sides with the same weights."""
    theirs, ours, video = (
        theirs_of(name, blocks).eval(),
        ours_of(name, blocks).eval(),
        torch.randn(1, 3, *CLIPS[name]),
    )
    if name == "motionformer":
        ours.load_state_dict(theirs.state_dict())
    else:
        load_backbone_checkpoint(ours, theirs.state_dict())
    with torch.no_grad():
        if name == "timesformer":
            expected = theirs(video.transpose(1, 2)).logits
        else:
            expected = theirs(video)
            expected = expected if isinstance(expected, Tensor) else expected.logits
        return float((ours(video).logits - expected).abs().max())


def held_mib(field: str) -> float:
    """What this process holds (VmRSS), or the most that it held (VmHWM)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return 0.0


def peak_mib(name: str, which: str, threads: int, blocks: int) -> float:
    """Of a step in a process of its own."""
    words = ["--peak", f"{name}/{which}", "--threads", str(threads), "--blocks", str(blocks)]
    command = [sys.executable, "-m", "benchmarks.backbones", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure(name: str, pairs: int, threads: int, blocks: int) -> dict[str, Any]:
    """One family: ours / theirs."""
    peaks = {which: peak_mib(name, which, threads, blocks) for which in ("ours", "theirs")}
    difference = check(name, blocks)
    steps = [step_of(name, which, blocks) for which in ("ours", "theirs")]
    found = interleaved(*steps, pairs)
    return {
        "ours / theirs": found.summary(),
        "peak memory": {
            "ratio": round(peaks["ours"] / peaks["theirs"], 3),
            **{f"{which}_mib": round(value) for which, value in peaks.items()},
        },
        "largest difference of logits": difference,
        "bar": "ratios <= 1.05" if name != "motionformer" else "ratio_clock <= 1",
    }


def main() -> None:
    """Print every measurement as JSON, one a line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs of training steps")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0 leaves its default")
    parser.add_argument("--blocks", type=int, default=12, help="of timesformer and motionformer")
    parser.add_argument("--only", nargs="+", choices=list(CLIPS), default=list(CLIPS))
    parser.add_argument("--peak", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.peak:
        name, which = args.peak.split("/")
        step, before = step_of(name, which, args.blocks), held_mib("VmRSS")
        step()
        print(held_mib("VmHWM") - before)
        return
    for name in args.only:
        found = measure(name, args.pairs, args.threads, args.blocks)
        print(json.dumps({name: found, "threads": torch.get_num_threads()}), flush=True)


if __name__ == "__main__":
    main()
