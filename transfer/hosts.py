"""Whom the server lets in by the look of the request: `Host` and `Origin`, before anything else reads it.

A web page of another site can make its visitor's browser talk to a server on the visitor's own machine. The browser
says truthfully where the page is from (`Origin`) and which name it used (`Host`): a foreign origin gets 403, and on
loopback a name that is none of the machine's own, because it was re-bound to it, gets 421. Programs that are no
browsers send no `Origin`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from transfer.problems import problem_response

LOOPBACK_HOSTS: Final = frozenset(["localhost", "127.0.0.1", "[::1]"])
SAFE_METHODS: Final = frozenset(["GET", "HEAD", "OPTIONS"])
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
WEB_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

_AUTHORITY = re.compile(r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port (RFC 6454); two spellings of one origin are equal."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def parse_origin(text: str) -> Origin | None:
    """The origin that is written as `scheme://host[:port]`; None for anything else, `null` included."""
    scheme, separator, authority = text.lower().partition("://")
    if not separator or scheme not in DEFAULT_PORTS:
        return None
    return _origin(scheme, authority)


def _origin(scheme: str, authority: str) -> Origin | None:
    """The origin of a lower-case scheme and what a `Host` header says."""
    match = _AUTHORITY.fullmatch(authority.lower())
    return Origin(scheme, match["host"], int(match["port"] or DEFAULT_PORTS[scheme])) if match is not None else None


class HostGuard:
    """ASGI middleware that answers 421 and 403 itself, to WebSocket upgrades too."""

    def __init__(self, app: ASGIApp, *, loopback: bool, allowed_origins: Iterable[str] = ()) -> None:
        self._app = app
        self._loopback = loopback
        self._allowed = frozenset(map(parse_origin, allowed_origins))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        own = _origin(WEB_SCHEMES[scope["scheme"]], hosts[0]) if len(hosts) == 1 else None
        app = self._app
        if self._loopback and (own is None or own.host not in LOOPBACK_HOSTS):
            app = problem_response(421, "forbidden", "the Host header names another server than this one")
        elif _matters(scope) and not all(self._is_welcome(parse_origin(text), own) for text in origins):
            app = problem_response(403, "forbidden", "web pages of this origin may not use this server")
        await app(scope, receive, send)

    def _is_welcome(self, origin: Origin | None, own: Origin | None) -> bool:
        return origin is not None and (origin == own or origin in self._allowed)


def _matters(scope: Scope) -> bool:
    """Whether the request can change something, or open a conversation; reading is what browsers guard themselves."""
    return scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
