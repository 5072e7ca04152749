"""Annotations under torchvision's transforms: every type answers every geometric op, and agrees with our own."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.transforms.v2.functional import _geometry
from torchvision.transforms.v2.functional._utils import _KERNEL_REGISTRY

from pvit_data import tv
from pvit_data.clips import transforms
from pvit_data.clips.geometry import Geometry
from pvit_data.errors import UsageError
from tests.pvit_data.memory_set import SEGM, synthetic


def geometric_ops() -> set[str]:
    """Names of torchvision's geometric functionals: those of its geometry module that dispatch on the type."""
    dispatched = {f.__name__ for f in _KERNEL_REGISTRY}
    return {
        n for n, f in inspect.getmembers(_geometry, inspect.isfunction) if n in dispatched and not n.startswith("_")
    }


def test_every_type_registers_or_refuses_every_geometric_op() -> None:
    assert set(tv.FOLLOWED) | set(tv.REFUSED) == geometric_ops()
    for name in geometric_ops():
        for kind in tv.TYPES:
            assert kind in _KERNEL_REGISTRY[getattr(F, name)], (name, kind)


def test_what_cannot_be_followed_is_refused_with_a_remedy() -> None:
    views = tv.to_tv(synthetic("s"))
    with pytest.raises(UsageError, match="DepthMaps cannot follow 'rotate'; use horizontal_flip"):
        F.rotate(views["depth"], 10)
    with pytest.raises(UsageError, match="Joints3D cannot follow 'vertical_flip'"):
        v2.RandomVerticalFlip(1.0)({"pose3d": views["pose3d"]})
    with pytest.raises(UsageError, match="leaves the frame"):
        F.crop(views["camera"], 30, 0, 20, 20)


@pytest.mark.parametrize("flip", [False, True])
def test_torchvision_and_our_own_transform_agree_on_everything(flip: bool) -> None:
    sample = synthetic("s")
    assert sample.boxes is not None
    sample.boxes.class_id[:] = [2, 0] * 6
    sample.spaces = {"segm": SEGM, "boxes": SEGM}
    draw = Geometry((40, 60), (4, 9), (30, 40), (45, 20), (0, 0), (45, 20), flip)
    ours = transforms.apply(sample, draw)
    steps = [lambda x: F.resized_crop(x, 4, 9, 30, 40, [45, 20], antialias=True)]
    steps += [F.horizontal_flip] if flip else []
    theirs = tv.to_tv(sample)
    for step in steps:
        theirs = {name: step(value) for name, value in theirs.items()}
    assert ours.boxes is not None
    assert ours.camera is not None
    boxes = theirs["boxes"].numpy() / [20, 45, 20, 45]
    np.testing.assert_allclose(ours.boxes.xyxy, boxes.clip(0, 1), atol=1e-5)
    np.testing.assert_array_equal(ours.boxes.side, theirs["side"])
    np.testing.assert_array_equal(ours.boxes.class_id, theirs["class_id"])
    np.testing.assert_allclose(ours.camera.K, theirs["camera"], atol=1e-3)
    np.testing.assert_array_equal(ours.rgb, theirs["rgb"].permute(0, 2, 3, 1))
    for name in ("depth", "segm", "pose3d_valid"):
        np.testing.assert_array_equal(getattr(ours, name), theirs[name])
    np.testing.assert_array_equal(ours.normal, theirs["normal"].permute(0, 2, 3, 1))
    np.testing.assert_allclose(ours.pose3d, theirs["pose3d"], atol=1e-6)
    np.testing.assert_allclose(ours.pose2d, theirs["pose2d"], atol=1e-3)


def test_a_pipeline_of_transforms_keeps_annotations_together() -> None:
    torch.manual_seed(0)
    pipeline = v2.Compose(
        [v2.RandomResizedCrop((24, 32)), v2.RandomHorizontalFlip(0.5), v2.CenterCrop(20), v2.Resize(16)]
    )
    for _ in range(5):
        views = pipeline(tv.to_tv(synthetic("s")))
        assert views["rgb"].shape[-2:] == views["depth"].shape[-2:] == views["normal"].shape[-2:] == (16, 16)
        assert views["segm"].canvas_size == views["camera"].canvas_size == (16, 16)
        uv = torch.einsum("tij,tpnj->tpni", views["camera"].as_subclass(torch.Tensor), views["pose3d"])
        torch.testing.assert_close(
            uv[..., :2] / uv[..., 2:], views["pose2d"].as_subclass(torch.Tensor), atol=2e-3, rtol=0
        )


def test_encoded_pixels_are_refused() -> None:
    from pvit_data.errors import FormatError
    from pvit_data.sample.sample import EncodedMedia, Sample

    with pytest.raises(FormatError, match="still encoded"):
        tv.to_tv(Sample(key="e", rgb=EncodedMedia(b"", "mp4"), num_frames=1))
