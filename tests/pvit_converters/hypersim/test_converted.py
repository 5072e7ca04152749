"""Simulated Hypersim, converted and read back from shards: every annotation against the simulator's exact truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_converters.hypersim import HypersimConverter, HypersimOptions
from pvit_converters.simulate import simulate


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    base = tmp_path_factory.mktemp("simulated")
    raw, truth, out = base / "raw", base / "truth", base / "out"
    simulate("hypersim", raw, samples=20, seed=5, preset="tiny", truth=truth)
    report = convert(Job(HypersimConverter, raw, str(out), HypersimOptions()))
    assert report.failed == {}
    assert report.absent == {"no file of the frame present": 1}
    assert report.warnings == {"bad-rotation": 1}
    return raw, truth, out


def samples_with_truth(folders: tuple[Path, Path, Path]) -> list[tuple[Any, Any]]:
    _, truth, out = folders
    pairs = []
    for sample in pvit_data.open(str(out)):
        place = truth / sample.meta["scene"] / sample.meta["camera"] / f"frame.{sample.meta['frame']:04d}.npz"
        pairs.append((sample, np.load(place)))
    assert len(pairs) == len(list(truth.rglob("*.npz")))
    return pairs


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """The largest angle between two fields of vectors, in degrees."""
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return float(np.degrees(np.arctan2(cross, (a * b).sum(-1))).max())


def test_depth(folders: tuple[Path, Path, Path]) -> None:
    kinds = set()
    for sample, truth in samples_with_truth(folders):
        planar, depth = truth["depth"], sample.depth[0]
        valid = planar > 0
        assert ((depth > 0) == valid).all()
        assert (np.abs(depth - planar)[valid] <= 0.0006 + 0.001 * planar[valid]).all()
        kinds.add(sample.meta["camera_kind"])
    assert kinds == {"standard", "shifted", "tilted"}


def test_camera(folders: tuple[Path, Path, Path]) -> None:
    for sample, truth in samples_with_truth(folders):
        k = sample.camera.K[0].astype(float)
        np.testing.assert_allclose(k / k[2, 2], truth["K"] / truth["K"][2, 2], rtol=1e-5, atol=1e-5)
        assert sample.camera.up == "z"
        pose = sample.camera.world_from_camera
        if truth["rigid"]:
            np.testing.assert_allclose(pose[0], truth["world_from_camera"], atol=2e-4)


def test_normals(folders: tuple[Path, Path, Path]) -> None:
    without = []
    for sample, truth in samples_with_truth(folders):
        if sample.normal is None:
            without.append((sample.meta["scene"], bool(truth["rigid"])))
            continue
        valid = truth["normal"].any(axis=-1)
        assert (sample.normal[0].any(axis=-1) == valid).all()
        assert angle(sample.normal[0][valid], truth["normal"][valid]) < 0.5
        assert angle(sample.normal_in("world")[0][valid], truth["normal_world"][valid]) < 0.6
    assert set(without) == {("ai_901_004", True), ("ai_901_005", False)}


def test_labels_and_boxes(folders: tuple[Path, Path, Path]) -> None:
    for sample, truth in samples_with_truth(folders):
        assert (sample.segm[0] == truth["segm"]).all()
        height, width = truth["segm"].shape
        order = np.argsort(truth["box_instance"])
        assert sample.boxes.track.tolist() == truth["box_instance"][order].tolist()
        pixels = sample.boxes.xyxy * [width, height, width, height]
        np.testing.assert_allclose(pixels, truth["box_xyxy"][order], atol=1e-3)
        for track, name in zip(sample.boxes.track, sample.boxes.class_id, strict=True):
            classes = truth["segm"][truth["instance"] == track]
            expected = np.bincount(classes[classes != 255], minlength=1).argmax() if (classes != 255).any() else -1
            assert name == expected


def test_splits_groups_and_declaration(folders: tuple[Path, Path, Path]) -> None:
    dataset = pvit_data.open(str(folders[2]))
    assert {str(s) for s in dataset.column("split")} == {"train", "val", "test"}
    spec = dataset.sources["hypersim"]
    assert (spec.licence, spec.redistributable, spec.tasks) == ("CC-BY-SA-3.0", True, ("depth", "normal"))
    assert spec.spaces["segm"].name == "nyu40"
    assert any(note.startswith("check of one frame of") for note in spec.notes), "the manifest keeps the self-check"
    assert all(
        str(k).startswith(f"hypersim-{g}-cam_")
        for k, g in zip(dataset.column("key"), dataset.column("group"), strict=True)
    )


def test_lossless_depth_option(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    raw = folders[0]
    settings = Settings(limit=2, encodings={"depth": "float32"})
    convert(Job(HypersimConverter, raw, str(tmp_path / "out"), HypersimOptions(), settings))
    converter = HypersimConverter(raw, HypersimOptions())
    items = {item.key: item for item in converter.list_items().items}
    for sample in pvit_data.open(str(tmp_path / "out")):
        loaded = converter.load(items[sample.key])
        assert (sample.depth == loaded.depth).all()
