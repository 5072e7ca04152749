"""The simulated trees of numbered videos: documented layouts, odd names, the same bytes whoever writes them."""

import csv
import json
from pathlib import Path

import av
import pytest

from pvit_converters.simulate import simulate
from pvit_data.errors import UsageError
from tests import numbered


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("source", ["kinetics400", "diving48"])
def test_bytes_do_not_depend_on_the_workers(source: str, tmp_path: Path) -> None:
    for folder, workers, seed in (("one", 1, 3), ("two", 2, 3), ("other", 1, 4)):
        simulate(source, tmp_path / folder, samples=3, preset="tiny", workers=workers, seed=seed)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert files(tmp_path / "one").keys() != files(tmp_path / "other").keys()
    with pytest.raises(UsageError, match="layout 'zip': expected one of"):
        simulate(source, tmp_path / "zip", layout="zip")


def test_the_download_of_kinetics(tmp_path: Path) -> None:
    simulate("kinetics400", tmp_path / "raw", samples=6, preset="tiny")
    there = files(tmp_path / "raw")
    with (tmp_path / "raw/k400/annotations/train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]
    assert (
        (tmp_path / "raw/k400/annotations/train.csv").read_text().splitlines()[1].startswith('"wrapping present",-mmq')
    )
    assert b"label" not in there["k400/annotations/test.csv"]
    assert b",validate," in there["k400/annotations/val.csv"]
    replaced = [name for name in there if name.startswith("k400/replacement/replacement_for_corrupted_k400/")]
    assert len(replaced) == 2
    assert "k400/train/._-mmq0PT-u8k_000417_000427.mp4" in there
    assert "k400/train/-mmq0PT-u8k_000417_000427.mp4" in there
    assert "k400/train/__8Vy3dlHg__000417_000427.mp4" not in there, "only its replacement is there"


@pytest.mark.parametrize(
    ("layout", "labels", "first"),
    [
        ("rgb", "", "rgb/{}.mp4"),
        ("videos", "annotations/", "videos/{}.mp4"),
        ("frames", "annotations/", "frames/{}/image_000001.jpg"),
        ("rawframes", "annotations/", "rawframes/{}/img_00001.jpg"),
    ],
)
def test_the_layouts_of_diving48(layout: str, labels: str, first: str, tmp_path: Path) -> None:
    simulate("diving48", tmp_path / "raw", samples=2, preset="tiny", layout=layout)
    there = files(tmp_path / "raw")
    rows = json.loads(there[f"{labels}Diving48_V2_train.json"])
    assert rows[0] == {"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, "end_frame": 20}
    assert json.loads(there[f"{labels}Diving48_vocab.json"])[17] == ["Forward", "15som", "1Twis", "FREE"]
    path = tmp_path / "raw" / first.format("-mmq0PT-u8k_00155")
    assert path.is_file()
    if path.suffix == ".mp4":
        with av.open(str(path)) as file:
            assert file.streams.video[0].codec_context.name == "h264"
            frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert [numbered.read(frame[None])[0] for frame in frames] == [(n, 0) for n in range(20)]
