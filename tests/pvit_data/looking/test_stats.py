"""Statistics against counts made by hand."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data.format.index import NUMBERS, PLACES
from pvit_data.format.members import FIELDS, MEMBERS
from pvit_data.looking.stats import collect, histogram, spread_rows
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Boxes, Sample
from tests.pvit_data.samples import SPACES, H, T, W, bare_sample, full_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stats") / "data"
    with pvit_data.ShardWriter(out, "mine", "train", spaces=SPACES) as writer:
        for seed in (0, 1):
            depth = np.full((T, H, W), 2.0 + seed, np.float32)
            depth[:, : H // 2] = 0
            segm = np.full((T, H, W), 7)
            segm[:, :, : W // 4] = 255
            writer.write(full_sample(seed, depth=depth, segm=segm))
    with pvit_data.ShardWriter(out, "mine", "val", spaces=SPACES) as writer:
        writer.write(bare_sample(2))
        writer.write(bare_sample(4))
    with pvit_data.ShardWriter(out, "stills", "train") as writer:
        boxes = Boxes(np.zeros((0, 4), np.float32))
        writer.write(Sample(key="a", num_frames=1, height=10, width=20, boxes=boxes))
    return out


def test_totals(folder: Path) -> None:
    stats = collect(pvit_data.open(folder))
    rows = [(p.source, p.split, p.samples, p.groups, p.frames) for p in stats.parts]
    assert rows == [("mine", "train", 2, 1, 2 * T), ("mine", "val", 2, 2, 2 * T), ("stills", "train", 1, 1, 1)]
    assert stats.hours == pytest.approx((2 * T / 12.5 + 2 * T / 25) / 3600)
    assert stats.parts[0].fields["normal"] == 2
    assert stats.parts[1].fields == {"rgb": 2}
    assert stats.maps == {"depth": 2 * T, "normal": 6, "segm": 2 * T}
    assert stats.together["rgb"]["rgb"] == 4
    assert stats.together["boxes"]["boxes"] == 3
    assert stats.together["boxes"]["rgb"] == stats.together["rgb"]["boxes"] == 2
    assert stats.rates == {"12.5": 2, "25": 2}
    assert stats.sizes == {f"{W} x {H}": 4, "20 x 10": 1}
    assert stats.people == {"2": 2}
    assert (stats.boxes.edges, stats.boxes.counts) == ([0, 1, 2, 3, 4], [1, 0, 0, 2])
    members = sum(int(pvit_data.open(folder).column(f"{m}_size").sum()) for m in stats.members)
    assert stats.bytes == members == sum(part.bytes for part in stats.parts)
    assert json.loads(json.dumps(stats.to_json(), allow_nan=False))["samples"] == 5


class Columns:
    """An index of random columns: rows of several sources and splits, in any order."""

    def __init__(self, rows: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        texts = {"source": ["b", "a", "long-name"], "split": ["train", "val"], "group": [f"g{i}" for i in range(9)]}
        self.columns = {name: rng.choice(np.array(values, object), rows) for name, values in texts.items()}
        for name, dtype in NUMBERS.items():
            self.columns[name] = rng.integers(-1, 6, rows).astype(dtype)
        self.columns["fps"] = rng.choice(np.float32([0, 12.5, 29.97, 25]), rows)
        for name in PLACES:
            self.columns[name] = rng.integers(0, 2**31 if name.endswith("size") else 9, rows).astype(PLACES[name])
        self.sources = {name: SimpleNamespace() for name in texts["source"]}
        self.rows = rows
        self.notes: list[str] = []

    def __len__(self) -> int:
        return self.rows

    def column(self, name: str) -> np.ndarray:
        return self.columns[name]

    def spaces_of(self, source: str) -> dict[str, Any]:
        return {"action": LabelSpace("verbs", ("run", "sit"))} if source == "a" else {}

    def layers_of(self, source: str) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("rows", [0, 1, 7, 500])
def test_counts_are_those_of_a_loop(rows: int) -> None:
    index = Columns(rows, rows)
    stats = collect(index, 0)  # type: ignore[arg-type]
    table = [dict(zip(index.columns, values, strict=True)) for values in zip(*index.columns.values(), strict=True)]
    places = sorted({(row["source"], row["split"]) for row in table})
    assert [(p.source, p.split) for p in stats.parts] == places
    for part in stats.parts:
        mine = [row for row in table if (row["source"], row["split"]) == (part.source, part.split)]
        assert part.samples == len(mine)
        assert part.groups == len({row["group"] for row in mine})
        assert part.frames == sum(int(row["frames"]) for row in mine)
        assert part.bytes == sum(int(row[f"{m}_size"]) for row in mine for m in MEMBERS)
        assert part.fields == {f: n for f in FIELDS if (n := sum(bool(row[f"has_{f}"]) for row in mine))}
        seconds = [int(row["frames"]) / float(row["fps"]) for row in mine if row["fps"] > 0]
        assert part.hours == pytest.approx(sum(seconds) / 3600, rel=1e-12)
    assert list(stats.rates.items()) == Counter(f"{row['fps']:g}" for row in table if row["fps"] > 0).most_common()
    sizes = (f"{row['width']} x {row['height']}" for row in table if row["width"] > 0)
    assert list(stats.sizes.items()) == Counter(sizes).most_common()
    assert list(stats.people.items()) == Counter(str(r["people"]) for r in table if r["people"] >= 0).most_common()
    assert sum(stats.boxes.counts) == sum(row["boxes"] >= 0 for row in table)
    assert stats.members == {m: n for m in MEMBERS if (n := sum(int(row[f"{m}_size"]) for row in table))}
    for a, others in stats.together.items():
        for b, count in others.items():
            assert count == sum(bool(row[f"has_{a}"] and row[f"has_{b}"]) for row in table)
    for counts in stats.actions:
        labels = [r["action"] for r in table if r["source"] == counts.source and r["has_action"] and r["action"] >= 0]
        names = {0: "run", 1: "sit"} if counts.source == "a" else {}
        assert counts.counts == Counter(names.get(int(label), f"class {label}") for label in labels)


def test_scan(folder: Path) -> None:
    stats = collect(pvit_data.open(folder))
    assert stats.scanned == 5
    assert stats.depth_invalid == 0.5
    by_edge = dict(zip(stats.depth.edges, stats.depth.counts, strict=False))
    near = sum(n for edge, n in by_edge.items() if edge < 2.5)
    assert near == sum(by_edge.values()) / 2 == H // 2 * W
    segm = next(c for c in stats.classes if c.field == "segm")
    assert (segm.space, segm.unit, segm.classes) == ("nyu40", "pixels", 40)
    assert segm.counts == {"class 7": 2 * H * (W - W // 4)}
    assert segm.unlabelled == 2 * H * (W // 4)
    boxes = next(c for c in stats.classes if c.field == "boxes" and c.source == "mine")
    assert (boxes.counts, boxes.unlabelled) == ({"hand": 4, "cup": 2, "knife": 2}, 2)
    assert [(c.source, c.counts) for c in stats.actions] == [("mine", {"verb 3": 2})]


def test_scan_is_optional_and_survives_damage(folder: Path, tmp_path: Path) -> None:
    assert collect(pvit_data.open(folder), scan=0).scanned == 0
    import shutil

    shutil.copytree(folder, tmp_path / "d")
    shard = tmp_path / "d/mine/train-00000.tar"
    data = bytearray(shard.read_bytes())
    data[1000:-1000] = bytes(len(data) - 2000)
    shard.write_bytes(data)
    stats = collect(pvit_data.open(tmp_path / "d"), scan=-1)
    assert (stats.scanned, stats.unreadable) == (5, 2)


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        ([], [], []),
        ([5], [5, 6], [1]),
        ([1, 1, 3], [1, 2, 3, 4], [2, 0, 1]),
        ([0, 239], [float(10 * i) for i in range(25)], [1] + [0] * 22 + [1]),
        ([0.0, 0.5], [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55], [1] + [0] * 9 + [1]),
    ],
)
def test_histogram(values: list[float], edges: list[float], counts: list[int]) -> None:
    found = histogram(np.array(values))
    assert found.edges == pytest.approx(edges)
    assert found.counts == counts


def test_spread() -> None:
    sources = np.array(["a"] * 90 + ["b"] * 10 + ["c"], object)
    rows = spread_rows(sources, 12)
    assert [int((sources[rows] == name).sum()) for name in "abc"] == [6, 5, 1]
    assert len(set(rows)) == len(rows)
    assert len(spread_rows(sources, 0)) == 0
    assert len(spread_rows(sources, -1)) == 101
