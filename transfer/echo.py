"""`/echo`: every text or binary message comes back unchanged. Nothing is kept; a slow reader slows its own writing."""

import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

logger = logging.getLogger("towline.echo")


async def echo_endpoint(websocket: WebSocket) -> None:
    """One connection, from its upgrade to its end. The engine bounds the size of messages."""
    await websocket.accept()
    peer = f"{websocket.client.host}:{websocket.client.port}" if websocket.client is not None else "unknown"
    logger.info("echo opened: %s", peer)
    messages = 0
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            messages += 1
            await websocket.send({**message, "type": "websocket.send"})
    except WebSocketDisconnect:
        pass  # it left while its echo was on the way
    logger.info("echo ended: %s, %d messages", peer, messages)
