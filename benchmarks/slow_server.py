"""A web server on loopback, in a process of its own, that lets every answer wait and counts what it was asked."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as a store does."""

    request_queue_size = 256
    daemon_threads = True


def _run(folder: Path, wait: float, port: Any, asked: Any) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            with asked.get_lock():
                asked.value += 1
            time.sleep(wait)
            path = folder / self.path.lstrip("/")
            size = path.stat().st_size if path.is_file() else 0
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            first, last = (int(found[1]), int(found[2])) if found else (0, size - 1)
            last = min(last, size - 1)
            self.send_response(404 if not size else 206 if found else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.send_header("Content-Length", str(last + 1 - first if size else 0))
            self.end_headers()
            if size and self.command == "GET":
                with path.open("rb") as file:
                    file.seek(first)
                    self.wfile.write(file.read(last + 1 - first))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    port.value = server.server_port
    server.serve_forever(0.02)


@contextmanager
def slow_server(folder: Path, wait: float = 0.05) -> Iterator[tuple[str, Any]]:
    """Serves a folder.

    Args:
        folder: of the files.
        wait: seconds before each answer.

    Yields:
        Its address, and the number of requests so far (`.value`).
    """
    context = multiprocessing.get_context("spawn")
    port, asked = context.Value("i", 0), context.Value("i", 0)
    process = context.Process(target=_run, args=(folder, wait, port, asked), daemon=True)
    process.start()
    try:
        while not port.value:
            assert process.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port.value}", asked
    finally:
        process.terminate()
        process.join()
