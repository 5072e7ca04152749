"""Where a storage reads and writes: inside its folder, regular files only, and through no link that leads elsewhere."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import pvit_data
from pvit_data.errors import FormatError, PvitError, StorageError, UsageError
from pvit_data.format.manifest import SourceSpec
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.writing import finish
from pvit_data.writing.shard import write_shard
from tests.pvit_data.samples import bare_sample


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder beside a secret."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "data/mine").mkdir(parents=True)
    (tmp_path / "data/mine/a.tar").write_bytes(b"0123456789")
    return tmp_path / "data"


ASKED: dict[str, Callable[[Storage, str], object]] = {
    "read": lambda storage, name: storage.read(name),
    "range": lambda storage, name: storage.read_range(name, 0, 3),
    "size": lambda storage, name: storage.size(name),
    "hash": lambda storage, name: storage.hash(name, 100),
    "exists": lambda storage, name: storage.exists(name),
}


@pytest.mark.parametrize("ask", ASKED)
@pytest.mark.parametrize("name", ["../secret", "mine/../../secret", "{}/secret", "mine//a.tar", ".", "", "mine/\0"])
def test_names_lead_nowhere_else(data: Path, name: str, ask: str) -> None:
    with pytest.raises(StorageError, match="no name of a file inside a dataset"):
        ASKED[ask](Storage(data), name.format(data.parent))
    with pytest.raises(StorageError, match="no name of a file inside a dataset"):
        ASKED[ask](Storage("memory://data"), name.format(data.parent))


@pytest.mark.parametrize("ask", ASKED)
def test_links_lead_nowhere_else(data: Path, ask: str) -> None:
    (data / "mine/out.tar").symlink_to("../../secret")
    (data / "away").symlink_to("..")
    (data / "mine/in.tar").symlink_to("a.tar")
    for name in ("mine/out.tar", "away/secret"):
        with pytest.raises(StorageError, match=r"leads out of the folder, to .*/secret"):
            ASKED[ask](Storage(data), name)
    (data.parent / "link").symlink_to(data)  # a folder that the user named may be one
    assert ASKED[ask](Storage(data.parent / "link"), "mine/in.tar") == ASKED[ask](Storage(data), "mine/a.tar")


def test_what_the_hubs_client_keeps_is_read(tmp_path: Path) -> None:
    """Its snapshots are folders of links into the repository's blobs."""
    repository = tmp_path / "datasets--me--mine"
    (repository / "snapshots/abc/mine").mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs/1").write_bytes(b"shard")
    (tmp_path / "secret").write_bytes(b"secret")
    (repository / "snapshots/abc/mine/a.tar").symlink_to("../../../blobs/1")
    (repository / "snapshots/abc/mine/b.tar").symlink_to(tmp_path / "secret")
    assert Storage(repository / "snapshots/abc").read("mine/a.tar") == b"shard"
    assert Storage(repository / "snapshots/abc/mine").read("a.tar") == b"shard"
    with pytest.raises(StorageError, match="leads out of the folder"):
        Storage(repository / "snapshots/abc").read("mine/b.tar")


@pytest.mark.parametrize("ask", ["read", "range", "size", "hash"])
def test_pipes_and_devices_are_not_waited_for(data: Path, ask: str) -> None:
    os.mkfifo(data / "mine/pipe.tar")
    for name in ("mine/pipe.tar", "mine"):
        with pytest.raises(StorageError, match=rf"{name}: (not a regular file|Is a directory)"):
            ASKED[ask](Storage(data), name)
    (data / "mine/zero.tar").symlink_to("/dev/zero")
    with pytest.raises(StorageError, match="leads out of the folder, to /dev/zero"):
        ASKED[ask](Storage(data), "mine/zero.tar")
    with pytest.raises(StorageError, match="not a regular file"):
        ASKED[ask](Storage("/dev"), "zero")


def test_reading_is_bounded(data: Path) -> None:
    storage = Storage(data)
    assert storage.read("mine/a.tar", 10) == b"0123456789"
    with pytest.raises(FormatError, match=r"mine/a\.tar: has more than the 9 bytes"):
        storage.read("mine/a.tar", 9)
    with open(data / "large", "wb") as file:
        file.truncate(6 << 30)
    with pytest.raises(FormatError, match="more than the 1000 bytes"):
        storage.read("large", 1000)
    assert storage.hash("large", 10)[0] == 11  # the first byte too much tells
    memory = Storage("memory://bounded")
    memory.write("a", b"0123456789")
    with pytest.raises(FormatError, match="more than the 9 bytes"):
        memory.read("a", 9)


def again(out: Path, source: SourceSpec) -> None:
    write_shard(out, source, "train", 1, [bare_sample(1)])
    finish.write_manifest(out)


@pytest.mark.parametrize("folder", ["mine", "mine/index", "mine/receipts"])
def test_nothing_is_written_or_removed_through_links(tmp_path: Path, folder: str) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    source = SourceSpec(name="mine")
    write_shard(out, source, "train", 0, [bare_sample(0)])
    finish.write_manifest(out)
    (out / folder).rename(other)
    (out / folder).symlink_to(other)
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    storage = Storage(out)
    with pytest.raises(UsageError, match=rf"{folder}: is a link to .*other; nothing is written through links"):
        storage.write(f"{folder}/new.json", b"")
    with pytest.raises(UsageError, match="is a link"):
        storage.remove(f"{folder}/{next(iter(before)).name}")
    with pytest.raises((UsageError, StorageError)):
        again(out, source)
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before


def test_a_link_in_the_place_of_a_file_is_replaced(data: Path) -> None:
    for name in ("README.md", "manifest.json"):
        (data / name).symlink_to("../secret")
        Storage(data).write(name, b"new")
        assert (data / name).read_bytes() == b"new"
    (data / "report.json").symlink_to("../secret")
    Storage(data).remove("report.json")
    assert (data.parent / "secret").read_bytes() == b"secret"


def test_unfinished_uploads_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    writer = Storage("memory://private").create("mine/a.tar")
    writer.write(b"data")
    (part,) = tmp_path.iterdir()
    assert part.stat().st_mode & 0o777 == 0o600
    writer.publish()
    assert (list(tmp_path.iterdir()), Storage("memory://private").read("mine/a.tar")) == ([], b"data")


@pytest.mark.parametrize("name", ["mine/train-00000.tar", "mine/index/train.parquet", "manifest.json", "README.md"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "secret"])
def test_a_dataset_with_pipes_and_links_is_named(tmp_path: Path, name: str, kind: str) -> None:
    """Reading and validating end with a sentence, wherever such a thing lies."""
    out = tmp_path / "out"
    (tmp_path / "secret").write_bytes(b"secret" * 1000)
    write_shard(out, SourceSpec(name="mine"), "train", 0, [bare_sample(0)])
    finish.write_manifest(out)
    (out / name).unlink()
    if kind == "pipe":
        os.mkfifo(out / name)
    else:
        (out / name).symlink_to("/dev/zero" if kind == "zero" else tmp_path / "secret")
    report = validate(out)
    assert [p for p in report.problems if p.file == name or "leads out" in p.message]
    assert not report.ok
    if name != "README.md" and (name, kind) != ("manifest.json", "pipe"):  # no file: shards are read one by one
        with pytest.raises(PvitError):
            list(pvit_data.open(out, split="train"))


@pytest.mark.parametrize(
    "url", ["https://me:se cret@host/x", "https://me:se\tcret@host", "s3://me:a b@c/d", "s3://a \nb"]
)
def test_blanks_in_an_address_are_refused_without_telling_it(url: str) -> None:
    with pytest.raises(UsageError, match=r"^the address has a blank in its host, user or password: write it as %20$"):
        Storage(url)


def test_blanks_in_paths_are_nothing_special() -> None:
    for url in ("s3://bucket/my data", "my data", "file:///my data"):
        Storage(url)
