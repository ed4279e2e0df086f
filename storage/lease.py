"""Who may write to an upload, inside one process: a hold, and how a newcomer ends it.

The epoch in the catalog fences what a former holder would record; a hold makes sure that nothing of it still runs
when the newcomer is let in. Between processes `flock` on the object does the same (see `lock_object`).
"""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from storage.disk import drained
from storage.errors import Fenced, StillWriting

T = TypeVar("T")
LOCK_RETRY_SECONDS: Final = 0.02


class Work:
    """Disk work that cancelling must not detach."""

    def __init__(self) -> None:
        self.fenced = False
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Run it to its end, also when the caller is cancelled. Raises Fenced."""
        if self.fenced:
            raise Fenced
        future: asyncio.Future[T] = asyncio.ensure_future(call())
        self._running.add(future)
        future.add_done_callback(self._returned)
        return await asyncio.shield(future)

    def _returned(self, future: "asyncio.Future[Any]") -> None:
        self._running.discard(future)
        if not future.cancelled():
            future.exception()  # seen: whoever asked may have been cancelled

    async def drain(self) -> None:
        """Return when nothing of it runs any more."""
        while self._running:
            await asyncio.wait(self._running)


class Hold(Work):
    """One connection's hold on one upload. It lasts until its work has returned."""

    def __init__(self) -> None:
        super().__init__()
        self._scope: asyncio.Timeout | None = None
        self._gone = asyncio.Event()

    @asynccontextmanager
    async def held(self, close: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Hold it for the body, which `fence` cancels at its next await. Drains, then closes. Raises Fenced."""
        try:
            if self.fenced:  # superseded before it began
                raise Fenced
            async with asyncio.timeout(None) as self._scope:
                try:
                    yield
                finally:
                    self._scope = None  # a timeout that is ending cannot be fired
            if self.fenced:  # the body went on in spite of it
                raise Fenced
        except TimeoutError:
            if not self.fenced:
                raise
            raise Fenced from None
        finally:
            try:
                await drained(asyncio.ensure_future(self._drain_and(close)))
            finally:
                self.fenced = True
                self._gone.set()

    def dismiss(self) -> None:
        """End the hold as soon as what runs has returned."""
        self.fenced = True
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.reschedule(0)

    async def fence(self, seconds: float) -> None:
        """End the hold; returns when nothing of it runs any more. Raises StillWriting after `seconds`: the disk has
        not answered, and letting anybody else write would not be safe."""
        self.dismiss()
        try:
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        except TimeoutError:
            raise StillWriting from None

    async def _drain_and(self, close: Callable[[], Awaitable[None]]) -> None:
        await self.drain()
        await close()


async def lock_object(descriptor: int, seconds: float) -> None:
    """Take the exclusive `flock` (flock(2)) that other processes' writers hold. Raises StillWriting."""
    try:
        async with asyncio.timeout(seconds):
            while not _try_lock(descriptor):  # noqa: ASYNC110 - the kernel tells nobody when a lock is free
                await asyncio.sleep(LOCK_RETRY_SECONDS)
    except TimeoutError:
        raise StillWriting from None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
