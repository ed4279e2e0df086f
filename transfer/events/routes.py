"""`/events`: the stream as server-sent events, and as a WebSocket."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import format_sse_event
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected
from websockets.frames import CloseCode

from transfer.access.auth import Authenticator, address_of
from transfer.access.callers import Caller
from transfer.access.principal import Principal
from transfer.access.watch import Watch
from transfer.edge.hosts import EVENTS_PATH
from transfer.engine.farewell import farewell
from transfer.engine.scope import DRAIN, MESSAGE_LIMIT, TRANSPORT
from transfer.events.feed import Feed
from transfer.events.line import Line
from transfer.events.reader import Ending, Reader
from transfer.events.view import require_a_view
from transfer.logs import SessionLog
from transfer.pace.rates import Rates, caller_of
from transfer.problems import PROBLEM_RESPONSES
from transfer.protocol import limits
from transfer.streamed import disconnected

LOGGER: Final = "towline.events"
RETRY_MILLISECONDS: Final = 1_000
HEADERS: Final = {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx would keep events until it has many
}
CLOSES: Final = {
    Ending.UNAUTHORIZED: (CloseCode.POLICY_VIOLATION, "unauthorized"),
    Ending.SPOKE: (CloseCode.POLICY_VIOLATION, "bad_message"),
    Ending.STOPPING: (limits.CLOSE_SHUTTING_DOWN, "shutting_down"),
    Ending.BEHIND: (CloseCode.TRY_AGAIN_LATER, "read faster, or list again"),
    Ending.SLOW: (CloseCode.TRY_AGAIN_LATER, "read faster, or list again"),
}
MAX_SPOKEN_BYTES: Final = limits.KIB
"""A reader says nothing; who does hears that it should not."""
STREAM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
After = Annotated[str | None, Query(description="the id of an event: what came after it is told first")]
LastEventId = Annotated[str | None, Header(description="the same, as browsers say it; it counts over `after`")]


class Events:
    """Serves `/events` for an application."""

    def __init__(self, feed: Feed, authenticator: Authenticator, watch: Watch, rates: Rates) -> None:
        self._feed, self._authenticator, self._watch, self._rates = feed, authenticator, watch, rates

    def router(self) -> APIRouter:
        """The route of the stream as server-sent events."""
        routes = APIRouter(responses=PROBLEM_RESPONSES)

        async def place(request: Request, principal: Caller) -> AsyncIterator[Principal]:
            require_a_view(principal)
            with self._feed.place(caller_of(principal, address_of(request))):
                yield principal

        @routes.get(EVENTS_PATH, response_class=Response, responses=STREAM_RESPONSES)
        async def read_events(
            request: Request,
            principal: Annotated[Principal, Depends(place)],
            after: After = None,
            last_event_id: LastEventId = None,
        ) -> Response:
            """What happens on the server, as it happens: a stream of server-sent events that does not end by itself. A
            WebSocket of the same path is the same stream, a text frame for each event."""
            log = SessionLog(LOGGER, request, principal.subject)
            return EventStream(Reader(self._feed, self._watch, principal, last_event_id or after), log)

        return routes

    async def serve(self, websocket: WebSocket) -> None:
        """The stream as a WebSocket. Raises TransferError before the upgrade."""
        principal = await self._authenticator.caller(websocket)
        caller = caller_of(principal, address_of(websocket))
        self._rates.take_request(caller)
        require_a_view(principal)
        after = websocket.headers.get("last-event-id") or websocket.query_params.get("after")
        with self._feed.place(caller), SessionLog(LOGGER, websocket, principal.subject) as log:
            log.mode("events")
            websocket.scope["extensions"][MESSAGE_LIMIT](MAX_SPOKEN_BYTES)
            reader = Reader(self._feed, self._watch, principal, after)
            websocket.scope["extensions"][DRAIN](partial(reader.end, Ending.STOPPING))
            await websocket.accept()
            ending = await reader.run(partial(_send_frames, websocket), _peer_of(websocket))
            log.ended(ending.value)
            if (close := CLOSES.get(ending)) is not None:
                await farewell(websocket, *close)


async def _send_frames(websocket: WebSocket, lines: Sequence[Line], _: str) -> None:
    """A frame each; the engine's pings are the sign of life."""
    with suppress(WebSocketDisconnect, WebSocketDisconnected):  # whoever receives hears of it, too
        for line in lines:
            await websocket.send_text(line.text)


async def _peer_of(websocket: WebSocket) -> Ending:
    message = await websocket.receive()
    return Ending.LEFT if message["type"] == "websocket.disconnect" else Ending.SPOKE


class EventStream(Response):
    """What one reader is told, as server-sent events (WHATWG HTML, section 9.2)."""

    def __init__(self, reader: Reader, log: SessionLog) -> None:
        super().__init__(None, 200, HEADERS)
        del self.headers["content-length"]
        self._reader, self._log = reader, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_lines(lines: Sequence[Line], reached: str) -> None:
            block = b"".join(line.block for line in lines)
            await send(_piece(block or format_sse_event(comment="", id=reached)))

        async def peer() -> Ending:
            await disconnected(receive)
            return Ending.LEFT

        with self._log as log:
            log.mode("events")
            scope["extensions"][DRAIN](partial(self._reader.end, Ending.STOPPING))
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send(_piece(format_sse_event(retry=RETRY_MILLISECONDS)))
            ending = await self._reader.run(send_lines, peer())
            log.ended(ending.value)
        transport = scope["extensions"][TRANSPORT]
        if ending is Ending.SLOW or (ending is Ending.UNAUTHORIZED and transport.get_write_buffer_size()):
            transport.abort()  # who takes nothing would hold it on, and get the rest when they do
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _piece(block: bytes) -> Message:
    return {"type": "http.response.body", "body": block, "more_body": True}
