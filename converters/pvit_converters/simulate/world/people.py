"""Random human motion: people who wave, walk, bow, squat, clap, punch, sit down on the floor or lie down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pvit_converters.simulate.world.body import Motion, idle

Array = np.ndarray
Rng = np.random.Generator

DEEDS = ("wave", "walk", "bow", "squat", "clap", "punch", "sit", "lie")


def perform(
    rng: Rng, frames: int, place: Array, heading: float, deed: str, size: float = 1.0
) -> Motion:
    """A person at `place` (3,) doing one of `DEEDS`; about one cycle a second at 20 frames a second."""
    t = np.arange(frames) / 20 + rng.uniform(0, 2)
    phase = 2 * np.pi * t * rng.uniform(0.8, 1.3)
    wave = 0.5 - 0.5 * np.cos(phase)
    turn = heading + 0.1 * np.sin(phase / 3)
    base = idle(np.tile(place, (frames, 1)), turn, rng, size)
    left, right = base.left.copy(), base.right.copy()
    if deed == "wave":
        right[:] = (
            np.stack([0.2 + 0 * wave, -0.15 - 0.2 * np.sin(phase), 0.35 + 0.05 * wave], -1) * size
        )
        return replace(base, right=right)
    if deed == "walk":
        forward = np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
        swing = 0.25 * np.cos(phase)[:, None] * [1.0, 0.0, 0.15]
        ground = base.ground + forward * ((np.arange(frames) - frames / 2) * 0.03)[:, None]
        return replace(
            base, ground=ground, stride=phase, step=0.55, left=left - swing, right=right + swing
        )
    if deed == "bow":
        return replace(base, lean=0.9 * wave)
    if deed == "squat":
        left[:, 2], right[:, 2] = -0.45 + 0.4 * wave, -0.45 + 0.4 * wave
        left[:, 0], right[:, 0] = 0.45 * wave, 0.45 * wave
        return replace(base, crouch=0.35 * wave * size, left=left * size, right=right * size)
    if deed == "clap":
        side = 0.05 + 0.25 * wave
        hands = [
            np.stack([0.32 + 0 * side, s * (side - 0.2), -0.1 + 0 * side], -1) * size
            for s in (1, -1)
        ]
        return replace(base, left=hands[0], right=hands[1])
    if deed in ("sit", "lie"):
        down = np.clip(0.5 - 0.8 * np.cos(phase / 2), 0, 1)
        lean, hand = (0.1, (0.38, 0.08, -0.25)) if deed == "sit" else (-1.45, (0.46, 0.06, 0.1))
        left += down[:, None] * (np.array(hand) * size - left)
        right += down[:, None] * (np.array(hand) * [1, -1, 1] * size - right)
        low = 0.78 * size * down
        return replace(base, lean=lean * down, crouch=low, feet=low, left=left, right=right)
    reach = np.stack([0.15 + 0.33 * wave, 0.1 * wave, 0 * wave - 0.05], -1) * size
    return replace(base, right=reach, left=reach[::-1] * [1, -1, 1])
