"""Class ids of other label spaces: the same class has the same name; what has no counterpart is refused or left out."""

from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.errors import UsageError
from pvit_data.sample.sample import Actions, Boxes

ANIMALS = LabelSpace("animals", ("cat", "dog", "cow"))
TURNED = LabelSpace("animals", ("cow", "horse", "cat", "dog"), first=1)
FIELDS = ("action", "segm", "boxes")


@pytest.fixture
def dataset(tmp_path: Path) -> pvit_data.ShardDataset:
    rgb = np.zeros((1, 4, 4, 3), np.uint8)
    with ShardWriter(tmp_path, "zoo", "train", spaces=dict.fromkeys(FIELDS, ANIMALS)) as writer:
        for i in range(3):
            boxes = Boxes(np.array([[0, 0, 0.5, 0.5]]), class_id=np.array([i]), labels=np.array([[0, i]]))
            segm = np.full((1, 4, 4), i, np.uint8)
            segm[0, 0] = 255
            actions = Actions(np.array([i]))
            writer.write(Sample(key=f"k{i}", rgb=rgb, action=i, actions=actions, segm=segm, boxes=boxes))
    return pvit_data.open(tmp_path)


def test_every_field_follows_the_names(dataset: pvit_data.ShardDataset) -> None:
    turned = dataset.with_spaces("zoo", dict.fromkeys(FIELDS, TURNED), refused=FIELDS)
    for i, expected in enumerate((3, 4, 1)):  # cat, dog, cow in TURNED, by hand
        sample = turned[i]
        assert (sample.action, turned.column("action")[i]) == (expected, expected)
        assert sample.actions is not None
        assert sample.actions.class_id.tolist() == [expected]
        assert sample.segm is not None
        assert sample.segm[0, :, 0].tolist() == [255, expected, expected, expected]
        assert sample.boxes is not None
        assert (sample.boxes.class_id.tolist(), sample.boxes.labels.tolist()) == ([expected], [[0, expected]])
        assert sample.spaces["segm"] == TURNED == turned.spaces_of("zoo")["boxes"]
        assert dataset[i].action == i


def test_ids_of_large_spaces_fit(dataset: pvit_data.ShardDataset) -> None:
    many = LabelSpace("many", (*map(str, range(300)), "cow"))
    segm = dataset.with_spaces("zoo", {"segm": many})[2].segm
    assert segm is not None
    assert segm[0, :, 0].tolist() == [65535, 300, 300, 300]


def test_a_class_that_is_lacking(dataset: pvit_data.ShardDataset) -> None:
    few = LabelSpace("few", ("dog", "cat"))
    for field in FIELDS:
        strict = dataset.with_spaces("zoo", {field: few}, refused=(field,))
        assert strict.read(1, [field]).spaces[field] == few
        with pytest.raises(UsageError, match=f"'k2': its {field} class 'cow' is none of the 2 of label space 'few'"):
            strict.read(2, [field])
    lenient = dataset.with_spaces("zoo", dict.fromkeys(FIELDS, few))[2]
    assert lenient.action == -1
    assert lenient.segm is not None
    assert (lenient.segm == 255).all()
    assert lenient.boxes is not None
    assert lenient.boxes.class_id.tolist() == [-1]


def test_equal_spaces_cost_nothing(dataset: pvit_data.ShardDataset) -> None:
    assert dataset.with_spaces("zoo", {"segm": ANIMALS})._parts[0] is dataset._parts[0]


def test_the_digest_is_over_samples_and_names_only(tmp_path: Path) -> None:
    def write(folder: Path, source: str, value: int, space: LabelSpace = ANIMALS) -> None:
        with ShardWriter(folder, source, "train", spaces={"action": space}) as writer:
            writer.write(Sample(key=source, rgb=np.full((1, 4, 4, 3), value, np.uint8), action=1))

    def digest(folder: Path) -> str:
        return pvit_data.open(folder, source="zoo").digest_of("zoo")

    for name, value in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / name, "zoo", value)
    write(tmp_path / "d", "zoo", 1, LabelSpace("animals", ("dog", "cat", "cow")))
    first = digest(tmp_path / "a")
    assert digest(tmp_path / "b") == first
    assert len({first, digest(tmp_path / "c"), digest(tmp_path / "d")}) == 3
    write(tmp_path / "a", "another", 3)
    (tmp_path / "a/README.md").write_text("another card")
    assert digest(tmp_path / "a") == first
