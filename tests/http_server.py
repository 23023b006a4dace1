"""A server on this machine that breaks off, lies and changes its mind, as the tests tell it."""

import threading
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
    on_request: Callable[["Behaviour"], None] = lambda behaviour: None
    """Called before each answer, to change something."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and range of every request."""


class _Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        behaviour, asked = self.behaviour, self.headers.get("Range")
        behaviour.requests.append((self.path, asked))
        behaviour.on_request(behaviour)
        if behaviour.statuses:
            self.send_response(behaviour.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size, start = len(behaviour.content), 0
        same = self.headers.get("If-Range") in (behaviour.version, behaviour.modified)
        if asked and behaviour.ranges and same:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= size > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        stated = size + behaviour.stated_excess
        if start:
            self.send_header("Content-Range", f"bytes {start}-{stated - 1}/{stated}")
        self.send_header("Content-Length", str(stated - start))
        for name, value in (("ETag", behaviour.version), ("Last-Modified", behaviour.modified)):
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        rest = behaviour.content[start : stated if behaviour.stated_excess < 0 else size]
        self.wfile.write(rest[: behaviour.breaks_after.pop(0)] if behaviour.breaks_after else rest)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The server's address while it runs."""
    handler = type("Handler", (_Handler,), {"behaviour": behaviour})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
