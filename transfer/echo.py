"""`/echo`: every text or binary message comes back unchanged. Nothing is kept; a slow reader slows its own writing."""

from starlette.websockets import WebSocket, WebSocketDisconnect

from transfer.access.auth import Authenticator, address_of
from transfer.access.watch import Watch
from transfer.engine.scope import MESSAGE_LIMIT
from transfer.logs import SessionLog
from transfer.pace.rates import Rates, caller_of
from transfer.protocol.limits import MAX_ECHO_BYTES


class Echo:
    """Serves `/echo` to whoever may come in."""

    def __init__(self, authenticator: Authenticator, watch: Watch, rates: Rates) -> None:
        self._rates = rates
        self._authenticator = authenticator
        self._watch = watch

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, from its upgrade to its end. The engine bounds the size of messages. Raises TransferError
        before the upgrade."""
        principal = await self._authenticator.caller(websocket)
        self._rates.take_request(caller_of(principal, address_of(websocket)))
        websocket.scope["extensions"][MESSAGE_LIMIT](MAX_ECHO_BYTES)
        await websocket.accept()
        with SessionLog("towline.echo", websocket, principal.subject) as log:
            log.mode("echo")
            async with self._watch.closing(websocket, principal):
                await echo(websocket, log)
            log.ended("unauthorized")


async def echo(websocket: WebSocket, log: SessionLog) -> None:
    """Send everything back, until the peer leaves."""
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            text: str | None = message.get("text")
            log.bytes += len(message["bytes"] if text is None else text)
            await websocket.send({**message, "type": "websocket.send"})
        log.ended(f"closed {message.get('code', 1005)}")
    except WebSocketDisconnect:  # it left while its echo was on the way
        log.ended("closed 1006")
