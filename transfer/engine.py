"""uvicorn's protocols, with what a file server needs on top: connections that end, and a log without false alarms.

- Once a connection is ending (its application returned, or a close was sent or received) and its peer acknowledges
  nothing for a while, the transport is aborted: closing alone waits for the buffer of a dead peer for ever.
- What a client can send never leads to a traceback: invalid UTF-8 closes with 1007, what is no handshake gets a 400,
  and an application that sends after the engine has closed hears of a client that is gone.
- A pong is waited for while it may sit behind what our own back-pressure keeps us from reading, and while the peer
  still reads what was sent before the ping.
- A close inside a fragmented message is a close like any other: RFC 6455 lets control frames stand there.
- `scope["extensions"]["towline.transport"]` is the transport of a WebSocket, for an application that has to abort it.

Written against uvicorn 0.54 and websockets 17.4: it leans on names inside them, and its tests say what must hold.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress
from typing import Any, Final, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

TRANSPORT: Final = "towline.transport"
WEBSOCKET_PATIENCE: Final = 1.0
HTTP_PATIENCE: Final = 60.0
"""Browsers pause downloads, and the last piece of one may be in our buffer."""
CLOSE_SECONDS: Final = 5.0
"""How long a peer may take to answer a close; what it still sends meanwhile is read and dropped."""

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._farewell = Farewell(transport, self.loop, HTTP_PATIENCE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._farewell.end()
        super().connection_lost(exc)

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
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Framing(max_size=config.ws_max_size, logger=self.logger)
        self.close_timeout = CLOSE_SECONDS
        self._closed_by_application = False
        self._taken_at = 0.0
        self._unacknowledged = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._farewell = Farewell(self.transport, self.loop, WEBSOCKET_PATIENCE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._farewell.end()
        if self.handshake_complete and self.conn.close_rcvd is None and not self.close_sent:
            # uvicorn would say 1005, as of a close that came without a status
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE})
        super().connection_lost(exc)

    # -------------------------------------------------------------------------------------------------- handshake

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.abort()  # frames before the handshake was answered: this is no WebSocket client
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_REQUEST)
            self.transport.close()

    async def run_asgi(self) -> None:
        extensions = cast(dict[str, object], self.scope["extensions"])
        extensions[TRANSPORT] = self.transport
        await super().run_asgi()
        self._farewell.begin()

    # ---------------------------------------------------------------------------------------------------- messages

    def send_receive_event_to_app(self) -> None:
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
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
        if self.close_sent:
            self.handshake_complete = True  # also by a refusal that was sent whole: uvicorn would complain otherwise
            self._farewell.begin()

    # ------------------------------------------------------------------------------------------- endings, keepalive

    def shutdown(self) -> None:
        """The server stops: close with 1012, and hear the peer out, so that it reads the close and not a reset."""
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
        self._unacknowledged = unacknowledged_bytes(self.transport)

    def keepalive_timeout(self) -> None:
        assert self.ping_timeout is not None
        if self._is_silence_ours(self.ping_timeout):
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self._farewell.begin()

    def _is_silence_ours(self, ping_timeout: float) -> bool:
        """Whether the peer may have had no chance to answer, or we none to read its answer."""
        before, self._unacknowledged = self._unacknowledged, unacknowledged_bytes(self.transport)
        if not self.writable.is_set():
            return self._unacknowledged < before
        return self.read_paused or self.loop.time() - self._taken_at < ping_timeout

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._farewell.begin()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._farewell.begin()
