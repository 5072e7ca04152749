"""A large plan is stored in parts: the same shards, read line by line, and nothing that was not there before."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pvit_converters.base import Item, Listing
from pvit_converters.engine import plan_file, plan_parts
from pvit_converters.engine.finishing import finish_dataset
from pvit_converters.engine.plan import Plan, Settings, append_to, make_plan
from pvit_converters.engine.plan_file import find_unlisted, load_plan, save_plan
from pvit_converters.engine.run import Job, convert
from pvit_data.errors import FormatError, PvitError, StorageError, UsageError
from pvit_data.format.names import IN_SOURCE
from pvit_data.storage.storage import Storage
from pvit_data.storage.writer import Writer

Hashes = Callable[[Path], dict[str, str]]
SMALL = Settings(shard_bytes=6000)  # two groups per shard, three shards
FIRST = "toy/plan/train-00000-00001.jsonl"


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plan counts as a large one, with two shards in a part."""
    monkeypatch.setattr(plan_file, "MOST_IN_ONE_FILE", 0)
    monkeypatch.setattr(plan_parts, "SHARDS_PER_PART", 2)


def run(toy: Any, out: Path, groups: int = 6, workers: int = 1, **job: Any) -> Any:
    options = toy.ToyOptions(groups=groups, fail=job.pop("fail", ()))
    return convert(Job(toy.ToyConverter, Path("."), str(out), options, SMALL, workers, **job))


def items(groups: int, split: str = "") -> list[Item]:
    return [Item(f"k{g}-{n}", f"g{g}", split, {"n": n}, 100) for g in range(groups) for n in range(4)]


def planned(groups: int, split: str = "", shard_bytes: int = 900) -> Plan:
    return make_plan({"source": "toy"}, Settings(shard_bytes=shard_bytes), Listing(items(groups, split)))


def contents(plan: Plan) -> list[tuple[str, int, tuple[Item, ...]]]:
    return [(shard.split, shard.number, shard.items) for shard in plan.shards]


def shards_and_more(hashes: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in hashes.items() if "/plan" not in name}


def test_the_same_plan_from_either_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, storage = planned(30), Storage(tmp_path)
    assert save_plan(plan, storage) is plan
    assert not (tmp_path / "toy/plan").exists()
    whole = (tmp_path / "toy/plan.json").read_bytes()
    monkeypatch.setattr(plan_file, "MOST_IN_ONE_FILE", 119)
    stored, loaded = save_plan(plan, storage), load_plan("toy", Storage(tmp_path))
    assert loaded is not None
    assert contents(stored) == contents(loaded) == contents(plan)
    assert (loaded.num_samples, loaded.size, loaded.identity) == (120, 12_000, plan.identity)
    assert [s.name for s in loaded.shards] == [s.name for s in plan.shards]
    head = (tmp_path / "toy/plan.json").read_bytes()
    assert head.startswith(plan_file.PLAN_START)
    assert set(json.loads(head)) == {"identity", "absent", "notes", "parts"}
    assert set(json.loads(whole)) == {"identity", "absent", "notes", "shards"}
    assert b"k1-1" not in head
    save_plan(loaded, Storage(tmp_path))
    assert (tmp_path / "toy/plan.json").read_bytes() == head
    monkeypatch.undo()
    save_plan(loaded, Storage(tmp_path))
    assert (tmp_path / "toy/plan.json").read_bytes() == whole


def test_lines_of_a_part_are_json_of_a_shard_each(tmp_path: Path, parts: None) -> None:
    plan = save_plan(planned(12, "train"), Storage(tmp_path))
    names = sorted(path.name for path in (tmp_path / "toy/plan").iterdir())
    assert names == [f"train-{n:05d}-{n + 1:05d}.jsonl" for n in (0, 2, 4)]
    lines = [line for name in names for line in (tmp_path / "toy/plan" / name).read_bytes().splitlines()]
    assert len(lines) == len(plan.shards) == 6
    for line, shard in zip(map(json.loads, lines), plan.shards, strict=True):
        assert (line["split"], line["number"]) == (shard.split, shard.number)
        assert [Item(*values) for values in line["items"]] == list(shard.items)
    assert all(IN_SOURCE.fullmatch(f"plan/{name}") for name in names)


def test_names_that_are_no_utf8_come_back(tmp_path: Path, parts: None) -> None:
    odd = [Item("a", "b", "train", {"file": "x\udcff\u2028.mp4", "n": 1.5}, 1)]
    save_plan(make_plan({"source": "toy"}, SMALL, Listing(odd)), Storage(tmp_path))
    loaded = load_plan("toy", Storage(tmp_path))
    assert loaded is not None
    assert list(loaded.shards[0].items) == odd


def test_appending_keeps_old_lines_where_they_are(tmp_path: Path, parts: None) -> None:
    """A run that read the plan before goes on with it, through the very files that were written again."""
    storage = Storage(tmp_path)
    save_plan(planned(5, "train"), storage)
    before = load_plan("toy", Storage(tmp_path))
    assert before is not None
    kept = contents(before)
    first = (tmp_path / FIRST).read_bytes()
    second = (tmp_path / FIRST.replace("0-00001", "2-00003")).read_bytes()
    longer, _ = append_to(before, Settings(shard_bytes=900), Listing(items(5, "train") + items(12, "val")[20:]))
    longer, _ = append_to(longer, Settings(shard_bytes=900), Listing([*items(5, "train"), *more("train", 5)]))
    stored, loaded = save_plan(longer, storage), load_plan("toy", Storage(tmp_path))
    assert loaded is not None
    assert contents(loaded) == contents(stored) == contents(longer)
    assert [s.name for s in longer.shards][:3] == ["train-00000", "train-00001", "train-00002"]
    assert [s.split for s in longer.shards] == ["train"] * 3 + ["val"] * 4 + ["train"] * 3
    assert contents(before) == kept
    assert (tmp_path / FIRST).read_bytes() == first
    assert (tmp_path / FIRST.replace("0-00001", "2-00003")).read_bytes().startswith(second)


def more(split: str, groups: int) -> list[Item]:
    return [Item(f"n{g}-{n}", f"new{g}", split, {"n": n}, 100) for g in range(groups) for n in range(4)]


def test_interrupted_at_any_write_the_old_plan_holds(
    tmp_path: Path, parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head comes last: whatever parts are written by then, the plan is the old one; the next try gives the new."""
    publish = Writer.publish
    longer, _ = append_to(planned(5, "train"), Settings(shard_bytes=900), Listing(more("train", 9)))
    for number in range(5):
        folder = tmp_path / str(number)
        save_plan(planned(5, "train"), Storage(folder))
        left = [number]

        def break_off(self: Writer, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            publish(self)

        stored = load_plan("toy", Storage(folder))
        assert stored is not None
        grown, _ = append_to(stored, Settings(shard_bytes=900), Listing(more("train", 9)))
        monkeypatch.setattr(Writer, "publish", break_off)
        if number < 4:
            with pytest.raises(KeyboardInterrupt):
                save_plan(grown, Storage(folder))
        else:
            save_plan(grown, Storage(folder))
        monkeypatch.setattr(Writer, "publish", publish)
        expected = contents(planned(5, "train")) if number < 4 else contents(longer)
        assert read_all(folder) == expected
        assert not list(folder.rglob("*.part-*"))
        save_plan(longer, Storage(folder))
        assert read_all(folder) == contents(longer)


def test_a_small_plan_that_grows_moves_to_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(tmp_path)
    save_plan(planned(5, "train"), storage)
    old = load_plan("toy", storage)
    assert old is not None
    longer, _ = append_to(old, Settings(shard_bytes=900), Listing(more("train", 5)))
    monkeypatch.setattr(plan_file, "MOST_IN_ONE_FILE", 39)
    save_plan(longer, storage)
    loaded = load_plan("toy", storage)
    assert loaded is not None
    assert contents(loaded) == contents(longer)
    assert contents(loaded)[: len(old.shards)] == contents(old)


def test_the_bytes_are_those_of_a_plan_in_one_file(
    toy: Any, tmp_path: Path, fingerprint: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anew, resumed, appended, with several workers, as a job array and finished."""
    run(toy, tmp_path / "whole")
    expected = shards_and_more(fingerprint(tmp_path / "whole"))
    monkeypatch.setattr(plan_file, "MOST_IN_ONE_FILE", 0)
    monkeypatch.setattr(plan_parts, "SHARDS_PER_PART", 2)
    for name, workers in (("one", 1), ("two", 2)):
        assert run(toy, tmp_path / name, workers=workers).complete
        assert shards_and_more(fingerprint(tmp_path / name)) == expected
    for path in [*(tmp_path / "one").rglob("train-00001.*")]:
        path.unlink()
    assert run(toy, tmp_path / "one").complete
    assert shards_and_more(fingerprint(tmp_path / "one")) == expected
    for index in (2, 0, 1):
        run(toy, tmp_path / "array", task_index=index, num_tasks=3)
    assert shards_and_more(fingerprint(tmp_path / "array")) == expected
    finish_dataset(str(tmp_path / "array"))
    assert shards_and_more(fingerprint(tmp_path / "array")) == expected
    run(toy, tmp_path / "grown", groups=4)
    run(toy, tmp_path / "grown", append=True)
    monkeypatch.undo()
    run(toy, tmp_path / "grown whole", groups=4)
    run(toy, tmp_path / "grown whole", append=True)
    grown = [shards_and_more(fingerprint(tmp_path / name)) for name in ("grown", "grown whole")]
    assert grown[0] == grown[1]


def test_a_task_of_an_array_reads_its_own_lines_and_receipts(
    toy: Any, tmp_path: Path, parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(toy, tmp_path)
    of_all = (tmp_path / "toy/report.json").read_bytes()
    for path in [*tmp_path.rglob("train-0000[12].*")]:
        path.unlink()
    seen: list[str] = []
    for method in ("read", "read_range"):
        whole = getattr(Storage, method)

        def noted(self: Storage, name: str, *args: Any, whole: Any = whole, **more: Any) -> bytes:
            data: bytes = whole(self, name, *args, **more)
            seen.append(name if "/plan/" not in name else f"{name} {json.loads(data)['number']}")
            return data

        monkeypatch.setattr(Storage, method, noted)
    report = run(toy, tmp_path, task_index=1, num_tasks=3)
    lines = {name for name in seen if "/plan/" in name}
    assert lines == {f"{FIRST} 1"}
    receipts = {name for name in seen if "receipts/train" in name}
    assert {Path(name).stem for name in receipts} == {"train-00001"}
    assert (report.complete, report.shards, report.planned_shards, report.converted) == (False, 1, 3, 6)
    assert report.notes[-1] == "only the shards of --task-index 1 are counted here"
    assert (tmp_path / "toy/report.json").read_bytes() == of_all
    seen.clear()
    assert run(toy, tmp_path, task_index=2, num_tasks=3).converted == 18


def test_tasks_are_made_when_their_turn_comes(
    toy: Any, tmp_path: Path, parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So only few shards' samples are in memory: a line is read, its shard written, and the next line read."""
    order: list[str] = []
    read, load = plan_parts.StoredShard.line, toy.ToyConverter.load

    def noted_line(self: Any) -> bytes:
        order.append(self.name)
        return bytes(read(self))

    def noted_load(self: Any, item: Item) -> Any:
        order.append("sample")
        return load(self, item)

    monkeypatch.setattr(plan_parts.StoredShard, "line", noted_line)
    monkeypatch.setattr(toy.ToyConverter, "load", noted_load)
    run(toy, tmp_path)
    assert order == [word for n in range(3) for word in (f"train-0000{n}", *["sample"] * 6)]


def test_what_a_run_has_checked_is_what_it_reads(toy: Any, tmp_path: Path, parts: None) -> None:
    """A line that is exchanged after the look at the raw data is not read, whatever it says."""
    run(toy, tmp_path)
    for path in [*tmp_path.rglob("train-0000*")]:
        if path.parent.name != "plan":
            path.unlink()
    done: list[int] = []

    def exchange(count: int, total: int) -> None:
        done.append(count)
        if count == 1:
            path = tmp_path / FIRST.replace("0-00001", "2-00003")
            path.write_bytes(path.read_bytes().replace(b'"n":0', b'"n":7'))

    options = toy.ToyOptions()
    with pytest.raises(
        FormatError, match=r"train-00002-00003\.jsonl: damaged .*the line of train-00002 is not the one"
    ):
        convert(Job(toy.ToyConverter, Path("."), str(tmp_path), options, SMALL, 1), exchange)
    assert max(done) == 12
    assert len(list(tmp_path.rglob("*.tar"))) == 2


def test_parts_name_nothing_that_is_not_listed(tmp_path: Path, parts: None) -> None:
    """A plan that fits together, of a stranger: its samples are looked up in the listing as those of one file are."""
    listing = Listing([Item("k", "g", "train", {"file": "a.mp4"}, 1)])
    for text, message in (("/etc/passwd", "names /etc/passwd, which is not in the raw data"), ("b.mp4", "")):
        strange = Listing([Item("k", "g", "train", {"file": text}, 1)])
        save_plan(make_plan({"source": "toy"}, SMALL, strange), Storage(tmp_path))
        plan = load_plan("toy", Storage(tmp_path))
        assert plan is not None
        if message:
            with pytest.raises(FormatError, match=message):
                find_unlisted(plan.shards, listing, "plan.json")
        else:
            assert "names b.mp4" in find_unlisted(plan.shards, listing, "plan.json")["k"]


def stored_plan(folder: Path) -> dict[str, Any]:
    save_plan(planned(12, "train"), Storage(folder))
    found: dict[str, Any] = json.loads((folder / "toy/plan.json").read_bytes())
    return found


def read_all(folder: Path) -> Any:
    plan = load_plan("toy", Storage(folder))
    assert plan is not None
    return contents(plan)


def set_at(*path: Any) -> Callable[[dict[str, Any]], None]:
    *way, last, value = path

    def change(head: dict[str, Any]) -> None:
        inner: Any = head
        for key in way:
            inner = inner[key]
        inner[last] = value

    return change


SHARD = ("parts", 0, "shards", 0)


@pytest.mark.parametrize(
    "change",
    [
        set_at("parts", 3),
        set_at("parts", [1]),
        set_at("parts", 0, "split", "../../x"),
        set_at("parts", 0, "split", ["train"]),
        set_at("parts", 0, "first", 1),
        set_at("parts", 0, "first", "0"),
        set_at("parts", 0, "shards", {"a": 1}),
        set_at(*SHARD, [1, 2, 3]),
        set_at(*SHARD, 0, -1),
        set_at(*SHARD, 0, 7),
        set_at(*SHARD, 1, 10**30),
        set_at(*SHARD, 1, True),
        set_at(*SHARD, 2, 1 << 60),
        set_at(*SHARD, 2, -5),
        set_at(*SHARD, 2, 1.0),
        set_at(*SHARD, 2, 5),
        set_at(*SHARD, 3, "0" * 64),
        set_at(*SHARD, 3, "../x"),
        set_at(*SHARD, 3, None),
        set_at("notes", 3),
        set_at("absent", "x", float("inf")),
        set_at("absent", ["x"]),
    ],
)
def test_a_head_of_other_values_is_damaged(tmp_path: Path, parts: None, change: Any) -> None:
    head = stored_plan(tmp_path)
    change(head)
    (tmp_path / "toy/plan.json").write_text(json.dumps(head))
    with pytest.raises(FormatError, match=r"(plan\.json|\.jsonl): damaged .*--overwrite") as caught:
        read_all(tmp_path)
    assert "\n" not in str(caught.value)


def forge(folder: Path, line: bytes) -> None:
    """A stranger's plan of one shard, whose head says of the line what is true."""
    head = stored_plan(folder)
    (folder / FIRST).write_bytes(line)
    shard = [8, 800, len(line), hashlib.sha256(line).hexdigest()]
    head["parts"] = [{"split": "train", "first": 0, "shards": [shard]}]
    (folder / "toy/plan.json").write_text(json.dumps(head))


ITEM = '["k", "g", "train", {}, 100]'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"{",
        b"\xff\xfe" * 1000,
        b"[" * 100_000,
        b'{"items": 3, "number": 0, "split": "train"}',
        b'{"items": [[1, "g", "train", {}, 100]], "number": 0, "split": "train"}',
        b'{"items": [["k", "g", "train", [], 100]], "number": 0, "split": "train"}',
        b'{"items": [["k", "g", "train", {}]], "number": 0, "split": "train"}',
        f'{{"items": [{ITEM}], "number": 0, "split": "train"}}'.encode(),
        f'{{"items": [{", ".join([ITEM] * 8)}], "number": 1, "split": "train"}}'.encode(),
        f'{{"items": [{", ".join([ITEM] * 8)}], "number": 0, "split": "val"}}'.encode(),
        f'{{"items": [{", ".join([ITEM] * 8)}], "number": true, "split": "train"}}'.encode(),
        f'{{"items": [{", ".join([ITEM] * 8)}], "number": 0, "split": ["train"]}}'.encode(),
    ],
)
def test_a_line_of_other_values_is_damaged(tmp_path: Path, parts: None, line: bytes) -> None:
    forge(tmp_path, line)
    with pytest.raises(FormatError, match=r"train-00000-00001\.jsonl: damaged .*--overwrite") as caught:
        read_all(tmp_path)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


def test_a_line_that_is_as_it_should_be_is_read(tmp_path: Path, parts: None) -> None:
    """The instrument of the tests before."""
    forge(tmp_path, f'{{"items": [{", ".join([ITEM] * 8)}], "number": 0, "split": "train"}}'.encode())
    assert [number for _, number, _ in read_all(tmp_path)] == [0]


@pytest.mark.parametrize("kind", ["gone", "short", "link", "pipe", "folder"])
def test_a_part_that_is_no_such_file(tmp_path: Path, parts: None, kind: str) -> None:
    stored_plan(tmp_path / "out")
    part = tmp_path / "out" / FIRST
    data = part.read_bytes()
    part.unlink()
    if kind == "short":
        part.write_bytes(data[:10])
    elif kind == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        part.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(part)
    elif kind == "folder":
        part.mkdir()
    with pytest.raises((StorageError, FormatError), match=r"train-00000-00001\.jsonl") as caught:
        read_all(tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_parts_are_not_written_through_a_link(tmp_path: Path, parts: None) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/toy").mkdir(parents=True)
    (tmp_path / "out/toy/plan").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="nothing is written through links"):
        save_plan(planned(3), Storage(tmp_path / "out"))
    assert not list((tmp_path / "elsewhere").iterdir())
    assert not (tmp_path / "out/toy/plan.json").exists()


def test_overwriting_takes_the_parts_away(toy: Any, tmp_path: Path, parts: None, fingerprint: Hashes) -> None:
    run(toy, tmp_path / "out", groups=12)
    assert len(list((tmp_path / "out/toy/plan").iterdir())) == 3
    run(toy, tmp_path / "out", overwrite=True)
    run(toy, tmp_path / "fresh")
    assert fingerprint(tmp_path / "out") == fingerprint(tmp_path / "fresh")
    (tmp_path / "out/toy/plan/notes.jsonl").write_text("precious")
    (tmp_path / "out/toy/plan/.x.part-0123456789abcdef0123456789abcdef").write_text("left behind")
    plan_file.MOST_IN_ONE_FILE = 1000  # of this test only: the fixture sets it back
    run(toy, tmp_path / "out", overwrite=True)
    assert [p.name for p in (tmp_path / "out/toy/plan").iterdir()] == ["notes.jsonl"]


def test_a_limit_is_checked_before_anything_goes(
    toy: Any, tmp_path: Path, parts: None, monkeypatch: pytest.MonkeyPatch, fingerprint: Hashes
) -> None:
    run(toy, tmp_path / "out")
    before = fingerprint(tmp_path / "out")
    monkeypatch.setattr(plan_parts, "MAX_LINE_BYTES", 300)
    for overwrite, out in ((True, "out"), (False, "new")):
        with pytest.raises(UsageError, match=r"shard train-00000 would hold 6 samples.* at most 300 B.*--shard-size"):
            run(toy, tmp_path / out, overwrite=overwrite)
    assert fingerprint(tmp_path / "out") == before
    assert not list((tmp_path / "new").rglob("*.json*"))


def test_a_plan_whose_numbers_have_gaps_is_not_stored_in_parts(tmp_path: Path, monkeypatch: Any) -> None:
    """Of somebody who edits plans: appending to it would lose shards."""
    save_plan(planned(12, "train"), Storage(tmp_path))
    path = tmp_path / "toy/plan.json"
    head = json.loads(path.read_bytes())
    del head["shards"][2]
    path.write_text(json.dumps(head))
    plan = load_plan("toy", Storage(tmp_path))
    assert plan is not None
    monkeypatch.setattr(plan_file, "MOST_IN_ONE_FILE", 0)
    with pytest.raises(PvitError, match=r"plan\.json: damaged \(the numbers of the shards of train have gaps"):
        save_plan(plan, Storage(tmp_path))
