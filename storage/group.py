"""Those who write to one upload by one lease, in this process: connections of one client, each with an operation.

They share a writer, so that a durable point serves all of them, and each has a hold of its own, so that one can lose
its place while the others go on. The last who leaves closes the writer; where several have used it, a little later:
between two ranges and before `eof` the next one finds it as it was, with all that it has hashed.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from storage.disk import drained
from storage.errors import Fenced, StillWriting, StorageError
from storage.lease import Hold, Work
from storage.store import Published, StoredFile
from storage.writer import LocalWriter
from transfer.protocol.digest import Digest
from transfer.protocol.leaves import Buffer
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet

LINGER_SECONDS: Final = 1.0
"""Shorter than what a newcomer in another process waits for the object's lock."""


class Home(Protocol):
    """Where groups live."""

    take_over_seconds: float

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it in the background, before the store is closed."""

    def forget(self, group: "Group") -> None:
        """Its writer is closed."""


class Group:
    """Who writes to an upload. `work` is that of the writer, whoever asked for it."""

    def __init__(self, home: Home, writer: LocalWriter, work: Work) -> None:
        self.writer = writer
        self._home, self._work = home, work
        self._members: dict[Hold, Member] = {}
        self._open, self._shared = True, False
        self._closing: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()
        writer.on_damage = self._tell

    def admits(self, owner: str, lease: str, within: str) -> bool:
        """Whether somebody may join who shows this lease. Else their way is to open the upload anew."""
        writer, ours = self.writer, self.writer.lease
        known = writer.owner == owner and writer.name.value.startswith(within)
        usable = self._open and not (self._work.fenced or writer.broken or writer.over)
        return usable and known and secrets.compare_digest(lease.encode(), ours.encode())

    def seat(self, span: Range | None = None) -> "Member":
        """A place for one more; `span` is what they will write, where it is a range."""
        member = Member(self, self.writer, Hold(), span)
        self._members[member.hold] = member
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        return member

    async def share(self, member: "Member") -> None:
        """Let it be used by several; older ones whose range overlaps that of `member` lose their place. Raises
        StillWriting."""
        self._shared = True
        older = [other for other in self._members.values() if other is not member and other.overlaps(member)]
        try:
            await self._dismiss(older)
        except BaseException:
            await drained(asyncio.ensure_future(self._leave(member)))
            raise

    @asynccontextmanager
    async def joined(self, member: "Member") -> AsyncIterator["Member"]:
        """Write, within the body, on the place that `seat` gave. Raises Fenced."""
        hold = member.hold
        async with hold.held(lambda: self._leave(member)):
            try:
                yield member
            except Fenced:
                if not hold.fenced:  # the catalog says so: the lease is another process's
                    self._disperse()
                raise

    @asynccontextmanager
    async def alone(self, member: "Member") -> AsyncIterator[None]:
        """For what ends the upload: all others lose their place, and nobody can join. Raises Fenced, StillWriting."""
        if member.hold.fenced:
            raise Fenced
        self._open = False
        try:
            await self._dismiss([other for other in self._members.values() if other is not member])
            yield
        except StorageError:  # the upload is kept; when cancelled, nobody knows whether it is
            self._open = True
            raise

    def others_than(self, member: "Member") -> bool:
        return any(other is not member for other in self._members.values())

    async def fence(self) -> None:
        """End it: returns when nothing of anybody runs any more, and the writer is closed. Raises StillWriting."""
        self._disperse()
        self.close_if_unused()
        try:
            async with asyncio.timeout(self._home.take_over_seconds):
                await self._closed.wait()
        except TimeoutError:
            raise StillWriting from None

    def close_if_unused(self) -> None:
        """Wait for nobody any more."""
        if self._closing is not None:
            self._closing.cancel()
            self._close_soon()

    def _disperse(self) -> None:
        self._work.fenced = True
        for hold in self._members:
            hold.dismiss()

    async def _dismiss(self, members: "Sequence[Member]") -> None:
        seconds = self._home.take_over_seconds
        await asyncio.gather(*(member.hold.fence(seconds) for member in members))

    async def _leave(self, member: "Member") -> None:
        del self._members[member.hold]
        if self._members:
            return
        if self._shared and self.admits(self.writer.owner, self.writer.lease, ""):
            self._closing = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close_soon)
        else:
            await self._close()

    def _close_soon(self) -> None:
        self._open, self._closing = False, None
        self._home.spawn(self._close())

    async def _close(self) -> None:
        self._open, self._work.fenced = False, True
        try:
            await self._work.drain()
            await self.writer.close()
        finally:
            self._closed.set()
            self._home.forget(self)

    def _tell(self, damaged: Range) -> None:
        for member in self._members.values():
            if member.on_damage is not None:
                member.on_damage(damaged)


class Member:
    """A `storage.store.Writer`: one of those who share one."""

    def __init__(self, group: Group, writer: LocalWriter, hold: Hold, span: Range | None) -> None:
        self.upload_id, self.lease, self.leaf_size = writer.upload_id, writer.lease, writer.leaf_size
        self.existing: StoredFile | None = writer.existing
        self.on_damage: Callable[[Range], None] | None = None
        self.hold = hold
        self._group, self._writer, self._span = group, writer, span

    def overlaps(self, other: "Member") -> bool:
        """Whether both write a range, and the ranges have bytes in common."""
        return self._span is not None and other._span is not None and self._span.intersection(other._span) is not None

    @property
    def name(self) -> Name:
        return self._writer.name

    @property
    def size(self) -> int | None:
        return self._writer.size

    @property
    def received(self) -> RangeSet:
        return self._writer.received

    @property
    def durable(self) -> RangeSet:
        return self._writer.durable

    @property
    def leaves(self) -> bytes:
        return self._writer.leaves

    @property
    def hashed_offset(self) -> int:
        return self._writer.hashed_offset

    async def write(self, offset: int, chunks: Sequence[Buffer]) -> None:
        await self.hold.run(lambda: self._writer.write(offset, chunks))

    async def sync(self) -> RangeSet:
        return await self.hold.run(self._writer.sync)

    async def forget(self, span: Range) -> None:
        await self.hold.run(lambda: self._writer.forget(span))

    async def finish(self, digest: Digest) -> Published:
        if self._group.others_than(self):
            await self.sync()
            self._writer.check_whole()  # before anybody is disturbed
        async with self._group.alone(self):
            return await self._writer.finish(digest)

    async def cancel(self) -> None:
        async with self._group.alone(self):
            await self._writer.cancel()
