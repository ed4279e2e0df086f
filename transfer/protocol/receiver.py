"""The receiving side of one upload operation: which frame may come when, where its bytes belong, when to sync.

    state        bytes        eof         cancel      header   ready       failed      done
    ----------   ----------   ---------   ---------   ------   ---------   ---------   ----------
    OPENING      if early     if early    LEAVING     LEAVING  RECEIVING   DISCARDING  DISCARDING
    RECEIVING    RECEIVING    FINISHING   LEAVING     LEAVING  –           DISCARDING  ENDED
    FINISHING    –            –           –           stays    stays       ENDED       ENDED
    LEAVING      –            –           –           stays    stays       ENDED       ENDED
    DISCARDING   DISCARDING   ENDED       ENDED       ENDED    stays       stays       stays
    ENDED        –            –           –           ENDED    stays       stays       stays

`–` is a protocol error (`bad_message`). *Early* is a header with `"offset":0`, whose bytes may come before `ready`.
A frame is judged when it arrives; the caller writes the pieces, in order, and reports back.
"""

from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Final, NamedTuple

from transfer.protocol import limits
from transfer.protocol.errors import BadMessage, SizeMismatch, TooLarge
from transfer.protocol.ranges import Range, RangeSet


class State(StrEnum):
    OPENING = auto()
    RECEIVING = auto()
    FINISHING = auto()
    LEAVING = auto()
    DISCARDING = auto()
    ENDED = auto()


class Input(StrEnum):
    BYTES = "bytes"
    EOF = "eof"
    CANCEL = "cancel"
    HEADER = "a header"
    READY = "ready"
    FAILED = "failed"
    DONE = "done"


_STAYS: Final = (Input.READY, Input.FAILED, Input.DONE)
TABLE: Final[dict[tuple[State, Input], State]] = {
    (State.OPENING, Input.BYTES): State.OPENING,
    (State.OPENING, Input.EOF): State.FINISHING,
    (State.OPENING, Input.CANCEL): State.LEAVING,
    (State.OPENING, Input.HEADER): State.LEAVING,
    (State.OPENING, Input.READY): State.RECEIVING,
    (State.OPENING, Input.FAILED): State.DISCARDING,
    (State.OPENING, Input.DONE): State.DISCARDING,
    (State.RECEIVING, Input.BYTES): State.RECEIVING,
    (State.RECEIVING, Input.EOF): State.FINISHING,
    (State.RECEIVING, Input.CANCEL): State.LEAVING,
    (State.RECEIVING, Input.HEADER): State.LEAVING,
    (State.RECEIVING, Input.FAILED): State.DISCARDING,
    (State.RECEIVING, Input.DONE): State.ENDED,
    **{
        (state, given): after
        for state in (State.FINISHING, State.LEAVING)
        for given, after in {
            Input.HEADER: state,
            Input.READY: state,
            Input.FAILED: State.ENDED,
            Input.DONE: State.ENDED,
        }.items()
    },
    (State.DISCARDING, Input.BYTES): State.DISCARDING,
    (State.DISCARDING, Input.EOF): State.ENDED,
    (State.DISCARDING, Input.CANCEL): State.ENDED,
    (State.DISCARDING, Input.HEADER): State.ENDED,
    **{(State.DISCARDING, given): State.DISCARDING for given in _STAYS},
    (State.ENDED, Input.HEADER): State.ENDED,
    **{(State.ENDED, given): State.ENDED for given in _STAYS},
}


class Piece(NamedTuple):
    """Bytes `[start, end)` of a chunk belong at `offset`."""

    offset: int
    start: int
    end: int


class Receiver:
    """One operation. `size` is None for a stream; `early` for `"offset":0`; methods raise BadMessage, SizeMismatch
    or TooLarge and change nothing: the caller then calls `failed`, and what still comes is discarded."""

    def __init__(
        self,
        *,
        size: int | None = None,
        early: bool = False,
        max_size: int = limits.MAX_STREAM_SIZE,
        state: State = State.OPENING,
    ) -> None:
        self.state = state
        self._early = early
        self._position = 0
        self._size = size
        self._end: int | None = size
        self.max_size = max_size
        self._there = RangeSet()

    def _take(self, given: Input) -> None:
        after = TABLE.get((self.state, given))
        if after is None or (self.state is State.OPENING and given in (Input.BYTES, Input.EOF) and not self._early):
            expected = "wait for ready" if self.state is State.OPENING else "send a header first"
            raise BadMessage(f"{given.value} cannot come here: {expected}", state=self.state.value)
        self.state = after

    def ready(self, offset: int, *, size: int | None, end: int | None, there: RangeSet) -> None:
        """The operation begins at `offset`; `end` is where it ends (None for a stream), `there` what need not be
        written again."""
        if not self._early:
            self._position = offset
        self._size, self._end, self._there = size, end, there
        self._take(Input.READY)

    def chunk(self, length: int) -> list[Piece]:
        """A binary frame came. Returns what of it is to be written; bytes that are there already are dropped."""
        self._take(Input.BYTES)
        if self.state is State.DISCARDING:
            return []
        start, end = self._position, self._position + length
        if self._end is not None and end > self._end:
            raise SizeMismatch(f"more bytes than announced: {end} of {self._end}", expected=self._end, received=end)
        if end > self.max_size:
            raise TooLarge(f"the upload reaches {end} bytes, the limit is {self.max_size}", limit=self.max_size)
        self._position = end
        pieces = [Piece(hole.start, hole.start - start, hole.end - start) for hole in self._there.holes(end, start)]
        self._there = self._there.add(start, end)
        return pieces

    @property
    def lacks_bytes(self) -> bool:
        """Whether bytes have to come before this operation can end; of a stream nobody knows."""
        if self._size is None or self._end is None or self._position >= self._end:
            return False
        return self.state is State.RECEIVING or (self.state is State.OPENING and self._early)

    def forget(self, span: Range) -> None:
        """These bytes are damaged: when they come again they are written."""
        self._there = self._there.remove(*span)

    def eof(self) -> None:
        self._take(Input.EOF)

    def cancel(self) -> None:
        self._take(Input.CANCEL)

    def header(self) -> None:
        """The next operation begins."""
        self._take(Input.HEADER)

    def failed(self) -> None:
        self._take(Input.FAILED)

    def done(self) -> None:
        """The operation was answered for good."""
        self._take(Input.DONE)

    @property
    def position(self) -> int:
        """Where the next byte belongs."""
        return self._position


@dataclass(slots=True)
class DurablePoints:
    """When to sync: every 8 MiB, or 250 ms after the first byte that is not durable. Times come from the caller."""

    every_bytes: int = limits.DURABLE_POINT_BYTES
    every_seconds: float = limits.DURABLE_POINT_SECONDS
    _bytes: int = 0
    _since: float | None = field(default=None)

    def wrote(self, size: int, now: float) -> None:
        self._bytes += size
        if self._since is None:
            self._since = now

    def wait(self, now: float) -> float | None:
        """Seconds until a durable point is due; 0 when it is, None when there is nothing to sync."""
        if self._since is None:
            return None
        if self._bytes >= self.every_bytes:
            return 0.0
        return max(0.0, self._since + self.every_seconds - now)

    def begun(self) -> None:
        """A sync of everything that was written begins."""
        self._bytes, self._since = 0, None


def acknowledged(durable: RangeSet, span: Range | None) -> int:
    """The offset to acknowledge: from byte 0 on, or within the range of the operation."""
    if span is None:
        return durable.leading
    reached = next((piece.end for piece in durable if piece.start <= span.start < piece.end), span.start)
    return min(reached, span.end)
