"""R9 for URLs: servers that falter, files that vanish or are replaced while they are read, over real connections."""

import itertools
import multiprocessing
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_cli.common import describe
from pvit_data.errors import FormatError, PvitError, StorageError, UsageError
from pvit_data.storage import remote
from pvit_data.storage.ahead import STREAM_BYTES
from pvit_data.storage.cache import Cache
from pvit_data.storage.storage import Storage
from tests.pvit_data.range_server import Traffic, serve
from tests.pvit_data.reading.test_damage import same
from tests.pvit_data.samples import SPACES, full_sample

TRIALS = 300 if os.environ.get("PVIT_TORTURE") else 12
SHARD = "mine/train-00000.tar"


def write(out: Path, seeds: range) -> Path:
    with pvit_data.ShardWriter(out, "mine", spaces=SPACES) as writer:
        for seed in seeds:
            writer.write(full_sample(seed))
    return out


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("original") / "d", range(3))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "d"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAITS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(remote, "MAX_WAIT", 0.01)


@pytest.fixture
def server(folder: Path) -> Iterator[Traffic]:
    with serve(folder) as traffic:
        yield traffic


def failing(kind: str, first: int, last: int) -> Callable[[str], str]:
    """The fault hits requests `first` to `last`, counted from now."""
    numbers = itertools.count()
    return lambda _: kind if first <= next(numbers) <= last else ""


def one_line(error: BaseException) -> str:
    message, code = describe(error)
    assert code == 1
    assert "\n" not in str(error)
    return message


@pytest.mark.parametrize("kind", ["500", "503", "429", "408", "cut"])
def test_a_server_that_falters_costs_time_only(server: Traffic, folder: Path, kind: str) -> None:
    dataset = pvit_data.open(server.url)
    truth = list(pvit_data.open(folder))
    server.fault = failing(kind, 1, 2)
    assert all(same(a, b) for a, b in zip(dataset, truth, strict=True))
    assert server.times == 2


@pytest.mark.parametrize(
    ("kind", "text"),
    [("500", "the server answers 500"), ("403", "403: is it private?"), ("401", "401: is a token needed"),
     ("404", "no such file"), ("cut", "the connection failed")],
)  # fmt: skip
def test_a_server_that_fails_for_good_is_named(server: Traffic, kind: str, text: str) -> None:
    dataset = pvit_data.open(server.url)
    assert len(dataset) == 3
    server.fault = lambda path: kind if path.endswith(".tar") else ""
    with pytest.raises(StorageError) as caught:
        list(dataset)
    assert f"{server.url}/{SHARD}: " in one_line(caught.value)
    assert text in one_line(caught.value)
    assert server.times <= 4


def test_a_server_may_say_how_long_to_wait(server: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(remote, "MAX_WAIT", 60)
    monkeypatch.setattr("time.sleep", waited.append)
    dataset = pvit_data.open(server.url)
    server.fault = failing("429", 0, 1)
    assert len(dataset.column("key")) == 3
    assert [seconds for seconds in waited if seconds >= 1] == [7, 7]


def test_a_server_that_fails_at_once_is_not_taken_for_an_empty_folder(server: Traffic) -> None:
    server.fault = lambda _: "503"
    with pytest.raises(StorageError, match=r"manifest\.json: the server answers 503"):
        pvit_data.open(server.url)
    server.fault = lambda _: ""
    with pytest.raises(PvitError, match="not a PViT dataset"):
        pvit_data.open(f"{server.url}/nowhere")
    with pytest.raises(StorageError, match=r"manifest\.json: "):  # nobody listens there
        pvit_data.open("http://127.0.0.1:9")


def test_bytes_damaged_on_the_way_are_fetched_again(server: Traffic, folder: Path, tmp_path: Path) -> None:
    truth = list(pvit_data.open(folder))
    for cache in (None, tmp_path / "cache"):
        dataset = pvit_data.open(server.url, cache=cache)
        assert len(dataset) == 3
        hits = itertools.count()
        server.fault = lambda path: "flip" if path.endswith(".tar") and next(hits) == 1 else ""  # noqa: B023
        assert all(same(a, b) for a, b in zip(dataset, truth, strict=True))
        server.fault = lambda _: ""
        assert all(same(a, b) for a, b in zip(dataset, truth, strict=True))


def test_a_shard_that_vanishes_midway(server: Traffic, folder: Path) -> None:
    """Also with `skip`: a lost file is no damaged sample."""
    dataset = pvit_data.open(server.url, on_corrupt="skip")
    samples = iter(dataset)
    next(samples)
    (folder / SHARD).unlink()
    with pytest.raises(StorageError, match=r"train-00000\.tar: no such file"):
        next(samples)
    assert dataset.skipped == {}


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("local", [False, True])
def test_a_dataset_replaced_midway(server: Traffic, folder: Path, tmp_path: Path, cached: bool, local: bool) -> None:
    """Other samples in the same place: never mixed, never skipped as damaged, and named."""
    truth = {s.key: s for s in pvit_data.open(folder)}
    url = str(folder) if local else server.url
    cache = Cache(tmp_path / "cache", block_bytes=1 << 14) if cached else None
    dataset = pvit_data.open(url, on_corrupt="skip", cache=cache)
    samples = iter(dataset)
    assert same(next(samples), truth["mine-0000"])
    write(tmp_path / "other", range(20, 25))
    for path in sorted((tmp_path / "other").rglob("*")):
        if path.is_file():
            shutil.copy(path, folder / path.relative_to(tmp_path / "other"))
    with pytest.raises(StorageError, match="was changed while it was read: open it again"):
        assert all(same(sample, truth[sample.key]) for sample in samples)
    with pytest.raises(StorageError, match="open it again"):  # a worker of the loader that begins only now
        pickle.loads(pickle.dumps(dataset))[1]
    found = pvit_data.open(url, cache=cache)
    assert [s.key for s in found] == [f"mine-{seed:04d}" for seed in range(20, 25)]


@pytest.mark.parametrize("etag", [True, False])
def test_a_file_replaced_midway_ends_its_stream(server: Traffic, folder: Path, etag: bool) -> None:
    """Without index there are no checksums: two versions of a file must not be read as one."""
    server.etag = etag
    path = folder / "big.bin"
    rng = np.random.default_rng(0)
    path.write_bytes(rng.bytes(3 * STREAM_BYTES))
    os.utime(path, (1e9, 1e9))
    with Storage(server.url).stream("big.bin") as stream:
        assert stream.read(100) == path.read_bytes()[:100]
        path.write_bytes(rng.bytes(3 * STREAM_BYTES))
        with pytest.raises(StorageError, match=r"big\.bin: was changed while it was read"):
            list(iter(lambda: stream.read(1 << 20), b""))


@pytest.mark.parametrize("cached", [False, True])
def test_a_file_of_the_same_size_and_another_date_is_another_version(
    server: Traffic, folder: Path, tmp_path: Path, cached: bool
) -> None:
    server.etag = False
    path = folder / "notes.bin"
    for number, content in enumerate((b"one", b"two")):
        path.write_bytes(content)
        os.utime(path, (1e9 + 60 * number,) * 2)
        assert Storage(server.url, tmp_path / "cache" if cached else None).read_range("notes.bin", 0, 3) == content


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12: it has threads
def test_a_forked_process_reads_and_leaves_the_connections_of_its_parent_alone(server: Traffic, folder: Path) -> None:
    truth = pvit_data.open(folder)
    dataset = pvit_data.open(server.url)
    assert same(dataset[0], truth[0])  # the parent has a connection now

    def child() -> None:
        os._exit(0 if all(same(dataset[i], truth[i]) for i in range(3)) else 1)

    for _ in range(2):
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        assert same(dataset[1], truth[1])
        process.join(20)
        assert process.exitcode == 0
        assert same(dataset[2], truth[2])


@pytest.mark.torture
def test_r9_random_faults(folder: Path, original: Path, tmp_path: Path) -> None:
    """Whatever fails and whenever: a sample is right, or an error of ours says what happened."""
    truth = {s.key: s for s in pvit_data.open(original)}
    rng, messages = random.Random(9), list[str]()
    with serve(folder) as server:
        for trial in range(TRIALS):
            kind = rng.choice(["500", "404", "403", "cut", "flip", "gone", "damaged"])
            first = rng.randrange(12)
            server.fault = (
                failing(kind, first, first + rng.choice([0, 2, 100])) if kind[0] not in "gd" else lambda _: ""
            )
            data = bytearray((original / SHARD).read_bytes())
            if kind == "damaged":
                data[rng.randrange(len(data))] ^= 255
            gone = trial % 3 if kind in ("gone", "damaged") else -1
            try:
                dataset = pvit_data.open(server.url, cache=tmp_path / f"c{trial}" if trial % 2 else None)
                for number, sample in enumerate(dataset):
                    assert same(sample, truth[sample.key])
                    if number == gone:
                        (folder / SHARD).unlink() if kind == "gone" else (folder / SHARD).write_bytes(data)
            except (StorageError, FormatError) as error:
                messages.append(one_line(error))
            except UsageError as error:  # where the manifest is not to be found, there is no dataset
                assert kind == "404"
                messages.append(str(error))
            shutil.copy(original / SHARD, folder / SHARD)
    assert len(messages) >= TRIALS // 6
