"""PHAV's names, tables and pitfalls (spec phav): every example, every refusal, every option."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pvit_converters.engine.plan import Settings
from pvit_converters.engine.preview import preview
from pvit_converters.engine.run import Job
from pvit_converters.phav import PHAV36, PHAV63, PHAV_ACTIONS, PhavConverter, PhavOptions
from pvit_converters.phav import offset as shift
from pvit_converters.phav.boxes import class_and_role
from pvit_converters.phav.classes import action_of
from pvit_converters.phav.layout import NAME, modality_of, sample_key
from pvit_data.errors import SourceError, UsageError

SPEC_ROWS = """
0 Terrain 210,0,200 21 Curtain 230,230,250 42 LeftHand 100,149,237
1 Sky 90,200,255 22 Bed 205,92,92 43 Chest 248,248,255
2 Tree 0,199,0 23 Fireplace 233,150,122 44 RightUpperLeg 102,51,153
3 Vegetation 90,240,0 24 Shelf 153,50,204 45 RightLowerLeg 164,89,58
4 Building 140,140,140 25 Lamp 160,82,45 46 RightFoot 220,173,116
5 Road 100,60,100 26 Stair 219,112,147 47 LeftUpperLeg 0,0,139
6 TrafficSign 255,255,0 27 Bench 245,222,179 48 LeftLowerLeg 255,182,193
7 TrafficLight 200,200,0 28 Screen 218,165,32 49 LeftFoot 255,239,213
8 Pole 255,130,0 29 Fridge 255,255,240 50 Neck 152,251,152
9 Misc 80,80,80 30 Ball 178,34,34 51 LeftShoulder 47,79,79
10 Truck 160,60,60 31 BaseballBat 210,105,30 52 RightShoulder 85,107,47
11 Car 255,127,80 32 Bow 95,158,160 53 LeftElbow 25,25,112
12 Bus 0,139,139 33 Gun 255,248,220 54 RightElbow 128,0,0
13 Human 200,250,200 34 GolfClub 173,255,47 55 LeftWrist 0,255,255
14 Window 0,128,0 35 HairBrush 224,255,255 56 RightWrist 238,130,238
15 Door 127,255,212 36 Head 220,20,60 57 LeftHip 147,112,219
16 Sofa 128,0,128 37 RightUpperArm 255,255,26 58 RightHip 143,188,139
17 Ceiling 240,230,140 38 RightLowerArm 255,215,0 59 LeftKnee 102,0,102
18 Chair 72,61,139 39 RightHand 255,140,0 60 RightKnee 69,33,84
19 Floor 0,191,255 40 LeftUpperArm 60,179,113 61 LeftAnkle 50,205,50
20 Table 255,250,205 41 LeftLowerArm 135,206,235 62 RightAnkle 255,105,180
"""
"""The table of spec phav, section 7.3, as printed there."""

NAMES = (
    "b3050-House-Dawn-Foggy-33_02-Model_Girl-Indoor-o-7e05119cbac5858f4c13461f9ca93b7c",
    "b1079-GreenCity-Day-Foggy-clap_01-Civilian_Female01-Kite-w-04fe02c4786cd96946b229b74d3c1d33",
    "b1045-Urban-Day-Foggy-clap_01-Vincent-Kite-n-a5e1213a834906c1f67c9d68122167aa",
)


def test_classes_are_the_published_ones() -> None:
    rows = re.findall(r"(\d+) (\w+) (\d+),(\d+),(\d+)", SPEC_ROWS)
    assert len(rows) == 63
    for index, name, *colour in rows:
        assert PHAV63.classes[int(index)] == name
        assert PHAV63.colours[int(index)] == tuple(map(int, colour))
    assert len(set(PHAV63.colours)) == 63
    assert [PHAV63.classes[a] for a, _ in PHAV63.pairs] == [n for n in PHAV63.classes if n.startswith("Left")]
    assert all(PHAV63.classes[a][4:] == PHAV63.classes[b][5:] for a, b in PHAV63.pairs)
    assert (len(PHAV36.classes), PHAV36.classes[13]) == (36, "Human")
    ordered = sorted(
        (max(abs(x - y) for x, y in zip(a, b, strict=True)), PHAV63.classes[j], PHAV63.classes[i])
        for i, a in enumerate(PHAV63.colours)
        for j, b in enumerate(PHAV63.colours[:i])
    )
    assert ordered[0] == (9, "Gun", "LeftFoot")
    assert (10, "Pole", "RightHand") in ordered[:2]


def test_actions_are_the_published_ones() -> None:
    chosen = {0: "BrushHair", 9: "PullUp", 17: "SwingBaseball", 18: "SyntheticBumpIntoEachOther", 34: "Wave"}
    assert all(PHAV_ACTIONS.classes[i] == name for i, name in chosen.items())
    assert sum(name.startswith("Synthetic") for name in PHAV_ACTIONS.classes) == 14
    assert len(PHAV_ACTIONS.classes) == 35
    assert list(PHAV_ACTIONS.classes) == sorted(PHAV_ACTIONS.classes, key=str.lower)
    assert [action_of(n) for n in ("brushhair", "Brush_Hair", "CAR HIT", "SyntheticCarHit")] == [0, 0, 19, 19]
    assert action_of("videos") is None


@pytest.mark.parametrize("name", NAMES)
def test_real_names_parse(name: str) -> None:
    match = NAME.match(name)
    assert match is not None
    assert len(match.groupdict()) == 9
    assert sample_key(f"Clap/{name}", name) == f"phav-{name[-32:]}"
    assert not NAME.match(name[:-1])
    assert not NAME.match(name.replace("-Foggy", "-Fog-gy"))


def test_files_are_classified_by_their_prefix() -> None:
    table = {
        "depth": "depth", "classgt": "semantic", "semantic": "semantic", "segm": "semantic", "class": "semantic",
        "instancegt": "instance", "class_inst": "instance", "flow_x": "flow_x", "flow_y": "flow_y", "flow": "flow_x",
        "img": "rgb", "rgb_image": "rgb", "raw": "raw", "unprocessed": "raw",
    }  # fmt: skip
    assert {prefix: modality_of(prefix) for prefix in table} == table


def png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def make(root: Path, video: str = NAMES[1], action: str = "SyntheticSurrender", frames: int = 6) -> Path:
    """The fixture of spec phav, section 10: RGB 1..6, maps 0..5, a patch of (38,115,71), a block of sky."""
    folder = root / action / video
    folder.mkdir(parents=True)
    for i in range(frames):
        classes = np.full((64, 80, 3), PHAV63.colours[5], np.uint8)
        classes[:20] = PHAV63.colours[1]
        classes[20:30, 10 + 5 * i : 20 + 5 * i] = PHAV63.colours[36]
        classes[30:50, 10 + 5 * i : 20 + 5 * i] = PHAV63.colours[43]
        depth = np.full((64, 80), 1200, np.uint16)
        depth[:20], depth[20:50, 10 + 5 * i : 20 + 5 * i], depth[63, 79] = 65535, 350, 0
        Image.fromarray(classes // 2 + 60).save(folder / f"img_{i + 1:05d}.jpg", quality=95)
        classes[60:62, :5] = (38, 115, 71)
        png(folder / f"depth_{i:05d}.png", depth)
        png(folder / f"classgt_{i:05d}.png", classes)
        png(folder / f"instancegt_{i:05d}.png", np.where((classes == PHAV63.colours[43]), 90, 0).astype(np.uint8))
    (folder / "instances.txt").write_text("Name r g b\nperson 1 90 90 90\n")
    return folder


def load(root: Path, **options: Any) -> Any:
    converter = PhavConverter(root, PhavOptions(**options))
    return converter.load(converter.list_items().items[0])


def test_the_minimal_fixture(tmp_path: Path) -> None:
    make(tmp_path / "videos")
    sample = load(tmp_path)
    assert sample.meta["index_offset"] == 1
    assert sample.frames["depth"].tolist() == [0, 1, 2, 3, 4, 5]
    assert sample.depth[0, 25, 15] == np.float32(3.5)
    assert sample.depth[0, :20].max() == 0, "65535 is sky"
    assert sample.depth[0, 63, 79] == 0
    assert sample.segm[2, 25, 25] == 36
    assert set(np.unique(sample.segm[:, 60:62, :5])) == {255}
    assert sample.meta["unknown_colours"] == {"38 115 71": 60}
    assert sample.meta["median_body_depth"] == 3.5
    assert sample.boxes.class_id.tolist() == [13] * 6
    assert sample.boxes.role.tolist() == [3] * 6
    assert sample.meta["instances"] == ["person 1"]


def test_options_on_classes_and_depth(tmp_path: Path) -> None:
    make(tmp_path / "raw")
    person = load(tmp_path / "raw", classes="person")
    assert person.segm[2, 25, 25] == 13
    assert load(tmp_path / "raw", depth_max=10.0).depth[0, 40, 70] == 0
    assert load(tmp_path / "raw", depth_scale=0.001).depth[0, 25, 15] == pytest.approx(0.35)
    assert any("implausible" in w for w in load(tmp_path / "raw", depth_scale=1.0).meta["warnings"])
    extra = tmp_path / "map.yaml"
    extra.write_text("extra_colors: {Misc: [[38, 115, 71]]}\n")
    assert set(np.unique(load(tmp_path / "raw", label_map=extra).segm[:, 60:62, :5])) == {9}
    for text in ("extra_colors: {Foo: [[1, 2, 3]]}", "extra_colors: {Misc: [[1, 2]]}", "[1]", "a: [", "extra: 3"):
        extra.write_text(text)
        with pytest.raises(UsageError, match="--label-map"):
            load(tmp_path / "raw", label_map=extra)
    assert load(tmp_path / "raw", phav_index_offset="0").frames["depth"].tolist() == [0, 1, 2, 3, 4]


def test_annotations_of_some_frames(tmp_path: Path) -> None:
    make(tmp_path)
    every, third = load(tmp_path), load(tmp_path, frames="1::3")
    assert third.rgb.shape[0] == 6
    assert third.frames["depth"].tolist() == third.frames["segm"].tolist() == [1, 4]
    assert (third.segm == every.segm[[1, 4]]).all()
    assert third.boxes.frame.tolist() == [1, 4]
    with pytest.raises(UsageError, match="--frames"):
        load(tmp_path, frames="third")


def test_a_colour_may_be_a_little_off_only_if_asked(tmp_path: Path) -> None:
    folder = make(tmp_path)
    image = np.full((64, 80, 3), PHAV63.colours[5], np.uint8)
    image[:2] += 3
    png(folder / "classgt_00000.png", image)
    assert load(tmp_path).segm[0, 0, 0] == 255
    assert load(tmp_path, seg_tolerance=3).segm[0, 0, 0] == 5
    with pytest.raises(ValueError, match="less than or equal to 4"):
        PhavOptions(seg_tolerance=5)


def test_a_table_beside_the_videos_wins(tmp_path: Path) -> None:
    make(tmp_path / "videos")
    table = "Category r g b\n" + "".join(
        f"{n} {r} {g} {b}\n" for n, (r, g, b) in zip(PHAV63.classes, PHAV63.colours, strict=True)
    )
    (tmp_path / "colors.txt").write_text(table)
    assert not [w for w in load(tmp_path).meta["warnings"] if "differs" in w]
    moved = table.replace("Road 100 60 100", "Road 38 115 71").replace("Misc 80 80 80\n", "") + "Misc2 1 2 3\n"
    (tmp_path / "colors.txt").write_text(moved)
    with pytest.raises(SourceError, match=r"colour that is in no table, most often \[100, 60, 100\]"):
        load(tmp_path)
    sample = load(tmp_path, max_unknown_seg=1.0)
    assert any("colors.txt differs" in w for w in sample.meta["warnings"])
    assert set(np.unique(sample.segm[:, 60:62, :5])) == {5}
    (tmp_path / "colors.txt").write_text("Category r g b\nRoad 1 2\n")
    with pytest.raises(SourceError, match=r"colors.txt: row 'Road 1 2', expected NAME R G B"):
        load(tmp_path)


def test_rows_that_are_no_class_do_not_attract_colours(tmp_path: Path) -> None:
    """A known copy of the table has `Misc2 38 115 71`, which is no class."""
    make(tmp_path)
    rows = "".join(f"{n} {r} {g} {b}\n" for n, (r, g, b) in zip(PHAV63.classes, PHAV63.colours, strict=True))
    (tmp_path / "colors.txt").write_text(f"Category r g b\n{rows}Misc2 38 115 71\n")
    sample = load(tmp_path, seg_tolerance=4)
    assert set(np.unique(sample.segm[:, 60:62, :5])) == {255}
    assert sample.meta["unknown_colours"] == {"38 115 71": 60}


def test_the_scale_of_depth_is_checked_before_the_conversion(tmp_path: Path) -> None:
    folder = make(tmp_path)

    def told(**options: Any) -> str:
        return PhavConverter(tmp_path, PhavOptions(**options)).list_items().notes[-1]

    assert told() == "check of depth, 1 videos: people stand 3.5..3.5 m away, mostly 3.5"
    assert told(depth_scale=1.0).endswith("mostly 350.0; IMPLAUSIBLE IN 1: look at --depth-scale")
    for path in folder.glob("depth_*"):
        png(path, np.full((64, 80), 65535, np.uint16))
    assert told() == "check of depth: nobody is seen in it, so its scale is unverified"


def test_maps_without_the_last_one_are_judged_by_the_pictures_too(tmp_path: Path) -> None:
    folder = make(tmp_path)
    for name in ("depth", "classgt", "instancegt"):
        (folder / f"{name}_00005.png").unlink()
    sample = load(tmp_path)
    assert sample.meta["index_offset"] == 1
    assert sample.frames["segm"].tolist() == [0, 1, 2, 3, 4]


def test_roots_one_level_off(tmp_path: Path) -> None:
    make(tmp_path / "raw/phav_top")
    assert load(tmp_path / "raw").action == 28, "a leading folder that was not stripped"
    with pytest.raises(SourceError, match=r"a video where an action folder is expected; give .*phav_top"):
        load(tmp_path / "raw/phav_top/SyntheticSurrender")


def test_exchanged_colour_channels_are_recognised(tmp_path: Path) -> None:
    folder = make(tmp_path)
    for path in folder.glob("classgt_*"):
        png(path, np.asarray(Image.open(path))[..., ::-1])
    with pytest.raises(SourceError, match="red and blue are exchanged") as error:
        load(tmp_path)
    assert error.value.reason == "unknown-colours"


def test_depth_of_other_kinds_is_refused_or_unpacked(tmp_path: Path) -> None:
    folder = make(tmp_path / "raw")
    for path in folder.glob("depth_*"):
        png(path, np.full((64, 80), 40, np.uint8))
    with pytest.raises(SourceError, match=r"depth_0000\d.png: 8-bit depth, .*--allow-8bit-depth"):
        load(tmp_path / "raw")
    assert load(tmp_path / "raw", allow_8bit_depth=True, depth_scale=0.1).depth[0, 0, 0] == 4
    for path in folder.glob("depth_*"):
        png(path, np.full((64, 80, 3), (0, 2, 3), np.uint8))
    with pytest.raises(SourceError, match=r"depth with 3 channels, .*depth_packing: rgb24"):
        load(tmp_path / "raw")
    layout = tmp_path / "layout.yaml"
    layout.write_text("phav: {depth_packing: rgb24}\n")
    assert load(tmp_path / "raw", layout=layout).depth[0, 0, 0] == np.float32(5.15)


def test_names_that_no_rule_decides_need_a_line_of_yaml(tmp_path: Path) -> None:
    folder = make(tmp_path / "raw")
    for path in list(folder.glob("img_*")):
        path.rename(folder / f"colourful_{path.stem[-5:]}.jpg")
    assert load(tmp_path / "raw").rgb.shape == (6, 64, 80, 3)
    for path in list(folder.glob("colourful_*")):
        png(folder / f"preview_{path.stem[-5:]}.png", np.zeros((64, 80, 3), np.uint8))
    assert load(tmp_path / "raw").rgb.any(), "JPEG is preferred"
    for path in list(folder.glob("colourful_*")):
        (folder / f"other_{path.stem[-5:]}.jpg").write_bytes(path.read_bytes())
    with pytest.raises(SourceError, match=r'could both be rgb; .*phav: \{rgb: "colourful_\{:05d\}.jpg"\}'):
        load(tmp_path / "raw")
    layout = tmp_path / "layout.yaml"
    layout.write_text('phav: {rgb: "other_{:05d}.jpg"}\n')
    assert load(tmp_path / "raw", layout=layout).rgb.shape == (6, 64, 80, 3)
    for text in ('phav: {rgb: "other.jpg"}', "phav: {colour: x}", "3"):
        layout.write_text(text)
        with pytest.raises(UsageError, match="--layout"):
            load(tmp_path / "raw", layout=layout)


def test_torrents_in_several_folders_are_merged(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    other = tmp_path / "b/SyntheticSurrender" / NAMES[1]
    other.mkdir(parents=True)
    for path in [*folder.glob("depth_*"), *folder.glob("inst*")]:
        path.rename(other / path.name)
    assert load(tmp_path / "a").depth is None
    both = load(tmp_path / "a", more_roots=(str(tmp_path / "b"),))
    assert both.depth.shape == (6, 64, 80)
    assert len(both.boxes) == 6


def test_maps_of_another_size_are_fitted_and_reported(tmp_path: Path) -> None:
    folder = make(tmp_path)
    for path in folder.glob("depth_*"):
        png(path, np.full((32, 40), 500, np.uint16))
    sample = load(tmp_path)
    assert sample.depth.shape == sample.segm.shape == (6, 64, 80)
    assert "maps-resized" in sample.meta["warnings"]


def test_splits(tmp_path: Path) -> None:
    people = ("Alexis", "Justin", "Model_Girl", "Model_Boy", "Vincent", "MixamoVincent5kPoly")
    for i, person in enumerate(people):
        make(tmp_path, NAMES[2].replace("Vincent", person)[:-2] + f"{i:02x}", "Clap", 1)
    by = {
        PhavConverter(tmp_path, PhavOptions(**options)): options
        for options in ({"split": "character"}, {"preset": "paper"}, {})
    }
    found = []
    for converter in by:
        listing = converter.list_items()
        found.append({i.ref["name"][1].split("-")[5]: i.split for i in listing.items})
    assert found[0] == dict(zip(people, ("val", "val", "test", "test", "train", "train"), strict=True))
    assert set(found[1].values()) == {"train"}
    assert set(found[2].values()) == {""}


@pytest.mark.parametrize("name", ["img_00003.jpg", "depth_00002.png", "classgt_00002.png", "instancegt_00002.png"])
def test_truncated_and_foreign_files_are_named(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path)
    data = (folder / name).read_bytes()
    for damage in (data[: len(data) // 2], b"", b"\x89PNG\r\n\x1a\n" + bytes(50), b"GIF89a"):
        (folder / name).write_bytes(damage)
        with pytest.raises(SourceError, match=re.escape(name)) as error:
            load(tmp_path, phav_index_offset="1")
        assert error.value.reason == "corrupt-image"


def test_a_picture_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path)
    out = io.BytesIO()
    Image.new("L", (20000, 20000)).save(out, "PNG")
    (folder / "depth_00002.png").write_bytes(out.getvalue())
    with pytest.raises(SourceError, match=r"depth_00002.png: .*limit"):
        load(tmp_path, phav_index_offset="1")


def test_roots_that_are_not_ready(tmp_path: Path) -> None:
    def dry_run(root: Path) -> None:
        preview(Job(PhavConverter, root, str(tmp_path / "out"), PhavOptions(), Settings()))

    with pytest.raises(SourceError, match="no such folder"):
        dry_run(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no video folder ACTION/VIDEO/.*BitTorrent"):
        dry_run(tmp_path / "empty")
    (tmp_path / "half/depth").mkdir(parents=True)
    (tmp_path / "half/depth/part1.tar.bz2").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"expected folders BrushHair, Catch.*part1.tar.bz2 in it is not unpacked"):
        dry_run(tmp_path / "half")
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/part1.tar.bz2").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"part1.tar.bz2 is not unpacked"):
        dry_run(tmp_path / "archives")
    make(tmp_path / "raw", action="Dancing")
    with pytest.raises(SourceError, match="Dancing: no action of PHAV"):
        dry_run(tmp_path / "raw")
    assert load(tmp_path / "raw", allow_unknown_actions=True).action is None
    with pytest.raises(UsageError, match="PHAV's actions are"):
        load(tmp_path / "raw", actions=("Dancing",))
    empty = tmp_path / "hollow/Clap" / NAMES[0]
    empty.mkdir(parents=True)
    with pytest.raises(SourceError, match="no frame or map in it"):
        load(tmp_path / "hollow")


def test_stray_files_are_reported_once(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "camera.xml").write_text("<x/>")
    (folder.parent / ".DS_Store").write_bytes(b"x")
    notes = PhavConverter(tmp_path, PhavOptions()).list_items().notes
    assert "ignored files: camera.xml" in notes


def test_offset_helpers() -> None:
    assert shift.starts_before([1, 2, 3], [0, 1, 2])
    assert shift.starts_before([1, 2, 3], [0, 1]), "the last map may be missing"
    assert not shift.starts_before([1, 2, 3], [1, 2])
    assert shift.starts_before([1, 2, 3], [0, 2])
    assert not shift.starts_before([0, 1, 2], [0, 1])
    assert shift.Score((1.0, 1.001), 3).best is None
    assert shift.Score((1.0, 2.0), 3).best == 1


def test_persons_by_name_or_by_what_lies_below() -> None:
    assert class_and_role("Person_0", -1) == (13, 3)
    assert class_and_role("X1", 43) == (13, 3)
    assert class_and_role("Ball_0", -1) == (30, 0)
    assert class_and_role("thing", 11) == (11, 0)
    assert class_and_role("thing", -1) == (-1, 0)
