"""The store's own bounded threads: disk work never waits for anything else, nor makes anything else wait."""

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from aiofiles.os import wrap

from storage.errors import NoSpace, StorageError, WriteFailed

T = TypeVar("T")
THREADS: Final = 8


class Disk:
    """Runs blocking calls through aiofiles' wrapper in a pool of its own. Cancelling an await stops no call."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="towline-disk")

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        result: T = await wrap(function)(*arguments, executor=self._pool)
        return result

    def close(self) -> None:
        """Wait for what runs, then stop."""
        self._pool.shutdown()


def translated(failed: OSError) -> StorageError:
    """The store's error for the kernel's."""
    if failed.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(0, 0)
    return WriteFailed()
