"""What one client has in flight here: no more than its window, and little of that in memory while the disk keeps up.

At either the reader of its connection stops receiving, and TCP slows the client.
"""

import asyncio
from contextlib import suppress
from typing import Final, Protocol

from transfer.budget import ReceiveBudget
from transfer.protocol import limits

WAITING_BYTES: Final = 2 * limits.MIB
"""What of a window waits in our memory to be written, where the disk keeps up; the rest waits in the network. As much
as one hop to a disk thread takes: with less, each chunk would be a hop of its own."""
STUCK_SECONDS: Final = 2.0
"""A disk that has taken nothing for so long does not keep up: the rest is read, for behind it there may be a ping, and
many clients wait 20 s for a pong."""


class Arriving(Protocol):
    """The operation that frames belong to now."""

    @property
    def arriving_bytes(self) -> int:
        """What is held of a file that nothing can be done with before all of it is here."""

    @property
    def waiting_bytes(self) -> int:
        """What has come and nobody works at yet, although it could be worked at."""


class Window:
    """That of one connection: what its reader took and its operations have not freed yet."""

    def __init__(self, budget: ReceiveBudget) -> None:
        self._budget = budget
        self._held = 0
        self._freed_at = 0.0
        self._room = asyncio.Event()

    @property
    def chunk_size(self) -> int:
        """How large the client's messages are to be, in bytes."""
        return self._budget.chunk_size

    def grant(self) -> int:
        """Its size from now on, in bytes; see ReceiveBudget."""
        return self._budget.grant(self)

    def leave(self) -> None:
        """Nothing is under way: others may have what it had."""
        self._budget.leave(self)

    def take(self, size: int) -> None:
        """So many bytes have come."""
        self._held += size

    def free(self, size: int) -> None:
        """So many of them were written, or dropped."""
        if size:
            self._held -= size
            self._freed_at = asyncio.get_running_loop().time()
            self._room.set()

    async def wait_for_room(self, current: Arriving | None) -> None:
        """Until the client has less in flight than its window. The small file that is just arriving is not counted:
        its end has to be read before it can be written."""
        while self._held - (current.arriving_bytes if current is not None else 0) >= self._budget.granted(self):
            self._room.clear()
            await self._room.wait()
        if current is not None and current.waiting_bytes >= WAITING_BYTES:
            self._room.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._freed_at + STUCK_SECONDS):
                    await self._room.wait()
