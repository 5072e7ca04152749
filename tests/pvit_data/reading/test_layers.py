"""Layers: a base, its layers and protocols give, sample by sample, what one data set with all of it gives."""

import hashlib
import pickle
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data import Boxes, LabelSpace, Sample, ShardWriter
from pvit_data.errors import FormatError, UsageError
from pvit_data.format.manifest import read_manifest
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.fields import write_fields
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.foreign.index import index_foreign
from pvit_data.reading.layers.places import find_sources
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate

ACTION = LabelSpace("verbs", ("push", "pull"))
OTHER = LabelSpace("nouns", ("cup", "box", "pen"))
THINGS = LabelSpace("things", ("none", "hand", "cup"))
COUNTS = {"train": 7, "val": 3}
FIELDS = ("rgb", "depth", "normal", "segm", "pose3d", "pose2d", "boxes", "action", "camera")


def keys() -> list[str]:
    return [f"{split}-{i}" for split, count in COUNTS.items() for i in range(count)]


def clip(key: str) -> Sample:
    """Pictures, group and label."""
    rng = np.random.default_rng(int.from_bytes(key.encode()))
    frames = 3 + len(key) % 3
    rgb = rng.integers(0, 255, (frames, 32, 48, 3), dtype=np.uint8)
    return Sample(key=key, group=f"g{key[-1]}", rgb=rgb, fps=12, action=int(key[-1]) % 2, meta={"id": key})


def found(key: str) -> dict[str, Any]:
    """Annotations that somebody made later, of every second clip."""
    rng = np.random.default_rng(len(key))
    frames = len(np.asarray(clip(key).rgb))
    corners = np.sort(rng.random((2, 2, 2)), 1).reshape(2, 4)
    return {
        "depth": rng.uniform(1, 2, (frames, 32, 48)).astype(np.float16).astype(np.float32),
        "segm": rng.integers(0, 3, (frames, 32, 48)).astype(np.uint8),
        "boxes": Boxes(corners, frame=[0, 1], class_id=[1, 2], score=[0.5, 1]),
        "pose3d": rng.random((frames, 1, 25, 3)).astype(np.float32),
        "pose3d_valid": np.full((frames, 1, 25), 2, np.uint8),
    }


def annotated() -> list[str]:
    return keys()[::2]


def write_base(folder: Path, **more: Any) -> None:
    for split in COUNTS:
        with ShardWriter(folder, "clips", split, spaces={"action": ACTION}, shard_bytes=20_000, **more) as writer:
            for key in keys():
                if key.startswith(split):
                    writer.write(clip(key))


def write_layer(folder: Path, name: str = "later", base: str = "clips", order: int = 1, **more: Any) -> None:
    spaces = {"segm": THINGS, "boxes": THINGS}
    with ShardWriter(folder, name, base=base, spaces=spaces, **more) as writer:
        for key in annotated()[::order]:
            writer.write(Sample(key=key, **found(key)))


def write_protocol(folder: Path, base: str = "clips", **more: Any) -> dict[str, list[str]]:
    """Samples of both splits of the base in new ones."""
    chosen = {"train": ["val-2", "train-1", "train-6"], "test": ["train-0", "val-0"]}
    for split, wanted in chosen.items():
        with ShardWriter(folder, "few", split, base=base, kind="protocol", spaces={"action": OTHER}, **more) as writer:
            for key in wanted:
                writer.write(Sample(key=key, action=1 + int(key[-1]) % 2, meta={"split": split}))
    return chosen


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Boxes):
        return vars(one).keys() == vars(other).keys() and all(
            np.array_equal(v, vars(other)[n]) for n, v in vars(one).items()
        )
    return (one is None and other is None) or (type(one) is type(other) and np.array_equal(one, other))


def require_equal(one: Sample, other: Sample) -> None:
    for name in (*FIELDS, "pose3d_valid"):
        assert equal(getattr(one, name), getattr(other, name)), (one.key, name)
    for name in ("key", "group", "fps", "num_frames", "height", "width"):
        assert getattr(one, name) == getattr(other, name), name
    assert {n: f.tolist() for n, f in one.frames.items()} == {n: f.tolist() for n, f in other.frames.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("base")
    write_base(folder)
    write_layer(folder)
    write_protocol(folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with everything in one source."""
    folder = tmp_path_factory.mktemp("whole")
    spaces = {"action": ACTION, "segm": THINGS, "boxes": THINGS}
    for split in COUNTS:
        with ShardWriter(folder, "clips", split, spaces=spaces, shard_bytes=20_000) as writer:
            for key in keys():
                if key.startswith(split):
                    sample = clip(key)
                    for name, value in (found(key) if key in annotated() else {}).items():
                        setattr(sample, name, value)
                    writer.write(sample)
    return folder


def test_a_layer_gives_what_one_data_set_gives(folder: Path, whole: Path) -> None:
    layered = pvit_data.open(folder, source="clips", layers=["later"])
    expected = pvit_data.open(whole)
    assert len(layered) == len(expected) == 10
    for one, other in zip(layered, expected, strict=True):
        require_equal(one, other)
        assert (one.meta, one.action, one.spaces) == (other.meta, other.action, other.spaces)
    for name in (
        "key",
        "group",
        "split",
        "frames",
        "has_depth",
        "has_action",
        "depth_frames",
        "boxes",
        "people",
        "action",
    ):
        np.testing.assert_array_equal(layered.column(name), expected.column(name))
        assert [layered.value(name, i) for i in range(10)] == [expected.value(name, i) for i in range(10)]
    assert list(layered.column("has_segm")) == [key in annotated() for key in layered.column("key")]
    part = layered.read(0, ("depth", "boxes"), frames=[1, 1, 0])
    assert part.rgb is None
    np.testing.assert_array_equal(part.depth, found("train-0")["depth"][[1, 1, 0]])
    assert (
        layered.where("has_depth and frames >= 4").column("key").tolist()
        == expected.where("has_depth and frames >= 4").column("key").tolist()
    )
    for i in range(10):
        assert layered.record(i).fields == expected.record(i).fields
        assert layered.members(i).keys() == expected.members(i).keys()
        for name, data in layered.files(i).items():
            assert name in ("json", "rgb.mp4") or data == expected.files(i)[name]


@pytest.mark.parametrize("order", [1, -1])
def test_rows_are_in_the_order_of_the_base_whatever_order_they_come(tmp_path: Path, folder: Path, order: int) -> None:
    """One shard per shard of the base, of the same split and number; the same bytes for every order of writing."""
    write_base(tmp_path)
    write_layer(tmp_path, order=order)
    shards = {s.relative_to(tmp_path / "layers/later") for s in (tmp_path / "layers/later").rglob("*.tar")}
    assert shards <= {s.relative_to(tmp_path / "clips") for s in (tmp_path / "clips").rglob("*.tar")}
    for shard in shards:
        one, other = (root / "layers/later" / shard for root in (tmp_path, folder))
        assert one.read_bytes() == other.read_bytes()


def test_nothing_of_the_base_changes(tmp_path: Path) -> None:
    write_base(tmp_path)
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "clips").rglob("*") if p.is_file()}
    digest = pvit_data.open(tmp_path).digest_of("clips")
    write_layer(tmp_path)
    write_protocol(tmp_path)
    after = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "clips").rglob("*") if p.is_file()}
    assert after == before
    assert pvit_data.open(tmp_path).digest_of("clips") == digest
    assert list(pvit_data.open(tmp_path).sources) == ["clips"]
    assert pvit_data.open(tmp_path, source="clips", layers=["later"]).digest_of("clips") != digest
    report = validate(tmp_path, deep=True)
    assert [p for p in report.problems if p.kind != "group-split"] == []


def test_a_protocol_is_its_bases_samples_with_its_own_splits_and_labels(folder: Path) -> None:
    few = pvit_data.open(folder, source="few")
    base = {sample.key: sample for sample in pvit_data.open(folder)}
    assert few.column("split").tolist() == ["train"] * 3 + ["test"] * 2
    assert few.column("key").tolist() == ["train-1", "train-6", "val-2", "train-0", "val-0"]
    assert set(few.column("source")) == {"few"}
    for sample in few:
        np.testing.assert_array_equal(sample.rgb, base[sample.key].rgb)
        assert (sample.source, sample.action) == ("few", 1 + int(sample.key[-1]) % 2)
        assert sample.spaces["action"] == OTHER
        assert sample.meta == {"id": sample.key, "split": sample.split}
    assert [few.value("action", i) for i in range(5)] == [s.action for s in few] == few.column("action").tolist()
    assert pvit_data.open(folder, source="few", split="test").column("key").tolist() == ["train-0", "val-0"]
    both = pvit_data.open(folder, source="few", layers=["later"])
    assert [s.depth is not None for s in both] == [key in annotated() for key in both.column("key")]
    np.testing.assert_array_equal(both.column("has_depth"), [s.depth is not None for s in both])


def test_layers_and_bases_may_be_apart(tmp_path: Path, folder: Path, whole: Path) -> None:
    apart = tmp_path / "apart"
    write_layer(apart, base=f"{folder}#clips")
    write_protocol(apart, base=f"{folder}#clips")
    expected = pvit_data.open(whole)
    for layers in ([f"{apart}#later"], [str(apart)]):
        layered = pvit_data.open(folder, source="clips", layers=layers)
        for one, other in zip(layered, expected, strict=True):
            require_equal(one, other)
    few = pvit_data.open(apart, source="few", base=folder, layers=[f"{apart}#later"])
    assert few.column("key").tolist() == pvit_data.open(folder, source="few").column("key").tolist()
    with pytest.raises(UsageError, match=r"protocol 'few' is over 'clips', which is not in .*: give base=URL"):
        pvit_data.open(apart, source="few")
    assert validate(apart, deep=True).num_problems == 0
    again = pickle.loads(pickle.dumps(few))
    require_equal(again[0], few[0])


def test_the_last_layer_that_has_a_field_of_a_split_gives_it_for_all_rows_of_it(tmp_path: Path) -> None:
    write_base(tmp_path)
    write_layer(tmp_path)
    with ShardWriter(tmp_path, "flat", base="clips") as writer:
        for key in keys()[:3]:
            frames = len(np.asarray(clip(key).rgb))
            writer.write(Sample(key=key, depth=np.full((frames, 32, 48), 5, np.float32), meta={"by": "me"}))
    both = pvit_data.open(tmp_path, source="clips", layers=["later", "flat"])
    for sample in both:
        is_flat = sample.key in keys()[:3]  # of train; of val, which it knows nothing of, the other one gives it
        assert (sample.depth is not None) == (is_flat or (sample.split == "val" and sample.key in annotated()))
        assert sample.depth is None or (sample.depth == 5).all() == is_flat
        assert (sample.segm is not None) == (sample.key in annotated())
        assert sample.meta.get("layers") == ({"flat": {"by": "me"}} if sample.key in keys()[:3] else None)
    other = pvit_data.open(tmp_path, source="clips", layers=["flat", "later"])
    assert other[1].depth is None


def changed(folder: Path, key: str, **values: Any) -> None:
    """The base with one clip otherwise."""
    for split in COUNTS:
        with ShardWriter(folder, "clips", split, spaces={"action": ACTION}) as writer:
            for own in keys():
                if own.startswith(split):
                    sample = clip(own)
                    for name, value in (values if own == key else {}).items():
                        setattr(sample, name, value)
                    writer.write(sample)


def attach(folder: Path, layer: Path, **options: Any) -> ShardDataset:
    return pvit_data.open(folder, source="clips", layers=[f"{layer}#later"], **options)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"rgb": np.zeros((9, 32, 48, 3), np.uint8)},
            r"1 samples have other frames, first 'train-0': 4 in the layer, 9 in the base",
        ),
        (
            {"rgb": np.zeros((4, 40, 48, 3), np.uint8)},
            r"1 samples have other sizes, first 'train-0': 48x32 in the layer, 48x40 in the base",
        ),
        ({"fps": 24}, r"1 samples have other frame rates, first 'train-0': 12 in the layer, 24 in the base"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, folder: Path, values: dict[str, Any], message: str) -> None:
    changed(tmp_path, "train-0", **values)
    with pytest.raises(FormatError, match=message):
        attach(tmp_path, folder)


def test_other_bytes_are_told_and_refused_where_wished(tmp_path: Path, folder: Path) -> None:
    changed(tmp_path, "train-0", rgb=np.zeros((4, 32, 48, 3), np.uint8))
    with pytest.warns(UserWarning, match="1 samples of 'clips' have other bytes"):
        dataset = attach(tmp_path, folder)
    assert dataset.notes == ["layer 'later': 1 pictures of 'clips' have other bytes"]
    with pytest.raises(FormatError, match=r"other bytes .* --strict-layers"):
        attach(tmp_path, folder, strict_layers=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert attach(folder, folder).notes == []


def test_bases_without_pictures_have_no_other_bytes(tmp_path: Path, folder: Path) -> None:
    """Such as are published without them."""
    wanted = Choice(fields=("action", "depth", "boxes")).of(read_manifest(Storage(folder)))
    write_fields(Storage(folder), wanted, Storage(tmp_path), lambda done, total: None)
    assert "base-bytes" not in validate(tmp_path).counts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = attach(tmp_path, tmp_path, strict_layers=True)
    assert [sample.has("depth") for sample in dataset] == [sample.key in annotated() for sample in dataset]


def test_layers_over_something_else_are_refused(tmp_path: Path, folder: Path) -> None:
    with ShardWriter(tmp_path, "clips") as writer:
        writer.write(Sample(key="stranger", rgb=np.zeros((4, 32, 48, 3), np.uint8)))
    with pytest.raises(FormatError, match="layer 'later' has no key in common with 'clips'"):
        attach(tmp_path, folder)
    with pytest.raises(UsageError, match="has no layer 'latter': it has few, later; did you mean 'later'"):
        pvit_data.open(folder, source="clips", layers=["latter"])
    with pytest.raises(UsageError, match="'few' is a protocol, which is opened by its name"):
        pvit_data.open(folder, source="clips", layers=["few"])
    with pytest.raises(UsageError, match=r"'later' is an annotation layer over 'clips': open that, with layers"):
        pvit_data.open(folder, source="later")
    with pytest.raises(UsageError, match="layer 'later' is named twice"):
        pvit_data.open(folder, source="clips", layers=["later", f"{folder}#later"])


def test_what_writers_of_layers_may_not_write(tmp_path: Path) -> None:
    write_base(tmp_path)
    with ShardWriter(tmp_path, "x", base="clips") as writer:
        for sample, message in (
            (Sample(key="nobody", num_frames=1), "'nobody' is not in 'clips'"),
            (clip("train-0"), "has rgb, which a layer takes from its base"),
            (Sample(key="train-0", num_frames=9, boxes=Boxes(np.zeros((0, 4)))), "num_frames 9, its base 4"),
            (Sample(key="train-0", depth=np.ones((2, 32, 48), np.float32)), "disagree about the number of frames"),
        ):
            with pytest.raises(FormatError, match=message):
                writer.write(sample)
        writer.write(Sample(key="train-0", boxes=Boxes(np.zeros((0, 4))), frames={"boxes": np.array([1])}))
    sample = pvit_data.open(tmp_path, source="clips", layers=["x"])[0]
    assert sample.boxes is not None
    assert (len(sample.boxes), sample.frames["boxes"].tolist()) == (0, [1])
    with (
        pytest.raises(FormatError, match="has depth; a protocol holds splits and labels only"),
        ShardWriter(tmp_path, "p", base="clips", kind="protocol") as writer,
    ):
        writer.write(Sample(key="train-0", depth=np.ones((4, 32, 48), np.float32)))
    with pytest.raises(UsageError, match="annotations have the splits of their base"):
        ShardWriter(tmp_path, "y", "val", base="clips")
    with pytest.raises(UsageError, match="has no source 'clip' to make a layer over: it has clips; did you mean"):
        ShardWriter(tmp_path, "y", base="clip")
    with (
        pytest.raises(UsageError, match="the rows of a base shard are written at once"),
        ShardWriter(tmp_path, "x", base="clips") as writer,
    ):
        writer.write(Sample(key="train-1", boxes=Boxes(np.zeros((0, 4)))))


def test_what_is_lost_is_told(tmp_path: Path, folder: Path) -> None:
    """A base of which some samples are not there."""
    with ShardWriter(tmp_path, "clips", spaces={"action": ACTION}) as writer:
        for key in keys()[:4]:
            writer.write(clip(key))
    layered = attach(tmp_path, folder)
    assert layered.notes == ["layer 'later': 3 of its 5 samples are not in 'clips'"]
    assert [s.key for s in layered if s.depth is not None] == ["train-0", "train-2"]
    few = pvit_data.open(folder, source="few", base=tmp_path)
    assert few.column("key").tolist() == ["train-1", "train-0"]
    assert few.notes[0] == "protocol 'few', split train: 1 of 3 rows present; the others are not in its base"


def test_an_indexed_folder_of_foreign_shards_may_be_a_base(tmp_path: Path, folder: Path, whole: Path) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(folder / "clips", foreign / "clips", ignore=shutil.ignore_patterns("*.parquet", "*.json"))
    index_foreign(foreign)
    joined, expected = attach(foreign, folder), attach(folder, folder)
    assert joined.column("key").tolist() == expected.column("key").tolist()
    for one, other in zip(joined, expected, strict=True):
        require_equal(one, other)
    few = pvit_data.open(folder, source="few", base=foreign)
    assert few.column("key").tolist() == pvit_data.open(folder, source="few").column("key").tolist()
    found = find_sources([str(foreign)], {"clips": [f"{folder}#later"]})
    assert found["clips"].ds.column("has_depth").sum() == len(annotated())
    with pytest.raises(UsageError, match="foreign has no layer 'later': it has none"):
        pvit_data.open(foreign, source="clips", layers=["later"])
    shard = next((foreign / "clips").rglob("*.tar"))
    shutil.copy(shard, shard.with_name("train-99999.tar"))
    index_foreign(foreign)
    for opening in (lambda: attach(foreign, folder), lambda: pvit_data.open(folder, source="few", base=foreign)):
        with pytest.raises(
            FormatError, match=r"'clips' in .*foreign has \d keys? more than once, first '(train|val)-\d'"
        ):
            opening()
