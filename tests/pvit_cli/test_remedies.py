"""What messages tell people to do, done: it leads to where they say it leads, and loses nothing on the way."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_cli.data import main
from pvit_converters.simulate import simulate
from pvit_converters.ssv2 import SSv2Converter
from pvit_data.errors import Interrupted
from pvit_data.validate import validate
from pvit_data.validate.problems import AGAIN, KINDS

SHARD = "ssv2/train-00001.tar"
RECEIPT = "ssv2/receipts/train-00001.json"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw") / "ssv2"
    simulate("ssv2", root, samples=24, seed=3, preset="tiny")
    return root


@pytest.fixture(scope="module")
def whole(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    assert main(command(raw, out)) == 0
    return contents(out)


def command(raw: Path, out: Path) -> list[str]:
    return ["convert", "ssv2", str(raw), str(out), "--workers", "1", "--shard-size", "20KB"]


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".tar", ".parquet") or path.name in ("manifest.json", "README.md")
    }


def put(files: dict[str, bytes], out: Path) -> None:
    for name, data in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)


@pytest.fixture
def interrupted(raw: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A conversion that was stopped after its first shards."""
    original = SSv2Converter.load
    calls: list[str] = []

    def load(self: Any, item: Any) -> Any:
        calls.append(item.key)
        if len(calls) > 12:
            raise Interrupted("stopped; the same command continues")
        return original(self, item)

    monkeypatch.setattr(SSv2Converter, "load", load)
    assert main(command(raw, tmp_path / "out")) == 75
    monkeypatch.undo()
    done = len(list((tmp_path / "out").rglob("*.tar")))
    assert 0 < done < sum(name.endswith(".tar") for name in whole)
    return tmp_path / "out"


@pytest.mark.parametrize(
    "arguments",
    [["stats"], ["index"], ["show"], ["gallery", "--out", "page.html"], ["stats", "--where", "frames > 1"]],
)
def test_an_unfinished_conversion_is_called_so(
    arguments: list[str], interrupted: Path, raw: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """Not "run pvit-data index", which would drop groups, classes and the samples that are still to come."""
    capsys.readouterr()
    assert main([arguments[0], str(interrupted), *arguments[1:]]) == 2
    error = capsys.readouterr().err
    assert "holds an unfinished conversion of ssv2: run the same 'pvit-data convert' command again" in error
    assert "pvit-data index" not in error
    assert not (interrupted / "webdataset.parquet").exists()
    assert main(command(raw, interrupted)) == 0
    assert contents(interrupted) == whole


def test_finish_of_an_unfinished_conversion(
    interrupted: Path, raw: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finish", str(interrupted)]) == 1
    assert "run the conversion again, or pass --partial" in capsys.readouterr().err
    assert main(["finish", str(interrupted), "--partial"]) == 0
    assert validate(interrupted).counts == {}
    assert 0 < len(pvit_data.open(interrupted)) < 24
    assert main(command(raw, interrupted)) == 0
    assert contents(interrupted) == whole


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("manifest.json", "manifest-missing"),
        ("README.md", "card-missing"),
        ("ssv2/index/train.parquet", "index-missing"),
    ],
)
def test_finish_writes_what_is_gone(name: str, where: str, raw: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    assert main(command(raw, tmp_path)) == 0
    (tmp_path / name).unlink()
    assert next(iter(validate(tmp_path).counts)) == where
    assert "'pvit-data finish'" in KINDS[where]
    assert main(["finish", str(tmp_path)]) == 0
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("name", ["manifest.json", "README.md", "ssv2/index/train.parquet"])
def test_finish_repairs_what_is_damaged(
    name: str, raw: Path, whole: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(raw, tmp_path)) == 0
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2].replace(b"ssv2", b"xxxx"))
    kinds = validate(tmp_path).counts
    assert kinds
    assert all("'pvit-data finish'" in KINDS[kind] for kind in kinds)
    assert main(["finish", str(tmp_path)]) == 0
    assert contents(tmp_path) == whole


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-700])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x" * 512)


@pytest.mark.parametrize("damage", [Path.unlink, cut, flip, grow])
def test_converting_a_damaged_shard_again(
    damage: Callable[[Path], None], raw: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """The remedy of every kind that concerns a shard: its receipt away, the same command again."""
    assert main(command(raw, tmp_path)) == 0
    damage(tmp_path / SHARD)
    kinds = validate(tmp_path, deep=True).counts
    assert kinds
    assert any(KINDS[kind].endswith(AGAIN) for kind in kinds)
    (tmp_path / RECEIPT).unlink()
    assert main(command(raw, tmp_path)) == 0
    assert contents(tmp_path) == whole
    assert validate(tmp_path, deep=True).counts == {}


@pytest.mark.parametrize("damage", [cut, lambda path: path.write_text("{}")])
def test_a_damaged_receipt(damage: Callable[[Path], None], raw: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    assert main(command(raw, tmp_path)) == 0
    damage(tmp_path / RECEIPT)
    kinds = validate(tmp_path).counts
    assert "receipt-damaged" in kinds
    assert KINDS["receipt-damaged"].endswith("remove it and run the same convert command again")
    (tmp_path / RECEIPT).unlink()
    assert validate(tmp_path).counts == {"receipt-missing": 1}
    assert main(command(raw, tmp_path)) == 0
    assert contents(tmp_path) == whole


def test_overwrite_replaces_a_damaged_plan(
    raw: Path, whole: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(raw, tmp_path)) == 0
    (tmp_path / "ssv2/plan.json").write_text("{")
    assert main(command(raw, tmp_path)) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command(raw, tmp_path), "--overwrite"]) == 0
    assert contents(tmp_path) == whole


def test_index_makes_foreign_tars_countable(
    raw: Path, whole: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tars alone are no unfinished conversion: here the index is the remedy."""
    put({"train-0.tar": whole[SHARD]}, tmp_path)
    assert main(["stats", str(tmp_path)]) == 2
    assert "run 'pvit-data index' first" in capsys.readouterr().err
    assert main(["index", str(tmp_path)]) == 0
    assert main(["stats", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))["samples"] > 0
    (tmp_path / "webdataset.parquet").write_bytes(b"PAR1")
    assert main(["stats", str(tmp_path)]) == 1
    assert "run 'pvit-data index' again" in capsys.readouterr().err
    assert main(["index", str(tmp_path)]) == 0
    assert validate(tmp_path).counts == {}


@pytest.mark.parametrize(
    "source", ["diving48", "ehoi", "hypersim", "kinetics400", "phav", "ssv2", "surreact", "synadl"]
)
def test_an_interrupted_simulation_starts_again(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def files(root: Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    arguments = ["simulate", source, str(tmp_path / "raw"), "--preset", "tiny", "--samples", "2"]
    simulate(source, tmp_path / "whole", 2, preset="tiny")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(source, tmp_path / "raw", 2, preset="tiny", progress=stop)
    assert not (tmp_path / "raw").exists(), "a tree appears when it is whole"
    assert main(arguments) == 0
    assert files(tmp_path / "raw") == files(tmp_path / "whole")
    assert main(arguments) == 2, "a complete tree is not written over"
    assert "is not an empty folder" in capsys.readouterr().err


def test_every_command_that_a_message_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in a message between quotes as a command of ours has a help page."""
    from pvit_cli.model import main as model

    root = Path(__file__).parents[2]
    text = "".join(
        path.read_text(encoding="utf-8")
        for package in ("pvit_data", "pvit_model", "converters", "cli")
        for path in (root / package).rglob("*.py")
    )
    named = set(re.findall(r"['`](pvit(?:-data)?) ([a-z]+)\b", text))
    assert ("pvit-data", "finish") in named
    for program, command in sorted(named):
        assert (main if program == "pvit-data" else model)([command, "--help"]) == 0, f"{program} {command}"
