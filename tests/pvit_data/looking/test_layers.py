"""The table of layers covers every field of the format, and whoever shows samples goes by it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_data.format.members import FIELDS
from pvit_data.looking import facts as facts_module
from pvit_data.looking import sheet
from pvit_data.looking.facts import facts
from pvit_data.looking.gallery.preview import preview
from pvit_data.looking.layers import COLUMNS, LAYERS, MAPS, Layer, mapped_frames
from pvit_data.looking.stats import collect
from pvit_data.looking.tiles import Tile
from pvit_data.sample.sample import DENSE_FIELDS
from tests.pvit_data.samples import SPACES, full_sample


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> pvit_data.ShardDataset:
    out: Path = tmp_path_factory.mktemp("layers") / "data"
    with pvit_data.ShardWriter(out, "mine", "train", licence="MIT", spaces=SPACES) as writer:
        writer.write(full_sample(0))
    return pvit_data.open(out)


def test_every_field_has_a_layer() -> None:
    names = [layer.name for layer in LAYERS]
    assert len(set(names)) == len(names)
    assert set(names) - {"pose"} == set(FIELDS) - {"pose2d", "pose3d"}
    assert [layer.name for layer in MAPS] == list(DENSE_FIELDS)
    keys = [layer.key for layer in LAYERS if layer.key]
    assert len(set(keys)) == len(keys)


def test_a_full_sample_shows_in_every_way(dataset: pvit_data.ShardDataset) -> None:
    record = dataset.record(0)
    sample, frame = sheet.read_frame(dataset, 0)
    assert tuple(sheet.tiles(sample, frame, 40)) == COLUMNS
    named = dict(facts(dataset, 0, sample, record))
    assert {"depth", "normal", "segm", "boxes", "action", "actions", "camera"} <= named.keys()
    entry = preview(dataset, 0)
    assert list(entry["layers"]) == [layer.name for layer in LAYERS if layer.sprite]
    assert set(entry["classes"]) == {layer.name for layer in LAYERS if layer.classes}
    assert entry["boxes"]
    assert entry["joints"]
    counted = {counts.field for counts in collect(dataset).classes}
    assert counted == {layer.name for layer in LAYERS if layer.scanned and layer.classes}
    expected = sorted(f for name in DENSE_FIELDS for f in sample_frames(dataset, name))
    assert mapped_frames(record) == expected


def sample_frames(dataset: pvit_data.ShardDataset, name: str) -> list[int]:
    frames: list[int] = dataset[0].frames_of(name).tolist()
    return frames


def test_a_new_row_is_drawn_and_described(dataset: pvit_data.ShardDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    green = Layer(
        name="green",
        tile=lambda sample, frame, ground: Tile(np.full_like(ground, (0, 255, 0)), f"green {frame}"),
        line=lambda sample, record: ("green", f"{record.frames} times"),
    )
    hidden = replace(green, name="nothing", tile=lambda *_: None, line=lambda *_: None)
    for module in (sheet, facts_module):
        monkeypatch.setattr(module, "LAYERS", (*LAYERS, green, hidden))
    sample, frame = sheet.read_frame(dataset, 0)
    found = sheet.tiles(sample, frame, 40)
    assert list(found) == [*COLUMNS, "green"]
    assert (found["green"].picture == (0, 255, 0)).all()
    assert ("green", "6 times") in facts(dataset, 0, sample, dataset.record(0))
