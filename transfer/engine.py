"""uvicorn's protocols, with what a file server needs on top: connections that end, and a log without false alarms.

- Once a connection is ending (its application returned, or a close was sent or received) and its peer acknowledges
  nothing for a while, the transport is aborted: closing alone waits for the buffer of a dead peer for ever.
- What a client can send never leads to a traceback: invalid UTF-8 closes with 1007, what is no handshake gets a 400,
  and an application that sends after the engine has closed hears of a client that is gone.
- A pong is waited for while it may sit behind what our own back-pressure keeps us from reading, and while the peer
  still reads what was sent before the ping.
- What a client may take, in time, bytes and connections, has limits (`ConnectionLimits`): for a request's head and
  body, for an upgrade with its answer, and for a message that comes in pieces. An application sees nothing of them.
- A close inside a fragmented message is a close like any other: RFC 6455 lets control frames stand there.
- `scope["extensions"]["towline.transport"]` is the transport of a WebSocket, for an application that has to abort it.
- `scope["extensions"]["towline.drain"]` takes a function: it is called, once, when the server stops, instead of closing
  the WebSocket at once; the application then closes it with 1012 when nothing is on the way any more.

Written against uvicorn 0.54 and websockets 17.4: it leans on names inside them, and its tests say what must hold.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

from transfer.admission import Place, Places, Surplus
from transfer.deadlines import STEPS, Deadline, Pace
from transfer.problems import problem_response
from transfer.protocol import limits
from transfer.protocol.errors import Timeout, TooLarge, TooMany

TRANSPORT: Final = "towline.transport"
ARRIVALS: Final = "towline.arrivals"
DRAIN: Final = "towline.drain"
WEBSOCKET_PATIENCE: Final = 1.0
HTTP_PATIENCE: Final = 60.0
"""Browsers pause downloads, and the last piece of one may be in our buffer."""
CLOSE_SECONDS: Final = 5.0
"""How long a peer may take to answer a close; what it still sends meanwhile is read and dropped."""
RETRY_AFTER_SECONDS: Final = 10

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What a connection may take, whatever it is used for. `transfer.settings` describes each."""

    handshake_timeout: float = limits.HANDSHAKE_SECONDS
    max_head_bytes: int = limits.MAX_HEAD_BYTES
    max_head_fields: int = limits.MAX_HEAD_FIELDS
    message_timeout: float = limits.MESSAGE_SECONDS
    min_upload_rate: float = limits.MIN_UPLOAD_RATE
    max_connections: int = limits.MAX_CONNECTIONS
    max_connections_per_address: int = limits.MAX_CONNECTIONS_PER_ADDRESS


class EngineConfig(uvicorn.Config):
    """uvicorn's configuration of one server, with these protocols and with limits."""

    def __init__(self, app: ASGIApp, connection_limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(app, http=HttpProtocol, ws=WebSocketProtocol, **options)
        self.limits = connection_limits
        self.places = Places(connection_limits.max_connections, connection_limits.max_connections_per_address)
        self.answers = Answers.of(connection_limits)


@dataclass(frozen=True, slots=True)
class Answers:
    """What is said to those who pass a limit, ready to be sent."""

    too_many: bytes
    head_too_large: bytes
    too_slow: bytes

    @classmethod
    def of(cls, allowed: ConnectionLimits) -> "Answers":
        size, fields = allowed.max_head_bytes, allowed.max_head_fields
        return cls(
            too_many=_raw(
                problem_response(
                    503,
                    TooMany.code,
                    "the server has as many connections as it takes, or as it takes from one address: come back later",
                    retryable=True,
                    headers={"retry-after": str(RETRY_AFTER_SECONDS)},
                )
            ),
            head_too_large=_raw(
                problem_response(
                    431,
                    TooLarge.code,
                    f"the head of a request is at most {size} bytes and {fields} fields",
                    facts={"limit": size},
                )
            ),
            too_slow=_raw(
                problem_response(408, Timeout.code, "the request was not complete in time", retryable=Timeout.retryable)
            ),
        )


def _raw(response: Response) -> bytes:
    """An answer as it goes over the wire, where no application gives it."""
    fields = b"".join(b"%s: %s\r\n" % field for field in response.raw_headers)
    return STATUS_LINE[response.status_code] + fields + b"connection: close\r\n\r\n" + bytes(response.body)


class Farewell:
    """Looks after the end of a connection: aborts it when its peer acknowledges nothing for `patience` seconds."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        self._transport = transport
        self._loop = loop
        self._patience = patience
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def begin(self) -> None:
        """Nothing is sent from now on but what is in the buffer. Calling it again changes nothing."""
        if self._timer is None and not self._over:
            self._look_later()

    def end(self) -> None:
        """The connection is gone."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._patience, self._look, unacknowledged_bytes(self._transport))

    def _look(self, before: int) -> None:
        buffered = self._transport.get_write_buffer_size()
        if buffered and unacknowledged_bytes(self._transport) >= before:
            self._reset()
        else:  # what is in the kernel's buffer alone is the kernel's worry
            self._look_later()

    def _reset(self) -> None:
        """Give up, in the kernel too: it would go on offering the rest for a quarter of an hour."""
        with suppress(OSError):
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def unacknowledged_bytes(transport: asyncio.Transport) -> int:
    """What was written and has not reached the peer's kernel, as far as ours can say."""
    buffered = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    except (OSError, ValueError):  # it is closed
        return buffered
    return buffered + cast(int, queued)


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
        self._deadline = Deadline(self.loop, self._too_slow)
        self._head_bytes: int | None = 0
        """What has come of a head that is not complete; None where none is expected or one is complete."""
        self._between_requests = True
        self._refusal: bytes | None = None
        self.ws_protocol_class = cast(type[asyncio.Protocol], self._upgraded)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        self._place = self._settings.places.take(address)
        self._farewell = Farewell(transport, self.loop, HTTP_PATIENCE)
        if self._place is None:
            self._settings.places.turned_away(address, self.loop.time())
            self._surplus = Surplus(transport, self._settings.answers.too_many, self._settings.places, self.loop)
        else:
            self._deadline.start(self._limits.handshake_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.stop()
        self._farewell.end()
        if self._place is not None:
            self._place.leave()
        if self._surplus is not None:
            self._surplus.gone()
        super().connection_lost(exc)

    def _upgraded(
        self, *, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> "WebSocketProtocol":
        protocol = WebSocketProtocol(config, server_state, app_state, self.loop)
        place, self._place = self._place, None
        protocol.take_over(place, self._deadline)
        return protocol

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

    # ---------------------------------------------------------------------------------------------------- endings

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._begin_farewell()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._begin_farewell()

    def shutdown(self) -> None:
        super().shutdown()
        self._begin_farewell()

    def _begin_farewell(self) -> None:
        if self.transport.is_closing():
            self._farewell.begin()


class Framing(ServerProtocol):
    """websockets' reading of frames, which would call a close inside a fragmented message a protocol error."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None  # what has come of the message is given up
        super().recv_frame(frame)

    def send_close(self, code: CloseCode | int | None = None, reason: str = "") -> None:
        """1005 stands for a close without a status (RFC 6455, section 7.4.1)."""
        super().send_close(code if code != CloseCode.NO_STATUS_RCVD else None, reason)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket, from its upgrade request to its end."""

    _farewell: Farewell

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Framing(max_size=config.ws_max_size, logger=self.logger)
        assert isinstance(config, EngineConfig)
        self.close_timeout = CLOSE_SECONDS
        self.received_bytes = 0
        self._pace = Pace(config.limits.min_upload_rate, config.limits.message_timeout)
        self._assembly: asyncio.TimerHandle | None = None
        self._joined: bytearray | None = None
        self._place: Place | None = None
        self._deadline = Deadline(self.loop, self._unanswered)
        self._closed_by_application = False
        self._taken_at = 0.0
        self._unacknowledged = 0
        self._pong_due = 0.0
        self._drain: Callable[[], None] | None = None
        self._draining = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._farewell = Farewell(self.transport, self.loop, WEBSOCKET_PATIENCE)

    def take_over(self, place: Place | None, deadline: Deadline) -> None:
        """Go on with the place of the connection that is upgraded, and with the time that its handshake may take."""
        self._place = place
        self._deadline = deadline
        deadline.missed = self._unanswered

    def connection_lost(self, exc: Exception | None) -> None:
        self._farewell.end()
        if self.handshake_complete and self.conn.close_rcvd is None and not self.close_sent:
            # uvicorn would say 1005, as of a close that came without a status
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE})
        self._deadline.stop()
        if self._assembly is not None:
            self._assembly.cancel()
        if self._place is not None:
            self._place.leave()
        super().connection_lost(exc)

    # -------------------------------------------------------------------------------------------------- handshake

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.abort()  # frames before the handshake was answered: this is no WebSocket client
            return
        self.received_bytes += len(data)
        super().data_received(data)
        if self._assembly is None and self._arriving_bytes is not None and self.handshake_complete:
            self._pace.begin(0)
            self._assembly = self.loop.call_later(self._pace.step, self._look_at_assembly)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_REQUEST)
            self.transport.close()

    async def run_asgi(self) -> None:
        extensions = cast(dict[str, object], self.scope["extensions"])
        extensions[TRANSPORT] = self.transport
        extensions[ARRIVALS] = self
        extensions[DRAIN] = self._closes_itself
        await super().run_asgi()
        self._farewell.begin()

    def _unanswered(self) -> None:
        """The handshake took too long, whoever's fault that is."""
        self.transport.abort()

    # ---------------------------------------------------------------------------------------------------- messages

    @property
    def _arriving_bytes(self) -> int | None:
        """What has come of a message, or of any frame, that is not complete; None when nothing is on its way.
        The head of a frame alone is nothing yet: what sends no more is idle, and answers no ping."""
        begun, unread = self.conn.current_size, len(self.conn.reader.buffer)
        return None if begun is None and not unread else (begun or 0) + unread

    def _look_at_assembly(self) -> None:
        arriving, self._assembly = self._arriving_bytes, None
        if arriving is None or self.close_sent or self.transport.is_closing():
            return
        if not self.read_paused and self._pace.waited(self._pace.step, arriving):
            self.conn.fail(limits.CLOSE_TIMEOUT, "message not complete in time")
            self.handle_parser_exception()
            return
        self._assembly = self.loop.call_later(self._pace.step, self._look_at_assembly)

    def handle_cont(self, event: Frame) -> None:
        """Fragments, however many and small, take no more memory than their bytes."""
        if self._joined is None:
            self._joined = bytearray(self.frames[0])
        self._joined += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        data = self.frames[0] if self._joined is None else bytes(self._joined)
        self.frames, self._joined = [], None
        self._pace.begin(0)
        if self.close_sent:
            return
        event: ASGIReceiveEvent
        if self.curr_msg_data_type == "bytes":
            event = {"type": "websocket.receive", "bytes": data}
        else:
            try:
                event = {"type": "websocket.receive", "text": str(data, "utf-8")}
            except UnicodeDecodeError:
                self.conn.fail(CloseCode.INVALID_DATA, "invalid UTF-8")
                self.handle_parser_exception()
                return
        self.queue.put_nowait(event)
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> ASGIReceiveEvent:
        event = await super().receive()
        self._taken_at = self.loop.time()
        return event

    async def send(self, message: ASGISendEvent) -> None:
        await self.writable.wait()
        closing = self.transport.is_closing() and not self.handshake_complete
        if closing or (self.close_sent and not self._closed_by_application):
            raise ClientDisconnected
        self._closed_by_application |= message["type"] != "websocket.send" and message["type"] != "websocket.accept"
        await super().send(message)
        if self.handshake_complete or self.close_sent:
            self._deadline.stop()
        if self.close_sent:
            self.handshake_complete = True  # also by a refusal that was sent whole: uvicorn would complain otherwise
            self._farewell.begin()

    # ------------------------------------------------------------------------------------------- endings, keepalive

    def _closes_itself(self, drain: Callable[[], None]) -> None:
        self._drain = drain

    def shutdown(self) -> None:
        """The server stops. Calling it again changes nothing, but for those who have come since."""
        if self._drain is None or self.close_sent or self.transport.is_closing():
            self.close_for_restart()
        elif not self._draining:
            self._draining = True
            self._drain()
            self._farewell.begin()

    def close_for_restart(self) -> None:
        """Close with 1012, and hear the peer out, so that it reads the close and not a reset."""
        self.stop_keepalive()
        if not self.handshake_complete:
            super().shutdown()
        elif not self.close_sent and not self.transport.is_closing():
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.SERVICE_RESTART})
            self.conn.send_close(CloseCode.SERVICE_RESTART)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            if self.read_paused:
                self.read_paused = False
                self.transport.resume_reading()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)
        self._farewell.begin()

    def send_keepalive_ping(self) -> None:
        super().send_keepalive_ping()
        if self.ping_timeout is not None:
            self._pong_due = self.loop.time() + self.ping_timeout
        self._unacknowledged = unacknowledged_bytes(self.transport)

    def keepalive_timeout(self) -> None:
        assert self.ping_timeout is not None
        if self._is_silence_ours(self.ping_timeout):
            self._pong_due = self.loop.time() + self.ping_timeout
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self._farewell.begin()

    def _is_silence_ours(self, ping_timeout: float) -> bool:
        """Whether the peer may have had no chance to answer, or we none to read its answer."""
        before, self._unacknowledged = self._unacknowledged, unacknowledged_bytes(self.transport)
        if not self.writable.is_set():
            return self._unacknowledged < before
        now = self.loop.time()
        held_up = now - self._pong_due > ping_timeout / STEPS  # its answer may lie there unread
        return held_up or self.read_paused or now - self._taken_at < ping_timeout

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._farewell.begin()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._farewell.begin()
