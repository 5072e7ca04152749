"""AVA: a simulated tree converts to its truth, frame by frame and box by box; every trap of the raw data is met."""

import json
import shutil
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import pvit_data
from pvit_converters.ava import AvaConverter, AvaDetections, AvaOptions, AvaTrain
from pvit_converters.ava.clock import first_frame, frames_at
from pvit_converters.ava.keys import movie_names
from pvit_converters.ava.layout import find_movies
from pvit_converters.ava.options import AvaLayerOptions
from pvit_converters.ava.pictures import read_movie
from pvit_converters.ava.rows import merged, read_detections, read_truth
from pvit_converters.base import Item
from pvit_converters.engine.run import Job, convert
from pvit_converters.layers import Base
from pvit_converters.simulate import ava_acts, simulate
from pvit_converters.simulate.long_video import number_of, numbered, write_long_video
from pvit_data.codecs.video import decode_video
from pvit_data.errors import SourceError


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("ava")
    simulate("ava", folder / "raw", preset="format", seed=3, truth=folder / "truth")
    return folder / "raw", json.loads((folder / "truth/movies.json").read_text())


def listing(root: Path, **options: Any) -> dict[str, Item]:
    return {item.key: item for item in AvaConverter(root, AvaOptions(**options)).list_items().items}


def expected(movie: dict[str, Any], places: range) -> list[int]:
    """The published passes: drop what is shown before 900 s, take the frame nearest to each 30th of a second."""
    rate = Fraction(*movie["rate"])
    first = -(-(900 - movie["start"]) * rate // 1)
    return [int(first + (Fraction(k, 30) * rate + Fraction(1, 2)) // 1) for k in places]


def test_every_second_holds_the_frames_of_its_place_on_the_clock(tree: tuple[Path, list[dict[str, Any]]]) -> None:
    root, movies = tree
    items = listing(root)
    converter = AvaConverter(root, AvaOptions())
    names = movie_names([movie["id"] for movie in movies])
    seen = set()
    for movie in movies:
        for second in (902, 1798):
            sample = converter.load(items[f"ava-{names[movie['id']]}-{second:04d}"])
            assert isinstance(sample.rgb, pvit_data.EncodedMedia)
            shown = [number_of(picture) for picture in decode_video(sample.rgb.data)]
            grid = sample.meta["grid"]
            centre = (second - 900) * 30
            assert [shown[n] for n in grid] == expected(movie, range(centre - 32, centre + 32))
            assert len(set(shown)) == len(shown), "each frame once"
            assert sample.meta["movie_frames"] == shown
            assert sample.meta["key_frame"] == grid[32]
            assert sample.fps == pytest.approx(float(Fraction(*movie["rate"])), rel=1e-3)
            seen.add((tuple(movie["rate"]), movie["folder"], movie["late"] > 0))
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("rate", "frames"),
    [
        (24, [0, 1, 2, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 10, 11, 12, 13, 14, 14, 15, 16, 17, 18, 18]),
        (25, [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 13, 14, 15, 16, 17, 18, 18, 19]),
        (30, list(range(24))),
    ],
)
def test_the_clock_from_time_zero(rate: int, frames: list[int]) -> None:
    assert frames_at(np.arange(60) * 512, Fraction(1, 512 * rate), 0, np.arange(24)).tolist() == frames


def test_the_clock_starts_at_the_first_frame_at_900_seconds() -> None:
    pts = np.arange(28000) * 1001 + 77
    first = first_frame(pts, Fraction(1, 30000), 900)
    assert first == 26974, "frame 26973 is shown at 899.9991 s"
    assert frames_at(pts, Fraction(1, 30000), first, np.arange(60, 63)).tolist() == [27034, 27035, 27036]


def test_val_has_every_second_and_train_those_with_persons(tree: tuple[Path, list[dict[str, Any]]]) -> None:
    root, movies = tree
    names = movie_names([movie["id"] for movie in movies])
    items = listing(root, split="val")
    val = [movie["id"] for movie in movies if movie["split"] == "val"]
    assert len(items) == 897 * len(val)
    assert {item.group for item in items.values()} == set(val)
    assert items[f"ava-{names[val[0]]}-1000"].ref["persons"] == [], "annotated, and nobody there"
    assert [key[-4:] for key, item in items.items() if item.ref["excluded"]] == ["0905"] * len(val)
    train = listing(root, split="train")
    assert sorted({key[-4:] for key in train}) == ["0902", "0903", "0905", "1798"]
    assert "0905" not in {key[-4:] for key in listing(root, split="train", threshold=0.95)}
    found = AvaConverter(root, AvaOptions()).list_items()
    assert found.absent == {"movie not present": 897 + 4}
    notes = " | ".join(found.notes)
    assert "train: 3 of 4 movies present" in notes
    assert "train: 8 rows at seconds that AVA does not annotate, left out" in notes


def test_boxes_are_persons_with_their_actions(tree: tuple[Path, list[dict[str, Any]]]) -> None:
    root, movies = tree
    items, converter = listing(root), AvaConverter(root, AvaOptions())
    space = converter.spaces()["boxes"]
    assert (space.name, space.first, len(space.classes), space.class_name(12)) == ("ava80", 1, 80, "action of 12")
    name = movie_names([movies[0]["id"]])[movies[0]["id"]]
    sample = converter.load(items[f"ava-{name}-0902"])
    assert sample.boxes is not None
    assert sample.boxes.labels.tolist() == [[0, 12], [0, 80], [1, 17]], "rows of the same corners are one person"
    assert sample.boxes.role.tolist() == [3, 3]
    assert sample.boxes.track.tolist() == [0, 1]
    assert sample.boxes.class_id.tolist() == [-1, -1]
    assert set(sample.boxes.frame.tolist()) == {sample.meta["key_frame"]}
    np.testing.assert_array_equal(sample.boxes.xyxy[1], np.array([0.7, 0.1, 0.9, 0.95], np.float32))
    nobody_said = converter.load(items[f"ava-{name}-0903"])
    assert nobody_said.boxes is not None
    assert (len(nobody_said.boxes), len(nobody_said.boxes.labels)) == (1, 0)
    odd = converter.load(items[f"ava-{name}-1798"])
    assert odd.boxes is not None
    np.testing.assert_allclose(odd.boxes.xyxy, [[0, 0.5, 0.2, 1]])
    assert odd.meta["warnings"] == ["boxes-without-area-left-out"]


def test_layers_carry_what_is_scored_and_what_is_trained_on(
    tree: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    raw, movies = tree
    root = tmp_path / "raw"
    shutil.copytree(raw / "annotations", root / "annotations")
    for movie in movies[:2]:
        for folder in ("videos", "videos_15min"):
            if (raw / folder / (movie["id"] + movie["ending"])).is_file():
                (root / folder).mkdir(exist_ok=True)
                (root / folder / (movie["id"] + movie["ending"])).symlink_to(
                    raw / folder / (movie["id"] + movie["ending"])
                )
    out = str(tmp_path / "out")
    report = convert(Job(AvaConverter, root, out, AvaOptions(split="train"), follow_links=True))
    assert (report.converted, report.failed) == (4, {})
    layer = convert(Job(AvaTrain, root, out, AvaLayerOptions(), base=f"{out}#ava"))
    assert layer.converted == 4
    samples = {s.key[-4:]: s for s in pvit_data.open(out, source="ava", layers=["ava-train"])}
    boxes = samples["0902"].boxes
    assert boxes is not None
    assert boxes.labels.tolist() == [[0, 12], [0, 80], [0, 11], [1, 17]], "merged by the text of their corners"
    assert boxes.score.tolist() == [1, 1], "detections below the threshold are left out before merging"
    negatives = samples["0905"].boxes
    assert negatives is not None
    assert (len(negatives), negatives.score.tolist(), len(negatives.labels)) == (1, [pytest.approx(0.9)], 0)
    told = "are those with persons of 0.8 or more (its --threshold), of which {} have none of {} or more: give both"
    for threshold, bare in ((0.8, None), (0.7, 0), (0.95, 1)):
        made = AvaTrain(root, AvaLayerOptions(threshold=threshold), Base(f"{out}#ava"))
        notes = " | ".join(made.list_items().notes)
        assert ("are those with persons" in notes) == (bare is not None)
        assert bare is None or told.format(bare, threshold) in notes
    (root / "annotations/person_box_67091280_iou90").rename(root / "elsewhere")
    with pytest.raises(SourceError, match="no boxes of a person detector"):
        convert(Job(AvaDetections, root, out, AvaLayerOptions(), base=f"{out}#ava"))


@pytest.mark.parametrize("form", ["frames/{movie}/{movie}_{number:06d}.jpg", "rawframes/{movie}/img_{number:05d}.jpg"])
def test_folders_of_frames(form: str, tree: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    raw, movies = tree
    shutil.copytree(raw / "annotations", tmp_path / "annotations")
    for number in range(28, 98):
        path = tmp_path / form.format(movie=movies[0]["id"], number=number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbered(number)).save(path, quality=95)
        for flow in ("x", "y", "flow_x", "flow_y", "img_y"):  # as its extraction leaves it beside the pictures
            (path.parent / f"{flow}_{number:05d}.jpg").write_bytes(b"no picture of the movie")
    key = f"ava-{movie_names([movies[0]['id']])[movies[0]['id']]}"
    items, converter = listing(tmp_path), AvaConverter(tmp_path, AvaOptions(short_side=32))
    sample = converter.load(items[f"{key}-0902"])
    assert isinstance(sample.rgb, pvit_data.EncodedMedia)
    shown = [number_of(picture) for picture in decode_video(sample.rgb.data)]
    centre = 2 * 30 + 1  # files count from 1
    assert [shown[n] for n in sample.meta["grid"]] == list(range(centre - 32, centre + 32))
    assert (sample.height, sample.width) == (32, 32)
    shutil.copyfile(path, path.with_name(path.name.replace("97", "00")))  # its files count from 0
    counted = converter.load(items[f"{key}-0902"])
    assert isinstance(counted.rgb, pvit_data.EncodedMedia)
    shown = [number_of(picture) for picture in decode_video(counted.rgb.data)]
    assert [shown[n] for n in counted.meta["grid"]] == list(range(centre - 33, centre + 31))
    with pytest.raises(SourceError, match="has no second 1798") as error:
        converter.load(items[f"{key}-1798"])
    assert error.value.reason == "too-short"
    shutil.copyfile(path, path.with_name("00061.jpg"))
    with pytest.raises(
        SourceError, match=r"00061.jpg and \S+61.jpg are frames of one number; leave one of these kinds"
    ):
        converter.load(items[f"{key}-0902"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ava_val_v2.2.csv", "a,0902,0,0,1,1,81,0", r"line 1: 81, expected a whole number up to 80"),
        ("ava_val_v2.2.csv", "a,0902,0,0,1,1,0,0", r"action 0, expected 1 to 80: AVA's ids begin at 1"),
        ("ava_val_v2.2.csv", "a,0902,0,0,1,nan,1,0", r"nan, expected a number"),
        ("ava_val_v2.2.csv", "a,0902", r"2 columns, expected 8"),
        ("ava_val_v2.2.csv", "video_id,middle_frame_timestamp", r"line 1: a header, .*; delete it"),
        (
            "ava_val_v2.1.csv",
            "a,0902,0,0,1,1,1,0",
            r"is of another version of AVA; results on v2.2 need ava_val_v2.2.csv",
        ),
    ],
)
def test_wrong_tables_are_told(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "frames/a").mkdir(parents=True)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / name).write_text(text)
    with pytest.raises(SourceError, match=said):
        AvaConverter(tmp_path, AvaOptions(split="val")).list_items()


def test_rows_are_one_person_where_their_corners_are_the_same_text(tmp_path: Path) -> None:
    """As the published loaders merge them: 0.7 and 0.700 are two persons, whatever the number in the last column."""
    rows = ["m,0902,0.7,0.1,0.9,0.95,12,0", "m,0902,0.7,0.1,0.9,0.95,80,3", "m,0902,0.700,0.1,0.9,0.95,17,0"]
    (tmp_path / "ava_val_v2.2.csv").write_text("\n".join(rows))
    found = read_truth(tmp_path / "ava_val_v2.2.csv").at("m", 902)
    assert [person.actions for person in found.values()] == [[12, 80], [17]]
    detected = tmp_path / "detections.csv"
    detected.write_text("m,0902,0.700,0.1,0.9,0.95,20,0.9\nm,0902,0.7000,0.1,0.9,0.95,-1,0.9")
    together = merged(found, read_detections(detected, 0.8).at("m", 902))
    assert [person.actions for person in together.values()] == [[12, 80], [17, 20], []]


def test_pickled_proposals_are_refused_with_a_way_out(tree: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    shutil.copytree(tree[0] / "annotations", tmp_path / "annotations")
    shutil.rmtree(tmp_path / "annotations/person_box_67091280_iou90")
    (tmp_path / "annotations/ava_dense_proposals_train.FAIR.recall_93.9.pkl").write_bytes(b"\x80\x04N.")
    (tmp_path / "frames/a").mkdir(parents=True)
    with pytest.raises(SourceError, match="is a pickle, which can run code"):
        AvaConverter(tmp_path, AvaOptions(split="train")).list_items()


def test_movies_whose_letters_agree_keep_apart() -> None:
    names = movie_names(["abCdEfGhIjK", "ABcdEfGhIjK", "_x-1234567A"])
    assert len(set(names.values())) == 3
    assert names["_x-1234567A"] == "_x-1234567a"


def test_detections_to_be_scored_are_of_every_second(tree: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    root, movies = tree
    movie = next(movie["id"] for movie in movies if movie["split"] == "val")
    name = movie_names([movie])[movie]
    out = tmp_path / "out"
    with pvit_data.ShardWriter(out, "ava", "val") as writer:
        for second in (902, 905, 1000):
            rgb = np.zeros((4, 16, 16, 3), np.uint8)
            writer.write(pvit_data.Sample(key=f"ava-{name}-{second:04d}", group=movie, rgb=rgb, meta={"key_frame": 2}))
    report = convert(Job(AvaDetections, root, str(out), AvaLayerOptions(threshold=0.7), base=f"{out}#ava"))
    assert (report.converted, report.failed) == (3, {})
    assert [s.boxes for s in pvit_data.open(out, source="ava")] == [None] * 3, "nobody asked for them"
    found = {s.key[-4:]: s.boxes for s in pvit_data.open(out, source="ava", layers=["ava-detections"])}
    assert {second: boxes.score.tolist() if boxes is not None else None for second, boxes in found.items()} == {
        "0902": [pytest.approx(0.995518), pytest.approx(0.742486)],
        "0905": [pytest.approx(0.9)],
        "1000": [],
    }
    assert found["0902"] is not None
    assert set(found["0902"].frame.tolist()) == {2}
    assert len(found["0902"].labels) == 0


def test_cut_movies_of_other_rates_and_lengths(tmp_path: Path) -> None:
    path = tmp_path / "fast.mp4"
    write_long_video(path, 240, Fraction(60), [range(240)])
    window = read_movie(path, 902, 64, is_cut=True, short_side=0)
    assert window.warnings == ("rate-above-30-published-frames-lag",)
    assert [number_of(p) for p in decode_video(window.data)] == list(range(56, 184, 2))
    assert window.info.fps == 30
    wide = read_movie(path, 902, 96, is_cut=True, short_side=0)
    assert wide.frames[wide.grid].tolist() == [2 * k for k in range(60 - 48, 60 + 48)]
    write_long_video(path, 70, Fraction(30), [range(70)])
    end = read_movie(path, 902, 64, is_cut=True, short_side=0)
    assert end.frames[end.grid].tolist() == [min(k, 69) for k in range(28, 92)], (
        "its last frame stands for what is gone"
    )
    assert end.warnings == ("video-ends-before-window",)
    for frames, warned in ((61, "video-ends-before-window"), (60, "video-ends-before-key-frame")):
        write_long_video(path, frames, Fraction(30), [range(frames)])
        ended = read_movie(path, 902, 64, is_cut=True, short_side=0)
        assert ended.warnings == (warned,), "frame 60 is that of the second"
        assert ended.frames[ended.grid[32]] == min(60, frames - 1)
    write_long_video(path, 950, Fraction(1), [range(950)])
    with pytest.raises(SourceError, match=r"is 949 s long, and a cut of AVA has 901 s.*movies belong into videos/"):
        read_movie(path, 902, 64, is_cut=True, short_side=0)
    write_long_video(path, 902, Fraction(1), [range(902)])
    with pytest.raises(SourceError, match=r"has no second 1000; one of 901 s is a cut.*belongs into videos_15min/"):
        read_movie(path, 1000, 64, is_cut=False, short_side=0)
    write_long_video(path, 25, Fraction(30), [range(25)])
    with pytest.raises(SourceError, match="has no second 902"):
        read_movie(path, 902, 64, is_cut=True, short_side=0)
    with pytest.raises(SourceError, match="has no second 902"):
        read_movie(path, 902, 64, is_cut=False, short_side=0)


def test_simulated_persons_show_what_the_rows_say() -> None:
    """In the key frame a box holds its action's colour, and only its own person."""
    rows = [row.split(",") for row in ava_acts.rows("m", 3, 6) if row.split(",")[1] == "0916"]
    people = ava_acts.actors(3, 6, 916)
    picture = ava_acts.drawn(people, 30 * 16)
    for _, _, *corners, action, person in rows:
        left, top, right, bottom = np.rint(np.array(corners, float) * 64).astype(int)
        inside = picture[top:bottom, left:right].reshape(-1, 3)
        colour = {**ava_acts.POSES, **ava_acts.MARKS}[int(action)]
        assert (inside == colour).all(1).any()
        assert {tuple(pixel) for pixel in inside.tolist()} <= {
            {**ava_acts.POSES, **ava_acts.MARKS}[act] for act in people[int(person)].acts
        }
    assert len({row[-1] for row in rows}) == len(people)


def test_tables_that_a_spreadsheet_saved_and_lists_that_are_missing(tmp_path: Path) -> None:
    """A byte-order mark is no part of the first movie's name, and what has no list is told."""
    (tmp_path / "frames/a").mkdir(parents=True)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/ava_val_v2.2.csv").write_bytes(b"\xef\xbb\xbfa,0902,0,0,1,1,12,0\r\n")
    listed = AvaConverter(tmp_path, AvaOptions()).list_items()
    assert {item.ref["movie"] for item in listed.items} == {"a"}
    assert listed.absent == {}
    assert "no ava_train_v2.2.csv: no seconds of train" in listed.notes


def test_an_empty_copy_hides_none_that_is_whole(tmp_path: Path) -> None:
    for place in ("frames/a", "rawframes/a", "frames/b", "videos"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "rawframes/a/img_00001.jpg").write_bytes(b"x")
    (tmp_path / "frames/b/b_000001.jpg").write_bytes(b"x")
    (tmp_path / "videos/b.mp4").write_bytes(b"")
    (tmp_path / "videos/c.mp4").write_bytes(b"")
    assert {name: movie.file for name, movie in find_movies(tmp_path).items()} == {
        "a": "rawframes/a",
        "b": "frames/b",
        "c": "videos/c.mp4",
    }


def test_movies_of_test_are_those_of_either_list(tmp_path: Path) -> None:
    """Nobody has its truth; a movie in which no second is excluded is named by the detections alone."""
    (tmp_path / "frames/a").mkdir(parents=True)
    (tmp_path / "frames/b").mkdir(parents=True)
    (tmp_path / "ava_test_excluded_timestamps_v2.2.csv").write_text("a,0903\n")
    (tmp_path / "ava_test_predicted_boxes.csv").write_text("b,0902,0.1,0.1,0.5,0.5,,0.3\n")
    found = AvaConverter(tmp_path, AvaOptions(split="test")).list_items()
    assert Counter(item.group for item in found.items) == {"a": 897, "b": 897}
    assert "test: 2 of 2 movies present" in found.notes


def test_a_movie_of_val_is_not_trained_on_whatever_is_converted(tmp_path: Path) -> None:
    for movie in "abc":
        (tmp_path / "frames" / movie).mkdir(parents=True)
    row = "{},0902,0,0,1,1,12,0\n"
    (tmp_path / "ava_train_v2.2.csv").write_text("".join(map(row.format, "abc")))
    (tmp_path / "ava_val_v2.2.csv").write_text(row.format("b"))
    (tmp_path / "ava_test_excluded_timestamps_v2.2.csv").write_text("b,0902\nc,0902\n")
    seen = {"trainval": {"a": "train", "b": "val"}, "train": {"a": "train"}, "val": {"b": "val"}}
    seen["all"] = {"a": "train", "b": "val", "c": "test"}
    for split, expected in seen.items():
        found = AvaConverter(tmp_path, AvaOptions(split=split)).list_items()
        assert {item.group: item.split for item in found.items} == expected
        notes = " | ".join(found.notes)
        assert ("train: 2 movies are in the list of another split as well" in notes) == ("train" in expected.values())
        assert ("test: 1 movie is in the list" in notes) == (split == "all")
    (tmp_path / "ava_train_v2.2.csv").write_text(row.format("b"))
    with pytest.raises(SourceError, match=r": train: 1 movie is in the list .*; none of the 0 other listed movies"):
        AvaConverter(tmp_path, AvaOptions(split="train")).list_items()


def test_an_avi_is_told_from_a_damaged_movie(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as out:
        stream: Any = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for number in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        out.mux(stream.encode(None))
    with pytest.raises(SourceError, match="as AVI does not keep them; make another file of it: ffmpeg"):
        read_movie(tmp_path / "a.avi", 902, 64, is_cut=True, short_side=0)
