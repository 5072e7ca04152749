"""The views of a video in an evaluation: as each would be read alone, from frames that are decoded once."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data import Sample, ShardWriter
from pvit_data.clips.config import ClipConfig
from pvit_data.codecs.video import container
from pvit_data.loading import clip_reader
from pvit_data.loading.clip_reader import ClipReader
from pvit_data.mixing.sources import SampleSet

VIDEOS, LENGTH = 5, 24
SIZE = (48, 80)
TASKS = {"films": ("action", "depth")}
CLIP = ClipConfig(num_frames=4, size=(32, 32), rate=2, downstream="films", tasks=TASKS, samplers={"films": "dense"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos with a map of depth in every frame, and a still."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    space = pvit_data.LabelSpace("kinds", ("a", "b"))
    with ShardWriter(folder, "films", spaces={"action": space}, tasks=("depth",), role="downstream") as writer:
        for number in range(VIDEOS):
            frames = 1 if number == 2 else LENGTH
            rgb = rng.integers(0, 255, (frames, *SIZE, 3), np.uint8)
            depth = rng.uniform(1, 9, (frames, *SIZE)).astype(np.float32)
            writer.write(Sample(key=f"f{number}", rgb=rgb, fps=30 * bool(frames - 1), depth=depth, action=number % 2))
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every file that a decoder was opened for."""
    found: list[Any] = []
    plain = container.av.open

    def counted(*args: Any, **options: Any) -> Any:
        found.append(args[0])
        return plain(*args, **options)

    monkeypatch.setattr(container.av, "open", counted)
    return found


@pytest.mark.parametrize(("views", "batch", "rows"), [
    ((1, 3), 16, [15]), ((1, 3), 7, [6, 6, 3]), ((2, 3), 16, [12, 12, 6]), ((3, 2), 5, [4, 2] * 5),
    ((2, 2), 1, [1] * 20),
])  # fmt: skip
def test_views_are_those_of_single_reads(folder: Path, views: tuple[int, int], batch: int, rows: list[int]) -> None:
    ds: SampleSet = pvit_data.open(folder)
    alone, number = ClipReader(ds, CLIP, TASKS), views[0] * views[1]
    loader = pvit_data.eval_loader(ds, CLIP, batch, views=views)
    assert [len(each.keys) for each in loader] == rows
    seen: Counter[str] = Counter()
    for each in loader:
        for row, (key, video) in enumerate(zip(each.keys, each.video, strict=True)):
            clip = alone.view(int(key[1:]), seen[key], views)
            seen[key] += 1
            mean, std = (np.float32(part)[:, None, None, None] for part in (CLIP.mean, CLIP.std))
            truth = (clip.rgb[clip.order].transpose(3, 0, 1, 2) / np.float32(255) - mean) / std
            assert np.allclose(video, truth, rtol=0, atol=1e-5)
            for name, target in clip.targets.items():
                place = each.targets[name].rows.tolist().index(row)
                np.testing.assert_array_equal(each.targets[name].value[place], target.value)
                np.testing.assert_array_equal(each.targets[name].valid[place], target.valid)
    assert seen == Counter({f"f{n}": number for n in range(VIDEOS)})


@pytest.mark.parametrize(("views", "held", "each"), [((1, 3), 1, 1), ((4, 3), 1, 1), ((4, 3), 0, 4)])
def test_a_video_is_decoded_once(
    folder: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch, views: tuple[int, int], held: int, each: int
) -> None:
    """Not for each crop; of clips whose frames are too many to be held together, for each clip."""
    if not held:
        monkeypatch.setattr(clip_reader, "AT_ONCE", 0)
    ds = pvit_data.open(folder).select([0, 1, 3, 4])
    shown = sum(len(batch.keys) for batch in pvit_data.eval_loader(ds, CLIP, 16, tasks=["action"], views=views))
    assert shown == 4 * views[0] * views[1]
    assert len(opened) == 4 * each


@pytest.mark.parametrize("workers", [0, 2])
def test_some_batches_by_their_numbers(folder: Path, workers: int) -> None:
    ds = pvit_data.open(folder)
    loader = pvit_data.eval_loader(ds, CLIP, 3, views=(1, 3), workers=workers)
    every = {batch.step: batch for batch in loader}
    some = list(loader.only([4, 0, 3]))
    assert [batch.step for batch in some] == [4, 0, 3]
    for batch in some:
        assert batch.keys == every[batch.step].keys
        assert batch.video.equal(every[batch.step].video)
    assert list(loader.only([])) == []
