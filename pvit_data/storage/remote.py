"""Files behind a URL: byte ranges that move exactly what was asked, patience with a server that falters, plain errors.

fsspec speaks to the stores. Every failure of a store, whatever its class, becomes a `StorageError` without addresses in
it (those of object stores carry signatures). A repository on the Hugging Face Hub is read at one commit (`hub`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from pvit_data.errors import PvitError, StorageError, UsageError
from pvit_data.storage.hub import HubCommit
from pvit_data.storage.turns import Turns
from pvit_data.storage.web import TIMEOUT, Refused, http_options
from pvit_data.words import plain_url

WAITS = (0.5, 2.0, 8.0)  # seconds before the second, third and fourth try
MAX_WAIT = 60.0  # seconds, where the server says how long
CONNECTIONS = 100  # at once to one store: what the clients allow by themselves, but for that of S3
PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP status codes that another try may not meet again."""

_VERSION_KEYS = (
    "ETag", "etag", "LastModified", "last_modified", "Last-Modified", "Content-MD5", "Digest", "mtime", "updated",
    "sha256", "blob_id", "lfs",
)  # fmt: skip


_kept: dict[int, Any] = {}
"""File systems that were opened here, so that none ends in a process forked from this one: its connections belong to
both, and closing them there would make them deaf here."""


class _Opened(NamedTuple):
    """fsspec's file system, the folder in it, the commit on the Hub, and the process whose connections it uses."""

    fs: Any
    prefix: str
    hub: HubCommit | None
    process: int


class Remote:
    """A folder behind a URL. Threads may share it, and so may processes that fork: each makes its own connections.

    Attributes:
        url: of the folder, without user, password and query: the only form that may be shown or stored.

    Args:
        address: URL of the folder.
        commit: of a repository on the Hub; "" is the newest one of the URL's revision, looked up once.
    """

    def __init__(self, address: str, commit: str = "") -> None:
        self._address = address.rstrip("/")
        self.url = plain_url(self._address)
        self.commit = commit
        self._opened: _Opened | None = None
        self._turns = Turns()
        self._identities: dict[str, str] = {}

    def info(self, name: str) -> dict[str, Any] | None:
        """What the store knows about a file; None if there is none.

        Raises:
            StorageError: if the store does not answer.
        """
        try:
            found: dict[str, Any] = self.call(name, lambda fs, path: fs.info(path))
        except Missing:
            return None
        return found if found.get("type") == "file" else None

    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            StorageError: if it cannot be read.
        """
        return int(self.call(name, lambda fs, path: fs.info(path)["size"]))

    def read(self, name: str, limit: int) -> bytes:
        """A whole file, or of a larger one no more than a byte above the limit.

        Raises:
            StorageError: if it cannot be read.
        """
        return self.read_range(name, 0, limit + 1)

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Bytes `start` to `start + size`; fewer where the file ends before.

        Raises:
            StorageError: if they cannot be read, or the server sends more than that.
        """
        if size <= 0:
            return b""
        data: bytes = self._try(name, lambda: self._range(name, start, size))
        if len(data) > size:
            raise StorageError(
                f"{self.url}/{name}: the server ignores byte ranges ({len(data)} bytes for {size}): "
                "copy the dataset to a local folder"
            )
        return data

    def _range(self, name: str, start: int, size: int) -> bytes:
        place = self._open()
        if place.hub is not None:
            return place.hub.read_range(name, start, size)
        return bytes(place.fs.cat_file(f"{place.prefix}/{name}", start=start, end=start + size))

    def identity(self, name: str, *, again: bool = False) -> str:
        """Name and version of a file; asked once, or again.

        Raises:
            StorageError: if it is not there.
        """
        if again or name not in self._identities:

            def ask(fs: Any, path: str) -> dict[str, Any]:
                if again and self._hub is None:  # a commit does not change
                    fs.invalidate_cache(path)
                return dict(fs.info(path))

            info = self.call(name, ask)
            version = [str(info.get(key, "")) for key in ("size", *_VERSION_KEYS)]
            self._identities[name] = "\n".join([f"{self.url}/{name}", *version])
        return self._identities[name]

    def list(self, pattern: str) -> list[str]:
        """Names that match a glob."""
        prefix = self.call("", lambda _, path: path)
        try:
            found = self.call(pattern, lambda fs, path: fs.glob(path))
        except Missing:  # some stores say so of a folder that a pattern names
            if "*" in pattern.partition("/")[0]:
                raise
            return []
        return [path[len(prefix) :].lstrip("/") for path in found]

    def find(self, depth: int) -> dict[str, int]:
        """All files with their bytes (-1 where the store does not tell), as the store lists them now.

        Args:
            depth: names within each other at most, where folders are listed one by one.
        """
        options = {"maxdepth": depth} if self.url.startswith("http") else {}

        def ask(fs: Any, path: str) -> dict[str, int]:
            if self._hub is None:  # a commit does not change
                fs.invalidate_cache()
            found = fs.find(path, detail=True, **options)
            return {
                name[len(path) :].lstrip("/"): -1 if info.get("size") is None else int(info["size"])
                for name, info in found.items()
                if info.get("type") == "file"
            }

        listed: dict[str, int] = self.call("", ask)
        return {name: size for name, size in listed.items() if name.count("/") < depth}

    def call(self, name: str, action: Callable[[Any, str], Any]) -> Any:
        """Does something with the file system and the path of a file.

        Raises:
            StorageError: if that fails, where it may pass after some tries.
            UsageError: if the package that knows this kind of store is not installed.
        """

        def act() -> Any:
            place = self._open()
            return action(place.fs, f"{place.prefix}/{name}" if name else place.prefix)

        return self._try(name, act)

    def _try(self, name: str, action: Callable[[], Any]) -> Any:
        for wait in (*WAITS, None):
            try:
                return action()
            except PvitError:
                raise
            except Exception as error:  # each kind of store has error classes of its own
                cause = _unwrapped(error)
                if wait is None or not may_pass(cause):
                    at = f" (commit {self.commit[:10]})" if self.commit else ""
                    kind = Missing if isinstance(cause, FileNotFoundError) else StorageError
                    said = f"{f'{self.url}/{name}'.rstrip('/')}: {_text(cause)}{at}"
                    raise kind(said) from (cause if _is_plain(cause) else None)
                time.sleep(max(wait, asked_to_wait(cause)))
        raise AssertionError  # the last turn returns or raises

    @property
    def _hub(self) -> HubCommit | None:
        return self._open().hub

    def _open(self) -> _Opened:
        opened = self._opened
        if opened is None or opened.process != os.getpid():
            with self._turns.at(""):
                opened = self._opened
                if opened is None or opened.process != os.getpid():
                    opened = self._opened = self._find()
        return opened

    def _find(self) -> _Opened:
        if self._opened is not None and self._opened.hub is not None:  # whose client minds forks
            return self._opened._replace(process=os.getpid())
        from fsspec.core import url_to_fs

        try:
            fs, prefix = url_to_fs(self._address, **_options(self._address))
        except ImportError as error:  # of the package that knows this kind of store
            raise UsageError(f"cannot open {self.url!r}: {error}") from error
        _kept[id(fs)] = fs
        hub = HubCommit.find(fs, prefix, self.commit) if self.url.startswith("hf://") else None
        if hub is not None:
            self.commit, prefix = hub.commit, hub.path
        return _Opened(fs, prefix.rstrip("/"), hub, os.getpid())


def _options(address: str) -> dict[str, Any]:
    """Arguments of fsspec's file system, beside those of the user's own settings."""
    if address.startswith("http"):
        return http_options(address)
    if address.startswith("s3://"):  # its client has ten connections
        from fsspec.config import conf

        own = conf.get("s3", {}).get("config_kwargs", {})
        return {"config_kwargs": {"max_pool_connections": CONNECTIONS, **own}}
    return {}


class Missing(StorageError):
    """There is no such file."""


def _is_plain(error: BaseException) -> bool:
    """Whether what an error and those behind it say may be shown: no secrets of a URL."""
    behind = error.__cause__ or error.__context__
    return plain_url(str(error)) == str(error) and (behind is None or _is_plain(behind))


def _unwrapped(error: Exception) -> Exception:
    """The reason for a "not found" that means something else: fsspec says so of every answer it dislikes."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(cause, Exception):
        status = status_of(cause)
        refused = isinstance(_refusal(cause), Refused)
        if refused or (status is None and may_pass(cause)) or status not in (None, 404, 410):
            return _refusal(cause)
    return _refusal(error)


def _refusal(error: Exception) -> Exception:
    """What our own check of an address said, which the client wraps; else the error itself."""
    inner = getattr(error, "os_error", None)
    return inner if isinstance(inner, Refused) else error


def status_of(error: Exception) -> int | None:
    """HTTP status code of the answer behind an error, if there was one."""
    status = getattr(error, "status", None) or getattr(
        getattr(error, "response", None), "status_code", None
    )
    return status if isinstance(status, int) else None


def may_pass(error: Exception) -> bool:
    """Whether another try may succeed."""
    status = status_of(error)
    if status is not None:
        return status in PASSING
    return isinstance(error, ConnectionError | TimeoutError) or is_of_network(error)


def is_of_network(error: Exception) -> bool:
    """Whether an error without answer comes from the network: a lost connection, a cut body."""
    return type(error).__module__.partition(".")[0] in (
        "aiohttp",
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
    )


def asked_to_wait(error: Exception) -> float:
    """Seconds that the answer behind an error asks to wait, at most `MAX_WAIT`; 0 where it says nothing."""
    headers = (
        getattr(error, "headers", None)
        or getattr(getattr(error, "response", None), "headers", None)
        or {}
    )
    value = str(headers.get("Retry-After", ""))
    return min(float(value), MAX_WAIT) if value.isdecimal() else 0.0


_NOT_THERE = {
    "RevisionNotFoundError": "there is no such revision: give a branch, tag or commit of it",
    "RepositoryNotFoundError": "there is no such repository, or the token may not see it",
}
"""What the Hub's client says of more than a file."""


def _text(error: Exception) -> str:
    """The cause on one line, without addresses."""
    status = status_of(error)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        behind = {type(each).__name__ for each in (error, error.__cause__, error.__context__)}
        return next((text for name, text in _NOT_THERE.items() if name in behind), "no such file")
    if status is not None:
        hint = {401: ": is a token needed, or outdated?", 403: ": is it private?"}.get(status, "")
        return f"the server answers {status}{hint}"
    if isinstance(error, TimeoutError):
        return f"no answer in {TIMEOUT:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = re.sub(r"\S+://\S+", "...", " ".join(str(error).split()))[:200]
    kind = "the connection failed" if is_of_network(error) else type(error).__name__
    return f"{kind}: {text}" if text else kind
