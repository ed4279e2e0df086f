"""The store's own bounded threads: disk work never waits for anything else, nor makes anything else wait."""

import asyncio
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from aiofiles.os import wrap

from storage.errors import NoSpace, StorageError, WriteFailed

T = TypeVar("T")
THREADS: Final = 8


def _call(function: Callable[..., T], *arguments: object) -> T:
    return function(*arguments)


_in_thread = wrap(_call)
"""One wrapper for all calls: making one costs more than calling it."""


class Disk:
    """Runs blocking calls in a pool of its own. Cancelling an await stops no call that runs."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="towline-disk")

    def call(self, function: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        """Have a thread of the pool do it. It begins at once, whether or not somebody waits."""
        return asyncio.ensure_future(_in_thread(function, *arguments, executor=self._pool))

    def close(self) -> None:
        """Wait for what runs, then stop."""
        self._pool.shutdown()


async def drained(call: "asyncio.Future[T]") -> T:
    """Wait for it whatever happens: threads cannot be cancelled, so a cancellation waits, and is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not call.done():
        try:
            await asyncio.wait([call])
        except asyncio.CancelledError as again:
            cancelled = again
    result = call.result()
    if cancelled is not None:
        raise cancelled
    return result


async def opened(opening: "asyncio.Future[int]") -> int:
    """The descriptor, once it is open; of a cancelled wait nobody would hear which it is, so it is closed again."""
    try:
        return await drained(opening)
    except asyncio.CancelledError:
        if not opening.cancelled():
            os.close(opening.result())
        raise


def translated(failed: OSError) -> StorageError:
    """The store's error for the kernel's."""
    if failed.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(0, 0)
    return WriteFailed()
