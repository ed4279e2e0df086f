"""What came for an operation is handed out in order and in pieces that fit together, and every byte is given back."""

import asyncio

import pytest

from transfer.inbox import Cancel, Ending, Eof, Failure, Inbox, Left
from transfer.protocol.digest import digest_bytes
from transfer.protocol.errors import BadMessage

ENDINGS: list[Ending] = [Eof(digest_bytes(b"")), Cancel(), Left(), Failure(BadMessage("no"))]


class Freed:
    """Counts what an inbox gave back."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self, size: int) -> None:
        self.bytes += size


@pytest.fixture
def freed() -> Freed:
    return Freed()


@pytest.fixture
def inbox(freed: Freed) -> Inbox:
    return Inbox(freed)


def is_waiting(task: "asyncio.Task[None]") -> bool:
    return not task.done()


async def started(inbox: Inbox, seconds: float | None = None) -> "asyncio.Task[None]":
    """Somebody who waits, and has begun to."""
    task = asyncio.create_task(inbox.wait(seconds))
    await asyncio.wait([task], timeout=0)
    return task


# ------------------------------------------------------------------------------------------------------------- pieces


def test_a_new_one_is_empty(inbox: Inbox) -> None:
    assert (inbox.empty, inbox.size, inbox.ending) == (True, 0, None)
    assert inbox.take(10) == (0, [])


def test_adjacent_pieces_are_taken_together(inbox: Inbox) -> None:
    inbox.put(5, b"ab")
    inbox.put(7, b"c")
    inbox.put(8, memoryview(b"def"))
    assert (inbox.empty, inbox.size) == (False, 6)
    assert inbox.take(100) == (5, [b"ab", b"c", b"def"])
    assert (inbox.empty, inbox.size) == (True, 0)


def test_pieces_with_a_gap_between_them_are_taken_apart(inbox: Inbox) -> None:
    inbox.put(0, b"ab")
    inbox.put(3, b"c")
    inbox.put(1, b"d")
    assert [inbox.take(100) for _ in range(4)] == [(0, [b"ab"]), (3, [b"c"]), (1, [b"d"]), (0, [])]


@pytest.mark.parametrize(("limit", "taken"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (100, 3)])
def test_no_further_piece_is_taken_once_there_is_enough(inbox: Inbox, limit: int, taken: int) -> None:
    for offset in (0, 2, 4):
        inbox.put(offset, b"ab")
    assert inbox.take(limit) == (0, [b"ab"] * taken)
    assert inbox.size == 6 - 2 * taken


def test_what_came_last_is_not_lost_behind_an_ending(inbox: Inbox) -> None:
    inbox.put(0, b"ab")
    inbox.end(Left())
    assert inbox.take(100) == (0, [b"ab"])


@pytest.mark.parametrize("later", ENDINGS)
@pytest.mark.parametrize("first", ENDINGS)
def test_the_first_ending_counts(inbox: Inbox, first: Ending, later: Ending) -> None:
    inbox.end(first)
    inbox.end(later)
    assert inbox.ending is first


# ---------------------------------------------------------------------------------------------------------- giving back


def test_bytes_are_given_back_when_they_are_released_and_not_before(inbox: Inbox, freed: Freed) -> None:
    inbox.put(0, b"abc")
    inbox.take(100)
    assert freed.bytes == 0
    inbox.release(3)
    assert freed.bytes == 3


def test_closing_gives_back_what_was_not_taken(inbox: Inbox, freed: Freed) -> None:
    for offset in (0, 10, 20):
        inbox.put(offset, b"abc")
    inbox.take(100)
    inbox.close()
    assert (freed.bytes, inbox.empty, inbox.size) == (6, True, 0)
    inbox.release(3)
    assert freed.bytes == 9


def test_closing_twice_gives_back_once(inbox: Inbox, freed: Freed) -> None:
    inbox.put(0, b"abc")
    inbox.close()
    inbox.close()
    assert freed.bytes == 3


def test_what_comes_after_closing_is_given_back_at_once(inbox: Inbox, freed: Freed) -> None:
    inbox.close()
    inbox.put(0, b"abc")
    assert (freed.bytes, inbox.empty, inbox.size) == (3, True, 0)
    assert inbox.take(100) == (0, [])


# -------------------------------------------------------------------------------------------------------------- waiting


async def test_bytes_wake_who_waits(inbox: Inbox) -> None:
    waiting = await started(inbox)
    assert is_waiting(waiting)
    inbox.put(0, b"a")
    await waiting


async def test_an_ending_wakes_who_waits(inbox: Inbox) -> None:
    waiting = await started(inbox)
    inbox.end(Cancel())
    await waiting


async def test_what_came_before_is_not_waited_for(inbox: Inbox) -> None:
    inbox.put(0, b"a")
    await inbox.wait(None)


async def test_something_else_wakes_who_waits_and_is_remembered(inbox: Inbox) -> None:
    waiting = await started(inbox)
    inbox.wake()
    await waiting
    inbox.wake()
    await inbox.wait(None)


async def test_what_came_before_counts_once(inbox: Inbox) -> None:
    """Who leaves the bytes there waits for more: a small file is taken when all of it has come."""
    inbox.put(0, b"a")
    await inbox.wait(None)
    waiting = await started(inbox)
    assert is_waiting(waiting)
    inbox.put(1, b"b")
    await waiting
    assert inbox.take(100) == (0, [b"a", b"b"])


async def test_waiting_ends_with_its_time(inbox: Inbox) -> None:
    await inbox.wait(0)
    await inbox.wait(0.001)
    assert inbox.empty


async def test_who_is_cancelled_while_waiting_loses_nothing(inbox: Inbox) -> None:
    waiting = await started(inbox)
    waiting.cancel()
    inbox.put(0, b"a")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await inbox.wait(None)
    assert inbox.take(100) == (0, [b"a"])
