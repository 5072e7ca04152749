"""Scoring at the size of the official lists: AVA's 57,408 seconds, SSv2's 24,777 videos in three views."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pvit_data.scoring.metrics.ava import EVALUATED

pytestmark = pytest.mark.torture
FULL = bool(os.environ.get("PVIT_TORTURE"))


def score(*arguments: object) -> tuple[float, float]:
    """Seconds of the processor, and gigabytes at the peak."""
    code = (
        "import sys, time\nfrom pvit_cli.model import main\nassert main(sys.argv[1:]) == 0\n"
        "peak = next(x.split()[1] for x in open('/proc/self/status') if x.startswith('VmHWM'))\n"
        "print(time.process_time(), int(peak) / 1e6, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "score", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stderr.split()[-2:])
    return seconds, peak


def test_detections_of_all_seconds(tmp_path: Path) -> None:
    """Two boxes and 60 rows each, 6.9 million rows: three minutes and 2 GB; the doctor asked."""
    rng = np.random.default_rng(0)
    with (
        (tmp_path / "found.csv").open("w", encoding="utf-8") as found,
        (tmp_path / "ava_val_v2.2.csv").open("w", encoding="utf-8") as truth,
    ):
        for movie in range(64 if FULL else 2):
            for second in range(902, 1799):
                for _ in range(2):
                    x, y = rng.uniform(0, 0.5, 2)
                    box = f"{movie:011d},{second:04d},{x:.3f},{y:.3f},{x + 0.4:.3f},{y + 0.4:.3f}"
                    scores = rng.random(60).tolist()
                    found.writelines(f"{box},{a},{s:.4f}\n" for a, s in zip(EVALUATED, scores, strict=True))
                    truth.write(f"{box},{rng.choice(EVALUATED)},0\n")
    path = tmp_path / "ava_val_v2.2.csv"
    seconds, peak = score(tmp_path / "found.csv", "--metric", "ava", "--truth", path, "--no-excluded", "--diagnose")
    print(f"{seconds:.1f} s, {peak:.2f} GB")
    assert seconds <= 180
    assert peak <= 2.0


def test_logits_of_all_videos(tmp_path: Path) -> None:
    """24,777 videos in three views over 174 classes: 20 seconds."""
    rng = np.random.default_rng(0)
    number = 24_777 if FULL else 1_000
    labels = rng.integers(0, 174, number)
    logits = (rng.normal(size=(number, 3, 174)) + 3 * np.eye(174)[labels][:, None]).astype(np.float32)
    np.savez(tmp_path / "p.npz", ids=np.arange(number), logits=logits)
    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"{n},{k}\n" for n, k in enumerate(labels)))
    how = ("--metric", "topk", "--protocol", "ssv2", "--truth", tmp_path / "t.csv", "--diagnose")
    seconds, peak = score(tmp_path / "p.npz", *how)
    print(f"{seconds:.1f} s, {peak:.2f} GB")
    assert seconds <= 20
    assert peak <= 2.0
