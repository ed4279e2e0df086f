"""A WebSocket server that does nothing but echo: the floor of what a connection costs. Says its port."""

import asyncio
import logging

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def echo(connection: ServerConnection) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        return


async def main() -> None:
    logging.getLogger("websockets").addHandler(logging.NullHandler())
    async with serve(echo, "127.0.0.1", 0, compression=None) as server:
        (listener,) = server.sockets
        print(f"listening on {listener.getsockname()[1]}", flush=True)
        await asyncio.Future()


if __name__ == "__main__":
    uvloop.run(main())
