"""An evaluation that is killed goes on where it stopped, and its result is that of one without a break."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data.errors import PvitError
from pvit_model.using import predictions
from pvit_model.using.measuring.parts import SourceParts, resumable
from pvit_model.using.measuring.source import Measured
from tests.pvit_model.forked import one_thread, statuses

ROWS = 9  # of a batch: three videos in three views
Result = tuple[bytes, dict[str, Any]]


def run_until(after: int, command: list[str]) -> None:
    """Evaluates, and dies when so many batches are written, at the latest with the dump."""
    write, write_dump = SourceParts.write, predictions.write_dump
    left = [after]

    def counted(*args: Any) -> None:
        write(*args)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def dumped(*args: Any) -> None:
        write_dump(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    SourceParts.write, predictions.write_dump = counted, dumped  # type: ignore[method-assign, assignment]
    main(command)


class Evaluations:
    """Evaluates into folders."""

    def __init__(self, model: Path, shards: str, folder: Path) -> None:
        self.model, self.shards, self.folder = model, shards, folder

    def command(self, name: str, *more: str) -> list[str]:
        out = self.folder / name
        out.mkdir(exist_ok=True)
        files = ["--dump", str(out / "p.parquet"), "--out", str(out / "r.json")]
        return ["eval", "--model", str(self.model), "--shards", self.shards, "--reference-split", "", *files, *more]

    def killed(self, name: str, after: int, ranks: int = 1) -> None:
        """Processes that are killed when each has written so many batches, at the latest with the dump."""
        command = self.command(name)
        ended = statuses(ranks, lambda: run_until(after, command), self.folder / "store")
        assert ended == [signal.SIGKILL] * ranks
        assert not (self.folder / name / "r.json").exists()

    def parts(self, name: str) -> list[Path]:
        return sorted((self.folder / name).glob("p.parquet.parts/real-val/*.safetensors"))

    def finished(self, name: str, *more: str) -> Result:
        """Dump and document, beside which nothing is left."""
        assert main(self.command(name, *more)) == 0
        out = self.folder / name
        assert sorted(path.name for path in out.iterdir()) == ["p.parquet", "r.json"]
        return (out / "p.parquet").read_bytes(), json.loads((out / "r.json").read_text())


@pytest.fixture
def tried(
    three_views: Path, shards: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Evaluations]:
    monkeypatch.setattr("pvit_model.using.evaluate.EVAL_BATCH", ROWS)
    with one_thread():
        yield Evaluations(three_views, shards[0], tmp_path)


def test_what_is_killed_goes_on(tried: Evaluations, capsys: pytest.CaptureFixture[str]) -> None:
    """After a batch, after another one, and when the dump is there but not the document."""
    whole = tried.finished("whole")
    for after, batches in ((1, 1), (1, 2), (9, 3)):
        tried.killed("broken", after)
        assert len(tried.parts("broken")) == batches
    capsys.readouterr()
    assert tried.finished("broken") == whole
    assert "p.parquet.parts/real-val: 9 of 9 videos are answered already" in capsys.readouterr().err


def test_one_process_finishes_what_two_began(tried: Evaluations) -> None:
    whole = tried.finished("whole")
    tried.killed("two", 1, ranks=2)
    assert [path.name[:6] for path in tried.parts("two")] == ["000000", "000001"]
    assert tried.finished("two") == whole


@pytest.fixture
def broken(tried: Evaluations, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ctrl-C after two batches; then the numbers of the batches that are measured."""
    measured: list[int] = []
    write = SourceParts.write

    def interrupted(self: SourceParts, number: int, found: Any) -> None:
        if len(measured) == 2:
            raise KeyboardInterrupt
        write(self, number, found)
        measured.append(number)

    with monkeypatch.context() as patch:
        patch.setattr(SourceParts, "write", interrupted)
        assert main(tried.command("broken")) == 75
    measured.clear()

    def noted(self: SourceParts, number: int, found: Any) -> None:
        write(self, number, found)
        measured.append(number)

    monkeypatch.setattr(SourceParts, "write", noted)
    return measured


def test_only_what_is_missing_or_damaged_is_measured(tried: Evaluations, broken: list[int]) -> None:
    second = tried.parts("broken")[1]
    data = bytearray(second.read_bytes())
    data[-1] ^= 1
    second.write_bytes(data)
    found = tried.finished("broken")
    assert broken == [1, 2]
    assert found == tried.finished("whole")


def test_another_evaluation_begins_anew(
    tried: Evaluations, broken: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    found = tried.finished("broken", "--limit", "6")
    assert "holds answers of another evaluation (other samples); all is answered anew" in capsys.readouterr().err
    assert broken == [0, 1]
    assert found == tried.finished("whole", "--limit", "6")


def test_files_of_others_stay(tried: Evaluations, broken: list[int], tmp_path: Path) -> None:
    mine = tried.parts("broken")[0].with_name("notes.txt")
    mine.write_text("mine")
    assert main(tried.command("broken")) == 0
    assert [path for path in (tmp_path / "broken").rglob("*") if path.is_file()] == [
        tmp_path / "broken/p.parquet", tmp_path / "broken/r.json", mine,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["p.parquet", "r.json"])
def test_one_evaluation_at_a_time(
    name: str, tried: Evaluations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second one with one of the files is refused before any work; what the first one keeps stays."""
    with resumable([tmp_path / "twice" / name], print):
        assert main(tried.command("twice")) == 2
    assert f"{name}.parts: another evaluation is writing there; wait for its end" in capsys.readouterr().err
    assert list((tmp_path / "twice").iterdir()) == []
    tried.finished("twice")


def test_a_batch_of_another_evaluation_is_none_of_this(tmp_path: Path) -> None:
    """Where the file system knows no locks: what somebody else wrote meanwhile is not taken."""
    first, other = (SourceParts(tmp_path, {"weights": name}, print) for name in "ab")
    measured = Measured(np.arange(2))
    first.begin(1, 2)
    other.write(0, measured)
    with pytest.raises(PvitError, match="batch 0 is missing or damaged"):
        [*first.finished()]
    first.write(0, measured)
    other.write(0, measured)
    assert [part.clips.tolist() for part in first.finished()] == [[0, 1]]


def test_only_what_differs_is_named(tried: Evaluations, broken: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a recipe, which a file of weights gives, makes no answer another."""
    path = tried.model / "inference.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | {"recipe": "another name"}))
    try:
        tried.finished("broken")
    finally:
        path.write_text(before)
    assert broken == [2]
    assert "holds answers of another evaluation" not in capsys.readouterr().err
