"""A server on this machine that breaks off, lies and changes its mind, as the tests tell it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Behaviour:
    """What the server does with the file, whatever its path."""

    content: bytes
    version: str | None = '"1"'
    """ETag; None: the server names no version."""
    modified: str | None = None
    """Last-Modified."""
    breaks_after: list[int] = field(default_factory=list)
    """Bytes sent in each request before the connection is cut; requests beyond the list are answered in full."""
    stated_excess: int = 0
    """What is added to the length in the answer."""
    ranges: bool = True
    """Whether a part of the file can be asked for."""
    statuses: list[int] = field(default_factory=list)
    """Answers given instead of the file, one a request, before any is served."""
    on_request: Callable[["Behaviour"], None] = lambda behavior: None
    """Called before each answer, to change something."""
    headers: dict[str, str] = field(default_factory=dict)
    """Of the answer, in place of the usual ones; an empty one is left out."""
    drips: float = 0.0
    """Seconds after each byte, from the first on, where it is not 0."""
    drips_head: bool = False
    """Whether the head of the answer drips as well, without end."""
    redirects: list[str] = field(default_factory=list)
    """Where requests are sent on to, one a request; "self": to the server."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and range of every request."""


class _Handler(BaseHTTPRequestHandler):
    behavior: Behaviour

    def do_GET(self) -> None:
        behavior, asked = self.behavior, self.headers.get("Range")
        behavior.requests.append((self.path, asked))
        behavior.on_request(behavior)
        if behavior.redirects or behavior.drips_head:
            self._without_file()
            return
        if behavior.statuses:
            self.send_response(behavior.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._file(asked)

    def _without_file(self) -> None:
        behavior = self.behavior
        if behavior.redirects:
            place = behavior.redirects.pop(0)
            self.send_response(302)
            self.send_header("Location", "/again" if place == "self" else place)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(b"HTTP/1.1 200 OK\r\nX: ")
        while not self._send(b"x"):
            time.sleep(behavior.drips)

    def _file(self, asked: str | None) -> None:
        behavior = self.behavior
        size, start = len(behavior.content), 0
        same = self.headers.get("If-Range") in (behavior.version, behavior.modified)
        if asked and behavior.ranges and same:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= size > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        stated = size + behavior.stated_excess
        headers = {
            "Content-Length": str(stated - start),
            "ETag": behavior.version,
            "Last-Modified": behavior.modified,
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{stated - 1}/{stated}"
        for name, value in (headers | behavior.headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        rest = behavior.content[start : stated if behavior.stated_excess < 0 else size]
        if behavior.drips:
            for place in range(len(rest)):
                if self._send(rest[place : place + 1]):
                    break
                time.sleep(behavior.drips)
            return
        self._send(rest[: behavior.breaks_after.pop(0)] if behavior.breaks_after else rest)
        self.close_connection = True

    def _send(self, content: bytes) -> bool:
        """Whether the client is gone."""
        try:
            self.wfile.write(content)
            self.wfile.flush()
        except OSError:
            return True
        return False

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(behavior: Behaviour) -> Iterator[str]:
    """The server's address while it runs."""
    handler = type("Handler", (_Handler,), {"behavior": behavior})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
