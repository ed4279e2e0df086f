"""Eight clients at once, each in a folder of its own, that go on with the same uploads after every crash.

A client that hears that its connection broke hangs up, and its job is attempted anew after the restart; a patient one
goes through the crash by itself, over a link that lets it in again once everything was checked.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

import client
from client.errors import ConnectionBroken
from client.progress import Ack, Event, Listener, Waiting
from tests.crash.contents import Content
from tests.crash.history import Change, History, Upload
from tests.crash.jobs import Delete, Job, OneStream, OneUpload, Rename, SmallFiles
from tests.links import Link
from transfer.protocol.errors import TransferError
from transfer.protocol.messages import IfExists

CLIENTS: Final = 8
KIB: Final = 1 << 10
MIB: Final = 1 << 20
_NAMES_EACH: Final = 3
_MOST_WAITS: Final = 3
_JOBS_A_CONNECTION: Final = 5


class HungUp(Exception):
    """The connection broke, and this client does not wait for a new one."""


class Client:
    """One of them. What it does comes from `chance`, what it hears goes to `history`."""

    def __init__(self, number: int, history: History, chance: random.Random, folder: Path) -> None:
        self.crashed = False
        """The server is about to be gone: nothing that it answers now, or does not, is a surprise."""
        self.going_on = True
        self.small = number < 2
        self.waiting = False
        self._number, self._history, self._chance, self._folder = number, history, chance, folder
        self._job: Job | None = None
        self._patient = False
        self._waits = 0

    async def work(self, url: str, patient_url: str, told: Listener) -> None:
        """Job after job, until it hangs up. Raises what should not have happened."""

        def heard(event: Event) -> None:
            self._heard(event)
            told(event)

        while self.going_on or self._job is not None:
            self._patient = not self.small and self._chance.random() < 0.1
            try:
                await self._jobs(patient_url if self._patient else url, heard)
            except (HungUp, ConnectionBroken, TransferError) as reason:
                self.waiting = False
                if self.crashed:
                    return
                if not (self._patient and isinstance(reason, HungUp)):
                    raise

    async def _jobs(self, url: str, heard: Listener) -> None:
        async with client.connect(url) as connection:
            for _ in range(1 if self._patient else _JOBS_A_CONNECTION):
                await self._one_job(connection, heard)

    def release(self) -> None:
        """Let a stream that is held come to its end, and begin nothing more."""
        self.going_on = False
        if isinstance(self._job, OneStream):
            self._job.held = 0
            self._job.release.set()

    async def _one_job(self, connection: client.Connection, heard: Listener) -> None:
        if self._job is None and self.going_on:
            self._job = self._next_job()
            for change in self._job.changes:
                self._history.begin(change)
        self._waits = 0
        if self._job is not None and not all(change.settled for change in self._job.changes):
            await self._job.attempt(connection, self._history, heard)
        self._job = None

    def _heard(self, event: Event) -> None:
        self.waiting = isinstance(event, Waiting)
        if isinstance(event, Waiting):
            self._waits += 1
            if not self._patient or self._waits > _MOST_WAITS:
                raise HungUp(event.reason)

    # ------------------------------------------------------------------------------------------- what it does next

    def _next_job(self) -> Job:
        if self.small:
            return self._small_files()
        taken = [name for name in self._names() if name in self._history.files]
        free = [name for name in self._names() if name not in self._history.files]
        dice = self._chance.random()
        if taken and not free and dice < 0.25:
            name = self._chance.choice(taken)
            return Delete(name, Change({name: None}))
        if taken and free and dice < 0.15:
            name, new_name = self._chance.choice(taken), self._chance.choice(free)
            change = Change({name: None, new_name: self._history.files[name]})
            return Rename(name, new_name, change)
        return self._upload(self._chance.choice(list(self._names())))

    def _names(self) -> Iterator[str]:
        return (f"client {self._number}/{letter}" for letter in "abcdefgh"[:_NAMES_EACH])

    def _upload(self, name: str) -> Job:
        if_exists: IfExists = "replace" if name in self._history.files else "error"
        if self._number == 2:  # several durable points, several leaves
            return OneUpload(self._new(name, 9 * MIB, 18 * MIB), if_exists)
        if self._number in (3, 4):
            held = self._chance.choice((0, 1, 2))
            largest = 20 * MIB if self._chance.random() < 0.1 else 3 * MIB  # more than a leaf of a stream
            return OneStream(self._new(name, 1, largest), if_exists, held=held)
        return OneUpload(self._new(name, self._chance.choice((0, MIB)), 3 * MIB), if_exists)

    def _small_files(self) -> Job:
        wanted = self._chance.randint(1, 12)
        sizes = [self._chance.choice((0, 5, KIB, 60 * KIB)) for _ in range(wanted)]
        sizes[0] = self._chance.choice((KIB, 300 * KIB, MIB))
        names = self._chance.sample([f"client {self._number}/small {place}" for place in range(20)], wanted)
        return SmallFiles([self._new(name, size, size) for name, size in zip(names, sizes, strict=True)], self._folder)

    def _new(self, name: str, smallest: int, largest: int) -> Upload:
        return Upload({name: Content.of(self._chance, smallest, largest)})


class Workload:
    """The clients, while entered. Between `crash` and `go_on` nobody reaches the server."""

    def __init__(self, history: History, chance: random.Random, folder: Path) -> None:
        self._clients = [Client(number, history, random.Random(chance.random()), folder) for number in range(CLIENTS)]
        self._link = Link("127.0.0.1", 0)
        self._tasks: dict[Client, asyncio.Task[None]] = {}
        self._told = self._acked = 0
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._link.__aexit__(*exc_info)

    def go_on(self, port: int, *, with_small_files: bool = True) -> None:
        """The server is back: everybody goes on with what they were doing."""
        self._link.target, self._link.refusing = ("127.0.0.1", port), False
        self._told = self._acked = 0
        self._collect()
        for each in self._clients:
            each.crashed = False
            if each not in self._tasks and (with_small_files or not each.small):
                self._start(each, port)

    def _start(self, each: Client, port: int) -> None:
        task = asyncio.create_task(each.work(f"http://127.0.0.1:{port}", self._link.url, self._hear))
        self._tasks[each] = task
        task.add_done_callback(lambda _: self._changed.set())

    def _hear(self, event: Event) -> None:
        self._told += 1
        self._acked += isinstance(event, Ack)
        self._changed.set()

    async def until_told(self, times: int, *, acked: int = 0) -> None:
        """Until clients have heard so much since they went on, so many acks among it. Raises what befell one of
        them."""
        await self._until(lambda: self._told >= times and self._acked >= acked)

    def crash(self) -> None:
        """To be called just before it happens."""
        self._link.refusing = True
        for each in self._clients:
            each.crashed = True

    async def noticed(self) -> None:
        """Until everybody has seen that the server is gone, and has heard what it said before."""
        await self._link.until(lambda link: not link.open_connections)
        await self._until(lambda: all(each.waiting for each in self._tasks))

    async def finished(self) -> None:
        """Until everybody has completed what they began."""
        for each in self._clients:
            each.release()
        await self._until(lambda: not self._tasks)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while True:
            self._collect()
            if condition():
                return
            self._changed.clear()
            async with asyncio.timeout(60):
                await self._changed.wait()

    def _collect(self) -> None:
        """Those who have hung up. Raises what befell them."""
        for each, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[each]
                task.result()
