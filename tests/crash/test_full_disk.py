"""A disk that is too small for all: losers hear so, winners are whole, and freed space is usable at once.

Where sizes are known, losers hear it before the first byte.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.crash.life import DEADLINE, FRAME, MIB, Line, Refused, line, sha256
from tests.crash.plan import Plan
from tests.crash.power import FILE_SYSTEMS, LoopDisk, lacking
from tests.end_to_end.scene import names, stored
from tests.server import ServerProcess, http_client

ROOM: Final = 64 * MIB
FLOOR: Final = 4 * MIB
UPLOADS: Final = 8
SIZE: Final = 11 * MIB
FULL: Final = "insufficient_storage"


class Disk:
    """A file system with 64 MiB of room, in which the test may take the room away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filling = path / "filling"

    @property
    def data(self) -> Path:
        return self.path / "data"

    def leave(self, free: int) -> None:
        """Fill it up, so that about `free` bytes are left."""
        self._take(free_bytes(self.path) - free)

    def fill(self) -> None:
        """Leave nothing at all, not even what is kept for root."""
        for step in (MIB, 4096):
            with suppress(OSError):
                while True:
                    self._take(step)

    def _take(self, size: int) -> None:
        with self._filling.open("ab") as filling:
            os.posix_fallocate(filling.fileno(), os.fstat(filling.fileno()).st_size, size)

    def give_back(self) -> None:
        self._filling.unlink()


def free_bytes(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


@pytest.fixture(params=FILE_SYSTEMS)
def small_disk(request: pytest.FixtureRequest, plan: Plan, tmp_path: Path) -> Iterator[Disk]:
    if lack := lacking(request.param):
        plan.missing(lack)
    with LoopDisk(tmp_path, request.param, size=ROOM) as loop:
        disk = Disk(loop.path)
        if free_bytes(loop.path) > ROOM:  # XFS does not come that small
            disk.leave(ROOM)
        yield disk


@pytest.fixture
async def server(small_disk: Disk) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(small_disk.data, environment={"TOWLINE_MIN_FREE_BYTES": str(FLOOR)}) as server:
        yield server


class Racer:
    """One of those that upload at the same time."""

    def __init__(self, url: str, number: int, content: bytes, *, size_is_known: bool = True) -> None:
        self.url = url
        self.name = f"racer-{number}"
        self.content = content
        self._size = len(content) if size_is_known else None
        self.sent = self.acked = 0
        self.refusal: str | None = None

    async def race(self, ready: "asyncio.Barrier | None" = None) -> None:
        """Upload or be refused; between the first answer and the first byte wait for the others."""
        try:
            async with line(self.url) as to:
                try:
                    await self._begin(to)
                finally:
                    if ready is not None:
                        await ready.wait()
                await self.send(to, len(self.content))
                await self.finish(to)
        except Refused as refused:
            self.refusal = refused.code

    async def _begin(self, to: Line) -> None:
        await to.send(type="upload", name=self.name, size=self._size)
        self.sent = int(str((await to.receive())["offset"]))
        assert self.sent >= self.acked

    async def send(self, to: Line, end: int) -> None:
        while self.sent < end:
            frame = self.content[self.sent : min(end, self.sent + FRAME)]
            await to.send_frame(frame)
            self.sent += len(frame)

    async def finish(self, to: Line) -> None:
        await to.send(type="eof", digest=sha256(self.content))
        while (message := await to.receive())["type"] != "complete":
            self.acked = int(str(message["offset"]))


def racers(url: str, chance: random.Random, *, size_is_known: bool) -> list[Racer]:
    return [Racer(url, number, chance.randbytes(SIZE), size_is_known=size_is_known) for number in range(UPLOADS)]


async def check_outcome(url: str, everyone: list[Racer]) -> tuple[list[Racer], list[Racer]]:
    """The winners and the losers: the former are listed and whole, and nothing else is."""
    winners = [racer for racer in everyone if racer.refusal is None]
    losers = [racer for racer in everyone if racer.refusal is not None]
    assert {racer.refusal for racer in losers} <= {FULL}
    assert sorted(await names(url)) == sorted(racer.name for racer in winners)
    for racer in winners:
        assert await stored(url, racer.name) == racer.content
    return winners, losers


async def again(racer: Racer) -> None:
    """Upload as soon as there is room: what was deleted is given back a moment after the answer."""
    async with asyncio.timeout(DEADLINE):
        while True:
            racer.refusal = None
            await racer.race()
            if racer.refusal is None:
                return


async def delete(url: str, path: str) -> None:
    async with http_client(url) as http:
        assert (await http.delete(path)).status_code == 204


async def test_of_eight_that_say_their_size_as_many_win_as_fit(
    plan: Plan, server: ServerProcess, small_disk: Disk
) -> None:
    room = free_bytes(small_disk.path) - FLOOR
    everyone = racers(server.url, plan.chance("sizes"), size_is_known=True)
    ready = asyncio.Barrier(UPLOADS)
    await asyncio.gather(*(racer.race(ready) for racer in everyone))
    winners, losers = await check_outcome(server.url, everyone)
    assert len(winners) == room // SIZE
    assert not any(racer.sent for racer in losers), "they heard it before the first byte"
    await delete(server.url, f"/files/{winners[0].name}")
    await again(losers[0])
    assert await stored(server.url, losers[0].name) == losers[0].content
    plan.report("full disk", winners=len(winners), losers=len(losers))


async def test_of_eight_streams_the_losers_hear_it_and_the_winners_are_whole(plan: Plan, server: ServerProcess) -> None:
    everyone = racers(server.url, plan.chance("streams"), size_is_known=False)
    await asyncio.gather(*(racer.race() for racer in everyone))
    winners, losers = await check_outcome(server.url, everyone)
    assert winners
    assert losers
    async with http_client(server.url) as http:
        for upload in (await http.get("/uploads")).json()["uploads"]:
            await delete(server.url, f"/uploads/{upload['upload_id']}")
    for winner in winners:
        await delete(server.url, f"/files/{winner.name}")
    await again(Racer(server.url, UPLOADS, everyone[0].content, size_is_known=False))
    plan.report("full disk", winners=len(winners), losers=len(losers))


async def test_an_upload_goes_on_when_somebody_else_had_filled_the_disk(
    plan: Plan, server: ServerProcess, small_disk: Disk
) -> None:
    racer = Racer(server.url, 0, plan.chance("filled").randbytes(SIZE))
    async with line(server.url) as to:
        await to.send(type="upload", name=racer.name, size=SIZE)
        assert (await to.receive())["type"] == "ready"
        await racer.send(to, 2 * FRAME)
        racer.acked = int(str((await to.receive())["offset"]))
        small_disk.fill()
        await racer.send(to, SIZE)
        with pytest.raises(Refused, match=FULL):
            await racer.finish(to)
    assert await names(server.url) == [], "the catalog can be read"
    small_disk.give_back()
    await racer.race()
    assert racer.refusal is None
    assert await stored(server.url, racer.name) == racer.content
