"""CORS: what browsers let pages of the allowed origins do with the HTTP API, and no other page.

Credentials are never allowed: the cookie of a login is for pages of this server, others send `Authorization`. Answers
to other pages say nothing of all this, but that they depend on the origin, so that no cache mixes them up.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transfer.edge.origins import parse_origin

METHODS: Final = ("GET", "HEAD", "PATCH", "POST", "DELETE")
REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Range",
)
ANSWER_HEADERS: Final = ("ETag", "Content-Range", "Content-Disposition", "Repr-Digest", "Retry-After")


class CrossOrigin:
    """ASGI middleware around everything that may answer, errors too."""

    def __init__(self, app: ASGIApp, allowed_origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(map(parse_origin, allowed_origins))
        self._shared = CORSMiddleware(
            app,
            allow_origin_regex=".*",  # only what is allowed gets there
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._origins:
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).getlist("origin")
        origin = parse_origin(said[0]) if len(said) == 1 else None
        if origin is not None and origin in self._origins:
            await self._shared(scope, receive, send)
        else:
            await self._app(scope, receive, partial(_vary, send))


async def _vary(send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        MutableHeaders(raw=message["headers"]).add_vary_header("Origin")
    await send(message)
