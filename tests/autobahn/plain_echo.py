"""A plain echo server: what stands behind the proxy while it is tested. Nothing of Towline is in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

MAX_MESSAGE_BYTES = 16 << 20


@asynccontextmanager
async def plain_echo() -> AsyncIterator[str]:
    """Serve on a free port of loopback; yields the URL."""
    async with serve(_echo, "127.0.0.1", 0, compression=None, max_size=MAX_MESSAGE_BYTES) as server:
        (listener,) = server.sockets
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"


async def _echo(connection: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)
