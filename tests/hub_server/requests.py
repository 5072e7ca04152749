"""One request: its body comes in pieces, a fault may hit it, the API or the store answers."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from threading import Thread
from time import sleep
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.hub_server import repositories, store, xet
from tests.hub_server.state import Fault, Hub
from tests.pvit_data.range_server import Server

PIECE = 4096


class Gone(Exception):
    """The connection is cut."""


class Request(BaseHTTPRequestHandler):
    """A request, with what its answerers need.

    Attributes:
        hub: asked.
        parts: of the path, unquoted each.
        query: first values.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: Hub
    parts: list[str]
    query: dict[str, str]
    fault: Fault | None

    def do_HEAD(self) -> None:
        self.act()

    def do_GET(self) -> None:
        self.act()

    def do_POST(self) -> None:
        self.act()

    def do_PUT(self) -> None:
        self.act()

    def act(self) -> None:
        path, _, query = self.path.partition("?")
        self.parts = [unquote(part) for part in path.strip("/").split("/")]
        self.query = {name: values[0] for name, values in parse_qs(query).items()}
        request = f"{self.command} {unquote(path)}"
        hub = self.hub
        hub.asked.append(request)
        hub.said.append(f"{request} {query}")
        self.fault = hub.fault_of(request)
        with hub.lock:
            hub.now += 1
            hub.most = max(hub.most, hub.now)
        sleep(hub.wait)
        with hub.lock:
            hub.now -= 1
        try:
            self.answer()
        except (Gone, ConnectionError):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def answer(self) -> None:
        body = self.body()
        fault = self.fault
        if fault is not None and fault.kind == "stall":
            sleep(fault.seconds)
        if fault is not None and fault.kind == "expire":
            self.hub.tokens.clear()
        if fault is not None and fault.kind.isdecimal():
            self.send_json(int(fault.kind), {"error": "sorry"}, {"Retry-After": str(fault.wait)})
        elif self.parts[0] == "store":
            store.answer(self, body)
        elif self.parts[0] in ("v1", "v2"):
            xet.answer(self, body)
        elif self.parts[-1] == "batch":
            store.batch(self, body)
        else:
            repositories.answer(self, body)

    def body(self) -> bytes:
        """What came with the request; files count as they come."""
        counts = self.command == "PUT" or self.parts[:2] == ["v1", "xorbs"]
        taken = bytearray()
        for piece in self.pieces():
            taken += piece
            if counts:
                self.hub.received += len(piece)
                self.hub.on_received(self.hub.received)
            self.cut_at(len(taken))
        found = bytes(taken)
        if not counts:
            self.hub.said.append(found.decode("latin-1"))
        elif self.fault is not None and self.fault.kind == "flip":
            found = flipped(found)
        return found

    def pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:  # whoever sent it is dead
                raise Gone
            left -= len(piece)
            yield piece

    def cut_at(self, size: int) -> None:
        if self.fault is not None and self.fault.kind == "cut" and size > self.fault.after:
            raise Gone

    def token(self) -> str:
        return str(self.headers.get("Authorization", "")).removeprefix("Bearer ")

    def send_json(self, status: int, values: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(values).encode(), {"Content-Type": "application/json", **(headers or {})})

    def send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        if self.fault is not None and self.fault.kind == "lost":
            raise Gone
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault is not None and self.fault.kind == "flip" and self.command == "GET":
            data = flipped(data)
        if self.fault is not None and self.fault.kind == "cut":
            self.wfile.write(data[: self.fault.after])
            raise Gone
        self.hub.moved += len(data)
        self.hub.sent += len(data) if self.parts[0] == "store" else 0
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def flipped(data: bytes) -> bytes:
    """With another bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else data


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A Hub that answers until the block ends."""
    hub = Hub()
    handler = type("Handler", (Request,), {"hub": hub})
    server = Server(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
