"""Web servers that mean no good: bombs, drips, redirects inward, and what becomes of secrets in a URL."""

import gzip
import resource
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import pvit_data
from pvit_data.errors import PvitError, StorageError
from pvit_data.reading.layers.places import find_sources
from pvit_data.storage import remote, web
from pvit_data.storage.hub import HubCommit
from pvit_data.storage.storage import Storage
from pvit_data.storage.web import Pace, Refused
from pvit_data.validate import validate
from pvit_data.writing.finish import write_manifest
from tests.pvit_data.range_server import serve
from tests.pvit_data.samples import bare_sample

SECRETS = ("s3cret", "Signature=abc")
UNKNOWN = "ftp://me:s3cret@host/d?Signature=abc"


@contextmanager
def answering(talk: Callable[[socket.socket, bytes], None], host: str = "127.0.0.1") -> Iterator[str]:
    """A server that hands each connection with its request to a function; gives its address."""
    with socket.create_server((host, 0)) as server:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while request := connection.recv(65536):
                    talk(connection, request)

        Thread(target=listen, daemon=True).start()
        yield f"http://{host}:{server.getsockname()[1]}"


def head(status: str, **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAITS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(remote, "MAX_WAIT", 0.01)


def test_no_compressed_answer_is_unpacked() -> None:
    """5 GB in 5 MB for ten bytes."""
    bomb = gzip.compress(bytes(50 << 20))

    def talk(connection: socket.socket, request: bytes) -> None:
        assert b"accept-encoding: identity" in request.lower()
        connection.sendall(head("206 Partial Content", Content_Encoding="gzip", Content_Length=100 * len(bomb)))
        for _ in range(100):
            connection.sendall(bomb)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with answering(talk) as url, pytest.raises(StorageError, match="answers in the encoding 'gzip'"):
        Storage(url).read_range("a.tar", 0, 10)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_no_more_than_was_asked_is_read(whole: bool, length: bool) -> None:
    sent = []

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(head("200 OK", **({"Content_Length": 1 << 40} if length else {"Connection": "close"})))
        while True:
            connection.sendall(bytes(1 << 16))
            sent.append(1 << 16)

    with (
        answering(talk) as url,
        pytest.raises(StorageError, match=r"a\.tar: the server sends more than the 1\d* bytes"),
    ):
        Storage(url).read("a.tar", 9) if whole else Storage(url).read_range("a.tar", 0, 10)
    assert sum(sent) < 50 << 20  # what lies in the buffers of the connection


def test_a_listing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_ANSWER_BYTES", 1 << 20)

    def talk(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"HEAD"):
            connection.sendall(head("404 Not Found", Content_Length=0))
            return
        connection.sendall(head("200 OK", Content_Type="text/html", Connection="close"))
        while True:
            connection.sendall(b'<a href="a.tar">a</a>' * 1000)

    with answering(talk) as url, pytest.raises(StorageError, match="sends more than the 1048576 bytes"):
        Storage(url).list("*.tar")


def test_a_server_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PACE_TIME", 0.5)

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(head("206 Partial Content", Content_Length=100_000))
        while True:
            connection.sendall(b"x")
            time.sleep(0.01)

    start = time.monotonic()
    with answering(talk) as url, pytest.raises(StorageError, match="sends fewer than 1000 bytes a second"):
        Storage(url).read_range("a.tar", 0, 100_000)
    assert time.monotonic() - start < 5


def test_an_answer_that_never_begins_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEAD_TIMEOUT", 0.2)

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    start = time.monotonic()
    with answering(talk) as url, pytest.raises(StorageError, match="no answer in"):
        Storage(url).read_range("a.tar", 0, 10)
    assert time.monotonic() - start < 10


def test_the_pace_is_an_average() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    for size in (0, 59_999, 1, 0, 0, 60_000):  # one burst in a minute is enough
        now += 20
        pace.count(size)
    now += 59
    pace.count(0)
    now += 2
    with pytest.raises(Refused, match="fewer than 1000 bytes a second"):
        pace.count(60_000)


def sending(place: str) -> Callable[[socket.socket, bytes], None]:
    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(head("302 Found", Location=f"{place}/big.bin", Content_Length=0))

    return talk


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2 stands for the world outside, where `outside.example` is."""
    local = web._is_local
    monkeypatch.setattr(web, "_is_local", lambda address: address != "127.0.0.2" and local(address))
    monkeypatch.setattr("socket.getaddrinfo", outside(socket.getaddrinfo))


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_redirects_lead_nobody_into_his_own_network(tmp_path: Path, name: str) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(100))
    with serve(tmp_path) as inner, answering(sending(inner.url.replace("127.0.0.1", name)), "127.0.0.2") as outer:
        start = time.monotonic()
        url = outer.replace("127.0.0.2", "outside.example")
        with pytest.raises(StorageError, match=r"big\.bin: .*an address of your own network"):
            Storage(url).read_range("big.bin", 0, 10)
        with pytest.raises(StorageError, match="an address of your own network"):
            Storage(url).exists("big.bin")
        with pytest.raises(Refused, match="an address of your own network"):
            commit(outer)._fetch(f"{outer}/a", {"Range": "bytes=0-9"}, 10, frozenset())
        assert time.monotonic() - start < 5
        assert inner.sent == []
    with serve(tmp_path) as inner, answering(sending(inner.url.replace("127.0.0.1", name))) as first:
        assert Storage(first).read_range("big.bin", 0, 10) == bytes(10)  # the first address is inside itself
        assert commit(first)._fetch(f"{first}/a", {"Range": "bytes=0-9"}, 10, frozenset()) == bytes(10)


@pytest.mark.usefixtures("world")
def test_a_name_with_an_address_inside_is_outside_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner chooses what it leads to: one of two addresses must not open the way to the others."""
    ask = socket.getaddrinfo

    def two(host: str, *rest: Any, **options: Any) -> Any:
        if host != "both.example":
            return ask(host, *rest, **options)
        return [*ask("127.0.0.1", *rest, **options), *ask("127.0.0.2", *rest, **options)]

    monkeypatch.setattr("socket.getaddrinfo", two)
    assert web.is_inside("both.example")
    assert not web.is_inside("both.example", wholly=True)
    assert web.is_inside("localhost", wholly=True)
    (tmp_path / "big.bin").write_bytes(bytes(100))
    with serve(tmp_path) as inner, answering(sending(inner.url), "127.0.0.2") as outer:
        with pytest.raises(StorageError, match="an address of your own network"):
            Storage(outer.replace("127.0.0.2", "both.example")).read_range("big.bin", 0, 10)
        assert inner.sent == []


def commit(endpoint: str) -> HubCommit:
    return HubCommit("dataset", "me/mine", "0" * 40, "", endpoint, "s3cret")


def test_the_hubs_answers_are_bounded_and_unpacked_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        "gzip": (head("206 Partial Content", Content_Encoding="gzip", Content_Length=1 << 40), "encoding 'gzip'"),
        "long": (head("200 OK", Content_Length=1 << 40), "more than the 10 bytes"),
    }
    for start, said in kinds.values():

        def talk(connection: socket.socket, request: bytes, start: bytes = start) -> None:
            connection.sendall(start)
            while True:
                connection.sendall(bytes(1 << 16))

        with answering(talk) as url, pytest.raises(Refused, match=said):
            commit(url)._fetch(f"{url}/a", {"Range": "bytes=0-9"}, 10, frozenset())
    assert "s3cret" not in repr(commit("https://huggingface.co"))


@pytest.mark.parametrize("fault", ["500", "403", "404", "cut", ""])
def test_secrets_of_a_url_are_shown_and_stored_nowhere(
    tmp_path: Path, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """In no message, no traceback, no report, no name in the cache."""
    with pvit_data.ShardWriter(tmp_path / "d", "mine") as writer:
        writer.write(bare_sample(0))
    with serve(tmp_path / "d") as server:
        url = server.url.replace("http://", "http://me:s3cret@")
        said = [repr(Storage(url))]
        said += [text for action in actions(url, tmp_path) for text in told(action)]
        assert not fault or len(said) > 3
        server.fault = lambda path: fault
        said += [text for action in actions(url, tmp_path) for text in told(action)]
    said += [str(path) for path in (tmp_path / "cache").rglob("*")]
    said += [*capfd.readouterr(), *told(lambda: Storage(UNKNOWN))]
    assert [text for text in said for secret in SECRETS if secret in text] == []
    assert any("127.0.0.1" in text for text in said)


def actions(url: str, folder: Path) -> list[Callable[[], object]]:
    return [
        lambda: list(pvit_data.open(url, cache=folder / "cache")),
        lambda: repr(pvit_data.open(url)),
        lambda: pvit_data.open(url, source="other"),
        lambda: pvit_data.open(f"{url}/nowhere"),
        lambda: Storage(url).read("nothing"),
        lambda: Storage(f"{url}?{SECRETS[1]}").read("nothing"),
        lambda: Storage(url).write("a", b""),
        lambda: write_manifest(f"{url}/nowhere"),
        lambda: find_sources([url, f"{url}/"]),  # one and the same
        lambda: find_sources([url, url.replace("127.0.0.1", "localhost")]),
        lambda: validate(url).to_json(),
    ]


def told(action: Callable[[], object]) -> list[str]:
    try:
        return [str(action())]
    except PvitError as error:
        return [str(error), "".join(traceback.format_exception(error))]


def test_the_cache_knows_no_user(tmp_path: Path) -> None:
    """Two passwords, or two signatures, are the same file."""
    (tmp_path / "big.bin").write_bytes(bytes(100))
    with serve(tmp_path) as server:
        for user in ("me:s3cret@", "me:other@", ""):
            url = server.url.replace("http://", f"http://{user}")
            assert Storage(url, tmp_path / "cache").read_range("big.bin", 0, 10) == bytes(10)
        assert server.bytes == 100


def outside(real: Callable[..., list[tuple[object, ...]]]) -> Callable[..., list[tuple[object, ...]]]:
    """Name service that knows `outside.example` as 127.0.0.2."""

    def find(host: object, *arguments: object, **options: object) -> list[tuple[object, ...]]:
        return real("127.0.0.2" if host in ("outside.example", b"outside.example") else host, *arguments, **options)

    return find
