"""TLS in front of HTTP: a connection has its place, and its time, from its first moment on.

- Who speaks plain HTTP is told so, and costs no handshake.
- Closing waits until what was sent has left, and then for nothing: the peer need not answer a close_notify
  (RFC 8446, section 6.1), and one that is idle would not.
- What is left to send is all of it: the loops' TLS transports do not count what they have encrypted and handed down.
"""

import asyncio
import logging
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, Final, cast

import uvicorn
from uvicorn.server import ServerState

from transfer.engine.config import EngineConfig
from transfer.engine.http import HttpProtocol

HANDSHAKE_RECORD: Final = 22
"""The first byte of what begins a TLS connection (RFC 8446, section 5.1)."""
STEP_SECONDS: Final = 0.05
"""Between two looks at whether all has left; the loops have no word for it."""
FLUSH_SECONDS: Final = 3_600.0
"""How long a reader may take for what was sent before the close; what is dead, the farewell ends long before."""
logger = logging.getLogger("towline.tls")


class TlsProtocol(asyncio.Protocol):
    """A connection up to the end of its TLS handshake; from then on it is an `HttpProtocol`."""

    transport: asyncio.Transport

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        assert isinstance(config, EngineConfig)
        assert config.tls is not None
        self._http = HttpProtocol(config, server_state, app_state, _loop)
        self._tls: Callable[[], SSLContext] = config.tls
        self._handshake_timeout = config.limits.handshake_timeout
        self._plain_answer = config.answers.tls_expected
        self._connections = cast(set[object], server_state.connections)
        self._tasks = server_state.tasks
        self._loop = self._http.loop
        self._first_bytes = b""
        self._task: asyncio.Task[None] | None = None
        self._handed_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self._http.arrived(self.transport)

    def data_received(self, data: bytes) -> None:
        self._first_bytes += data
        if self._task is not None or self.transport.is_closing():
            return
        if data[0] != HANDSHAKE_RECORD:
            self.transport.write(self._plain_answer)
            self.transport.close()
            return
        self.transport.pause_reading()
        self._task = self._loop.create_task(self._secure())
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handed_over:
            self._http.connection_lost(exc)
        elif self._task is None:
            self._leave()

    def shutdown(self) -> None:
        """The server stops, and nothing was asked for yet."""
        self.transport.abort()

    async def _secure(self) -> None:
        """Shake hands, and hand over. What goes wrong is the peer's affair: it has a line for whoever debugs."""
        try:
            if self.transport.is_closing():
                return
            self._loop.call_soon(self._feed)
            secured = await self._loop.start_tls(
                self.transport,
                self,
                self._tls(),
                server_side=True,
                ssl_handshake_timeout=self._handshake_timeout,
                ssl_shutdown_timeout=FLUSH_SECONDS,
            )
        except OSError as failed:
            logger.debug("no handshake: %s", failed)
        else:
            if secured is not None and not self.transport.is_closing():  # else it was lost at the last moment
                self._hand_over(secured)
        finally:
            if not self._handed_over:
                self.transport.abort()
                self._leave()

    def _feed(self) -> None:
        """What came before TLS began to listen. It keeps that until it has begun."""
        protocol = cast(asyncio.BufferedProtocol, self.transport.get_protocol())
        left = memoryview(self._first_bytes)
        while left:
            buffer = memoryview(protocol.get_buffer(len(left)))
            count = min(len(left), len(buffer))
            buffer[:count] = left[:count]
            protocol.buffer_updated(count)
            left = left[count:]
        self._first_bytes = b""

    def _hand_over(self, secured: asyncio.Transport) -> None:
        self._handed_over = True
        self._connections.discard(self)
        secured.set_protocol(self._http)
        self._http.connection_made(SecureTransport(secured, self.transport, self._loop))
        if self._first_bytes:  # asyncio has read on before it woke us
            self._http.data_received(self._first_bytes)

    def _leave(self) -> None:
        self._connections.discard(self)
        self._http.left()


class SecureTransport(asyncio.Transport):
    """A loop's TLS transport and the one beneath it, as one. See the top of this module for what is different."""

    def __init__(self, secured: asyncio.Transport, beneath: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._secured = secured
        self._beneath = beneath
        self._loop = loop
        self._closed = False
        self.write = secured.write  # type: ignore[method-assign]
        self.pause_reading = secured.pause_reading  # type: ignore[method-assign]
        self.resume_reading = secured.resume_reading  # type: ignore[method-assign]
        self.set_write_buffer_limits = secured.set_write_buffer_limits  # type: ignore[method-assign]
        self.set_protocol = secured.set_protocol  # type: ignore[method-assign]
        self.get_protocol = secured.get_protocol  # type: ignore[method-assign]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._beneath if name == "socket" else self._secured).get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._secured.get_write_buffer_size() + self._beneath.get_write_buffer_size()

    def is_closing(self) -> bool:
        return self._closed or self._secured.is_closing() or self._beneath.is_closing()

    def close(self) -> None:
        if not self._closed:  # asyncio's forgets everything when it is closed for the second time
            self._closed = True
            self._secured.close()
            self._hang_up()

    def abort(self) -> None:
        self._beneath.abort()

    def _hang_up(self) -> None:
        """End the connection as soon as all is encrypted, the close_notify behind it."""
        if not self._beneath.is_closing() and self._secured.get_write_buffer_size():
            self._loop.call_later(STEP_SECONDS, self._hang_up)
        else:
            self._beneath.close()
