"""Clients that keep a server busy, and what they know of it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import client
from tests.end_to_end.scene import MIB
from transfer.protocol.digest import Digest, digest_bytes

Known = dict[str, Digest]
"""Files by their names."""
CLIENTS = 4


class Load:
    """Clients that upload and replace without a pause, whatever becomes of the server."""

    def __init__(self, url: str, folder: Path, chance: random.Random) -> None:
        self._url = url
        self._folder = folder
        self._chance = chance
        self._changed = asyncio.Event()
        self.kept: Known = {}
        """Files that were complete, and that nobody will replace or delete."""
        self.contents: set[str] = set()
        """Digests of everything that was ever sent."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        clients = [asyncio.create_task(self._upload(number)) for number in range(CLIENTS)]
        try:
            yield
        finally:
            for task in clients:
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def until_kept(self, count: int) -> None:
        while len(self.kept) < count:
            self._changed.clear()
            await self._changed.wait()

    async def _upload(self, number: int) -> None:
        source, turn = self._folder / f"source-{number}", 0
        async with client.connect(self._url, give_up_after=600) as connection:
            while True:
                turn += 1
                content = self._chance.randbytes(self._chance.choice([100, 5_000, MIB, 3 * MIB + 77]))
                source.write_bytes(content)
                digest = digest_bytes(content)
                self.contents.add(str(digest))
                passing = turn % 3 == 0
                name = f"passing-{number}" if passing else f"{number}/{turn}"
                await connection.upload(source, name=name, if_exists="replace")
                if not passing:
                    self.kept[name] = digest
                    self._changed.set()
