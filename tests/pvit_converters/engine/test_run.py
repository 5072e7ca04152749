"""A conversion gives the same bytes however it is run, loses nothing that is finished, and says what failed."""

import json
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_converters.engine.finishing import finish_dataset
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.preview import preview
from pvit_converters.engine.report import MAX_EXAMPLES, Failure, Report, _examples, as_text
from pvit_converters.engine.run import Job, convert, require_success
from pvit_data.errors import Interrupted, SourceError, StorageError, UsageError

Hashes = Callable[[Path], dict[str, str]]
SMALL = Settings(shard_bytes=6000)  # two groups per shard, three shards


def run(toy: Any, out: Path, settings: Settings = SMALL, workers: int = 1, job: Any = None, **options: Any) -> Report:
    return convert(
        Job(toy.ToyConverter, Path("."), str(out), toy.ToyOptions(**options), settings, workers, **(job or {}))
    )


def test_result_is_a_dataset(toy: Any, tmp_path: Path) -> None:
    report = run(toy, tmp_path / "out")
    assert (report.converted, report.planned, report.complete, report.planned_shards) == (18, 18, True, 3)
    assert report.absent == {"not there": 2}
    assert report.warnings == {"odd": 6}
    assert report.notes == ["a note"]
    dataset = pvit_data.open(str(tmp_path / "out"))
    assert len(dataset) == 18
    assert json.loads((tmp_path / "out/toy/report.json").read_text())["converted"] == 18


def test_same_bytes_for_workers_order_and_repetition(toy: Any, tmp_path: Path, fingerprint: Hashes) -> None:
    run(toy, tmp_path / "one")
    expected = fingerprint(tmp_path / "one")
    run(toy, tmp_path / "one")
    assert fingerprint(tmp_path / "one") == expected
    ticks: list[tuple[int, int]] = []
    job = Job(toy.ToyConverter, Path("."), str(tmp_path / "two"), toy.ToyOptions(), SMALL, workers=2)
    convert(job, lambda done, total: ticks.append((done, total)))
    assert fingerprint(tmp_path / "two") == expected
    assert ticks[0] == (0, 18)
    assert ticks[-1] == (18, 18)


def test_failures_are_counted_listed_and_bounded(toy: Any, tmp_path: Path) -> None:
    options = toy.ToyOptions(fail=("toy-1-1",), unwanted=("toy-2-0", "toy-2-1"))
    job = Job(toy.ToyConverter, Path("."), str(tmp_path / "out"), options, SMALL, 1)
    report = convert(job)
    assert (report.converted, report.failed, report.unwanted) == (15, {"corrupt-png": 1}, {"too dull": 2})
    assert [(f.key, f.message) for f in report.failures] == [("toy-1-1", "toy-1-1.png: damaged")]
    require_success(job, report)
    with pytest.raises(SourceError, match=r"1 of 16 samples of toy failed, more than --max-failed 5 percent;.*toy-1-1"):
        require_success(replace(job, max_failed=0.05), report)
    text = as_text(report)
    assert "15 samples converted" in text
    assert "failed: 1 x corrupt-png" in text
    assert "toy-1-1.png: damaged" in text


def test_a_file_that_fails_often_hides_no_other() -> None:
    failures = [
        Failure(key=f"{name}-{n:03d}", reason=reason, message=f"{name}.mkv: says {n}")
        for name, reason, count in (("a", "too-short", 40), ("b", "too-short", 3), ("c", "corrupt-video", 40))
        for n in range(count)
    ]
    shown = [failure.key for failure in _examples(failures)]
    assert shown[:3] == ["a-000", "c-000", "b-000"]
    assert len(shown) == len(set(shown)) == MAX_EXAMPLES


def test_too_many_failures_end_early_and_keep_shards(toy: Any, tmp_path: Path) -> None:
    failing = tuple(f"toy-{g}-{n}" for g in range(6) for n in range(2))
    report = run(toy, tmp_path / "out", fail=failing)
    assert report.failed_fraction > 0.1
    assert not report.complete
    assert report.converted > 0


def test_nothing_converted_is_one_error_that_names_the_cause(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing could be converted \(1 failed\): toy-0-0.png: damaged"):
        run(toy, tmp_path / "out", groups=1, per_group=1, fail=("toy-0-0",))
    assert not list((tmp_path / "out").rglob("*.tar"))


def test_failed_shards_can_be_retried(toy: Any, tmp_path: Path, fingerprint: Hashes, monkeypatch: Any) -> None:
    run(toy, tmp_path / "good")
    whole = toy.ToyConverter.load

    def broken(self: Any, item: Any) -> Any:
        if item.key == "toy-3-1":
            raise SourceError("not yet", reason="missing-file")
        return whole(self, item)

    monkeypatch.setattr(toy.ToyConverter, "load", broken)
    assert run(toy, tmp_path / "out").failed == {"missing-file": 1}
    monkeypatch.setattr(toy.ToyConverter, "load", whole)
    again = run(toy, tmp_path / "out")
    assert again.failed == {"missing-file": 1}
    assert "--retry-failed converts these shards again" in as_text(again)
    mended = run(toy, tmp_path / "out", job={"retry_failed": True})
    assert mended.failed == {}
    assert "retry" not in as_text(mended)
    assert fingerprint(tmp_path / "out") == fingerprint(tmp_path / "good")


def test_unexpected_errors_of_a_sample_do_not_end_the_run(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    whole = toy.ToyConverter.load

    def buggy(self: Any, item: Any) -> Any:
        return whole(self, item) if item.key != "toy-0-0" else {}["x"]

    monkeypatch.setattr(toy.ToyConverter, "load", buggy)
    report = run(toy, tmp_path / "out")
    assert report.failed == {"unexpected": 1}
    assert "KeyError" in report.failures[0].message


class StrangeError(Exception):
    """Of a library that nobody thought of."""


@pytest.mark.parametrize("error", [StrangeError("odd"), AssertionError("odd"), RuntimeError("odd"), MemoryError("odd")])
def test_an_error_of_any_kind_costs_one_sample(toy: Any, tmp_path: Path, monkeypatch: Any, error: Exception) -> None:
    """In the converter, and in the encoders after it; the next run has the rest."""
    whole, encode = toy.ToyConverter.load, pvit_data.writing.shard.encode_sample

    def fail_first(self: Any, item: Any) -> Any:
        if item.key == "toy-0-0":
            raise error
        return whole(self, item)

    def fail_second(sample: Any, encoding: Any) -> Any:
        if sample.key == "toy-3-1":
            raise error
        return encode(sample, encoding)

    monkeypatch.setattr(toy.ToyConverter, "load", fail_first)
    monkeypatch.setattr(pvit_data.writing.shard, "encode_sample", fail_second)
    report = run(toy, tmp_path / "out")
    assert sum(report.failed.values()) == 2
    assert {f.key for f in report.failures} == {"toy-0-0", "toy-3-1"}
    assert all("odd" in f.message or "memory" in f.message for f in report.failures)
    monkeypatch.undo()
    assert run(toy, tmp_path / "out", job={"retry_failed": True}).failed == {}


def test_samples_outside_the_schema_are_skipped(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    whole = toy.ToyConverter.load

    def wrong(self: Any, item: Any) -> Any:
        sample = whole(self, item)
        sample.action = 7 if item.key == "toy-0-0" else sample.action
        return sample

    monkeypatch.setattr(toy.ToyConverter, "load", wrong)
    report = run(toy, tmp_path / "out")
    assert report.failed == {"schema": 1}
    assert "class id 7" in report.failures[0].message


def test_interrupted_conversion_continues(toy: Any, tmp_path: Path, fingerprint: Hashes) -> None:
    run(toy, tmp_path / "whole")
    converter = toy.ToyConverter
    plan_keys = [s.key for s in pvit_data.open(str(tmp_path / "whole"))]
    original = converter.load

    def stopping(self: Any, item: Any) -> Any:
        if item.key == plan_keys[10]:
            raise Interrupted("stopped")
        return original(self, item)

    converter.load = stopping
    try:
        with pytest.raises(Interrupted):
            run(toy, tmp_path / "out")
    finally:
        converter.load = original
    done = list((tmp_path / "out").rglob("*.tar"))
    assert len(done) == 1
    stamp = done[0].stat().st_mtime_ns
    (tmp_path / "out/toy/.train-00001.tar.part-0123456789abcdef0123456789abcdef").write_bytes(
        b"left by a killed process"
    )
    run(toy, tmp_path / "out")
    assert done[0].stat().st_mtime_ns == stamp
    assert fingerprint(tmp_path / "out") == fingerprint(tmp_path / "whole")


def test_other_options_are_refused(toy: Any, tmp_path: Path, fingerprint: Hashes) -> None:
    run(toy, tmp_path / "out")
    before = fingerprint(tmp_path / "out")
    with pytest.raises(UsageError, match=r"other options \(colour: 1 there, 2 now\)"):
        run(toy, tmp_path / "out", colour=2)
    with pytest.raises(UsageError, match=r"shard_bytes: 6000 there, 256000000 now"):
        run(toy, tmp_path / "out", Settings())
    assert fingerprint(tmp_path / "out") == before
    run(toy, tmp_path / "out", colour=2, job={"overwrite": True})
    run(toy, tmp_path / "fresh", colour=2)
    assert fingerprint(tmp_path / "out") == fingerprint(tmp_path / "fresh")
    with pytest.raises(SourceError, match="nothing to convert"):
        run(toy, tmp_path / "out", groups=0, job={"overwrite": True})
    assert fingerprint(tmp_path / "out") == fingerprint(tmp_path / "fresh")


def test_append_adds_groups_and_keeps_shards(toy: Any, tmp_path: Path, fingerprint: Hashes) -> None:
    run(toy, tmp_path / "out", groups=4)
    before = fingerprint(tmp_path / "out")
    report = run(toy, tmp_path / "out", groups=6, job={"append": True})
    assert report.converted == 18
    after = fingerprint(tmp_path / "out")
    assert all(after[name] == digest for name, digest in before.items() if name.endswith(".tar"))
    assert sorted(s.key for s in pvit_data.open(str(tmp_path / "out"))) == sorted(
        f"toy-{g}-{n}" for g in range(6) for n in range(3)
    )


def test_job_arrays_give_the_same_dataset(toy: Any, tmp_path: Path, fingerprint: Hashes) -> None:
    run(toy, tmp_path / "whole")
    for index in (2, 0):
        report = run(toy, tmp_path / "out", job={"task_index": index, "num_tasks": 3})
        assert not report.complete
    with pytest.raises(SourceError, match="1 of 3 shards of 'toy' are missing"):
        finish_dataset(str(tmp_path / "out"))
    assert run(toy, tmp_path / "out", job={"task_index": 1, "num_tasks": 3}).complete
    assert fingerprint(tmp_path / "out") == fingerprint(tmp_path / "whole")
    finish_dataset(str(tmp_path / "out"))
    assert fingerprint(tmp_path / "out") == fingerprint(tmp_path / "whole")
    with pytest.raises(UsageError, match="--task-index 3"):
        run(toy, tmp_path / "out", job={"task_index": 3, "num_tasks": 3})
    with pytest.raises(UsageError, match="remove each other's shards"):
        run(toy, tmp_path / "out", job={"task_index": 0, "num_tasks": 3, "overwrite": True})
    with pytest.raises(UsageError, match="no conversion to finish"):
        finish_dataset(str(tmp_path))


def test_a_job_array_goes_on_where_shards_lie_in_one_folder(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """As they did before, however many there were: the last task knows them, and nothing is converted twice."""
    run(toy, tmp_path)
    for path in tmp_path.rglob("train-00002.*"):
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tar")}
    monkeypatch.setattr("pvit_data.format.names.PER_FOLDER", 1)
    for index in range(3):
        report = run(toy, tmp_path, job={"task_index": index, "num_tasks": 3})
        assert report.complete == (index == 2)
    assert report.converted == 18
    assert (tmp_path / "toy/part-00002/train-00002.tar").exists()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(tmp_path.rglob("*.tar"))) == 3


def test_foreign_shards_are_not_written_over(toy: Any, tmp_path: Path) -> None:
    run(toy, tmp_path / "out")
    (tmp_path / "out/toy/plan.json").unlink()
    with pytest.raises(UsageError, match="not made by a conversion"):
        run(toy, tmp_path / "out")


def test_sources_share_a_dataset(toy: Any, tmp_path: Path, make_hypersim: Any) -> None:
    from pvit_converters.hypersim import HypersimConverter, HypersimOptions

    run(toy, tmp_path / "out")
    convert(Job(HypersimConverter, make_hypersim().root, str(tmp_path / "out"), HypersimOptions()))
    assert set(pvit_data.open(str(tmp_path / "out")).sources) == {"toy", "hypersim"}
    run(toy, tmp_path / "out", job={"overwrite": True}, colour=3)
    assert len(pvit_data.open(str(tmp_path / "out"))) == 18 + 4


def test_preview_writes_nothing(toy: Any, tmp_path: Path) -> None:
    job = Job(toy.ToyConverter, Path("."), str(tmp_path / "out"), toy.ToyOptions(fail=("toy-0-0",)), SMALL)
    found = preview(job)
    assert found.samples == {"train": 18}
    assert found.shards == {"train": 3}
    assert found.tried == 5
    assert not (tmp_path / "out").exists()


def test_preview_estimates_the_size(toy: Any, tmp_path: Path) -> None:
    found = preview(Job(toy.ToyConverter, Path("."), str(tmp_path / "out"), toy.ToyOptions(), SMALL))
    run(toy, tmp_path / "out")
    written = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.tar"))
    assert abs(found.bytes - written) < 0.1 * written


def test_no_space_is_noticed_before_and_during(toy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())
    with pytest.raises(SourceError, match=r"19\.8 kB are needed, 100 B are free"):
        run(toy, tmp_path / "out")


def test_a_file_limit_during_the_run_keeps_finished_shards(toy: Any, tmp_path: Path, fingerprint: Hashes) -> None:
    run(toy, tmp_path / "whole")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, old[1]))
        with pytest.raises(StorageError, match="toy/"):
            run(toy, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list((tmp_path / "out").rglob("*.part-*"))
    run(toy, tmp_path / "out")
    assert fingerprint(tmp_path / "out") == fingerprint(tmp_path / "whole")


def test_a_poison_sample_is_named_and_costs_only_itself(toy: Any, tmp_path: Path) -> None:
    report = run(toy, tmp_path / "out", workers=2, kill=("toy-2-1",))
    assert report.failed == {"killed-worker": 1}
    assert report.failures[0].key == "toy-2-1"
    assert report.converted == 17
    assert len(pvit_data.open(str(tmp_path / "out"))) == 17
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_worker_that_dies_once_costs_nothing(toy: Any, tmp_path: Path) -> None:
    report = run(toy, tmp_path / "out", workers=2, kill_once=tmp_path / "died")
    assert (tmp_path / "died").exists()
    assert (report.converted, report.failed) == (18, {})
