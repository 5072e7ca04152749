"""What there is to say about one sample, as short texts for people."""

from __future__ import annotations

import json

from pvit_data.format.members import MEMBER_OF_EXTENSION
from pvit_data.format.record import Record
from pvit_data.looking.layers import LAYERS
from pvit_data.looking.lines import Line
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.layers.fields import field_of_file
from pvit_data.sample.sample import Sample
from pvit_data.words import size_text

MAX_META = 40  # lines
LARGEST = 6  # members that are listed


def facts(dataset: ShardDataset, row: int, sample: Sample, record: Record) -> list[Line]:
    """Pairs of name and text, in reading order.

    Args:
        dataset: with an index.
        row: number of the sample.
        sample: with one decoded frame.
        record: its JSON member.
    """
    lines = [layer.line(sample, record) for layer in LAYERS if layer.line is not None]
    return [
        ("key", record.key),
        ("source", f"{_source(dataset, sample)}, licence {sample.licence or 'not stated'}"),
        ("group", record.group),
        ("clip", _clip(record)),
        *(line for line in lines if line is not None),
        *_layers(dataset, record, sample.source),
        ("stored", _stored(dataset, row, sample.source)),
        *_meta(sample),
    ]


def _source(dataset: ShardDataset, sample: Sample) -> str:
    home = dataset.home_of(sample.source)
    over = f" over {home}" if home != sample.source else ""
    return f"{sample.source}{over}, {sample.split}"


def _layers(dataset: ShardDataset, record: Record, source: str) -> list[Line]:
    """What comes from which layer, and who made it."""
    giving = dataset.layers_of(source)
    lines = []
    for name, spec in {spec.name: spec for spec in giving.values()}.items():
        fields = [f for f, layer in giving.items() if layer.name == name and f in record.fields]
        made_by = f" (made by {spec.made_by})" if spec.made_by else ""
        sure = f"; {spec.confidence}" if spec.confidence else ""
        lines.append(f"{name}: {', '.join(fields) or 'nothing of this sample'}{made_by}{sure}")
    return [("layers", "\n".join(lines))] if lines else []


def _clip(record: Record) -> str:
    size = f"{record.width} x {record.height}" if record.width > 0 else "size unknown"
    encoding = record.rgb_encoding or "no picture"
    if record.frames == 1:
        return f"still, {size}, {encoding}"
    rate = "frame rate unknown"
    if record.fps:
        rate = f"{record.fps:g} frames/s, {record.frames / record.fps:.2f} s"
    return f"{record.frames} frames, {rate}, {size}, {encoding}"


def _stored(dataset: ShardDataset, row: int, source: str) -> str:
    sizes: dict[str, int] = {}
    giving = dataset.layers_of(source)
    for file, size in dataset.members(row).items():
        layer = giving.get(field_of_file(file))
        own = MEMBER_OF_EXTENSION.get(file, file)
        sizes[own if layer is None else f"{own} of {layer.name}"] = size
    ordered = sorted(sizes.items(), key=lambda pair: -pair[1])[:LARGEST]
    largest = ", ".join(f"{name} {size_text(size)}" for name, size in ordered)
    shard = dataset.select([row]).column("shard")[0]
    return f"{dataset.home_of(source)}/{shard}, {size_text(sum(sizes.values()))}: {largest}"


def _meta(sample: Sample) -> list[Line]:
    if not sample.meta:
        return []
    lines = json.dumps(sample.meta, indent=2, ensure_ascii=False).splitlines()[1:-1]
    shown = [line[2:] for line in lines[:MAX_META]]
    return [("meta", "\n".join(shown + (["..."] if len(lines) > MAX_META else [])))]
