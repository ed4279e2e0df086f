"""A store, a service and a client without any I/O, to let the protocol's two state machines talk to each other.

`Upload` and `Writer` stand for `storage.local`, `Session` for `transfer.session` and `transfer.uploads`, `Client` for
`client.uploader`. Wherever those would wait, something else may happen first: `Tape` decides what.
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from transfer.protocol.digest import digest_bytes
from transfer.protocol.errors import (
    BadMessage,
    DigestMismatch,
    NotFound,
    SizeMismatch,
    StorageFailure,
    Superseded,
    TransferError,
)
from transfer.protocol.leaves import ABSENT, NO_TAIL, Tail, differing, leaf_checksum, leaf_range, leaves_of
from transfer.protocol.messages import (
    AckMessage,
    CancelledMessage,
    CancelMessage,
    CompleteMessage,
    EofMessage,
    ErrorMessage,
    FileEntry,
    Message,
    MissingMessage,
    ReadyMessage,
    ServerMessage,
    UploadHeader,
    VerifyingMessage,
    decode_leaves,
    encode_leaves,
    parse_client_message,
    parse_server_message,
)
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet
from transfer.protocol.receiver import DurablePoints, Receiver, State, acknowledged
from transfer.protocol.sender import Compare, Phase, SendBytes, Sender, SendMessage

LEAF = 8
NAME = Name.parse("cargo.bin")
GARBAGE = 0xEE
"""What stands on the disk where nothing was synced."""
Steps = Generator[None, None, None]


class Tape:
    """Decisions; 0 once all were taken."""

    def __init__(self, decisions: bytes) -> None:
        self._decisions = iter(decisions)
        self.ended = False

    def pick(self, count: int) -> int:
        """A number below `count`."""
        decision = next(self._decisions, None)
        self.ended = decision is None
        return (decision or 0) % count


# ----------------------------------------------------------------------------------------------------------- the store


@dataclass
class Stored:
    """Some bytes of a content, and for each leaf how much of it, from its start on, has which checksum."""

    ranges: RangeSet = field(default_factory=RangeSet)
    content: bytearray = field(default_factory=bytearray)
    sums: dict[int, Tail] = field(default_factory=dict)

    def copy(self) -> "Stored":
        return Stored(self.ranges, bytearray(self.content), dict(self.sums))

    def put(self, offset: int, content: bytes) -> None:
        end = offset + len(content)
        self.content.extend(bytes([GARBAGE]) * (end - len(self.content)))
        self.content[offset:end] = content
        self.ranges = self.ranges.add(offset, end)
        self._sum_up(offset, end)

    def remove(self, start: int, end: int) -> None:
        self.ranges = self.ranges.remove(start, end)
        for index in range(start // LEAF, -(-end // LEAF)):
            self.sums.pop(index, None)

    def cut(self, size: int) -> None:
        if size < self.ranges.furthest:
            self.remove(size, self.ranges.furthest)
            self._sum_up(size - size % LEAF, size)

    def _sum_up(self, start: int, end: int) -> None:
        for index in range(start // LEAF, -(-end // LEAF)):
            at = index * LEAF
            length = acknowledged(self.ranges, Range(at, at + LEAF)) - at
            self.sums[index] = Tail(length, leaf_checksum(self.content[at : at + length])) if length else NO_TAIL

    def is_as_recorded(self, index: int) -> bool:
        length, checksum = self.sums.get(index, NO_TAIL)
        return not length or leaf_checksum(self.content[index * LEAF : index * LEAF + length]) == checksum

    def leaves(self, size: int | None) -> bytes:
        """The checksums of all leaves up to the furthest byte."""
        furthest, joined = self.ranges.furthest, []
        for index in range(-(-furthest // LEAF)):
            length = furthest - index * LEAF if furthest == size else LEAF
            tail = self.sums.get(index, NO_TAIL)
            joined.append(tail.checksum if tail.length == min(LEAF, length) else ABSENT)
        return b"".join(joined)


@dataclass
class Upload:
    """What survives a crash of an upload. `promised` is its last ack, `damages` how often the disk changed a byte."""

    upload_id: str
    lease: str
    size: int | None
    durable: Stored = field(default_factory=Stored)
    promised: int = 0
    damages: int = 0

    def damage(self, position: int) -> None:
        """Change a byte on the disk."""
        self.durable.content[position] ^= 0xFF
        self.damages += 1


class Writer:
    """The only one who writes to an upload now; what it did not sync is gone with it."""

    def __init__(self, upload: Upload, size: int | None, on_damage: Callable[[Range], None]) -> None:
        self.upload, self.size, self._on_damage = upload, size, on_damage
        upload.size, durable = size, upload.durable
        for start, end in durable.ranges.holes(len(durable.content)):
            durable.content[start:end] = bytes([GARBAGE]) * (end - start)
        furthest = durable.ranges.furthest if size is None else min(durable.ranges.furthest, size)
        if furthest % LEAF and not durable.is_as_recorded(furthest // LEAF):
            durable.remove(furthest - furthest % LEAF, durable.ranges.furthest)
        if furthest < durable.ranges.furthest:
            upload.promised = min(upload.promised, furthest)
            durable.cut(furthest)
        self.received = durable.copy()
        self._syncing: Stored | None = None
        self._checked = 0

    @property
    def durable(self) -> RangeSet:
        return self.upload.durable.ranges

    @property
    def syncing(self) -> bool:
        return self._syncing is not None

    def begin_sync(self) -> None:
        self._syncing = self.received.copy()

    def end_sync(self) -> None:
        assert self._syncing is not None
        self.upload.durable, self._syncing = self._syncing, None

    def sync(self) -> None:
        self.begin_sync()
        self.end_sync()

    def _everywhere(self) -> list[Stored]:
        return [kept for kept in (self.received, self._syncing, self.upload.durable) if kept is not None]

    def rot(self, choose: Callable[[int], int]) -> None:
        """The disk changes a byte that is still to be hashed."""
        there = self.received.ranges.remove(0, self._checked)
        if there:
            position = [position for span in there for position in range(*span)][choose(there.total)]
            self.upload.damages += 1
            for kept in self._everywhere():
                if position < len(kept.content):
                    kept.content[position] ^= 0xFF

    def forget(self, span: Range) -> None:
        for kept in self._everywhere():
            kept.remove(*span)
        self.upload.promised = min(self.upload.promised, span.start)
        self._checked = min(self._checked, span.start)

    def check_leaf(self) -> bool:
        """Hash one more leaf; one that is not as recorded is lost, and told. Returns whether there was one."""
        if self._checked + LEAF > self.received.ranges.leading:
            return False
        span = Range(self._checked, self._checked + LEAF)
        if self.received.is_as_recorded(span.start // LEAF):
            self._checked = span.end
        else:
            self.forget(span)
            self._on_damage(span)
        return True

    def content(self) -> bytes:
        """All of it, checked. Raises SizeMismatch."""
        self.sync()
        while self.check_leaf():
            pass
        size = self.received.ranges.furthest if self.size is None else self.size
        if self.received.ranges.holes(size):
            raise SizeMismatch("eof before all bytes were there")
        return bytes(self.received.content[:size])


@dataclass
class Store:
    """What survives a crash. `lies`: the next digest will be found wrong though it is right."""

    uploads: dict[str, Upload] = field(default_factory=dict)
    completed: dict[str, bytes] = field(default_factory=dict)
    published: bytes | None = None
    lies: bool = False
    names: int = 0

    def begin(self, size: int | None) -> Upload:
        upload = Upload(self.new_id(), self.new_id(), size)
        self.uploads[upload.upload_id] = upload
        return upload

    def new_id(self) -> str:
        self.names += 1
        return f"id{self.names}"


# --------------------------------------------------------------------------------------------------------- the service


@dataclass
class Policy:
    """What a service answers with and when it syncs."""

    chunk_size: int = 8
    window: int = 24
    durable_bytes: int = 16


@dataclass
class Operation:
    receiver: Receiver
    message: UploadHeader | EofMessage
    upload_id: str | None
    inbox: deque[tuple[int, bytes]] = field(default_factory=deque)
    ending: EofMessage | CancelMessage | UploadHeader | None = None
    """The last stands for any header: the operation was left."""
    steps: Steps | None = None
    over: bool = False

    def takes_eof_of(self, upload_id: str | None) -> bool:
        """Whether such an `eof` is meant for this operation, and not one of its own."""
        ranged = isinstance(self.message, UploadHeader) and self.message.range is not None
        return upload_id is None or (self.upload_id == upload_id and not ranged and self.open)

    @property
    def open(self) -> bool:
        return self.receiver.state in (State.OPENING, State.RECEIVING)


class Session:
    """One connection, as the service sees it. `replies` are the text frames that it sends."""

    def __init__(self, store: Store, policy: Policy, tape: Tape) -> None:
        self.store, self.policy, self._tape = store, policy, tape
        self.replies: deque[str] = deque()
        self.granted = policy.chunk_size
        """The largest window that the client was ever given here."""
        self.fails = False
        """Whether the next write or sync does."""
        self.now = 0.0
        self._operations: list[Operation] = []
        self._writer: Writer | None = None

    def held(self) -> int:
        """Bytes that came and are not durable."""
        waiting = sum(len(content) for operation in self._operations for _, content in operation.inbox)
        writer = self._writer
        return waiting + (0 if writer is None else writer.received.ranges.total - writer.durable.total)

    def _reply(self, message: ServerMessage) -> None:
        self.replies.append(message.to_json())

    # ------------------------------------------------------------------------------------------------------ frames

    def take(self, frame: str | bytes) -> None:
        """A frame came. Whatever the receiver says against it is a mistake of the client's."""
        current = self._operations[-1] if self._operations else None
        if isinstance(frame, bytes):
            assert current is not None
            for piece in current.receiver.chunk(len(frame)):
                if not current.over:
                    current.inbox.append((piece.offset, frame[piece.start : piece.end]))
            return
        message = parse_client_message(frame)
        match message:
            case CancelMessage():
                assert current is not None
                current.receiver.cancel()
                current.ending = message
            case EofMessage() if current is not None and current.takes_eof_of(message.upload_id):
                current.receiver.eof()
                current.ending = message
            case UploadHeader() | EofMessage():
                if current is not None:
                    current.receiver.header()
                    current.ending = current.ending or UploadHeader(name=NAME)
                state = State.FINISHING if isinstance(message, EofMessage) else State.OPENING
                operation = Operation(Receiver(state=state), message, message.upload_id)
                operation.steps = self._run(operation)
                self._operations.append(operation)

    def work(self) -> bool:
        """Do the next step of the first operation that is not over."""
        operation = next((operation for operation in self._operations if not operation.over), None)
        if operation is None or operation.steps is None:
            return False
        before = len(self.replies), self.held(), operation.receiver.state
        next(operation.steps, None)
        return operation.over or before != (len(self.replies), self.held(), operation.receiver.state)

    def rot(self) -> None:
        if self._writer is not None:
            self._writer.rot(self._tape.pick)

    def check_leaf(self) -> bool:
        return self._writer is not None and self._writer.check_leaf()

    def gone(self) -> None:
        """The connection is gone: what came is worked off, what is answered goes nowhere."""
        for operation in self._operations:
            operation.ending = operation.ending or UploadHeader(name=NAME)
            for _ in operation.steps or ():
                self.now += 1

    # -------------------------------------------------------------------------------------------------- operations

    def _run(self, operation: Operation) -> Steps:
        message = operation.message
        try:
            if message.upload_id is not None and message.upload_id in self.store.completed:
                self._complete(operation, message.upload_id)
            else:
                yield from self._with_writer(operation, message)
        except TransferError as error:
            self._reply(ErrorMessage.of(error))
            operation.receiver.failed()
            operation.inbox.clear()
        finally:
            self._writer = None
            operation.over = True

    def _with_writer(self, operation: Operation, message: UploadHeader | EofMessage) -> Steps:
        upload = self._find(message)
        operation.upload_id = upload.upload_id
        whole = isinstance(message, UploadHeader) and message.range is None

        def damaged(span: Range) -> None:
            operation.receiver.forget(span)
            self._reply(MissingMessage(ranges=(span,)))

        size = message.size if whole and isinstance(message, UploadHeader) else upload.size
        writer = self._writer = Writer(upload, size, damaged)
        if isinstance(message, EofMessage):
            yield from self._finish(operation, writer, message)
        else:
            yield from self._serve(operation, writer, message)

    def _find(self, message: UploadHeader | EofMessage) -> Upload:
        uploads = self.store.uploads
        if message.upload_id is None:
            assert isinstance(message, UploadHeader)
            found = [*uploads.values()][-1] if uploads and message.resume else self.store.begin(message.size)
        elif message.upload_id not in uploads:
            raise NotFound("this upload is not here, or not yours")
        else:
            found = uploads[message.upload_id]
        if message.lease is None:
            found.lease = self.store.new_id()
        elif message.lease != found.lease:
            raise Superseded("another connection has taken this upload over")
        return found

    def _serve(self, operation: Operation, writer: Writer, header: UploadHeader) -> Steps:
        span, upload = header.range, writer.upload
        if span is not None and header.rewrite:
            end = writer.durable.furthest if writer.size is None else writer.size
            assert span.start % LEAF == 0
            assert span.end % LEAF == 0 or span.end == end
            writer.forget(span)
        yield
        durable = writer.durable
        offset = acknowledged(durable, span)
        assert span is not None or offset >= upload.promised or upload.damages, "what was acknowledged is there"
        operation.receiver.ready(offset, size=writer.size, end=span.end if span else writer.size, there=durable)
        missing = durable.holes(durable.furthest)
        self._reply(
            ReadyMessage(
                upload_id=upload.upload_id,
                lease=upload.lease,
                name=NAME,
                size=writer.size,
                offset=offset,
                chunk_size=self.policy.chunk_size,
                window=self._grant(),
                leaf_size=LEAF,
                leaves=encode_leaves(writer.received.leaves(writer.size)),
                missing=missing or None,
            )
        )
        yield
        yield from self._receive(operation, writer, span)
        ending = operation.ending
        if isinstance(ending, CancelMessage):
            del self.store.uploads[upload.upload_id]
            operation.receiver.done()
            self._reply(CancelledMessage())
            return
        yield
        self._try()
        writer.sync()
        self._acknowledge(writer, span)
        if isinstance(ending, EofMessage):
            if span is not None:
                raise BadMessage("eof in a range")
            yield from self._finish(operation, writer, ending)
        else:
            operation.receiver.done()

    def _receive(self, operation: Operation, writer: Writer, span: Range | None) -> Steps:
        points = DurablePoints(self.policy.durable_bytes, 0.25)
        while span is None or not writer.durable.covers(*span):
            if operation.inbox:
                offset, content = operation.inbox.popleft()
                self._try()
                writer.received.put(offset, content)
                points.wrote(len(content), self.now)
            if writer.syncing and self._tape.pick(3) != 1:
                writer.end_sync()
                self._acknowledge(writer, span)
            all_here = span is not None and writer.received.ranges.covers(*span) and not operation.inbox
            if not writer.syncing and (points.wait(self.now) == 0 or all_here):
                points.begun()
                self._try()
                writer.begin_sync()
            if not operation.inbox and operation.ending is not None:
                return
            yield

    def _try(self) -> None:
        if self.fails:
            self.fails = False
            raise StorageFailure("the server could not write; what was acknowledged is safe, resume later")

    def _grant(self) -> int:
        window = max(self.policy.chunk_size, self.policy.window // (1 + self._tape.pick(3)))
        self.granted = max(self.granted, window)
        return window

    def _acknowledge(self, writer: Writer, span: Range | None) -> None:
        offset = acknowledged(writer.durable, span)
        if span is None:
            writer.upload.promised = offset
        else:
            assert span.start <= offset <= span.end
        self._reply(AckMessage(offset=offset, window=self._grant() if self._tape.pick(2) else None))

    def _finish(self, operation: Operation, writer: Writer, message: EofMessage) -> Steps:
        while self._tape.pick(4) == 1:
            self._reply(VerifyingMessage(offset=writer.received.ranges.leading))
            yield
        self._try()
        content, upload_id = writer.content(), writer.upload.upload_id
        lies, self.store.lies = self.store.lies, False
        if digest_bytes(content) != message.digest or lies:
            leaves = b"".join(leaves_of([content], LEAF))
            raise DigestMismatch("the digests differ", leaves=encode_leaves(leaves), leaf_size=LEAF)
        self.store.published = self.store.completed[upload_id] = content
        del self.store.uploads[upload_id]
        self._complete(operation, upload_id)

    def _complete(self, operation: Operation, upload_id: str) -> None:
        operation.receiver.done()
        content = self.store.completed[upload_id]
        entry = FileEntry(
            name=NAME,
            size=len(content),
            digest=digest_bytes(content),
            content_type="application/octet-stream",
            created=datetime(2026, 1, 1, tzinfo=UTC),
            owner="anonymous",
            url="/files/cargo.bin",
        )
        self._reply(CompleteMessage(file=entry))


# ---------------------------------------------------------------------------------------------------------- the client


class Client:
    """Drives a sender. A stream is a source that shows its size only at its end and keeps nothing that was acked."""

    def __init__(self, source: bytes, tape: Tape, *, stream: bool) -> None:
        self.source, self.stream, self._tape = source, stream, tape
        self.sender = Sender(UploadHeader(name=NAME, size=None if stream else len(source)))
        self.frames: deque[str | bytes] = deque()
        self.sent_bytes = 0
        self._hashed = self._furthest = self._kept_from = 0
        self._their_leaves: list[bytes] = []
        self._floor = self._window = 0

    def connected(self) -> None:
        self.frames.clear()
        self.sender.connected()

    @property
    def complete(self) -> bool:
        return self.sender.complete is not None

    def receive(self, frame: str) -> bool:
        """A message came; returns whether it is the first `ready` for the whole of this connection. Raises
        TransferError."""
        message, sender = parse_server_message(frame), self.sender
        sender.received(message)
        match message:
            case ReadyMessage():
                self._floor, self._window = message.offset, max(message.window, message.chunk_size)
                if sender.ready is message:
                    self._their_leaves = decode_leaves(message.leaves)
                    self._compare(0)
                    return True
            case AckMessage() if sender.phase is Phase.SENDING:
                self._floor = max(self._floor, message.offset)
                self._window = message.window or self._window
                if not sender.in_range:
                    self._kept_from = max(self._kept_from, sender.acked)
        return False

    # ----------------------------------------------------------------------------------------------------- sending

    def step(self) -> bool:
        """Do the next thing; False when something else has to happen first."""
        sender = self.sender
        if self.complete:
            return False
        if self.stream and self._align():
            return True
        self._furthest = max(self._furthest, sender.position)
        if not self.stream and sender.digest is None and self._hashed == len(self.source):
            sender.source_ended(len(self.source), digest_bytes(self.source))
        match sender.next():
            case SendMessage(message):
                self._send(message)
            case SendBytes(offset, size):
                self._send_bytes(offset, size)
            case Compare(leaves):
                assert not self.stream
                spans = differing(leaves_of([self.source], LEAF), list(leaves), LEAF, len(self.source))
                sender.differs(spans)
                if not spans:
                    sender.start_over()
            case _:
                return False
        return True

    def _send(self, message: Message) -> None:
        self.frames.append(message.to_json())

    def _send_bytes(self, offset: int, size: int) -> None:
        content = self.source[offset : offset + size - self._tape.pick(size)]  # a source may give less than asked for
        assert not self.stream or offset >= self._kept_from, "a stream cannot be read again"
        if not content:
            self.sender.source_ended(offset, digest_bytes(self.source))
            return
        if offset <= self._hashed < offset + len(content):
            self._hashed = offset + len(content)
        self.frames.append(content)
        self.sender.sent(len(content))
        self.sent_bytes += len(content)
        assert offset + len(content) - self._floor <= self._window, "no more in flight than the window"

    # --------------------------------------------------------------------------------------------------- comparing

    def hash(self) -> bool:
        """Hash some more of what was sent before this run."""
        if self.stream or self._hashed >= self._furthest:
            return False
        first = self._hashed // LEAF
        self._hashed = min(self._furthest, self._hashed + 1 + self._tape.pick(2 * LEAF))
        self._compare(first)
        return True

    def _compare(self, first: int) -> None:
        if not self.stream:
            ours = leaves_of([self.source], LEAF)
            ours = ours if self._hashed == len(self.source) else ours[: self._hashed // LEAF]
            self.sender.differs(differing(ours, self._their_leaves, LEAF, len(self.source), first))

    def _align(self) -> bool:
        sender, ready = self.sender, self.sender.ready
        if sender.phase is not Phase.SENDING or ready is None or sender.position != ready.offset:
            return False
        if ready.offset <= self._hashed:
            return False
        ours = leaves_of([self.source], LEAF)
        same = 0
        while (same + 1) * LEAF <= min(ready.offset, len(self.source)) and ours[same] == self._their_leaves[same]:
            same += 1
        self._hashed = self._kept_from = same * LEAF
        if same * LEAF < ready.offset:
            sender.cut(same * LEAF)
        return True


def expected_bytes(source: bytes, stored: Stored, *, stream: bool) -> int:
    """How many bytes a client has to send that finds this on the server: what is not there, and again each leaf of
    which something is there and differs; of a stream everything from the first leaf that is not the same."""
    size, there, ours = len(source), stored.ranges.intersection(RangeSet.of((0, len(source)))), 0
    if stream:
        while (end := (ours + 1) * LEAF) <= min(size, there.leading) and source[end - LEAF : end] == stored.content[
            end - LEAF : end
        ]:
            ours += 1
        return size - ours * LEAF
    differ = {
        position // LEAF
        for start, end in there
        for position in range(start, end)
        if source[position] != stored.content[position]
    }
    return size - there.total + sum(leaf_range(index, LEAF, size).size for index in differ)
