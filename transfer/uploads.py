"""One upload operation: the pump between a connection's frames, the receiver's state machine and the store.

`UploadOperation` takes one upload on, through one `storage.store.Writer`; `SmallUpload` keeps a whole small file in
memory and publishes it in a batch. Both get their frames at once (`chunk`, `eof`, …, judged by the receiver) and work
them off in `run`.
"""

import asyncio
import mimetypes
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Final

from storage.errors import NotFound, WrongDigest
from storage.store import Published, Store, StoredFile, UploadRequest, Writer
from transfer.access.principal import Principal
from transfer.access.visiting import told, visitors_entry
from transfer.budget import ReceiveBudget
from transfer.deadlines import Arrivals, Pace
from transfer.entries import file_entry
from transfer.inbox import Cancel, Ending, Eof, Failure, Inbox, Left
from transfer.protocol import limits
from transfer.protocol.digest import ALGORITHMS, Digest
from transfer.protocol.errors import (
    BadMessage,
    DigestMismatch,
    DigestRequired,
    SizeMismatch,
    Timeout,
    TooLarge,
    TransferError,
)
from transfer.protocol.leaves import MAX_LEAVES, Buffer
from transfer.protocol.messages import (
    AckMessage,
    CancelledMessage,
    CompleteMessage,
    EofMessage,
    Existing,
    FileEntry,
    MissingMessage,
    ReadyMessage,
    ServerMessage,
    UploadHeader,
    VerifyingMessage,
    encode_leaves,
)
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range
from transfer.protocol.receiver import DurablePoints, Receiver, State, acknowledged
from transfer.refusals import refusal

WRITE_BYTES: Final = 2 * limits.MIB
"""About how much one hop to a disk thread writes, and hashes while the processor still has it in its cache."""
Reply = Callable[[ServerMessage], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What uploads of one connection share."""

    store: Store
    budget: ReceiveBudget
    connection: object
    caller: Callable[[], Principal]
    """Who it is now: they may show another token in between."""
    max_file_bytes: int
    freed: Callable[[int], None]
    arrivals: Arrivals
    alone: Callable[[], bool]
    """Whether all but one of the connection's operations were worked off."""
    held_up: Callable[[], float]
    """For how many seconds in all nothing was received, because the caller's rate was used up."""
    min_upload_rate: float
    rate_period: float


class Operation:
    """What small and other uploads have in common: a receiver, an inbox, and frames that come."""

    without_digest = "eof without a digest: the upload is kept, send eof again with one"

    def __init__(self, shared: Shared, receiver: Receiver, reply: Reply) -> None:
        self.receiver = receiver
        self._shared = shared
        self.caller = shared.caller()
        self._reply = reply
        self._inbox = Inbox(shared.freed)
        self._pace = Pace(shared.min_upload_rate, shared.rate_period)
        self._sent_name: Name | None = None
        """What the client called it."""
        self._may_compare = False
        """Whether the client has reason to read all of its source before it sends anything."""

    def chunk(self, content: bytes) -> None:
        """A binary frame. Raises TransferError; the caller then calls `fail`."""
        self._may_compare = False
        kept = 0
        for piece in self.receiver.chunk(len(content)):
            whole = piece.end - piece.start == len(content)
            part: Buffer = content if whole else memoryview(content)[piece.start : piece.end]
            kept += len(part)
            self._inbox.put(piece.offset, part)
        self._shared.freed(len(content) - kept)

    def eof(self, message: EofMessage) -> None:
        """Raises BadMessage."""
        discarding = self.receiver.state is State.DISCARDING
        self.receiver.eof()
        if not discarding:
            missing = Failure(DigestRequired(self.without_digest))
            self._inbox.end(missing if message.digest is None else Eof(message.digest))

    def cancel(self) -> None:
        self.receiver.cancel()
        self._inbox.end(Cancel())

    def leave(self) -> None:
        """The next header came."""
        self.receiver.header()
        self._inbox.end(Left())

    def gone(self) -> None:
        """The connection is gone."""
        self._inbox.end(Left())

    def fail(self, error: TransferError) -> None:
        """A frame was refused: `run` ends with this error, and what still comes is dropped."""
        self.receiver.failed()
        self._inbox.end(Failure(error))

    def close(self) -> None:
        """`run` has ended with an error."""
        self.receiver.failed()
        self._inbox.close()

    async def _wait_for_client(self, seconds: float | None) -> None:
        """Until the inbox has something new, or `seconds` passed. Ends the operation when a client that has bytes to
        send, and whom nothing of ours keeps from it, is too slow."""
        if self._may_compare or not self.receiver.lacks_bytes:
            await self._inbox.wait(seconds)
            return
        pace, began, held_up = self._pace, time.monotonic(), self._shared.held_up()
        await self._inbox.wait(pace.step if seconds is None else min(seconds, pace.step))
        waited = time.monotonic() - began - (self._shared.held_up() - held_up)
        received = self._shared.arrivals.received_bytes
        if self._shared.alone() and pace.waited(waited, received) and self.receiver.lacks_bytes:
            rate, period = self._shared.min_upload_rate, self._shared.rate_period
            self.fail(Timeout(f"less than {rate:g} bytes a second over {period:g} s: resume it later", limit=rate))

    @property
    def arriving_bytes(self) -> int:
        """What is held of a file that nothing can be done with before all of it is here."""
        return 0

    @property
    def waiting_bytes(self) -> int:
        """What has come and nobody works at yet, although it could be worked at."""
        return self._inbox.size - self.arriving_bytes

    @property
    def open(self) -> bool:
        """Whether frames of it may still come."""
        return self.receiver.state in (State.OPENING, State.RECEIVING)

    def _complete(self, published: Published, *, unchanged: bool | None = None) -> None:
        self.receiver.done()
        self._inbox.close()
        same = published.unchanged if unchanged is None else unchanged
        self._reply(CompleteMessage(file=self._entry(published.file), unchanged=same or None))

    def _entry(self, file: StoredFile) -> FileEntry:
        if self.caller.visit is None:
            return file_entry(file)
        return visitors_entry(file, told(self._sent_name or file.name, self.caller))

    def _authorize(self, header: UploadHeader) -> None:
        """Raises Forbidden."""
        self.caller.require("upload")
        self.caller.require_name(header.name)

    async def _stored_already(self, header: UploadHeader) -> StoredFile | None:
        """The file that has this name and this digest, for callers who may know."""
        if header.digest is None:
            return None
        existing = await self._shared.store.find(header.name)
        if (
            existing is None
            or existing.digest != header.digest
            or not self.caller.may_read(existing.name, existing.owner)
        ):
            return None
        return existing

    def _request(self, header: UploadHeader) -> UploadRequest:
        if header.size is not None and header.size > self._shared.max_file_bytes:
            limit = self._shared.max_file_bytes
            raise TooLarge(f"{header.size} bytes are more than the limit of {limit}", size=header.size, limit=limit)
        guessed = mimetypes.guess_type(header.name.last)[0]
        caller = self.caller
        return UploadRequest(
            name=header.name,
            size=header.size,
            owner=caller.owner,
            subject=caller.subject,
            via=caller.visit.link if caller.visit is not None else None,
            quota=caller.quota,
            via_quota=caller.visit.size if caller.visit is not None else None,
            within=caller.prefix,
            may_compare=caller.may("read"),
            may_replace=caller.may("delete"),
            if_exists=header.if_exists if caller.visit is None else "rename",
            digest_algorithm=header.digest_algorithm,
            modified=header.modified,
            content_type=header.content_type or guessed or "application/octet-stream",
            metadata=header.metadata,
        )


def is_small(header: UploadHeader) -> bool:
    """Whether this header begins a file that is kept in memory until it is whole."""
    return header.offset == 0 and header.size is not None and header.size <= limits.SMALL_FILE_BYTES


class SmallUpload(Operation):
    """A small file whose bytes follow its header at once."""

    without_digest = "eof without a digest: nothing is kept of a small file, send it again with one"

    def __init__(self, shared: Shared, header: UploadHeader, reply: Reply) -> None:
        super().__init__(shared, Receiver(size=header.size, early=True), reply)
        self._header = header
        self._sent_name = header.name

    @property
    def arriving_bytes(self) -> int:
        return self._inbox.size if self.open else 0

    async def run(self) -> None:
        """Raises TransferError, StorageError."""
        self._authorize(self._header)
        request = self._request(self._header)
        if (existing := await self._stored_already(self._header)) is not None:
            self._complete(Published(existing), unchanged=True)
            return
        self._pace.begin(self._shared.arrivals.received_bytes)
        while self._inbox.ending is None:
            await self._wait_for_client(None)
        ending = self._inbox.ending
        _, pieces = self._inbox.take(limits.SMALL_FILE_BYTES)
        size = sum(len(piece) for piece in pieces)
        try:
            if isinstance(ending, Eof):
                await self._publish(request, b"".join(pieces), ending.digest)
            elif isinstance(ending, Failure):
                raise ending.error
            elif isinstance(ending, Cancel):
                self.receiver.done()
                self._reply(CancelledMessage())
        finally:
            self._inbox.release(size)

    async def _publish(self, request: UploadRequest, content: bytes, digest: Digest) -> None:
        if digest.algorithm != request.digest_algorithm:
            raise DigestMismatch(
                f"the digest is {digest.algorithm}, the header said {request.digest_algorithm}", expected=str(digest)
            )
        if len(content) != request.size:
            raise SizeMismatch(
                f"eof after {len(content)} of {request.size} bytes", expected=request.size, received=len(content)
            )
        self._complete(await self._shared.store.put(request, content, digest))


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
        window = self._shared.budget.grant(self._shared.connection)
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
            chunk_size=self._shared.budget.chunk_size,
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
        granted = self._shared.budget.grant(self._shared.connection)
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
