"""Batches from URLs: fetched ahead by several threads, equal to those from a folder, and with the same errors."""

import copyreg
import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import pvit_data
from pvit_data.clips.config import ClipConfig
from pvit_data.errors import CorruptShardError, FormatError, StorageError
from pvit_data.loading import fetching
from pvit_data.loading.batch import Batch
from pvit_data.loading.options import Options
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.sources import MixtureSource
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.foreign.index import index_foreign
from pvit_data.reading.part import Fetched
from pvit_data.storage import remote
from pvit_data.testing import assert_equal_batches
from tests.pvit_data.range_server import Traffic, serve
from tests.pvit_data.samples import SPACES, full_sample

ROOT = Path(__file__).parents[3]
CLIP = ClipConfig(num_frames=4, size=(16, 16), map_size=(4, 4), flip=0.5, colour=0.5, normal_axes="camera")
TASKS = {"mine": ("depth", "normal", "pose3d", "boxes"), "stills": ("depth",)}
SHARD = "mine/train-00000.tar"
ROWS = 12  # clips, and as many stills


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("original") / "d"
    with pvit_data.ShardWriter(out, "mine", spaces=SPACES) as writer:
        for seed in range(ROWS):
            writer.write(full_sample(seed, meta={"key_frame": seed % 6}))
    with pvit_data.ShardWriter(out, "stills", spaces={"action": SPACES["action"]}) as writer:
        for seed in range(ROWS):
            rgb, depth = np.full((1, 20, 24, 3), 9 * seed, np.uint8), np.full((1, 20, 24), 2.0 + seed, np.float32)
            writer.write(pvit_data.Sample(key=f"still-{seed}", rgb=rgb, depth=depth, action=seed % 3))
    return out


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


def mixture(url: str | Path, batch_size: int = 6, cache: Path | None = None) -> Mixture:
    sets = {name: pvit_data.open(url, source=name, cache=cache) for name in TASKS}
    for ds in sets.values():
        ds.column("json_offset")  # the index is here
    sources = [MixtureSource(sets["stills"]), MixtureSource(sets["mine"], "auxiliary")]
    return Mixture(sources, batch_size, seed=1, tasks=TASKS)


def all_equal(found: Iterable[Batch], truth: Iterable[Batch]) -> None:
    for one, other in zip(found, truth, strict=True):
        assert_equal_batches(one, other)


def asked(server: Traffic) -> int:
    return sum(path.endswith(".tar") for path, _ in server.sent)


def no_thread_is_left() -> bool:
    for _ in range(100):
        if not any(thread.name == "pvit-fetch" for thread in threading.enumerate()):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffled", [False, True])
def test_training_batches_are_those_of_a_folder(server: Traffic, folder: Path, workers: int, shuffled: bool) -> None:
    clip = CLIP.model_copy(update={"shuffle_labels": shuffled, "samplers": {"mine": "keyframe"}})
    steps = {"start_step": 3, "num_steps": 5, "clip": clip}
    truth = list(pvit_data.loader(mixture(folder), **steps))  # type: ignore[arg-type]
    mixed = mixture(server.url)
    server.sent.clear()
    all_equal(pvit_data.loader(mixed, workers, **steps), truth)  # type: ignore[arg-type]
    # Nothing but the samples of these batches: with shuffled annotations also the donors.
    clips = sum(source == "mine" for batch in truth for source in batch.sources)
    assert asked(server) <= 5 * 6 + shuffled * clips * len(TASKS["mine"])
    assert no_thread_is_left()


def test_a_sample_is_asked_for_once_however_often_it_is_read(server: Traffic, folder: Path) -> None:
    """Six views of each sample, of which a batch takes half."""
    views = {"views": (2, 3), "batch_size": 4, "clip": CLIP}
    local, distant = (pvit_data.open(url, source="mine") for url in (folder, server.url))
    truth = list(pvit_data.eval_loader(local, **views))  # type: ignore[arg-type]
    distant.column("json_offset")
    server.sent.clear()
    all_equal(pvit_data.eval_loader(distant, **views), truth)  # type: ignore[arg-type]
    assert asked(server) == ROWS


def test_requests_run_side_by_side_up_to_a_number(server: Traffic) -> None:
    server.wait = 0.05
    mixed = mixture(server.url, batch_size=16)
    for concurrency, least, most in ((0, 1, 1), (3, 2, 3), (32, 9, 32)):
        server.most = 0
        batches = iter(pvit_data.loader(mixed, concurrency=concurrency, clip=CLIP))
        next(batches)
        assert least <= server.most <= most
        batches.close()  # type: ignore[attr-defined]
    number = -1
    while number != len(server.sent):  # what was under way when it was closed
        number = len(server.sent)
        time.sleep(0.3)
    server.sent.clear()
    list(pvit_data.loader(mixed, num_steps=1, clip=CLIP))
    assert asked(server) == 16  # and nothing for a batch that nobody wants


def test_while_one_batch_is_used_the_next_one_comes(server: Traffic) -> None:
    mixed = mixture(server.url, batch_size=8)
    batches = iter(pvit_data.loader(mixed, num_steps=2, clip=CLIP))
    next(batches)
    for _ in range(100):
        if asked(server) == 16:
            break
        time.sleep(0.05)
    server.fault = lambda _: "500"  # everything is here
    next(batches)


@pytest.mark.parametrize("most", [1, 150_000])
def test_what_is_held_is_bounded(server: Traffic, folder: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """A sample here has about 80 kB; those that are larger than the bound come one for each thread that reads."""
    held, peak = Counter[int](), 0
    request = ShardDataset.request

    def counted(ds: ShardDataset, index: int, fields: Iterable[str] | None = None) -> object:
        found = request(ds, index, fields)  # type: ignore[arg-type]

        def fetch() -> Fetched:
            nonlocal peak
            held[index] = found.moves
            peak = max(peak, held.total())
            return found.fetch()

        return type(found)(found.moves, fetch)

    def decode(ds: ShardDataset, index: int, *rest: object) -> object:
        sample = original(ds, index, *rest)  # type: ignore[arg-type]
        del held[index]
        return sample

    original = ShardDataset.decode
    truth = list(pvit_data.eval_loader(pvit_data.open(folder, source="mine"), CLIP, 5))
    distant = pvit_data.open(server.url, source="mine")
    distant.column("json_offset")
    monkeypatch.setattr(fetching, "MAX_HELD_BYTES", most)
    monkeypatch.setattr(ShardDataset, "request", counted)
    monkeypatch.setattr(ShardDataset, "decode", decode)
    server.sent.clear()
    all_equal(pvit_data.eval_loader(distant, CLIP, 5), truth)
    largest = max(size for path, size in server.sent if path.endswith(".tar"))
    assert peak <= max(most, largest * Options().threads)
    assert asked(server) == ROWS


def damage(folder: Path, row: int) -> None:
    ds = pvit_data.open(folder, source="mine")
    place = int(ds.column("rgb_offset")[row])
    data = bytearray((folder / SHARD).read_bytes())
    data[place + 50] ^= 255
    (folder / SHARD).write_bytes(data)


def test_damaged_samples_are_asked_for_twice_and_replaced_as_in_a_folder(server: Traffic, folder: Path) -> None:
    damage(folder, 4)
    found = []
    for url in (folder, server.url):
        mixed = mixture(url)
        server.sent.clear()
        options = {"num_steps": 6, "clip": CLIP, "on_corrupt": "skip", "max_corrupt": 1.0}
        loader = pvit_data.loader(mixed, **options)  # type: ignore[arg-type]
        found.append((list(loader), loader.skipped, [text.partition("mine/")[2] for text in loader.problems]))
    all_equal(found[1][0], found[0][0])
    assert found[1][1:] == found[0][1:]
    times = sum(found[0][1].values())
    assert times
    assert asked(server) <= 36 + 2 * times  # once more each, and the sample in its place
    for url in (folder, server.url):
        with pytest.raises(CorruptShardError, match=r"mine/train-00000\.tar: member rgb of sample 'mine-0004'"):
            list(pvit_data.loader(mixture(url), num_steps=6, clip=CLIP))


def test_bytes_damaged_on_the_way_are_asked_for_once_more(server: Traffic, folder: Path) -> None:
    truth = list(pvit_data.loader(mixture(folder), num_steps=3, clip=CLIP))
    mixed = mixture(server.url)
    hits = itertools.count()
    server.sent.clear()
    server.fault = lambda path: "flip" if path.endswith(".tar") and next(hits) == 5 else ""
    all_equal(pvit_data.loader(mixed, num_steps=3, clip=CLIP), truth)
    assert server.times == 1
    assert asked(server) == 19


def _with_cause(args: tuple[str], cause: BaseException | None) -> StorageError:
    error = StorageError(*args)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("kind", "text"),
    [("403", "403: is it private?"), ("500", "the server answers 500"), ("cut", "the connection failed")],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_server_that_fails_is_named_where_its_sample_is_read(
    server: Traffic, kind: str, text: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a library has taught pickle to take along what led to an error."""
    monkeypatch.setitem(copyreg.dispatch_table, StorageError, lambda e: (_with_cause, (e.args, e.__cause__)))
    mixed = mixture(server.url)
    server.sent.clear()
    options = {"num_steps": 9, "clip": CLIP, "on_corrupt": "skip", "concurrency": 4, "prefetch": 1}
    batches = iter(pvit_data.loader(mixed, workers, **options))  # type: ignore[arg-type]
    next(batches)
    server.fault = lambda path: kind if path.endswith(".tar") else ""
    with pytest.raises(StorageError, match=f"train-00000.tar: .*{text}"):
        list(batches)
    assert no_thread_is_left()


def test_a_loader_that_is_left_ends_its_threads_and_begins_again(server: Traffic, folder: Path) -> None:
    truth = list(pvit_data.loader(mixture(folder), num_steps=3, clip=CLIP))
    loader = pvit_data.loader(mixture(server.url), num_steps=3, clip=CLIP)
    for batch in loader:
        assert_equal_batches(batch, truth[0])
        break
    assert no_thread_is_left()
    all_equal(loader, truth)
    first, second = iter(loader), iter(loader)  # side by side, over one builder
    for expected in truth:
        assert_equal_batches(next(first), expected)
        assert_equal_batches(next(second), expected)


def test_local_samples_need_no_thread(folder: Path) -> None:
    for _ in pvit_data.loader(mixture(folder), num_steps=2, clip=CLIP):
        assert not any(thread.name == "pvit-fetch" for thread in threading.enumerate())


@pytest.mark.parametrize("workers", [0, 3])
def test_a_program_ends_whatever_its_threads_wait_for(server: Traffic, workers: int) -> None:
    code = f"""
import time, pvit_data
ds = pvit_data.open({server.url!r}, source="mine")
mixture = pvit_data.Mixture([pvit_data.MixtureSource(ds)], 4)
clip = pvit_data.ClipConfig(num_frames=2, size=(16, 16))
batches = iter(pvit_data.loader(mixture, {workers}, clip=clip, concurrency=4))
print(next(batches).step, flush=True)
input()
for _ in range({max(1, workers)}):
    next(batches)  # is here already
time.sleep(0.5)
{"batches.close()" if workers else ""}
"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    before = -1
    while len(server.sent) != before:  # until it has all that it wants for now
        before = len(server.sent)
        time.sleep(1)
    stalled = threading.Event()

    def stall(path: str) -> str:
        stalled.set()
        time.sleep(60)
        return ""

    server.fault = stall
    begun = time.monotonic()
    process.communicate("\n", timeout=50)
    assert stalled.is_set()
    assert time.monotonic() - begun < 20
    assert process.returncode == 0


def test_a_cache_fetches_each_block_once_and_asks_for_no_version(server: Traffic, folder: Path, tmp_path: Path) -> None:
    truth = list(pvit_data.loader(mixture(folder), num_steps=4, clip=CLIP))
    server.heads = 0
    for _ in range(2):
        mixed = mixture(server.url, cache=tmp_path / "cache")
        heads = server.heads
        all_equal(pvit_data.loader(mixed, num_steps=4, clip=CLIP), truth)
        assert server.heads == heads
    sizes = {f"/{p.relative_to(folder)}": p.stat().st_size for p in folder.rglob("*.tar")}
    blocks = Counter(path for path, _ in server.sent if path in sizes)
    assert {path: server.of(path) for path in blocks} == {path: sizes[path] for path in blocks}


def test_tars_of_other_tools_come_in_one_request_each(tmp_path: Path, original: Path) -> None:
    shutil.copytree(original / "mine", tmp_path / "foreign/mine", ignore=shutil.ignore_patterns("*.json", "index"))
    index_foreign(tmp_path / "foreign")
    with serve(tmp_path / "foreign") as server:
        local, distant = (pvit_data.open(url) for url in (tmp_path / "foreign", server.url))
        truth = list(pvit_data.eval_loader(local, CLIP, 4, tasks=("depth", "boxes")))
        distant.column("key")
        server.sent.clear()
        all_equal(pvit_data.eval_loader(distant, CLIP, 4, tasks=("depth", "boxes")), truth)
        assert asked(server) == ROWS


def test_object_stores_of_fsspec(folder: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/fetching", recursive=True)
    truth = list(pvit_data.loader(mixture(folder), num_steps=2, clip=CLIP))
    all_equal(pvit_data.loader(mixture("memory://fetching"), num_steps=2, clip=CLIP), truth)
    memory.rm("/fetching", recursive=True)


def test_many_short_waits_are_one(server: Traffic) -> None:
    """A batch of 24 samples from a store that takes 100 ms for each answer: 2.4 s one after another."""
    mixed = mixture(server.url, batch_size=24)
    server.wait = 0.1
    begun = time.perf_counter()
    list(pvit_data.loader(mixed, num_steps=1, clip=CLIP))
    assert time.perf_counter() - begun < 1.5


def test_samples_that_no_longer_are_what_they_were(server: Traffic, folder: Path) -> None:
    """Damage that is found while the batch before is built is told when its own turn has come."""
    mixed = mixture(server.url)
    batches = iter(pvit_data.loader(mixed, num_steps=20, clip=CLIP, concurrency=1))
    first = next(batches)
    assert isinstance(first.video, torch.Tensor)
    (folder / SHARD).write_bytes(bytes(os.path.getsize(folder / SHARD)))
    with pytest.raises(FormatError, match="is damaged"):
        list(batches)
