"""H.264 bytes must not depend on what the process did before."""

import numpy as np
import pytest

from pvit_data.codecs.video import encode_video


@pytest.mark.parametrize("size", [32, 96, 240])
def test_the_same_frames_give_the_same_bytes(size: int) -> None:
    """With x264's default settings ten calls gave about ten different files at 96 and 240 pixels."""
    y, x = np.mgrid[:size, :size]
    rng = np.random.default_rng(0)
    waves = [
        np.stack([100 * np.sin((x + 2 * t) / 7), 90 * np.cos(y / 5 + t), (x * y + t * 9) % 255 - 128], -1)
        for t in range(8)
    ]
    frames = np.clip(128 + np.stack(waves) + rng.normal(0, 6, (8, size, size, 3)), 0, 255).astype(np.uint8)
    made = set()
    for i in range(10):
        disturbance = [rng.integers(0, 255, (50 + i * 37, 501), dtype=np.uint8) for _ in range(5)]
        made.add(encode_video(frames, 12))
        del disturbance
    assert len(made) == 1
