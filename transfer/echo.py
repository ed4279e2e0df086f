"""`/echo`: every text or binary message comes back unchanged. Nothing is kept; a slow reader slows its own writing."""

from starlette.websockets import WebSocket, WebSocketDisconnect

from transfer.engine.scope import MESSAGE_LIMIT
from transfer.logs import SessionLog
from transfer.principal import ANONYMOUS
from transfer.protocol.limits import MAX_ECHO_BYTES


async def echo_endpoint(websocket: WebSocket) -> None:
    """One connection, from its upgrade to its end. The engine bounds the size of messages."""
    websocket.scope["extensions"][MESSAGE_LIMIT](MAX_ECHO_BYTES)
    await websocket.accept()
    with SessionLog("towline.echo", websocket, ANONYMOUS.subject) as log:
        log.mode("echo")
        try:
            while (message := await websocket.receive())["type"] == "websocket.receive":
                text: str | None = message.get("text")
                log.bytes += len(message["bytes"] if text is None else text)
                await websocket.send({**message, "type": "websocket.send"})
            log.ended(f"closed {message.get('code', 1005)}")
        except WebSocketDisconnect:  # it left while its echo was on the way
            log.ended("closed 1006")
