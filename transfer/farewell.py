"""Closing a WebSocket whose peer may be dead: its full socket buffer must hold nobody for ever."""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from transfer.engine import TRANSPORT
from transfer.protocol.limits import FAREWELL_SECONDS


async def farewell(websocket: WebSocket, code: int, reason: str) -> None:
    """Close; where that takes longer than a farewell may, or the peer has gone, abort."""
    try:
        async with asyncio.timeout(FAREWELL_SECONDS):
            await websocket.close(code, reason)
    except (TimeoutError, WebSocketDisconnect, WebSocketDisconnected):
        abort(websocket)


def abort(websocket: WebSocket) -> None:
    """End the connection at once; who receives hears of it as a disconnect."""
    websocket.scope["extensions"][TRANSPORT].abort()
