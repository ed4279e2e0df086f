"""Leaf checksums: one XXH3-128 (16 bytes, big-endian, seed 0) for each aligned piece of a content.

A *full* leaf has `leaf_size` bytes; the piece at the end that is shorter is the *tail*. Checksums find damage and
change; they do not resist an attacker (the digest does).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from xxhash import xxh3_128

from transfer.protocol.ranges import Range, RangeSet

CHECKSUM_BYTES: Final = 16
ABSENT: Final = bytes(CHECKSUM_BYTES)
"""What stands for a leaf that is not wholly there."""
MIN_LEAF_SIZE: Final = 1 << 20
STREAM_LEAF_SIZE: Final = 16 << 20
MAX_LEAVES: Final = 65_536

Buffer = bytes | bytearray | memoryview


class Tail(NamedTuple):
    """The partial leaf at the end: how many bytes of it, and their checksum."""

    length: int
    checksum: bytes


NO_TAIL: Final = Tail(0, ABSENT)


def leaf_size_for(size: int | None) -> int:
    """The leaf size of a new upload: a power of two that keeps it to 65,536 leaves; 16 MiB for a stream."""
    if size is None:
        return STREAM_LEAF_SIZE
    leaf_size = MIN_LEAF_SIZE
    while leaf_size * MAX_LEAVES < size:
        leaf_size *= 2
    return leaf_size


def leaf_checksum(content: Buffer) -> bytes:
    return xxh3_128(content).digest()


def leaf_range(index: int, leaf_size: int, size: int) -> Range:
    """The bytes of leaf `index` in a content of `size` bytes."""
    return Range(index * leaf_size, min((index + 1) * leaf_size, size))


def split_leaves(joined: bytes) -> list[bytes]:
    """The checksums in what `join_leaves` made. Raises ValueError where the length is not a multiple of 16."""
    if len(joined) % CHECKSUM_BYTES:
        raise ValueError(f"{len(joined)} bytes of leaf checksums are not a multiple of {CHECKSUM_BYTES}")
    return [joined[at : at + CHECKSUM_BYTES] for at in range(0, len(joined), CHECKSUM_BYTES)]


def join_leaves(full: dict[int, bytes], tail: Tail, furthest: int, leaf_size: int, *, whole: bool) -> bytes:
    """The checksums of all leaves up to `furthest`, absent ones as zeros; the tail's only where it is `whole`."""
    count = -(-furthest // leaf_size)
    leaves = [full.get(index, ABSENT) for index in range(count)]
    if whole and furthest % leaf_size == tail.length and tail.length:
        leaves[-1] = tail.checksum
    return b"".join(leaves)


def differing(ours: list[bytes], theirs: list[bytes], leaf_size: int, size: int, first: int = 0) -> RangeSet:
    """The ranges of the leaves, from index `first` on, that both have and that are not the same, in a content of
    `size` bytes."""
    return RangeSet.of(
        *(
            leaf_range(index, leaf_size, size)
            for index, (our, their) in enumerate(zip(ours[first:], theirs[first:], strict=False), first)
            if ABSENT not in (our, their) and our != their and index * leaf_size < size
        )
    )


@dataclass(slots=True)
class LeafHasher:
    """Checksums of the leaves of bytes that come in order, from a leaf's start on.

    `position` is where the next byte belongs, in the content.
    """

    leaf_size: int
    position: int = 0
    _state: xxh3_128 = field(default_factory=xxh3_128)

    def __post_init__(self) -> None:
        if self.position % self.leaf_size:
            raise ValueError(f"position {self.position} is not the start of a leaf of {self.leaf_size} bytes")

    @property
    def tail(self) -> Tail:
        length = self.position % self.leaf_size
        return Tail(length, self._state.digest()) if length else NO_TAIL

    def update(self, content: Buffer) -> Iterator[tuple[int, bytes]]:
        """Take the next bytes; give index and checksum of each full leaf that they complete. Consume it wholly."""
        view = memoryview(content)
        while view:
            room = self.leaf_size - self.position % self.leaf_size
            piece, view = view[:room], view[room:]
            self._state.update(piece)
            self.position += len(piece)
            if len(piece) == room:
                yield self.position // self.leaf_size - 1, self._state.digest()
                self._state.reset()


def leaves_of(chunks: Iterable[Buffer], leaf_size: int) -> list[bytes]:
    """The checksums of a whole content, its tail included."""
    hasher = LeafHasher(leaf_size)
    leaves = [checksum for chunk in chunks for _, checksum in hasher.update(chunk)]
    return [*leaves, hasher.tail.checksum] if hasher.tail.length else leaves
