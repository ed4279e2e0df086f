"""What the recorded checksums of an unfinished upload prove about its object on the disk.

A *piece* is what one checksum covers: a full leaf, or the tail. Bytes beside a hole may have none yet.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from storage.objects import read_range
from storage.writer import ObjectState
from transfer.protocol.leaves import LeafHasher
from transfer.protocol.ranges import Range

READ_BYTES: Final = 4 << 20
OnRead = Callable[[int], None]
"""Told how many bytes were read, after each reading."""


class Piece(NamedTuple):
    """Durable bytes, and the checksum that was recorded for them."""

    span: Range
    checksum: bytes


def recorded_pieces(state: ObjectState, leaf_size: int) -> Iterator[Piece]:
    """Everything that is durable and has a checksum, in order."""
    for index, checksum in sorted(state.leaves.items()):
        span = Range(index * leaf_size, (index + 1) * leaf_size)
        if state.durable.covers(*span):
            yield Piece(span, checksum)
    tail = Range(state.durable.furthest - state.tail.length, state.durable.furthest)
    if tail.size and tail.start % leaf_size == 0 and state.durable.covers(*tail):
        yield Piece(tail, state.tail.checksum)


def damaged_pieces(descriptor: int, pieces: Iterable[Piece], leaf_size: int, on_read: OnRead) -> list[Piece]:
    """Those that are not as recorded, or cannot be read."""
    return [piece for piece in pieces if _checksum(descriptor, piece.span, leaf_size, on_read) != piece.checksum]


def _checksum(descriptor: int, span: Range, leaf_size: int, on_read: OnRead) -> bytes | None:
    hasher, full = LeafHasher(leaf_size, span.start), None
    try:
        for content in read_from_disk(descriptor, span, on_read):
            full = next((checksum for _, checksum in hasher.update(content)), full)
    except OSError:
        return None
    return full or hasher.tail.checksum


def read_from_disk(descriptor: int, span: Range, on_read: OnRead) -> Iterator[bytes]:
    """The bytes of `span` in pieces: as they are on the disk where that can be had, and without driving out of the
    page cache what others read. Raises OSError, also where the object ends before."""
    os.posix_fadvise(descriptor, span.start, span.size, os.POSIX_FADV_DONTNEED)
    offset = span.start
    for content in read_range(descriptor, *span, READ_BYTES):
        yield content
        os.posix_fadvise(descriptor, offset, len(content), os.POSIX_FADV_DONTNEED)
        offset += len(content)
        on_read(len(content))
