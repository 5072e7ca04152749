"""`--overwrite` removes what conversions write, under the names of the format, in folders of ours, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from pvit_converters.engine.place import remove_leftovers, remove_source
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_data.errors import UsageError
from pvit_data.storage.storage import Storage

HEX = "0123456789abcdef" * 2
OURS = ("train-00000.tar", "receipts/train-00000.json", "index/train.parquet", "report.json",
        "part-00001/train-03000.tar", "receipts/part-00001/train-03000.json", "receipts/rows/train-00000.parquet",
        "receipts/rows/part-00001/train-03000.parquet", "index/train.shards.parquet", "plan/train-00000-00999.jsonl",
        f"receipts/rows/part-00001/.train-03001.parquet.part-{HEX}",
        f".train-00001.tar.part-{HEX}", ".train-00001.in-work", f"receipts/.source.json.part-{HEX}")  # fmt: skip
FOREIGN = ("backup.tar", "train-1.tar", "train-00000.tar.gz", "TRAIN-00000.tar", "notes.json", "receipts/notes.json",
           "receipts/train.json", "index/all.parquet", "index/train.parquet.old", ".part-1", ".x.part-12", ".bashrc",
           ".notes.in-work", "more/train-00000.tar", "more/plan.json", "part-1/train-03000.tar", "part-00001/notes.txt",
           "receipts/rows/notes.parquet", "index/part-00001/train.parquet", "plan/notes.jsonl")  # fmt: skip


def run(toy: Any, out: Path, **options: Any) -> Any:
    return convert(Job(toy.ToyConverter, Path("."), str(out), toy.ToyOptions(), Settings(), 1, **options))


def write(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"precious")


def there(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}


@pytest.mark.parametrize("mark", ["plan.json", "receipts/source.json"])
def test_only_names_of_the_format_go(toy: Any, tmp_path: Path, mark: str) -> None:
    run(toy, tmp_path)
    folder = tmp_path / "toy"
    for other in {"plan.json", "receipts/source.json"} - {mark}:
        (folder / other).unlink()
    write(folder, OURS + FOREIGN)
    remove_source(Storage(tmp_path), "toy")
    assert there(folder) == set(FOREIGN)


def test_nothing_is_left_of_a_source_alone(toy: Any, tmp_path: Path) -> None:
    run(toy, tmp_path)
    remove_source(Storage(tmp_path), "toy")
    assert not (tmp_path / "toy").exists()
    remove_source(Storage(tmp_path), "toy")


@pytest.mark.parametrize("mark", ["", "plan.json", "receipts/source.json"])
def test_a_folder_that_is_not_ours_is_refused(toy: Any, tmp_path: Path, mark: str) -> None:
    """Shards of somebody else, beside a plan or a declaration of something else."""
    folder = tmp_path / "toy"
    write(folder, OURS)
    if mark:
        (folder / mark).write_text('{"name": "other", "steps": []}')
    before = there(folder)
    with pytest.raises(UsageError, match=r"toy: holds neither receipts/source\.json nor plan\.json of a conversion"):
        run(toy, tmp_path, overwrite=True)
    assert there(folder) == before


def test_a_damaged_plan_still_marks_its_folder(toy: Any, tmp_path: Path) -> None:
    run(toy, tmp_path)
    plan = tmp_path / "toy/plan.json"
    (tmp_path / "toy/receipts/source.json").unlink()
    plan.write_bytes(plan.read_bytes()[:-20])
    assert run(toy, tmp_path, overwrite=True).complete


@pytest.mark.parametrize("link", ["toy", "toy/receipts", "toy/receipts/rows", "toy/index", "toy/part-00001"])
def test_nothing_is_removed_through_a_link(toy: Any, tmp_path: Path, link: str) -> None:
    run(toy, tmp_path / "out")
    write(tmp_path / "out/toy", ("part-00001/train-03000.tar",))
    place = tmp_path / "out" / link
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "elsewhere", (f".x.part-{HEX}", "train-00000.json", "train.parquet"))
    before = there(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"is a link to .*elsewhere"):
        run(toy, tmp_path / "out", overwrite=True)
    remove_leftovers(Storage(tmp_path / "out"), "toy")
    assert there(tmp_path / "elsewhere") == before


def test_leftovers_go_by_their_whole_name(toy: Any, tmp_path: Path) -> None:
    run(toy, tmp_path)
    before = there(tmp_path)
    write(tmp_path / "toy", (*OURS[-3:], ".x.part-12", ".mine.in-work", "deep/er/.x.part-" + HEX))
    write(tmp_path, (f".manifest.json.part-{HEX}", ".cache.part-old"))
    remove_leftovers(Storage(tmp_path), "toy")
    kept = {"toy/.x.part-12", "toy/.mine.in-work", "toy/deep/er/.x.part-" + HEX, ".cache.part-old"}
    assert there(tmp_path) == before | kept


def test_a_link_with_a_name_of_ours_is_removed_and_not_followed(toy: Any, tmp_path: Path) -> None:
    run(toy, tmp_path / "out")
    (tmp_path / "precious.tar").write_bytes(b"precious")
    (tmp_path / "out/toy/train-00007.tar").symlink_to(tmp_path / "precious.tar")
    remove_source(Storage(tmp_path / "out"), "toy")
    assert (tmp_path / "precious.tar").read_bytes() == b"precious"
