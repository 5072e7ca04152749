"""What layers must not do silently: labels of two spaces, names that mean two things, rows that get lost."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_data import Actions, Boxes, LabelSpace, Sample, ShardWriter
from pvit_data.errors import FormatError, UsageError
from pvit_data.reading.layers.places import find_sources
from pvit_data.reading.layers.views import open_view
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.writing.finish import write_layers, write_manifest
from pvit_data.writing.room import published_alone

VERBS = LabelSpace("verbs", ("open", "shut", "hit", "run"))
THINGS = LabelSpace("things", ("cup", "pen"))
KEYS = {"train": ["a", "b", "c"], "val": ["d"]}


def base(folder: Path, **labels: object) -> Path:
    for split, keys in KEYS.items():
        with ShardWriter(folder, "clips", split, spaces={"action": VERBS}) as writer:
            for key in keys:
                rgb = np.full((2, 16, 24, 3), ord(key), np.uint8)
                writer.write(Sample(key=key, rgb=rgb, fps=8, **labels))  # type: ignore[arg-type]
    return folder


def layer(folder: Path, name: str, at: Path | None = None, split: str = "train", **values: Sample) -> None:
    """A layer over the clips, of samples by key; `labels` and `kind` are options."""
    with ShardWriter(folder, name, split, base=f"{at or folder}#clips", **values.pop("options", {})) as writer:  # type: ignore[arg-type]
        for key, sample in values.items():
            sample.key = key
            writer.write(sample)


def depth(metres: float) -> Sample:
    return Sample(key="x", depth=np.full((2, 16, 24), metres, np.float32))


def test_labels_are_of_one_provider(tmp_path: Path) -> None:
    """`action` and `actions` share a label space, so a protocol with one of them hides both of its base."""
    base(tmp_path, actions=Actions([3], [0.0], [0.1]))
    options = {"kind": "protocol", "spaces": {"action": THINGS}}
    layer(tmp_path, "few", a=Sample(key="x", action=1), options=options)  # type: ignore[arg-type]
    few = pvit_data.open(tmp_path, source="few")
    assert (few[0].action, few[0].actions, few[0].spaces["action"]) == (1, None, THINGS)
    assert few.column("has_actions").tolist() == [False]
    assert few.record(0).fields == ["action", "rgb"]
    layer(tmp_path, "things", a=Sample(key="x", action=1), options={"spaces": {"action": THINGS}})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"brings action, and 'clips' has labels of its own"):
        pvit_data.open(tmp_path, source="clips", layers=["things"])
    assert {p.kind for p in validate(tmp_path).problems} == {"base-differs"}


def test_of_two_layers_with_labels_the_last_one_has_all(tmp_path: Path) -> None:
    base(tmp_path)
    layer(tmp_path, "many", a=Sample(key="x", actions=Actions([3])), options={"spaces": {"action": VERBS}})  # type: ignore[arg-type]
    layer(tmp_path, "one", a=Sample(key="x", action=1), options={"spaces": {"action": THINGS}})  # type: ignore[arg-type]
    seen = pvit_data.open(tmp_path, source="clips", layers=["many", "one"])[0]
    assert (seen.action, seen.actions, seen.spaces["action"]) == (1, None, THINGS)
    seen = pvit_data.open(tmp_path, source="clips", layers=["one", "many"])[0]
    assert (seen.action, seen.spaces["action"]) == (None, VERBS)
    assert seen.actions is not None
    assert seen.actions.class_id.tolist() == [3]
    with pytest.raises(UsageError, match="both give action"):
        find_sources([str(tmp_path)])


def depths(ds: pvit_data.ShardDataset) -> dict[str, float | None]:
    return {s.key: None if s.depth is None else float(s.depth[0, 0, 0]) for s in ds}


def test_each_split_has_the_layer_with_rows_of_it(tmp_path: Path) -> None:
    """Two layers that nobody named meet nowhere, so both are attached; a third one of val is refused."""
    base(tmp_path)
    layer(tmp_path, "early", a=depth(2), b=depth(2))
    layer(tmp_path, "late", d=depth(5))  # whatever split its own rows are in
    found = find_sources([str(tmp_path)])["clips"]
    assert depths(found.ds) == {"a": 2, "b": 2, "c": None, "d": 5}
    assert found.ds.column("has_depth").tolist() == [True, True, False, True]
    assert found.told(found.ds)[-1] == "clips: depth are those of early in train, those of late in val"
    for layers in (["early", "late"], ["late", "early"]):
        assert depths(pvit_data.open(tmp_path, source="clips", layers=layers)) == depths(found.ds)
        held_out = pvit_data.open(tmp_path, source="clips", split="val", layers=layers)
        assert held_out.layers_of("clips")["depth"].name == "late"
    assert depths(open_view(tmp_path)) == depths(found.ds)
    layer(tmp_path, "other", d=depth(7))
    for act in (lambda: find_sources([str(tmp_path)]), lambda: open_view(tmp_path)):
        with pytest.raises(UsageError, match=r"layer 'other' and 'late' both give depth of 'clips': name the layers"):
            act()
    assert depths(pvit_data.open(tmp_path, source="clips", layers=["early", "late", "other"]))["d"] == 7
    rows = {split: [Sample(key=key) for key in keys] for split, keys in {"val": ["a", "d"], "test": ["b"]}.items()}
    for split, samples in rows.items():
        with ShardWriter(tmp_path, "few", split, base="clips", kind="protocol") as writer:
            for sample in samples:
                writer.write(sample)
    few = pvit_data.open(tmp_path, source="few", layers=["early", "late"])
    assert depths(few) == {"a": 2, "d": 5, "b": 2}


def test_a_split_that_no_layer_knows_keeps_its_own(tmp_path: Path) -> None:
    """Boxes of the base with classes; a layer of train without, which says nothing of val."""
    at = {"frame": np.zeros(1, int)}
    for split, keys in KEYS.items():
        with ShardWriter(tmp_path, "clips", split, spaces={"boxes": THINGS}) as writer:
            for key in keys:
                own = Boxes([[0, 0, 0.5, 0.5]], class_id=[1], **at)
                writer.write(Sample(key=key, rgb=np.zeros((2, 16, 24, 3), np.uint8), fps=8, boxes=own))
    found = Sample(key="x", boxes=Boxes([[0.5, 0.5, 1, 1]], score=[0.9], **at))
    layer(tmp_path, "guesses", a=found, options={"attach": "on-request"})  # type: ignore[arg-type]
    both = pvit_data.open(tmp_path, source="clips", layers=["guesses"])
    assert [s.boxes and s.boxes.class_id.tolist() for s in both] == [[-1], None, None, [1]]
    assert [s.spaces.get("boxes") for s in both] == [None, None, None, THINGS]
    assert both.spaces_of("clips")["boxes"] == THINGS
    turned = LabelSpace("turned", ("pen", "cup"))
    again = both.with_spaces("clips", {"boxes": turned})
    assert [s.boxes and s.boxes.class_id.tolist() for s in again] == [[-1], None, None, [0]]
    other = Sample(key="x", boxes=Boxes([[0.5, 0.5, 1, 1]], class_id=[0], **at))
    layer(tmp_path, "drawn", b=other, options={"spaces": {"boxes": LabelSpace("drawn", ("lid",))}})  # type: ignore[arg-type]
    apart = pvit_data.open(tmp_path, source="clips", layers=["drawn"])
    assert [s.boxes is not None for s in apart] == [False, True, False, False], "a field has one label space"
    with pytest.raises(UsageError, match="layer 'drawn' and 'clips' both give boxes"):
        find_sources([str(tmp_path)])


def test_people_are_told_by_the_first_pose_that_a_row_has(tmp_path: Path) -> None:
    base(tmp_path)
    solid = {"pose3d": np.zeros((2, 2, 25, 3), np.float32), "pose3d_valid": np.ones((2, 2, 25), np.uint8)}
    flat = {"pose2d": np.zeros((2, 1, 25, 2), np.float32)}
    layer(tmp_path, "solid", a=Sample(key="x", **solid))  # type: ignore[arg-type]
    layer(tmp_path, "flat", a=Sample(key="x", **flat), b=Sample(key="x", **flat))  # type: ignore[arg-type]
    for layers in (["solid", "flat"], ["flat", "solid"]):
        ds = pvit_data.open(tmp_path, source="clips", split="train", layers=layers)
        assert ds.column("people").tolist() == [2, 1, -1]
        assert [ds.value("people", row) for row in range(3)] == [2, 1, -1]
        assert [ds.record(row).people for row in range(2)] == [2, 1]
        assert len(ds.where("people >= 1")) == 2


def test_a_name_means_the_layer_beside_its_base(tmp_path: Path) -> None:
    home, other, third = base(tmp_path / "home"), tmp_path / "other", tmp_path / "third"
    for folder, metres in ((home, 2.0), (other, 6.0), (third, 9.0)):
        layer(folder, "later", home, a=depth(metres))
    for urls in ([home, other], [other, home], [home, f"{home}/", other]):
        found = find_sources([str(url) for url in urls], {"clips": ["later"]})
        sample = found["clips"].ds[0]
        assert sample.depth is not None
        assert float(sample.depth[0, 0, 0]) == 2
    with pytest.raises(UsageError, match=r"both give depth of 'clips'.*other#later|both give depth.*home#later"):
        find_sources([str(home), str(other)])
    layer(other, "more", home, a=depth(6.0))
    layer(third, "more", home, a=depth(9.0))
    with pytest.raises(UsageError, match=r"layer 'more' is in .*other' and .*third': say which one, .*other#more"):
        find_sources([str(home), str(other), str(third)], {"clips": ["more"]})


def test_a_protocol_is_neither_attached_nor_found_twice(tmp_path: Path) -> None:
    home, other = base(tmp_path / "home"), tmp_path / "other"
    for folder, key in ((home, "a"), (other, "b")):
        layer(folder, "few", home, options={"kind": "protocol"}, **{key: Sample(key="x")})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'few' is a protocol, which is opened by its name"):
        find_sources([str(home)], {"clips": ["few"]})
    with pytest.raises(UsageError, match=r"protocol 'few' is in both '.*home' and '.*other'; give one of them"):
        find_sources([str(home), str(other)], None, ["few"])


def test_names_that_the_format_needs_are_refused(tmp_path: Path) -> None:
    base(tmp_path)
    for name in ("index", "receipts", "plan", "part-00001"):
        with pytest.raises(UsageError, match=f"layer '{name}': so a folder of the format is called"):
            ShardWriter(tmp_path, name, base="clips")
    layer(tmp_path, "later", a=depth(1))
    with pytest.raises(UsageError, match="has a layer 'later': choose another name"):
        ShardWriter(tmp_path, "later")


def test_a_key_that_comes_again_costs_that_row_only(tmp_path: Path) -> None:
    base(tmp_path)
    protocol = {"base": "clips", "kind": "protocol"}
    with ShardWriter(tmp_path, "few", **protocol) as writer:  # type: ignore[arg-type]
        writer.write(Sample(key="a"))
        with pytest.raises(FormatError, match="sample 'a' is in layers/few/train already"):
            writer.write(Sample(key="a"))
        writer.write(Sample(key="b"))
    with ShardWriter(tmp_path, "few", "val", **protocol) as writer:  # type: ignore[arg-type]
        with pytest.raises(FormatError, match=r"sample 'b' is in layers/few/train-00000.tar already"):
            writer.write(Sample(key="b"))
        writer.write(Sample(key="d"))
    few = pvit_data.open(tmp_path, source="few")
    assert few.keys().to_pylist() == ["a", "b", "d"]
    assert validate(tmp_path).problems == []


def write_split(folder: str, name: str, split: str, keys: list[str]) -> None:
    with ShardWriter(folder, name, split, base="clips", kind="protocol") as writer:
        for key in keys:
            writer.write(Sample(key=key))


def test_makers_side_by_side_lose_nothing(tmp_path: Path) -> None:
    base(tmp_path)
    jobs = [("few", "train", ["a"]), ("few", "val", ["b"]), ("few", "test", ["c"]), ("more", "train", ["d"])]
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=write_split, args=(str(tmp_path), *job)) for job in jobs]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert {p.exitcode for p in running} == {0}
    few = pvit_data.open(tmp_path, source="few")
    rows = zip(few.column("split"), few.column("key"), strict=True)
    assert sorted(rows) == [("test", "c"), ("train", "a"), ("val", "b")]
    assert len(pvit_data.open(tmp_path, source="more")) == 1
    assert validate(tmp_path).problems == []


def test_two_writers_of_one_split_do_not_overwrite_each_other(tmp_path: Path) -> None:
    base(tmp_path)
    few = [ShardWriter(tmp_path, "few", base="clips", kind="protocol") for _ in range(3)]
    plain = [ShardWriter(tmp_path, "plain") for _ in range(2)]
    for writer, key in zip(few, ("a", "b", "a"), strict=True):
        writer.write(Sample(key=key))
    for number, writer in enumerate(plain):
        writer.write(Sample(key=f"p{number}", num_frames=1, action=1.0))
    for writer in (few[0], few[1], plain[0]):
        writer.__exit__(None, None, None)
    for writer in (few[2], plain[1]):
        with pytest.raises(UsageError, match="by somebody else meanwhile; nothing of this writer"):
            writer.__exit__(None, None, None)
    assert pvit_data.open(tmp_path, source="few").keys().to_pylist() == ["a", "b"]
    assert pvit_data.open(tmp_path, source="plain").keys().to_pylist() == ["p0"]
    assert validate(tmp_path).problems == []


def test_a_folder_of_layers_says_so(tmp_path: Path) -> None:
    home, apart = base(tmp_path / "home"), tmp_path / "a#b"
    layer(apart, "later", home, a=depth(3))
    layer(apart, "few", home, options={"kind": "protocol"}, b=Sample(key="x"), c=Sample(key="x"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"holds layers only \(few, later\): open the folder of their base \(clips\)"):
        pvit_data.open(apart)
    with pytest.raises(UsageError, match="the shards hold layers only, such as 'few' over 'clips': add the folder"):
        find_sources([str(apart)])
    for layers in (str(apart), [str(apart)], [f"{apart}#later"]):
        sample = pvit_data.open(home, source="clips", layers=layers)[0]
        assert sample.depth is not None
        assert float(sample.depth[0, 0, 0]) == 3
    for text in ("", "#later"):
        with pytest.raises(UsageError, match=r"expected a name, a folder or URL, or URL#NAME"):
            pvit_data.open(home, source="clips", layers=[text])
    told = ["split", str(apart), "--source", "few", "--base", str(home), "--name", "half", "--holdout", "50"]
    assert main([*told, "--of", "train"]) in (0, 2)  # two groups by the hash of their names


def test_manifests_are_written_one_after_the_other(tmp_path: Path) -> None:
    """Whoever lists what is there waits for whoever publishes, and the same thread does not wait for itself."""
    base(tmp_path)
    layer(tmp_path, "later", a=depth(1))
    context = multiprocessing.get_context("spawn")
    with published_alone(Storage(tmp_path)):
        others = [
            context.Process(target=write_manifest, args=(tmp_path,)),
            context.Process(target=write_layers, args=(Storage(tmp_path), ["layers/later"])),
        ]
        for process in others:
            process.start()
        others[0].join(4)
        assert [process.exitcode for process in others] == [None, None]
        assert write_manifest(tmp_path).layers.keys() == {"later"}
    for process in others:
        process.join(60)
        assert process.exitcode == 0
    with pytest.raises(FormatError, match="has no finished shard"):
        write_manifest(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
