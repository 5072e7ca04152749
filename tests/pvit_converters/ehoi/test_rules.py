"""EHOI's names, ids, masks, links and pitfalls (spec ehoi), on small trees written by hand."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from pvit_converters.ehoi import EHOI_BOXES, EHOI_SEGM, EhoiConverter, EhoiOptions
from pvit_converters.ehoi.classes import OBJECTS, class_of
from pvit_converters.ehoi.layout import is_real, split_of
from pvit_converters.ehoi.links import overlap
from pvit_converters.ehoi.masks import runs_of, unpack
from pvit_converters.engine.preview import preview
from pvit_converters.engine.run import Job
from pvit_data.errors import SourceError
from pvit_data.sample.sample import Sample

TABLE = """0 power supply|5 pliers|10 register|15 left red button
1 oscilloscope|6 welder probe tip|11 electric screwdriver battery|16 left green button
2 welder station|7 oscilloscope probe tip|12 working area|17 right red button
3 electric screwdriver|8 low voltage board|13 welder base|18 right green button
4 screwdriver|9 high voltage board|14 socket|19 hand"""


def test_classes_are_the_published_ones() -> None:
    rows = [cell.split(" ", 1) for line in TABLE.splitlines() for cell in line.split("|")]
    assert {int(i): name for i, name in rows} == dict(enumerate(EHOI_BOXES.classes))
    assert EHOI_SEGM.classes == ("background", *OBJECTS, "hand")
    for space in (EHOI_BOXES, EHOI_SEGM):
        for a, b in space.pairs:
            assert space.classes[a].replace("left", "right") == space.classes[b]
    assert [class_of(n) for n in ("screwdriver,", " Screwdriver ", "power_supply", "mano", "hand", "glove")] == [
        4, 4, 0, 19, 19, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "split", "real"),
    [("train_coco.json", "train", False), ("val_coco.json", "val", False), ("r_test_coco.json", "test", True),
     ("s_test_coco.json", "test", False), ("r_val_coco.json", "val", True), ("all_coco.json", "train", False)],
)  # fmt: skip
def test_splits_by_file_name(name: str, split: str, real: bool) -> None:
    assert (split_of(name), is_real(name)) == (split, real)


# ---- trees written by hand -------------------------------------------------------------------------------------

SIZE = (48, 64)


def rectangle(x: int, y: int, w: int, h: int) -> list[list[int]]:
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def thing(number: int, name: int, x: int, y: int, w: int, h: int, **more: Any) -> dict[str, Any]:
    row = {"id": number, "image_id": "camera_33.png", "category_id": name, "bbox": [x, y, w, h], "area": w * h}
    return row | {"iscrowd": 0, "segmentation": rectangle(x, y, w, h)} | more


def hand(number: int, x: int, y: int, side: int, contact: int, **more: Any) -> dict[str, Any]:
    return thing(number, 19, x, y, 8, 6, hand_side=side, contact_state=contact, keypoints=[], gloves=1) | more


def make(
    root: Path,
    rows: list[dict[str, Any]],
    name: str = "train",
    images: list[dict[str, Any]] | None = None,
    hands: list[dict[str, Any]] | None = None,
    categories: list[dict[str, Any]] | None = None,
) -> None:
    for folder in ("annotations", "images", "depth_maps"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    given = images or [{"id": "camera_33.png", "file_name": "camera_33.png", "width": SIZE[1], "height": SIZE[0]}]
    for image in given:
        path = root / "images" / image["file_name"]
        if not path.exists():
            Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(path)
    names = [{"id": i, "name": n, "supercategory": ""} for i, n in enumerate(EHOI_BOXES.classes)]
    values = {"info": {}, "licenses": {}, "images": given, "categories": categories or names, "annotations": rows}
    (root / f"annotations/{name}_coco.json").write_text(json.dumps(values))
    if hands is not None:
        (root / f"annotations/{name}_coco_hands.json").write_text(json.dumps(values | {"annotations": hands}))


def load(root: Path, **options: Any) -> Sample:
    converter = EhoiConverter(root, EhoiOptions(**options))
    return converter.load(converter.list_items().items[0])


def notes(root: Path, **options: Any) -> str:
    return "\n".join(EhoiConverter(root, EhoiOptions(**options)).list_items().notes)


def test_the_first_class_is_no_background(tmp_path: Path) -> None:
    make(tmp_path, [thing(1, 0, 10, 5, 20, 10)])
    sample = load(tmp_path)
    assert sample.segm is not None
    assert sample.boxes is not None
    assert (sample.segm[0, 5:15, 10:30] == 1).all()
    assert int((sample.segm == 1).sum()) == 200
    assert sample.boxes.class_id.tolist() == [0]


def test_small_things_lie_on_large_ones_and_hands_on_top(tmp_path: Path) -> None:
    make(tmp_path, [hand(1, 20, 10, 0, 0), thing(2, 5, 18, 8, 10, 10), thing(3, 12, 0, 0, 60, 40)])
    segm = load(tmp_path).segm
    assert segm is not None
    assert [segm[0, 12, 22], segm[0, 9, 19], segm[0, 1, 1], segm[0, 45, 60]] == [20, 6, 13, 0]


def test_parts_of_a_polygon_belong_together_and_thin_ones_are_dropped(tmp_path: Path) -> None:
    parts = [*rectangle(0, 0, 4, 4), *rectangle(10, 10, 4, 4), [1, 1, 2, 2], [3], "x"]
    make(tmp_path, [thing(1, 5, 0, 0, 14, 14, segmentation=parts)])
    segm = load(tmp_path).segm
    assert segm is not None
    assert int((segm == 6).sum()) == 32


def test_a_bare_list_of_numbers_is_one_polygon(tmp_path: Path) -> None:
    make(tmp_path, [thing(1, 5, 10, 10, 4, 4, segmentation=rectangle(10, 10, 4, 4)[0])])
    segm = load(tmp_path).segm
    assert segm is not None
    assert int((segm == 6).sum()) == 16


def test_things_without_mask_are_ignored_inside_their_box(tmp_path: Path) -> None:
    make(tmp_path, [thing(1, 5, 10, 10, 10, 10, segmentation=[]), thing(2, 6, 15, 10, 10, 10)])
    sample = load(tmp_path)
    assert sample.segm is not None
    assert (sample.segm[0, 10:20, 10:15] == 255).all()
    assert (sample.segm[0, 10:20, 15:25] == 7).all(), "what is drawn there stays"
    assert "some-things-without-mask" in sample.meta["warnings"]
    bare = thing(1, 5, 10, 10, 10, 10)
    del bare["segmentation"]
    make(tmp_path / "none", [bare])
    assert load(tmp_path / "none").segm is None, "no mask at all means not annotated"
    make(tmp_path / "empty", [])
    empty = load(tmp_path / "empty")
    assert empty.segm is not None
    assert not empty.segm.any()
    assert empty.boxes is not None
    assert len(empty.boxes) == 0


def test_run_lengths_of_both_kinds(tmp_path: Path) -> None:
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[5:20, 7:30] = 1
    mask[8, 9] = 0
    text = coco.encode(mask)
    plain = {"size": list(SIZE), "counts": unpack(text["counts"])}
    for value in (plain, {"size": list(SIZE), "counts": text["counts"].decode()}):
        make(tmp_path, [thing(1, 5, 7, 5, 23, 15, segmentation=value)])
        segm = load(tmp_path).segm
        assert segm is not None
        assert ((segm[0] == 6) == mask.astype(bool)).all()


@given(st.integers(0, 2**32 - 1))
def test_unpacking_agrees_with_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.asfortranarray(rng.uniform(size=(13, 17)) < rng.uniform()).astype(np.uint8)
    counts = unpack(coco.encode(mask)["counts"])
    values = np.repeat(np.arange(len(counts)) % 2, counts)
    np.testing.assert_array_equal(values.reshape(17, 13).T, mask)


@pytest.mark.parametrize(
    "value",
    [
        {"size": [48, 64], "counts": [1 << 40]}, {"size": [48, 64], "counts": [-5, 3077]}, {"size": [48, 64]},
        {"size": [1 << 20, 1 << 20], "counts": [1 << 40]}, {"size": [48, 64], "counts": [3000]},
        {"size": [48, 64], "counts": "zzzzzzzzzzzzzzzzzzzzzzzz"}, {"size": [48, 64], "counts": "\x00"}, {},
        {"size": 5, "counts": [3072]}, {"size": [48, 64], "counts": "`"}, {"size": [48, 64], "counts": ["a"]},
        [[1e9, 0, 0, 1e9, 5, 5]], [[float("nan")] * 8], [[-500, 0, 0, 0, 5, 5]], [[0.0, 0.0, 5.0] * 400_000],
    ],
)  # fmt: skip
def test_hostile_masks_never_reach_pycocotools(tmp_path: Path, value: Any) -> None:
    make(tmp_path, [thing(1, 5, 10, 10, 10, 10, segmentation=value), thing(2, 6, 30, 10, 5, 5)])
    sample = load(tmp_path)
    assert sample.segm is not None
    assert (sample.segm[0, 10:20, 10:20] == 255).all()
    assert (sample.segm[0, 10:15, 30:35] == 7).all()
    if isinstance(value, dict):
        assert runs_of(value, *SIZE) is None


def test_ids_may_be_numbers_or_texts(tmp_path: Path) -> None:
    images = [{"id": 33, "file_name": "camera_33.png", "width": 64, "height": 48}]
    for number, key in enumerate((33, "33", 33.0)):
        make(tmp_path / str(number), [thing(1, 5, 1, 1, 5, 5) | {"image_id": key}], images=images)
        if key != 33.0:
            assert len(load(tmp_path / str(number)).boxes or []) == 1
    make(tmp_path / "x", [thing(1, 5, 1, 1, 5, 5) | {"image_id": "other"}, thing(2, 5, 1, 1, 5, 5)])
    assert "train_coco.json: 1 x annotation of an unknown image" in notes(tmp_path / "x")


def test_members_may_come_in_any_order(tmp_path: Path) -> None:
    make(tmp_path, [thing(1, 5, 10, 10, 5, 5)])
    path = tmp_path / "annotations/train_coco.json"
    values = json.loads(path.read_text())
    for order in (("annotations", "images", "categories"), ("images", "annotations", "categories", "info")):
        path.write_text(json.dumps({name: values[name] for name in order}))
        os.utime(path, ns=(0, len(order)))
        boxes = load(tmp_path).boxes
        assert boxes is not None
        assert boxes.class_id.tolist() == [5]
    path.write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(
        SourceError, match=r"not a COCO file .*KeyError\('categories'\); found \['annotations', 'images'\]"
    ):
        load(tmp_path)


def test_unknown_values_are_minus_one(tmp_path: Path) -> None:
    odd = hand(1, 5, 5, 0, 0) | {"hand_side": 2, "contact_state": None}
    bare = hand(2, 25, 5, 0, 0)
    del bare["hand_side"], bare["contact_state"]
    text = hand(3, 45, 5, 0, 0) | {"hand_side": "1", "contact_state": "0"}
    make(tmp_path, [odd, bare, text])
    boxes = load(tmp_path).boxes
    assert boxes is not None
    assert boxes.side.tolist() == [-1, -1, 1]
    assert boxes.contact.tolist() == [-1, -1, 0]
    assert boxes.role.tolist() == [2, 2, 2]


def test_active_objects_are_found_by_id_then_box_then_offset(tmp_path: Path) -> None:
    """Hands at (9, y); things of class 5, 6, 5 around (33, 33), (53, 33) and (13, 43)."""
    things = [thing(10, 5, 30, 30, 6, 6), thing(11, 6, 50, 30, 6, 6), thing(12, 5, 10, 40, 6, 6)]

    def towards(x: float, y: float, start: float) -> dict[str, float]:
        length = float(np.hypot(x - 9, y - start))
        return {"dx": (x - 9) / length, "dy": (y - start) / length, "magnitude": length}

    by_id = hand(1, 5, 0, 0, 1, id_obj=11, **towards(33, 33, 3))
    by_box = hand(2, 5, 8, 0, 1, **towards(13, 43, 11))
    by_offset = hand(3, 5, 16, 0, 1, **{k: str(v) for k, v in towards(33, 33, 19).items()})
    nothing = hand(4, 5, 24, 0, 1, dx=0, dy=-1, magnitude=30)
    free = hand(5, 5, 32, 0, 0, **towards(33, 33, 35))
    links = [
        {"id": 2, "image_id": "camera_33.png", "bbox": [5, 8, 8, 6], "category_id": 0, "category_id_obj": 5,
         "bbox_obj": [10.2, 40, 6, 6], "contact_state": 1, "hand_side": 0},
        {"id": 5, "image_id": "camera_33.png", "bbox": [5, 32, 8, 6], "category_id_obj": -1, "bbox_obj": []},
    ]  # fmt: skip
    make(tmp_path, [by_id, by_box, by_offset, nothing, free, *things], hands=links)
    boxes = load(tmp_path).boxes
    assert boxes is not None
    assert boxes.partner.tolist() == [6, 7, 5, -1, -1, -1, -1, -1]
    assert boxes.role.tolist() == [2, 2, 2, 2, 2, 1, 1, 1]
    found = notes(tmp_path)
    assert "4 in contact (object found by id 1, by linked box 1, by offset 1, not 1)" in found
    assert "the offset points to another object than the link for 1 of 2 hands" in found


def test_links_by_box_where_ids_differ_between_the_files(tmp_path: Path) -> None:
    rows = [hand(1, 5, 30, 1, 1), thing(2, 6, 50, 30, 6, 6), thing(3, 6, 20, 30, 6, 6)]
    link = {
        "id": 77,
        "image_id": "camera_33.png",
        "bbox": [5.5, 30, 8, 6],
        "category_id_obj": 6,
        "bbox_obj": [20, 30, 6, 6],
    }
    make(tmp_path, rows, hands=[link])
    boxes = load(tmp_path).boxes
    assert boxes is not None
    assert boxes.partner.tolist() == [2, -1, -1]
    far = link | {"bbox": [7, 30, 8, 6]}
    make(tmp_path / "far", rows, hands=[far])
    assert load(tmp_path / "far").meta["warnings"] == ["contact-without-object"]
    wrong_class = link | {"category_id_obj": 5}
    make(tmp_path / "class", rows, hands=[wrong_class])
    assert load(tmp_path / "class").meta["warnings"] == ["contact-without-object"]


def test_ids_of_the_file_of_hands_may_count_anew(tmp_path: Path) -> None:
    """Its hands 1 and 2 are other ones than the main file's; boxes tell."""
    rows = [hand(1, 5, 30, 1, 1), hand(2, 40, 5, 0, 1), thing(3, 6, 50, 30, 6, 6), thing(4, 5, 20, 30, 6, 6)]
    link = {"image_id": "camera_33.png", "category_id": 0}
    hands = [
        link | {"id": 1, "bbox": [40, 5, 8, 6], "category_id_obj": 6, "bbox_obj": [50, 30, 6, 6]},
        link | {"id": 2, "bbox": [90, 5, 8, 6], "category_id_obj": 7, "bbox_obj": [90, 30, 6, 6]},
        link | {"id": 9, "bbox": [5, 30, 8, 6], "category_id_obj": 5, "bbox_obj": [20, 30, 6, 6]},
    ]
    make(tmp_path, rows, hands=hands)
    boxes = load(tmp_path).boxes
    assert boxes is not None
    assert boxes.partner.tolist() == [3, 2, -1, -1]


def test_two_hands_may_touch_one_object(tmp_path: Path) -> None:
    rows = [hand(1, 5, 30, 0, 1, id_obj=3), hand(2, 50, 30, 1, 1, id_obj="3"), thing(3, 6, 30, 30, 6, 6)]
    make(tmp_path, rows)
    boxes = load(tmp_path).boxes
    assert boxes is not None
    assert boxes.partner.tolist() == [2, 2, -1]
    assert boxes.role.tolist() == [2, 2, 1]


def test_boxes_are_clipped_and_empty_ones_dropped(tmp_path: Path) -> None:
    rows = [thing(1, 5, 60, 40, 10, 10), thing(2, 5, 5, 5, 0, 7), thing(3, 5, 70, 5, 5, 5), thing(4, 6, -3, -2, 8, 8)]
    rows.append(thing(5, 6, 1, 1, 5, 5) | {"bbox": [1, 2, "x", 3]})
    make(tmp_path, rows)
    sample = load(tmp_path)
    assert sample.boxes is not None
    np.testing.assert_allclose(sample.boxes.xyxy * [64, 48, 64, 48], [[60, 40, 64, 48], [0, 0, 5, 6]], atol=1e-4)
    assert "boxes-without-area-dropped" in sample.meta["warnings"]
    assert sample.meta["annotation_ids"] == ["1", "4"]
    assert "1 x annotation without a box" in notes(tmp_path)


def test_images_of_another_size_are_scaled_or_refused(tmp_path: Path) -> None:
    images = [{"id": "camera_33.png", "file_name": "camera_33.png", "width": 128, "height": 96}]
    runs = {"size": [96, 128], "counts": [96 * 64, 96 * 64]}
    make(tmp_path, [thing(1, 5, 20, 10, 40, 20), thing(2, 6, 64, 0, 64, 96, segmentation=runs)], images=images)
    sample = load(tmp_path)
    assert sample.boxes is not None
    assert sample.segm is not None
    np.testing.assert_allclose(sample.boxes.xyxy[0] * [64, 48, 64, 48], [10, 5, 30, 15], atol=1e-4)
    assert (sample.segm[0, 5:15, 10:30] == 6).all()
    assert (sample.segm[0, :, 32:] == 7).all()
    images[0]["height"] = 128
    make(tmp_path / "odd", [thing(1, 5, 20, 10, 40, 20)], images=images)
    with pytest.raises(SourceError, match=r"camera_33.png: 64x48 pixels, its annotations are for 128x128"):
        load(tmp_path / "odd")


def test_keys_are_slugs_numbered_on_a_clash(tmp_path: Path) -> None:
    names = ["camera_1.png", "camera 1.png", "Camera_1.png", "camera_1-2.png", "CAMERA_1.png", "camera_2.png"]
    images = [{"id": n, "file_name": n, "width": 64, "height": 48} for n in names]
    make(tmp_path, [], images=images)
    make(tmp_path, [], "val", images=images[-1:])
    listing = EhoiConverter(tmp_path, EhoiOptions(part="all")).list_items()
    assert [i.key.removeprefix("ehoi-") for i in listing.items] == [
        "camera_1", "camera-1", "camera_1-2", "camera_1-2-2", "camera_1-3", "camera_2",
    ]  # fmt: skip
    assert listing.absent == {"image that another annotation file lists too": 1}
    assert len(EhoiConverter(tmp_path, EhoiOptions(split="val")).list_items().items) == 1


def test_depth_kinds(tmp_path: Path) -> None:
    make(tmp_path, [thing(1, 5, 1, 1, 5, 5)])
    path = tmp_path / "depth_maps/map_33.png"
    grey = np.full(SIZE, 100, np.uint8)
    grey[0, 0] = 0
    for image in (grey, np.repeat(grey[..., None], 3, -1), grey.astype(np.uint16)):
        Image.fromarray(image).save(path)
        depth = load(tmp_path, depth_scale=0.02, depth_offset=0.5).depth
        assert depth is not None
        assert (depth[0, 0, 0], depth[0, 1, 1]) == (0, np.float32(2.5))
        assert load(tmp_path).depth is None
    Image.fromarray(np.full((*SIZE, 3), (1, 2, 3), np.uint8)).save(path)
    with pytest.raises(SourceError, match=r"map_33.png: depth in colours"):
        load(tmp_path, depth_scale=0.02)
    Image.fromarray(np.full((20, 30), 5, np.uint8)).save(path)
    with pytest.raises(SourceError, match=r"map_33.png: \(20, 30\) pixels"):
        load(tmp_path, depth_scale=0.02)


def test_depth_is_found_although_the_root_contains_the_words(tmp_path: Path) -> None:
    root = tmp_path / "camera_images/jpg images"
    make(root, [thing(1, 5, 1, 1, 5, 5)])
    Image.fromarray(np.full(SIZE, 100, np.uint8)).save(root / "depth_maps/map_33.png")
    assert load(root, depth_scale=0.02).depth is not None


def test_other_categories(tmp_path: Path) -> None:
    names = [{"id": i, "name": n} for i, n in enumerate((*EHOI_BOXES.classes[:-1], "hand", "glove"))]
    make(tmp_path, [thing(1, 20, 5, 5, 10, 10), thing(2, 5, 30, 5, 5, 5)], categories=names)
    sample = load(tmp_path)
    assert sample.boxes is not None
    assert sample.segm is not None
    assert sample.boxes.class_id.tolist() == [-1, 5]
    assert (sample.segm[0, 5:15, 5:15] == 255).all()
    assert "categories that are not EHOI's: glove" in notes(tmp_path)
    make(tmp_path / "other", [], categories=[{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}])
    with pytest.raises(SourceError, match=r"categories \['dog', 'cat'\] ... are none of EHOI's 20"):
        load(tmp_path / "other")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"images": 3, "categories": [], "annotations": []}', "[" * 200_000,
     '{"images": [{"id": [1], "file_name": "a", "width": 1, "height": 1}], "categories": [], "annotations": []}',
     '{"images": [], "categories": [], "annotations": [3]}'],
)  # fmt: skip
def test_damaged_annotation_files_are_named(tmp_path: Path, text: str) -> None:
    make(tmp_path, [])
    (tmp_path / "annotations/train_coco.json").write_text(text)
    with pytest.raises(SourceError, match=r"train_coco.json: (cannot be read as JSON|not a COCO file)") as error:
        load(tmp_path)
    assert error.value.reason in ("bad-json", "bad-coco")


def test_damaged_images_are_named(tmp_path: Path) -> None:
    make(tmp_path, [thing(1, 5, 1, 1, 5, 5)])
    converter = EhoiConverter(tmp_path, EhoiOptions())
    item = converter.list_items().items[0]
    path = tmp_path / "images/camera_33.png"
    data = path.read_bytes()
    for damage in (b"", data[: len(data) // 2], b"\xff\xd8\xff"):
        path.write_bytes(damage)
        with pytest.raises(SourceError, match=re.escape("camera_33.png")):
            converter.load(item)


def test_file_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "secret.png")
    images = [{"id": 1, "file_name": "../../secret.png", "width": 64, "height": 48}]
    (tmp_path / "raw/images").mkdir(parents=True)
    make(tmp_path / "raw", [], images=images)
    with pytest.raises(SourceError, match="image file not present"):
        load(tmp_path / "raw", part="all")


def test_roots_that_are_not_ready(tmp_path: Path) -> None:
    def dry_run(root: Path, **options: Any) -> Any:
        return preview(Job(EhoiConverter, root, str(tmp_path / "out"), EhoiOptions(**options)))

    with pytest.raises(SourceError, match="no such folder"):
        dry_run(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no annotations/\*_coco.json .*egoism-hoi-dataset.zip"):
        dry_run(tmp_path / "empty")
    (tmp_path / "empty/egoism-hoi-dataset.zip").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"egoism-hoi-dataset.zip is not unpacked"):
        dry_run(tmp_path / "empty")
    images = [{"id": n, "file_name": f"camera_{n}.png", "width": 64, "height": 48} for n in range(3)]
    make(tmp_path / "half/egoism-hoi-dataset", [], images=images)
    (tmp_path / "half/egoism-hoi-dataset/images/camera_1.png").unlink()
    (tmp_path / "half/egoism-hoi-dataset/masks").mkdir()
    found = dry_run(tmp_path / "half")
    assert found.absent == {"image file not present": 1}
    assert "folder masks/ is not used" in found.notes
    real = [{"id": 1, "file_name": "66_28449.jpg", "width": 64, "height": 48}]
    make(tmp_path / "real", [], "r_test", images=real)
    with pytest.raises(SourceError, match=r"no image to convert \(1 x real image .*--part all"):
        dry_run(tmp_path / "real")
    assert dry_run(tmp_path / "real", part="all").samples == {"test": 1}
    with pytest.raises(SourceError, match=r"give the folder above it, .*real"):
        dry_run(tmp_path / "real/annotations")
    make(tmp_path / "both", [])
    make(tmp_path / "both", [], "r_test", images=real)
    assert any(
        note.startswith("r_test_coco.json: none of its 1 images was taken (1 x real image")
        for note in dry_run(tmp_path / "both").notes
    )
    (tmp_path / "both/annotations/r_test_coco.json").unlink()
    (tmp_path / "both/annotations/train_coco.json").rename(tmp_path / "both/annotations/train.json")
    with pytest.raises(SourceError, match=r"annotations/ holds train.json: rename them"):
        dry_run(tmp_path / "both")


def test_overlap_of_boxes() -> None:
    assert overlap((0, 0, 2, 2), (1, 1, 2, 2)) == pytest.approx(1 / 7)
    assert overlap((0, 0, 2, 2), (5, 5, 2, 2)) == 0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
