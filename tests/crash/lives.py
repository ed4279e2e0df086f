"""Lives of one server: eight clients use it, it crashes, what it says afterwards is compared with what it promised."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import client
from tests.crash.aftermath import look
from tests.crash.forkserver import ForkedServer
from tests.crash.history import History, Upload, Verdict
from tests.crash.plan import Plan
from tests.crash.workload import Workload
from tests.server import alarms
from transfer.settings import Settings

MOST_TOLD: Final = 50
"""A life ends after clients were told something at most so often, and a moment."""
MOMENT_SECONDS: Final = 0.03
MOST_ACKS: Final = 8
SHARE_AFTER_AN_ACK: Final = 0.65
AFTER_AN_ACK_SECONDS: Final = 0.003
SHARE_OF_RECOVERIES_KILLED: Final = 0.2

Strike = Callable[[ForkedServer], Awaitable[None]]
"""Ends a server, with what it takes along."""


class Lives:
    """Of a server on the folder `data`, each ended by `strike`; figures go to the `row` of the plan."""

    def __init__(self, plan: Plan, row: str, chance: random.Random, data: Path, scratch: Path, strike: Strike) -> None:
        self._plan, self._row, self._chance = plan, row, chance
        self._data, self._scratch, self._strike = data, scratch, strike
        self._history = History()
        self._server = ForkedServer(Settings(data=data, port=0, min_free_bytes=0), scratch / "log")
        self._start_seconds = 0.1
        self._with_acked_bytes = 0

    async def live(self, times: int) -> None:
        """So many lives, and one in which everybody comes to their end. Raises AssertionError, also when too few
        crashes came between an ack and the end of an upload to show anything."""
        async with self._server, Workload(self._history, self._chance, self._scratch) as workload:
            await self._recover()
            for _ in range(times):
                await self._life(workload)
                await self._recover()
                await self._check()
            workload.go_on(self._server.port)
            await workload.finished()
            await self._strike(self._server)
            await self._recover()
            await self._check()
        assert not self._history.underway
        assert not (alarms := self._alarms()), "\n".join(alarms)
        assert self._with_acked_bytes > times // 10

    async def _life(self, workload: Workload) -> None:
        completed, resumed = self._history.completed, self._history.resumed
        workload.go_on(self._server.port, with_small_files=self._chance.random() < 0.5)
        await self._moment(workload)
        workload.crash()
        await self._strike(self._server)
        await workload.noticed()
        self._count_clients(self._history.completed - completed, self._history.resumed - resumed)

    async def _moment(self, workload: Workload) -> None:
        """Between an ack and what follows it there are a few milliseconds: most crashes aim at them."""
        if self._chance.random() < SHARE_AFTER_AN_ACK:
            await workload.until_told(0, acked=self._chance.randint(1, MOST_ACKS))
            await asyncio.sleep(self._chance.uniform(0, AFTER_AN_ACK_SECONDS))
        else:
            await workload.until_told(self._chance.randrange(MOST_TOLD))
            await asyncio.sleep(self._chance.uniform(0, MOMENT_SECONDS))

    async def _recover(self) -> None:
        """Start it, and kill it while it starts in some of the cases."""
        while self._chance.random() < SHARE_OF_RECOVERIES_KILLED:
            self._server.begin()
            await asyncio.sleep(self._chance.uniform(0, self._start_seconds))  # this is the moment
            await self._strike(self._server)
            self._plan.report(self._row, recoveries_killed=1)
        began = time.monotonic()
        await self._server.start()
        self._start_seconds = time.monotonic() - began

    async def _check(self) -> None:
        verdict = self._history.check(await look(self._server.url, self._data))
        with_acked_bytes = int(verdict.acked_bytes_checked > 0)
        self._with_acked_bytes += with_acked_bytes
        self._plan.report(self._row, crashes=1, crashes_with_acked_bytes=with_acked_bytes)
        self._count(verdict)
        assert not verdict.sentences, "\n".join(verdict.sentences)

    def _alarms(self) -> list[str]:
        """A crash is no reason for the server to log an error, before or after."""
        return alarms(self._server.log.read_text().splitlines())

    def _count_clients(self, completed: int, resumed: int) -> None:
        underway = self._history.underway
        acked = sum(isinstance(change, Upload) and change.acked > 0 for change in underway)
        self._plan.report(self._row, told_complete=completed, resumed=resumed, acked=acked, sent=len(underway) - acked)

    def _count(self, verdict: Verdict) -> None:
        self._plan.report(
            self._row,
            acked_bytes_checked=verdict.acked_bytes_checked,
            files_checked=verdict.files_checked,
            complete_unknown_to_the_client=verdict.complete_unknown_to_the_client,
            acked_bytes_lost=verdict.acked_bytes_lost,
            wrong_files=verdict.wrong_files,
            uploads_that_do_not_resume=verdict.uploads_that_do_not_resume,
        )


async def first_starts(plan: Plan, row: str, folder: Path, scratch: Path, strike: Strike) -> None:
    """Strike while stores are made in `folder`; the next start makes each of them, and it can be used."""
    seconds = 0.1
    for number in range(plan.count(in_ci=20, full=200)):
        chance = plan.chance(row, "first start", number)
        settings = Settings(data=folder / str(number), port=0, min_free_bytes=0)
        async with ForkedServer(settings, scratch / "log") as server:
            server.begin()
            await asyncio.sleep(chance.uniform(seconds / 4, seconds))  # this is the moment
            await strike(server)
            began = time.monotonic()
            await server.start()
            seconds = time.monotonic() - began
            assert await client.list_files(server.url) == []
            await client.upload(server.url, b"content", name="a")
        plan.report(row, first_starts_cut_short=1)
