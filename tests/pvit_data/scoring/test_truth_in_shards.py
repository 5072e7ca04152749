"""Truth that is read from shards gives the digits that the official files give."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.sample.sample import Boxes
from tests.pvit_data.scoring import test_ava, test_ego4d


def scored(capsys: pytest.CaptureFixture[str], command: list[str], *more: str) -> dict[str, Any]:
    assert main([*command, *more, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("seed", range(2))
def test_persons_of_ava(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found, excluded = test_ava.scene(seed)
    command = test_ava.write(tmp_path, truth, found, excluded)[:-1]
    of_second = defaultdict(lambda: defaultdict(list))  # type: ignore[var-annotated]
    for row in truth:
        of_second[row.video, row.second][row.box].append(row.action)
    space = LabelSpace("ava80", tuple(f"action {n}" for n in range(1, 81)), first=1)
    with ShardWriter(tmp_path / "shards", "ava", "val", spaces={"boxes": space}) as writer:
        for movie in ("-aa_bbbbbbb", "ccccccccccc"):
            for second in range(902, 914):
                persons = of_second[movie, second]
                labels = [(n, action) for n, actions in enumerate(persons.values()) for action in actions]
                boxes = Boxes(np.array(list(persons)).reshape(-1, 4), labels=np.array(labels, int).reshape(-1, 2))
                meta = {"video_id": movie, "second": second, "excluded": (movie, second) in excluded}
                key = f"ava{movie.replace('_', '-')}-{second:04}"
                writer.write(Sample(key=key, group=movie, num_frames=1, boxes=boxes, meta=meta))
    in_shards = [*command[:-1], str(tmp_path / "shards")]
    for variant in ("pyslowfast", "activitynet", "mmaction2"):
        official = scored(capsys, command, "--protocol", variant)
        mine = scored(capsys, in_shards, "--protocol", variant)
        assert mine["mAP"] == official["mAP"]
        for name in ("per_class", "recall", "images_matched", "persons"):
            assert mine["details"][name] == official["details"][name]
        assert mine["list"]["sha256"] == official["list"]["sha256"]
    every = scored(capsys, in_shards, "--no-excluded")
    assert every["mAP"] == scored(capsys, command, "--no-excluded")["mAP"] != official["mAP"]


@pytest.mark.parametrize("metric", ["pnr", "oscc"])
def test_windows_of_ego4d(metric: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = test_ego4d.annotations(tmp_path / "fho_oscc-pnr_val.json")
    rows = json.loads(file.read_text())["clips"]
    space = LabelSpace("ego4d-oscc", ("no change", "change"))
    with ShardWriter(tmp_path / "shards", "ego4d", "val", spaces={"action": space}) as writer:
        for n, row in enumerate(rows):
            state = row.pop("state_change")
            meta = {name: value for name, value in row.items() if value is not None}
            action = None if state is None else int(state)
            writer.write(Sample(key=f"ego4d-{n}", num_frames=1, action=action, meta=meta))
    chosen = [row for row in rows if "parent_pnr_frame" in row] if metric == "pnr" else rows[:4]
    answer: Any = {"pnr": lambda n: {"pnr_frame": 11.5 * n}, "oscc": lambda n: {"state_change": n != 1}}[metric]
    answers = [{"unique_id": row["unique_id"], **answer(n)} for n, row in enumerate(chosen)]
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    command = ["score", str(tmp_path / "answers.json"), "--metric", metric, "--truth"]
    official = scored(capsys, [*command, str(file)])
    mine = scored(capsys, [*command, str(tmp_path / "shards")])
    for name in ("values", "details", "baselines"):
        assert mine.get(name) == official.get(name)
    name = {"pnr": "pnr_error_sec", "oscc": "oscc_top1"}[metric]
    assert mine[name] == official[name]


def test_shards_of_another_source_are_no_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ShardWriter(tmp_path / "shards", "mine", "val") as writer:
        writer.write(Sample(key="a", num_frames=1))
    (tmp_path / "answers.json").write_text('[{"unique_id": "a", "pnr_frame": 1}]')
    (tmp_path / "found.csv").write_text("m,0902,0.1,0.1,0.2,0.2,1,0.5\n")
    for metric, file, lacks in (("pnr", "answers.json", "ego4d"), ("ava", "found.csv", "ava")):
        arguments = ["score", str(tmp_path / file), "--metric", metric, "--truth", str(tmp_path / "shards")]
        assert main(arguments) != 0
        assert f"'pvit-data convert {lacks}' writes" in capsys.readouterr().err
