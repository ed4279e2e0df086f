"""A reader takes what comes at its own pace, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from storage.events import Created, Progressed
from storage.memory import MemoryStore
from tests.transfer.events.test_log import an_upload
from transfer.access.principal import ANONYMOUS, Principal
from transfer.access.watch import Watch
from transfer.events.feed import Feed
from transfer.events.line import Line
from transfer.events.log import EventLog
from transfer.events.reader import MOST_AT_ONCE, Ending, Reader

ALICE = Principal(subject="alice", scopes=frozenset(["upload"]))


class Peer:
    """Takes what is sent when it is let."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[Sequence[Line]] = asyncio.Queue()
        self.takes = asyncio.Event()
        self.takes.set()
        self.left = asyncio.Event()
        self.reached = ""

    async def send(self, lines: Sequence[Line], reached: str) -> None:
        self.taken.put_nowait(lines)
        self.reached = reached
        await self.takes.wait()

    async def leaves(self) -> Ending:
        await self.left.wait()
        return Ending.LEFT


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    async with MemoryStore() as store:
        yield Watch(store)


async def test_who_falls_behind_what_is_kept_is_let_go(watch: Watch) -> None:
    feed, peer = Feed(1, EventLog(kept=3)), Peer()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(Reader(feed, watch, ALICE, None).run(peer.send, peer.leaves()))
        await peer.taken.get()
        peer.takes.clear()
        feed.tell(Created(an_upload(0)))
        await peer.taken.get()
        for number in range(5):
            feed.tell(Created(an_upload(number)))
        peer.takes.set()
        assert await reading is Ending.BEHIND


async def test_who_does_not_take_what_is_sent_is_let_go(watch: Watch) -> None:
    feed, peer = Feed(1), Peer()
    peer.takes.clear()
    assert await Reader(feed, watch, ALICE, None, slow_seconds=0.01).run(peer.send, peer.leaves()) is Ending.SLOW


async def test_silence_is_broken_by_a_sign_of_life(watch: Watch) -> None:
    feed, peer = Feed(1), Peer()
    async with asyncio.TaskGroup() as group:
        reader = Reader(feed, watch, ALICE, None, heartbeat_seconds=0.01)
        reading = group.create_task(reader.run(peer.send, peer.leaves()))
        assert len(await peer.taken.get()) == 1
        assert [await peer.taken.get() for _ in range(3)] == [[], [], []]
        peer.left.set()
        assert await reading is Ending.LEFT


async def test_a_sign_of_life_says_how_far_it_is_also_while_much_happens_that_nobody_there_sees(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.events.reader.PAUSE_SECONDS", 0)
    feed, peer = Feed(1, EventLog("log")), Peer()

    async def others() -> None:
        while True:
            feed.tell(Created(an_upload(1)))
            await asyncio.sleep(0)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reader = Reader(feed, watch, ANONYMOUS, None, heartbeat_seconds=0.01)
        reading = group.create_task(reader.run(peer.send, peer.leaves()))
        assert len(await peer.taken.get()) == 1
        busy = group.create_task(others())
        reached = [0]
        for _ in range(2):
            assert await peer.taken.get() == []
            reached.append(feed.log.number_of(peer.reached) or 0)
        assert reached == sorted(set(reached))
        busy.cancel()
        peer.left.set()
        assert await reading is Ending.LEFT


async def test_who_takes_everything_at_once_catches_up_without_a_pause(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.events.reader.PAUSE_SECONDS", 3_600)
    feed, peer = Feed(1, EventLog("log")), Peer()
    for number in range(2 * MOST_AT_ONCE + 1):
        feed.tell(Created(an_upload(number)))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reading = group.create_task(Reader(feed, watch, ALICE, "log-0").run(peer.send, peer.leaves()))
        taken = [len(await peer.taken.get()) for _ in range(4)]
        assert taken == [0, MOST_AT_ONCE, MOST_AT_ONCE, 1]
        peer.left.set()
        assert await reading is Ending.LEFT


async def test_who_sees_nothing_of_it_is_sent_nothing(watch: Watch) -> None:
    feed, peer = Feed(1), Peer()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(Reader(feed, watch, ANONYMOUS, None).run(peer.send, peer.leaves()))
        await peer.taken.get()
        feed.tell(Created(an_upload(1)))
        await feed.news(0)
        peer.left.set()
        assert await reading is Ending.LEFT
    assert peer.taken.empty()


async def test_progress_that_comes_fast_is_told_once_and_is_the_latest() -> None:
    feed = Feed(1)
    for offset in range(1, 1_001):
        feed.tell(Progressed(an_upload(1, offset)))
    await feed.news(0)
    assert [numbered.event for numbered in feed.log.after(0, 100)] == [Progressed(an_upload(1, 1_000))]
