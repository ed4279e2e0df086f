"""This server's `/echo` as an upstream of its tunnels, reached inside of the process.

Over the network it would have to know by which address it reaches itself, hold a name of its own certificate, pass as
one of the allowed hosts and show itself a token. A pair of sockets needs none of that, and nobody else has an end of
it. Over it goes the same engine's WebSocket, so that an echo in a tunnel is like any other, back-pressure and closes
included.
"""

import asyncio
import socket
from typing import Final

from starlette.routing import Router, WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn.server import ServerState

from transfer.echo import echo
from transfer.engine.config import ConnectionLimits, EngineConfig
from transfer.engine.http import HttpProtocol
from transfer.engine.scope import MESSAGE_LIMIT
from transfer.engine.websocket import WebSocketProtocol
from transfer.logs import SessionLog
from transfer.protocol import limits
from transfer.upstreams import OWN_ECHO, WebSocketUrl

ECHO_URL: Final = WebSocketUrl("ws", "localhost", 80, OWN_ECHO)
SUBJECT: Final = "towline"
"""Whose sessions these are in the log: the server's own."""
_NO_LIMIT: Final = 1 << 30
"""Tunnels are counted where they begin."""


class OwnEcho:
    """A server whose only client is this process."""

    def __init__(self) -> None:
        self._config = EngineConfig(
            Router([WebSocketRoute(OWN_ECHO, _serve)]),
            ConnectionLimits(max_connections=_NO_LIMIT, max_connections_per_address=_NO_LIMIT),
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=limits.MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._state = ServerState()

    async def connect(self) -> socket.socket:
        """A connection to it; closing it ends both ends. Raises OSError."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            theirs.setblocking(False)
            await loop.connect_accepted_socket(lambda: HttpProtocol(self._config, self._state, {}, loop), theirs)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return ours


async def _serve(websocket: WebSocket) -> None:
    websocket.scope["extensions"][MESSAGE_LIMIT](limits.MAX_ECHO_BYTES)
    await websocket.accept()
    with SessionLog("towline.echo", websocket, SUBJECT) as log:
        log.mode("echo")
        await echo(websocket, log)
