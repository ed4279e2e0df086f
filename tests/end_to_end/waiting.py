"""A store whose work waits for as long as a test wants: its disk does not answer, or its catalog takes long."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from storage.disk import THREADS
from storage.local import LocalStore


@asynccontextmanager
async def stuck_disk(store: LocalStore) -> AsyncIterator[None]:
    """All threads that do the store's disk work wait, as they do when the disk does not answer."""
    all_wait, let_go = threading.Barrier(THREADS + 1), threading.Event()

    def wait() -> None:
        all_wait.wait()
        let_go.wait()

    waiting = [store._disk.call(wait) for _ in range(THREADS)]
    try:
        await asyncio.to_thread(all_wait.wait)
        yield
    finally:
        let_go.set()
        await asyncio.wait(waiting)


@asynccontextmanager
async def busy_catalog(store: LocalStore) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """What is written to the catalog waits behind something that takes long; yields a wait for so many to queue."""
    begun, let_go = threading.Event(), threading.Event()

    def work(_: object) -> None:
        begun.set()
        let_go.wait()

    async def queued(count: int) -> None:
        while store._catalog._jobs.qsize() < count:  # noqa: ASYNC110 - the catalog's queue tells nobody
            await asyncio.sleep(0)

    waiting = asyncio.create_task(store._catalog.write(work))
    try:
        await asyncio.to_thread(begun.wait)
        yield queued
    finally:
        let_go.set()
        await waiting
