"""The examples of docs/format.md are true: its bytes, its key table, its forty-line reader."""

import re
from pathlib import Path

import numpy as np

import pvit_data
from pvit_data.codecs import depth
from pvit_data.format.index import COLUMNS
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.members import MEMBER_OF_EXTENSION
from pvit_data.format.record import LAYER_TYPES, TYPES
from pvit_data.sample.kinect25 import NAMES
from tests.pvit_data.samples import SPACES, bare_sample, full_sample

PAGE = (Path(__file__).parents[3] / "docs/format.md").read_text()


def test_worked_example() -> None:
    rows = re.findall(r"^[0-9a-f]{4}  ((?:[0-9a-f]{2} ?)+)$", PAGE, re.MULTILINE)
    data = bytes.fromhex("".join(rows))
    value = np.array([[[1, 2], [0, 2.5]]], np.float32)
    assert depth.encode_depth(value, depth.DepthEncoding()) == data
    np.testing.assert_array_equal(depth.decode_depth(data, depth.DepthEncoding()), value)


def test_forty_line_reader(tmp_path: Path) -> None:
    with pvit_data.ShardWriter(tmp_path, "mine", spaces=SPACES) as writer:
        writer.write(bare_sample(0))
        writer.write(full_sample(2))
    code = re.search(r"```python\n(import json.*?)```", PAGE, re.DOTALL)
    assert code is not None
    scope: dict[str, object] = {}
    exec(code[1], scope)  # the page's own code
    depths = scope["depths"]
    assert callable(depths)
    found = list(depths(tmp_path / "mine/train-00000.tar"))
    truth = pvit_data.open(tmp_path)[1]
    assert [(key, frames) for key, frames, _ in found] == [("mine-0002", list(range(6)))]
    np.testing.assert_array_equal(found[0][2], truth.depth)


def test_tables_name_everything() -> None:
    record = set(re.findall(r"`(\w+)`", PAGE.split("## 3.")[1].split("## 4.")[0]))
    assert set(TYPES) <= record
    layers = PAGE.split("## 9c.")[1].split("## 10.")[0]
    assert all(f"`{name}`" in layers for name in (*(LAYER_TYPES.keys() - TYPES.keys()), "meta_bytes"))
    assert all(f"{name}" in layers for name in LayerSpec.model_fields.keys() - SourceSpec.model_fields.keys())
    assert all(f"`{extension}`" in PAGE for extension in MEMBER_OF_EXTENSION)
    assert ", ".join(NAMES).replace("\n", " ") in PAGE.replace("\n", " ")
    index = PAGE.split("## 8.")[1].split("## 9.")[0]
    assert all(
        f"`{name.rpartition('_')[0]}`" in index or f"`{name}`" in index or name.startswith("has_") for name in COLUMNS
    )
