"""Reading the payload of a frame that comes in many pieces, without copying it again and again on the way."""

from collections.abc import Generator
from typing import Final

from websockets.streams import StreamReader

PIECE_BYTES: Final = 16_384
"""Smaller ones are joined as they come, so that a sender of tiny ones takes no more memory than their bytes."""


class PayloadReader(StreamReader):
    """websockets' reader appends what comes to one buffer, which moves as it grows, and copies each payload out of it.
    This one keeps the pieces of a long payload, and joins them once."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes | bytearray] = []
        self._kept = self._wanted = 0

    @property
    def unread_bytes(self) -> int:
        """What has come and nobody has read."""
        return self._kept + len(self.buffer)

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """As websockets'. Raises EOFError."""
        if n <= PIECE_BYTES or n <= len(self.buffer):
            return (yield from super().read_exact(n))
        self._wanted = n
        while self.unread_bytes < n:
            if self.eof:
                raise EOFError(f"stream ends after {self.unread_bytes} bytes, expected {n} bytes")
            yield
        missing = n - self._kept
        payload = bytearray().join([*self._pieces, memoryview(self.buffer)[:missing]])
        self._pieces, self._kept, self._wanted = [], 0, 0
        del self.buffer[:missing]
        return payload

    def at_eof(self) -> Generator[None, None, bool]:
        """As websockets', also where a payload was given up on the way."""
        while not self.unread_bytes and not self.eof:
            yield
        return not self.unread_bytes

    def feed_data(self, data: bytes | bytearray) -> None:
        """As websockets'. Raises EOFError after the end."""
        missing = self._wanted - self.unread_bytes
        if self.eof or len(data) < PIECE_BYTES or missing <= 0:
            super().feed_data(data)
            return
        if self.buffer:
            self._keep(self.buffer)
            self.buffer = bytearray()
        self._keep(data[:missing])
        self.buffer += data[missing:]

    def _keep(self, piece: bytes | bytearray) -> None:
        self._pieces.append(piece)
        self._kept += len(piece)

    def discard(self) -> None:
        super().discard()
        self._pieces, self._kept, self._wanted = [], 0, 0
