"""A validation that is interrupted, shared out or taken from a sample says the same as one that was not, of as much."""

import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data.errors import Interrupted, StorageError, UsageError
from pvit_data.storage import storage as storage_module
from pvit_data.storage.storage import Storage
from pvit_data.validate import ValidationReport, problems, units, validate
from pvit_data.validate.choice import Choice
from tests.pvit_data.samples import bare_sample

SHARDS, DAMAGED = 10, (2, 5, 9)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("resume") / "data"
    with pvit_data.ShardWriter(out, "mine", "train", shard_bytes=1) as writer:
        for seed in range(2 * SHARDS):
            writer.write(bare_sample(seed))
    return out


@pytest.fixture
def data(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of which three shards have a damaged sample, and one a stray member."""
    monkeypatch.setattr(storage_module, "SETTLED_NS", -1)  # files count as old at once
    out = Path(shutil.copytree(sound, tmp_path / "data"))
    for number in DAMAGED:
        flip(out, number)
    with (out / "notes.txt").open("w") as file:
        file.write("a warning")
    return out


def shard(out: Path, number: int) -> Path:
    return out / f"mine/train-{number:05d}.tar"


def flip(out: Path, number: int, seed: int | None = None) -> None:
    """Changes, or changes back, a pixel of a sample; the file keeps its size and the time of its last change."""
    dataset = pvit_data.open(out, "mine", "train").where(f"shard == 'train-{number:05d}.tar'")
    offset = int(dataset.column("rgb_offset")[0])
    path = shard(out, number)
    times = path.stat()
    time.sleep(0.01)  # longer than a step of the file system's clock
    with path.open("r+b") as file:
        file.seek(offset + 100)
        byte = file.read(1)[0]
        file.seek(offset + 100)
        file.write(bytes([byte ^ 64]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def told(report: ValidationReport) -> dict[str, Any]:
    """All that a report says, but for how it came about."""
    return {name: value for name, value in report.to_json().items() if name not in ("seconds", "earlier")}


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the shards that are checked in this process."""
    names: list[str] = []
    real = units.check_file

    def noted(storage: Storage, facts: Any, hashed: bool) -> Any:
        names.append(facts.name)
        return real(storage, facts, hashed)

    monkeypatch.setattr(units, "check_file", noted)
    return names


def interrupted_after(ticks: int) -> Any:
    left = iter(range(ticks))

    def progress(done: int, total: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return progress


def test_the_truth(data: Path) -> None:
    report = validate(data)
    hit = {(p.kind, p.file) for p in report.problems}
    names = [f"mine/train-{number:05d}.tar" for number in DAMAGED]
    assert hit == {(k, n) for n in names for k in ("shard-hash", "member-damaged")} | {("unknown-file", "notes.txt")}
    assert (report.samples, report.shards) == (2 * SHARDS, SHARDS)
    assert report.to_json()["complete"] is True
    assert report.left_out() == ""


@pytest.mark.parametrize("ticks", range(0, 2 * SHARDS, 3))
def test_it_goes_on_where_it_was_interrupted(data: Path, tmp_path: Path, checked: list[str], ticks: int) -> None:
    whole = told(validate(data))
    checked.clear()
    with pytest.raises(Interrupted, match=f"of {SHARDS} shards are checked"):
        validate(data, resume=tmp_path / "state", progress=interrupted_after(ticks))
    done = (ticks + 1) // 2  # a tick for the file, one for its samples
    report = validate(data, resume=tmp_path / "state")
    assert told(report) == whole
    assert report.earlier == done
    assert len(checked) <= SHARDS + 1  # but for the one that was being checked
    checked.clear()
    assert told(validate(data, resume=tmp_path / "state", workers=2)) == whole
    assert checked == []


def test_no_worker_outlives_an_interruption(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        validate(data, resume=tmp_path / "state", workers=2, progress=interrupted_after(5))
    assert multiprocessing.active_children() == []


def test_what_changed_meanwhile_is_checked_again(data: Path, tmp_path: Path, checked: list[str]) -> None:
    state = tmp_path / "state"
    validate(data, resume=state)
    checked.clear()
    flip(data, 2)  # repaired
    flip(data, 4)  # and another one damaged
    report = validate(data, resume=state)
    assert checked == ["mine/train-00002.tar", "mine/train-00004.tar"]
    assert told(report) == told(validate(data))
    assert {p.file for p in report.of_kind("member-damaged")} == {f"mine/train-{n:05d}.tar" for n in (4, 5, 9)}


def test_what_should_be_there_counts_as_well(data: Path, tmp_path: Path, checked: list[str]) -> None:
    """Other options, and another manifest, which says something else about a shard."""
    state = tmp_path / "state"
    validate(data, resume=state)
    checked.clear()
    validate(data, resume=state, deep=True)
    validate(data, resume=state, sample=0.5)
    assert len(checked) == 2 * SHARDS
    checked.clear()
    values = json.loads((data / "manifest.json").read_text(encoding="utf-8"))
    values["sources"]["mine"]["splits"]["train"]["shards"][3]["sha256"] = "1" * 64
    values["checksum"] = ""
    text = json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    values["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    (data / "manifest.json").write_text(
        json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    report = validate(data, resume=state)
    assert checked == ["mine/train-00003.tar"]
    assert "mine/train-00003.tar" in {p.file for p in report.of_kind("shard-hash")}


@pytest.mark.parametrize("tasks", [1, 3, 4, SHARDS, SHARDS + 2])
def test_the_tasks_of_an_array_make_up_the_whole(data: Path, tmp_path: Path, checked: list[str], tasks: int) -> None:
    whole = validate(data)
    checked.clear()
    reports = [validate(data, shard=(i, tasks), resume=tmp_path / "state") for i in range(tasks)]
    assert sorted(checked) == [f"mine/train-{n:05d}.tar" for n in range(SHARDS)]
    assert [r.shards for r in reports] == [len(range(i, SHARDS, tasks)) for i in range(tasks)]
    assert sum(r.samples for r in reports) == whole.samples
    assert sum(r.bytes for r in reports) == whole.bytes
    found = [p for r in reports for p in r.problems if p.file != "notes.txt"]
    assert sorted(found, key=lambda p: (p.kind, p.file)) == sorted(
        (p for p in whole.problems if p.file != "notes.txt"), key=lambda p: (p.kind, p.file)
    )
    for report in reports[: (tasks > 1 and tasks) or 0]:
        assert report.to_json()["complete"] is False
        assert "other shard" in report.left_out()
        assert report.to_json()["of"] == {"samples": 20, "shards": 10, "bytes": whole.bytes}
    checked.clear()
    assert told(validate(data, resume=tmp_path / "state")) == told(whole)
    assert checked == []


def lines_of(state: Path) -> tuple[Path, bytes]:
    (path,) = state.glob("checked-*.jsonl")
    return path, path.read_bytes()


def test_a_state_that_was_cut_off_anywhere(data: Path, tmp_path: Path, checked: list[str]) -> None:
    validate(data, resume=tmp_path / "state")
    path, text = lines_of(tmp_path / "state")
    whole = told(validate(data))
    ends = [match.end() for match in re.finditer(rb"\n", text)]
    assert len(ends) == SHARDS
    for length in (0, 10, 64, 65, 70, ends[0] - 1, ends[0], ends[2] + 30, ends[8] + 65, len(text) - 1):
        shutil.rmtree(tmp_path / "state")
        path.parent.mkdir()
        path.write_bytes(text[:length])
        checked.clear()
        assert told(validate(data, resume=tmp_path / "state")) == whole
        assert len(checked) == sum(end > length for end in ends)


FORGED = {
    "no JSON": b"{",
    "no object": b"[]",
    "nothing": b"{}",
    "another shard": b'{"shard": "mine/train-00001.tar", "counts": {}, "problems": []}',
    "an unknown kind": b'{"shard": "SHARD", "counts": {"fire": 1}, "problems": [["fire", "", ""]]}',
    "a problem that is not counted": b'{"shard": "SHARD", "counts": {}, "problems": [["value", "", ""]]}',
    "a count without its problems": b'{"shard": "SHARD", "counts": {"value": 3}, "problems": []}',
    "a number that is none": b'{"shard": "SHARD", "counts": {"value": "x"}, "problems": []}',
    "texts that are none": b'{"shard": "SHARD", "counts": {"value": 1}, "problems": [["value", [], {}]]}',
    "a shard that was not read": b'{"shard": "SHARD", "counts": {"shard-missing": 1}, "problems": [["shard-missing", "", "x"]]}',  # noqa: E501
    "deep": b"[" * 100_000,
    "infinite": b'{"shard": "SHARD", "counts": {"value": 1e999}, "problems": []}',
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_line_that_says_nothing_is_not_believed(data: Path, tmp_path: Path, checked: list[str], name: str) -> None:
    whole = told(validate(data))
    validate(data, resume=tmp_path / "state")
    path, text = lines_of(tmp_path / "state")
    lines = text.split(b"\n")
    lines[0] = lines[0][:65] + FORGED[name].replace(b"SHARD", b"mine/train-00000.tar")
    path.write_bytes(b"\n".join(lines))
    checked.clear()
    assert told(validate(data, resume=tmp_path / "state")) == whole
    assert checked == ["mine/train-00000.tar"]


def test_a_pipe_in_the_folder_is_not_waited_for(data: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.mkfifo(tmp_path / "state/checked-0.jsonl")
    with pytest.raises(StorageError, match="not a regular file"):
        validate(data, resume=tmp_path / "state")


def test_nothing_is_written_into_the_dataset(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    for folder in (data / "state", data, tmp_path / "link/mine", data / "mine/../state"):
        with pytest.raises(UsageError, match="lies in the dataset"):
            validate(data, resume=folder)
    assert validate(data).counts["unknown-file"] == 1


def test_shards_of_a_moment_ago_are_not_trusted(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checked: list[str]
) -> None:
    monkeypatch.setattr(storage_module, "SETTLED_NS", 3600 * 10**9)
    validate(data, resume=tmp_path / "state")
    validate(data, resume=tmp_path / "state")
    assert len(checked) == 2 * SHARDS


def test_a_store_that_fails_in_the_middle(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, once, and the shard is checked again the next time."""
    whole = told(validate(data))
    real = Storage.read_range

    def failing(self: Storage, name: str, start: int, size: int, **options: Any) -> bytes:
        if name == "mine/train-00001.tar" and size != 1024:  # its end is read, its samples are not
            raise StorageError(f"{name}: no answer")
        return real(self, name, start, size, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "read_range", failing)
        for workers in (1,):
            report = validate(data, resume=tmp_path / "state", workers=workers)
            assert [(p.file, p.message) for p in report.of_kind("shard-missing")] == [
                ("mine/train-00001.tar", "mine/train-00001.tar: no answer")
            ]
    assert told(validate(data, resume=tmp_path / "state")) == whole


def test_more_problems_than_are_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kept ones are the first by shard, whoever finds them when."""
    for number in range(SHARDS):
        with shard(data, number).open("r+b") as file:
            file.seek(600)
            file.write(bytes(3000))
    monkeypatch.setattr(problems, "MAX_KEPT", 4)
    monkeypatch.setattr("pvit_data.validate.state.MAX_KEPT", 4)
    whole = told(validate(data))
    assert whole["counts"]["shard-hash"] == SHARDS
    kept = [p["file"] for p in whole["problems"] if p["kind"] == "shard-hash"]
    assert kept == [f"mine/train-{n:05d}.tar" for n in range(4)]
    for task in (2, 0, 1):
        validate(data, shard=(task, 3), resume=tmp_path / "state")
    assert told(validate(data, resume=tmp_path / "state")) == whole


def number_of(key: str) -> float:
    digest = hashlib.blake2b(key.encode(), digest_size=8, person=b"validate").digest()
    return int.from_bytes(digest, "big") / 2**64


def test_a_sample_finds_what_it_holds(data: Path) -> None:
    """A damaged sample is found if and only if the share holds its key; no sha256 is read for it."""
    truth = {p.key for p in validate(data).of_kind("member-damaged")}
    keys = [str(key) for key in pvit_data.open(data).column("key")]
    before: set[str] = set()
    for share in (0.01, 0.2, 0.5, 0.8, 1.0):
        report = validate(data, sample=share)
        chosen = {key for key in keys if number_of(key) < share}
        found = {p.key for p in report.of_kind("member-damaged")}
        assert found == truth & chosen
        assert before <= found
        before = found
        assert report.samples == len(chosen)
        assert report.whole.samples == len(keys)
        assert (report.counts["shard-hash"] > 0) == report.is_complete == (share == 1)
        assert report.ok == (not found)
        assert ("sha256" in report.left_out()) == (share < 1)
        assert share == 1 or report.bytes < share * 2 * report.whole.bytes + 20_000


def test_a_sample_lies_all_over_a_shard() -> None:
    """Samples lie in a shard in the order of the sha256 of their keys, which must not be what they are chosen by."""
    keys = sorted((f"clip-{i:06d}" for i in range(50_000)), key=lambda k: hashlib.sha256(k.encode()).digest())
    rows = Choice(sample=0.1).rows(keys)
    assert rows is not None
    assert abs(len(rows) - 5000) < 5 * np.sqrt(5000)
    tenths = np.histogram(rows, 10, (0, 50_000))[0]
    assert tenths.min() > 400
    assert tenths.max() < 600


@pytest.mark.parametrize("part", [(1, 1), (-1, 2), (0, 0), (3, 2)])
def test_no_such_part(data: Path, part: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="expected i/n with i from 0 to n - 1"):
        validate(data, shard=part)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, float("nan"), float("inf")])
def test_no_such_share(data: Path, share: float) -> None:
    with pytest.raises(UsageError, match="expected a share above 0 % and at most 100 %"):
        validate(data, sample=share)


def test_behind_a_url(data: Path, tmp_path: Path, checked: list[str]) -> None:
    """What a server tells about a file decides, and where it tells nothing everything is checked."""
    from tests.pvit_data.range_server import serve

    with serve(data) as traffic:
        whole = told(validate(traffic.url))
        checked.clear()
        with pytest.raises(Interrupted):
            validate(traffic.url, resume=tmp_path / "state", progress=interrupted_after(8))
        assert told(validate(traffic.url, resume=tmp_path / "state")) == whole
        assert len(checked) <= SHARDS + 1
        flip(data, 2)
        os.utime(shard(data, 2))
        checked.clear()
        report = validate(traffic.url, resume=tmp_path / "state")
        assert checked == ["mine/train-00002.tar"]
        assert len(report.of_kind("member-damaged")) == len(DAMAGED) - 1


SCRIPT = """
import os, signal, sys, time
from pvit_data.storage import storage
from pvit_data.validate import units
storage.SETTLED_NS = -1
real = units.check_file
def slow(*arguments):
    time.sleep(float(os.environ.get("SLOW", "0")))
    return real(*arguments)
units.check_file = slow
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in a background it is ignored
    from pvit_cli.data import main
    sys.exit(main(sys.argv[1:]))
"""


def lines_in(state: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in state.glob("checked-*.jsonl"))


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 2), (signal.SIGKILL, 1)])
def test_a_command_that_is_stopped(data: Path, tmp_path: Path, number: signal.Signals, workers: int) -> None:
    script, state = tmp_path / "slow.py", tmp_path / "state"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, script, "validate", data, "--resume", state, "--workers", str(workers), "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "SLOW": "1"},
    )  # fmt: skip
    end = time.monotonic() + 60
    while lines_in(state) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    kept = lines_in(state)
    assert 2 <= kept < SHARDS
    assert out == ""
    if number != signal.SIGKILL:
        assert process.returncode == 75
        assert "Traceback" not in err
        (line,) = err.splitlines()
        assert line.startswith("error: interrupted: ")
        assert f" of {SHARDS} shards are checked, which {state} knows" in line
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 1
    report = json.loads(again.stdout)
    assert report.pop("earlier") == kept
    report.pop("seconds")
    assert report == told(validate(data))


@pytest.fixture
def foreign(tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The shards alone, indexed as those of another tool, one of them damaged afterwards."""
    from pvit_data.reading.foreign.index import index_foreign

    monkeypatch.setattr(storage_module, "SETTLED_NS", -1)
    out = tmp_path / "foreign"
    out.mkdir()
    for number in range(SHARDS):
        shutil.copy(shard(sound, number), out / f"train-{number:05d}.tar")
    index_foreign(out)
    data = bytearray((out / "train-00003.tar").read_bytes())
    data[len(data) // 2] ^= 1
    (out / "train-00003.tar").write_bytes(data)
    return out


def test_foreign_shards_likewise(foreign: Path, tmp_path: Path) -> None:
    whole = validate(foreign)
    assert [(p.kind, p.file) for p in whole.problems] == [("member-damaged", "train-00003.tar")]
    assert (whole.samples, whole.shards) == (2 * SHARDS, SHARDS)
    with pytest.raises(Interrupted, match=r"interrupted: 5 of 10 shards"):
        validate(foreign, resume=tmp_path / "state", progress=interrupted_after(4))
    report = validate(foreign, resume=tmp_path / "state")
    assert (told(report), report.earlier) == (told(whole), 5)
    reports = [validate(foreign, shard=(i, 3)) for i in range(3)]
    assert [r.num_problems for r in reports] == [1, 0, 0]
    assert sum(r.samples for r in reports) == whole.samples
    half = validate(foreign, sample=0.5)
    keys = {str(key) for key in pvit_data.open(foreign).column("key") if number_of(str(key)) < 0.5}
    assert half.samples == len(keys)
    assert {p.key for p in half.problems} == {p.key for p in whole.problems} & keys
