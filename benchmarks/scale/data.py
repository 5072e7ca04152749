"""Synthetic data sets: indices whose shards are not there, shards of a few bytes, and a few real clips."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

Rows = Integer[np.ndarray, "k"]


def columns(rows: int, name: str, per_shard: int) -> dict[str, Any]:
    """An index of clips of which every second one has depth and every third one normals."""
    import pyarrow as pa

    from pvit_data.format.index import COLUMNS, TYPES

    at = np.arange(rows)
    found: dict[str, Any] = {}
    for column in COLUMNS:
        dtype = TYPES.get(column)
        if dtype is not None:
            found[column] = np.full(rows, -1 if column.endswith("_offset") else 0, dtype)
    found["shard"] = shard_names(rows, per_shard)
    found["key"] = pa.array(np.char.add(f"{name}-", np.char.zfill(at.astype(str), 9)), pa.string())
    found["group"] = pa.array(np.char.add("g-", (at // 10).astype(str)), pa.string())
    found["rgb_encoding"] = pa.DictionaryArray.from_arrays(
        pa.array(at * 0, pa.int32()), pa.array(["mp4"])
    ).cast(pa.string())
    found |= {
        "frames": found["frames"] + 60,
        "height": found["height"] + 240,
        "width": found["width"] + 320,
    }
    found |= {"fps": found["fps"] + 12, "action": (at % 174).astype("int32")}
    found |= {
        "has_rgb": at >= 0,
        "has_action": at >= 0,
        "has_depth": at % 2 == 0,
        "has_normal": at % 3 == 0,
    }
    for member, size in (("json", 900), ("rgb", 90_000)):
        found[f"{member}_offset"] = (
            at % per_shard * 92_160 + 512 + (1536 if member == "rgb" else 0)
        ).astype("int64")
        found[f"{member}_size"] = np.full(rows, size, "int32")
        checksums = np.random.default_rng(rows).integers(0, 1 << 32, rows)  # nothing packs them
        found[f"{member}_crc32"] = checksums.astype("uint32")
    return found


def shard_names(rows: int, per_shard: int) -> Any:
    """The shard of each row, `per_shard` of them in each."""
    import pyarrow as pa

    names = pa.array([f"train-{i:05d}.tar" for i in range(-(-rows // per_shard))])
    of = pa.array(np.arange(rows) // per_shard, pa.int32())
    return pa.DictionaryArray.from_arrays(of, names).cast(pa.string())


def dataset(
    folder: Path,
    sizes: dict[str, int],
    per_shard: int = 1000,
    shards: int = 0,
    layers: Mapping[str, Rows] | None = None,
) -> str:
    """A manifest and its indices; the shards that they name are not there.

    Args:
        folder: of the data set.
        sizes: rows of each source.
        per_shard: samples of a shard.
        shards: of each source, where they are not what its samples need.
        layers: over the first source, each with the rows of it that it has, in its order; with depth.
    """
    classes = {"action": {"name": "a", "classes": [f"c{i}" for i in range(174)]}}
    spec = {"role": "auxiliary", "tasks": ["depth", "normal"], "spaces": classes}
    sources, over = {}, {}
    for name, rows in sizes.items():
        count = shards or -(-rows // per_shard)
        split = _split(folder, name, columns(rows, name, per_shard), per_shard, count)
        sources[name] = {"spec": {"name": name, **spec}, "splits": {"train": split}}
    for name, picked in (layers or {}).items():
        base = next(iter(sizes))
        count = -(-len(picked) // per_shard)
        found = layer_columns(columns(sizes[base], base, per_shard), picked, per_shard, len(over))
        split = _split(folder, f"layers/{name}", found, per_shard, count)
        own = {"name": name, "base": {"source": base}, "tasks": ["depth"]}
        over[name] = {"spec": own, "splits": {"train": {**split, "fields": {"depth": len(picked)}}}}
    splits = [
        split for entry in (*sources.values(), *over.values()) for split in entry["splits"].values()
    ]
    is_listed = any("shard_list" in split for split in splits)
    values = {
        "format": "pvit-shards",
        "version": "1.1" if over or is_listed else "1.0",
        "conventions": {},
        "sources": sources,
        **({"layers": over} if over else {}),
        "checksum": "",
    }
    text = json.dumps(values, sort_keys=True, indent=2) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(text.replace('"checksum": ""', f'"checksum": "{digest}"'))
    return str(folder)


def layer_columns(
    base: Mapping[str, Any], picked: Rows, per_shard: int, seed: int
) -> dict[str, Any]:
    """The index of a layer with depth over some rows of a base, in the order in which they are given."""
    found = {name: base[name].take(picked) for name in base}
    rows = len(picked)
    found |= {name: np.zeros(rows, bool) for name in base if name.startswith("has_")}
    found |= {"has_depth": np.ones(rows, bool), "depth_frames": np.full(rows, 60, np.int32)}
    found |= {"base_crc32": found["rgb_crc32"], "shard": shard_names(rows, per_shard)}
    for part in ("offset", "size", "crc32"):
        missing = -1 if part == "offset" else 0
        found[f"depth_{part}"] = found[f"rgb_{part}"]
        found[f"rgb_{part}"] = np.full(rows, missing, found[f"rgb_{part}"].dtype)
    checksums = np.random.default_rng((rows, seed)).integers(0, 1 << 32, rows)
    return {**found, "json_crc32": checksums.astype("uint32")}


def _split(
    folder: Path, where: str, columns: Mapping[str, Any], per_shard: int, shards: int
) -> dict[str, Any]:
    """A split's entry in the manifest; its index is written."""
    from pvit_data.format.index import encode_table, table_of

    data, rows = encode_table(table_of(columns)), len(columns["key"])
    (folder / where / "index").mkdir(parents=True, exist_ok=True)
    (folder / where / "index/train.parquet").write_bytes(data)
    listed = [
        {
            "name": f"{where}/train-{i:05d}.tar",
            "samples": per_shard,
            "bytes": per_shard * 92_160 + 1024,
            "sha256": "0" * 64,
        }
        for i in range(shards)
    ]
    size = sum(shard["bytes"] for shard in listed)
    return {
        "samples": rows, "frames": 60 * rows, "bytes": size, "fields": {"rgb": rows}, "members": ["json"],
        "index": file_info(data), "skipped": {}, **_listed(folder / where / "index/train.shards.parquet", listed),
    }  # fmt: skip


def file_info(data: bytes) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _listed(path: Path, shards: list[dict[str, Any]]) -> dict[str, Any]:
    """The shards of a split, in the manifest or, if they are many, in a file beside the index."""
    from pvit_data.format.manifest import ShardInfo
    from pvit_data.format.shard_list import MAX_INLINE, write_list

    if len(shards) <= MAX_INLINE:
        return {"shards": shards}
    data = write_list([ShardInfo(**shard) for shard in shards])
    path.write_bytes(data)
    told = {"count": len(shards), "last": len(shards) - 1}
    return {"shards": [], "shard_list": file_info(data) | told}


def elsewhere(folder: Path, sizes: dict[str, int], layers: Mapping[str, Rows] | None = None) -> str:
    """The same, made by another process, so that this one's memory is its own."""
    process = multiprocessing.get_context("spawn").Process(
        target=dataset, args=(folder, sizes), kwargs={"layers": layers}
    )
    process.start()
    process.join()
    return str(folder)


def small_shards(folder: Path, numbers: Iterable[int]) -> None:
    """Shards of one sample without a picture, each with its receipt, as a conversion leaves them; none is flushed."""
    import zlib

    from pvit_data.format.index import encode_table, index_row
    from pvit_data.format.manifest import SourceSpec, dump
    from pvit_data.format.names import receipt_name, rows_name, shard_name
    from pvit_data.format.receipts import Receipt, RowsInfo, store_source
    from pvit_data.format.record import Record, write_record
    from pvit_data.format.rows import Rows
    from pvit_data.format.tar import BLOCK, END, write_member
    from pvit_data.storage.storage import Storage

    store_source(Storage(folder), SourceSpec(name="a"))

    def sha256(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    for number in numbers:
        place = ("a", "train", number)
        record = Record(key=f"a-{number:09d}", group=f"g-{number}", source="a", split="train")
        data = write_record(record)
        shard = write_member(f"{record.key}.json", data) + END
        rows = Rows()
        places = {"json": (BLOCK, len(data), zlib.crc32(data))}
        rows.add(index_row(shard_name(*place), record, 0, places))
        table = encode_table(rows.table())
        info = RowsInfo(bytes=len(table), sha256=sha256(table), members=["json"])
        receipt = Receipt(
            name=shard_name(*place), source="a", split="train", number=number, samples=1, bytes=len(shard),
            sha256=sha256(shard), rows=info,
        )  # fmt: skip
        files = {receipt.name: shard, rows_name(receipt.file): table, receipt.file: dump(receipt)}
        for name, contents in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(contents)
        assert receipt.file == receipt_name(*place)


def annotated(folder: Path, name: str, number: int, frames: int) -> None:
    """A data set of stills of 640 x 480, or of clips of 320 x 240 with depth and normals on every second frame."""
    import pvit_data

    height, width = (480, 640) if frames == 1 else (240, 320)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shift = np.arange(frames, dtype=np.float32)[:, None, None]
    planes = [128 + 100 * np.sin((x + k * y) / 40 + shift / 5) for k in range(3)]
    values: dict[str, Any] = {"rgb": np.stack(planes, -1).astype(np.uint8)}
    if frames > 1:
        values["depth"] = 2 + y / 100 + shift[::2] / 50 + 0 * x
        values["normal"] = np.broadcast_to(
            np.float32([0, 0.6, -0.8]), (frames // 2, height, width, 3)
        )
        values["fps"] = 12.0
        values["frames"] = dict.fromkeys(("depth", "normal"), np.arange(0, frames, 2))
    spaces = {"action": pvit_data.LabelSpace("verbs", ("left", "right"))}
    with pvit_data.ShardWriter(folder, name, spaces=spaces) as writer:
        for i in range(number):
            writer.write(pvit_data.Sample(key=f"{name}-{i:05d}", action=i % 2, **values))
