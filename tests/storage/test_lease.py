"""A hold ends only when nothing of it runs any more; between processes an object's lock says the same."""

import asyncio
import fcntl
import os
import threading
from pathlib import Path

import pytest

from storage.disk import Disk
from storage.errors import Fenced, StillWriting
from storage.lease import Hold, lock_object


async def closed() -> None:
    """Nothing to close."""


async def test_a_fenced_hold_ends_at_its_next_await() -> None:
    hold, inside = Hold(), asyncio.Event()

    async def holder() -> None:
        async with hold.held(closed):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(holder())
    await inside.wait()
    await hold.fence(60)
    with pytest.raises(Fenced):
        await task


async def test_a_hold_that_was_fenced_before_it_began_never_begins() -> None:
    hold = Hold()
    hold.fenced = True
    with pytest.raises(Fenced):
        async with hold.held(closed):
            raise AssertionError("it began")


async def test_a_newcomer_waits_for_a_write_that_runs() -> None:
    """The write sits in a real thread, which nothing can cancel."""
    hold, disk = Hold(), Disk(1)
    writing, let_go, order = threading.Event(), threading.Event(), list[str]()

    def write() -> None:
        writing.set()
        let_go.wait()
        order.append("written")

    async def holder() -> None:
        async with hold.held(closed):
            await hold.run(lambda: disk.call(write))

    task = asyncio.create_task(holder())
    await asyncio.to_thread(writing.wait)
    with pytest.raises(StillWriting):
        await hold.fence(0.01)
    let_go.set()
    await hold.fence(60)
    order.append("newcomer")
    with pytest.raises(Fenced):
        await task
    assert order == ["written", "newcomer"]
    with pytest.raises(Fenced):
        await hold.run(lambda: disk.call(write))
    disk.close()


async def test_cancelling_the_holder_waits_for_its_write_too() -> None:
    hold, disk = Hold(), Disk(1)
    writing, let_go, closings = threading.Event(), threading.Event(), list[bool]()

    def write() -> None:
        writing.set()
        let_go.wait()

    async def close() -> None:
        closings.append(let_go.is_set())

    async def holder() -> None:
        async with hold.held(close):
            await hold.run(lambda: disk.call(write))

    task = asyncio.create_task(holder())
    await asyncio.to_thread(writing.wait)
    task.cancel()
    await asyncio.wait([task], timeout=0.01)
    assert not task.done()
    let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closings == [True]
    disk.close()


async def test_an_object_that_another_process_holds_is_busy(tmp_path: Path) -> None:
    """`flock` belongs to an open file description, so a second one here is as good as another process."""
    path = tmp_path / "object"
    path.touch()
    ours, theirs = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    fcntl.flock(theirs, fcntl.LOCK_EX)
    with pytest.raises(StillWriting):
        await lock_object(ours, 0.05)
    os.close(theirs)
    await lock_object(ours, 60)
    os.close(ours)
