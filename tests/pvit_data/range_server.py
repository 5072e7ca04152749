"""A small web server on loopback that answers ranges, counts the bytes it sends, and can be told to fail."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from time import sleep
from typing import Any


@dataclass
class Traffic:
    """What was asked and sent."""

    url: str = ""
    ranges: bool = True
    etag: bool = True
    fault: Callable[[str], str] = lambda path: ""  # of a path asked for: "" or a status code, "cut", "flip"
    sent: list[tuple[str, int]] = field(default_factory=list)  # (path, bytes) of each GET
    times: int = 0  # requests that a fault hit
    asked: list[tuple[str, str]] = field(default_factory=list)  # (method, path) of every request

    wait: float = 0.0  # seconds before each answer
    heads: int = 0  # HEAD requests
    now: int = 0  # requests that wait for an answer
    most: int = 0  # that did so at once
    lock: Any = field(default_factory=Lock)

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.sent)

    def of(self, suffix: str) -> int:
        return sum(size for path, size in self.sent if path.endswith(suffix))


class Server(ThreadingHTTPServer):
    """Says nothing of clients that go away, since the output may be another test's by then."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serve(folder: Path) -> Iterator[Traffic]:
    traffic = Traffic()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_HEAD(self) -> None:
            traffic.heads += 1
            self.answer(False)

        def do_GET(self) -> None:
            self.answer(True)

        def do_POST(self) -> None:
            """Keeps what comes, in pieces."""
            traffic.asked.append(("POST", self.path))
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            path = folder / self.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def answer(self, body: bool) -> None:
            with traffic.lock:
                traffic.asked.append((self.command, self.path))
                traffic.now += 1
                traffic.most = max(traffic.most, traffic.now)
            sleep(traffic.wait)
            with traffic.lock:
                traffic.now -= 1
            fault = traffic.fault(self.path)
            traffic.times += bool(fault)
            if fault.isdecimal():
                self.send_response(int(fault))
                self.send_header("Retry-After", "7")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path = folder / self.path.lstrip("/")
            if path.is_dir():
                names = [p.name + "/" * p.is_dir() for p in sorted(path.iterdir())]
                data = "".join(f'<a href="{name}">x</a>' for name in names).encode()
            elif path.is_file():
                data = path.read_bytes()
            else:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            part = data
            if asked and traffic.ranges:
                first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
                part = data[first : last + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            else:
                self.send_response(200)
            self.send_header("Accept-Ranges", "bytes")
            if traffic.etag:
                self.send_header("ETag", f'"{path.stat().st_mtime_ns:x}-{len(data):x}"')
            else:
                self.send_header("Last-Modified", formatdate(path.stat().st_mtime, usegmt=True))
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if body:
                traffic.sent.append((self.path, len(part)))
                half = len(part) // 2
                self.wfile.write({"cut": part[:half], "flip": part[:half] + bytes(len(part) - half)}.get(fault, part))
                self.close_connection = fault == "cut"

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    traffic.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield traffic
    finally:
        server.shutdown()
        server.server_close()
