"""Send one file by several connections: each sends ranges, one after another, which are written in place.

They are all alike and need each other for nothing: one that breaks is made anew, or its part goes to the others. Who is
to send what is decided in `client.spans`, how many they are in `client.growth`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from client.conversation import converse
from client.credentials import TokenRefused
from client.errors import CannotConnect, ConnectionBroken
from client.growth import Growth, Measure, window_of
from client.progress import Ack, Connections, Listener, Waiting
from client.retry import Patience, asked_delay
from client.source import Source
from client.spans import FrameSize, Spans
from client.speed import SpeedLimit
from client.tcp_info import TcpInfo
from client.wire import Opener, Wire, delays
from transfer.protocol.errors import Superseded, TransferError
from transfer.protocol.messages import AckMessage, CompleteMessage, MissingMessage, ReadyMessage, UploadHeader
from transfer.protocol.ranges import Range
from transfer.protocol.sender import SendBytes, Sender, SendMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What the connections of one upload share."""

    header: UploadHeader
    """With `upload_id` and `lease`."""
    source: Source
    patience: Patience
    listener: Listener
    speed_limit: SpeedLimit
    handed_out: Callable[[int], None]
    """Called with the end of what is being sent. Raises what makes all of it vain."""


class Meter:
    """What the system tells of all connections of an upload, from one look to the next."""

    def __init__(self) -> None:
        self._before: dict[Wire, TcpInfo] = {}
        self._at = time.monotonic()
        self._acked = 0

    def look(self, wires: list[Wire], acked_bytes: int) -> Measure:
        """`acked_bytes` is what the server has acknowledged in all: of use where the system tells nothing."""
        now = time.monotonic()
        seconds, self._at = max(now - self._at, 1e-6), now
        acked, self._acked = acked_bytes - self._acked, acked_bytes
        seen = {wire: info for wire in wires if (info := wire.tcp_info()) is not None}
        before, self._before = self._before, seen
        if not seen:
            return Measure(acked / seconds, None, None)
        known = [(info, before[wire]) for wire, info in seen.items() if wire in before]
        moved = sum(info.acked_bytes for info in seen.values()) - sum(old.acked_bytes for _, old in known)
        held_back = sum(
            info.busy - old.busy - info.held_back_elsewhere + old.held_back_elsewhere for info, old in known
        )
        share = held_back / seconds / len(known) if known else 0.0
        return Measure(moved / seconds, share, min(info.round_trip for info in seen.values()))


class Several:
    """The connections that send `spans`. With `growth` that decides how many there are, else there are `count`."""

    def __init__(
        self, upload: Upload, spans: Spans, open_wire: Opener, *, count: int, growth: Growth | None, meter: Meter
    ) -> None:
        self.upload, self.spans, self.open_wire = upload, spans, open_wire
        self.sent_bytes = 0
        self.complete: CompleteMessage | None = None
        """Somebody else has finished the upload meanwhile."""
        self.refusal: TransferError | CannotConnect | None = None
        """What the server, or who stands before it, said to a connection that it did not take."""
        self._count, self._growth, self._meter = count, growth, meter
        self._lanes: dict[asyncio.Task[None], Lane] = {}

    async def run(self, wire: Wire, sent: Range) -> bool:
        """Until all is durable. `wire` is the first of them; `sent` was sent on it and not acknowledged. Returns
        whether it is still good. Raises TransferError, SourceChanged, GaveUp, CannotConnect, OSError."""
        first = Lane(self, wire, sent)
        self._begin(first)
        self._tell("as asked for" if self._growth is None else self._growth.reason)
        try:
            while not self.over:
                while len(self._lanes) < self._count and self.spans.left:
                    self._begin(Lane(self))
                await self._wait()
                await self._judge()
        finally:
            await self._end(list(self._lanes))
        return first.wire is wire

    @property
    def over(self) -> bool:
        return self.spans.over or self.complete is not None

    def _begin(self, lane: "Lane") -> None:
        self._lanes[asyncio.create_task(lane.run())] = lane

    async def _end(self, tasks: "list[asyncio.Task[None]]") -> None:
        """What they have not sent is given back."""
        for task in tasks:
            task.cancel()
            del self._lanes[task]
        if tasks:
            await asyncio.wait(tasks)

    async def _wait(self) -> None:
        """Until one of them has ended, or a decision is due."""
        seconds = None if self._growth is None else window_of(self._round_trip)
        done, _ = await asyncio.wait(self._lanes, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._lanes[task]
            task.result()
        if done and not self.over:
            self._go_on_with_fewer()

    def _go_on_with_fewer(self) -> None:
        if not self._lanes:
            assert self.refusal is not None
            raise self.refusal
        self._count, self._growth = len(self._lanes), None
        self._tell(f"the server took no more: {self.refusal}")

    async def _judge(self) -> None:
        if self._growth is None:
            return
        measure = self._meter.look(self.wires, self.spans.durable.total)
        if self.spans.left and self._growth.judge(measure):
            self._count = self._growth.wanted
            await self._end(list(self._lanes)[self._count :])
            self._tell(self._growth.reason)

    def _tell(self, reason: str) -> None:
        name = str(self.upload.header.name)
        self.upload.listener(Connections(name=name, count=self._count, reason=reason))

    @property
    def _round_trip(self) -> float | None:
        known = [info.round_trip for wire in self.wires if (info := wire.tcp_info()) is not None]
        return min(known) if known else None

    @property
    def wires(self) -> list[Wire]:
        """The connections that are open."""
        return [lane.wire for lane in self._lanes.values() if lane.wire is not None]

    def take(self, rate: float | None) -> Range | None:
        """A span for one of them, which sends so fast. Raises what makes all of it vain."""
        span = self.spans.take(rate, self._count)
        self.upload.handed_out(0 if span is None else span.end)
        return span

    def give_back(self, span: Range) -> None:
        """Of one that has ended or broken."""
        self.spans.give_back(*span)
        self._wake()

    def acknowledged(self, start: int, end: int) -> None:
        """So much is durable."""
        self.spans.acknowledged(start, end)
        self.upload.patience.progressed()
        self.upload.listener(Ack(name=str(self.upload.header.name), offset=self.spans.durable.total))
        if self.over:
            self._wake()

    def completed(self, message: CompleteMessage) -> None:
        """So one of them has heard."""
        self.complete = message
        self._wake()

    def _wake(self) -> None:
        for lane in self._lanes.values():
            lane.changed.set()


class Lane:
    """One of the connections: `wire` is what it begins with, and `sent` what was sent on that and not acknowledged."""

    def __init__(self, several: Several, wire: Wire | None = None, sent: Range | None = None) -> None:
        self.wire = wire
        self.changed = asyncio.Event()
        self._several, self._upload = several, several.upload
        self._sent = sent
        self._span: Range | None = None
        self._frames = FrameSize()
        self._rate: float | None = None
        self._span_began = 0.0
        self._delays = delays()
        """Before its own attempts: they do not grow by those of the others."""

    async def run(self) -> None:
        """Until all is durable, or the server takes no further connection, now or later."""
        while not self._several.over:
            try:
                async with self._opened() as wire:
                    await self._send_on(wire)
            except ConnectionBroken as broken:
                await self._pause(str(broken), asked_delay(broken))
            except TokenRefused as refused:
                if not await refused.renewed():
                    raise
                await self._pause(refused.message)
            except CannotConnect as refused:
                self._several.refusal = refused
                return
            except TransferError as error:
                if error.retryable and not isinstance(error, Superseded):
                    await self._pause(str(error), asked_delay(error))
                elif self.wire is None:
                    self._several.refusal = error
                    return
                else:
                    raise

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Wire]:
        """The connection that is there, else a new one."""
        if self.wire is not None:
            yield self.wire
        else:
            async with self._several.open_wire() as wire:
                self.wire = wire
                name, count = str(self._upload.header.name), len(self._several.wires)
                self._upload.listener(wire.connected(name, connections=count))
                yield wire

    async def _pause(self, reason: str, at_least: float = 0.0) -> None:
        """Before the next attempt. Raises GaveUp when nothing becomes durable on any of them."""
        self.wire = None
        seconds = self._upload.patience.next_delay(reason, at_least=at_least, own_delays=self._delays)
        if not self._several.wires:
            self._upload.listener(Waiting(name=str(self._upload.header.name), seconds=seconds, reason=reason))
        await asyncio.sleep(seconds)

    async def _send_on(self, wire: Wire) -> None:
        sender = Sender(self._upload.header)
        sender.assist()
        try:
            await converse(self._read(wire, sender), self._drive(wire, sender))
        finally:
            for span in (self._sent, self._span):
                if span is not None:
                    self._several.give_back(span)
            self._sent = self._span = None

    async def _read(self, wire: Wire, sender: Sender) -> None:
        while True:
            message = await wire.receive()
            match message:
                case MissingMessage():
                    continue  # whoever finishes hears of it again
                case AckMessage() if self._sent is not None:  # of the operation before
                    self._several.acknowledged(self._sent.start, max(self._sent.start, message.offset))
                    continue
            sender.received(message)
            if sender.complete is not None:
                self._several.completed(sender.complete)
            if isinstance(message, ReadyMessage):
                self._opened_range(message)
            elif isinstance(message, AckMessage) and self._span is not None:
                self._delays = delays()
                self._several.acknowledged(self._span.start, sender.acked)
            self.changed.set()

    def _opened_range(self, ready: ReadyMessage) -> None:
        """The operation before is over, and what was sent of it durable: the next header waits for that."""
        if self._sent is not None:
            self._several.acknowledged(*self._sent)
            self._sent = None
        if self._span is not None and ready.offset > self._span.start:
            self._several.acknowledged(self._span.start, ready.offset)

    async def _drive(self, wire: Wire, sender: Sender) -> None:
        while not self._several.over:
            if (sender.idle or (sender.all_sent and self._several.spans.left)) and not self._take(sender):
                await self._something()
                continue
            await wire.keep_authorized()
            match sender.next():
                case SendMessage(message):
                    await wire.send(message)
                case SendBytes(offset, size):
                    await self._send_bytes(wire, sender, offset, size)
                case _:
                    await self._something()

    async def _something(self) -> None:
        await self.changed.wait()
        self.changed.clear()

    def _take(self, sender: Sender) -> bool:
        """The next span, where there is one."""
        now = time.monotonic()
        if self._span is not None:
            self._rate = self._span.size / max(now - self._span_began, 1e-3)
            self._sent = None if sender.idle else self._span
        self._span, self._span_began = self._several.take(self._rate), now
        if self._span is not None:
            sender.hand_out(self._span)
        return self._span is not None

    async def _send_bytes(self, wire: Wire, sender: Sender, offset: int, size: int) -> None:
        began = time.monotonic()
        piece = self._upload.speed_limit.piece_of(self._frames.of(size))
        content = await self._upload.source.read(offset, piece)
        await wire.send_frame(content)
        sender.sent(len(content))
        self._several.sent_bytes += len(content)
        self._frames.took(len(content), time.monotonic() - began)
        await self._upload.speed_limit.moved(len(content))
