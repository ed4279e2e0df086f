"""A WebSocket, from its upgrade request to its end.

- What a client can send never leads to a traceback: invalid UTF-8 closes with 1007, what is no handshake gets a 400,
  and an application that sends after the engine has closed hears of a client that is gone.
- A message that has begun comes in time, however small its fragments (4408). A close inside a fragmented message is a
  close like any other: RFC 6455 lets control frames stand there.
- A message has a limit of size, which the application may raise (`scope.MESSAGE_LIMIT`); what is longer is not kept but
  dropped while it comes, so that its sender reads the close with 1009 and not a reset.
- A peer that pings and does not read is owed one pong, of its last ping.
- A pong is waited for while it may sit behind what our own back-pressure keeps us from reading, and while the peer
  still reads what was sent before the ping.
- Once a connection is ending and its peer acknowledges nothing for a while, the transport is aborted.
- A server that stops lets the application close (`scope.DRAIN`).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

import uvicorn
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import HeaderLineTooLong, PayloadTooBig, RequestLineTooLong
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol
from websockets.typing import BytesLike

from transfer.admission import Place
from transfer.deadlines import STEPS, Deadline, Pace
from transfer.engine.config import EngineConfig
from transfer.engine.farewell import Farewell, seconds_since_ack, unacknowledged_bytes
from transfer.engine.payloads import PayloadReader
from transfer.engine.scope import ARRIVALS, DRAIN, GONE, MESSAGE_LIMIT, TRANSPORT
from transfer.protocol import limits

WEBSOCKET_PATIENCE: Final = 1.0
DELAYED_ACK_SECONDS: Final = 0.5
"""RFC 1122, section 4.2.3.2."""
CLOSE_SECONDS: Final = 5.0
"""How long a peer may take to answer a close; what it still sends meanwhile is read and dropped."""
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Framing(ServerProtocol):
    """websockets' reading of frames, which would call a close inside a fragmented message a protocol error, and would
    answer each ping however many answers lie there unread."""

    def __init__(self, max_size: int, logger: logging.Logger, writable: asyncio.Event) -> None:
        super().__init__(max_size=max_size, logger=logger)
        self.reader: PayloadReader = PayloadReader()
        self.parser = self.parse()  # which had begun, with the other reader
        next(self.parser)
        self._writable = writable
        self._owed: BytesLike | None = None

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING and not self._writable.is_set():
            self._owed = frame.data  # RFC 6455, section 5.5.3: the most recent ping alone may be answered
            return
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None  # what has come of the message is given up
        super().recv_frame(frame)

    def answer_last_ping(self) -> None:
        """What was sent before is on its way: send the pong that is owed, if one is."""
        owed, self._owed = self._owed, None
        if owed is not None:
            self.send_pong(owed)

    def send_close(self, code: CloseCode | int | None = None, reason: str = "") -> None:
        """1005 stands for a close without a status (RFC 6455, section 7.4.1)."""
        super().send_close(code if code != CloseCode.NO_STATUS_RCVD else None, reason)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket, from its upgrade request to its end."""

    conn: Framing
    _farewell: Farewell

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Framing(config.ws_max_size, self.logger, self.writable)
        assert isinstance(config, EngineConfig)
        self._answers = config.answers
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
        self._rest: Deadline | None = None
        """Of a message that is too large, and of what follows it: the silence after which that was all."""
        self._drain: Callable[[], None] | None = None
        self._draining = False
        self._gone = asyncio.Event()

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
        if self._rest is not None:
            self._rest.stop()
        if self._assembly is not None:
            self._assembly.cancel()
        if self._place is not None:
            self._place.leave()
        super().connection_lost(exc)
        self._forget_message()
        self._gone.set()

    # -------------------------------------------------------------------------------------------------- handshake

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.abort()  # frames before the handshake was answered: this is no WebSocket client
            return
        if self._rest is not None:
            self._rest.start(limits.FAREWELL_SECONDS)
            return
        self.received_bytes += len(data)
        super().data_received(data)
        if self._assembly is None and self._arriving_bytes is not None and self.handshake_complete:
            self._pace.begin(0)
            self._assembly = self.loop.call_later(self._pace.step, self._look_at_assembly)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            too_long = isinstance(self.conn.handshake_exc, RequestLineTooLong | HeaderLineTooLong)
            answer = self._answers.line_too_long if too_long else b"".join(self.conn.data_to_send())
            self.transport.write(answer or _BAD_REQUEST)
            self.transport.close()

    def payload_received(self, count: int) -> None:
        """So many bytes have come into the `room` of the payload that is on its way."""
        self.received_bytes += count
        if self.conn.reader.filled(count):
            super().data_received(b"")

    async def run_asgi(self) -> None:
        extensions = cast(dict[str, object], self.scope["extensions"])
        extensions[TRANSPORT] = self.transport
        extensions[ARRIVALS] = self
        extensions[DRAIN] = self._closes_itself
        extensions[GONE] = self._gone
        extensions[MESSAGE_LIMIT] = self._limit_messages
        await super().run_asgi()
        self._farewell.begin()

    def _limit_messages(self, max_bytes: int) -> None:
        self.conn.max_message_size = max_bytes

    def _unanswered(self) -> None:
        """The handshake took too long, whoever's fault that is."""
        self.transport.abort()

    # ---------------------------------------------------------------------------------------------------- messages

    @property
    def _arriving_bytes(self) -> int | None:
        """What has come of a message, or of any frame, that is not complete; None when nothing is on its way.
        The head of a frame alone is nothing yet: what sends no more is idle, and answers no ping."""
        begun, unread = self.conn.current_size, self.conn.reader.unread_bytes
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

    def handle_text(self, event: Frame) -> None:
        super().handle_text(event)
        event.data = b""  # the parser keeps its last frame until the next one has come

    def handle_bytes(self, event: Frame) -> None:
        super().handle_bytes(event)
        event.data = b""

    def handle_cont(self, event: Frame) -> None:
        """Fragments, however many and small, take no more memory than their bytes."""
        if self._joined is None:
            self._joined = bytearray(self.frames[0])
        self._joined += event.data
        event.data = b""
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

    def _forget_message(self) -> None:
        """What has come of it is given up. Connections are cycles, which only a full garbage collection frees."""
        self.conn.reader.discard()
        self.frames, self._joined = [], None

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.close_sent and not self.transport.is_closing():
            self.conn.answer_last_ping()
            self.transport.write(b"".join(self.conn.data_to_send()))

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
        """Close with 1012, and hear the peer out, so that it reads the close and not a reset. An upgrade that has no
        answer yet is refused."""
        self.stop_keepalive()
        if not self.handshake_complete and not self.transport.is_closing():
            self.transport.write(self._answers.shutting_down)
            self.transport.close()
        elif not self.close_sent and not self.transport.is_closing():
            self.conn.send_close(CloseCode.SERVICE_RESTART)
            self._close_and_hear_out(CloseCode.SERVICE_RESTART)
        self._farewell.begin()

    def _close_and_hear_out(self, code: CloseCode) -> None:
        """Send the close that `conn` has ready, and let the peer end what it is sending."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._gone.set()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

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
            if self.writable.is_set() and self.pending_ping_payload is not None:
                self.conn.send_ping(self.pending_ping_payload)  # what is gone answers with a reset
                self.transport.write(b"".join(self.conn.data_to_send()))
            return
        if not self.close_sent and not self.transport.is_closing():
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE})
        super().keepalive_timeout()
        self._farewell.begin()

    def _is_silence_ours(self, ping_timeout: float) -> bool:
        """Whether the peer may have had no chance to answer, or we none to read its answer."""
        before, self._unacknowledged = self._unacknowledged, unacknowledged_bytes(self.transport)
        if not self.writable.is_set():
            return self._unacknowledged < before
        now = self.loop.time()
        if now - self._pong_due > ping_timeout / STEPS:  # we were held up: its answer may lie there unread
            return True
        if self.read_paused:
            return seconds_since_ack(self.transport) < ping_timeout + DELAYED_ACK_SECONDS
        return now - self._taken_at < ping_timeout

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._farewell.begin()

    def handle_parser_exception(self) -> None:
        if isinstance(self.conn.parser_exc, PayloadTooBig) and not self.close_sent:
            self._close_and_hear_out(CloseCode.MESSAGE_TOO_BIG)
            self.frames, self._joined = [], None
            self._rest = Deadline(self.loop, self.transport.close)
            self._rest.start(limits.FAREWELL_SECONDS)
        else:
            super().handle_parser_exception()
        self._farewell.begin()
