"""Chaos on the wire: what can happen to the connections of one upload, at which byte, and what its client sent.

A mishap is drawn from the chance of its case. Its `n` is a byte position of its connection, each way counted for
itself; of a flip it is the position in the file's bytes that this connection carries.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from tests.crash.frames import Frames, Place, Run
from tests.links import Fault, Happening, Link, Passage

Kind = Literal["cut", "reset", "half_close", "stall", "trickle", "flip"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
BREAKS: Final[dict[Kind, Happening]] = {
    "cut": Passage.cut,
    "reset": Passage.reset,
    "half_close": Passage.half_close,
    "stall": Passage.stall,
}
TRICKLED: Final = 600


@dataclass(frozen=True, slots=True)
class Mishap:
    """What happens to one connection: once byte `n` is to pass."""

    kind: Kind
    upstream: bool
    n: int
    in_file: bool = False
    """`n` counts the file's bytes alone."""
    bit: int = 0
    """Of a flip: which of the eight."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """What an upload puts on a fresh connection beside the file's bytes, at least: until `complete` has come."""

    upstream: int
    downstream: int


def draw(chance: random.Random, overhead: Overhead, size: int, kind: Kind) -> Mishap:
    """A mishap for the connection of an upload of `size` bytes: anywhere, or near the beginning or the end, where
    fewer bytes decide more."""
    if kind == "flip":
        return Mishap(kind, upstream=True, n=chance.randrange(size), in_file=True, bit=chance.randrange(8))
    upstream = chance.random() < 0.7
    total = overhead.upstream + size if upstream else overhead.downstream
    first, last = chance.choice([(0, total), (0, min(total, overhead.upstream)), (max(0, total - 300), total)])
    return Mishap(kind, upstream=upstream, n=chance.randrange(first, last))


class Chaos:
    """The mishaps of one link: its first connection meets the first, and so on. `sent_bytes` counts the file's bytes
    that clients sent, over all connections."""

    def __init__(self, link: Link, mishaps: Sequence[Mishap]) -> None:
        self.struck: list[tuple[Mishap, Place]] = []
        """What happened, and to which byte."""
        self.stalled = asyncio.Event()
        self.sent_bytes = 0
        self._mishaps = dict(enumerate(mishaps))
        self._seen: dict[Passage, tuple[Frames, int]] = {}
        self._trickling = 0
        link.upstream.fault = self._fault(upstream=True)
        link.downstream.fault = self._fault(upstream=False)

    def _fault(self, *, upstream: bool) -> Fault:
        def fault(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
            frames, file_before = self._seen.setdefault(passage, (Frames(), 0))
            runs = list(frames.runs(piece))
            in_file = sum(run.size for run in runs if run.place is Place.FILE)
            self._seen[passage] = frames, file_before + in_file
            self.sent_bytes += in_file if upstream else 0
            mishap = self._mishaps.get(passage.number)
            here = None
            if mishap is not None and mishap.upstream == upstream:
                here = _index(runs, mishap, mishap.n - (file_before if mishap.in_file else passage.passed_bytes))
            if mishap is None or here is None:
                yield from self._trickled(piece)
                return
            del self._mishaps[passage.number]
            self.struck.append((mishap, _place(runs, here)))
            yield from self._strike(mishap, piece, here)

        return fault

    def _strike(self, mishap: Mishap, piece: bytes, here: int) -> Iterator[bytes | Happening]:
        match mishap.kind:
            case "flip":
                yield piece[:here] + bytes([piece[here] ^ 1 << mishap.bit]) + piece[here + 1 :]
            case "trickle":
                self._trickling = TRICKLED
                yield piece[:here]
                yield from self._trickled(piece[here:])
            case _:
                if mishap.kind == "stall":
                    self.stalled.set()
                yield piece[:here]
                yield BREAKS[mishap.kind]
                yield piece[here:]

    def _trickled(self, piece: bytes) -> Iterator[bytes]:
        """A few bytes at a time, for a while."""
        while self._trickling > 0 and piece:
            step = 1 + self._trickling % 7
            self._trickling -= step
            yield piece[:step]
            piece = piece[step:]
        yield piece


def _index(runs: list[Run], mishap: Mishap, left: int) -> int | None:
    """Where in the piece a mishap strikes whose byte is `left` bytes on; None when that is not in it."""
    at = 0
    for run in runs:
        if not mishap.in_file or run.place is Place.FILE:
            if 0 <= left < run.size:
                return at + left
            left -= run.size
        at += run.size
    return None


def _place(runs: list[Run], index: int) -> Place:
    for run in runs:
        if index < run.size:
            return run.place
        index -= run.size
    raise AssertionError(index)
