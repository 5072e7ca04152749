"""A conversion is known by the source's name and the converter's version, wherever the converter's class lives."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_converters import registry
from pvit_converters.engine.identity import require_equal
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_data.errors import Interrupted, UsageError

SMALL = Settings(shard_bytes=6000)
CLASS = "long.gone.place:ToyConverter"


def run(toy: Any, out: Path, groups: int = 6, **job: Any) -> Any:
    options = toy.ToyOptions(groups=groups)
    return convert(Job(toy.ToyConverter, Path("."), str(out), options, SMALL, workers=1, **job))


def as_before(out: Path) -> None:
    """Rewrites plan, receipts and declaration as a conversion stored them that named its class."""
    plan = json.loads((out / "toy/plan.json").read_text())
    plan["identity"]["converter"] = CLASS
    (out / "toy/plan.json").write_text(json.dumps(plan))
    mark = hashlib.sha256(json.dumps(plan["identity"], sort_keys=True).encode()).hexdigest()[:16]
    for path in (out / "toy/receipts").glob("*.json"):
        value = json.loads(path.read_text())
        if path.name == "source.json":
            value["converter"] = CLASS
        else:
            value["extra"]["plan"] = mark
        path.write_text(json.dumps(value))


def stamps(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.rglob("*.tar")}


def test_plan_and_manifest_name_the_source(toy: Any, tmp_path: Path) -> None:
    run(toy, tmp_path)
    assert json.loads((tmp_path / "toy/plan.json").read_text())["identity"]["converter"] == "toy"
    spec = pvit_data.open(str(tmp_path)).sources["toy"]
    assert (spec.converter, spec.converter_version) == ("toy", "1")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ([*"abc"], [*"acb"], "(number 2 is 'b' there, 'c' now)"),
        ([*"ab"], [*"ac"], "(['b'] is gone and ['c'] is new)"),
        ([*"ab"], [*"aab"], "(2 there, 3 now)"),
    ],
)
def test_of_other_classes_the_difference_is_told(old: list[str], new: list[str], told: str) -> None:
    with pytest.raises(UsageError) as error:
        require_equal({"classes": old}, {"classes": new}, "out")
    assert told in str(error.value)


@pytest.mark.parametrize("name", registry.names())
def test_built_in_sources_are_registered_under_their_name(name: str) -> None:
    assert registry.load(name).info.name == name


def test_a_moved_converter_continues(
    toy: Any, tmp_path: Path, fingerprint: Callable[[Path], dict[str, str]], monkeypatch: Any
) -> None:
    run(toy, tmp_path / "whole")
    late = [sample.key for sample in pvit_data.open(str(tmp_path / "whole"))][10]
    whole = toy.ToyConverter.load

    def stopping(self: Any, item: Any) -> Any:
        if item.key == late:
            raise Interrupted("stopped")
        return whole(self, item)

    monkeypatch.setattr(toy.ToyConverter, "load", stopping)
    with pytest.raises(Interrupted):
        run(toy, tmp_path / "out")
    monkeypatch.setattr(toy.ToyConverter, "load", whole)
    as_before(tmp_path / "out")
    before = stamps(tmp_path / "out")
    assert len(before) == 1
    report = run(toy, tmp_path / "out")
    assert (report.complete, report.converted) == (True, 18)
    assert before.items() <= stamps(tmp_path / "out").items()
    expected = fingerprint(tmp_path / "whole")
    found = fingerprint(tmp_path / "out")
    assert {n: h for n, h in found.items() if n.endswith((".tar", ".parquet"))} == {
        n: h for n, h in expected.items() if n.endswith((".tar", ".parquet"))
    }


def test_a_moved_converter_appends(toy: Any, tmp_path: Path) -> None:
    run(toy, tmp_path, groups=4)
    as_before(tmp_path)
    before = stamps(tmp_path)
    assert run(toy, tmp_path, groups=6, append=True).converted == 18
    assert before.items() < stamps(tmp_path).items()
    assert len(pvit_data.open(str(tmp_path))) == 18


def test_another_source_joins_older_data(toy: Any, tmp_path: Path, make_hypersim: Any) -> None:
    from pvit_converters.hypersim import HypersimConverter, HypersimOptions

    run(toy, tmp_path / "out")
    as_before(tmp_path / "out")
    convert(Job(HypersimConverter, make_hypersim().root, str(tmp_path / "out"), HypersimOptions()))
    sources = pvit_data.open(str(tmp_path / "out")).sources
    assert {name: spec.converter for name, spec in sources.items()} == {
        "toy": CLASS,
        "hypersim": "hypersim",
    }


def test_another_version_is_another_conversion(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    run(toy, tmp_path)
    as_before(tmp_path)
    monkeypatch.setattr(toy.ToyConverter, "version", "2")
    with pytest.raises(UsageError, match=r"\(converter_version: '1' there, '2' now\)"):
        run(toy, tmp_path)
