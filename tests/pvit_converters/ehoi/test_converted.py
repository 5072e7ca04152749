"""Simulated EHOI, converted and read back: maps, boxes, roles, sides, contacts and links against the exact truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_converters.ehoi import EhoiConverter, EhoiOptions
from pvit_converters.engine.run import Job, convert
from pvit_converters.simulate import simulate

Folders = tuple[Path, Path, Path]
HAND = 19


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    base = tmp_path_factory.mktemp("ehoi")
    raw, truth, out = base / "raw", base / "truth", base / "out"
    simulate("ehoi", raw, samples=16, seed=3, preset="tiny", truth=truth)
    report = convert(Job(EhoiConverter, raw, str(out), EhoiOptions()))
    assert report.failed == {}
    assert report.absent == {"real image (--part all takes it)": 1}
    assert report.warnings == {"boxes-without-area-dropped": 1, "some-things-without-mask": 1}
    return raw, truth, out


def pairs(folders: Folders) -> list[tuple[Any, Any]]:
    dataset = pvit_data.open(str(folders[2]))
    found = [(s, np.load(folders[1] / f"{Path(s.meta['file_name']).stem}.npz")) for s in dataset]
    assert len(found) == 16
    return found


def test_maps(folders: Folders) -> None:
    ignored = 0
    for sample, exact in pairs(folders):
        assert (sample.segm[0] == exact["segm"]).all()
        ignored += int((sample.segm == 255).sum())
    assert ignored > 0


def test_boxes_roles_sides_and_links(folders: Folders) -> None:
    sides, contacts = set(), 0
    for sample, exact in pairs(folders):
        height, width = exact["segm"].shape
        boxes = sample.boxes
        corners = np.round(boxes.xyxy * [width, height, width, height], 3)
        assert len(boxes) == len(exact["xyxy"])
        order = [int(np.flatnonzero((np.abs(corners - want) < 0.01).all(1))[0]) for want in exact["xyxy"]]
        assert sorted(order) == list(range(len(boxes)))
        row_of = dict(zip(exact["rows"][:, 0].tolist(), order, strict=True))
        touched = {row_of[p] for p in exact["rows"][:, 3].tolist() if p >= 0}
        for (_, class_id, side, partner), i in zip(exact["rows"].tolist(), order, strict=True):
            assert boxes.class_id[i] == class_id
            assert boxes.role[i] == (2 if class_id == HAND else 1 if i in touched else 0)
            assert boxes.side[i] == side
            assert boxes.partner[i] == (row_of[partner] if partner >= 0 else -1)
            assert boxes.contact[i] == (-1 if class_id != HAND else int(partner >= 0))
            sides.add(side)
            contacts += partner >= 0
    assert sides == {-1, 0, 1}
    assert contacts > 5


def test_stills_splits_and_declaration(folders: Folders) -> None:
    dataset = pvit_data.open(str(folders[2]))
    splits = {s.meta["file_name"]: s.split for s in dataset}
    for sample, exact in pairs(folders):
        assert splits[sample.meta["file_name"]] == str(exact["split"])
        assert sample.rgb.shape[0] == 1
        assert (sample.fps, sample.action, sample.depth) == (0.0, None, None)
        assert sample.key == f"ehoi-{Path(sample.meta['file_name']).stem}"
    spec = dataset.sources["ehoi"]
    assert (spec.spaces["segm"].name, spec.spaces["boxes"].name) == ("ehoi_segm21", "ehoi_boxes20")
    assert spec.tasks == ("boxes", "segm")
    assert any("PViT used the 20,000-image EHOI release" in note for note in spec.notes)


def test_the_jpeg_is_copied_and_pngs_are_not(folders: Folders) -> None:
    converter = EhoiConverter(folders[0], EhoiOptions())
    for item in converter.list_items().items:
        sample = converter.load(item)
        if sample.meta["file_name"].endswith(".jpg"):
            assert sample.rgb.data == (folders[0] / "images" / sample.meta["file_name"]).read_bytes()
        else:
            assert sample.rgb.shape == (1, 72, 128, 3)


def test_depth_only_with_a_scale(folders: Folders) -> None:
    """The simulator stores 255 units for 2.5 m; image 4 has no depth map."""
    converter = EhoiConverter(folders[0], EhoiOptions(depth_scale=2.5 / 255))
    for item in converter.list_items().items:
        sample = converter.load(item)
        exact = np.load(folders[1] / f"{Path(sample.meta['file_name']).stem}.npz")["depth"]
        if sample.meta["file_name"] == "camera_4.png":
            assert sample.depth is None
            continue
        near = exact < 2.4
        assert np.abs(sample.depth[0] - exact)[near].max() <= 2.5 / 255


def test_the_paper_trains_on_everything_synthetic(folders: Folders) -> None:
    items = EhoiConverter(folders[0], EhoiOptions(preset="paper", part="all")).list_items().items
    assert {item.split for item in items} == {"train"}
    assert len(items) == 16


def test_real_images_have_boxes_only(folders: Folders) -> None:
    converter = EhoiConverter(folders[0], EhoiOptions(part="real"))
    listing = converter.list_items()
    assert [(i.key, i.group, i.split) for i in listing.items] == [("ehoi-66_28449", "ehoi-video-66", "test")]
    sample = converter.load(listing.items[0])
    assert sample.segm is None
    assert sample.meta["warnings"] == ["no-masks"]
    np.testing.assert_allclose(sample.boxes.xyxy * [128, 72, 128, 72], [[10, 20, 40, 45]], atol=1e-4)
    assert len(EhoiConverter(folders[0], EhoiOptions(part="all")).list_items().items) == 17
