"""The pump between a connection's frames, the receiver's state machine and one `storage.store.Writer`."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

from storage.errors import NotFound, WrongDigest
from storage.store import Published, StoredFile, UploadRequest, Writer
from transfer.access.visiting import told
from transfer.inbox import Cancel, Ending, Eof, Failure, Left
from transfer.operation import Operation, Reply, Shared
from transfer.protocol import limits
from transfer.protocol.digest import ALGORITHMS, Digest
from transfer.protocol.errors import BadMessage, DigestRequired, SizeMismatch, TooLarge
from transfer.protocol.leaves import MAX_LEAVES, Buffer
from transfer.protocol.messages import (
    AckMessage,
    CancelledMessage,
    EofMessage,
    Existing,
    MissingMessage,
    ReadyMessage,
    UploadHeader,
    VerifyingMessage,
    encode_leaves,
)
from transfer.protocol.ranges import Range
from transfer.protocol.receiver import DurablePoints, Receiver, State, acknowledged
from transfer.refusals import refusal

WRITE_BYTES: Final = 2 * limits.MIB
"""About how much one hop to a disk thread writes, and hashes while the processor still has it in its cache."""


class UploadOperation(Operation):
    """An upload, or a range of one, or the end of one; `message` is what began it."""

    def __init__(self, shared: Shared, message: UploadHeader | EofMessage, reply: Reply) -> None:
        early = isinstance(message, UploadHeader) and message.offset == 0
        size = message.size if isinstance(message, UploadHeader) else None
        state = State.FINISHING if isinstance(message, EofMessage) else State.OPENING
        max_size = shared.max_file_bytes if size is not None else min(shared.max_file_bytes, limits.MAX_STREAM_SIZE)
        super().__init__(shared, Receiver(size=size, early=early, max_size=max_size, state=state), reply)
        self._message = message
        self._sent_name = message.name if isinstance(message, UploadHeader) else None
        self.upload_id: str | None = message.upload_id

    def is_whole(self, upload_id: str) -> bool:
        """Whether this operation is of the whole of that upload."""
        ranged = isinstance(self._message, UploadHeader) and self._message.range is not None
        return self.upload_id == upload_id and not ranged

    async def run(self) -> None:
        """Raises TransferError, StorageError."""
        if isinstance(self._message, UploadHeader):
            self._authorize(self._message)
        self.caller.require("upload")
        if isinstance(self._message, EofMessage) and self._message.digest is None:
            raise DigestRequired(self.without_digest)
        if await self._was_completed():
            return
        try:
            if isinstance(self._message, EofMessage):
                await self._finish_elsewhere(self._message)
            elif not await self._answered_already(self._message):
                await self._open_and_serve(self._message)
        except NotFound:
            if not await self._was_completed():  # by another connection, after we had looked
                raise

    async def _was_completed(self) -> bool:
        """Whether the upload that is asked for is a file by now; then that is the answer."""
        wanted = self._message.upload_id
        published = None if wanted is None else await self._shared.store.find_completed(wanted, self.caller.owner)
        if published is None or not self.caller.reaches(published.file.name):
            return False
        self._sent_name = self._sent_name or published.wanted
        self._complete(published)
        return True

    async def _answered_already(self, header: UploadHeader) -> bool:
        existing = None if header.range is not None else await self._stored_already(header)
        if existing is None:
            return False
        if header.upload_id is not None:
            with suppress(NotFound):  # it ended while we looked
                await self._drop(header.upload_id, header.lease)
        self._complete(Published(existing), unchanged=True)
        return True

    async def _drop(self, upload_id: str, lease: str | None) -> None:
        """Drop the upload that is not needed any more, unless somebody else has taken it over since."""
        async with self._resumed(upload_id, lease) as writer:
            await writer.cancel()

    async def _finish_elsewhere(self, message: EofMessage) -> None:
        """`eof` as an operation of its own, after ranges."""
        assert message.upload_id is not None
        assert message.digest is not None
        async with self._joined(message.upload_id, message.lease) as writer:
            self._sent_name = writer.name
            writer.on_damage = self._damaged
            await self._finish(writer, message.digest)

    async def _open_and_serve(self, header: UploadHeader) -> None:
        try:
            async with await self._open(header) as writer:
                await self._serve(writer, header)
        except NotFound:  # it ended while we looked
            if header.upload_id is not None or self.upload_id is not None:
                raise
            async with self._shared.store.begin(self._request(header)) as writer:
                await self._serve(writer, header)

    async def _open(self, header: UploadHeader) -> AbstractAsyncContextManager[Writer]:
        if header.range is not None:
            return self._joined(header.upload_id, header.lease, header.range)
        request = self._request(header)
        if header.upload_id is not None:
            return self._resumed(header.upload_id, header.lease, request)
        found = None
        if header.resume and header.offset is None:
            found = await self._shared.store.find_unfinished(header.name, self.caller.owner)
        return self._shared.store.begin(request) if found is None else self._resumed(found, None, request)

    def _resumed(
        self, upload_id: str, lease: str | None, request: UploadRequest | None = None
    ) -> AbstractAsyncContextManager[Writer]:
        """The caller's upload, if it is within their prefix."""
        store, caller = self._shared.store, self.caller
        return store.resume(upload_id, caller.owner, request, lease=lease, within=caller.prefix)

    def _joined(
        self, upload_id: str | None, lease: str | None, span: Range | None = None
    ) -> AbstractAsyncContextManager[Writer]:
        """The same, beside the caller's other connections."""
        assert upload_id is not None
        assert lease is not None
        caller = self.caller
        return self._shared.store.join(upload_id, caller.owner, lease, span, within=caller.prefix)

    # ------------------------------------------------------------------------------------------------ receiving

    async def _serve(self, writer: Writer, header: UploadHeader) -> None:
        self.upload_id = writer.upload_id
        writer.on_damage = self._damaged
        self._limit_leaves(writer)
        span = _checked_range(header, writer)
        if span is not None and header.rewrite:
            await writer.forget(span)
        durable = writer.durable
        offset = acknowledged(durable, span)
        end = writer.size if span is None else span.end
        self.receiver.ready(offset, size=writer.size, end=end, there=durable)
        window = self._shared.window.grant()
        ready = self._ready(writer, offset, window)
        self._may_compare = ready.existing is not None and ready.existing.size == writer.size
        self._reply(ready)
        self._pace.begin(self._shared.arrivals.received_bytes)
        ending = await self._receive(writer, span, window)
        await self._end(writer, span, ending)

    def _limit_leaves(self, writer: Writer) -> None:
        """An upload keeps its leaf size when its size changes, and `ready` has to hold all of its leaves."""
        limit = writer.leaf_size * MAX_LEAVES
        if writer.size is not None and writer.size > limit:
            raise TooLarge(
                f"this upload began smaller and cannot grow beyond {limit} bytes: begin anew with resume false",
                size=writer.size,
                limit=limit,
            )
        self.receiver.max_size = min(self.receiver.max_size, limit)

    def _ready(self, writer: Writer, offset: int, window: int) -> ReadyMessage:
        durable = writer.durable
        missing = durable.holes(durable.furthest)
        return ReadyMessage(
            upload_id=writer.upload_id,
            lease=writer.lease,
            name=told(writer.name, self.caller),
            size=writer.size,
            offset=offset,
            chunk_size=self._shared.window.chunk_size,
            window=window,
            leaf_size=writer.leaf_size,
            leaves=encode_leaves(writer.leaves),
            missing=missing or None,
            existing=self._shown(writer.existing),
            digest_algorithms=ALGORITHMS,
        )

    def _shown(self, existing: StoredFile | None) -> Existing | None:
        if existing is None or not self.caller.may_read(existing.name, existing.owner):
            return None
        return Existing(size=existing.size, digest=existing.digest)

    async def _receive(self, writer: Writer, span: Range | None, window: int) -> Ending:
        """Write what comes, sync when due, acknowledge what is durable; until the operation ends."""
        points, syncing = DurablePoints(), None
        try:
            while True:
                if span is not None and writer.durable.covers(*span):
                    return self._inbox.ending or Left()
                offset, pieces = self._inbox.take(WRITE_BYTES)
                if pieces:
                    await self._write(writer, offset, pieces)
                    points.wrote(sum(len(piece) for piece in pieces), time.monotonic())
                if syncing is not None and syncing.done():
                    await syncing
                    syncing = None
                    window = self._acknowledge(writer, span, window)
                all_here = span is not None and writer.received.covers(*span)
                if syncing is None and (points.wait(time.monotonic()) == 0 or (all_here and self._inbox.empty)):
                    points.begun()
                    syncing = asyncio.create_task(writer.sync())
                    syncing.add_done_callback(_seen)
                    syncing.add_done_callback(lambda _: self._inbox.wake())
                if self._inbox.empty:
                    if self._inbox.ending is not None:
                        return self._inbox.ending
                    if syncing is not None:
                        await self._inbox.wait(None)
                    else:
                        await self._wait_for_client(points.wait(time.monotonic()))
        finally:
            if syncing is not None:
                await asyncio.wait([syncing])

    async def _write(self, writer: Writer, offset: int, pieces: list[Buffer]) -> None:
        try:
            await writer.write(offset, pieces)
        finally:
            self._inbox.release(sum(len(piece) for piece in pieces))

    def _acknowledge(self, writer: Writer, span: Range | None, window: int) -> int:
        granted = self._shared.window.grant()
        offset = acknowledged(writer.durable, span)
        self._reply(AckMessage(offset=offset, window=None if granted == window else granted))
        return granted

    def _damaged(self, span: Range) -> None:
        self.receiver.forget(span)
        self._reply(MissingMessage(ranges=(span,)))

    # --------------------------------------------------------------------------------------------------- ending

    async def _end(self, writer: Writer, span: Range | None, ending: Ending) -> None:
        if isinstance(ending, Cancel):
            await writer.cancel()
            self.receiver.done()
            self._reply(CancelledMessage())
            return
        await writer.sync()
        self._reply(AckMessage(offset=acknowledged(writer.durable, span)))
        if isinstance(ending, Eof):
            if span is not None:
                raise BadMessage("eof in a range: wait for the ack of its end, then send eof with upload_id and lease")
            await self._finish(writer, ending.digest)
        elif isinstance(ending, Failure):
            raise ending.error
        else:
            self.receiver.done()

    async def _finish(self, writer: Writer, digest: Digest) -> None:
        """Say how far hashing is each second, then how it ended."""
        finishing = asyncio.create_task(writer.finish(digest))
        finishing.add_done_callback(_seen)
        try:
            while not (await asyncio.wait([finishing], timeout=limits.VERIFYING_SECONDS))[0]:
                self._reply(VerifyingMessage(offset=writer.hashed_offset))
            self._complete(await finishing)
        except WrongDigest as wrong:
            mismatch = refusal(wrong)
            mismatch.facts["leaves"] = encode_leaves(wrong.leaves)
            mismatch.facts["leaf_size"] = writer.leaf_size
            raise mismatch from wrong
        finally:
            if not finishing.done():
                finishing.cancel()
                await asyncio.wait([finishing])


def _seen(task: "asyncio.Task[object]") -> None:
    """Where the operation has ended before the task, what ended it is what the client hears."""
    if not task.cancelled():
        task.exception()


def _checked_range(header: UploadHeader, writer: Writer) -> Range | None:
    span = header.range
    if span is None:
        return None
    end = writer.durable.furthest if writer.size is None else writer.size
    if span.end > end and writer.size is not None:
        raise SizeMismatch(f"the range [{span.start}, {span.end}) goes beyond the size {end}", expected=end)
    aligned = span.start % writer.leaf_size == 0 and (span.end % writer.leaf_size == 0 or span.end == end)
    if header.rewrite and not aligned:
        raise BadMessage(
            f"the range [{span.start}, {span.end}) is not of whole leaves of {writer.leaf_size} bytes", field="range"
        )
    return span
