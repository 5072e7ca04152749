"""Evaluation over three crops against its forward passes alone, and how often each video is opened for it.

Run: python -m benchmarks.views [--videos N] [--rounds N] [--backbone NAME] [--workers N]

Videos as SSv2 has them (46 frames of VP9 in WebM, 240 rows). Bare runs the network on random clips, in batches of the
sizes that the evaluation has. Seconds by the clock, bare and whole in turn, medians of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import pvit_data
from benchmarks.loading import real_like, write_shards
from benchmarks.video_conversion import webm
from pvit_data.clips.config import ClipConfig
from pvit_data.codecs.video import container
from pvit_model import create_model
from pvit_model.network.inference import Inference
from pvit_model.using.evaluate import EVAL_BATCH, EvalOptions, evaluate_source

BAR, CROPS = 1.15, 3
FRAMES, SIDE, CLASSES = 16, 224, 174
LENGTH = 46  # frames of a video


def counted(opened: list[Any]) -> Callable[[], None]:
    """Notes every file that a decoder of this process is opened for, until what it gives is called."""
    plain = container.av.open

    def noted(*args: Any, **options: Any) -> Any:
        opened.append(args[0])
        return plain(*args, **options)

    container.av.open = noted

    def stop() -> None:
        container.av.open = plain

    return stop


def seconds(work: Callable[[], Any]) -> float:
    """By the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    """Measures, prints, and says by its exit code whether the bar holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", default="mvitv2_s")
    parser.add_argument("--workers", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ds = films(Path(folder), asked.videos)
        network = create_model(asked.backbone, num_classes=CLASSES, variant="baseline").eval()
        clip = ClipConfig(
            num_frames=FRAMES, size=(SIDE, SIDE), downstream="ssv2", tasks={"ssv2": ("action",)}
        )
        space = pvit_data.LabelSpace("many", tuple(f"c{n}" for n in range(CLASSES)))
        inference = Inference(clip=clip, action=space, crops=CROPS)
        views = (1, CROPS)
        how = EvalOptions(views=views, workers=asked.workers)
        sizes = [
            tuple(batch.video.shape)
            for batch in pvit_data.eval_loader(ds, clip, EVAL_BATCH, views=views)
        ]

        @torch.no_grad()
        def bare() -> None:
            for shape in sizes:
                network(torch.randn(shape))

        def whole() -> None:
            evaluate_source(network, inference, ds, ("ssv2", "train"), how=how)

        opened: list[Any] = []
        if not asked.workers:
            stop = counted(opened)
            whole()
            stop()
        bare()
        pairs = [(seconds(bare), seconds(whole)) for _ in range(asked.rounds)]
    alone, all_of_it = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(ours / bare for bare, ours in pairs)
    print(
        f"{asked.backbone}, {asked.videos} videos x {CROPS} crops: forward {alone:.1f} s, "
        f"evaluation {all_of_it:.1f} s, ratio {ratio:.3f} (bar {BAR}), pairs "
        + ", ".join(f"{b / a:.3f}" for a, b in pairs)
    )
    times = len(opened) / asked.videos
    if not asked.workers:
        print(f"each video is opened {times:g} times (bar 1)")
    return int(ratio > BAR or (bool(opened) and times != 1))


def films(folder: Path, videos: int) -> Any:
    """Shards with some videos."""
    files = [folder / f"{number}.webm" for number in range(videos)]
    for number, file in enumerate(files):
        file.write_bytes(webm(LENGTH, number))
    return write_shards(folder / "shards", "ssv2", real_like(videos, files), ())


if __name__ == "__main__":
    raise SystemExit(main())
