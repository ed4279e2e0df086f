"""Sees when what passes on a WebSocket's connection, by its bytes as they come (RFC 6455, section 5.2)."""

import time
from collections.abc import Iterator
from enum import IntEnum

HEAD_END = b"\r\n\r\n"


class Opcode(IntEnum):
    TEXT = 1
    BINARY = 2


class FrameWatch:
    """One direction of one connection: when the first frame of each kind began."""

    def __init__(self) -> None:
        self.began: dict[int, float] = {}
        """For each opcode the moment, by `time.perf_counter`, when the head of its first frame was there."""
        self._pending = bytearray()
        self._upgraded = False
        self._to_skip = 0

    def see(self, piece: bytes) -> None:
        """What passes next, in pieces of any size."""
        skipped = min(self._to_skip, len(piece))
        self._to_skip -= skipped
        self._pending += piece[skipped:]
        for opcode in self._frames():
            self.began.setdefault(opcode, time.perf_counter())

    def _frames(self) -> Iterator[int]:
        if not self._upgraded:
            _head, end, rest = self._pending.partition(HEAD_END)
            if not end:
                return
            self._upgraded, self._pending = True, rest
        while (head_size := self._head_size()) <= len(self._pending):
            yield self._pending[0] & 0x0F
            self._skip(head_size + self._payload_size())

    def _head_size(self) -> int:
        """Of the frame that begins here; as much as is sure already where it is not all there."""
        if len(self._pending) < 2:
            return 2
        extended = {126: 2, 127: 8}.get(self._pending[1] & 0x7F, 0)
        return 2 + extended + (4 if self._pending[1] & 0x80 else 0)

    def _payload_size(self) -> int:
        short = self._pending[1] & 0x7F
        return short if short < 126 else int.from_bytes(self._pending[2 : 4 if short == 126 else 10], "big")

    def _skip(self, count: int) -> None:
        there = min(count, len(self._pending))
        del self._pending[:there]
        self._to_skip = count - there
