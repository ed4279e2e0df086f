"""Disks that do not answer."""

import asyncio
import threading
from collections.abc import AsyncIterator
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

    waiting = [asyncio.create_task(store._disk.call(wait)) for _ in range(THREADS)]
    try:
        await asyncio.to_thread(all_wait.wait)
        yield
    finally:
        let_go.set()
        await asyncio.wait(waiting)
