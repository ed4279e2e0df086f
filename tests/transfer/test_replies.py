"""What a session answers, and how it stops."""

import asyncio
import socket
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketState

from transfer.engine.scope import TRANSPORT
from transfer.logs import SessionLog
from transfer.protocol.errors import Superseded
from transfer.protocol.messages import ErrorMessage
from transfer.replies import Replies

PATIENCE: Final = 10.0


async def test_who_is_stopped_while_a_last_message_is_taken_stops() -> None:
    """Whatever swallowed that would keep the session of a client who is gone for ever."""

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is received")

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "websocket.send":
            sending.cancel()

    near, far = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=near)
    scope = {"type": "websocket", "headers": [], "extensions": {TRANSPORT: writer.transport}}
    websocket = WebSocket(scope, receive, send)
    websocket.client_state = websocket.application_state = WebSocketState.CONNECTED
    replies = Replies(websocket, SessionLog("towline.session", websocket))
    turn = await replies.begin(None)
    turn.reply(ErrorMessage.of(Superseded("another connection has taken this upload over")))
    replies.end(turn)
    sending = asyncio.create_task(replies.send_all())
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait([sending])
    assert sending.cancelled()
    writer.close()
    far.close()
