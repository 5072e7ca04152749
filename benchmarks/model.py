"""The model against torchvision's `mvit_v2_s`, side by side in one run: time, memory, the cost of prompts and heads.

Run: python -m benchmarks.model [--pairs N] [--threads N] [--only NAME ...]

- step: forward + backward of the backbone at 16x224x224, batch 1, dropout and drop path off, interleaved pairs.
- memory: bytes kept for backward in the same configuration (distinct storages, parameters excluded).
- heads: a training step with five prompts and all heads, every row supervised by every task, against one without,
  batch 2.
- inference: one clip with five prompts against none.

Ratios are medians over pairs; a pair's two runs follow each other, in alternating order. CPU time counts beside the
clock, because other work on the machine stretches the clock's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.precision import TASKS, random_targets
from pvit_model import PViT, create_model, load_backbone_checkpoint, task_losses
from pvit_model.network.info import saved_bytes
from pvit_model.network.total_loss import default_weights, total_loss

CLIP = (16, 224, 224)


@dataclass(frozen=True)
class Pairs:
    """Seconds of interleaved runs, (clock, CPU) each."""

    first: list[tuple[float, float]]
    second: list[tuple[float, float]]

    def ratio(self, kind: int) -> float:
        """Median over pairs of first / second; kind 0 is the clock, 1 the CPU."""
        return statistics.median(
            a[kind] / b[kind] for a, b in zip(self.first, self.second, strict=True)
        )

    def summary(self) -> dict[str, float]:
        """Ratios and median seconds."""
        return {
            "ratio_clock": round(self.ratio(0), 3),
            "ratio_cpu": round(self.ratio(1), 3),
            "first_s": round(statistics.median(a[0] for a in self.first), 2),
            "second_s": round(statistics.median(b[0] for b in self.second), 2),
            "pairs": len(self.first),
        }


def interleaved(first: Callable[[], object], second: Callable[[], object], pairs: int) -> Pairs:
    """Time both by turns, after one run of each that does not count."""
    times: dict[int, list[tuple[float, float]]] = {0: [], 1: []}
    for number in range(pairs + 1):
        order = [0, 1] if number % 2 else [1, 0]
        for which in order:
            clock, cpu = time.perf_counter(), time.process_time()
            (first, second)[which]()
            if number:
                times[which].append((time.perf_counter() - clock, time.process_time() - cpu))
    return Pairs(times[0], times[1])


def both() -> tuple[nn.Module, PViT]:
    """torchvision's model and ours with the same random weights."""
    from torchvision.models.video import mvit_v2_s

    torch.manual_seed(0)
    theirs = mvit_v2_s(dropout=0.0, stochastic_depth_prob=0.0)
    ours = create_model("mvitv2_s", dropout=0.0, drop_path=0.0)
    load_backbone_checkpoint(ours, theirs.state_dict())
    return theirs, ours


def backward(logits: Tensor) -> None:
    """Of any scalar."""
    logits.square().sum().backward()


def measure_step(pairs: int) -> dict[str, Any]:
    """torchvision / ours."""
    theirs, ours = both()
    video = torch.randn(1, 3, *CLIP)
    found = interleaved(
        lambda: backward(theirs(video)), lambda: backward(ours(video).logits), pairs
    )
    return {"torchvision / ours": found.summary(), "bar": "ratio >= 1.3"}


def measure_memory() -> dict[str, Any]:
    """ours / torchvision."""
    theirs, ours = both()
    video = torch.randn(1, 3, *CLIP)
    a = saved_bytes(list(theirs.parameters()), lambda: theirs(video)) / 2**20
    b = saved_bytes(list(ours.parameters()), lambda: ours(video).logits) / 2**20
    sizes = {"torchvision_mib": round(a), "ours_mib": round(b)}
    return {"ours / torchvision": {"ratio": round(b / a, 3), **sizes}, "bar": "ratio <= 0.7"}


def measure_heads(pairs: int) -> dict[str, Any]:
    """Five prompts and heads / the plain model."""
    plain = create_model("mvitv2_s", (), 174)
    full = create_model("mvitv2_s", TASKS, 174, {"nyu40": 41})
    video = torch.randn(2, 3, *CLIP)
    targets = random_targets(full, CLIP, batch=2)
    action = {"action": targets["action"]}

    def step(model: PViT, supervised: dict[str, Any]) -> None:
        out = model(video, rows={name: t.rows for name, t in supervised.items()})
        total_loss(task_losses(out, supervised), default_weights(out)).backward()

    found = interleaved(lambda: step(full, targets), lambda: step(plain, action), pairs)
    return {"with heads / without": found.summary(), "bar": "ratio <= 1.2"}


def measure_inference(pairs: int) -> dict[str, Any]:
    """Five prompts / none."""
    plain = create_model("mvitv2_s", (), 174).eval()
    full = create_model("mvitv2_s", TASKS, 174, {"nyu40": 41}).eval()
    video = torch.randn(1, 3, *CLIP)
    with torch.no_grad():
        found = interleaved(lambda: full(video), lambda: plain(video), pairs)
    return {"five prompts / none": found.summary()}


def main() -> None:
    """Print every measurement as JSON, one a line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=7, help="interleaved pairs of training steps")
    parser.add_argument(
        "--inference-pairs", type=int, default=30, help="interleaved pairs of inference"
    )
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0 leaves its default")
    names = ["memory", "step", "heads", "inference"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "memory": measure_memory,
        "step": lambda: measure_step(args.pairs),
        "heads": lambda: measure_heads(args.pairs),
        "inference": lambda: measure_inference(args.inference_pairs),
    }
    for name in args.only:
        print(json.dumps({name: runs[name](), "threads": torch.get_num_threads()}), flush=True)


if __name__ == "__main__":
    main()
