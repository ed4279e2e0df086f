"""An echo server for whoever comes, where a test is about the engine below it."""

from starlette.websockets import WebSocket

from transfer.echo import echo
from transfer.engine.scope import MESSAGE_LIMIT
from transfer.logs import SessionLog
from transfer.protocol.limits import MAX_ECHO_BYTES


async def echo_endpoint(websocket: WebSocket) -> None:
    """One connection, as `transfer.echo.Echo` serves it."""
    websocket.scope["extensions"][MESSAGE_LIMIT](MAX_ECHO_BYTES)
    await websocket.accept()
    with SessionLog("towline.echo", websocket) as log:
        await echo(websocket, log)
