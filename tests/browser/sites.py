"""Web servers of other origins than Towline's: what a page of them can do is what the tests of this room are about."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI, Request
from starlette.responses import Response

from tests.server import serving_apart
from transfer.settings import Settings

PATIENCE: Final = 60.0
"""Seconds after which a test that waits has failed; nothing is measured with it."""


class Site:
    """Serves what it was given, as it was given. Of everything else it writes down that it was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.pages: dict[str, Response] = {}
        self.calls: list[str] = []
        self._called = asyncio.Event()

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        if (page := self.pages.get(path)) is not None:
            return page
        self.calls.append(path)
        self._called.set()
        return Response(status_code=204, headers={"access-control-allow-origin": "*"})

    async def until_called(self, *paths: str) -> None:
        """Wait until all of these were asked for."""
        missing = set(paths)
        try:
            async with asyncio.timeout(PATIENCE):
                while missing := missing.difference(self.calls):
                    self._called.clear()
                    await self._called.wait()
        except TimeoutError:
            raise AssertionError(f"nobody asked for {sorted(missing)}") from None


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A site on a port of its own, and so another origin than all others."""
    made, app = Site(), FastAPI(openapi_url=None)
    app.add_route("/{path:path}", made.answer, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async with serving_apart(app, Settings(max_connections_per_address=4_096)) as (url, _):
        made.url = url
        yield made
