"""A dataset in memory, and samples whose truth is known: for tests of mixing and loading."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from pvit_data.codecs.window import Window
from pvit_data.errors import FormatError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Boxes, Camera, Sample

SEGM = LabelSpace("rooms", ("wall", "floor", "left_hand", "right_hand"), pairs=((2, 3),))
ACTION = LabelSpace("verbs", ("left", "right", "up"), pairs=((0, 1),))
PER_FRAME = ("rgb", "depth", "normal", "segm", "pose3d", "pose2d")


class MemorySet:
    """`SampleSet` over a list of samples.

    Args:
        samples: what it holds.
        tasks: tasks by source.
        broken: keys whose reading fails.
        hook: called with the key before a sample is read.
    """

    def __init__(
        self,
        samples: Iterable[Sample],
        tasks: dict[str, tuple[str, ...]] | None = None,
        broken: Collection[str] = (),
        hook: Callable[[str], None] | None = None,
    ) -> None:
        self.samples = list(samples)
        self.broken, self.hook = set(broken), hook
        names = sorted({s.source for s in self.samples})
        self.sources = {n: SimpleNamespace(name=n, tasks=(tasks or {}).get(n, ())) for n in names}

    def __len__(self) -> int:
        return len(self.samples)

    def spaces_of(self, source: str) -> Any:
        return next(s.spaces for s in self.samples if s.source == source)

    def column(self, name: str) -> np.ndarray:
        if name.startswith("has_"):
            return np.array([s.has(name[4:]) for s in self.samples])
        if name == "frames":
            return np.array([s.num_frames for s in self.samples])
        if name == "action":
            return np.array([s.action if isinstance(s.action, int) else -1 for s in self.samples])
        return np.array([getattr(s, name) for s in self.samples])

    def read(
        self,
        row: int,
        fields: Collection[str] | None = None,
        frames: np.ndarray | None = None,
        grid: tuple[np.ndarray, np.ndarray] | None = None,
        window: Window | None = None,
    ) -> Sample:
        sample = self.samples[row]
        if self.hook is not None:
            self.hook(sample.key)
        if sample.key in self.broken:
            raise FormatError(f"sample '{sample.key}': broken on purpose")
        optional = (*PER_FRAME, "pose3d_valid", "boxes", "camera", "action")
        wanted = set(optional if fields is None else fields)
        wanted |= {"pose3d_valid"} if "pose3d" in wanted else set()
        out = replace(sample, frames={}, **{name: None for name in optional if name not in wanted})
        if window is not None and isinstance(out.rgb, np.ndarray):
            out.rgb = out.rgb[:, window.top : window.top + window.height, window.left : window.left + window.width]
        for name in ("depth", "normal", "segm"):
            if grid is not None and getattr(out, name) is not None:
                setattr(out, name, getattr(out, name)[:, grid[0]][:, :, grid[1]])
        if frames is None:
            return replace(out, frames=dict(sample.frames))
        for name in PER_FRAME:
            value = getattr(out, name)
            if value is None:
                continue
            have = sample.frames_of(name)
            picks = [int(np.flatnonzero(have == f)[0]) for f in frames if f in have]
            out.frames[name] = have[picks]
            setattr(out, name, value[picks])
            if name == "pose3d" and out.pose3d_valid is not None:
                out.pose3d_valid = out.pose3d_valid[picks]
        if out.boxes is not None:
            out.boxes = out.boxes.keep(np.isin(out.boxes.frame, frames))
        return out


def camera(height: int, width: int, frames: int = 1, tilt: float = 0.0) -> Camera:
    """A camera 2 m above the floor, its centre off the middle; with `tilt`, its matrix is not triangular."""
    k = np.array([[width * 0.9, 1.5, width * 0.45], [0, width * 0.9, height * 0.55], [0, 0, 1]])
    c, s = np.cos(tilt), np.sin(tilt)
    k = k @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    pose = np.eye(4)
    pose[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]  # world z up: camera y points down, z to world y
    pose[2, 3] = 2
    return Camera(
        np.repeat(k[None], frames, 0).astype(np.float32), np.repeat(pose[None], frames, 0).astype(np.float32), "z"
    )


def plane(cam: Camera, height: int, width: int, normal: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Depth and normals of the plane n . x = -distance seen by a camera: the ray of each pixel centre, intersected."""
    v, u = np.mgrid[:height, :width] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(cam.K[0].astype(float)).T
    rays /= rays[..., 2:]
    depth = -distance / (rays @ normal)
    return depth.astype(np.float32), np.broadcast_to(normal, rays.shape).astype(np.float32)


def synthetic(
    key: str, frames: int = 6, height: int = 40, width: int = 60, source: str = "synth", seed: int = 0
) -> Sample:
    """A clip with every annotation; dense maps on even frames only."""
    rng = np.random.default_rng([seed, *key.encode()])
    even = np.arange(0, frames, 2)
    cam = camera(height, width, frames)
    normal = np.array([0.1, 0.2, -1]) / np.linalg.norm([0.1, 0.2, -1])
    depth, normals = plane(cam, height, width, normal, 3 + rng.random())
    joints = rng.normal(0, 0.4, (frames, 1, 25, 3)).astype(np.float32) + np.float32([0, 0, 4])
    uv = np.einsum("ij,tpnj->tpni", cam.K[0], joints)
    return Sample(
        key=key,
        source=source,
        group=key,
        rgb=rng.integers(0, 256, (frames, height, width, 3), np.uint8),
        num_frames=frames,
        height=height,
        width=width,
        fps=30.0,
        depth=np.repeat(depth[None], len(even), 0),
        normal=np.repeat(normals[None], len(even), 0),
        segm=rng.integers(0, 4, (len(even), height, width)).astype(np.uint8),
        frames=dict.fromkeys(("depth", "normal", "segm"), even),
        pose3d=joints,
        pose3d_valid=np.full((frames, 1, 25), 2, np.uint8),
        pose2d=(uv[..., :2] / uv[..., 2:]).astype(np.float32),
        boxes=Boxes(
            np.tile(np.float32([[0.3, 0.3, 0.5, 0.6], [0.4, 0.4, 0.7, 0.7]]), (frames, 1)),
            frame=np.repeat(np.arange(frames), 2),
            role=np.tile([2, 1], frames),
            side=np.tile([0, -1], frames),
        ),
        camera=cam,
        spaces={"segm": SEGM, "action": ACTION},
    )


def real(key: str, frames: int = 9, height: int = 36, width: int = 50, source: str = "real") -> Sample:
    """A clip with an action label only."""
    rng = np.random.default_rng([7, *key.encode()])
    rgb = rng.integers(0, 256, (frames, height, width, 3), np.uint8)
    label = int(rng.integers(0, 3))
    return Sample(
        key=key, source=source, rgb=rgb, num_frames=frames, height=height, width=width, fps=12.0, action=label,
        spaces={"action": ACTION},
    )  # fmt: skip


def still(key: str, source: str = "stills") -> Sample:
    """A single image with depth only."""
    return replace(
        synthetic(key, 1, source=source), fps=0.0, normal=None, segm=None, pose3d=None, pose3d_valid=None, pose2d=None,
        boxes=None, frames={},
    )  # fmt: skip
