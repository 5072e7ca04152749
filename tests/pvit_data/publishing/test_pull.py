"""Fetching a data set from the Hub: whole or in part, continued, compared with its checksums, where there is room."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pvit_data
from pvit_data.errors import CorruptShardError, PvitError, StorageError
from pvit_data.publishing.choice import Choice, shard_numbers
from pvit_data.publishing.pulling.fetching import part_of
from pvit_data.publishing.pulling.pull import Pulled, address, plan_pull, pull
from pvit_data.validate import validate
from tests.hub_server import REPO, Fault, Hub
from tests.hub_server.state import sha256
from tests.pvit_data.publishing.test_publish import contents, put
from tests.pvit_data.range_server import serve
from tests.pvit_data.reading.test_layers import require_equal

SHARD = "clips/train-00000.tar"


@pytest.fixture
def published(hub: Hub, dataset: Path) -> Hub:
    hub.push(contents(dataset))
    hub.forget()
    return hub


def get(out: Path, choice: Choice | None = None, jobs: int = 4, url: str = "") -> Pulled:
    return pull(plan_pull(url or address(REPO), out, choice or Choice()), jobs)


def large(files: dict[str, bytes]) -> int:
    return sum(len(data) for name, data in files.items() if name.endswith((".tar", ".parquet")))


def test_published_and_pulled_it_is_the_same_bit_for_bit(hub: Hub, dataset: Path, tmp_path: Path) -> None:
    put(dataset)
    done = get(tmp_path / "out")
    found, own = contents(tmp_path / "out"), contents(dataset)
    assert found.keys() == own.keys()
    assert {name for name in own if found[name] != own[name]} == {"README.md"}
    assert done.fetched == len(own) - 2
    for options in ({"source": "clips", "layers": ["later"]}, {"source": "few"}):
        for one, other in zip(
            pvit_data.open(dataset, **options), pvit_data.open(tmp_path / "out", **options), strict=True
        ):
            require_equal(one, other)
    assert put(tmp_path / "out").is_new is False
    hub.forget()
    again = get(tmp_path / "out")
    assert (again.fetched, again.fetched_bytes, again.kept) == (0, 0, done.fetched)
    assert hub.count("GET /store/") == 0
    assert hub.count("/receipts/train") == hub.count("/receipts/val") == 0
    assert hub.leaks == []


def test_files_that_differ_are_fetched_again(published: Hub, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(dataset, out)
    path = out / SHARD
    data = path.read_bytes()
    path.write_bytes(data[:3000] + bytes([data[3000] ^ 1]) + data[3001:])
    (out / "clips/index/val.parquet").unlink()
    done = get(out)
    assert done.fetched == 2
    assert contents(out) == contents(dataset)


def test_a_pull_continues_in_another_process(
    published: Hub, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has come is not asked for again, a block at most."""
    block = 3000
    monkeypatch.setattr("pvit_data.publishing.pulling.fetching.BLOCK", block)
    monkeypatch.setattr("pvit_data.storage.remote.WAITS", ())
    out = tmp_path / "out"
    total = large(contents(dataset))
    tries = 1
    while not attempt(published, out):
        assert not (out / "manifest.json").exists()
        tries += 1
        assert tries < 200
    assert tries > 3
    assert contents(out) == contents(dataset)
    assert published.sent <= total + tries * block


def attempt(hub: Hub, out: Path) -> bool:
    """Whether all came before the store broke down, after a few answers."""
    hub.faults = [Fault("GET /store/", "500", skip=9)]
    try:
        get(out, jobs=1)
    except StorageError:
        return False
    return True


def test_what_came_of_another_version_is_not_used(published: Hub, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    truth = contents(dataset)
    path = out / SHARD
    path.parent.mkdir(parents=True)
    part_of(path, sha256(b"other")).write_bytes(b"x" * 4000)
    part_of(path, sha256(truth[SHARD])).write_bytes(b"y" * 4000)  # damaged since
    index = out / "clips/index/train.parquet"
    index.parent.mkdir()
    part_of(index, sha256(truth["clips/index/train.parquet"])).write_bytes(b"z" * 90_000)  # and longer
    get(out)
    assert contents(out) == truth


@pytest.mark.parametrize("kind", ["flip", "cut", "503"])
def test_faults_on_the_way(published: Hub, dataset: Path, tmp_path: Path, kind: str) -> None:
    published.faults = [Fault("GET /store/", kind, times=2, after=500)]
    get(tmp_path / "out", jobs=1)
    assert contents(tmp_path / "out") == contents(dataset)


def test_a_store_that_always_sends_other_bytes(published: Hub, tmp_path: Path) -> None:
    published.faults = [Fault("GET /store/", "flip", times=99)]
    with pytest.raises(CorruptShardError, match="other bytes came than its manifest says, 3 times"):
        get(tmp_path / "out")
    assert not [name for name in contents(tmp_path / "out") if name.endswith(".tar")]


class Part(NamedTuple):
    choice: Choice
    shards: list[str]


PARTS = [
    Part(Choice(sources=("clips",), splits=("val",)), ["clips/val"]),
    Part(Choice(layers=("later", "few")), ["layers/few/", "layers/later/"]),
    Part(Choice(sources=("clips",), layers=("later",), splits=("train",)), ["clips/train", "layers/later/train"]),
    Part(Choice(having=("depth", "segm")), ["layers/later/"]),
]


@pytest.mark.parametrize("part", PARTS, ids=range(len(PARTS)))
def test_a_part_is_a_sound_dataset(published: Hub, dataset: Path, tmp_path: Path, part: Part) -> None:
    out = tmp_path / "out"
    done = get(out, part.choice)
    own, found = contents(dataset), contents(out)
    tars = {name for name in found if name.endswith(".tar")}
    assert tars == {n for n in own if n.endswith(".tar") and n.startswith(tuple(part.shards))}
    assert all(found[name] == own[name] for name in tars)
    assert sorted(done.manifest.entries) == sorted({name.rpartition("/")[0] for name in tars})
    if part.choice.sources:
        assert validate(out).counts == {}


def test_some_shards_and_then_the_others(published: Hub, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    get(out, Choice(sources=("clips",), shards=(shard_numbers("0"),)))
    one = pvit_data.open(out, source="clips", split="train")
    whole = list(pvit_data.open(dataset, source="clips", split="train"))
    assert 0 < len(one) < len(whole)
    for sample, expected in zip(one, whole, strict=False):
        require_equal(sample, expected)
    get(out, Choice(layers=("few",)))
    get(out, Choice(sources=("clips",), shards=((1, 99),)))
    assert len(pvit_data.open(out, source="clips", split="train")) == len(whole)
    get(out)
    assert contents(out) == contents(dataset)


def test_what_lies_there_already_is_kept(published: Hub, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pvit_data.ShardWriter(out, "own") as writer:
        writer.write(pvit_data.Sample(key="k", num_frames=1))
    done = get(out)
    assert sorted(done.manifest.sources) == ["clips", "own"]
    assert validate(out).ok


def test_files_of_somebody_else_are_not_written_over(published: Hub, tmp_path: Path) -> None:
    """In a folder that is no dataset; beside them there is room."""
    for name, folder in (("README.md", "notes"), ("clips/train-00000.tar", "shards"), ("clips/receipts", "links")):
        own = tmp_path / folder / name
        own.parent.mkdir(parents=True)
        own.write_text("irreplaceable")
        assert "pull" not in (told := refused(lambda folder=folder: get(tmp_path / folder)))
        assert str(own) in told
        assert own.read_text() == "irreplaceable"
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/notes.txt").write_text("mine")
    assert get(tmp_path / "beside").fetched
    assert "is a file; give a folder" in refused(lambda: get(tmp_path / "beside/notes.txt"))


def test_a_full_disk_is_said_before_it_is_full(published: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StorageError, match=r"are to come, 1.0 kB are free: make room"):
        get(tmp_path / "out")
    assert published.count("GET /store/") < 5  # lists and rows at most
    assert not (tmp_path / "out").exists()


def test_from_a_web_server(dataset: Path, tmp_path: Path) -> None:
    with serve(dataset) as traffic:
        get(tmp_path / "out", url=traffic.url)
    assert contents(tmp_path / "out") == contents(dataset)


def refused(action: Any) -> str:
    with pytest.raises(PvitError) as caught:
        action()
    return str(caught.value)


def test_what_cannot_be_pulled(published: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert "no source 'clip' (there: clips); did you mean 'clips'?" in refused(
        lambda: get(out, Choice(sources=("clip",)))
    )
    assert "nothing is left" in refused(lambda: get(out, Choice(layers=("later",), splits=("test",))))
    assert "has no such shards; there are clips train 0 to " in refused(
        lambda: get(out, Choice(shards=(shard_numbers("99"),)))
    )
    assert not out.exists()
    assert "expected a number or FIRST-LAST" in refused(lambda: shard_numbers("a"))
    assert "--revision is for a repository" in refused(lambda: address("https://host/d", "v1"))
    assert "expected OWNER/NAME, a URL or a folder" in refused(lambda: address("mine"))
    for ask in (lambda url: get(out, url=url), pvit_data.open):
        told = refused(lambda ask=ask: ask(address("me/none")))
        assert "me/none: there is no such repository, or the token may not see it" in told
        assert f"{REPO}@v9: there is no such revision" in refused(lambda ask=ask: ask(address(REPO, "v9")))
    published.tokens.clear()
    assert "the server answers 401: is a token needed, or outdated?" in refused(lambda: get(out))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(lambda: get(out))
    for name in (REPO, "me/none"):
        assert "HF_HUB_OFFLINE is set" in refused(lambda name=name: pvit_data.open(address(name)))


def test_a_revision(published: Hub, dataset: Path, tmp_path: Path) -> None:
    published.repository.tags["v1"] = published.repository.heads["main"]
    published.push({"README.md": b"all is gone"})
    assert address(f"{REPO}@v1") == address(REPO, "v1")
    assert "give one revision" in refused(lambda: address(f"{REPO}@v1", "v2"))
    pull(plan_pull(address(REPO, "v1"), tmp_path / "out", Choice()))
    assert contents(tmp_path / "out") == contents(dataset)
    assert "has no manifest.json" in refused(lambda: get(tmp_path / "none"))


def test_two_states_of_a_source_are_not_mixed(published: Hub, dataset: Path, tmp_path: Path) -> None:
    """What would stay of another state is refused before anything comes; what comes whole takes its place."""
    published.repository.tags["v1"] = published.repository.heads["main"]
    with pvit_data.ShardWriter(tmp_path / "new", "clips", licence="CC0-1.0") as writer:
        writer.write(pvit_data.Sample(key="train-0", num_frames=1))
    published.push(contents(tmp_path / "new"))
    v1, v2 = address(REPO, "v1"), address(REPO)
    whole, part, newer = tmp_path / "whole", tmp_path / "part", tmp_path / "newer"
    get(whole, url=v1)
    get(part, Choice(sources=("clips",), splits=("val",)), url=v1)
    get(newer, Choice(sources=("clips",)), url=v2)
    for out in (whole, part):
        before = contents(out)
        for choice in (Choice(), Choice(splits=("train",))):
            told = refused(lambda out=out, choice=choice: get(out, choice, url=v2))
            assert "is of another state of 'clips'" in told
            assert f"remove {out / 'clips'}" in told
        assert contents(out) == before
    shutil.rmtree(part / "clips")
    for out in (newer, part):
        get(out, Choice(sources=("clips",)), url=v1)
        assert validate(out).ok
        assert len(pvit_data.open(out)) == len(pvit_data.open(dataset, source="clips"))


def lying(hub: Hub, dataset: Path, index: int = 0, **claims: Any) -> None:
    """Publishes a manifest that says something else of the first shard, or of the size of an index."""
    files = contents(dataset)
    values = json.loads(files["manifest.json"])
    values["sources"]["clips"]["splits"]["train"]["shards"][0] |= claims
    values["sources"]["clips"]["splits"]["train"]["index"] |= {"bytes": index} if index else {}
    text = json.dumps(values | {"checksum": ""}, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    sealed = text.replace('"checksum": ""', f'"checksum": "{sha256(text.encode())}"', 1)
    hub.push(files | {"manifest.json": sealed.encode()})


def test_claims_of_strangers(published: Hub, dataset: Path, tmp_path: Path) -> None:
    """Sizes that cannot be, names that lead elsewhere, receipts of something else, links in the folder."""
    out = tmp_path / "out"
    lying(published, dataset, index=10**15)
    assert "1000.0 TB are to come" in refused(lambda: get(out))
    lying(published, dataset, name="../../clips/train-00000.tar")
    assert "is not SOURCE/SPLIT-NUMBER.tar" in refused(lambda: get(out))
    lying(published, dataset, sha256="0" * 64)
    assert "tell different things of clips/train-00000.tar" in refused(lambda: get(out))
    assert not out.exists()
    published.push(contents(dataset))
    (tmp_path / "elsewhere").mkdir()
    out.mkdir()
    (out / "clips").symlink_to(tmp_path / "elsewhere")
    assert "clips/train-00000.tar: leads out of the folder" in refused(lambda: get(out))
    assert contents(tmp_path / "elsewhere") == {}
