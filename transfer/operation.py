"""What every upload operation of a connection has: a receiver, an inbox, a client who must not be too slow, a caller.

It gets its frames at once (`chunk`, `eof`, …, judged by the receiver); who takes it on works them off in `run`.
"""

import mimetypes
import time
from collections.abc import Callable
from dataclasses import dataclass

from storage.store import Published, Store, StoredFile, UploadRequest
from transfer.access.principal import Principal
from transfer.access.visiting import told, visitors_entry
from transfer.deadlines import Arrivals, Pace
from transfer.entries import file_entry
from transfer.inbox import Cancel, Eof, Failure, Inbox, Left
from transfer.protocol.errors import (
    DigestRequired,
    Timeout,
    TooLarge,
    TransferError,
)
from transfer.protocol.leaves import Buffer
from transfer.protocol.messages import (
    CompleteMessage,
    EofMessage,
    FileEntry,
    ServerMessage,
    UploadHeader,
)
from transfer.protocol.names import Name
from transfer.protocol.receiver import Receiver, State
from transfer.window import Window

Reply = Callable[[ServerMessage], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What uploads of one connection share."""

    store: Store
    window: Window
    caller: Callable[[], Principal]
    """Who it is now: they may show another token in between."""
    max_file_bytes: int
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
        self._inbox = Inbox(shared.window.free)
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
        self._shared.window.free(len(content) - kept)

    def eof(self, message: EofMessage) -> None:
        """Raises BadMessage."""
        discarding = self.receiver.state is State.DISCARDING
        self.receiver.eof()
        if not discarding:
            digest = message.digest
            self._inbox.end(Failure(DigestRequired(self.without_digest)) if digest is None else Eof(digest))

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
