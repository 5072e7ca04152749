"""Samples for torchvision's `transforms.v2`: every annotation as a tv_tensor that follows, or refuses, geometric ops.

`to_tv(sample)` gives `{"rgb": Video, "depth": DepthMaps, ...}`, which `v2` transforms take and return.
For pipelines of one's own; the loader does not pass here (see `transforms`, whose oracle this is). torchvision silently
leaves alone what it has no kernel for, so each type registers one for every geometric op: to follow it, or to raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from pvit_data.errors import FormatError, UsageError
from pvit_data.sample.kinect25 import FLIP
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample

FOLLOWED = ("horizontal_flip", "crop", "center_crop", "resize", "resized_crop")
REFUSED = (
    "vertical_flip",
    "pad",
    "rotate",
    "affine",
    "perspective",
    "elastic",
    "five_crop",
    "ten_crop",
)


class Annotation(tv_tensors.TVTensor):  # type: ignore[misc]
    """A tensor with the size of the frames it belongs to.

    Attributes:
        canvas_size: (height, width) of the frames.
        pairs: (left, right) ids that a flip exchanges.
    """

    canvas_size: tuple[int, int]
    pairs: tuple[tuple[int, int], ...]

    def __new__(
        cls, data: Any, canvas_size: tuple[int, int], pairs: tuple[tuple[int, int], ...] = ()
    ) -> Annotation:
        out: Annotation = torch.as_tensor(data).as_subclass(cls)
        out.canvas_size, out.pairs = canvas_size, pairs
        return out

    def like(self, data: Tensor, canvas_size: tuple[int, int] | None = None) -> Annotation:
        """The same kind of annotation with other values, and possibly for another size."""
        return type(self)(data, canvas_size or self.canvas_size, self.pairs)

    def mirrored(self, data: Tensor) -> Tensor:
        """The values in a frame mirrored left to right."""
        raise NotImplementedError

    def cut(self, data: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
        """The values in a part of the frame; joints and sides do not change."""
        return data

    def scaled(self, data: Tensor, height: int, width: int) -> Tensor:
        """The values in a frame resized to (height, width); joints and sides do not change."""
        return data


class DepthMaps(Annotation):
    """Planar depth (t, h, w) in metres, 0 = invalid; resized to the nearest pixel, so that no depths are mixed."""

    def mirrored(self, data: Tensor) -> Tensor:
        """See `Annotation`."""
        return data.flip(-1)

    def cut(self, data: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
        """See `Annotation`."""
        return data[..., top : top + height, left : left + width]

    def scaled(self, data: Tensor, height: int, width: int) -> Tensor:
        """See `Annotation`."""
        out: Tensor = F.resize_image(data, [height, width], InterpolationMode.NEAREST_EXACT)
        return out


class NormalMaps(DepthMaps):
    """Normals (t, 3, h, w) in camera axes, 0 = invalid."""

    def mirrored(self, data: Tensor) -> Tensor:
        """See `Annotation`."""
        return data.flip(-1) * torch.tensor([-1.0, 1, 1]).view(3, 1, 1)


class SegmMaps(DepthMaps):
    """Class ids (t, h, w); a flip exchanges `pairs`."""

    def mirrored(self, data: Tensor) -> Tensor:
        """See `Annotation`."""
        return _exchanged(data.flip(-1), self.pairs)


class Joints3D(Annotation):
    """Joints (t, p, 25, 3) in metres, camera axes."""

    def mirrored(self, data: Tensor) -> Tensor:
        """See `Annotation`."""
        return data[..., list(FLIP), :] * torch.tensor([-1.0, 1, 1])


class JointsValid(Annotation):
    """Validity of joints (t, p, 25)."""

    def mirrored(self, data: Tensor) -> Tensor:
        """See `Annotation`."""
        return data[..., list(FLIP)]


class Joints2D(Annotation):
    """Joints (t, p, 25, 2) in pixels; (0, 0) is unknown and stays so."""

    def mirrored(self, data: Tensor) -> Tensor:
        """See `Annotation`."""
        flipped = data[..., list(FLIP), :]
        return _where_known(
            flipped, torch.stack([self.canvas_size[1] - flipped[..., 0], flipped[..., 1]], -1)
        )

    def cut(self, data: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
        """See `Annotation`."""
        return _where_known(data, data - torch.tensor([left, top]))

    def scaled(self, data: Tensor, height: int, width: int) -> Tensor:
        """See `Annotation`."""
        return data * torch.tensor([width / self.canvas_size[1], height / self.canvas_size[0]])


def _where_known(before: Tensor, after: Tensor) -> Tensor:
    return torch.where((before == 0).all(-1, keepdim=True), before, after)


class Ids(Annotation):
    """One class or side per box (n,); a flip exchanges `pairs`."""

    def mirrored(self, data: Tensor) -> Tensor:
        """See `Annotation`."""
        return _exchanged(data, self.pairs)


class CameraMatrices(Annotation):
    """K (t, 3, 3), for points of the mirrored scene after a flip."""

    def mirrored(self, data: Tensor) -> Tensor:
        """See `Annotation`."""
        flip = torch.tensor([[-1.0, 0, self.canvas_size[1]], [0, 1, 0], [0, 0, 1]])
        return flip @ data @ torch.diag(torch.tensor([-1.0, 1, 1]))

    def cut(self, data: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
        """See `Annotation`."""
        return torch.tensor([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]]) @ data

    def scaled(self, data: Tensor, height: int, width: int) -> Tensor:
        """See `Annotation`."""
        return (
            torch.diag(
                torch.tensor([width / self.canvas_size[1], height / self.canvas_size[0], 1.0])
            )
            @ data
        )


TYPES = (DepthMaps, NormalMaps, SegmMaps, Joints3D, JointsValid, Joints2D, Ids, CameraMatrices)


def to_tv(sample: Sample) -> dict[str, Any]:
    """The sample's pixels and annotations, for `transforms.v2`; what the sample lacks is left out.

    Boxes are `BoundingBoxes` in pixels (`"boxes"`), with `"class_id"` and `"side"` as `Ids`; the rows stay in the
    table's order, so use no transform that drops boxes.

    Raises:
        FormatError: if rgb is not decoded.

    Example:
        >>> from torchvision.transforms import v2
        >>> import numpy as np, pvit_data
        >>> depth = np.array([[[1, 2, 3]]], np.float32)
        >>> views = pvit_data.tv.to_tv(pvit_data.Sample(key="a", height=1, width=3, depth=depth))
        >>> v2.RandomHorizontalFlip(1.0)(views)["depth"].tolist()
        [[[3.0, 2.0, 1.0]]]
    """
    size = (sample.height, sample.width)
    out: dict[str, Any] = {}
    for name, views in VIEWS.items():
        if sample.has(name):
            out |= views(name, sample, size)
    return out


def _one(kind: type[Annotation]) -> View:
    return lambda name, sample, size: {name: kind(getattr(sample, name), size)}


def _rgb(name: str, sample: Sample, size: tuple[int, int]) -> dict[str, Any]:
    if not isinstance(sample.rgb, np.ndarray):
        raise FormatError(
            f"sample '{sample.key}': rgb is still encoded; decode it before transforming"
        )
    return {name: tv_tensors.Video(torch.from_numpy(sample.rgb).permute(0, 3, 1, 2))}


def _normal(name: str, sample: Sample, size: tuple[int, int]) -> dict[str, Any]:
    assert sample.normal is not None
    return {name: NormalMaps(torch.from_numpy(sample.normal).permute(0, 3, 1, 2), size)}


def _segm(name: str, sample: Sample, size: tuple[int, int]) -> dict[str, Any]:
    assert sample.segm is not None
    return {name: SegmMaps(sample.segm.astype(np.int32), size, _pairs(sample.spaces.get(name)))}


def _boxes(name: str, sample: Sample, size: tuple[int, int]) -> dict[str, Any]:
    boxes = sample.boxes
    assert boxes is not None
    corners = (boxes.xyxy * [size[1], size[0], size[1], size[0]]).astype(np.float32)
    return {
        name: tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=size),
        "class_id": Ids(boxes.class_id, size, _pairs(sample.spaces.get(name))),
        "side": Ids(boxes.side, size, ((0, 1),)),
    }


def _camera(name: str, sample: Sample, size: tuple[int, int]) -> dict[str, Any]:
    assert sample.camera is not None
    return {name: CameraMatrices(sample.camera.K, size)}


View = Callable[[str, Sample, tuple[int, int]], dict[str, Any]]

VIEWS: dict[str, View] = {
    "rgb": _rgb,
    "depth": _one(DepthMaps),
    "pose3d": _one(Joints3D),
    "pose3d_valid": _one(JointsValid),
    "pose2d": _one(Joints2D),
    "normal": _normal,
    "segm": _segm,
    "boxes": _boxes,
    "camera": _camera,
}
"""How each attribute of `Sample` is shown to torchvision; action labels have no geometry."""


def _pairs(space: LabelSpace | None) -> tuple[tuple[int, int], ...]:
    return space.pairs if space is not None else ()


def _exchanged(ids: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    out = ids.clone()
    for left, right in pairs:
        out[ids == left], out[ids == right] = right, left
    return out


def _horizontal_flip(inpt: Annotation) -> Annotation:
    return inpt.like(inpt.mirrored(inpt.as_subclass(Tensor)))


def _crop(inpt: Annotation, top: int, left: int, height: int, width: int) -> Annotation:
    full = inpt.canvas_size
    if top < 0 or left < 0 or top + height > full[0] or left + width > full[1]:
        raise UsageError(
            f"a crop of {height} x {width} at ({top}, {left}) leaves the frame of {full[0]} x {full[1]}"
        )
    return inpt.like(inpt.cut(inpt.as_subclass(Tensor), top, left, height, width), (height, width))


def _center_crop(inpt: Annotation, output_size: list[int]) -> Annotation:
    height, width = output_size if len(output_size) == 2 else output_size * 2
    # torchvision rounds half to even here: transforms/v2/functional/_geometry.py, _center_crop_compute_crop_anchor
    top, left = (
        round((full - part) / 2.0)
        for full, part in zip(inpt.canvas_size, (height, width), strict=True)
    )
    return _crop(inpt, top, left, height, width)


def _resize(
    inpt: Annotation, size: list[int] | None, max_size: int | None = None, **ignored: Any
) -> Annotation:
    # Let torchvision itself compute the new size, by the kernel that only changes numbers.
    _, (height, width) = F.resize_keypoints(
        torch.zeros(1, 2), size, inpt.canvas_size, max_size=max_size
    )
    return inpt.like(inpt.scaled(inpt.as_subclass(Tensor), height, width), (height, width))


def _resized_crop(
    inpt: Annotation, top: int, left: int, height: int, width: int, size: list[int], **ignored: Any
) -> Annotation:
    return _resize(_crop(inpt, top, left, height, width), size)


def _refuse(name: str, kind: type[Annotation]) -> Callable[..., Annotation]:
    def kernel(inpt: Annotation, *args: Any, **kwargs: Any) -> Annotation:
        raise UsageError(
            f"{kind.__name__} cannot follow '{name}'; use {', '.join(FOLLOWED)}, or leave the annotation out"
        )

    return kernel


for _kind in TYPES:
    for _name in FOLLOWED:
        F.register_kernel(_name, _kind)(globals()[f"_{_name}"])
    for _name in REFUSED:
        F.register_kernel(_name, _kind)(_refuse(_name, _kind))
