"""How fast a connection may move the bytes of files, where somebody set a limit."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

from transfer.protocol.bucket import Bucket
from transfer.protocol.limits import KIB, MIB

_PIECES_A_SECOND: Final = 4


class SpeedLimit:
    """`rate` bytes a second on average, for all that goes by the same limit; None is no limit. Bytes go in pieces
    of a quarter of a second, so that the network is used evenly and a display moves on."""

    def __init__(
        self,
        rate: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._piece = MIB if rate is None else min(MIB, max(KIB, int(rate / _PIECES_A_SECOND)))
        self._bucket = None if rate is None else Bucket(rate, self._piece)
        self._clock = clock
        self._sleep = sleep

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return self._bucket is not None

    def piece_of(self, size: int) -> int:
        """How many of so many bytes to move at a time."""
        return size if self._bucket is None else min(size, self._piece)

    def pieces(self, content: bytes) -> Iterator[bytes]:
        """Bytes as they may be moved."""
        step = max(1, self.piece_of(len(content)))
        return (content[start : start + step] for start in range(0, len(content), step))

    async def moved(self, size: int) -> None:
        """A piece was moved: return when the next may be. Cancelling it ends at once, and the piece counts."""
        if self._bucket is None:
            return
        now = self._clock()
        self._bucket.owe(size, now)
        seconds = self._bucket.wait(0, now)
        if seconds:
            await self._sleep(seconds)


async def slowed(chunks: AsyncIterator[bytes], limit: SpeedLimit) -> AsyncIterator[bytes]:
    """What comes, as fast as it may."""
    async for chunk in chunks:
        for piece in limit.pieces(chunk):
            yield piece
            await limit.moved(len(piece))
