"""What the Hub holds, what shall go wrong, and what was asked of it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

REPO, TOKEN, XET_TOKEN = "me/mine", "hf_secret", "xet_f0r_chunks"
LFS = (".tar", ".parquet", ".safetensors", ".png", ".mp4")
"""What a fresh repository's .gitattributes gives to the store whatever its size."""


@dataclass
class Repository:
    """A data set or model.

    Args:
        kind: `"dataset"` or `"model"`.
        id: owner/name.
        commits: all files of each, by their names; newest last, whatever branch it is of.
        titles: what each commit says of itself.
        heads: of branches and pull requests, by their names (`main`, `refs/pr/1`).
        tags: commits by their names.
    """

    kind: str
    id: str
    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)  # of pull requests: what main was
    pushed: int = 0

    @property
    def files(self) -> dict[str, bytes]:
        """Those of the newest commit on main."""
        return self.commits[self.heads["main"]]

    def push(self, files: dict[str, bytes], branch: str = "main", title: str = "") -> str:
        """A new commit."""
        self.pushed += 1
        commit = hashlib.sha1(f"{self.id} {self.pushed}".encode()).hexdigest()
        self.commits[commit], self.titles[commit], self.heads[branch] = files, title, commit
        return commit

    def find(self, revision: str) -> str | None:
        """The commit that a branch, tag or hash means."""
        commit = self.heads.get(revision) or self.tags.get(revision) or revision
        return commit if commit in self.commits else None


@dataclass
class Fault:
    """Something that goes wrong.

    Args:
        match: part of "METHOD /path" of the requests that it hits.
        kind: a status code; `"cut"`: the connection ends after `after` bytes of what is sent either way;
            `"lost"`: all is done, the answer does not come; `"flip"`: a bit of what is stored, or sent, is another one;
            `"stall"`: nothing comes for `seconds`; `"expire"`: from then on the tokens are too old.
        times: so often.
        skip: so many requests first.
        wait: in the header Retry-After.
    """

    match: str
    kind: str
    times: int = 1
    skip: int = 0
    after: int = 0
    seconds: float = 0.0
    wait: int = 0


@dataclass
class Hub:
    """The whole of it; what tests of reading ask for is the data set `REPO`."""

    url: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # the store, by sha256
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)  # of multipart uploads
    has_xet: bool = False  # for uploads
    xorbs: dict[str, list[bytes]] = field(default_factory=dict)  # chunks of each block
    fresh: set[str] = field(default_factory=set)  # blocks that came since a file was last made of them
    tokens: set[str] = field(default_factory=lambda: {TOKEN})  # that are no older than they may be
    may_write: bool = True
    large: int = 10_000_000  # bytes from which on a file lies in the store, whatever it is called
    part_bytes: int = 0  # of multipart uploads, where a file has more; 0: none is
    page: int = 1000  # rows of a listing
    signature: int = 0  # that the store accepts
    faults: list[Fault] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # of the next requests: a status code, or "cut"
    wait: float = 0.0  # seconds before each answer

    asked: list[str] = field(default_factory=list)  # method and path
    moved: int = 0  # bytes of ranges and files
    sent: int = 0  # those of them that came from the store
    received: int = 0  # bytes that came into it
    stored: list[str] = field(default_factory=list)  # sha256 of each file that arrived whole, each time
    on_received: Callable[[int], None] = lambda total: None
    now: int = 0  # requests that wait for one
    most: int = 0  # that did so at once
    leaks: list[str] = field(default_factory=list)  # requests to the store with a token, and to the Hub without
    said: list[str] = field(default_factory=list)  # all that came but for files' contents: to look for secrets
    lock: Any = field(default_factory=Lock)

    @property
    def repository(self) -> Repository:
        """The data set that tests of reading ask for."""
        return self.repositories.setdefault(("dataset", REPO), Repository("dataset", REPO))

    @property
    def commits(self) -> dict[str, dict[str, bytes]]:
        """Its commits."""
        return self.repository.commits

    def push(self, files: dict[str, bytes]) -> str:
        """A new commit of it."""
        self.objects |= {sha256(data): data for name, data in files.items() if self.is_large(name, len(data))}
        return self.repository.push(files)

    def is_large(self, name: str, size: int) -> bool:
        """Whether a file lies in the store."""
        return size > 0 and (name.endswith(LFS) or size >= self.large)

    def count(self, part: str) -> int:
        """How many requests had this in their method and path."""
        return sum(part in text for text in self.asked)

    def forget(self) -> None:
        """Begins to count anew."""
        self.asked.clear()
        self.stored.clear()
        self.moved = self.sent = self.received = 0

    def fault_of(self, request: str) -> Fault | None:
        """What goes wrong with a request."""
        with self.lock:
            if self.failures:
                return Fault("", self.failures.pop(0), wait=1)
            for fault in self.faults:
                if fault.match in request and fault.times > 0:
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_id(data: bytes) -> str:
    """What git calls a file of these contents."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
