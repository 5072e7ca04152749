"""Evaluation on whole frames: batches of one shape, nothing left out, and boxes stay where they are."""

from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.clips.config import ClipConfig
from pvit_data.clips.crops import uncropped
from pvit_data.errors import FormatError
from pvit_data.loading.loader import eval_loader
from pvit_data.sample.sample import ROLE_PERSON, Boxes

SPACE = LabelSpace("deeds", ("sit", "run"))
CLIP = ClipConfig(
    num_frames=2, size=(32, 32), rate=1, downstream="films", tasks={"films": ("persons",)},
    samplers={"films": "keyframe"}, label_classes={"persons": 2}, mean=(0.0,) * 3, std=(1.0,) * 3,
)  # fmt: skip
SIZES = ((64, 96), (64, 64), (96, 64), (40, 90), (64, 96), (40, 92), (64, 96), (80, 120))  # (h, w)
SHOWN = {(32, 48): 4, (32, 32): 1, (48, 32): 1, (32, 72): 2}
"""Of a short side of 32: 40 x 92 would be 73 wide."""


def films(folder: Path) -> Path:
    """Each film has as many persons as its number: white boxes on black, which nobody else is in."""
    with ShardWriter(folder, "films", spaces={"boxes": SPACE}) as writer:
        for number, (height, width) in enumerate(SIZES):
            rgb = np.zeros((3, height, width, 3), np.uint8)
            corners = []
            for n in range(number):
                left, right = (round(width * share) for share in (n / 8, (n + 1) / 8))
                rgb[:, height // 4 : height // 2, left:right] = 60 + 20 * n
                corners.append([left / width, 0.25, right / width, 0.5])
            at = {"frame": np.ones(number, int), "role": np.full(number, ROLE_PERSON)}
            labels = np.array([[n, n % 2] for n in range(number)]).reshape(-1, 2)
            boxes = Boxes(np.array(corners).reshape(-1, 4), labels=labels, **at)
            writer.write(Sample(key=f"f{number}", rgb=rgb, fps=8, boxes=boxes, meta={"key_frame": 1}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films(tmp_path_factory.mktemp("films"))


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_of_one_shape_lose_nothing(folder: Path, ranks: int, workers: int) -> None:
    ds = pvit_data.open(folder)
    seen: dict[str, tuple[int, int]] = {}
    for rank in range(ranks):
        loader = eval_loader(ds, CLIP, 2, whole=4, rank=rank, world_size=ranks, workers=workers)
        batches = list(loader)
        assert len(batches) == len(loader)
        for batch in batches:
            targets, size = batch.targets["persons"], tuple(batch.video.shape[3:])
            for row, key in enumerate(batch.keys):
                assert key not in seen
                seen[key] = size
                own = targets.value[targets.rows == row].numpy()
                stored = ds.read(int(key[1:])).boxes
                np.testing.assert_array_equal(own[:, :4], stored.xyxy)
                assert own[:, 4:].argmax(1).tolist() == [n % 2 for n in range(len(own))]
                for n, box in enumerate(own[:, :4]):
                    x, y = (box[0] + box[2]) / 2 * size[1], (box[1] + box[3]) / 2 * size[0]
                    grey = batch.video[row, 0, 0, int(y), int(x)].item() * 255
                    assert abs(grey - (60 + 20 * n)) < 16, (key, n)
    assert sorted(seen) == [f"f{n}" for n in range(len(SIZES))]
    assert {size: [*seen.values()].count(size) for size in SHOWN} == SHOWN


def test_a_frame_that_is_too_long_is_refused() -> None:
    assert uncropped((240, 320), ClipConfig(), 1).size == (224, 298)
    assert uncropped((320, 240), ClipConfig(), 16).size == (288, 224)
    assert uncropped((300, 300), ClipConfig(), 4).size == (224, 224)
    with pytest.raises(FormatError, match="frames of 16384 x 4 pixels, 16 of them 224 pixels high and whole"):
        uncropped((4, 16384), ClipConfig(), 4)
