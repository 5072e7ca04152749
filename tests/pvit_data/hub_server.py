"""A stand-in for the Hugging Face Hub and its file store on loopback: commits, signed addresses that expire, redirects.

Written from the observed behaviour of the client, not from its code: `resolve` answers 302 with a signed address in the
store for large files and the contents for small ones; the store knows no tokens and answers byte ranges.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Lock, Thread
from time import sleep
from typing import Any
from urllib.parse import unquote

from tests.pvit_data.range_server import Server

REPO, TOKEN = "me/mine", "hf_secret"


@dataclass
class Hub:
    """What the Hub holds, and what was asked of it."""

    url: str = ""
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # newest last
    large: int = 1000  # bytes from which on a file lies in the store
    signature: int = 0  # that the store accepts
    asked: list[str] = field(default_factory=list)  # method and path
    moved: int = 0  # bytes of ranges and files
    pushed: int = 0
    failures: list[str] = field(default_factory=list)  # of the next requests: a status code, or "cut"
    wait: float = 0.0  # seconds before each answer
    now: int = 0  # requests that wait for one
    most: int = 0  # that did so at once
    lock: Any = field(default_factory=Lock)
    leaks: list[str] = field(default_factory=list)  # requests to the store with a token, and to the Hub without

    def push(self, files: dict[str, bytes]) -> str:
        """A new commit on main."""
        self.pushed += 1
        commit = hashlib.sha1(str(self.pushed).encode()).hexdigest()
        self.commits[commit] = files
        return commit

    def count(self, part: str) -> int:
        return sum(part in text for text in self.asked)


@contextmanager
def serve_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_HEAD(self) -> None:
            self.act()

        def do_POST(self) -> None:
            self.act()

        def do_GET(self) -> None:
            self.act()

        def act(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = unquote(self.path.partition("?")[0])
            hub.asked.append(f"{self.command} {path}")
            with hub.lock:
                hub.now += 1
                hub.most = max(hub.most, hub.now)
            sleep(hub.wait)
            with hub.lock:
                hub.now -= 1
            failure = hub.failures.pop(0) if hub.failures else ""
            if failure.isdecimal():
                self.send(int(failure), b"sorry", {"Retry-After": "1"})
                return
            if failure == "cut":
                self.send_response(206)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.close_connection = True
                return
            (self.store if path.startswith("/store/") else self.hub)(path, body)

        def hub(self, path: str, body: bytes) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                hub.leaks.append(f"no token for {path}")
            commit = re.search(r"/(?:revision|tree|resolve|paths-info)/([^/]+)", path)
            name = list(hub.commits)[-1] if not commit or commit[1] == "main" else commit[1]
            if name not in hub.commits:
                self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                return
            files = hub.commits[name]
            if "/resolve/" in path:
                self.resolve(files, path.partition(f"/resolve/{commit[1] if commit else ''}/")[2], name)
            elif "/tree/" in path:
                folder = path.partition(f"/tree/{commit[1] if commit else ''}")[2].strip("/")
                self.send(200, json.dumps(listing(files, folder, "recursive=true" in self.path.lower())).encode())
            elif "/paths-info/" in path:
                wanted = json.loads(body)["paths"]
                self.send(200, json.dumps([entry(files, p) for p in wanted if p in files]).encode())
            else:
                self.send(200, json.dumps({"id": REPO, "sha": name, "private": False, "tags": []}).encode())

        def resolve(self, files: dict[str, bytes], name: str, commit: str) -> None:
            if name not in files:
                self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            data = files[name]
            headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
            if len(data) < hub.large:
                self.send_range(data, headers)
                return
            place = f"/store/{hashlib.sha256(data).hexdigest()}?signature={hub.signature}"
            large = {"X-Linked-Size": str(len(data)), "X-Linked-Etag": headers["ETag"]}
            store = hub.url.replace("127.0.0.1", "localhost")  # another host, to which no token may go
            self.send(302, b"", headers | large | {"Location": store + place})

        def store(self, path: str, body: bytes) -> None:
            if self.headers.get("Authorization"):
                hub.leaks.append(f"token for {path}")
            if not self.path.endswith(f"signature={hub.signature}"):
                self.send(403, b"expired")
                return
            known = {hashlib.sha256(d).hexdigest(): d for files in hub.commits.values() for d in files.values()}
            self.send_range(known[path.removeprefix("/store/")], {})

        def send_range(self, data: bytes, headers: dict[str, str]) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "").strip())
            if asked and int(asked[1]) >= len(data):
                self.send(416, b"", headers)
            elif asked:
                self.send(206, data[int(asked[1]) : int(asked[2]) + 1], headers)
            else:
                self.send(200, data, headers)

        def send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                hub.moved += len(data)
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def entry(files: dict[str, bytes], name: str) -> dict[str, object]:
    data = files[name]
    lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest(), "lfs": lfs}


def listing(files: dict[str, bytes], folder: str, deep: bool) -> list[dict[str, object]]:
    inside = [name for name in files if name.startswith(f"{folder}/" if folder else "")]
    start = len(folder) + 1 if folder else 0
    ends = {name[:end] for name in inside for end in range(start, len(name)) if name[end] == "/"}
    folders = sorted(name for name in ends if deep or "/" not in name[start:])
    return [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in folders] + [
        entry(files, name) for name in sorted(inside) if deep or "/" not in name[start:]
    ]
