"""Drive one upload to its end, through any number of breaks.

The sender's state machine says what to do; this reads the source, feeds the fingerprint (digest and leaves), sends,
and reconnects. After a resume the beginning of the source is hashed in the background while new bytes are sent.
"""

import asyncio
import time
from typing import Final, Literal

from client.conversation import converse
from client.credentials import TokenRefused
from client.errors import ClientError, ConnectionBroken
from client.growth import FIRST_WINDOWS, MOST_CONNECTIONS, NEAR_SECONDS, Growth, growth_by, window_of
from client.progress import Ack, Comparing, Complete, Listener, Ready, Resending, Verifying
from client.read_ahead import ReadAhead
from client.retry import Patience, pause
from client.several import Meter, Several, Upload
from client.source import Fingerprint, Source
from client.spans import SMALLEST_SPAN, FrameSize, Spans
from client.speed import SpeedLimit
from client.wire import Opener, Wire
from transfer.protocol.digest import Digest
from transfer.protocol.errors import DigestMismatch, Exists, TransferError
from transfer.protocol.leaves import differing
from transfer.protocol.messages import (
    AckMessage,
    MissingMessage,
    ReadyMessage,
    ServerMessage,
    UploadHeader,
    VerifyingMessage,
    decode_leaves,
)
from transfer.protocol.ranges import Range, RangeSet
from transfer.protocol.sender import Compare, Phase, SendBytes, Sender, SendMessage

HASH_BYTES: Final = 4 << 20
Count = int | Literal["auto"]
"""Of connections; `auto` is as many as make it faster."""


class Uploader:
    """One upload. `open_wire` gives a connection that nobody else uses meanwhile, `open_another` one beside it; there
    are at `most` so many."""

    def __init__(
        self,
        open_wire: Opener,
        source: Source,
        header: UploadHeader,
        patience: Patience,
        listener: Listener,
        speed_limit: SpeedLimit,
        open_another: Opener,
        connections: Count = "auto",
        most: int = MOST_CONNECTIONS,
    ) -> None:
        self._open_wire = open_wire
        self._source = source
        self._ahead = ReadAhead(source)
        self._name = str(header.name)
        self._sender = Sender(header)
        self._patience = patience
        self._listener = listener
        self._speed_limit = speed_limit
        self._fingerprint = Fingerprint(header.digest_algorithm, leaf_size=1 << 20)
        self._hashing: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._failure: Exception | None = None
        self._their_leaves: list[bytes] = []
        self._compared = False
        self._compared_with: Digest | None = None
        """What the server has, and the source too."""
        self._sent_bytes = self._resumed_at = self._furthest = 0
        self._open_another, self._connections, self._most = open_another, connections, most
        self._frames, self._meter = FrameSize(), Meter()
        self._growth: Growth | None = None
        self._told: int | None = None
        """Where the connection there is was said to go on."""
        self._divided = False
        """Whether this connection and others have sent what was missing: what is so again is little."""

    async def run(self) -> Complete:
        """Raises TransferError, SourceChanged, GaveUp, CannotConnect, OSError; Exists, too, when another client has
        taken the upload over and completed it with other content. Cancelling leaves it resumable. A token that expires
        on the way is no end where there is another one by then."""
        try:
            while True:
                try:
                    async with self._open_wire() as wire:
                        complete = await self._converse(wire)
                    await self._compare_with_completed(complete.file.digest)
                    return complete
                except TokenRefused as refused:
                    refused.resumable = self._sender.ready is not None
                    if not await refused.renewed():
                        raise
                    await asyncio.sleep(self._patience.next_delay(refused.message))
                except (ConnectionBroken, TransferError) as error:
                    await pause(error, self._patience, self._listener, name=self._name)
        finally:
            await self._stop_hashing()

    # ------------------------------------------------------------------------------------------- one connection

    async def _converse(self, wire: Wire) -> Complete:
        """One connection to its end, with others beside it where they help."""
        self._failure, self._divided, self._told = None, False, None
        may_grow = self._connections == "auto" and self._source.seekable
        self._growth = growth_by(bears_losses=wire.bears_losses, most=self._most) if may_grow else None
        self._sender.connected()
        self._listener(wire.connected(self._name))
        watching = asyncio.create_task(self._watch(wire))
        try:
            await self._talk(wire)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        if self._sender.complete is None:
            await self._divide(wire)
        answer = self._sender.complete
        assert answer is not None
        return Complete(
            name=self._name,
            file=answer.file,
            sent_bytes=self._sent_bytes,
            unchanged=bool(answer.unchanged),
            resumed_at=self._resumed_at,
        )

    async def _talk(self, wire: Wire) -> None:
        try:
            await converse(self._read(wire), self._drive(wire))
        finally:
            await self._ahead.settled()

    async def _read(self, wire: Wire) -> None:
        while self._sender.complete is None:
            message = await wire.receive()
            self._sender.received(message)
            self._heard(message)
            self._changed.set()

    async def _drive(self, wire: Wire) -> None:
        while self._sender.complete is None and not self._to_divide:
            await self._step(wire)

    # ------------------------------------------------------------------------------------------------- by several

    @property
    def _wanted(self) -> int:
        """How many connections there should be."""
        if self._connections == "auto":
            return 1 if self._growth is None else self._growth.wanted
        return min(self._connections, self._most) if self._source.seekable else 1

    @property
    def _to_divide(self) -> bool:
        """Whether the rest is to be sent by several: once the first bytes are on their way."""
        sender = self._sender
        if self._divided or self._wanted < 2 or not sender.divisible or sender.ready is None or sender.size is None:
            return False
        return sender.position > sender.ready.offset and sender.size - sender.position > SMALLEST_SPAN

    async def _watch(self, wire: Wire) -> None:
        """See whether one connection is enough. What is sent meanwhile is short, so that others need not wait."""
        windows = 0
        while self._growth is not None and self._growth.wanted < 2:
            round_trip = None if (info := wire.tcp_info()) is None else info.round_trip
            self._frames.short = round_trip is not None and round_trip >= NEAR_SECONDS and windows < FIRST_WINDOWS
            await asyncio.sleep(window_of(round_trip))
            self._growth.judge(self._meter.look([wire], self._sender.acked))
            windows += 1
        self._changed.set()

    async def _divide(self, wire: Wire) -> None:
        """Send the rest by several connections, then go on alone, to repair and to finish."""
        sender = self._sender
        assert sender.ready is not None
        assert sender.size is not None
        upload = Upload(
            header=sender.header,
            source=self._source,
            patience=self._patience,
            listener=self._listener,
            speed_limit=self._speed_limit,
            handed_out=self._handed_out,
        )
        spans = Spans(sender.size, sender.ready.leaf_size, start=sender.position, durable=sender.acked)
        several = Several(upload, spans, self._open_another, count=self._wanted, growth=self._growth, meter=self._meter)
        try:
            good = await several.run(wire, Range(sender.acked, sender.position))
        finally:
            self._sent_bytes += several.sent_bytes
        sender.divided(several.complete)
        self._divided = True
        if good or sender.complete is not None:
            await self._talk(wire)
        else:
            await wire.close()  # where it is open still, a refusal ended what was on it
            async with self._open_another() as other:
                await self._talk(other)

    def _handed_out(self, end: int) -> None:
        if self._failure is not None:
            raise self._failure
        self._furthest = max(self._furthest, end)
        self._hash_in_background()

    # ---------------------------------------------------------------------------------------------------- one step

    def _heard(self, message: ServerMessage) -> None:
        match message:
            case ReadyMessage() if self._sender.ready is message:
                self._opened(message)
            case AckMessage() if self._sender.phase is not Phase.OPENING:
                self._patience.progressed()
                if not self._sender.in_range:
                    self._source.acknowledged(self._sender.acked)
                    self._listener(Ack(name=self._name, offset=self._sender.acked))
            case MissingMessage():
                lost = sum(piece.size for piece in message.ranges)
                self._listener(Resending(name=self._name, size=lost))
            case VerifyingMessage():
                self._patience.progressed()
                self._listener(Verifying(name=self._name, offset=message.offset))

    def _opened(self, ready: ReadyMessage) -> None:
        if not self._sent_bytes:
            self._resumed_at = ready.offset
        self._their_leaves = decode_leaves(ready.leaves)
        if self._fingerprint.leaf_size != ready.leaf_size:
            self._fingerprint = Fingerprint(self._fingerprint.algorithm, ready.leaf_size)
        else:
            self._compare(0)
        self._tell_where_it_goes_on(ready)

    def _tell_where_it_goes_on(self, ready: ReadyMessage) -> None:
        """Not on the way to where a stream was cut; and once for a connection, unless it goes back: what was beyond
        holes is found when they are filled, and is no further resuming."""
        if self._sender.phase is Phase.SENDING and (self._told is None or ready.offset < self._told):
            self._told = ready.offset
            self._listener(Ready(name=self._name, upload_id=ready.upload_id, offset=ready.offset, size=ready.size))

    async def _step(self, wire: Wire) -> None:
        if self._failure is not None:
            raise self._failure
        await wire.keep_authorized()
        if await self._answered_by_comparing():
            return
        self._furthest = max(self._furthest, self._sender.position)
        self._hash_in_background()
        if self._sender.digest is None and self._fingerprint.position == self._source.size:
            self._sender.source_ended(self._fingerprint.position, self._fingerprint.digest)
        match self._sender.next():
            case SendMessage(message):
                if self._sender.phase is Phase.FINISHING:
                    await self._source.check()
                await wire.send(message)
            case SendBytes(offset, size):
                await self._send_bytes(wire, offset, size)
            case Compare(leaves):
                self._repair(list(leaves))
            case _:
                await self._changed.wait()
                self._changed.clear()

    async def _send_bytes(self, wire: Wire, offset: int, size: int) -> None:
        began = time.monotonic()
        feed = self._fingerprint.feed if self._hashing is None else None
        content = await self._ahead.read(offset, self._speed_limit.piece_of(self._frames.of(size)), feed)
        if not content:
            self._sender.source_ended(offset, self._fingerprint.digest)  # of a stream: all of it was fed
            return
        await wire.send_frame(content)
        self._sender.sent(len(content))
        self._sent_bytes += len(content)
        self._frames.took(len(content), time.monotonic() - began)
        await self._speed_limit.moved(len(content))

    # ------------------------------------------------------------------------------------------------- comparing

    async def _answered_by_comparing(self) -> bool:
        """Before anything is sent: what the server has already is compared with the source, where that can spare
        sending. Returns whether it did anything."""
        sender, ready = self._sender, self._sender.ready
        if sender.phase is not Phase.SENDING or ready is None or sender.position != ready.offset:
            return False
        if not self._source.seekable:
            return await self._align_stream(ready)
        if self._compared or ready.existing is None or ready.existing.size != self._source.size:
            return False
        self._compared = True
        await self._compare_with_existing(ready)
        return True

    async def _compare_with_existing(self, ready: ReadyMessage) -> None:
        assert ready.existing is not None
        theirs = ready.existing.digest
        same = await self._source_has(theirs)
        self._compare(0)
        if same:
            self._sender.ask_with(theirs)
        elif self._sender.header.if_exists == "error":
            taken = Exists(
                f"the name {self._name!r} is taken by other content", size=self._source.size, digest=str(theirs)
            )
            if ready.offset:
                raise taken  # what is durable may still be wanted, with another if_exists
            self._sender.abandon(taken)

    async def _compare_with_completed(self, theirs: Digest) -> None:
        """Whoever took the upload over after a break may have completed it, with what they have. Raises Exists."""
        if theirs in (self._sender.digest, self._compared_with):
            return
        completed = f"another client has completed {self._name!r}"
        if self._source.seekable:
            same = await self._source_has(theirs)
        elif theirs.algorithm == self._fingerprint.algorithm:
            same = await self._rest_of_stream() == theirs
        else:
            raise Exists(f"{completed}, and a stream cannot be read again to compare it", digest=str(theirs))
        if not same:
            raise Exists(f"{completed} with other content", digest=str(theirs))

    async def _rest_of_stream(self) -> Digest:
        """The digest of all of a stream: what was read of it was fed."""
        fingerprint = self._fingerprint
        while await self._hash_some(fingerprint, fingerprint.position + HASH_BYTES):
            self._source.acknowledged(fingerprint.position)
        return fingerprint.digest

    async def _source_has(self, theirs: Digest) -> bool:
        """Whether that is the digest of the source, which is read as far as it was not."""
        assert self._source.size is not None
        size, fingerprint = self._source.size, self._fingerprint
        await self._stop_hashing()  # two would feed the same fingerprint
        if theirs.algorithm != fingerprint.algorithm:
            fingerprint = Fingerprint(theirs.algorithm, fingerprint.leaf_size)
        while fingerprint.position < size:
            await self._hash_some(fingerprint, size)
            self._listener(Comparing(name=self._name, offset=fingerprint.position, size=size))
        await self._source.check()
        if fingerprint.digest != theirs:
            return False
        self._compared_with = theirs
        return True

    async def _align_stream(self, ready: ReadyMessage) -> bool:
        """A stream that is piped in again is read from its beginning and sent from the first leaf that differs. A break
        on the way leaves it where it was read to: the next connection goes on from there."""
        fingerprint, same = self._fingerprint, 0
        if ready.offset <= fingerprint.position:
            return False
        while same < len(self._their_leaves) and (same + 1) * ready.leaf_size <= ready.offset:
            end = (same + 1) * ready.leaf_size
            while fingerprint.position < end and await self._hash_some(fingerprint, end):
                pass
            if fingerprint.position < end or fingerprint.leaves[same] != self._their_leaves[same]:
                break
            same += 1
            self._source.acknowledged(end)
        if same * ready.leaf_size < ready.offset:
            self._sender.cut(same * ready.leaf_size)
        return True

    async def _hash_some(self, fingerprint: Fingerprint, end: int) -> bool:
        """Read and hash the next bytes below `end`; False at the end of the source."""
        start = fingerprint.position
        content = await self._source.read(start, min(HASH_BYTES, end - start), fingerprint.feed)
        self._patience.working()
        return bool(content)

    def _hash_in_background(self) -> None:
        if self._source.seekable and self._fingerprint.position < self._furthest and self._hashing is None:
            self._hashing = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Hash what was sent before this run, comparing leaves with the server's on the way."""
        fingerprint = self._fingerprint
        try:
            while fingerprint.position < self._furthest:
                first = len(fingerprint.leaves)
                await self._hash_some(fingerprint, self._furthest)
                self._compare(first)
        except (OSError, ClientError) as error:  # for whoever drives the upload
            self._failure = error
        finally:
            self._hashing = None
            self._changed.set()

    async def _stop_hashing(self) -> None:
        if (task := self._hashing) is not None:
            task.cancel()
            await asyncio.wait([task])

    def _compare(self, first: int) -> None:
        """Tell the sender which leaves from `first` on the server has otherwise."""
        fingerprint, size = self._fingerprint, self._source.size
        if size is None:
            return
        ours = fingerprint.all_leaves if fingerprint.position == size else fingerprint.leaves
        self._differs(differing(ours, self._their_leaves, fingerprint.leaf_size, size, first))

    def _differs(self, spans: RangeSet) -> None:
        if spans:
            self._sender.differs(spans)
            self._listener(Resending(name=self._name, size=spans.total))

    def _repair(self, theirs: list[bytes]) -> None:
        """The digests differ: send the leaves that do once more, or, when none does, everything."""
        size, fingerprint = self._source.size, self._fingerprint
        if not self._source.seekable or size is None:
            raise DigestMismatch("the digests differ, and a stream cannot be read again: pipe it in once more")
        spans = differing(fingerprint.all_leaves, theirs, fingerprint.leaf_size, size)
        self._differs(spans)
        if not spans:
            self._sender.start_over()
