"""The gallery: sizes and safety of the file, and its behaviour in a real headless Chromium.

The browser tests need Chromium or Chrome. `.ci/run` installs it, and where CI=true a missing one is a failure; on a
developer's machine without one they are skipped, and everything else here still runs.
"""

import base64
import io
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pvit_data
from pvit_data.format.record import Record
from pvit_data.looking.colours import class_colours, ramp
from pvit_data.looking.gallery import write_gallery
from pvit_data.looking.gallery.charts import bars, columns, matrix
from pvit_data.looking.gallery.page import safe_json
from pvit_data.looking.gallery.preview import BUDGET, preview, preview_frames, preview_size
from pvit_data.looking.stats import Histogram
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Boxes, Sample
from tests.pvit_data.browser import Browser, find_browser
from tests.pvit_data.samples import SPACES, clip, full_sample, unit_vectors

ATTACK = "</script><script>window.attacked = 1</script><img src=x onerror='attacked = 2'>"
HOSTILE = {"action": LabelSpace("verbs", (f"open {ATTACK}", "close"))}
T, H, W = 20, 96, 128


def room(seed: int) -> Sample:
    """20 frames: the left half is class 7 at 2 m, the rest not labelled and without depth; maps for every second."""
    segm = np.full((10, H, W), 255)
    segm[:, :, : W // 2] = 7
    depth = np.where(segm == 7, 2.0, 0).astype(np.float32)
    depth[:, : H // 2, : W // 4] = 4
    boxes = Boxes(np.array([[0, 0, 0.5, 1]] * 2, np.float32), frame=np.array([0, 4]), class_id=np.array([1, 2]))
    return Sample(
        key=f"room-{seed}",
        rgb=clip(np.random.default_rng(seed), T, H, W),
        fps=10,
        depth=depth,
        segm=segm,
        frames={"depth": np.arange(0, T, 2), "segm": np.arange(0, T, 2)},
        boxes=boxes,
        meta={"place": f"kitchen {seed}"},
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> pvit_data.ShardDataset:
    out = tmp_path_factory.mktemp("gallery") / "data"
    with pvit_data.ShardWriter(out, "rooms", "train", spaces=SPACES, title=f"Rooms {ATTACK}") as writer:
        for seed in range(2):
            writer.write(room(seed))
    with pvit_data.ShardWriter(out, "mine", "val", spaces=SPACES) as writer:
        writer.write(full_sample(0))
    with pvit_data.ShardWriter(out, "clips", "train", spaces=HOSTILE, licence=ATTACK) as writer:
        writer.write(Sample(key="clip-0", rgb=clip(np.random.default_rng(3)), fps=10, action=0, meta={"x": ATTACK}))
        writer.write(Sample(key="clip-1", rgb=clip(np.random.default_rng(4)), fps=10, action=1))
    return pvit_data.open(out)


@pytest.fixture(scope="module")
def page(dataset: pvit_data.ShardDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "gallery.html"
    report = write_gallery(dataset, path, title=f"Test {ATTACK}")
    assert (report.samples, report.skipped) == (5, {})
    assert report.bytes == path.stat().st_size
    return path


# ---- the file ----


def picture(entry: dict[str, Any], name: str) -> np.ndarray:
    """The first tile of a layer."""
    layer = entry["layers"][name]
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(layer["src"]))))
    width, height = entry["size"]
    per_row = int(np.ceil(np.sqrt(len(layer["at"]))))
    assert image.shape[:2] == (-(-len(layer["at"]) // per_row) * height, per_row * width)
    return image[:height, :width]


def test_preview_holds_what_the_sample_holds(dataset: pvit_data.ShardDataset) -> None:
    row = list(dataset.column("key")).index("room-0")
    entry = preview(dataset, row)
    json.dumps(entry, allow_nan=False)
    assert (entry["size"], entry["frames"], len(entry["at"])) == ([W, H], T, 16)
    assert {entry["at"][i] for i in entry["layers"]["segm"]["at"]} == set(range(0, T, 2))
    segm = picture(entry, "segm")
    assert (segm[:, : W // 2] == (7, 0, 0, 255)).all()
    assert (segm[:, W // 2 :, 3] == 0).all()
    depth, layer = picture(entry, "depth"), entry["layers"]["depth"]
    metres = layer["near"] + depth[..., 0] / 255.0 * (layer["far"] - layer["near"])
    assert abs(metres[60:, 8:56] - 2).max() < 0.1
    assert abs(metres[:40, 4:28] - 4).max() < 0.1
    assert (depth[:, W // 2 :, 3] == 0).all()
    assert entry["boxes"][entry["at"].index(4)] == [[0, 0, 500, 1000, 2, -1, -1, -1, -1]]
    assert entry["classes"] == {"segm": [7], "boxes": [1, 2]}
    assert np.abs(picture(entry, "rgb").astype(int) - dataset[row].rgb[0]).mean() < 12


def test_joints_are_thousandths_of_the_picture(dataset: pvit_data.ShardDataset) -> None:
    row = list(dataset.column("key")).index("mine-0000")
    sample, entry = dataset[row], preview(dataset, row)
    assert entry["joints"]["placed"]
    person = np.array(entry["joints"]["people"][1][0]).reshape(25, 2)
    known = sample.pose3d_valid[1, 0] > 0
    expected = sample.pose2d[1, 0] / (sample.width, sample.height) * 1000
    assert np.abs(person - expected)[known].max() <= 0.5
    assert (person[~known] == -9000).all()


@pytest.mark.parametrize(
    ("dense", "frames", "expected"),
    [
        ([], 5, [0, 1, 2, 3, 4]),
        ([], 31, list(range(0, 31, 2))),
        ([7], 100, None),
        (list(range(0, 100, 3)), 100, None),
    ],
)
def test_preview_frames(dense: list[int], frames: int, expected: list[int] | None) -> None:
    found = preview_frames(Record(key="a", group="a", frames=frames, depth_frames=dense))
    assert found == sorted(set(found))
    assert len(found) == min(frames, 16)
    assert len(set(found) & set(dense)) == min(len(dense), 16)
    if expected:
        assert found == expected


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(768, 1024, (128, 171)), (256, 340, (128, 170)), (48, 64, (48, 64)), (100, 2000, (13, 256)), (-1, -1, (128, 170))],
)
def test_preview_size(height: int, width: int, expected: tuple[int, int]) -> None:
    assert preview_size(Record(key="a", group="a", height=height, width=width)) == expected


def test_noise_fits_into_the_budget(tmp_path: Path) -> None:
    """The hardest sample to compress: noise in every pixel of every map, with many boxes and people."""
    rng = np.random.default_rng(0)
    t, h, w = 16, 144, 192
    sample = full_sample(
        0,
        rgb=rng.integers(0, 255, (t, h, w, 3), np.uint8),
        depth=rng.uniform(0.1, 9, (t, h, w)).astype(np.float32),
        normal=unit_vectors(rng, (t, h, w)),
        segm=rng.integers(1, 41, (t, h, w)),
        frames={},
        boxes=Boxes(np.tile(np.array([0.1, 0.2, 0.8, 0.9], np.float32), (800, 1)), frame=np.arange(800) % t),
        pose3d=None,
        pose3d_valid=None,
        pose2d=rng.uniform(0, 100, (t, 6, 25, 2)).astype(np.float32),
        camera=None,
    )
    with pvit_data.ShardWriter(tmp_path / "d", "noise", spaces=SPACES) as writer:
        writer.write(sample)
    entry = preview(pvit_data.open(tmp_path / "d"), 0)
    assert len(json.dumps(entry)) < BUDGET + 2000
    assert set(entry["layers"]) == {"rgb", "depth", "normal", "segm"}


class Links(HTMLParser):
    """Collects what a page refers to, and its script elements."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.scripts = 0
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.scripts += tag == "script"
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def test_page_refers_to_nothing_and_escapes_everything(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert links.references == ["data:,"]
    assert links.scripts == 2
    assert "img" not in links.tags
    assert "%%" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src &#x27;none&#x27;; img-src data:;")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["title"] == f"Test {ATTACK}"


def test_safe_json() -> None:
    value = {"a": "</script><!--&\u2028", "b": [1, "Küche"]}
    text = safe_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028") & set(text)


def test_charts_carry_their_numbers_and_escape_names() -> None:
    text = bars("Two <b>", [("a & b", 2, "2"), ("c" * 40, 1, "1")])
    assert "<b>" not in text
    assert "a &amp; b: 2" in text
    widths = [float(v) for v in re.findall(r'class="bar"[^>]* width="([\d.]+)"', text)]
    assert widths[0] == pytest.approx(2 * widths[1])
    text = columns("Frames", Histogram([0, 1, 2, 3], [4, 0, 2]), " frames", whole=True)
    heights = [float(v) for v in re.findall(r'class="bar"[^>]* height="([\d.]+)"', text)]
    assert heights[0] == pytest.approx(2 * heights[2])
    assert heights[1] == 0
    assert "2 frames: 2" in text
    text = matrix("Together", ["rgb", "depth"], [[1200, 3], [3, 3]])
    assert ">1.2k<" in text
    assert "<td>1,200</td>" in text


# ---- in the browser ----


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None and os.environ.get("CI") == "true":
        pytest.fail("no Chromium found, and this is CI: .ci/run installs Debian's package 'chromium'")
    if program is None:
        pytest.skip("no Chromium found: install the package 'chromium' to run the gallery's browser tests")
    started = Browser(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def shown(browser: Browser, page: Path) -> Browser:
    """The page, freshly opened, standing still."""
    browser.requests.clear()
    browser.messages.clear()
    browser.emulate(prefers_reduced_motion="reduce")
    browser.call("Page.navigate", url="about:blank")
    browser.open(page.as_uri())
    browser.wait("viewer.loaded.size > 0")
    return browser


def keys(browser: Browser) -> list[str]:
    found: list[str] = browser.run("[...document.querySelectorAll('.tile .name')].map((e) => e.title)")
    return found


def choose(browser: Browser, control: str, value: str) -> None:
    browser.run(
        f"(() => {{ const e = byId({control!r}); e.value = {value!r}; e.dispatchEvent(new Event('input')); }})()"
    )


def click(browser: Browser, selector: str) -> None:
    x, y = browser.run(
        f"(() => {{ const r = document.querySelector({selector!r}).getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    browser.point(x, y, click=True)


def pixel(browser: Browser, u: float, v: float) -> list[int]:
    """Colour of the big picture at a place in [0, 1]."""
    found: list[int] = browser.run(
        f"[...byId('canvas').getContext('2d').getImageData({u} * canvas.width, {v} * canvas.height, 1, 1).data]"
    )
    return found[:3]


def near(colour: list[int], expected: Any, tolerance: int = 3) -> bool:
    return bool(np.abs(np.array(colour) - np.array(expected)).max() <= tolerance)


def go_to(browser: Browser, key: str) -> None:
    browser.run(f"select(DATA.samples.find((s) => s.key === {key!r}))")
    browser.wait(f"viewer.sample.key === {key!r} && viewer.loaded.size === Object.keys(viewer.sample.layers).length")


def test_nothing_is_requested_and_nothing_injected(shown: Browser, page: Path) -> None:
    painted = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v)"
    shown.wait(f"[...document.querySelectorAll('.tile canvas')].every({painted})")
    outside = [url for url in shown.requests if not url.startswith("data:")]
    assert outside in ([page.as_uri()], ["about:blank", page.as_uri()])
    assert [m for m in shown.messages if "willReadFrequently" not in m] == []  # that one is about this test's reading
    assert shown.run("window.attacked") is None
    assert shown.run("document.querySelectorAll('img, iframe, object, link[rel=stylesheet]').length") == 0
    assert shown.run("document.title") == f"Test {ATTACK}"
    go_to(shown, "clip-0")
    assert shown.run("byId('label').textContent") == f"open {ATTACK}"
    assert ATTACK in shown.run("byId('sources').textContent")
    blocked = "fetch('https://example.org/').then(() => 'sent', () => 'blocked')"
    assert shown.run(blocked) == "blocked"


def test_filters(shown: Browser) -> None:
    assert sorted(keys(shown)) == ["clip-0", "clip-1", "mine-0000", "room-0", "room-1"]
    assert shown.run("byId('count').textContent") == "5 of 5 samples"
    choose(shown, "source", "rooms")
    assert sorted(keys(shown)) == ["room-0", "room-1"]
    assert shown.run("viewer.sample.key") in ("room-0", "room-1")
    choose(shown, "source", "")
    choose(shown, "split", "val")
    assert keys(shown) == ["mine-0000"]
    choose(shown, "split", "")
    click(shown, "#has-depth")
    assert sorted(keys(shown)) == ["mine-0000", "room-0", "room-1"]
    click(shown, "#has-normal")
    assert keys(shown) == ["mine-0000"]
    click(shown, "button[type=reset]")
    shown.wait("shown.length === 5")
    assert shown.run("byId('has-depth').getAttribute('aria-pressed')") == "false"
    choose(shown, "class", "boxes:things:2")
    assert sorted(keys(shown)) == ["mine-0000", "room-0", "room-1"]
    choose(shown, "class", "action:verbs:1")
    assert keys(shown) == ["clip-1"]
    choose(shown, "class", "")
    shown.press("/")
    shown.call("Input.insertText", text="ROOM-1 kitchen")
    assert keys(shown) == ["room-1"]
    shown.call("Input.insertText", text="zzz")
    assert keys(shown) == []
    assert shown.run("byId('nothing').hidden") is False
    assert shown.run("byId('count').textContent") == "0 of 5 samples"


def test_layers_are_drawn_and_switched(shown: Browser) -> None:
    go_to(shown, "room-0")
    shown.press("0")
    plain, unlabelled = pixel(shown, 0.4, 0.8), pixel(shown, 0.9, 0.8)
    for _ in range(10):
        shown.press("+")
    shown.press("s")
    assert near(pixel(shown, 0.4, 0.8), class_colours(SPACES["segm"])[7])
    assert pixel(shown, 0.9, 0.8) == unlabelled
    shown.press("s")
    shown.press("d")
    near_end, far_end = ramp()[0], ramp()[-1]
    assert near(pixel(shown, 0.4, 0.8), near_end, 12)
    assert near(pixel(shown, 0.1, 0.2), far_end, 12)
    assert shown.run("byId('layer-depth').getAttribute('aria-pressed')") == "true"
    assert "2.00 m" in shown.run("byId('legend').textContent")
    shown.press("0")
    assert pixel(shown, 0.4, 0.8) == plain
    click(shown, "#layer-boxes")
    assert pixel(shown, 0.5, 0.5) != plain
    assert shown.run("byId('layer-pose').disabled") is True
    shown.press("ArrowRight")
    assert shown.run("byId('frame').textContent") == "frame 1 of 0–19"
    shown.press("s")
    assert shown.run("byId('missing').textContent") == "no segmentation in this frame"
    go_to(shown, "mine-0000")
    shown.press("0")
    before = shown.run("canvas.toDataURL()")
    shown.press("p")
    assert shown.run("canvas.toDataURL()") != before
    assert shown.run("byId('layer-pose').getAttribute('aria-pressed')") == "true"


def test_pointer_names_depth_and_class(shown: Browser) -> None:
    go_to(shown, "room-0")
    left, top, width, height = shown.run(
        "(() => { const r = canvas.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()"
    )
    scale = min(width / W, height / H)
    x0, y0 = left + (width - scale * W) / 2, top + (height - scale * H) / 2
    shown.point(x0 + 0.4 * scale * W, y0 + 0.8 * scale * H)
    assert re.fullmatch(r"(≤ )?2\.0\d m · class 7", shown.run("byId('readout').textContent"))
    shown.point(x0 + 0.8 * scale * W, y0 + 0.8 * scale * H)
    assert shown.run("byId('readout').textContent") == "no depth · not labelled"


def test_keys(shown: Browser) -> None:
    first = shown.run("viewer.sample.key")
    shown.press("j")
    second = shown.run("viewer.sample.key")
    assert (first, second) == tuple(keys(shown)[:2])
    assert shown.run("document.querySelectorAll('.tile[aria-selected=true] .name')[0].title") == second
    shown.press("ArrowUp")
    assert shown.run("viewer.sample.key") == first
    go_to(shown, "room-1")
    shown.press("ArrowLeft")
    assert shown.run("viewer.index") == 15
    shown.press("ArrowRight")
    assert shown.run("viewer.index") == 0
    assert shown.run("byId('play').textContent") == "Play"
    shown.press(" ")
    assert shown.run("byId('play').textContent") == "Pause"
    shown.wait("viewer.index > 1")
    shown.press(" ")
    assert shown.run("viewer.playing") is False
    opacity = shown.run("viewer.opacity")
    shown.press("-")
    assert shown.run("viewer.opacity") == pytest.approx(opacity - 0.1)
    shown.press("?")
    assert shown.run("byId('help').open") is True
    shown.press("j")
    assert shown.run("viewer.sample.key") == "room-1"
    shown.run("byId('help').close()")
    shown.press("2")
    assert shown.run("[byId('samples').hidden, byId('statistics').hidden]") == [True, False]
    assert shown.run("document.querySelectorAll('#statistics svg').length") >= 6
    shown.press("3")
    assert shown.run("byId('sources').querySelectorAll('section').length") == 4
    shown.press("1")
    assert shown.run("byId('samples').hidden") is False


def test_address_remembers_what_is_shown(shown: Browser, page: Path) -> None:
    go_to(shown, "room-1")
    shown.press("s")
    shown.press("ArrowRight")
    address = shown.run("location.href")
    shown.call("Page.navigate", url="about:blank")
    shown.open(address)
    shown.wait("viewer.loaded.size > 0")
    assert shown.run("[viewer.sample.key, viewer.index, viewer.on.has('segm'), viewer.on.has('depth')]") == [
        "room-1", 1, True, False,
    ]  # fmt: skip


def test_everything_has_a_name(shown: Browser) -> None:
    nodes = shown.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "combobox", "searchbox", "slider", "tab", "listbox", "option", "image")
    unnamed = [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored") and node["role"]["value"] in roles and not node.get("name", {}).get("value")
    ]
    assert unnamed == []
