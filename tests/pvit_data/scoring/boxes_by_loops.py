"""AVA's evaluation once more, with dictionaries and loops, as its description says; the tests' independent truth."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

NOT_EVALUATED = [2, 16, 18, 19, 21, 23, 25, 31, 32, 33, 35, 39, 40, 42, 44, 50, 53, 55, 71, 75]
CLASSES = [number for number in range(1, 81) if number not in NOT_EVALUATED]


class Row(NamedTuple):
    """A line of a CSV."""

    video: str
    second: int
    box: tuple[float, float, float, float]
    action: int
    score: float = 1.0


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def mean_precision(
    truth: list[Row], found: list[Row], variant: str, excluded: set[tuple[str, int]], cap: int = 0
) -> tuple[float, dict[int, float]]:
    images_listed = {(r.video, r.second) for r in truth}
    truth = [r for r in truth if r.action in CLASSES]
    found = [r for r in found if r.action in CLASSES]
    denominators = defaultdict(int)
    for row in truth:
        if variant == "mmaction2" or variant == "activitynet" or (row.video, row.second) not in excluded:
            denominators[row.action] += 1
    by_image: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in found:
        by_image[row.video, row.second].append(row)
    truth_of: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    for row in truth:
        truth_of[row.video, row.second, row.action].append(row)
    with_truth = {(r.video, r.second) for r in truth}
    judged: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for image, rows in by_image.items():
        if variant != "activitynet" and image in excluded:
            continue
        if variant == "activitynet" and image not in images_listed:
            continue
        if variant == "mmaction2" and image not in with_truth:
            continue
        if cap:
            rows = sorted(rows, key=lambda r: -r.score)[:cap]
        if variant != "pyslowfast":
            rows = sorted(rows, key=lambda r: -r.score)
        taken = set()
        for row in rows:
            if row.box[0] >= row.box[2] or row.box[1] >= row.box[3]:
                continue
            others = truth_of[(*image, row.action)]
            values = [overlap(row.box, o.box) for o in others]
            best = max(range(len(values)), key=values.__getitem__) if values else -1
            right = best >= 0 and values[best] >= 0.5 and (row.action, best) not in taken
            if right:
                taken.add((row.action, best))
            judged[row.action].append((row.score, right))
    each = {}
    for action in CLASSES:
        if not denominators[action] or (variant == "mmaction2" and not judged[action]):
            continue
        each[action] = area(judged[action], denominators[action])
    values = list(each.values())
    return (sum(values) / len(values) if values else math.nan), each


def area(judged: list[tuple[float, bool]], total: int) -> float:
    points, hits = [], 0
    for n, (_, right) in enumerate(sorted(judged, key=lambda pair: -pair[0]), 1):
        hits += right
        points.append((hits / total, hits / n))
    result, before = 0.0, 0.0
    for n, (recall, _) in enumerate(points):
        result += (recall - before) * max(p for _, p in points[n:])
        before = recall
    return result


def lines(rows: list[Row], scored: bool) -> str:
    """The rows as CSV."""
    return "".join(
        f"{r.video},{r.second:04d},{','.join(f'{v:.3f}' for v in r.box)},{r.action},{r.score!r}\n"
        if scored
        else f"{r.video},{r.second:04d},{','.join(f'{v:.3f}' for v in r.box)},{r.action},0\n"
        for r in rows
    )
