"""One plain HTTP request on a connection of its own, and its answer as it came: for looking at what is in between.

`client.http` reads answers as a Towline server means them; here nothing is taken for granted.
"""

import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from client.server_url import base_url
from transfer.protocol.limits import KIB, PROTOCOL

ANSWER_SECONDS: Final = 10.0
MOST_BODY_BYTES: Final = 64 * KIB
UPGRADE: Final[Mapping[str, str]] = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dG93bGluZSBkb2N0b3IuIQ==",
    "Sec-WebSocket-Protocol": PROTOCOL,
}
"""What asks for a WebSocket (RFC 6455, section 4.1). The key is no secret: it tells an upgrade from an old answer."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An answer, whatever it is. Names of `headers` are in lower case; times are seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    connected_after: float
    answered_after: float
    asked_at: datetime
    tls: str | None = None
    """The version of TLS; None for plain HTTP."""
    valid_until: datetime | None = None
    """The end of the certificate."""


def exchange(
    server: str, path: str, headers: Mapping[str, str] | None = None, *, tls: ssl.SSLContext | None = None
) -> Exchange:
    """Ask for a path below the server's URL. Blocks. Raises OSError, ssl.SSLError among them, and HTTPException for an
    answer that is no HTTP."""
    connection = _connection(server, tls, ANSWER_SECONDS)
    try:
        began = time.perf_counter()
        connection.connect()
        connected, asked_at = time.perf_counter(), datetime.now(UTC)
        connection.request("GET", _path(server, path), headers={"User-Agent": "towline", **(headers or {})})
        answer = connection.getresponse()
        answered = time.perf_counter()
        version, valid_until = _certificate_of(connection.sock)
        return Exchange(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.getheaders()},
            body=b"" if answer.status == http.client.SWITCHING_PROTOCOLS else answer.read(MOST_BODY_BYTES),
            connected_after=connected - began,
            answered_after=answered - connected,
            asked_at=asked_at,
            tls=version,
            valid_until=valid_until,
        )
    finally:
        connection.close()


def first_piece_after(
    server: str, path: str, headers: Mapping[str, str], seconds: float, *, tls: ssl.SSLContext | None = None
) -> tuple[int, float | None]:
    """The status of an answer that does not end, and how long its first bytes took; None: more than so many seconds.
    Blocks, and raises as `exchange` does."""
    connection = _connection(server, tls, seconds)
    try:
        connection.connect()
        began = time.perf_counter()
        connection.request("GET", _path(server, path), headers={"User-Agent": "towline", **headers})
        answer = connection.getresponse()
        if answer.status == http.client.OK:
            answer.read1(1)
        return answer.status, time.perf_counter() - began
    except TimeoutError:
        return http.client.OK, None
    finally:
        connection.close()


def _connection(server: str, tls: ssl.SSLContext | None, seconds: float) -> http.client.HTTPConnection:
    parts = urlsplit(base_url(server))
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=seconds, context=tls)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)


def _path(server: str, path: str) -> str:
    return urlsplit(base_url(server)).path + path


def _certificate_of(sock: object) -> tuple[str | None, datetime | None]:
    if not isinstance(sock, ssl.SSLSocket):  # the peer may have closed it behind its answer
        return None, None
    certificate = sock.getpeercert() or {}
    end = certificate.get("notAfter")
    return sock.version(), datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if isinstance(end, str) else None
