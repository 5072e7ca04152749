"""All built-in sources: what each declares, its command line, and a dry run on roots that are not ready."""

from pathlib import Path

import pytest

from pvit_cli.data import main
from pvit_converters import page, registry, simulate
from tests.pages import DOCS

AUXILIARY = ("ehoi", "hypersim", "phav", "surreact", "synadl")
REAL = ("diving48", "kinetics400")
PAPER_TASKS = {
    "phav": {"depth", "segm"},
    "surreact": {"depth", "segm", "pose3d"},
    "synadl": {"pose3d"},
    "hypersim": {"normal", "depth"},
    "ehoi": {"boxes", "segm"},
}
"""Supplement of the paper, table 7."""


@pytest.mark.parametrize("name", AUXILIARY)
def test_declarations(name: str) -> None:
    info = registry.load(name).info
    assert (info.name, info.role) == (name, "auxiliary")
    assert set(info.tasks) == PAPER_TASKS[name]
    assert set(info.tasks) <= set(info.produces)
    assert info.redistributable == (name == "hypersim"), "only Hypersim's licence allows it"
    assert "@" in info.citation
    assert all((info.title, info.licence, info.obtain, info.tree))
    assert "\n" not in info.obtain, "error messages end with it and are one line"
    assert name in simulate.names()


@pytest.mark.parametrize("name", REAL)
def test_declarations_of_real_sources(name: str) -> None:
    info = registry.load(name).info
    assert (info.name, info.role, info.produces) == (name, "downstream", ("rgb", "action"))
    assert not info.redistributable, "videos of web sites"
    assert "redistribution" in info.licence
    assert "@" in info.citation
    assert "\n" not in info.obtain
    assert info.sampler == {"diving48": "segment", "kinetics400": "dense"}[name]
    assert name in simulate.names()


@pytest.mark.parametrize("name", [*AUXILIARY, *REAL])
def test_every_option_is_a_documented_flag(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    options = registry.load(name).Options
    assert main(["sources", name]) == 0
    out = capsys.readouterr().out
    assert main(["convert", name, "--help"]) == 0
    help_page = capsys.readouterr().out
    for field, value in options.model_fields.items():
        assert value.description
        assert f"--{field.replace('_', '-')}" in out
        assert f"--{field.replace('_', '-')}" in help_page
    assert options.selects <= set(options.model_fields)


@pytest.mark.parametrize("name", [*AUXILIARY, *REAL])
@pytest.mark.parametrize("root", ["nothing", "empty", "foreign"])
def test_dry_run_on_a_wrong_root(name: str, root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/holiday.jpg").write_bytes(b"x")
    assert main(["convert", name, str(tmp_path / root), str(tmp_path / "out"), "--dry-run"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert str(tmp_path / root) in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_the_list_names_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in (*AUXILIARY, *REAL, "ssv2"))


def test_each_has_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    """If not: put what `pvit-data sources NAME --markdown` prints into docs/sources/NAME.md (README.md: no NAME)."""
    wanted = {name: page.page(registry.load(name)) for name in registry.names()} | {"README": page.overview()}
    assert {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "sources").iterdir()} == wanted
    for name, words in {"README": [], "ssv2": ["ssv2"]}.items():
        assert main(["sources", *words, "--markdown"]) == 0
        assert capsys.readouterr().out == wanted[name]
    assert main(["sources", "ssv2", "--markdown", "--json"]) == 2
    assert "leave out --json" in capsys.readouterr().err


def test_a_page_tells_what_its_converter_declares() -> None:
    text = page.page(registry.load("ssv2"))
    assert "| `--val-list` | official, no-empty-boxes | official |" in text
    assert "| `--frame-rate` | number, at least 0 | 0 |" in text
    assert "| `--no-verify` |  | on |" in text
    assert "- [something-else-boxes](something-else-boxes.md)" in text, "the layers over it"
    assert "a layer over [ssv2](ssv2.md)" in page.page(registry.load("something-else"))
    assert r"such as '\|'" in page.page(registry.load("videos")), "a cell does not end its table"


def test_each_says_what_was_verified_and_what_may_be_derived() -> None:
    for name in registry.names():
        info = registry.load(name).info
        assert info.verified.endswith(".")
        assert info.derived_clause or name == "videos", "of videos of one's own nobody else knows"
    may = {name: registry.load(name).info.derived for name in registry.names()}
    assert [name for name in may if may[name] == "no"] == ["ego4d", "surreact"]
    assert {may[n] for n in ("diving48", "phav", "synadl", "ehoi", "videos", "something-else-boxes")} == {"unknown"}


@pytest.mark.parametrize("name", [*AUXILIARY, *REAL, "ssv2", "ego4d", "ava"])
def test_declared_spaces_are_those_of_the_samples(name: str, tmp_path: Path) -> None:
    kind = registry.load(name)
    tree = simulate.simulate(name, tmp_path / "raw", samples=1, preset="tiny")
    spaces = kind(tree.root, kind.Options()).spaces()
    assert {field: space.name for field, space in spaces.items()} == {
        field: text.split(" ")[0] for field, text in kind.info.spaces.items()
    }
