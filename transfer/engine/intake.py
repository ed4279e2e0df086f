"""Between a transport and a WebSocket: what comes is read to where it belongs, and not into memory of its own first."""

import asyncio
import threading
from typing import Final

from transfer.engine.payloads import SHARE
from transfer.engine.websocket import WebSocketProtocol
from transfer.protocol.limits import CHUNK_SIZE, KIB


class _Anything(threading.local):
    """Where it comes as long as no payload has its place, for all connections of a thread's loop: that takes out what
    it has read before it reads on. One read of this size is enough for a chunk of the usual size to get its place."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(CHUNK_SIZE // SHARE + 4 * KIB))


_ANYTHING: Final = _Anything()


class Intake(asyncio.BufferedProtocol):
    """What a transport knows of a `WebSocketProtocol`, which inherits from the other kind of protocol."""

    __slots__ = ("_in_place", "_websocket")

    def __init__(self, websocket: WebSocketProtocol) -> None:
        self._websocket = websocket
        self._in_place = False

    def get_buffer(self, sizehint: int) -> memoryview:
        room = self._websocket.conn.reader.room
        self._in_place = room is not None
        return _ANYTHING.buffer if room is None else room

    def buffer_updated(self, nbytes: int) -> None:
        if self._in_place:
            self._websocket.payload_received(nbytes)
        else:
            self._websocket.data_received(bytes(_ANYTHING.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """The request of the upgrade, from uvicorn."""
        self._websocket.data_received(data)

    def eof_received(self) -> None:
        self._websocket.eof_received()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._websocket.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._websocket.connection_lost(exc)

    def pause_writing(self) -> None:
        self._websocket.pause_writing()

    def resume_writing(self) -> None:
        self._websocket.resume_writing()
