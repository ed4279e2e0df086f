"""Chaos on the wire: whatever happens to a connection at whichever byte, the upload completes, little is sent twice,
and nothing wrong is published."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import httpx2
import pytest

import client
from client.connection import AT_ONCE_BYTES
from client.progress import Complete, Event, Waiting
from tests.crash.chaos import BREAKS, KINDS, Chaos, Mishap, Overhead, draw
from tests.crash.plan import Plan
from tests.links import Link
from tests.server import ServerProcess, alarms, http_client
from transfer.protocol.errors import DigestMismatch, Superseded
from transfer.protocol.leaves import MIN_LEAF_SIZE

WINDOW: Final = 256 << 10
CHUNK: Final = 32 << 10
AT_ONCE: Final = 12
PATIENCE: Final = 60.0
"""Seconds after which a case has failed; nothing is measured with it."""
MEASURED: Final = ("case-99997.bin", "case-99998.bin", "case-99999.bin")
SIZES: Final = (2_000, 64 << 10, 512 << 10, 512 << 10, 2 << 20)


@dataclass(frozen=True, slots=True)
class Case:
    """One upload, and what happens to its connections."""

    name: str
    content: bytes
    piped: bool
    """From a stream, whose size nobody knows."""
    restarts: bool
    """After a break not the same client goes on, but the same command again."""
    thaws: bool
    """What was stalled goes on in the end; otherwise it is cut."""
    mishaps: tuple[Mishap, ...]


@dataclass(slots=True)
class Tally:
    """What all cases together counted."""

    connections: int = 0
    sent_twice: int = 0
    wrong: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients come back at once: here nobody waits for a network."""
    monkeypatch.setattr("client.retry.delays", lambda: itertools.repeat(0.005))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    environment = {"TOWLINE_WINDOW": str(WINDOW), "TOWLINE_CHUNK_SIZE": str(CHUNK), "TOWLINE_MIN_FREE_BYTES": "0"}
    async with ServerProcess(tmp_path / "data", environment=environment) as server:
        yield server


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 50_000):
        yield content[at : at + 50_000]


async def overhead_of(server: ServerProcess, name: str, *, size: int, piped: bool) -> Overhead:
    """Measured on an upload to which nothing happens."""
    found: list[Overhead] = []
    async with Link("127.0.0.1", server.port) as link:

        def measure(event: Event) -> None:
            if isinstance(event, Complete):
                found.append(Overhead(link.upstream_bytes - size, link.downstream_bytes))

        source = pieces(bytes(size)) if piped else bytes(size)
        await client.upload(link.url, source, name=name, on_event=measure)
    return found[0]


@dataclass(frozen=True, slots=True)
class Overheads:
    """The least of each way in which a client sends a file."""

    at_once: Overhead
    resumable: Overhead
    piped: Overhead

    @classmethod
    async def measured(cls, server: ServerProcess) -> Self:
        """Each has a name of its own: who finds one taken hears of what is there."""
        return cls(
            at_once=await overhead_of(server, MEASURED[0], size=1, piped=False),
            resumable=await overhead_of(server, MEASURED[1], size=AT_ONCE_BYTES + 1, piped=False),
            piped=await overhead_of(server, MEASURED[2], size=1, piped=True),
        )

    def of(self, size: int, *, piped: bool) -> Overhead:
        if piped:
            return self.piped
        return self.at_once if size <= AT_ONCE_BYTES else self.resumable


def case_of(plan: Plan, number: int, overheads: Overheads) -> Case:
    chance = plan.chance("chaos on the wire", number)
    content = chance.randbytes(chance.randint(1, chance.choice(SIZES)))
    piped = chance.random() < 0.3
    overhead = overheads.of(len(content), piped=piped)
    first = draw(chance, overhead, len(content), KINDS[number % len(KINDS)])
    further = [draw(chance, overhead, len(content), chance.choice(KINDS)) for _ in range(chance.choice((0, 0, 1, 2)))]
    return Case(
        f"case-{number:05}.bin",
        content,
        piped=piped,
        restarts=chance.random() < 0.3,
        thaws=chance.random() < 0.5,
        mishaps=(first, *further),
    )


class Scene:
    """One case while it runs."""

    def __init__(self, case: Case, link: Link) -> None:
        self.case = case
        self.chaos = Chaos(link, case.mishaps)
        self.commands = 0
        """How often it took the command."""
        self._link = link
        self._stuck: list[asyncio.Task[client.FileEntry]] = []

    async def upload(self) -> client.FileEntry:
        """Run the command, and once more whenever it got stuck, was killed, or asks for it, until the file is there."""
        while True:
            self.commands += 1
            self.chaos.stalled.clear()
            command = asyncio.create_task(self._command())
            stalled = asyncio.create_task(self.chaos.stalled.wait())
            await asyncio.wait([command, stalled], return_when=asyncio.FIRST_COMPLETED)
            stalled.cancel()
            if not command.done():
                self._stuck.append(command)
            elif not command.cancelled() and not isinstance(command.exception(), DigestMismatch):
                return command.result()

    async def _command(self) -> client.FileEntry:
        source = pieces(self.case.content) if self.case.piped else self.case.content
        mine = asyncio.current_task()
        assert mine is not None

        def die(event: Event) -> None:
            if isinstance(event, Waiting) and self.case.restarts:
                mine.cancel()

        return await client.upload(self._link.url, source, name=self.case.name, on_event=die)

    async def settle(self) -> None:
        """What was stuck goes on, too late, or is cut off."""
        if not self._stuck:
            return
        if self.case.thaws:
            self._link.thaw()
        else:
            self._link.cut()
            for command in self._stuck:
                command.cancel()
        for outcome in await asyncio.gather(*self._stuck, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError | Superseded):
                raise outcome

    @property
    def allowed_twice(self) -> int:
        """One window for each break; of a flip the leaf; and of a stream that is piped in again what is not a whole
        leaf, which here is all of it."""
        breaks = sum(mishap.kind in BREAKS for mishap, _ in self.chaos.struck)
        flips = sum(mishap.kind == "flip" for mishap, _ in self.chaos.struck)
        piped_again = len(self.case.content) * (self.commands - 1) if self.case.piped else 0
        return breaks * WINDOW + flips * MIN_LEAF_SIZE + piped_again


async def run_case(case: Case, server: ServerProcess, http: httpx2.AsyncClient, tally: Tally) -> None:
    async with asyncio.timeout(PATIENCE), Link("127.0.0.1", server.port) as link:
        scene = Scene(case, link)
        file = await scene.upload()
        sent_twice = scene.chaos.sent_bytes - len(case.content)
        tally.connections += link.connections
        await scene.settle()
        answer = await http.get(f"/files/{case.name}")
    tally.sent_twice += sent_twice
    if sent_twice > scene.allowed_twice:
        tally.over.append(f"{case.name}: {sent_twice} bytes, {scene.allowed_twice} are allowed: {scene.chaos.struck}")
    if answer.raise_for_status().content != case.content or file.size != len(case.content):
        tally.wrong.append(f"{case.name}: {scene.chaos.struck}")
    assert case.mishaps[0] == scene.chaos.struck[0][0], "the first mishap did not happen"
    tally.kinds.update(mishap.kind for mishap, _ in scene.chaos.struck)
    tally.places.update(place.value for _, place in scene.chaos.struck)


async def run_cases(cases: Iterator[Case], server: ServerProcess, tally: Tally) -> None:
    async with http_client(server.url) as http:

        async def work() -> None:
            for case in cases:
                try:
                    await run_case(case, server, http, tally)
                except BaseException as failed:
                    failed.add_note(f"{case.name}, {len(case.content)} bytes, piped {case.piped}: {case.mishaps}")
                    raise

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())


async def test_every_upload_completes_whatever_happens_to_its_connections(server: ServerProcess, plan: Plan) -> None:
    count, tally = plan.count(1_000, 10_000), Tally()
    overheads = await Overheads.measured(server)
    cases = (case_of(plan, number, overheads) for number in range(count))
    await run_cases(cases, server, tally)
    files = {str(file.name): file for file in await client.list_files(server.url)}
    async with client.connect(server.url) as connection:
        unfinished = await connection.uploads()
    plan.report(
        "chaos on the wire",
        cases=count,
        connections=tally.connections,
        sent_twice_over_a_window=len(tally.over),
        wrong_files=len(tally.wrong),
        **tally.kinds,
    )
    plan.report("where it struck", **tally.places)
    assert tally.over == []
    assert tally.wrong == []
    assert files.keys() == {*MEASURED, *(f"case-{number:05}.bin" for number in range(count))}
    assert unfinished == []
    assert alarms(server.log_lines) == []
