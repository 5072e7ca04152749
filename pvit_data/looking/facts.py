"""What there is to say about one sample, as short texts for people."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from pvit_data.format.members import MEMBERS
from pvit_data.format.record import Record
from pvit_data.looking.tiles import box_text, top_classes
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.sample import Sample

MAX_META = 40  # lines


def facts(dataset: ShardDataset, row: int, sample: Sample, record: Record) -> list[tuple[str, str]]:
    """Pairs of name and text, in reading order.

    Args:
        dataset: with an index.
        row: number of the sample.
        sample: with one decoded frame.
        record: its JSON member.
    """
    return [
        ("key", record.key),
        ("source", f"{sample.source}, {sample.split}, licence {sample.licence or 'not stated'}"),
        ("group", record.group),
        ("clip", _clip(record)),
        *_dense(sample, record),
        *_pose(record),
        *_boxes(sample, record),
        *_actions(sample, record),
        *_camera(sample),
        ("stored", _stored(dataset, row)),
        *_meta(sample),
    ]


def _clip(record: Record) -> str:
    size = f"{record.width} x {record.height}" if record.width > 0 else "size unknown"
    if record.frames == 1:
        return f"still, {size}, {record.rgb_encoding or 'no picture'}"
    rate = (
        f"{record.fps:g} frames/s, {record.frames / record.fps:.2f} s"
        if record.fps
        else "frame rate unknown"
    )
    return f"{record.frames} frames, {rate}, {size}, {record.rgb_encoding or 'no picture'}"


def _where(frames: list[int], total: int) -> str:
    if len(frames) == total:
        return "every frame" if total > 1 else "the frame"
    listed = ", ".join(map(str, frames[:8])) + (", ..." if len(frames) > 8 else "")
    return f"{len(frames)} of {total} frames ({listed})"


def _dense(sample: Sample, record: Record) -> list[tuple[str, str]]:
    found = []
    if record.depth_frames:
        text = f"{_where(record.depth_frames, record.frames)}, {record.depth_encoding}"
        if sample.depth is not None and (valid := sample.depth[sample.depth > 0]).size:
            share = 100 * (1 - valid.size / sample.depth.size)
            text += f", {valid.min():.2f}-{valid.max():.2f} m, median {np.median(valid):.2f} m, {share:.1f} % invalid"
        found.append(("depth", text))
    if record.normal_frames:
        text = f"{_where(record.normal_frames, record.frames)}, {record.normal_encoding}"
        if sample.normal is not None and sample.normal.size:
            text += f", {100 * (1 - sample.normal.any(-1).mean()):.1f} % invalid"
        found.append(("normal", text))
    if record.segm_frames:
        text = f"{_where(record.segm_frames, record.frames)}, '{record.segm_space}'"
        if sample.segm is not None and sample.segm.size:
            text += f": {', '.join(top_classes(sample.segm, sample.spaces.get('segm'), 12))}"
        found.append(("segm", text))
    return found


def _pose(record: Record) -> list[tuple[str, str]]:
    kinds = [name for name in ("pose3d", "pose2d") if name in record.fields]
    people = f"{record.people} {'person' if record.people == 1 else 'people'}"
    return (
        [(" + ".join(kinds), f"{people}, {_where(record.pose_frames, record.frames)}")]
        if kinds
        else []
    )


def _boxes(sample: Sample, record: Record) -> list[tuple[str, str]]:
    if sample.boxes is None:
        return []
    space = sample.spaces.get("boxes")
    counts = Counter(
        box_text(sample.boxes, row, space) or "box" for row in range(len(sample.boxes))
    )
    listed = ", ".join(name if n == 1 else f"{n} x {name}" for name, n in counts.most_common(16))
    named = f", '{record.boxes_space}'" if record.boxes_space else ""
    return [("boxes", f"{len(sample.boxes)} in this frame{named}: {listed or 'none'}")]


def _actions(sample: Sample, record: Record) -> list[tuple[str, str]]:
    space = sample.spaces.get("action")

    def name(number: int) -> str:
        known = space is not None and space.first <= number < space.num_ids
        return (
            f"{number} {space.class_name(number)}" if space is not None and known else str(number)
        )

    found = []
    if "action" in record.fields:
        found.append(
            (
                "action",
                f"at {record.action_time:g} s"
                if record.action_time >= 0
                else name(record.action_id),
            )
        )
    if "actions" in record.fields:
        parts = [
            name(number) + ("" if start < 0 else f" ({start:g}-{end:g} s)")
            for number, start, end in zip(
                record.actions_id, record.actions_start, record.actions_end, strict=True
            )
        ]
        found.append(("actions", ", ".join(parts) or "none"))
    return found


def _camera(sample: Sample) -> list[tuple[str, str]]:
    if sample.camera is None:
        return []
    k = sample.camera.K[0]
    kind = "one for all frames" if len(sample.camera.K) == 1 else "one per frame"
    plain = np.allclose(k[[1, 2, 2], [0, 0, 1]], 0) and k[2, 2] == 1
    lens = (
        f"fx {k[0, 0]:.1f} fy {k[1, 1]:.1f} cx {k[0, 2]:.1f} cy {k[1, 2]:.1f}"
        if plain
        else "tilted"
    )
    pose = "no world pose" if sample.camera.world_from_camera is None else "world pose"
    up = f", up is {sample.camera.up}" if sample.camera.up else ""
    return [("camera", f"{lens}, {pose}{up}, {kind}")]


def _stored(dataset: ShardDataset, row: int) -> str:
    one = dataset.select([row])
    sizes = {
        m: int(one.column(f"{m}_size")[0]) for m in MEMBERS if one.column(f"{m}_offset")[0] >= 0
    }
    largest = ", ".join(
        f"{name} {size / 1000:.1f} kB"
        for name, size in sorted(sizes.items(), key=lambda p: -p[1])[:6]
    )
    return f"{one.column('source')[0]}/{one.column('shard')[0]}, {sum(sizes.values()) / 1000:.1f} kB: {largest}"


def _meta(sample: Sample) -> list[tuple[str, str]]:
    if not sample.meta:
        return []
    lines = json.dumps(sample.meta, indent=2, ensure_ascii=False).splitlines()[1:-1]
    shown = [line[2:] for line in lines[:MAX_META]]
    return [("meta", "\n".join(shown + (["..."] if len(lines) > MAX_META else [])))]
