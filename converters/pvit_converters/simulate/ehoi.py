"""Writes EgoISM-HOI's raw layout: a workbench with tools and hands, COCO JSONs, 8-bit depth (spec ehoi, sections 2-6).

Hands touch objects or not; the offset to the active object is in the annotation, in `val` also the linked box in
`*_hands.json`. Traps sit in fixed images (`TRAPS`). Truth: one .npz per image with class map, boxes and links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pvit_converters.simulate.ehoi_tables import (
    BENCH,
    HAND,
    Hand,
    Row,
    Shown,
    annotate,
    categories,
    dump,
    linked,
)
from pvit_converters.simulate.files.images import jpeg, png
from pvit_converters.simulate.tree import Job, Simulator, Size, Tree, fresh, rng_of, spread
from pvit_converters.simulate.world.film import srgb
from pvit_converters.simulate.world.outlines import boxes_of
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

SPLITS = ("train", "val")

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

    @property
    def image_id(self) -> str | int:
        """In the annotations: the file's name in `train`, the number in `val`."""
        return self.name if self.split == "train" else self.number

    @property
    def has_traps(self) -> bool:
        """Whether its annotations are odd; see `TRAPS`."""
        return self.number == 0


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


def _scene(task: ImageTask) -> tuple[Scene, list[Hand], dict[int, int]]:
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
        hands.append(Hand(side, instance, -1 if touched is None else touched.instance))
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


def _draw(task: ImageTask) -> tuple[Render, Shown]:
    """The picture, and what its annotations say: hands, links and things of which something is visible."""
    scene, hands, classes = _scene(task)
    picture = render(scene)
    instance = picture.ids("instance")[0]
    seen = set(np.unique(instance).tolist()) - {-1}
    classes = {i: c for i, c in classes.items() if i in seen}
    tools = (i for i, c in classes.items() if c not in (HAND, BENCH))
    return picture, Shown(
        image_id=task.image_id,
        instance=instance,
        classes=classes,
        hands=[
            replace(hand, partner=hand.partner if hand.partner in seen else -1)
            for hand in hands
            if hand.instance in seen
        ],
        lost=next(tools, -1) if task.has_traps else -1,
        has_traps=task.has_traps,
        as_text=task.number % 2 == 1,
    )


def write_image(task: ImageTask) -> int:
    """Renders and writes one image, its depth map and its truth."""
    picture, shown = _draw(task)
    frame = srgb(picture.radiance[0], 0.9)
    path = task.root / "images" / task.name
    path.write_bytes(jpeg(frame) if path.suffix == ".jpg" else png(frame))
    if task.number != 4:
        near = np.clip(np.nan_to_num(picture.depth[0], posinf=2.5) / 2.5 * 255, 1, 255)
        (task.root / "depth_maps" / f"map_{task.number}.png").write_bytes(
            png(near.astype(np.uint8))
        )
    if task.truth is not None:
        _write_truth(task, task.truth, picture, shown)
    return 1


def _write_truth(task: ImageTask, folder: Path, picture: Render, shown: Shown) -> None:
    instance, classes = shown.instance, shown.classes
    table = np.zeros(max(classes, default=0) + 2, np.uint8)
    for i, c in classes.items():
        table[i] = c + 1
    segm = np.where(instance >= 0, table[instance], 0)
    boxes = boxes_of(instance)
    if shown.lost >= 0:
        x0, y0, x1, y1 = boxes[shown.lost]
        segm[instance == shown.lost] = 0
        window = segm[y0:y1, x0:x1]
        window[window == 0] = 255
    links = {hand.instance: (hand.side, hand.partner) for hand in shown.hands}
    rows = [(i, classes[i], *links.get(i, (-1, -1))) for i in boxes]
    np.savez(
        folder / f"camera_{task.number}.npz",
        segm=segm,
        depth=np.where(picture.surface[0], picture.depth[0], 0).astype(np.float32),
        xyxy=np.array(list(boxes.values()), np.int32).reshape(-1, 4),
        rows=np.array(rows, np.int32).reshape(-1, 4),
        split=np.array(task.split),
    )


def _write_annotations(root: Path, split: str, tasks: Sequence[ImageTask], size: Size) -> None:
    rows: list[Row] = []
    for task in tasks:
        rows += annotate(_draw(task)[1], len(rows))
    images: list[Row] = [
        {"id": t.image_id, "file_name": t.name, "width": size.width, "height": size.height}
        for t in tasks
    ]
    dump(root / f"annotations/{split}_coco.json", images, categories(split), rows)
    if split == "val":
        hand = {"id": 0, "name": "hand"}
        dump(root / "annotations/val_coco_hands.json", images, [hand], linked(rows))


def _real(root: Path, seed: int, size: Size) -> None:
    """One real-looking image with boxes only, as the real part has them."""
    rng = rng_of(seed, 61)
    name = "66_28449.jpg"
    (root / "images" / name).write_bytes(
        jpeg(rng.integers(0, 255, (size.height, size.width, 3), dtype=np.uint8))
    )
    image: Row = {
        "id": name,
        "file_name": name,
        "width": size.width,
        "height": size.height,
        "coco_url": "",
    }
    rows: list[Row] = [
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
    dump(root / "annotations/r_test_coco.json", [image], categories("test"), rows)


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
    for split in SPLITS:
        _write_annotations(root, split, [t for t in tasks if t.split == split], size)
    _real(root, job.seed, size)
    spread(write_image, tasks, job)
    splits = {s: sum(t.split == s for t in tasks) for s in SPLITS}
    return Tree(root, total, splits, TRAPS)


SIMULATOR = Simulator("a workbench with tools and hands: COCO boxes, masks and contacts", simulate)
