"""How much each gets, on a clock that stands still until it is moved."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clock import Clock
from transfer.pace.pacing import Paces, Share


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Upload:
    """Something that always wants its next chunk, and what it got."""

    def __init__(self, share: Share, chunk: int) -> None:
        self.granted = 0
        self.chunk = chunk
        self._share = share
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            if (granted := self._share.ask(self.chunk)) is not None:
                await granted
            self.granted += self.chunk


async def settled() -> None:
    """All that can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


@settings(max_examples=20)
@given(st.lists(st.sampled_from([100, 1_000, 4_000]), min_size=2, max_size=5), st.sampled_from([None, 0.25, 0.9]))
def test_uploads_of_one_caller_get_the_same_whatever_their_chunks(chunks: list[int], stall: float | None) -> None:
    """To the chunk, and where the server is held up now and then, to what flowed in meanwhile."""

    async def check() -> None:
        clock = Clock()
        paces = Paces(1_000, 1_000, clock)
        slack = max(chunks) + (0 if stall is None else 1_000)
        with ExitStack() as stack:
            assert stack.enter_context(paces.share("a")).ask(1_000) is None  # the burst is somebody else's
            uploads = [Upload(stack.enter_context(paces.share("a")), chunk) for chunk in chunks]
            await settled()
            for _ in range(100):
                if stall is None:
                    clock.step()
                else:
                    clock.advance(stall)
                await settled()
                granted = [upload.granted for upload in uploads]
                assert sum(granted) <= 1_000 * clock.now + max(chunks)
                assert max(granted) - min(granted) <= slack
            assert sum(upload.granted for upload in uploads) >= 1_000 * clock.now - slack
            for upload in uploads:
                upload.task.cancel()
            await asyncio.wait([upload.task for upload in uploads])
            await settled()
        assert not clock.waits

    asyncio.run(check())


async def test_callers_do_not_wait_for_each_other(stack: ExitStack) -> None:
    paces = Paces(1, 10, Clock())
    one, other = (stack.enter_context(paces.share(caller)) for caller in "ab")
    assert one.ask(10) is None
    assert one.ask(1) is not None
    assert other.ask(10) is None


async def test_who_comes_late_waits_no_longer_than_for_a_turn(stack: ExitStack) -> None:
    clock = Clock()
    paces = Paces(1, 1, clock)
    big = stack.enter_context(paces.share("a"))
    assert big.ask(100) is None
    small = stack.enter_context(paces.share("a"))
    first, second = big.ask(100), small.ask(1)
    assert first is not None
    assert second is not None
    clock.advance(100)
    assert second.done()
    assert not first.done()


async def test_what_is_given_up_takes_nothing_from_the_others(stack: ExitStack) -> None:
    clock = Clock()
    paces = Paces(1, 1, clock)
    one, other = (stack.enter_context(paces.share("a")) for _ in range(2))
    assert one.ask(1) is None
    first, second = one.ask(1), other.ask(1)
    assert first is not None
    assert second is not None
    first.cancel()
    await settled()
    clock.advance(1)
    assert second.done()
    assert not clock.waits


async def test_who_leaves_and_comes_back_still_owes() -> None:
    clock = Clock()
    paces = Paces(1, 1, clock)
    with paces.share("a") as share:
        for other in map(str, range(10)):
            with paces.share(other):
                pass
        assert share.ask(100) is None
    with paces.share("a") as share:
        assert (granted := share.ask(1)) is not None
        clock.advance(99)
        assert not granted.done()
        clock.advance(1)
        assert granted.done()


async def test_without_a_rate_nobody_waits() -> None:
    clock = Clock()
    with Paces(None, 1, clock).share("a") as share:
        assert [share.ask(1 << 40) for _ in range(10)] == [None] * 10
    assert not clock.waits
