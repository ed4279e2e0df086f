"""Of many who want one upload, one writes at a time, its file is right, and the others are told and stay away.

The contenders are clients in this process; the servers are one or two processes on one data directory, the second of
which takes no notice of `serve.lock`. Both keep a diary of every call that changes an object.
"""

import asyncio
import os
import random
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import client
from client.progress import Ack, Complete, Event, Ready, Waiting
from storage.errors import StillWriting
from storage.lease import lock_object
from tests.crash.life import Line, Refused, line
from tests.crash.plan import Plan
from tests.end_to_end.scene import MIB, content, sha256, stored
from tests.links import Link
from tests.server import ServerProcess
from transfer.protocol.errors import Exists, Superseded

ROW: Final = "races"
PATIENCE: Final = 40.0
MOST: Final = 10
SOURCES: Final = [content(2 * MIB, number) for number in range(MOST)]


class Change(NamedTuple):
    """A line of a diary: see tests/crash/watched_server.py."""

    began: int
    ended: int
    process: str
    opening: str
    object_id: str
    call: str


class Span(NamedTuple):
    """All that one opening of an object changed, from the first call's beginning to the last one's end."""

    began: int
    ended: int
    process: str
    opening: str


@dataclass(slots=True)
class Arena:
    """The servers, a link to each, and their diary."""

    servers: list[ServerProcess]
    links: list[Link]
    diary: Path
    seen_bytes: int = 0

    @property
    def connections(self) -> int:
        return sum(link.connections for link in self.links)

    def changes(self) -> list[Change]:
        """What was written down since the last look."""
        with self.diary.open() as stream:
            stream.seek(self.seen_bytes)
            lines = stream.read().splitlines()
            self.seen_bytes = stream.tell()
        words = [line.split() for line in lines]
        return [Change(int(began), int(ended), *rest) for began, ended, *rest in words]


@dataclass(slots=True)
class Contender:
    """Somebody who uploads: which source, where, and how it ended."""

    source: bytes
    url: str
    delay: float
    outcome: str = ""
    waits: int = 0
    acked: dict[str, int] = field(default_factory=dict)
    """By upload, the furthest ack that anybody had heard."""
    known: dict[str, int] = field(default_factory=dict)
    """The same when this one set out."""
    upload_id: str | None = None
    heard: list[Event] = field(default_factory=list)

    async def contend(self, name: str) -> None:
        await asyncio.sleep(self.delay)  # the moment at which it comes
        self.known = dict(self.acked)
        try:
            file = await client.upload(self.url, self.source, name=name, on_event=self._hear)
        except Superseded:
            self.outcome = "superseded"
        except Exists:
            self.outcome = "exists"
        else:
            assert str(file.digest) == sha256(self.source)

    def _hear(self, event: Event) -> None:
        self.heard.append(event)
        match event:
            case Ready(upload_id=upload_id, offset=offset):
                assert offset >= self.known.get(upload_id, 0), f"acked bytes of {upload_id} are gone at {offset}"
                self.upload_id = upload_id
            case Ack(offset=offset) if self.upload_id is not None:
                self.acked[self.upload_id] = max(offset, self.acked.get(self.upload_id, 0))
            case Waiting():
                self.waits += 1
            case Complete(unchanged=unchanged):
                self.outcome = "unchanged" if unchanged else "complete"


@asynccontextmanager
async def arena(data: Path, seed: int) -> AsyncIterator[Arena]:
    diary = data.parent / "diary"
    async with AsyncExitStack() as stack:
        servers, links = [], []
        for unlocked in ("", "yes"):
            environment = {
                "TOWLINE_WATCH": str(diary),
                "TOWLINE_CHANCE": f"{seed}{unlocked}",
                "TOWLINE_UNLOCKED": unlocked,
                "TOWLINE_MIN_FREE_BYTES": "0",
                "TOWLINE_CHUNK_SIZE": str(MIB // 8),  # many small writes, so that many come in between
                "TOWLINE_WINDOW": str(MIB // 4),
            }
            server = ServerProcess(data, environment=environment, module="tests.crash.watched_server")
            servers.append(await stack.enter_async_context(server))
            links.append(await stack.enter_async_context(Link("127.0.0.1", server.port)))
        yield Arena(servers, links, diary)
        assert not [line for server in servers for line in server.log_lines if "Traceback" in line]


def chosen(arena: Arena, chance: random.Random, *, share_apart: float) -> list[Contender]:
    """Two to ten, with one source or one each, at one server or, in this share of the cases, at both."""
    same, links = chance.random() < 0.5, arena.links if chance.random() < share_apart else arena.links[:1]
    size, spread = chance.randint(MIB // 2, 2 * MIB), chance.choice((0.0, 0.02, 0.05))
    acked: dict[str, int] = {}
    return [
        Contender(
            source=SOURCES[0 if same else number][:size],
            url=chance.choice(links).url,
            delay=chance.random() * spread,
            acked=acked if same else {},  # who has another source rewrites what was acked
        )
        for number in range(chance.randint(2, MOST))
    ]


def spans(changes: list[Change]) -> dict[str, list[Span]]:
    """For each object, by whom and when it was changed, in order."""
    by_opening = defaultdict[tuple[str, str, str], list[Change]](list)
    for change in changes:
        by_opening[change.object_id, change.process, change.opening].append(change)
    found = defaultdict[str, list[Span]](list)
    for (object_id, process, opening), calls in by_opening.items():
        span = Span(min(call.began for call in calls), max(call.ended for call in calls), process, opening)
        found[object_id].append(span)
    return {object_id: sorted(those) for object_id, those in found.items()}


async def run_case(arena: Arena, name: str, contenders: list[Contender], plan: Plan) -> None:
    before = arena.connections
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(contender.contend(name) for contender in contenders))
    outcomes = [contender.outcome for contender in contenders]
    winners = [contender.source for contender in contenders if contender.outcome == "complete"]
    assert len(winners) == 1, f"{outcomes}"
    assert await stored(arena.servers[0].url, name) == winners[0]
    assert arena.connections - before == sum(1 + contender.waits for contender in contenders), "somebody came back"
    moved = 0
    for object_id, those in spans(arena.changes()).items():
        for earlier, later in pairwise(those):
            assert earlier.ended < later.began, f"two at once write to {object_id}: {earlier}, {later}"
            moved += earlier.process != later.process
    plan.report(
        ROW,
        cases=1,
        contenders=len(contenders),
        take_overs=outcomes.count("superseded"),
        moves_between_processes=moved,
        waits=sum(contender.waits for contender in contenders),
    )


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: this is about the order of things, not about what a disk keeps."""
    roomy = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(tmp_path)
    with tempfile.TemporaryDirectory(prefix="towline-", dir=roomy) as folder:
        yield Path(folder)


async def test_who_has_locked_an_object_keeps_every_other_writer_out(quick_folder: Path) -> None:
    """Without chance: `flock` belongs to an open file description, so two of them here are as good as two processes."""
    (quick_folder / "object").touch()
    first, second = (os.open(quick_folder / "object", os.O_RDWR) for _ in range(2))
    await lock_object(first, PATIENCE)
    with pytest.raises(StillWriting):
        await lock_object(second, 0)
    os.close(first)
    await lock_object(second, PATIENCE)
    os.close(second)


async def test_one_writes_at_a_time_and_the_others_stay_away(plan: Plan, quick_folder: Path) -> None:
    wanted, taken_over, number = plan.count(200, 1_000), 0, 0
    async with arena(quick_folder / "data", plan.seed) as place:
        while taken_over < wanted:
            number += 1
            assert number < 10 * wanted, "hardly anybody is taken over"
            # at two servers a newcomer waits for the other's next durable point, and most of the time goes there
            contenders = chosen(place, plan.chance(ROW, number), share_apart=0.3 if plan.full else 0.15)
            try:
                await run_case(place, f"{number}.bin", contenders, plan)
            except BaseException as failure:
                told = [f"{one.url} after {one.delay:.3f} s: {one.outcome}, {one.heard}" for one in contenders]
                failure.add_note("\n".join([f"case {number}:", *told]))
                raise
            taken_over += sum(contender.outcome == "superseded" for contender in contenders)


PIECE: Final = bytes(MIB // 8)
ENOUGH: Final = 40
"""Durable points until the holder must have heard of a newcomer."""


async def test_a_holder_that_goes_on_sending_is_fenced_by_a_newcomer_at_another_server(
    plan: Plan, quick_folder: Path
) -> None:
    """Nothing in its own process tells it: it hears it when it would record what it has written."""
    async with arena(quick_folder / "data", plan.seed) as place:
        one, other = (server.url for server in place.servers)
        async with line(one) as holder, line(other) as newcomer:
            header = {"type": "upload", "name": "wanted.bin", "size": ENOUGH * len(PIECE)}
            await holder.send(**header)
            await holder.receive()
            acked = await _acked(holder, 0)
            await newcomer.send(**header)
            acked = await _acked_until_superseded(holder, acked)
            ready = await newcomer.receive()
    assert (ready["type"], ready["offset"]) == ("ready", acked)


async def _acked_until_superseded(holder: Line, acked: int) -> int:
    for _ in range(ENOUGH - 1):
        try:
            acked = await _acked(holder, acked)
        except Refused as refused:
            if refused.code != "superseded":
                raise
            return acked
    raise AssertionError(f"{ENOUGH} durable points went by, and the holder has not heard of the newcomer")


async def _acked(holder: Line, offset: int) -> int:
    """Send a piece, and wait until it is durable. Raises Refused."""
    await holder.send_frame(PIECE)
    while offset_of(await holder.receive()) < offset + len(PIECE):
        pass
    return offset + len(PIECE)


def offset_of(ack: dict[str, object]) -> int:
    assert ack["type"] == "ack", ack
    return int(str(ack["offset"]))
