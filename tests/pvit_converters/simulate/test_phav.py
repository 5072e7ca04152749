"""The simulated PHAV tree: names, numbering, colours and 16-bit depth against the analytic truth."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pvit_converters.simulate import simulate
from pvit_data.errors import UsageError

NAME = re.compile(
    r"^(?P<key>b\d+)-(?P<env>[^-]+)-(?P<phase>[^-]+)-(?P<weather>[^-]+)-(?P<motion>[^-]+)-(?P<character>[^-]+)"
    r"-(?P<camera>[^-]+)-(?P<variation>[a-z])-(?P<id>[0-9a-f]{32})$"
)
"""The pattern of spec phav, section 4."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("phav")
    simulate("phav", folder / "raw", samples=7, preset="tiny", truth=folder / "truth")
    return folder / "raw", folder / "truth"


def videos(tree: tuple[Path, Path]) -> list[tuple[Path, Path]]:
    return [(tree[0] / p.relative_to(tree[1]).with_suffix(""), p) for p in sorted(tree[1].rglob("*.npz"))]


def table(raw: Path) -> dict[tuple[int, ...], int]:
    rows = [line.split(" ") for line in (raw / "colors.txt").read_text().splitlines()]
    assert rows[0] == ["Category", "r", "g", "b"]
    assert len(rows) == 64
    return {tuple(map(int, row[1:])): i for i, row in enumerate(rows[1:])}


def test_colours_and_names_are_the_published_ones(tree: tuple[Path, Path]) -> None:
    rows = (tree[0] / "colors.txt").read_text().splitlines()[1:]
    assert [rows[i] for i in (0, 1, 5, 36, 42, 62)] == [
        "Terrain 210 0 200", "Sky 90 200 255", "Road 100 60 100", "Head 220 20 60", "LeftHand 100 149 237",
        "RightAnkle 255 105 180",
    ]  # fmt: skip
    assert len(table(tree[0])) == 63
    assert sum(bool(NAME.match(raw.name)) for raw, _ in videos(tree)) == 6


def test_maps_of_number_i_belong_to_the_rgb_frame_after_it(tree: tuple[Path, Path]) -> None:
    colours, unknown, skies = table(tree[0]), 0, 0
    for raw, path in videos(tree):
        exact = np.load(path)
        images = sorted([*raw.glob("img_*.jpg"), *raw.glob("rgb_image_*.jpg")])
        assert [int(p.stem[-5:]) for p in images] == [1, 2, 3, 4, 5, 6]
        maps = sorted(raw.glob("classgt_*.png"))
        assert [int(p.stem[-5:]) for p in maps] == exact["frames"].tolist()
        for position, segm, depth, instance in zip(
            exact["frames"], *(exact[k] for k in ("segm", "depth", "instance")), strict=True
        ):
            with Image.open(raw / f"classgt_{position:05d}.png") as image:
                pixels = np.asarray(image.convert("RGB"))
            ids = np.array([[colours.get(tuple(p), 255) for p in row] for row in pixels.tolist()])
            np.testing.assert_array_equal(ids, segm)
            unknown += (ids == 255).sum()
            with Image.open(raw / f"instancegt_{position:05d}.png") as image:
                np.testing.assert_array_equal(np.asarray(image).any(-1), instance >= 0)
            if exact["has_depth"]:
                with Image.open(raw / f"depth_{position:05d}.png") as image:
                    assert image.mode in ("I;16", "I")
                    units = np.asarray(image).astype(int)
                sky = units == 65535
                skies += sky.sum()
                np.testing.assert_array_equal(sky, depth == 0)
                assert np.abs(units * 0.01 - depth)[~sky].max() <= 0.00501
            else:
                assert not list(raw.glob("depth_*"))
    assert unknown > 50
    assert skies > 1000


def test_the_shift_is_visible_in_the_pictures(tree: tuple[Path, Path]) -> None:
    """Edges of the RGB frame lie on the class boundaries of its own map rather than of the neighbour's."""
    raw, _ = videos(tree)[0]
    better = 0
    for i in range(1, 5):
        with Image.open(raw / f"img_{i + 1:05d}.jpg") as image:
            grey = np.asarray(image.convert("L")).astype(float)
        edges = np.abs(np.diff(grey, axis=1))[:-1] + np.abs(np.diff(grey, axis=0))[:, :-1]
        scores = []
        for j in (i, i + 1):
            pixels = np.asarray(Image.open(raw / f"classgt_{j:05d}.png").convert("RGB")).astype(int).sum(-1)
            boundary = (np.diff(pixels, axis=1)[:-1] != 0) | (np.diff(pixels, axis=0)[:, :-1] != 0)
            scores.append(edges[boundary].mean())
        better += scores[0] > scores[1]
    assert better == 4


def test_other_traps(tree: tuple[Path, Path]) -> None:
    assert list(tree[0].rglob(".DS_Store"))
    assert len(list(tree[0].rglob("raw_*.jpg"))) == 6
    raw = videos(tree)[0][0]
    assert len(list(raw.glob("flow_x_*.jpg"))) == len(list(raw.glob("img_*.jpg"))) - 1
    assert (raw / "instances.txt").read_text().splitlines()[0] == "Name r g b"
    assert any(Image.open(p).mode == "RGBA" for p in tree[0].rglob("classgt_*.png"))


@pytest.mark.parametrize(("numbering", "numbers"), [("equal", [1, 2, 3]), ("zero", [0, 1, 2, 3])])
def test_other_numberings(tmp_path: Path, numbering: str, numbers: list[int]) -> None:
    simulate("phav", tmp_path / "raw", samples=1, preset="tiny", frames=4, numbering=numbering)
    assert sorted(int(p.stem[-5:]) for p in (tmp_path / "raw").rglob("classgt_*")) == numbers
    assert sorted(int(p.stem[-5:]) for p in (tmp_path / "raw").rglob("img_*")) == [1, 2, 3, 4]
    with pytest.raises(UsageError, match="shifted, equal or zero"):
        simulate("phav", tmp_path / "x", numbering="one")
