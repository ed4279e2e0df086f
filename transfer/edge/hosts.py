"""Whom the server lets in by the look of the request: `Host` and `Origin`, before anything else reads it.

A web page of another site can make its visitor's browser talk to a server on the visitor's own machine. The browser
says truthfully where the page is from (`Origin`) and which name it used (`Host`): a foreign origin gets 403, and on
loopback a name that is none of the machine's own, because it was re-bound to it, gets 421. Programs that are no
browsers send no `Origin`. Where the operator says which names the server has, those count, and no others.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from transfer.edge.host_names import HostNames
from transfer.edge.origins import Origin, origin_of, parse_origin
from transfer.problems import problem_response

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
SAFE_METHODS: Final = frozenset(["GET", "HEAD", "OPTIONS"])
EVENTS_PATH: Final = "/events"
OTHER_SITES: Final = frozenset(["cross-site", "same-site"])
"""What `Sec-Fetch-Site` says where another origin asks: the same site may have others, as on another port."""
WEB_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class HostGuard:
    """ASGI middleware that answers 421 and 403 itself, to WebSocket upgrades too."""

    def __init__(
        self, app: ASGIApp, *, loopback: bool, allowed_origins: Iterable[str] = (), allowed_hosts: Sequence[str] = ()
    ) -> None:
        self._app = app
        names = allowed_hosts or (LOOPBACK_HOSTS if loopback else ())
        self._hosts = HostNames(names) if names else None
        self._allowed = frozenset(map(parse_origin, allowed_origins))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        own = origin_of(WEB_SCHEMES[scope["scheme"]], hosts[0]) if len(hosts) == 1 else None
        app = self._app
        if len(hosts) > 1 or (self._hosts is not None and (own is None or own.host not in self._hosts)):
            app = problem_response(421, "forbidden", "the Host header names another server than this one")
        elif _matters(scope) and not self._is_welcome(scope, headers, own):
            app = problem_response(403, "forbidden", "web pages of this origin may not use this server")
        await app(scope, receive, send)

    def _is_welcome(self, scope: Scope, headers: Headers, own: Origin | None) -> bool:
        origins = [parse_origin(text) for text in headers.getlist("origin")]
        if not origins and scope["path"] == EVENTS_PATH:
            return headers.get("sec-fetch-site") not in OTHER_SITES
        return all(origin is not None and (origin == own or origin in self._allowed) for origin in origins)


def _matters(scope: Scope) -> bool:
    """Whether the request can change something, or open a conversation or a stream that does not end; reading is what
    browsers guard themselves."""
    return scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS or scope["path"] == EVENTS_PATH
