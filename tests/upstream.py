"""A WebSocket server to be reached through ours: it does what a test tells it, and counts who came.

async with Upstream(echo) as upstream:
    await use(upstream.url)
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Handler = Callable[[ServerConnection], Awaitable[None]]


async def echo(connection: ServerConnection) -> None:
    """Every message comes back, until the other side leaves."""
    try:
        while True:
            await connection.send(await connection.recv())
    except ConnectionClosed:
        return


class Upstream:
    """Listens on a port of `host` while entered, on a free one for 0; `handler` has each connection. The `options` are
    those of websockets."""

    def __init__(self, handler: Handler = echo, *, host: str = "127.0.0.1", port: int = 0, **options: Any) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._options = {"compression": None, "max_size": None, "ping_interval": None} | options
        self._server: Server | None = None
        self.connections: list[ServerConnection] = []
        """All that ever were."""
        self.ended: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()
        """How each ended: the code and the reason that it was told."""

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"ws://{host}:{self.port}/"

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, self._host, self._port, **self._options)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            await self._handler(connection)
        finally:
            await connection.wait_closed()
            self.ended.put_nowait((connection.close_code, connection.close_reason))
