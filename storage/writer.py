"""Writing one upload to a local object: write, leaf checksums, running digest, durable points, publishing.

State belongs to the event loop. Writes go one at a time (`_turn`), durable points one at a time (`_recording`), and
both beside each other: what a durable point records is the state of before its fdatasync.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from storage import file_rows, upload_rows
from storage.catalog import Catalog
from storage.disk import Disk, translated
from storage.errors import Incomplete, StorageError, TooLong, WriteFailed, WrongDigest
from storage.events import Cancelled, Progressed, Tell, Upload, of_published
from storage.leaf_runs import LeafRuns
from storage.lease import Work
from storage.objects import OPEN_MODE, PUBLISHED_MODE, read_range, write_all
from storage.schema import completed
from storage.space import Space
from storage.store import Clock, Published, StoredFile, UploadRequest
from transfer.protocol.digest import Digest, Hasher, digest_of, new_hasher
from transfer.protocol.leaves import NO_TAIL, Buffer, LeafHasher, Tail, join_leaves
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet

T = TypeVar("T")
logger = logging.getLogger("towline.storage")


@dataclass(slots=True)
class ObjectState:
    """What is known of an open object's content."""

    durable: RangeSet = field(default_factory=RangeSet)
    leaves: dict[int, bytes] = field(default_factory=dict)
    tail: Tail = NO_TAIL


@dataclass(slots=True, kw_only=True)
class Workplace:
    """What all writers of a store share."""

    disk: Disk
    catalog: Catalog
    space: Space
    clock: Clock
    dispose: Callable[[list[str]], None]
    """Called with ids of objects that the catalog has given up."""
    tell: Tell
    """Called with what was committed."""


class LocalWriter:
    """A `storage.store.Writer` on a local object. `descriptor` is open and locked; `close` closes it."""

    def __init__(
        self,
        workplace: Workplace,
        work: Work,
        request: UploadRequest,
        state: ObjectState,
        *,
        upload_id: str,
        object_id: str,
        lease: str,
        epoch: int,
        leaf_size: int,
        descriptor: int,
        existing: StoredFile | None,
        tail_hasher: LeafHasher | None = None,
    ) -> None:
        self.upload_id, self.lease, self.leaf_size, self.existing = upload_id, lease, leaf_size, existing
        self.on_damage: Callable[[Range], None] | None = None
        self._workplace, self._work, self._request = workplace, work, request
        self._object_id, self._epoch, self._descriptor = object_id, epoch, descriptor
        self._durable = self._received = state.durable
        self._leaves, self._tail, self._durable_tail = state.leaves, state.tail, state.tail
        self._unsaved: set[int] = set()
        self._runs = LeafRuns(leaf_size, tail_hasher or LeafHasher(leaf_size))
        self._writes = self._synced_writes = 0
        self._hasher: Hasher = new_hasher(request.digest_algorithm)
        self._hashed = 0
        self._behind = bool(state.durable.leading)
        self.broken = self.over = False
        self._turn, self._recording = asyncio.Lock(), asyncio.Lock()
        self._catching_up: asyncio.Task[None] | None = None
        if self._behind:
            self._catching_up = asyncio.create_task(self._catch_up())

    @property
    def name(self) -> Name:
        return self._request.name

    @property
    def owner(self) -> str:
        return self._request.owner

    @property
    def size(self) -> int | None:
        return self._request.size

    @property
    def received(self) -> RangeSet:
        return self._received

    @property
    def durable(self) -> RangeSet:
        return self._durable

    @property
    def leaves(self) -> bytes:
        furthest = self._received.furthest
        return join_leaves(self._leaves, self._tail, furthest, self.leaf_size, whole=furthest == self.size)

    @property
    def hashed_offset(self) -> int:
        return self._hashed

    # ------------------------------------------------------------------------------------------------- writing

    async def write(self, offset: int, chunks: Sequence[Buffer]) -> None:
        end = offset + sum(len(chunk) for chunk in chunks)
        if self.size is not None and end > self.size:
            raise TooLong(self.size, end)
        async with self._turn:
            self._reserve_for_stream(end)
            covered = self._received.add(offset, end)
            feeding = self._feeds(offset)
            leaves, tail = await self._on_disk(self._write_now, offset, end, list(chunks), covered)
            if not feeding:
                self._unhash(offset)
            self._workplace.space.used(self.upload_id, covered.total - self._received.total)
            self._received = covered
            self._leaves |= leaves
            self._unsaved |= leaves.keys()
            if end == covered.furthest:
                self._tail = tail
            elif end > covered.furthest - self._tail.length:
                self._tail = NO_TAIL
            self._writes += 1
        self._follow()

    def _write_now(
        self, offset: int, end: int, chunks: list[Buffer], covered: RangeSet
    ) -> tuple[dict[int, bytes], Tail]:
        write_all(self._descriptor, offset, chunks)
        leaves, run = self._checksums(offset, end, chunks, covered)
        if self._feeds(offset):
            for chunk in chunks:
                self._hasher.update(chunk)
            self._hashed = end
        return leaves, run.tail if run.position == end else NO_TAIL

    def _checksums(
        self, offset: int, end: int, chunks: list[Buffer], covered: RangeSet
    ) -> tuple[dict[int, bytes], LeafHasher]:
        """The checksums of the full leaves that these bytes touch and that are wholly there now; and the run that they
        are of."""
        run = self._runs.take(offset)
        self._runs.forget(offset, end)
        skip = run.position - offset
        leaves: dict[int, bytes] = {}
        for chunk in chunks:
            leaves.update(run.update(memoryview(chunk)[skip:]))
            skip = max(0, skip - len(chunk))
        self._runs.give_back(run)
        for index in range(offset // self.leaf_size, end // self.leaf_size + 1):
            start, stop = index * self.leaf_size, (index + 1) * self.leaf_size
            if index not in leaves and start < end and covered.covers(start, stop):
                leaves[index] = self._checksum_on_disk(start, stop).tail_or_leaf
        return leaves, run

    def _checksum_on_disk(self, start: int, end: int) -> "_Checksum":
        checksum = _Checksum(self.leaf_size, start)
        for piece in read_range(self._descriptor, start, end):
            checksum.update(piece)
        return checksum

    def _reserve_for_stream(self, end: int) -> None:
        space = self._workplace.space
        if self.size is None and space.outstanding(self.upload_id) < end - self._received.furthest:
            space.reserve_ahead(self.upload_id, end - self._received.furthest)

    # -------------------------------------------------------------------------------------------- durable points

    async def sync(self) -> RangeSet:
        asked = self._writes
        async with self._recording:
            if asked <= self._synced_writes:  # somebody else's durable point has it
                return self._durable
            writes = self._writes
            snapshot, tail, unsaved = self._received, self._tail, set(self._unsaved)
            await self._on_disk(os.fdatasync, self._descriptor)
            await self._record(snapshot, tail, unsaved)
            self._unsaved -= unsaved
            before = self._durable.leading
            self._durable, self._durable_tail, self._synced_writes = snapshot, tail, writes
            self._tell_progress(before)
            return snapshot

    async def _record(self, durable: RangeSet, tail: Tail, changed: set[int]) -> None:
        now = self._workplace.clock()
        grown = self.size is None and durable.total > self._durable.total
        known = {index: self._leaves[index] for index in self._segments_of(changed) if index in self._leaves}

        def work(connection: Connection) -> None:
            upload_rows.record_durable(connection, self.upload_id, self._epoch, durable, tail, self.size, now)
            upload_rows.save_leaves(connection, self._object_id, known, changed)
            if grown:
                upload_rows.check_promise(connection, self._request, durable.total)

        await self._workplace.catalog.write(work)

    @property
    def _state(self) -> Upload:
        request = self._request
        return Upload(self.upload_id, request.name, request.size, self._durable.leading, request.account)

    def _tell_progress(self, before: int) -> None:
        if self._durable.leading != before:
            self._workplace.tell(Progressed(self._state))

    def _segments_of(self, changed: set[int]) -> list[int]:
        per_segment = upload_rows.LEAVES_PER_SEGMENT
        segments = {index // per_segment for index in changed}
        return [index for segment in segments for index in range(segment * per_segment, (segment + 1) * per_segment)]

    async def forget(self, span: Range) -> None:
        async with self._turn:
            await self._stop_catching_up()
            await self._lose(span)
            if span.start < self._hashed:
                self._restart_digest()
        self._follow()

    async def _lose(self, span: Range) -> None:
        """Take `span` out of what is there, durably."""
        async with self._recording:
            dropped = {index for index in self._leaves if span.start < (index + 1) * self.leaf_size <= span.end}
            for index in dropped:
                del self._leaves[index]
            received, durable = self._received.remove(*span), self._durable.remove(*span)
            if received.furthest < self._received.furthest:
                self._tail = NO_TAIL
            if durable.furthest < self._durable.furthest:
                self._durable_tail = NO_TAIL
            before = self._durable.leading
            self._received, self._durable = received, durable
            self._runs.forget(*span)
            await self._record(durable, self._durable_tail, dropped)
            self._tell_progress(before)

    # --------------------------------------------------------------------------------------------------- digest

    def _restart_digest(self) -> None:
        self._hasher, self._hashed, self._behind = new_hasher(self._request.digest_algorithm), 0, True

    def _feeds(self, offset: int) -> bool:
        """Whether what is written there is hashed as it comes."""
        return not self._behind and offset == self._hashed

    def _unhash(self, offset: int) -> None:
        """Bytes from `offset` on were written: what was there before them is not what is to be hashed."""
        if offset < self._hashed:
            self._restart_digest()
        elif offset < self._hashed + self.leaf_size:
            self._hasher = self._hasher.copy()  # what is being hashed now was read before, or between

    def _follow(self) -> None:
        """See to it that what is there and was not fed as it came is hashed."""
        if self._hashed < self._received.leading and self._catching_up is None:
            self._behind = True
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Hash what is on disk up to the offset, checking its leaves, until new bytes can be fed as they come."""
        while True:
            while self._hashed + self.leaf_size <= self._received.leading:
                await self._hash_leaf()
            async with self._turn:
                if self._hashed + self.leaf_size > self._received.leading:
                    await self._hash_remainder(self._received.leading)
                    self._behind, self._catching_up = False, None
                    return

    async def _hash_leaf(self) -> None:
        index, start = self._hashed // self.leaf_size, self._hashed
        if start % self.leaf_size:  # fed as bytes came, then a hole was filled behind them
            await self._hash_remainder(start - start % self.leaf_size + self.leaf_size)
            return
        end = start + self.leaf_size
        before = self._hasher
        ahead = await self._on_disk(self._hash_leaf_now, before.copy(), start, end, self._leaves.get(index))
        if ahead is not None:
            if self._hasher is before:  # else it was written, or all begun anew, meanwhile
                self._hasher, self._hashed = ahead, end
            return
        damaged = Range(start, end)
        async with self._turn:
            if self._hasher is not before:
                return
            logger.error("object %s: leaf %d is not as recorded", self._object_id, index)
            await self._lose(damaged)
        if self.on_damage is not None:
            self.on_damage(damaged)

    def _hash_leaf_now(self, hasher: Hasher, start: int, end: int, recorded: bytes | None) -> Hasher | None:
        """The hasher, fed with the leaf; None where that cannot be read or is not as recorded."""
        checksum = _Checksum(self.leaf_size, start)
        try:
            for piece in read_range(self._descriptor, start, end):
                checksum.update(piece)
                hasher.update(piece)
        except OSError as unreadable:
            logger.error("object %s cannot be read: %s", self._object_id, unreadable)
            return None
        if recorded is not None and checksum.tail_or_leaf != recorded:
            return None
        return hasher

    async def _hash_remainder(self, end: int) -> None:
        before, ahead = self._hasher, self._hasher.copy()
        await self._on_disk(self._hash_range_now, ahead, self._hashed, end)
        if self._hasher is before:
            self._hasher, self._hashed = ahead, max(self._hashed, end)

    def _hash_range_now(self, hasher: Hasher, start: int, end: int) -> None:
        for piece in read_range(self._descriptor, start, end):
            hasher.update(piece)

    async def _stop_catching_up(self) -> None:
        task, self._catching_up = self._catching_up, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    # ------------------------------------------------------------------------------------------------ the end

    async def finish(self, digest: Digest) -> Published:
        await self.sync()  # first: whoever is just losing a damaged leaf has told of it then
        size = self._received.furthest if self.size is None else self.size
        self.check_whole()
        while self._hashed < size:
            self._follow()
            assert self._catching_up is not None
            await asyncio.shield(self._catching_up)  # cancelled, others may still want it
            self.check_whole()
        await self._on_disk(self._know_tail, size)
        actual = digest_of(self._hasher, self._request.digest_algorithm)
        if actual != digest:
            whole = join_leaves(self._leaves, self._tail, size, self.leaf_size, whole=True)
            raise WrongDigest(digest, actual, whole)
        return await self._work.run(lambda: self._publish(size, digest))

    def check_whole(self) -> None:
        """Raises Incomplete."""
        size = self._received.furthest if self.size is None else self.size
        if holes := self._received.holes(size):
            raise Incomplete(size, holes)

    def _know_tail(self, size: int) -> None:
        """The checksum of a tail whose bytes did not come in order."""
        start = size - size % self.leaf_size
        if self._tail.length != size - start:
            self._tail = Tail(size - start, self._checksum_on_disk(start, size).tail_or_leaf)

    def _seal_now(self, size: int) -> None:
        """Make it the content of a file: of a stream whose end was forgotten, the bytes are still there."""
        if os.fstat(self._descriptor).st_size > size:
            os.ftruncate(self._descriptor, size)
        os.fchmod(self._descriptor, PUBLISHED_MODE)
        os.fsync(self._descriptor)

    def _unseal_now(self) -> None:
        try:
            os.fchmod(self._descriptor, OPEN_MODE)
        except OSError as failed:  # the modes follow the rows when the store is opened next
            logger.error("object %s stays read-only: %s", self._object_id, failed)

    async def _publish(self, size: int, digest: Digest) -> Published:
        """Whoever is let in next finds it published, or open as it was: cancelling waits for the one or the other."""
        now = self._workplace.clock()

        def work(connection: Connection) -> tuple[Published, list[str]]:
            upload_rows.remove_upload(connection, self.upload_id, self._epoch)
            published = file_rows.publish(connection, self._request, digest, size, self._object_id, now, promised=True)
            remembered = {"upload_id": self.upload_id, "owner": self._request.owner, "at": now}
            remembered |= {"file_id": published.file.file_id, "unchanged": published.unchanged}
            remembered["wanted"] = self._request.name.value
            connection.execute(insert(completed).values(remembered))
            return published, file_rows.disposable(connection)

        try:
            await self._on_disk(self._seal_now, size)
            published, disposable = await self._workplace.catalog.write(work)
        except StorageError:
            await self._workplace.disk.call(self._unseal_now)
            raise
        self._end(disposable)
        for event in of_published(published, self._state):
            self._workplace.tell(event)
        return published

    async def cancel(self) -> None:
        await self._work.run(self._drop)

    async def _drop(self) -> None:
        def work(connection: Connection) -> list[str]:
            upload_rows.remove_upload(connection, self.upload_id, self._epoch)
            file_rows.dispose(connection, [self._object_id])
            return file_rows.disposable(connection)

        self._end(await self._workplace.catalog.write(work))
        self._workplace.tell(Cancelled(self._state))

    def _end(self, disposable: list[str]) -> None:
        self.over = True
        self._workplace.space.release(self.upload_id)
        self._workplace.dispose(disposable)

    async def close(self) -> None:
        """Let go of the object: what is not durable is cut off. The hold's writes must have returned."""
        await self._stop_quietly()
        furthest = None
        if not self.over:
            self._workplace.space.linger(self.upload_id)
            furthest = await self._note_active()
        await self._workplace.disk.call(self._close_now, furthest)

    async def _stop_quietly(self) -> None:
        try:
            await self._stop_catching_up()
        except StorageError as error:  # whoever waited for the digest has been told
            logger.info("hashing of object %s ended: %s", self._object_id, error)

    async def _note_active(self) -> int | None:
        """A connected upload is not silent: its silence begins now. Returns its furthest durable byte by the catalog's
        word, None where that is not to be had or the upload is somebody else's by now."""
        now = self._workplace.clock()
        try:
            return await self._workplace.catalog.write(
                lambda connection: upload_rows.note_active(connection, self.upload_id, self._epoch, now)
            )
        except StorageError as refused:  # fenced, or a catalog that cannot be written
            logger.info("upload of object %s ended: %s", self._object_id, refused)
            return None

    def _close_now(self, furthest: int | None) -> None:
        try:
            if furthest is not None and os.fstat(self._descriptor).st_size > furthest:
                os.ftruncate(self._descriptor, furthest)
        except OSError as failed:
            logger.error("object %s cannot be cut: %s", self._object_id, failed)
        finally:
            os.close(self._descriptor)

    async def _on_disk(self, function: Callable[..., T], *arguments: object) -> T:
        """Disk work under the hold. After a failure nothing more is tried on this descriptor: the kernel may have
        dropped the pages of a failed sync and call the next one a success (fsync(2), NOTES)."""
        if self.broken:
            raise WriteFailed
        try:
            return await self._work.run(lambda: self._workplace.disk.call(function, *arguments))
        except OSError as failed:
            self.broken = True
            logger.error("object %s: %s", self._object_id, failed)
            raise translated(failed) from failed


class _Checksum:
    """The checksum of one leaf, read in pieces."""

    def __init__(self, leaf_size: int, start: int) -> None:
        self._hasher = LeafHasher(leaf_size, start)
        self._full: bytes | None = None

    def update(self, piece: Buffer) -> None:
        for _, checksum in self._hasher.update(piece):
            self._full = checksum

    @property
    def tail_or_leaf(self) -> bytes:
        return self._full if self._full is not None else self._hasher.tail.checksum
