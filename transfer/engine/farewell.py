"""The end of a connection whose peer may be dead: closing alone waits for the buffer of a dead peer for ever."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, cast

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from transfer.deadlines import STEPS
from transfer.engine.scope import TRANSPORT
from transfer.protocol.limits import FAREWELL_SECONDS

_LAST_ACK_RECEIVED: Final = slice(56, 60)
"""Of struct tcp_info in linux/tcp.h, in milliseconds."""


class Farewell:
    """Looks after a connection on which we send nothing new and wait until what was sent has come to its peer: aborts
    it when the peer acknowledges nothing for `patience` seconds."""

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

    def put_off(self) -> None:
        """More is going to be sent, after all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """The connection is gone."""
        self._over = True
        self.put_off()

    def _look_later(self, quiet_steps: int = 0) -> None:
        left = unacknowledged_bytes(self._transport)
        self._timer = self._loop.call_later(self._patience / STEPS, self._look, left, quiet_steps)

    def _look(self, before: int, quiet_steps: int) -> None:
        if not self._transport.get_write_buffer_size() or unacknowledged_bytes(self._transport) < before:
            self._look_later()  # what is in the kernel's buffer alone is the kernel's worry
        elif quiet_steps + 1 < STEPS:
            self._look_later(quiet_steps + 1)
        else:
            self._reset()

    def _reset(self) -> None:
        """Give up, in the kernel too: it would go on offering the rest for a quarter of an hour."""
        with suppress(OSError):
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def unacknowledged_bytes(transport: asyncio.WriteTransport) -> int:
    """What was written and has not reached the peer's kernel, as far as ours can say."""
    buffered = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    if connection is None:  # over TLS, once it is closed
        return buffered
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    except (OSError, ValueError):  # it is closed
        return buffered
    return buffered + cast(int, queued)


def seconds_since_ack(transport: asyncio.WriteTransport) -> float:
    """How long ago the peer's kernel acknowledged something (tcp(7), TCP_INFO); 0 where ours cannot say."""
    connection = transport.get_extra_info("socket")
    try:
        information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK_RECEIVED.stop)
    except OSError:  # it is closed, or no TCP
        return 0
    return int.from_bytes(information[_LAST_ACK_RECEIVED], sys.byteorder) / 1_000


async def farewell(websocket: WebSocket, code: int, reason: str) -> None:
    """For an application: close, or abort where the peer has gone or takes nothing any more."""
    try:
        if not await is_taken(websocket.close(code, reason), websocket.scope["extensions"][TRANSPORT]):
            abort(websocket)
    except (WebSocketDisconnect, WebSocketDisconnected):
        abort(websocket)


async def is_taken(closing: Coroutine[Any, Any, None], transport: asyncio.WriteTransport) -> bool:
    """Close: what was sent before comes first, as long as the peer takes it. Cancelled, and False, once it has
    acknowledged nothing for as long as a farewell may take. Raises what closing raises."""
    task, left = asyncio.create_task(closing), None
    try:
        while not task.done() and (left is None or unacknowledged_bytes(transport) < left):
            left = unacknowledged_bytes(transport)
            await asyncio.wait([task], timeout=FAREWELL_SECONDS)
        if task.done():
            task.result()
        return task.done()
    finally:
        task.cancel()


def abort(websocket: WebSocket) -> None:
    """End the connection at once; who receives hears of it as a disconnect."""
    websocket.scope["extensions"][TRANSPORT].abort()
