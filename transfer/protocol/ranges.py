"""A set of byte ranges and its holes.

Ranges are half-open, `[start, end)`, in bytes. A `RangeSet` is immutable, sorted, and merges what touches, so two
sets of the same bytes are equal. It knows nothing of files, sizes or who put the bytes there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self


class Range(NamedTuple):
    """The bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start

    def intersection(self, other: "Range") -> "Range | None":
        """The bytes that both have; None where there are none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Range(start, end) if start < end else None


def _merged(pairs: Iterable[tuple[int, int]]) -> Iterator[Range]:
    current: Range | None = None
    for start, end in sorted(pairs):
        if start < 0 or end < start:
            raise ValueError(f"not a range: [{start}, {end})")
        if start == end:
            continue
        if current is not None and start <= current.end:
            current = Range(current.start, max(current.end, end))
            continue
        if current is not None:
            yield current
        current = Range(start, end)
    if current is not None:
        yield current


@dataclass(frozen=True, slots=True)
class RangeSet:
    """Which bytes are there. Build it with `RangeSet.of`; raises ValueError for a range that ends before it starts."""

    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, *pairs: tuple[int, int]) -> Self:
        return cls(tuple(_merged(pairs)))

    def __iter__(self) -> Iterator[Range]:
        return iter(self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    @property
    def total(self) -> int:
        """How many bytes are there."""
        return sum(piece.size for piece in self.ranges)

    @property
    def leading(self) -> int:
        """How many bytes are there from byte 0 on without a hole: the offset."""
        return self.ranges[0].end if self.ranges and self.ranges[0].start == 0 else 0

    @property
    def furthest(self) -> int:
        """The end of the furthest byte that is there."""
        return self.ranges[-1].end if self.ranges else 0

    def add(self, start: int, end: int) -> "RangeSet":
        last = self.ranges[-1] if self.ranges else Range(start, start)
        if 0 <= last.start <= start <= last.end and start < end:  # appending: the common case
            return RangeSet((*self.ranges[:-1], Range(last.start, max(last.end, end))))
        return RangeSet.of(*self.ranges, (start, end))

    def remove(self, start: int, end: int) -> "RangeSet":
        kept: list[tuple[int, int]] = []
        for piece in self.ranges:
            if piece.start < start:
                kept.append((piece.start, min(piece.end, start)))
            if piece.end > end:
                kept.append((max(piece.start, end), piece.end))
        return RangeSet.of(*kept)

    def union(self, other: "RangeSet") -> "RangeSet":
        return RangeSet.of(*self.ranges, *other.ranges)

    def intersection(self, other: "RangeSet") -> "RangeSet":
        return RangeSet.of(*(both for a in self for b in other if (both := a.intersection(b))))

    def covers(self, start: int, end: int) -> bool:
        """Whether every byte of `[start, end)` is there; an empty range always is."""
        return start >= end or any(piece.start <= start and end <= piece.end for piece in self.ranges)

    def holes(self, end: int, start: int = 0) -> tuple[Range, ...]:
        """What is missing in `[start, end)`, in order."""
        missing: list[Range] = []
        for piece in self.ranges:
            if piece.start >= end:
                break
            if start < piece.start:
                missing.append(Range(start, piece.start))
            start = max(start, piece.end)
        if start < end:
            missing.append(Range(start, end))
        return tuple(missing)
