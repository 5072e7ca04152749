"""Ego4D: a simulated download converts to its truth, and every trap of the raw data is met."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import pvit_data
from pvit_converters.ego4d import Ego4dConverter, Ego4dOptions
from pvit_converters.ego4d.layout import find_videos
from pvit_converters.ego4d.listing import key_of
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_converters.raw.reencoding import Reencoding
from pvit_converters.simulate import simulate
from pvit_converters.simulate.long_video import number_of, write_long_video
from pvit_data.clips.config import ClipConfig
from pvit_data.clips.frames import ego4d_grid
from pvit_data.codecs.video.long import table
from pvit_data.errors import SourceError, UsageError
from pvit_data.loading.clip_reader import ClipReader


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ego4d")
    simulate("ego4d", folder / "raw", preset="tiny", seed=1, truth=folder / "truth")
    return folder / "raw", json.loads((folder / "truth/windows.json").read_text())


@pytest.fixture(scope="module")
def shards(tree: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "out"
    report = convert(Job(Ego4dConverter, tree[0], str(out), Ego4dOptions(split="all", short_side=32)))
    assert report.failed == {}
    return out


@pytest.fixture(scope="module")
def converted(shards: Path) -> dict[str, pvit_data.Sample]:
    return {s.meta["unique_id"]: s for s in pvit_data.open(shards)}


def present(truth: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(s, row) for s, rows in truth["rows"].items() for row in rows if not row["video_uid"].startswith("90e")]


def test_windows_hold_their_frames(tree: tuple[Path, dict[str, Any]], converted: dict[str, pvit_data.Sample]) -> None:
    truth = tree[1]
    assert len(converted) == len(present(truth))
    for split, row in present(truth):
        sample = converted[row["unique_id"]]
        assert sample.rgb is not None
        shown = [number_of(picture) for picture in np.asarray(sample.rgb)]
        first, last = row["parent_start_frame"], row["parent_end_frame"]
        if row["video_uid"].startswith("0c1"):  # only the canonical clip is there
            first, last = first - truth["clip_from"], last - truth["clip_from"]
        if row["video_uid"].startswith("e4d"):
            last = truth["short"] - 1
            assert sample.meta["warnings"] == ["video-ends-before-window"]
        assert shown == list(range(first, last + 1))
        assert sample.meta["stored_frames"] == len(shown)
        assert (sample.split, sample.fps) == (split, 30.0)


def test_what_changes_and_when(tree: tuple[Path, dict[str, Any]], converted: dict[str, pvit_data.Sample]) -> None:
    for split, row in present(tree[1]):
        sample = converted[row["unique_id"]]
        state = row.get("state_change")
        if split == "test" or state is None:
            assert (sample.action, sample.actions) == (None, None)
            continue
        assert sample.action == int(state)
        assert sample.actions is not None
        if state:
            when = np.float32((row["parent_pnr_frame"] - row["parent_start_frame"]) / 30)
            assert sample.actions.class_id.tolist() == [1]
            assert sample.actions.start.tolist() == sample.actions.end.tolist() == [when]
        else:
            assert len(sample.actions) == 0, "looked for, and there is none"
        for name in ("parent_start_frame", "parent_end_frame", "parent_start_sec", "parent_end_sec", "video_uid"):
            assert sample.meta[name] == row[name], "unrounded"
        assert sample.group == (row["clip_uid"] or f"{row['video_uid']} {split}")


def test_clips_lie_on_the_grid_of_the_full_video(shards: Path) -> None:
    ds = pvit_data.open(shards, split="val")
    config = ClipConfig(size=(64, 64), mean=(0, 0, 0), std=(1, 1, 1), downstream="ego4d")
    reader = ClipReader(ds, config, {"ego4d": ("action",)})
    seen = 0
    for row in range(len(ds)):
        meta = ds[row].meta
        if meta["video_uid"].startswith("80b"):
            clip = np.asarray(reader.view(row).rgb)
            frames = clip if clip.shape[-1] == 3 else np.moveaxis(clip, 0, -1)
            wanted = ego4d_grid(meta["parent_start_frame"], meta["parent_end_frame"])
            assert [number_of(picture) for picture in frames] == wanted.tolist()
            seen += 1
    assert seen >= 2


def test_what_is_missing_is_told_apart(tree: tuple[Path, dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    found = Ego4dConverter(tree[0], Ego4dOptions()).list_items()
    assert found.absent == {
        "video not downloaded (it is in the manifest)": 1,
        "video not in this version's manifest": 1,
    }
    notes = " | ".join(found.notes)
    assert "1 window of which no true or false says whether a state changes" in notes
    assert "1 video in several splits" in notes
    assert "2 pairs of overlapping windows of one video contradict each other; kept (listed with -v)" in notes
    rows = [row for split in ("train", "val") for row in tree[1]["rows"][split]]
    wanted = {
        (a["unique_id"], b["unique_id"])
        for a in rows
        for b in rows
        if a["video_uid"] == b["video_uid"] and a.get("state_change") is True and b.get("state_change") is False
        and a["parent_start_frame"] <= b["parent_end_frame"] and b["parent_start_frame"] <= a["parent_end_frame"]
    }  # fmt: skip
    assert len(wanted) == 2
    assert all(any(f"changes in {a} (" in t and f"none in {b} (" in t for t in caplog.messages) for a, b in wanted)
    assert "its log says 403 or 404" in notes


def test_keys_have_their_length() -> None:
    real = "80b0c4fd-185a-42f4-94c3-a3cc44d28e21-2_487695266666667-10_487695266666666"
    assert key_of(real) == f"ego4d-{real}"
    assert len(key_of(real)) == 79
    assert key_of(real + "66") == "ego4d-" + hashlib.sha256(f"{real}66".encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"clips": [{"clip_id": 1, "frames": []}]}', r"another file of Ego4D \(it has clip_id, frames\)"),
        ("[]", r"train\.json: no window is listed"),
        ('{"clips": []}', r"train\.json: no window is listed"),
        ("[3]", r"another file of Ego4D \(it has int\)"),
        ('{"videos": []}', "the one that is wanted is fho_oscc-pnr_train.json"),
        (
            '[{"unique_id": "a", "video_uid": "b", "parent_start_frame": 9, "parent_end_frame": 3}]',
            "'a' reaches from frame 9 to 3",
        ),
        (
            '[{"unique_id": "a", "video_uid": "b", "parent_start_frame": 1e99, "parent_end_frame": 3}]',
            "expected a frame's number",
        ),
    ],
)
def test_wrong_files_are_told(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "full_scale").mkdir()
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(SourceError, match=said):
        Ego4dConverter(tmp_path, Ego4dOptions()).list_items()


def test_files_of_other_tasks_are_named(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/fho_scod_train.json").write_text("{}")
    with pytest.raises(SourceError, match=r"fho_scod_train\.json there: of other tasks"):
        Ego4dConverter(tmp_path, Ego4dOptions()).list_items()


def test_the_frames_of_a_video_are_listed_once(
    tree: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By two tasks of a job array, each as if it were a process of its own; nothing of that is left behind."""
    made: list[int] = []
    read = table._read
    monkeypatch.setattr(table, "KEPT", 0)
    table._tables.clear()
    monkeypatch.setattr(table, "_read", lambda file: (made.append(file.identity[1]), read(file))[1])
    settings = Settings(shard_bytes=1)
    jobs = [
        Job(
            Ego4dConverter, tree[0], str(tmp_path / "out"), Ego4dOptions(split="all", short_side=32),
            settings=settings, workers=1, task_index=task, num_tasks=2,
        )
        for task in (0, 1)
    ]  # fmt: skip
    assert not convert(jobs[0]).complete
    kept = list((tmp_path / "out/ego4d").glob(".*.frames"))
    assert len(kept) == len(set(made)) == len(made) > 1
    kept[0].write_bytes(b"damaged")
    report = convert(jobs[1])
    assert report.complete
    assert len(set(made)) <= len(made) <= len(set(made)) + 1, "the damaged one again"
    assert report.converted > len(made)
    assert not list((tmp_path / "out").rglob(".*"))


ROW = {"video_uid": "v", "clip_uid": None, "parent_start_frame": 10, "parent_end_frame": 30}


def test_a_bare_list_of_videos_at_another_rate(tmp_path: Path) -> None:
    """As the published loader has it: train.json, no .mp4. Frame n is the n-th one that is shown, whatever the rate."""
    raw = tmp_path / "raw"
    write_long_video(raw / "full_scale/v.mp4", 60, Fraction(25), [range(60)])
    (raw / "full_scale/v.mp4").rename(raw / "full_scale/v")
    (raw / "full_scale/broken.mp4").write_bytes((raw / "full_scale/v").read_bytes()[:500])
    states = {
        "no": {"state_change": False, "pnr_frame": None},
        "null": {"state_change": None},
        "missing": {},
        "text": {"state_change": "yes"},
    }
    states["outside"] = {"state_change": True, "parent_pnr_frame": 31}
    rows = [{**ROW, "unique_id": name, **told} for name, told in states.items()]
    rows.append({**ROW, "unique_id": "of a broken video", "video_uid": "broken", "state_change": True})
    (raw / "train.json").write_text(json.dumps(rows))
    options = Ego4dOptions(split="train", short_side=0)
    report = convert(Job(Ego4dConverter, raw, str(tmp_path / "out"), options, workers=1, max_failed=0.5))
    assert report.failed == {"corrupt-video": 1}
    samples = {s.meta["unique_id"]: s for s in pvit_data.open(tmp_path / "out")}
    assert {name: s.action for name, s in samples.items()} == {
        "no": 0,
        **dict.fromkeys(("null", "missing", "text", "outside")),
    }
    assert samples["no"].actions is not None
    assert len(samples["no"].actions) == 0
    for sample in samples.values():
        assert [number_of(picture) for picture in np.asarray(sample.rgb)] == list(range(10, 31))
        assert sample.fps == pytest.approx(25)
    assert samples["outside"].actions is None
    assert any("1 window whose change lies outside" in note for note in report.notes)
    assert any("3 windows of which no true or false says whether a state changes" in note for note in report.notes)


@pytest.mark.parametrize(("rate", "warned"), [(30, set()), (25, {"rate-differs-from-the-seconds-of-the-row"})])
def test_a_change_that_is_not_stored_is_no_label(rate: int, warned: set[str], tmp_path: Path) -> None:
    """The video has frames 0 to 24, the window goes from 10 to 30, which its row calls 20/30 s."""
    write_long_video(tmp_path / "full_scale/v.mp4", 25, Fraction(rate), [range(25)])
    told = {"parent_start_sec": 10 / 30, "parent_end_sec": 30 / 30, "state_change": True}
    rows = [{**ROW, **told, "unique_id": str(frame), "parent_pnr_frame": frame} for frame in (24, 25)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    converter = Ego4dConverter(tmp_path, Ego4dOptions(short_side=0))
    seen, unseen = (converter.load(item) for item in converter.list_items().items)
    assert seen.actions is not None
    assert (seen.action, seen.actions.start.tolist()) == (1, [np.float32(14 / 30)])
    assert set(seen.meta["warnings"]) == {"video-ends-before-window"} | warned
    assert (unseen.action, unseen.actions) == (None, None)
    late = "change-is-not-in-the-stored-frames-no-label"
    assert set(unseen.meta["warnings"]) == {"video-ends-before-window", late} | warned


def test_an_empty_video_hides_no_smaller_copy(tmp_path: Path) -> None:
    for folder, data in (("full_scale", b""), ("video_540ss", b"x")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "v.mp4").write_bytes(data)
    assert find_videos(tmp_path)[0] == {"v": "video_540ss/v.mp4"}


def test_rows_that_come_again_and_capital_endings(tmp_path: Path) -> None:
    row = {**ROW, "unique_id": "w"}
    (tmp_path / "full_scale").mkdir()
    (tmp_path / "full_scale/v.MP4").write_bytes(b"x")
    (tmp_path / "train.json").write_text(json.dumps([row, row]))
    (tmp_path / "val.json").write_text(json.dumps([row]))
    found = Ego4dConverter(tmp_path, Ego4dOptions()).list_items()
    assert [item.split for item in found.items] == ["val"]
    assert "2 rows repeat a window and are left out; what is tested on is not trained on" in found.notes


def test_a_split_alone_is_listed_as_beside_the_others(tmp_path: Path) -> None:
    """What is tested on is not trained on, in whichever conversion; val keeps what test lists, too."""
    (tmp_path / "full_scale").mkdir()
    (tmp_path / "full_scale/v.mp4").write_bytes(b"x")
    for split, names in (("train", "abc"), ("val", "bd"), ("test", "cd")):
        rows = [{**ROW, "unique_id": name, "parent_start_frame": ord(name) - ord("a")} for name in names]
        (tmp_path / f"{split}.json").write_text(json.dumps(rows))

    def listed(split: Any) -> tuple[dict[str, str], str]:
        found = Ego4dConverter(tmp_path, Ego4dOptions(split=split)).list_items()
        return {item.key[-1]: item.split for item in found.items}, " ".join(found.notes)

    told = "repeat a window and are left out; what is tested on is not trained on"
    found, notes = listed("train")
    assert found == {"a": "train"}
    assert f"2 rows {told}" in notes
    found, notes = listed("trainval")
    assert found == {"a": "train", "b": "val", "d": "val"}
    assert f"2 rows {told}" in notes
    found, notes = listed("val")
    assert found == {"b": "val", "d": "val"}
    assert told not in notes
    assert listed("all")[0] == {"a": "train", "b": "val", "c": "test", "d": "val"}
    (tmp_path / "val.json").write_text((tmp_path / "train.json").read_text())
    with pytest.raises(SourceError, match=r"train\.json: each of its 3 windows is in the list of another split"):
        listed("train")


def test_rows_that_say_otherwise_or_nothing_cost_one_window(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same frames under another name are the same window; a clip that begins after a window is no fault of it."""
    (tmp_path / "full_scale").mkdir()
    (tmp_path / "full_scale/v.mp4").write_bytes(b"x")
    told = {"state_change": True, "parent_pnr_frame": 20}
    train = [
        {**ROW, **told, "unique_id": "a", "clip_start_frame": -3},
        {**ROW, "unique_id": "a", "state_change": False},
        {**ROW, "unique_id": "b", "parent_end_frame": 10},
        {**ROW, "unique_id": "c", "parent_end_frame": 40},
    ]
    val = [{**ROW, "unique_id": "other name of c", "parent_end_frame": 40}]
    for split, rows in (("train", train), ("val", val)):
        (tmp_path / f"{split}.json").write_text(json.dumps(rows))
    caplog.set_level("INFO")
    found = Ego4dConverter(tmp_path, Ego4dOptions(split="train")).list_items()
    assert [(item.key, item.ref["change"]) for item in found.items] == [("ego4d-a", 10)]
    assert found.absent == {"row not as released": 1}
    notes = " | ".join(found.notes)
    assert "2 rows repeat a window and are left out; what is tested on is not trained on" in notes
    assert "1 row of these say otherwise than the first row of the window, which counts (listed with -v)" in notes
    assert "window a: two rows of train.json have other frames, or another change" in caplog.messages
    assert "1 row not as released, the first: 'b' reaches from frame 10 to 10" in notes


def test_lists_are_of_one_version(tmp_path: Path) -> None:
    """The one that says most, since versions need not agree which split a window is in; manifests of both count."""
    for version, splits in (("v1", ("train", "val")), ("v2", ("train",))):
        folder = tmp_path / version
        for name in ("full_scale", "annotations"):
            (folder / name).mkdir(parents=True)
        (folder / f"full_scale/{version}.mp4").write_bytes(b"x")
        (folder / "full_scale/manifest.csv").write_text(f"video_uid\n{version}\nabsent-{version}\n")
        for split in splits:
            rows = [
                {**ROW, "unique_id": f"{version}-{split}-{n}", "video_uid": video, "parent_end_frame": 30 + len(split)}
                for n, video in enumerate(("v1", "v2", "absent-v1", "absent-v2"))
            ]
            (folder / f"annotations/fho_oscc-pnr_{split}.json").write_text(json.dumps({"clips": rows}))
    for split in ("train", "trainval"):
        found = Ego4dConverter(tmp_path, Ego4dOptions(split=split)).list_items()
        assert {item.key for item in found.items if item.split == "train"} == {"ego4d-v1-train-0", "ego4d-v1-train-1"}
        assert found.absent == {"video not downloaded (it is in the manifest)": 2 * (1 + (split == "trainval"))}
        assert any("the lists in v1/ are taken, none in v2/: " in note for note in found.notes)
    (tmp_path / "v1/annotations/fho_oscc-pnr_val.json").write_text("[]")
    notes = Ego4dConverter(tmp_path / "v1", Ego4dOptions()).list_items().notes
    assert "val: 0 windows listed" in notes
    assert not any("are taken" in note for note in notes)


def test_an_empty_video_gives_way_to_its_clip(tmp_path: Path) -> None:
    for folder in ("full_scale", "clips"):
        (tmp_path / folder).mkdir()
    for name, data in (("full_scale/v", b""), ("full_scale/w", b""), ("full_scale/x", b"x"), ("clips/c", b"x")):
        (tmp_path / f"{name}.mp4").write_bytes(data)
    places = [("v", "c", 5), ("v", "c", None), ("w", "none", 5), ("x", "c", 5)]
    rows = [
        {**ROW, "unique_id": str(n), "video_uid": video, "clip_uid": clip, "clip_start_frame": first}
        for n, (video, clip, first) in enumerate(places)
    ]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    found = Ego4dConverter(tmp_path, Ego4dOptions(split="train")).list_items().items
    wanted = [("clips/c.mp4", 5), ("full_scale/v.mp4", 10), ("full_scale/w.mp4", 10), ("full_scale/x.mp4", 10)]
    assert [(item.ref["file"], item.ref["first"]) for item in found] == wanted


def test_another_rate_would_move_the_grid(tree: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    settings = Settings(reencoding=Reencoding.parse("fps=15"))
    with pytest.raises(UsageError, match="tells by numbers of frames where clips lie"):
        convert(Job(Ego4dConverter, tree[0], str(tmp_path / "out"), Ego4dOptions(), settings))


def test_what_happens_can_be_seen(tmp_path: Path) -> None:
    """From the seventh pair on: a thing that changes its colour at the frame that the row names, or never."""
    simulate("ego4d", tmp_path / "raw", samples=15, truth=tmp_path / "truth")
    rows = json.loads((tmp_path / "truth/windows.json").read_text())["rows"]
    acted = [(s, row) for s in ("train", "val") for row in rows[s] if row["video_uid"][-1] in "123"]
    splits = {(row["video_uid"][-1], split) for split, row in acted if row["video_uid"].startswith("80b")}
    assert splits == {("1", "train"), ("2", "train"), ("3", "val")}, "no video in both"
    mine = [row for _, row in acted if row["video_uid"].endswith("3")]
    assert [row["state_change"] for row in mine] == [True, False] * 3
    path = tmp_path / "raw/v1/full_scale" / mine[0]["video_uid"]
    with av.open(str(path)) as container:
        pictures = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
    for row in mine:
        first, last = row["parent_start_frame"], row["parent_end_frame"]
        warm = [bool((p[..., 0] - p[..., 2] > 100).any()) for p in pictures[first : last + 1]]
        cold = [bool((p[..., 2] - p[..., 0] > 100).any()) for p in pictures[first : last + 1]]
        assert [w != c for w, c in zip(warm, cold, strict=True)] == [True] * (last - first + 1)
        turns = [first + n for n in range(1, len(warm)) if warm[n] != warm[n - 1]]
        assert turns == ([row["parent_pnr_frame"]] if row["state_change"] else [])
