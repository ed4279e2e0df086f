"""A thread that works on the disk cannot be cancelled, so whoever is cancelled waits for it."""

import asyncio
import threading

import pytest

from storage.disk import Disk, drained


async def test_a_cancelled_call_is_waited_for() -> None:
    disk, started, may_end = Disk(threads=1), asyncio.Event(), threading.Event()
    loop, ended = asyncio.get_running_loop(), []

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        may_end.wait()
        ended.append(True)

    waiting = asyncio.create_task(drained(disk.call(work)))
    await started.wait()
    for _ in range(2):
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended
    disk.close()


async def test_what_a_call_raises_counts_more_than_being_cancelled() -> None:
    disk, may_end = Disk(threads=1), threading.Event()

    def work() -> None:
        may_end.wait()
        raise OSError("broken")

    waiting = asyncio.create_task(drained(disk.call(work)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(OSError, match="broken"):
        await waiting
    disk.close()
