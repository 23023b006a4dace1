"""HTTP requests that end: http and https only, few redirects, and an answer within a minute."""

import http.client
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

SCHEMES = ("http", "https")
MOST_REDIRECTS = 5
TIMEOUT = 30.0
"""Seconds without a byte after which a connection ends."""
ANSWER_SECONDS = 60.0
"""Seconds until the head of an answer must be there: a server that sends it slowly never runs into `TIMEOUT`."""


class RefusedError(Exception):
    """An address or an answer that is not followed, with the reason in words."""


def check_address(url: str) -> None:
    """Check that an address is one of http or https. Raises `RefusedError`."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        plain = url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        usable = plain = False
    if not (usable and plain):
        raise RefusedError(f"'{url}'")


def open_url(url: str, headers: Mapping[str, str]) -> Any:
    """Send a request.

    Args:
        url: Address.
        headers: Headers of the request.

    Returns:
        The answer, its content not read yet.

    Raises:
        RefusedError: The address or a redirect is not followed.
        urllib.error.HTTPError: The answer is no file.
        OSError: No answer came (or `http.client.HTTPException`).
    """
    check_address(url)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _Http(),
        _Https(),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=TIMEOUT)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows few redirects, to http and https alone, and never from https to http."""

    max_redirections = MOST_REDIRECTS

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_address(newurl)
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise RefusedError(f"a way from https to '{newurl}'")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        place = headers.get("location", headers.get("uri", ""))
        try:
            if urllib.parse.urlsplit(urllib.parse.urljoin(req.full_url, place)).scheme not in SCHEMES:
                raise RefusedError(f"a way to '{place}'")  # the class itself follows ftp, too
            return super().http_error_302(req, fp, code, msg, headers)
        except (RefusedError, ValueError) as error:
            fp.close()
            raise RefusedError(str(error) if isinstance(error, RefusedError) else f"a way to '{place}'") from error

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Punctual:
    """A connection that is closed where the head of the answer is not there in time."""

    sock: Any
    _late = False

    def getresponse(self) -> Any:
        timer = threading.Timer(ANSWER_SECONDS, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            answer = super().getresponse()  # pyright: ignore[reportAttributeAccessIssue] (a mixin)
        finally:
            timer.cancel()
        if self._late:  # what was cut off passes for the whole head
            answer.close()
            raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} seconds")
        return answer

    def _hang_up(self) -> None:
        self._late = True
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _HttpConnection(_Punctual, http.client.HTTPConnection):
    pass


class _HttpsConnection(_Punctual, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: Any) -> Any:
        return self.do_open(_HttpConnection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: Any) -> Any:
        return self.do_open(_HttpsConnection, req)
