"""Reading the payload of a frame that comes in many pieces, without copying it again and again on the way."""

import threading
from collections.abc import Generator
from typing import Final

from websockets.streams import StreamReader

from transfer.protocol.limits import CHUNK_SIZE

LONG_BYTES: Final = 16_384
"""What is shorter mostly comes in one piece with its head."""
SHARE: Final = 8
"""Whoever has sent an eighth of a payload gets memory for all of it: to say how long it will be must not be enough."""


class _Spare(threading.local):
    """The place of the last payload, for the next one of that length, of any connection of a thread's loop: memory that
    is taken anew is set to zero first, all of it."""

    payload: bytearray | None = None

    def take(self, size: int) -> bytearray:
        payload, self.payload = self.payload, None
        return payload if payload is not None and len(payload) == size else bytearray(size)

    def give_back(self, payload: bytearray) -> None:
        if len(payload) <= CHUNK_SIZE:
            self.payload = payload


_SPARE: Final = _Spare()


class PayloadReader(StreamReader):
    """websockets' reader appends what comes to one buffer, which moves as it grows, and copies each payload out of it.
    This one gives a long payload a place of its own: what is missing there is `room`, for a system call to fill.

    Whoever reads has to be done with it before anything else is read in this thread: all that comes to a server is
    masked (RFC 6455, section 5.3), and websockets unmasks it at once, into memory of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._payload: bytearray | None = None
        self._filled = self._wanted = 0

    @property
    def unread_bytes(self) -> int:
        """What has come and nobody has read."""
        return self._filled + len(self.buffer)

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """As websockets'. Raises EOFError."""
        if n <= LONG_BYTES or n <= len(self.buffer):
            return (yield from super().read_exact(n))
        self._wanted = n
        self._make_room()
        while self.unread_bytes < n:
            if self.eof:
                raise EOFError(f"stream ends after {self.unread_bytes} bytes, expected {n} bytes")
            yield
        payload = self._payload
        self._forget()
        if payload is None:
            return (yield from super().read_exact(n))
        _SPARE.give_back(payload)
        return payload

    def at_eof(self) -> Generator[None, None, bool]:
        """As websockets', also where a payload was given up on the way."""
        while not self.unread_bytes and not self.eof:
            yield
        return not self.unread_bytes

    @property
    def room(self) -> memoryview | None:
        """Where the next bytes belong, and how many; None where all that comes is for `feed_data`."""
        if self._payload is None or self._filled == self._wanted:
            return None
        return memoryview(self._payload)[self._filled :]

    def filled(self, count: int) -> bool:
        """So many bytes were written into `room`. Returns whether the payload is whole."""
        self._filled += count
        return self._filled == self._wanted

    def feed_data(self, data: bytes | bytearray) -> None:
        """As websockets'. Raises EOFError after the end."""
        room = None if self.eof else self.room
        if room is not None:
            begun, data = data[: len(room)], data[len(room) :]
            room[: len(begun)] = begun
            self.filled(len(begun))
        super().feed_data(data)
        self._make_room()

    def _make_room(self) -> None:
        come = len(self.buffer)
        if self._payload is None and SHARE * come >= self._wanted > come:
            self._payload, self._filled = _SPARE.take(self._wanted), come
            self._payload[:come] = self.buffer
            self.buffer.clear()

    def discard(self) -> None:
        super().discard()
        self._forget()

    def _forget(self) -> None:
        self._payload, self._filled, self._wanted = None, 0, 0
