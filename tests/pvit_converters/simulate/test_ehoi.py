"""The simulated EgoISM-HOI tree: COCO masks that rasterise to the truth, contacts, links, and the known traps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from pvit_converters.simulate import simulate
from pvit_converters.simulate.world.outlines import outlines


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("ehoi")
    simulate("ehoi", folder / "raw", samples=16, preset="tiny", truth=folder / "truth")
    return folder / "raw", folder / "truth"


def load(tree: tuple[Path, Path], name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((tree[0] / "annotations" / f"{name}.json").read_text())
    return value


def rasterise(segmentation: Any, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, dict):
        return np.asarray(coco.decode(coco.frPyObjects(segmentation, height, width))).astype(bool)
    parts = coco.frPyObjects(segmentation, height, width)
    return np.asarray(coco.decode(coco.merge(parts))).astype(bool)


@pytest.mark.parametrize("split", ["train", "val"])
def test_masks_and_boxes_rasterise_to_the_truth(tree: tuple[Path, Path], split: str) -> None:
    data = load(tree, f"{split}_coco")
    kinds = set()
    for image in data["images"]:
        exact = np.load(tree[1] / f"{Path(image['file_name']).stem}.npz")
        with Image.open(tree[0] / "images" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
        rows = [r for r in data["annotations"] if r["image_id"] == image["id"]]
        got = np.zeros((image["height"], image["width"]), int)
        ignored = np.zeros_like(got)
        for r in rows:
            x, y, w, h = r["bbox"]
            if not r["segmentation"]:
                ignored[y : y + h, x : x + w] = 255
                continue
            kinds.add(type(r["segmentation"]).__name__)
            mask = rasterise(r["segmentation"], *got.shape)
            assert mask.sum() == r["area"]
            assert not got[mask].any()
            got[mask] = r["category_id"] + 1
        np.testing.assert_array_equal(np.where((got == 0) & (ignored > 0), 255, got), exact["segm"])
        boxes = [(x, y, min(x + w, image["width"]), y + h) for x, y, w, h in (r["bbox"] for r in rows) if w]
        assert sorted(boxes) == sorted(map(tuple, exact["xyxy"].tolist()))
    assert kinds == {"list", "dict"} if split == "train" else "list" in kinds


def test_contacts_point_to_the_active_object(tree: tuple[Path, Path]) -> None:
    texts = sides = 0
    for split in ("train", "val"):
        data = load(tree, f"{split}_coco")
        for image in data["images"]:
            exact = np.load(tree[1] / f"{Path(image['file_name']).stem}.npz")
            centres = {i: (b[:2] + b[2:]) / 2 for i, b in zip(exact["rows"][:, 0], exact["xyxy"], strict=True)}
            truth = {tuple(b): r for b, r in zip(exact["xyxy"].tolist(), exact["rows"], strict=True)}
            for r in data["annotations"]:
                if r["image_id"] != image["id"] or "hand_side" not in r:
                    continue
                x, y, w, h = r["bbox"]
                _, class_id, side, partner = truth[(x, y, min(x + w, image["width"]), y + h)]
                assert (class_id, side) == (19, r["hand_side"])
                assert r["contact_state"] == (partner >= 0)
                sides += side
                if r["contact_state"]:
                    texts += isinstance(r["dx"], str)
                    tip = np.array([x + w / 2, y + h / 2]) + np.array([float(r["dx"]), float(r["dy"])]) * float(
                        r["magnitude"]
                    )
                    assert np.abs(tip - centres[partner]).max() < 1
    assert texts > 0
    assert sides > 0


def test_linked_hands_of_the_evaluation_file(tree: tuple[Path, Path]) -> None:
    main, hands = load(tree, "val_coco"), load(tree, "val_coco_hands")
    assert len(hands["annotations"]) == sum("hand_side" in r for r in main["annotations"]) > 2
    by_box = {(r["image_id"], tuple(r["bbox"])): r for r in main["annotations"]}
    for r in hands["annotations"]:
        assert r["category_id"] == 0
        if r["contact_state"]:
            assert by_box[(r["image_id"], tuple(r["bbox_obj"]))]["category_id"] == r["category_id_obj"]
        else:
            assert (r["bbox_obj"], r["category_id_obj"]) == ([], -1)
    assert not (tree[0] / "annotations/train_coco_hands.json").exists()


def test_traps(tree: tuple[Path, Path]) -> None:
    train, val, real = (load(tree, n) for n in ("train_coco", "val_coco", "r_test_coco"))
    assert isinstance(train["images"][0]["id"], str)
    assert isinstance(val["images"][0]["id"], int)
    names = [{c["id"]: c["name"] for c in d["categories"]} for d in (train, val)]
    assert names[0][4] == "screwdriver,"
    assert (names[0][19], names[1][19]) == ("hand", "mano")
    assert any(0 in r["bbox"][2:] for r in train["annotations"])
    assert [r["segmentation"] for r in real["annotations"]] == [[]]
    assert (tree[0] / "images/66_28449.jpg").exists()
    assert (tree[0] / "images/camera_3.jpg").exists()
    assert not (tree[0] / "depth_maps/map_4.png").exists()
    with Image.open(tree[0] / "depth_maps/map_0.png") as image:
        assert image.mode == "L"
        values = np.asarray(image).astype(float)
    depth = np.load(tree[1] / "camera_0.npz")["depth"]
    assert np.corrcoef(values.ravel(), depth.ravel())[0, 1] > 0.99, "dark is near"


@pytest.mark.parametrize("seed", range(6))
def test_outlines_rasterise_to_exactly_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((24, 31), bool)
    for _ in range(int(rng.integers(1, 5))):
        y, x = rng.integers(0, 20), rng.integers(0, 26)
        mask[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = True
    mask[rng.integers(24), rng.integers(31)] = True
    found = outlines(mask)
    if found is None:
        return
    np.testing.assert_array_equal(rasterise(found, 24, 31), mask)


def test_a_mask_with_a_hole_has_no_outline() -> None:
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    assert outlines(mask) is None
    touching = np.zeros((4, 4), bool)
    touching[1, 1] = touching[2, 2] = True
    found = outlines(touching)
    assert found is not None
    np.testing.assert_array_equal(rasterise(found, 4, 4), touching)
