"""Many downloads, some at a time, into one folder."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from client.downloader import Downloader
from client.errors import ClientError, stops_everything
from client.lanes import Lanes
from client.partial import remove_stale_partials
from client.progress import Downloaded, Event, Failed, Listener
from client.target_folder import TargetFolder
from transfer.protocol.digest import Digest
from transfer.protocol.errors import TransferError
from transfer.protocol.names import Name


@dataclass(frozen=True, slots=True)
class Offered:
    """A file that a server has, as its listing tells of it, and the place where it is to be."""

    name: Name
    place: Path
    size: int
    digest: Digest
    modified: datetime | None

    @property
    def unchanged(self) -> Downloaded:
        """The event of a file that is in its place already."""
        return Downloaded(
            name=str(self.name),
            path=self.place,
            size=self.size,
            digest=self.digest,
            received_bytes=0,
            unchanged=True,
            resumed_at=0,
        )


class ManyDownloads:
    """`count` at a time of those files. `downloader` makes one, which tells the listener it is given how it ended."""

    def __init__(
        self,
        offered: Iterable[Offered],
        folder: TargetFolder,
        downloader: Callable[[Listener], Downloader],
        listener: Listener,
        *,
        count: int,
        force: bool,
    ) -> None:
        self._left = iter(offered)
        self._folder, self._downloader, self._listener = folder, downloader, listener
        self._count, self._force = count, force
        self._lanes: Lanes[Downloaded | Failed] = Lanes()
        self._fetched: list[Path] = []

    async def results(self) -> AsyncIterator[Downloaded | Failed]:
        """Raises what makes the rest vain too. Cancelling it leaves what the same downloads go on with."""
        try:
            async for result in self._lanes.results(*[self._lane] * self._count):
                yield result
        finally:
            await asyncio.to_thread(remove_stale_partials, self._fetched, but=self._folder.places)

    async def _lane(self) -> None:
        for offered in self._left:
            try:
                await self._fetch(offered)
            except (TransferError, ClientError, OSError) as error:
                if stops_everything(error):
                    raise
                self._lanes.tell(Failed(name=str(offered.name), error=error))

    async def _fetch(self, offered: Offered) -> None:
        is_new = await asyncio.to_thread(self._folder.make_way_to, offered.place)
        downloader = self._downloader(self._hear)
        await downloader.fetch(offered.name, offered.place, force=self._force, entry=offered, is_new=is_new)
        self._fetched.append(offered.place)

    def _hear(self, event: Event) -> None:
        if isinstance(event, Downloaded):
            self._lanes.tell(event)
        else:
            self._listener(event)
