"""Contents that cost nothing to make: pieces of one block of random bytes, each known by where it begins and ends."""

import random
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from transfer.protocol.digest import Digest, digest_bytes

_BLOCK_BYTES: Final = 48 << 20


@cache
def _block() -> memoryview:
    return memoryview(random.Random("contents").randbytes(_BLOCK_BYTES))


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that somebody sends. Two that begin elsewhere differ in every stretch of a few bytes."""

    start: int
    size: int
    digest: Digest = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_bytes(self.view, "sha256"))

    @classmethod
    def of(cls, chance: random.Random, smallest: int, largest: int) -> "Content":
        """Some content of some size between these two."""
        size = chance.randint(smallest, largest)
        return cls(chance.randrange(_BLOCK_BYTES - size), size)

    @property
    def view(self) -> memoryview:
        return _block()[self.start : self.start + self.size]

    def __str__(self) -> str:
        return f"{self.size} bytes, {str(self.digest)[:15]}…"


def common_prefix(ours: memoryview | bytes, theirs: memoryview | bytes) -> int:
    """How many leading bytes are the same."""
    same = min(len(ours), len(theirs))
    if ours[:same] == theirs[:same]:
        return same
    low, high = 0, same  # the first `low` are the same, the first `high` are not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if ours[low:middle] == theirs[low:middle] else (low, middle)
    return low
