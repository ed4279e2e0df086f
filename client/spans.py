"""Who sends what of one file: spans in the order of the content, each for one connection, none so long that the others
wait for it in the end. No I/O, no clock."""

from typing import Final

from transfer.protocol.limits import KIB
from transfer.protocol.ranges import Range, RangeSet

SPAN_SECONDS: Final = 5.0
"""How long a span is to take: between two of them a connection sends nothing for a round trip."""
SHORTEST_SECONDS: Final = 1.0
"""How long the last ones are to take."""
LONE_SPANS: Final = 6
"""One connection, for which nobody waits in the end, takes so many at once."""
SMALLEST_SPAN: Final = 256 * KIB


class Spans:
    """What of `size` bytes is to be sent: those from `start` on, and what is given back. Below `durable` all is there.
    Whole leaves are handed out, but for short spans."""

    def __init__(self, size: int, leaf_size: int, *, start: int = 0, durable: int = 0) -> None:
        self._size, self._leaf_size = size, leaf_size
        self._left = RangeSet.of((start, size))
        self.durable = RangeSet.of((0, durable))

    @property
    def over(self) -> bool:
        """Whether all of it is durable."""
        return self.durable.covers(0, self._size)

    @property
    def left(self) -> int:
        """Bytes that nobody sends yet."""
        return self._left.total

    def take(self, rate: float | None, connections: int) -> Range | None:
        """The next span for one of so many connections, which sends `rate` bytes a second, as far as is known. None
        when all is handed out."""
        if not self._left:
            return None
        first = self._left.ranges[0]
        wanted = self._leaf_size if rate is None else int(rate * SPAN_SECONDS)
        fair = self.left // (2 * connections)
        if connections == 1 and rate is not None:
            wanted, fair = LONE_SPANS * wanted, self.left
        least = max(SMALLEST_SPAN, int((rate or 0) * SHORTEST_SECONDS))
        span = Range(first.start, min(first.end, first.start + max(least, min(wanted, fair))))
        aligned = span.end - span.end % self._leaf_size
        if span.end < first.end and aligned > span.start:
            span = Range(span.start, aligned)
        self._left = self._left.remove(*span)
        return span

    def give_back(self, start: int, end: int) -> None:
        """These may be not there: somebody else is to send them."""
        self._left = self._left.union(RangeSet.of(*self.durable.holes(end, start)))

    def acknowledged(self, start: int, end: int) -> None:
        """They are durable."""
        self.durable = self.durable.add(start, end)


class FrameSize:
    """How many bytes to send at a time: about half a second's worth, so that acks are not long in coming."""

    first: Final = 128 * KIB
    smallest: Final = 64 * KIB

    def __init__(self) -> None:
        self._size = self.first
        self.short = False
        """Whether to stay below half a second: what waits for the end of a frame is to wait for little."""

    def of(self, size: int) -> int:
        """How many of so many."""
        return min(size, self._size)

    def took(self, size: int, seconds: float) -> None:
        """Sending so many bytes took so long."""
        if seconds > 1.0:
            self._size = max(self.smallest, self._size // 2)
        elif size >= self._size and seconds < 0.25 and not self.short:
            self._size *= 2
