"""Made-up samples for the format's tests: every field, seeded, small."""

from typing import Any

import numpy as np

from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Actions, Boxes, Camera, Sample

SPACES = {
    "segm": LabelSpace("nyu40", tuple(f"class {i}" for i in range(1, 41)), first=1),
    "boxes": LabelSpace("things", ("cup", "knife", "hand")),
    "action": LabelSpace("verbs", tuple(f"verb {i}" for i in range(10)), pairs=((0, 1),)),
}
T, H, W = 6, 46, 60


def unit_vectors(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    vectors = rng.normal(size=(*shape, 3))
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def rotation(angle: float) -> np.ndarray:
    pose = np.eye(4, dtype=np.float32)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return pose


def clip(rng: np.random.Generator, t: int = T, h: int = H, w: int = W) -> np.ndarray:
    """Smooth colours that move, so that video compression has something real to do."""
    y, x, n = np.mgrid[:h, :w, :t][[0, 1, 2]]
    waves = [np.sin((x + 3 * n) / 9 + rng.uniform(0, 6)), np.cos((y - 2 * n) / 7), np.sin((x + y) / 11 + n / 5)]
    return np.moveaxis(np.stack([127 + 120 * v for v in waves], -1), 2, 0).astype(np.uint8)


def full_sample(seed: int, **changes: Any) -> Sample:
    """A clip with every annotation; normals exist for three of the six frames."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 9, (T, H, W)).astype(np.float32)
    depth[:, :4] = 0
    normal = unit_vectors(rng, (3, H, W))
    normal[:, :, :5] = 0
    segm = rng.integers(1, 41, (T, H, W))
    segm[:, 0] = 255
    values: dict[str, Any] = {
        "key": f"mine-{seed:04d}",
        "group": f"scene_{seed // 2}",
        "rgb": clip(rng),
        "fps": 12.5,
        "depth": depth,
        "normal": normal,
        "segm": segm,
        "frames": {"normal": np.array([0, 2, 5])},
        "pose3d": rng.normal(size=(T, 2, 25, 3)).astype(np.float32),
        "pose3d_valid": rng.integers(0, 3, (T, 2, 25)).astype(np.uint8),
        "pose2d": rng.uniform(0, 40, (T, 2, 25, 2)).astype(np.float32),
        "boxes": Boxes(
            np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0.5, 0.5, 0.75, 1]], np.float32),
            frame=np.array([0, 0, 5]),
            class_id=np.array([1, 2, -1]),
            track=np.array([7, 8, 7]),
            role=np.array([1, 2, 3]),
            side=np.array([-1, 0, -1]),
            contact=np.array([1, 1, -1]),
            partner=np.array([1, 0, -1]),
            labels=np.array([[0, 2], [2, 0]]),
        ),
        "action": 3,
        "actions": Actions(np.array([1, 4]), np.array([0.0, 0.25]), np.array([0.125, 0.5])),
        "camera": Camera(
            np.tile(np.array([[50, 0, 30], [0, 50, 23], [0, 0, 1]], np.float32), (T, 1, 1)),
            np.stack([rotation(0.1 * i) for i in range(T)]),
            up="z",
        ),
        "meta": {"take": seed, "place": "Küche", "tags": ["a", None, 1.5]},
    }
    return Sample(**(values | changes))


def bare_sample(seed: int) -> Sample:
    """A clip without any annotation."""
    return Sample(key=f"mine-{seed:04d}", group=f"scene_{seed // 2}", rgb=clip(np.random.default_rng(seed)), fps=25)
