"""The sending side of one upload, over any number of connections: what to send next, and what an answer means.

    phase       goes on with
    ---------   ---------------------------------------------------------------------------------------------
    HEADER      `connected` asks for a header: of the whole upload, or of one range that is to be sent (again)
    OPENING     ready → SENDING; complete, error
    SENDING     bytes within the window; ack, missing, verifying, error; holes at once and rewrites when all was sent
                → OPENING (a range), and after them OPENING (the rest) or eof
    FINISHING   eof was sent; ack, missing, verifying; complete, or an error: bytes are missing → HEADER, the digests
                differ → REPAIRING
    REPAIRING   leaves to compare; those that differ → OPENING (a range), then eof; none → CANCELLING. Also of
                one of several connections: what is handed out → OPENING (a range)
    CANCELLING  the upload is dropped, to send everything anew, and dropped again after a break; cancelled → HEADER
    OVER        complete, or an error

    message     HEADER   OPENING   SENDING   FINISHING   REPAIRING   CANCELLING
    ---------   ------   -------   -------   ---------   ---------   ----------
    ready                x                                           ignored
    ack         late     late      x         x                       ignored
    missing     late     late      x         x                       ignored
    verifying                      x         x
    complete             x                   x
    cancelled                                                        x
    error       x        x         x         x           x           x

*Late* is what the operation before still had to say. An error may come at any time: a server that shuts down waits
for no header.

It reads no source and holds no bytes: `next` says which bytes to send, `sent` that they were. Holes are ranges that
the server does not have, rewrites ranges that it has and that differ from the source; both are sent as ranges.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from transfer.protocol import limits
from transfer.protocol.digest import Digest
from transfer.protocol.errors import BadMessage, DigestMismatch, NotFound, SizeMismatch, TransferError
from transfer.protocol.messages import (
    AckMessage,
    CancelledMessage,
    CancelMessage,
    CompleteMessage,
    EofMessage,
    ErrorMessage,
    MissingMessage,
    ReadyMessage,
    ServerMessage,
    UploadHeader,
    VerifyingMessage,
    decode_leaves,
)
from transfer.protocol.ranges import Range, RangeSet


class Phase(Enum):
    HEADER = auto()
    OPENING = auto()
    SENDING = auto()
    FINISHING = auto()
    REPAIRING = auto()
    CANCELLING = auto()
    OVER = auto()


_LATE: Final = (AckMessage, MissingMessage)
"""What may still come of the operation before, until the next one is answered."""
ALLOWED: Final[dict[Phase, tuple[type[ServerMessage], ...]]] = {
    Phase.HEADER: (*_LATE, ErrorMessage),
    Phase.OPENING: (*_LATE, ReadyMessage, CompleteMessage, ErrorMessage),
    Phase.SENDING: (AckMessage, MissingMessage, VerifyingMessage, ErrorMessage),
    Phase.FINISHING: (AckMessage, MissingMessage, VerifyingMessage, CompleteMessage, ErrorMessage),
    Phase.REPAIRING: (ErrorMessage,),
    Phase.CANCELLING: (*_LATE, ReadyMessage, CancelledMessage, ErrorMessage),
}


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send this text frame."""

    message: UploadHeader | EofMessage | CancelMessage


@dataclass(frozen=True, slots=True)
class SendBytes:
    """Send at most `size` bytes of the source from `offset` on as one binary frame, then call `sent`."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to send before something comes, or the source's digest is known."""


@dataclass(frozen=True, slots=True)
class Compare:
    """The server's digest differs: compare the source's leaves with these and call `differs`, or `start_over`."""

    leaves: tuple[bytes, ...]


Action = SendMessage | SendBytes | Wait | Compare


class Sender:
    """One upload; `header` says what it is to become. Methods raise the TransferError that ends it."""

    def __init__(self, header: UploadHeader) -> None:
        self.phase = Phase.HEADER
        self.header = header
        self.size = header.size
        self.ready: ReadyMessage | None = None
        """The newest answer about the whole upload."""
        self.complete: CompleteMessage | None = None
        self.position = 0
        self.acked = 0
        self._end: int | None = None
        self._window = self._chunk = limits.CHUNK_SIZE
        self._range: Range | None = None
        self._rewriting = False
        self._holes = RangeSet()
        self._rewrites = RangeSet()
        self._whole_sent = self._after_ranges = False
        self._digest: Digest | None = None
        self._mismatch: tuple[bytes, ...] | None = None
        self._cut: int | None = None
        self._started_over = False
        self._verdict: TransferError | None = None
        self._dropping: list[SendMessage] = []

    @property
    def digest(self) -> Digest | None:
        """The source's, once it is known."""
        return self._digest

    @property
    def in_range(self) -> bool:
        """Whether the operation is of a range: acks are within it then."""
        return self._range is not None

    # --------------------------------------------------------------------------------------------- what happens

    def connected(self) -> None:
        """A new connection is there: it begins with a header of the whole upload."""
        self._range, self._whole_sent, self._mismatch = None, False, None
        if self.phase is Phase.CANCELLING:
            self._drop()
        else:
            self.phase = Phase.HEADER

    @property
    def divisible(self) -> bool:
        """Whether all that is to be sent now lies from `position` on, so that others may send parts of it."""
        return self.phase is Phase.SENDING and self._range is None and not self._holes and self.size is not None

    def assist(self) -> None:
        """Be one of several: send ranges that are handed out, and nothing else."""
        self._over_to_ranges()

    def hand_out(self, span: Range) -> None:
        """Send this range, with the next `next`. To be called when it is `idle`, or `all_sent`."""
        self._holes, self.phase = RangeSet.of(span), Phase.REPAIRING

    @property
    def idle(self) -> bool:
        """Whether what was handed out is durable, and its operation over."""
        return not self._holes and (
            self._range is None or (self.phase is Phase.SENDING and self.acked >= self._range.end)
        )

    @property
    def all_sent(self) -> bool:
        """Whether all of the range was sent, acknowledged or not: the next header does not cut it short."""
        return self._range is not None and self.phase is Phase.SENDING and self.position >= self._range.end

    def divided(self, complete: CompleteMessage | None = None) -> None:
        """Others have sent all that was missing: what is left is to repair and to finish, unless they have heard that
        it is `complete`."""
        self._over_to_ranges()
        assert self.size is not None
        self.position = self.acked = self.size
        if complete is not None:
            self.complete, self.phase = complete, Phase.OVER

    def _over_to_ranges(self) -> None:
        self.phase, self._range, self._holes, self._whole_sent = Phase.REPAIRING, None, RangeSet(), True

    def sent(self, size: int) -> None:
        """`size` of the bytes of the last `SendBytes` were sent."""
        self.position += size

    def source_ended(self, size: int, digest: Digest) -> None:
        """The source has `size` bytes, with this digest."""
        self.size, self._digest = size, digest
        if self._range is None:
            self._end = size

    def differs(self, spans: RangeSet) -> None:
        """The server has these leaves, with other content than the source's."""
        self._rewrites = self._rewrites.union(spans)
        self._mismatch = None

    def cut(self, size: int) -> None:
        """Drop what the server has from `size` on, and go on as a stream from there."""
        self._cut, self.acked, self.phase = size, size, Phase.HEADER

    def ask_with(self, digest: Digest) -> None:
        """Say the header again with the digest: a name that has it already completes at once."""
        self.header, self.phase = self.header.model_copy(update={"digest": digest}), Phase.HEADER

    def start_over(self) -> None:
        """Nothing differs leaf by leaf, and yet the digest does: send everything anew, once. Raises DigestMismatch."""
        if self._started_over:
            raise DigestMismatch("the server's digest differs again after everything was sent anew")
        self._started_over, self._mismatch = True, None
        self._drop()

    def abandon(self, error: TransferError) -> None:
        """Drop the upload; once the server says that it is, `received` raises `error`."""
        self._verdict = error
        self._drop()

    def _drop(self) -> None:
        self.phase = Phase.CANCELLING
        self._dropping = [SendMessage(self.header), SendMessage(CancelMessage())]

    def _cancelled(self) -> None:
        if self._verdict is not None:
            self.phase = Phase.OVER
            raise self._verdict
        self.ready, self._digest, self.phase = None, None, Phase.HEADER
        self.header = self.header.model_copy(update={"upload_id": None, "lease": None, "resume": False})
        self._holes = self._rewrites = RangeSet()
        self.connected()

    def received(self, message: ServerMessage) -> None:
        """The server said this. Raises TransferError when it ends the upload, or makes no sense here."""
        if not isinstance(message, ALLOWED.get(self.phase, ())):
            raise BadMessage(f"the server said {message.type!r} while the upload was {self.phase.name.lower()}")
        match message:
            case ErrorMessage():
                self._failed(message.error)
            case CancelledMessage():
                self._cancelled()
            case _ if self.phase is Phase.CANCELLING:
                return
            case ReadyMessage():
                self._opened(message)
            case AckMessage() if self.phase not in (Phase.HEADER, Phase.OPENING):
                self.acked = max(self.acked, message.offset)
                self._window = message.window or self._window
            case MissingMessage():
                self._missing(message)
            case CompleteMessage():
                self.complete, self.phase = message, Phase.OVER

    def _missing(self, message: MissingMessage) -> None:
        self._holes = self._holes.union(RangeSet.of(*message.ranges))

    def _opened(self, ready: ReadyMessage) -> None:
        self.header = self.header.model_copy(
            update={"upload_id": ready.upload_id, "lease": ready.lease, "digest": None}
        )
        self.position = self.acked = ready.offset
        self._window, self._chunk = ready.window, min(ready.chunk_size, limits.MAX_MESSAGE_BYTES)
        self.phase = Phase.SENDING
        if self._range is not None:
            self._end = self._range.end
            self._holes = self._holes.remove(*self._range)
            if self._rewriting:
                self._rewrites = self._rewrites.remove(*self._range)
            return
        self.ready = ready
        self._end = self.size
        self._holes = RangeSet.of(*(ready.missing or ()))
        self._rewrites = RangeSet()
        if self._cut is not None:
            self._cut_made(ready, self._cut)

    def _cut_made(self, ready: ReadyMessage, size: int) -> None:
        if ready.offset > size:
            raise BadMessage(f"the server was told to drop what it has from {size} on, and says {ready.offset}")
        self._cut, self.phase = None, Phase.HEADER

    def _failed(self, error: TransferError) -> None:
        if self.phase is Phase.CANCELLING:
            if not isinstance(error, NotFound):
                raise error  # still to be dropped, if there is a next connection
            self._cancelled()  # it was before a break, and `cancelled` was lost
            return
        if self.phase is Phase.FINISHING and isinstance(error, DigestMismatch):
            self._mismatch = tuple(decode_leaves(str(error.facts.get("leaves", ""))))
            self.phase = Phase.REPAIRING
            return
        if self.phase is Phase.FINISHING and isinstance(error, SizeMismatch) and (self._holes or self._after_ranges):
            self._whole_sent, self.phase = False, Phase.HEADER  # the disk changed what it had: `ready` says what
            return
        self.phase = Phase.OVER
        raise error

    # ---------------------------------------------------------------------------------------------- what to do

    def next(self) -> Action:
        """What to do now. Not to be called once the upload is over."""
        match self.phase:
            case Phase.HEADER:
                return self._open()
            case Phase.SENDING:
                return self._send()
            case Phase.CANCELLING if self._dropping:
                return self._dropping.pop(0)
            case Phase.REPAIRING:
                return Compare(self._mismatch) if self._mismatch is not None else self._repair()
            case _:
                return Wait()

    def _open(self) -> Action:
        self.phase, self._range = Phase.OPENING, None
        if self._cut is None:
            return SendMessage(self.header.model_copy(update={"size": self.size}))
        # not the size of the file: it must not be compared with that of a file which has the name already
        return SendMessage(self.header.model_copy(update={"size": self._cut, "if_exists": "rename"}))

    def _send(self) -> Action:
        if self._holes and self._range is None:
            return self._repair()  # the next header leaves this operation; what was sent of it is kept
        if self._range is not None and self._holes.intersection(RangeSet.of(self._range)):
            self._holes = self._holes.union(RangeSet.of(self._range).remove(0, self.position))  # left half-way
            return self._repair()
        if self._end is None or self.position < self._end:
            return self._send_bytes()
        if self._range is not None:
            return Wait() if self.acked < self._range.end else self._repair()
        if self._rewrites and self.acked < self.position:
            return Wait()
        self._whole_sent = True
        return self._repair() if self._rewrites else self._finish(plain=True)

    def _send_bytes(self) -> Action:
        in_flight = self.position - self.acked
        size = self._chunk if self._end is None else min(self._chunk, self._end - self.position)
        return SendBytes(self.position, size) if not in_flight or in_flight + size <= self._window else Wait()

    def _repair(self) -> Action:
        if self._holes:
            return self._open_range(self._holes.ranges[0], rewrite=False)
        if not self._whole_sent:
            return self._open()
        if self._rewrites:
            return self._open_range(self._rewrites.ranges[0], rewrite=True)
        return self._finish(plain=False)

    def _open_range(self, span: Range, *, rewrite: bool) -> Action:
        self.phase, self._range, self._rewriting = Phase.OPENING, span, rewrite
        update: dict[str, object] = {"range": span, "rewrite": rewrite, "size": self.size}
        return SendMessage(self.header.model_copy(update=update))

    def _finish(self, *, plain: bool) -> Action:
        if self._digest is None:
            return Wait()
        self.phase, self._range, self._after_ranges = Phase.FINISHING, None, not plain
        if plain:
            return SendMessage(EofMessage(digest=self._digest))
        header = self.header
        return SendMessage(EofMessage(digest=self._digest, upload_id=header.upload_id, lease=header.lease))
