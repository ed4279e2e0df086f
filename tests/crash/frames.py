"""What the bytes of a WebSocket connection are: a parser that follows one direction and judges nothing."""

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple


class Place(Enum):
    """Where a byte stands."""

    HANDSHAKE = "the handshake"
    FRAME = "a frame's header"
    TEXT = "a message's JSON"
    FILE = "the file"
    CONTROL = "a control frame"


_OF_OPCODE: Final = {1: Place.TEXT, 2: Place.FILE}


class Run(NamedTuple):
    """So many bytes of one kind."""

    place: Place
    size: int


class Frames:
    """One direction of one connection; its pieces come in order."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._opened = False
        self._payload = Run(Place.HANDSHAKE, 0)

    def runs(self, piece: bytes) -> Iterator[Run]:
        """What the bytes of the next piece are. Consume it wholly."""
        at = 0
        while at < len(piece):
            place, left = self._payload
            run = Run(place, min(left, len(piece) - at)) if left else Run(self._of_head(piece[at]), 1)
            if left:
                self._payload = Run(place, left - run.size)
            at += run.size
            yield run

    def _of_head(self, byte: int) -> Place:
        self._head.append(byte)
        if not self._opened:
            self._opened = self._head.endswith(b"\r\n\r\n")
            if self._opened:
                self._head.clear()
            return Place.HANDSHAKE
        if len(self._head) >= 2 and len(self._head) == _header_size(self._head[1]):
            self._payload = Run(_OF_OPCODE.get(self._head[0] & 15, Place.CONTROL), _payload_size(self._head))
            self._head.clear()
        return Place.FRAME


def _header_size(second: int) -> int:
    """RFC 6455, section 5.2: the length takes 0, 2 or 8 bytes more, the mask 4."""
    return 2 + {126: 2, 127: 8}.get(second & 127, 0) + (4 if second & 128 else 0)


def _payload_size(head: bytearray) -> int:
    length = head[1] & 127
    return int.from_bytes(head[2 : {126: 4, 127: 10}[length]]) if length >= 126 else length
