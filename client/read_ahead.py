"""Reading a source in order, one chunk ahead of the network: while a chunk is sent, the next is read and hashed."""

import asyncio
from typing import NamedTuple

from client.source import Feed, Source, fed


class _Reading(NamedTuple):
    offset: int
    size: int
    feed: Feed | None
    content: "asyncio.Task[bytes]"


class ReadAhead:
    """For one reader at a time, who says `settled` before others use the source, or what they feed. A stream is not
    read ahead: at its other end somebody may wait for an answer to what came."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._next: _Reading | None = None

    async def read(self, offset: int, size: int, feed: Feed | None) -> bytes:
        """As `Source.read`; what follows is fed too, before it is asked for."""
        content = await self._taken(offset, size, feed)
        following, end = offset + len(content), self._source.size
        if self._source.seekable and end is not None and following < end:
            size = min(size, end - following)
            reading = asyncio.create_task(self._source.read(following, size, feed))
            self._next = _Reading(following, size, feed, reading)
        return content

    async def _taken(self, offset: int, size: int, feed: Feed | None) -> bytes:
        ahead = self._next
        if ahead is None or (ahead.offset, ahead.size) != (offset, size):
            await self.settled()
            return await self._source.read(offset, size, feed)
        content = await asyncio.shield(ahead.content)
        self._next = None
        return await fed(offset, content, None if ahead.feed == feed else feed)

    async def settled(self) -> None:
        """Wait until nothing is read ahead: a read in a thread cannot be cancelled. What was is forgotten."""
        ahead, self._next = self._next, None
        if ahead is not None:
            await asyncio.gather(asyncio.shield(ahead.content), return_exceptions=True)
