"""HTTP/1.1, and the upgrade to a WebSocket: what comes too slowly or is too large is refused.

- The surplus of connections is turned away (`transfer.admission`).
- What is too slow gets a 408, what is too large a 431; what never asked for anything is just closed.
- Where a connection is ending, or a response waits for its reader, and the peer acknowledges nothing for a while, the
  transport is aborted.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from transfer.admission import Place, Surplus
from transfer.deadlines import Deadline
from transfer.engine.config import EngineConfig
from transfer.engine.farewell import Farewell
from transfer.engine.intake import Intake
from transfer.engine.scope import DRAIN, TRANSPORT
from transfer.engine.websocket import WebSocketProtocol

HTTP_PATIENCE: Final = 60.0
"""Browsers pause downloads, and the last piece of one may be in our buffer."""


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1, and the upgrade to `WebSocketProtocol`."""

    _farewell: Farewell

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config, EngineConfig)
        self._settings = config
        self._limits = config.limits
        self._place: Place | None = None
        self._surplus: Surplus | None = None
        self._has_arrived = False
        self._deadline = Deadline(self.loop, self._too_slow)
        self._head_bytes: int | None = 0
        """What has come of a head that is not complete; None where none is expected or one is complete."""
        self._between_requests = True
        self._refusal: bytes | None = None
        self._answering: RequestResponseCycle | None = None
        self._drain: Callable[[], None] | None = None
        """Of a response that does not end by itself."""
        self.ws_protocol_class = cast(type[asyncio.Protocol], self._upgraded)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._farewell = Farewell(transport, self.loop, HTTP_PATIENCE)
        if not self._has_arrived:
            self.arrived(transport)
        self._deadline.missed = self._too_slow
        if self._surplus is not None:
            self._surplus.transport = transport

    def arrived(self, transport: asyncio.Transport) -> None:
        """Take a place, and begin to count the time to the first head. Called before `connection_made` where a
        handshake of TLS comes first; `transport` is the one beneath it."""
        self._has_arrived = True
        peer = get_remote_addr(transport)
        address = peer[0] if peer is not None else ""
        places, answers = self._settings.places, self._settings.answers
        too_fast = not places.is_slow_enough(address, self.loop.time())
        self._place = None if too_fast else places.take(address)
        if self._place is None:
            answer = answers.too_fast if too_fast else answers.too_many
            self._surplus = places.turn_away(address, transport, answer, self.loop)
        else:
            self._deadline.missed = transport.abort
            self._deadline.start(self._limits.handshake_timeout)

    def left(self) -> None:
        """Give back what `arrived` took."""
        self._deadline.stop()
        if self._place is not None:
            self._place.leave()
        if self._surplus is not None:
            self._surplus.gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._farewell.end()
        self.left()
        if self._answering is not None:  # uvicorn tells the last request only, which may not have begun
            self._answering.disconnected = not self._answering.response_complete
            self._answering.message_event.set()
        super().connection_lost(exc)

    def _upgraded(self, *, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]) -> Intake:
        protocol = WebSocketProtocol(config, server_state, app_state, self.loop)
        place, self._place = self._place, None
        protocol.take_over(place, self._deadline)
        return Intake(protocol)

    # --------------------------------------------------------------------------------------------------- requests

    def data_received(self, data: bytes) -> None:
        """In pieces that end where a head is too long, if it has not ended before."""
        if self._surplus is not None:
            self._surplus.asked()
            return
        end = 0
        while end < len(data) and not self.transport.is_closing() and self.transport.get_protocol() is self:
            start, end = end, end + self._limits.max_head_bytes - (self._head_bytes or 0)
            self._take(data[start:end] if start or end < len(data) else data)

    def _take(self, piece: bytes) -> None:
        if self._between_requests and self._head_bytes is None:
            self._head_bytes = 0
            self._deadline.start(self._limits.handshake_timeout)
        if self._head_bytes is not None:
            self._head_bytes += len(piece)
        super().data_received(piece)
        if self._head_bytes is not None and self._head_bytes >= self._limits.max_head_bytes:
            self._refuse(self._settings.answers.head_too_large)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions = {DRAIN: self._ends_itself, TRANSPORT: self.transport}
        self.scope["extensions"] = cast(dict[str, dict[object, object]], extensions)
        self._between_requests = False
        if self._head_bytes is None:  # it came in one piece with the end of the request before
            self._head_bytes = 0
            self._deadline.start(self._limits.handshake_timeout)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > self._limits.max_head_fields:
            self._refusal = self._settings.answers.head_too_large
            raise ValueError("too many header fields")  # for the parser, which ends in `send_400_response`

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        if not self._upgrades:  # an upgrade has to be answered in the same time
            self._deadline.start(self._limits.handshake_timeout)
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._between_requests = True
        if not self._upgrades:
            self._deadline.stop()

    @property
    def _upgrades(self) -> bool:
        """Whether this request becomes a WebSocket; to other protocols nobody switches."""
        return self.parser.should_upgrade() and self._should_upgrade()

    def send_400_response(self, msg: str) -> None:
        if self._refusal is None:
            super().send_400_response(msg)
            self._begin_farewell()
        else:
            self._refuse(self._refusal)

    def _refuse(self, answer: bytes) -> None:
        """Give this answer, where no other one has begun or is still to come before it, and hang up."""
        if not self.transport.is_closing():
            in_head = self._head_bytes is not None
            if self.cycle is None or (self.cycle.response_complete if in_head else not self.cycle.response_started):
                self.transport.write(answer)
            self.transport.close()
            self._begin_farewell()

    def _too_slow(self) -> None:
        if self.flow.read_paused:  # that is our doing
            self._deadline.start(self._limits.handshake_timeout)
        elif self._between_requests and not self._head_bytes:
            self.transport.close()  # it never asked for anything
        else:
            self._refuse(self._settings.answers.too_slow)

    # -------------------------------------------------------------------------------------------------- responses

    def pause_writing(self) -> None:
        super().pause_writing()
        self._farewell.begin()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._farewell.put_off()

    # ---------------------------------------------------------------------------------------------------- endings

    def on_response_complete(self) -> None:
        self._drain = None
        super().on_response_complete()
        self._begin_farewell()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._begin_farewell()

    def _ends_itself(self, drain: Callable[[], None]) -> None:
        self._drain = drain

    def shutdown(self) -> None:
        drain, self._drain = self._drain, None
        if drain is not None:
            drain()
        super().shutdown()
        self._begin_farewell()

    def _begin_farewell(self) -> None:
        if self.transport.is_closing():
            self._farewell.begin()
