"""Persons: an entry for each, in the picture of the clip; any number of them per clip of a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pvit_data
from pvit_data import ClipConfig, LabelSpace, Sample, ShardWriter
from pvit_data.errors import ConfigError
from pvit_data.sample.sample import ROLE_HAND, ROLE_PERSON, Boxes
from pvit_data.tasks.persons import persons, persons_of
from pvit_data.tasks.table import require_places

ACTIONS = LabelSpace("acts", ("sit", "stand", "talk"), first=1)
KEY, LENGTH = 7, 12
CLIP = ClipConfig(
    num_frames=8, size=(16, 16), map_size=(4, 4), rate=1, jitter=(1, 1), downstream="people",
    tasks={"people": ("persons",)}, label_classes={"persons": 3}, samplers={"people": "keyframe"},
)  # fmt: skip
CORNERS = {
    "a": [[0.25, 0.25, 0.5, 0.75], [0.5, 0.0, 0.75, 1.0]],
    "b": [],
    "c": [[0.0, 0.25, 0.125, 0.5], [0.25, 0.5, 0.375, 0.75], [0.875, 0.0, 1.0, 1.0]],
    "d": [[0.375, 0.0, 0.625, 0.5]],
}


def table(corners: list[list[float]], **columns: Any) -> Boxes:
    count = len(corners)
    labels = [[n, 1 + n % 3] for n in range(count)] + ([[0, 3]] if count else [])
    columns = {"frame": np.full(count, KEY), "role": np.full(count, ROLE_PERSON), **columns}
    return Boxes(np.array(corners).reshape(-1, 4), labels=np.array(labels, int).reshape(-1, 2), **columns)


def sample(key: str, width: int = 32) -> Sample:
    """Clips of which each frame has its own brightness, twice as wide as high; the wide ones lose their edges."""
    rgb = np.tile(np.arange(LENGTH, dtype=np.uint8)[:, None, None, None] * 20, (1, 16, width, 3))
    return Sample(key=key, rgb=rgb, fps=12.0, boxes=table(CORNERS[key]), meta={"key_frame": KEY})


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("people")
    for split in ("train", "val"):
        with ShardWriter(out, "people", split, spaces={"boxes": ACTIONS}, role="downstream", tasks=()) as writer:
            for key in CORNERS:
                writer.write(Sample(**{**vars(sample(key)), "key": f"{split}-{key}"}))
    return out


def test_what_each_person_does() -> None:
    corners = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.6, 0.9], [0, 0, 1, 1], [0, 0, 1, 1], [0.2, 0, 0.4, 1]]
    frame, role = [KEY, KEY, KEY - 1, KEY, KEY], [3, 3, 3, ROLE_HAND, 3]
    boxes = table(corners, frame=frame, role=role, score=[-1, 0.9, -1, 1, 0.7])
    shown = Sample(key="a", boxes=boxes, meta={"key_frame": KEY}, num_frames=LENGTH, spaces={"boxes": ACTIONS})
    target = persons(shown, np.arange(8), CLIP)
    assert target is not None
    np.testing.assert_allclose(target.value[:, :4], [[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.6, 0.9]])
    assert target.value[:, 4:].tolist() == [[1, 0, 1], [0, 1, 0]], "ids begin at 1"
    assert target.valid.tolist() == [True, True]
    exact = CLIP.model_copy(update={"person_score": 0.9})
    assert len(persons(shown, np.arange(8), exact).value) == 2, "0.9 as float32 is no less than 0.9"  # type: ignore[union-attr]
    loose = CLIP.model_copy(update={"person_score": 0.7})
    assert len(persons(shown, np.arange(8), loose).value) == 3  # type: ignore[union-attr]
    shown.spaces = {}
    unlabelled = persons(shown, np.arange(8), CLIP)
    assert unlabelled is not None
    assert not unlabelled.valid.any(), "of detections nobody says what they do"
    assert persons(Sample(key="a"), np.arange(8), CLIP) is None
    shown.boxes, shown.meta = table([[0, 0, 1, 1]], frame=[LENGTH // 2]), {}
    assert len(persons_of(shown, 0.8)) == 1, "without a key frame in the middle one"


def batches(people: Path, **options: Any) -> list[pvit_data.Batch]:
    ds = pvit_data.open(people, source="people", split="train")
    mixture = pvit_data.Mixture([pvit_data.MixtureSource(ds)], 4)
    clip = CLIP.model_copy(update=options.pop("clip", {}))
    return list(pvit_data.loader(mixture, 0, num_steps=6, clip=clip, **options))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_boxes_follow_crop_and_flip_and_those_outside_go(people: Path, flip: float) -> None:
    seen = set()
    for batch in batches(people, clip={"flip": flip}):
        found = batch.targets["persons"]
        assert found.rows.tolist() == sorted(found.rows.tolist())
        assert found.value.shape == (len(found.rows), 7)
        assert found.valid.all()
        assert found.valid.shape == found.rows.shape
        for row, key in enumerate(batch.keys):
            mine = found.value[found.rows == row].numpy()
            seen.add(_offset(mine, np.array(CORNERS[key[-1]]).reshape(-1, 4), flip > 0))
    assert len(seen) > 3, "crops differ"


def _offset(found: np.ndarray, corners: np.ndarray, flip: bool) -> int:
    """The left column of the crop of 16 columns of 32 that explains the boxes."""
    for left in range(17):
        expected = np.array(corners)
        expected[:, [0, 2]] = np.clip((32 * expected[:, [0, 2]] - left) / 16, 0, 1)
        if flip:
            expected[:, [0, 2]] = 1 - expected[:, [2, 0]]
        expected = expected[expected[:, 2] > expected[:, 0]]
        if expected.shape == found[:, :4].shape and np.allclose(expected, found[:, :4], atol=1e-6):
            return left
    raise AssertionError((found, corners))


def test_in_evaluation_every_person_stays(people: Path) -> None:
    ds = pvit_data.open(people, source="people", split="val")
    (batch,) = pvit_data.eval_loader(ds, CLIP, batch_size=4)
    found = batch.targets["persons"]
    assert found.rows.tolist() == [r for r, key in enumerate(batch.keys) for _ in CORNERS[key[-1]]]
    at = batch.keys.index("val-c")
    # The middle crop shows columns 8 to 24 of 32.
    np.testing.assert_allclose(
        found.value[found.rows == at, :4], [[0, 0.25, 0, 0.5], [0, 0.5, 0.25, 0.75], [1, 0, 1, 1]]
    )
    shown = batch.video[at, 0, :, 0, 0] * 0.225 + 0.45
    np.testing.assert_allclose(shown * 255 / 20, np.clip(KEY + np.arange(8) - 4, 0, LENGTH - 1), atol=0.2)


def test_batches_without_anybody_and_exact_resume(people: Path) -> None:
    ds = pvit_data.open(people, source="people", split="val")
    alone = ds.select([ds.column("key").tolist().index("val-b")])
    (nobody,) = pvit_data.eval_loader(alone, CLIP)
    assert nobody.targets["persons"].value.shape == (0, 7)
    assert nobody.targets["persons"].valid.shape == (0,)
    pvit_data.testing.assert_exact_resume(lambda start: _loader(people, start), steps=3)


def _loader(people: Path, start: int) -> Any:
    ds = pvit_data.open(people, source="people", split="train")
    mixture = pvit_data.Mixture([pvit_data.MixtureSource(ds)], 4)
    return pvit_data.loader(mixture, 0, num_steps=3 - start, start_step=start, clip=CLIP)


def test_shuffled_annotations_leave_labels_where_they_are(people: Path) -> None:
    for plain, shuffled in zip(batches(people), batches(people, clip={"shuffle_labels": True}), strict=True):
        assert plain.keys == shuffled.keys
        assert torch.equal(plain.targets["persons"].value, shuffled.targets["persons"].value)


def test_pictures_are_not_turned_under_the_boxes() -> None:
    with pytest.raises(ConfigError, match="trains persons, which would not follow"):
        require_places(CLIP.model_copy(update={"rand_geometry": True}), "people", ["persons"])
