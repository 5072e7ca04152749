"""Writes EgoISM-HOI's raw layout: a workbench with tools and hands, COCO JSONs, 8-bit depth (spec ehoi, sections 2-6).

Hands touch objects or not; the offset to the active object is in the annotation, in `val` also the linked box in
`*_hands.json`. Traps sit in fixed images (`TRAPS`). Truth: one .npz per image with class map, boxes and links.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pvit_converters.simulate.images import boxes_of, jpeg, png, srgb
from pvit_converters.simulate.tree import Job, Size, Tree, fresh, rng_of, spread
from pvit_converters.simulate.world.outlines import outlines
from pvit_converters.simulate.world.render import Render, render
from pvit_converters.simulate.world.rooms import pattern
from pvit_converters.simulate.world.scene import (
    Camera,
    Colour,
    Kind,
    Light,
    Material,
    Primitive,
    Scene,
    capsule_between,
    look_at,
    pinhole,
    pose,
    turn_z,
)

Array = np.ndarray
PRESETS = {
    "tiny": (12, Size(1, 72, 128)),
    "small": (64, Size(1, 144, 256)),
    "format": (12, Size(1, 720, 1280)),
}
"""Default number of images and their size."""

CLASSES = (
    "power supply", "oscilloscope", "welder station", "electric screwdriver", "screwdriver", "pliers",
    "welder probe tip", "oscilloscope probe tip", "low voltage board", "high voltage board", "register",
    "electric screwdriver battery", "working area", "welder base", "socket", "left red button", "left green button",
    "right red button", "right green button", "hand",
)  # fmt: skip
"""Category names in id order (spec, section 3)."""

HAND, BENCH = CLASSES.index("hand"), CLASSES.index("working area")

TRAPS = (
    "train: image ids are file names, one category is called 'screwdriver,', numbers of the offset may be texts",
    "train image 0: an object without segmentation, one as run lengths; a box of no area",
    "val: integer image ids, the hand is called 'mano', hands linked in val_coco_hands.json with hand category 0",
    "image 3 is a JPEG; image 4 has no depth map; r_test: one real image with boxes only",
    "boxes of objects at the border reach a pixel out of the image",
)


@dataclass(frozen=True)
class ImageTask:
    """One synthetic image to write."""

    number: int
    split: str
    root: Path
    seed: int
    size: Size
    truth: Path | None

    @property
    def name(self) -> str:
        """File name; one is a JPEG."""
        return f"camera_{self.number}.{'jpg' if self.number == 3 else 'png'}"


@dataclass(frozen=True)
class _Hand:
    side: int
    instance: int
    partner: int


def _object(rng: np.random.Generator, class_id: int, at: Array, instance: int) -> Primitive:
    """A tool on the bench: boxes, cylinders with round ends, or balls of plausible size."""
    kind: Kind = ("box", "capsule", "box", "ball")[class_id % 4]
    r = rng.uniform(0.03, 0.06)
    half = {
        "box": [r * 1.5, r, r * 0.8],
        "capsule": [r * 0.4, r * 0.4, r * 1.2],
        "ball": [r, r, r],
    }[kind]
    turn = turn_z(float(rng.uniform(0, np.pi)))
    if kind == "capsule":
        turn = turn @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    height = half[0] if kind == "capsule" else half[2]
    where = pose(turn, np.array([[*at, height]]))
    return Primitive(
        kind, where, np.array([half]), pattern(rng, 1.0, 0.5), class_id, instance, shadow=0.5
    )


def _hand(
    rng: np.random.Generator, tip: Array, side: int, instance: int, skin: Colour
) -> list[Primitive]:
    """Palm and three fingers (class hand), and a sleeve without class that leads out of the picture."""
    sign = -1 if side == 0 else 1
    wrist = tip + np.array([sign * 0.04, -0.15, 0.08])
    elbow = wrist + np.array([sign * 0.1, -0.35, 0.1])
    bones = [(wrist, wrist + (tip - wrist) * 0.5, 0.03, HAND)]
    spread_out = np.array([[0.0, 0, 0], [0.03 * sign, -0.01, 0], [-0.03 * sign, -0.02, 0]])
    bones += [(wrist + (tip - wrist) * 0.5, tip + s, 0.012, HAND) for s in spread_out]
    bones.append((elbow, wrist, 0.04, -1))
    cloth = Material((0.1, 0.15, 0.3))
    return [
        Primitive(
            "capsule",
            *capsule_between(a[None], b[None], r),
            cloth if c < 0 else Material(skin),
            c,
            instance if c >= 0 else -1,
        )
        for a, b, r, c in bones
    ]


def _scene(task: ImageTask) -> tuple[Scene, list[_Hand], dict[int, int]]:
    """The scene, its hands, and the class of every instance."""
    rng = rng_of(task.seed, 60, task.number)
    bench = Primitive(
        "box",
        pose(position=np.array([[0, 0.1, -0.02]])),
        np.array([[0.7, 0.4, 0.02]]),
        pattern(rng, 0.2),
        BENCH,
        0,
    )
    floor = Primitive(
        "plane", pose(position=np.array([[0, 0, -0.8]])), np.ones((1, 3)), pattern(rng, 0.3)
    )
    solid, classes, hands = [floor, bench], {0: BENCH}, []
    spots = [(x, y) for x in (-0.4, -0.13, 0.13, 0.4) for y in (-0.05, 0.2)]
    for i in rng.permutation(len(spots))[: int(rng.integers(3, 6))]:
        class_id = int(rng.choice([c for c in range(19) if c != BENCH]))
        instance = len(classes)
        at = np.array(spots[i]) + rng.uniform(-0.04, 0.04, 2)
        solid.append(_object(rng, class_id, at, instance))
        classes[instance] = class_id
    tone = float(rng.uniform(0.3, 0.7))
    for side in ((0, 1), (0,), (1,), ())[(task.number + task.number // 4) % 4]:
        things = [p for p in solid if p.instance > 0 and p.class_id != HAND]
        touched = (
            things[side % len(things)]
            if rng.uniform() < 0.7 or (task.number == 0 and side == 0)
            else None
        )
        free = np.array([0.3 * (2 * side - 1), -0.12, 0.12])
        tip = (
            free
            if touched is None
            else touched.pose[0, :3, 3] + np.array([0.0, -0.01, touched.half[0, 2] + 0.02])
        )
        instance = len(classes)
        solid += _hand(rng, tip, side, instance, (tone, tone * 0.7, tone * 0.55))
        classes[instance] = HAND
        hands.append(_Hand(side, instance, -1 if touched is None else touched.instance))
    eye = np.array([[rng.uniform(-0.1, 0.1), -0.55, 0.65]])
    size = task.size
    camera = Camera(
        pinhole(0.75 * size.width, size.height, size.width),
        look_at(eye, np.array([[0, 0.1, 0.0]])),
        size.height,
        size.width,
    )
    light = Light(np.array([0.3, -0.2, 1.4]), np.array(1.3), 0.4)
    return Scene(tuple(solid), camera, light, 1, (0.3, 0.3, 0.3)), hands, classes


def _draw(task: ImageTask) -> tuple[Render, list[_Hand], dict[int, int]]:
    """The picture, with hands and links of which something is visible."""
    scene, hands, classes = _scene(task)
    picture = render(scene)
    seen = set(np.unique(picture.ids("instance")[0]).tolist()) - {-1}
    classes = {i: c for i, c in classes.items() if i in seen}
    hands = [
        replace(h, partner=h.partner if h.partner in seen else -1)
        for h in hands
        if h.instance in seen
    ]
    return picture, hands, classes


def write_image(task: ImageTask) -> int:
    """Renders and writes one image, its depth map and its truth."""
    picture, hands, classes = _draw(task)
    frame = srgb(picture.radiance[0], 0.9)
    path = task.root / "images" / task.name
    path.write_bytes(jpeg(frame) if path.suffix == ".jpg" else png(frame))
    if task.number != 4:
        near = np.clip(np.nan_to_num(picture.depth[0], posinf=2.5) / 2.5 * 255, 1, 255)
        (task.root / "depth_maps" / f"map_{task.number}.png").write_bytes(
            png(near.astype(np.uint8))
        )
    if task.truth is not None:
        _write_truth(task, picture, hands, classes)
    return 1


def _no_mask(task: ImageTask, classes: dict[int, int]) -> int:
    """The instance that loses its segmentation in image 0: the first tool; -1 elsewhere."""
    return (
        next((i for i, c in classes.items() if c not in (HAND, BENCH)), -1)
        if task.number == 0
        else -1
    )


def _write_truth(
    task: ImageTask, picture: Render, hands: list[_Hand], classes: dict[int, int]
) -> None:
    assert task.truth is not None
    instance = picture.ids("instance")[0]
    table = np.zeros(max(classes, default=0) + 2, np.uint8)
    for i, c in classes.items():
        table[i] = c + 1
    segm = np.where(instance >= 0, table[instance], 0)
    boxes = boxes_of(instance)
    if (lost := _no_mask(task, classes)) >= 0:
        x0, y0, x1, y1 = boxes[lost]
        segm[instance == lost] = 0
        window = segm[y0:y1, x0:x1]
        window[window == 0] = 255
    by_instance = {h.instance: h for h in hands}
    rows = [
        (
            i,
            classes[i],
            by_instance[i].side if i in by_instance else -1,
            by_instance[i].partner if i in by_instance else -1,
        )
        for i in boxes
    ]
    np.savez(
        task.truth / f"camera_{task.number}.npz",
        segm=segm,
        depth=np.where(picture.surface[0], picture.depth[0], 0).astype(np.float32),
        xyxy=np.array(list(boxes.values()), np.int32).reshape(-1, 4),
        rows=np.array(rows, np.int32).reshape(-1, 4),
        split=np.array(task.split),
    )


def _runs(mask: Array) -> dict[str, Any]:
    """Uncompressed COCO run lengths (column-major, starting with background)."""
    flat = np.concatenate([[0], mask.T.ravel().astype(int), [0]])
    change = np.nonzero(np.diff(flat))[0]
    ends = np.concatenate([[0], change, [mask.size]])
    counts = np.diff(ends)
    if len(change) and change[-1] == mask.size:
        counts = counts[:-1]
    return {"size": [int(s) for s in mask.shape], "counts": [int(c) for c in counts]}


def _annotate(task: ImageTask, first: int) -> list[dict[str, Any]]:
    """COCO annotations of one image, ids counting from `first`; `_instance` and `_partner` are dropped when written."""
    picture, hands, classes = _draw(task)
    instance, size = picture.ids("instance")[0], task.size
    boxes, by_instance = boxes_of(instance), {h.instance: h for h in hands}
    out: list[dict[str, Any]] = []
    lost = _no_mask(task, classes)
    for i, (x0, y0, x1, y1) in boxes.items():
        mask = instance == i
        polygons = outlines(mask)
        beyond = 1 if x1 == size.width else 0
        row: dict[str, Any] = {
            "id": first + len(out),
            "category_id": classes[i],
            "iscrowd": 0,
            "area": int(mask.sum()),
        }
        row["image_id"] = task.name if task.split == "train" else task.number
        row["bbox"] = [x0, y0, x1 - x0 + beyond, y1 - y0]
        row["segmentation"] = (
            _runs(mask) if polygons is None or (task.number == 0 and i == BENCH) else polygons
        )
        if i == lost:
            row["segmentation"] = []
        if i in by_instance:
            row |= _contact(task, by_instance[i], boxes)
        out.append(row | {"_instance": i})
    if task.number == 0:
        out.append(
            {
                **out[-1],
                "id": first + len(out),
                "bbox": [5, 5, 0, 7],
                "category_id": 4,
                "segmentation": [],
                "_instance": -1,
            }
        )
        for name in ("hand_side", "contact_state", "dx", "dy", "magnitude", "keypoints"):
            out[-1].pop(name, None)
    return out


def _centre(box: tuple[int, int, int, int]) -> Array:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])


def _contact(
    task: ImageTask, hand: _Hand, boxes: dict[int, tuple[int, int, int, int]]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "hand_side": hand.side,
        "contact_state": int(hand.partner >= 0),
        "keypoints": [],
    }
    if hand.partner >= 0:
        way = _centre(boxes[hand.partner]) - _centre(boxes[hand.instance])
        length = float(np.hypot(*way))
        unit = way / max(length, 1e-9)
        values = {"dx": float(unit[0]), "dy": float(unit[1]), "magnitude": length}
        row |= {k: f"{v:.6f}" if task.number % 2 else v for k, v in values.items()}
    return row | {"_partner": hand.partner}


def _categories(split: str) -> list[dict[str, Any]]:
    names = list(CLASSES)
    if split == "train":
        names[4] = "screwdriver,"
    if split == "val":
        names[HAND] = "mano"
    return [{"id": i, "name": n, "supercategory": ""} for i, n in enumerate(names)]


def _dump(
    path: Path,
    images: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    rows: list[dict[str, Any]],
) -> None:
    clean = [{k: v for k, v in r.items() if not k.startswith("_")} for r in rows]
    value = {
        "info": {},
        "licenses": {},
        "images": images,
        "categories": categories,
        "annotations": clean,
    }
    path.write_text(json.dumps(value))


def _linked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of `*_hands.json`: hands with the box and class of what they touch."""
    out = []
    for hand in rows:
        if "hand_side" not in hand:
            continue
        touched = [
            r
            for r in rows
            if (r["image_id"], r["_instance"]) == (hand["image_id"], hand["_partner"])
        ]
        row = {k: hand[k] for k in ("id", "image_id", "bbox", "area", "hand_side", "contact_state")}
        row |= {"category_id": 0, "category_id_obj": -1, "bbox_obj": [], "area_obj": 0}
        if touched:
            row |= {
                "category_id_obj": touched[0]["category_id"],
                "bbox_obj": touched[0]["bbox"],
                "area_obj": touched[0]["area"],
            }
        out.append(row)
    return out


def _real(root: Path, seed: int, size: Size) -> None:
    """One real-looking image with boxes only, as the real part has them."""
    rng = rng_of(seed, 61)
    name = "66_28449.jpg"
    (root / "images" / name).write_bytes(
        jpeg(rng.integers(0, 255, (size.height, size.width, 3), dtype=np.uint8))
    )
    image = {
        "id": name,
        "file_name": name,
        "width": size.width,
        "height": size.height,
        "coco_url": "",
    }
    rows = [
        {
            "id": 0,
            "image_id": name,
            "category_id": HAND,
            "bbox": [10, 20, 30, 25],
            "area": 750,
            "iscrowd": 0,
        }
    ]
    rows[0] |= {"segmentation": [], "hand_side": 1, "contact_state": 0}
    _dump(root / "annotations/r_test_coco.json", [image], _categories("test"), rows)


def simulate(
    job: Job,
    *,
    height: int | None = None,
    width: int | None = None,
) -> Tree:
    """Writes an EgoISM-HOI tree, `out/{annotations,images,depth_maps}`.

    Args:
        job: `samples` is the number of synthetic images; three of four are train, the rest val.
            Presets: `tiny` (72x128), `small` (144x256) or `format` (720x1280).
        height, width: another image size.
    """
    count, size = PRESETS[job.preset]
    size = Size(1, height or size.height, width or size.width)
    root = fresh(job.out)
    for folder in ("annotations", "images", "depth_maps"):
        (root / folder).mkdir()
    if job.truth is not None:
        job.truth.mkdir(parents=True, exist_ok=True)
    total = job.samples or count
    tasks = [
        ImageTask(i, "val" if i % 4 == 3 else "train", root, job.seed, size, job.truth)
        for i in range(total)
    ]
    for split in ("train", "val"):
        rows: list[dict[str, Any]] = []
        images = []
        for task in (t for t in tasks if t.split == split):
            rows += _annotate(task, len(rows))
            key = task.name if split == "train" else task.number
            images.append(
                {"id": key, "file_name": task.name, "width": size.width, "height": size.height}
            )
        _dump(root / f"annotations/{split}_coco.json", images, _categories(split), rows)
        if split == "val":
            _dump(
                root / "annotations/val_coco_hands.json",
                images,
                [{"id": 0, "name": "hand"}],
                _linked(rows),
            )
    _real(root, job.seed, size)
    spread(write_image, tasks, job)
    splits = {s: sum(t.split == s for t in tasks) for s in ("train", "val")}
    return Tree(root, total, splits, TRAPS)
