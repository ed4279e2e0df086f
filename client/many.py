"""Many uploads at once: the small files follow one another on one connection, each large one that is on its way has a
connection of its own, with its own lease.

Each large file may take several connections (`client.growth`, or as many as were asked for), so that all together stay
as many as one alone would take; where more files are on their way than that, each has one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Final

from client.errors import CannotConnect
from client.kept_wire import KeptWire
from client.lanes import Lanes, side_by_side
from client.pipeline import Pipeline
from client.progress import Complete, Failed
from client.small_files import Item, SmallFile, SmallFileReader
from client.wire import Opener

AT_ONCE: Final = 4
"""Files at a time, when nothing else is said."""

UploadOne = Callable[[Item, Opener, int], Coroutine[None, None, Complete | Failed]]
"""Uploads a large file on such a connection and at most so many beside it."""


class ManyUploads:
    """`count` files at a time of those that the reader reads. `own` is the first connection; `open_another` opens those
    beside it. One large file alone may take `most`."""

    def __init__(
        self,
        reader: SmallFileReader,
        pipeline: Callable[[AsyncIterator[list[SmallFile]]], Pipeline],
        upload_one: UploadOne,
        own: KeptWire,
        open_another: Opener,
        count: int,
        most: int,
    ) -> None:
        self._reader, self._upload_one = reader, upload_one
        self._own, self._open_another, self._count, self._most = own, open_another, count, most
        self._pipeline = pipeline(self._small_files())
        self._lanes: Lanes[Complete | Failed] = Lanes()
        self._large: asyncio.Queue[Item | None] = asyncio.Queue()
        self._given_back: list[Item] = []
        self._busy = 0
        self._all_read = False

    def results(self) -> AsyncIterator[Complete | Failed]:
        """Raises what makes the rest vain too. Cancelling it leaves what is on its way resumable."""
        return self._lanes.results(self._all)

    async def _all(self) -> None:
        others = [KeptWire(self._open_another) for _ in range(self._count - 1)]
        try:
            await side_by_side(self._first_lane, *[partial(self._large_files, wire) for wire in others])
            taken = next((wire for wire in others if wire.is_open), self._own)
            for item in self._left_over():
                self._lanes.tell(await self._upload_one(item, taken.exclusive, self._most))
        finally:
            for wire in others:
                await wire.close()

    async def _first_lane(self) -> None:
        """The small files, then large ones like the others."""
        async for result in self._pipeline.results():
            self._lanes.tell(result)
        await self._large_files(self._own)

    async def _large_files(self, wire: KeptWire) -> None:
        """Where this connection is not taken beside others, by the server or by who stands before it, what is left is
        for those."""
        while (item := await self._large.get()) is not None:
            self._busy += 1
            try:
                self._lanes.tell(await self._upload_one(item, wire.exclusive, self._fair_share))
            except CannotConnect:
                self._given_back.append(item)
                return
            finally:
                self._busy -= 1
        self._large.put_nowait(None)

    def _left_over(self) -> Iterator[Item]:
        """What was given back, and all others where no connection was taken."""
        yield from self._given_back
        while (item := self._large.get_nowait()) is not None:
            yield item

    @property
    def _fair_share(self) -> int:
        """How many connections each of those that are on their way, or soon are, may have."""
        waiting = self._large.qsize() - self._all_read
        return max(1, self._most // min(self._count, self._busy + waiting))

    async def _small_files(self) -> AsyncIterator[list[SmallFile]]:
        """What the reader reads; what it finds else goes its own way."""
        async for files in self._reader.files():
            self._hand_on()
            yield files
        self._hand_on()
        self._all_read = True
        self._large.put_nowait(None)

    def _hand_on(self) -> None:
        for item in self._reader.large:
            self._large.put_nowait(item)
        for unchanged in self._reader.unchanged:
            self._lanes.tell(unchanged)
        for failed in self._reader.failed:
            self._lanes.tell(failed)
        self._reader.forget()
