"""Run by test_keepalive.py as a process: a network that carries nothing any more, while the server does not read."""

import asyncio

from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect

from tests.namespaces import enter_namespace, set_loopback
from tests.server import serving_apart
from transfer.engine.scope import GONE
from transfer.settings import Settings

PATIENCE = 30.0


async def main() -> None:
    full, gone = asyncio.Event(), asyncio.Event()

    async def read_nothing(websocket: WebSocket) -> None:
        await websocket.accept()
        full.set()
        await websocket.scope["extensions"][GONE].wait()
        gone.set()

    app = FastAPI()
    app.add_api_websocket_route("/", read_nothing)
    async with serving_apart(app, Settings(drain_timeout=0), ping_interval=0.05, ping_timeout=0.1) as (url, _):
        client = await connect(url.replace("http:", "ws:"), proxy=None, ping_interval=None)
        await full.wait()
        await client.send(b"what makes the server pause")
        await client.send(b"and what it does not read")
        set_loopback(up=False)
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
        print("gone")
        client.transport.abort()


if __name__ == "__main__":
    enter_namespace()
    asyncio.run(main())
