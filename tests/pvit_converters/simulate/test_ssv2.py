"""The simulated SSv2 tree: documented layout and label files, balance, verbs that do what they say, real videos."""

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from pvit_converters.simulate import simulate
from pvit_converters.simulate.world.actions import (
    ACTOR,
    OTHER_VERBS,
    PARTNER,
    SHAPES_A,
    SIDED_VERBS,
    STYLES,
    VERBS,
    action_clip,
)
from pvit_converters.simulate.world.film import develop
from pvit_converters.simulate.world.render import Render, render
from pvit_data.errors import UsageError


def load(path: Path) -> list[dict[str, str]]:
    value: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return value


def name(template: str) -> str:
    return template.replace("[", "").replace("]", "")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("ssv2")
    simulate("ssv2", folder / "raw", preset="tiny", truth=folder / "truth", train=16, validation=8, test=2)
    return folder / "raw", folder / "truth"


def test_the_layout_is_the_current_download(tree: tuple[Path, Path]) -> None:
    raw = tree[0]
    labels = json.loads((raw / "labels/labels.json").read_text())
    assert list(labels) == sorted(labels)
    assert list(labels.values()) == [str(i) for i in range(8)]
    train, validation = load(raw / "labels/train.json"), load(raw / "labels/validation.json")
    assert set(train[0]) == {"id", "label", "template", "placeholders"}
    for rows, each in ((train, 2), (validation, 1)):
        assert Counter(name(r["template"]) for r in rows) == dict.fromkeys(labels, each)
        for r in rows:
            filled = r["template"]
            for thing in r["placeholders"]:
                filled = filled[: filled.index("[")] + thing + filled[filled.index("]") + 1 :]
            assert filled.lower() == r["label"]
    assert any("something" not in r["template"].split("]")[0] for r in train), "brackets hold more than [something]"
    test = load(raw / "labels/test.json")
    assert [list(r) for r in test] == [["id"]] * 2
    with (raw / "labels/test-answers.csv").open(newline="") as file:
        answers = list(csv.reader(file, delimiter=";"))
    assert {a for a, _ in answers} == {r["id"] for r in test}
    assert {b for _, b in answers} <= set(labels)
    files = {p.name for p in (raw / "20bn-something-something-v2").iterdir()}
    assert files == {f"{r['id']}.webm" for r in [*train, *validation, *test]}


def test_videos_are_vp9_and_show_the_render(tree: tuple[Path, Path]) -> None:
    raw = tree[0]
    for path in sorted((raw / "20bn-something-something-v2").iterdir())[:6]:
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            assert stream.codec_context.name in ("vp9", "libvpx-vp9")
            assert (stream.average_rate, stream.width, stream.height) == (12, 32, 32)
            frames = [f.to_ndarray(format="rgb24") for f in file.decode(stream)]
        assert len(frames) == 8
        assert np.std(frames[0]) > 5
        assert np.abs(frames[0].astype(int) - frames[-1]).max() > 30


def test_mp4_and_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    digests = []
    for folder, workers in (("one", 1), ("two", 2)):
        simulate("ssv2", tmp_path / folder, samples=6, preset="tiny", container="mp4", workers=workers, seed=3)
        files = sorted(p for p in (tmp_path / folder).rglob("*") if p.is_file())
        digests.append([(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files])
    assert digests[0] == digests[1]
    assert sum(n.endswith(".mp4") for n, _ in digests[0]) == 6


def test_webm_bytes_repeat(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        simulate("ssv2", tmp_path / folder, samples=2, preset="tiny", seed=1)
    a, b = (sorted((tmp_path / f).rglob("*.webm")) for f in ("a", "b"))
    assert [p.read_bytes() for p in a] == [p.read_bytes() for p in b]


def test_a_compositional_split_shares_no_pair_of_verb_group_and_shape(tmp_path: Path) -> None:
    simulate("ssv2", tmp_path / "raw", samples=40, preset="tiny", compositional=True, truth=tmp_path / "truth")
    pairs: dict[str, set[tuple[str, bool]]] = {"train": set(), "validation": set()}
    for clip in load(tmp_path / "truth/clips.json"):
        if clip["split"] != "test":
            pairs[clip["split"]].add((clip["verb"], clip["actor"] in SHAPES_A))
    assert not pairs["train"] & pairs["validation"]
    assert {v for v, _ in pairs["train"]} == set(VERBS)


def pictures(verb: str, seeds: int = 6) -> list[Render]:
    rngs = (np.random.default_rng([seed, 77]) for seed in range(seeds))
    return [render(action_clip(rng, verb, STYLES["default"], 6, 48, 48).scene) for rng in rngs]


def paths(got: Render) -> tuple[np.ndarray, np.ndarray]:
    """World centres (T,3) of actor and partner."""
    by = {p.instance: p for p in got.scene.primitives}
    return tuple(np.broadcast_to(by[i].pose[:, :3, 3], (6, 3)) for i in (ACTOR, PARTNER))  # type: ignore[return-value]


def test_verbs_do_what_they_say() -> None:
    for got in pictures("pass_in_front") + pictures("pass_behind"):
        actor, partner = paths(got)
        assert (actor[0, 0] - partner[0, 0]) * (actor[-1, 0] - partner[-1, 0]) < 0, "passes from one side to the other"
    assert all((paths(g)[0][:, 1] < paths(g)[1][:, 1]).all() for g in pictures("pass_in_front"))
    assert all((paths(g)[0][:, 1] > paths(g)[1][:, 1]).all() for g in pictures("pass_behind"))
    for got in pictures("lift_up"):
        assert np.ptp(paths(got)[0][:, 2]) > 0.5
        assert paths(got)[0][-1, 2] > paths(got)[0][0, 2]
    assert all(paths(g)[0][-1, 2] < paths(g)[0][0, 2] - 0.4 for g in pictures("fall_down"))
    assert all(paths(g)[0][-1, 1] < paths(g)[0][0, 1] - 1 for g in pictures("move_towards_camera"))
    for got in pictures("put_onto"):
        actor, partner = paths(got)
        assert np.abs(actor[-1, :2] - partner[-1, :2]).max() < 0.05
        assert actor[-1, 2] > partner[-1, 2]
    for got in pictures("approach_each_other"):
        actor, partner = paths(got)
        assert np.abs(actor - partner)[0, 0] > np.abs(actor - partner)[-1, 0] + 0.8
    for verb, towards in (("grow_in_place", 1), ("shrink_in_place", -1)):
        for got in pictures(verb):
            areas = (got.ids("instance") == ACTOR).sum((1, 2))
            assert (areas[-1] - areas[0]) * towards > 0
            assert np.ptp(paths(got)[0][:, :2], axis=0).max() == 0


@pytest.mark.parametrize(("verb", "towards"), [("push_to_the_right", 1), ("push_to_the_left", -1)])
def test_sided_verbs_cross_the_picture(verb: str, towards: int) -> None:
    """As it is seen: from one half of the picture to the other."""
    for got in pictures(verb):
        shown = got.ids("instance") == ACTOR
        columns = [np.nonzero(frame.any(0))[0].mean() for frame in shown if frame.any()]
        assert (columns[-1] - columns[0]) * towards > 48 / 4
        assert (columns[0] - 24) * towards < 0 < (columns[-1] - 24) * towards


@pytest.mark.parametrize("verb", VERBS + OTHER_VERBS + SIDED_VERBS)
def test_every_verb_shows_actor_and_partner(verb: str) -> None:
    for got in pictures(verb, 3):
        shown = [(got.ids("instance") == i).any((1, 2)) for i in (ACTOR, PARTNER)]
        assert np.mean(shown) > 0.6
        assert got.surface.mean() > 0.95


def test_the_gap_adds_noise_and_the_easy_style_has_none() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((2, 16, 16, 3), 0.4, np.float32)
    assert np.ptp(develop(flat, rng, 0.0)) == 0
    assert develop(flat, rng, 1.0).std() > 1
    easy = STYLES["easy"]
    assert (easy.gap, easy.clutter, easy.figure) == (0, 0, 0)


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="style one of easy, default, hard"):
        simulate("ssv2", tmp_path / "x", style="medium")
    with pytest.raises(UsageError, match="container one of webm, mp4, frames"):
        simulate("ssv2", tmp_path / "x", container="avi")
    assert not (tmp_path / "x").exists()
