"""Many small files on one connection: header, bytes and eof of each follow one another without waiting for answers, and
many of these go into one write.

Answers come in order and carry the file's `ref`. What was not answered when a connection broke is sent again on the
next: the server says `unchanged` for what it had published.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from client.credentials import TokenRefused
from client.errors import ConnectionBroken
from client.lanes import Lanes
from client.progress import Complete, Failed, Listener
from client.retry import Patience, asked_delay, pause
from client.small_files import SmallFile
from client.speed import SpeedLimit
from client.wire import Opener, Wire
from transfer.protocol import limits
from transfer.protocol.errors import BadMessage, DigestMismatch, TransferError
from transfer.protocol.messages import CompleteMessage, EofMessage, ErrorMessage

WRITE_BYTES: Final = limits.FIRST_WINDOW // 16
"""About how much is written to the socket at once."""


class Pipeline:
    """Sends small files; `results` gives one event for each, in the order of the answers."""

    def __init__(
        self,
        open_wire: Opener,
        files: AsyncIterator[list[SmallFile]],
        patience: Patience,
        listener: Listener,
        speed_limit: SpeedLimit,
    ) -> None:
        self._open_wire = open_wire
        self._files = files
        self._patience = patience
        self._listener = listener
        self._speed_limit = speed_limit
        self._unanswered: dict[int, SmallFile] = {}
        self._bytes = 0
        self._read_ahead: deque[SmallFile] = deque()
        self._exhausted = False
        self._changed = asyncio.Event()
        self._lanes: Lanes[Complete | Failed] = Lanes()

    def results(self) -> AsyncIterator[Complete | Failed]:
        """Raises GaveUp, CannotConnect, SourceChanged, OSError, and what refuses all of them: Unauthorized. Cancelling
        loses nothing that was answered."""
        return self._lanes.results(self._run)

    async def _run(self) -> None:
        while await self._read_on() or self._unanswered:  # before connecting: a server waits for a header so long
            try:
                async with self._open_wire() as wire:
                    await self._converse(wire)
            except TokenRefused as refused:
                if not await refused.renewed():
                    raise
                await asyncio.sleep(self._patience.next_delay(refused.message))
            except (ConnectionBroken, TransferError) as error:
                first = next(iter(self._unanswered.values()), None)
                name = str(first.header.name) if first is not None else ""
                await pause(error, self._patience, self._listener, name=name)

    async def _converse(self, wire: Wire) -> None:
        self._failure: Exception | None = None
        self._listener(wire.connected(""))
        reader = asyncio.create_task(self._read(wire))
        try:
            for file in list(self._unanswered.values()):
                await self._send(wire, [file])
            while following := await self._following():
                await self._send(wire, following)
            while self._unanswered:
                await self._wait()
        except ConnectionBroken as broken:
            await asyncio.wait([reader])  # to what the server said before it closed
            raise self._failure or broken from None
        finally:
            reader.cancel()
            await asyncio.wait([reader])

    async def _read_on(self) -> bool:
        """Read files ahead, unless some were. Returns whether there are any."""
        while not self._read_ahead and not self._exhausted:
            following = await anext(self._files, None)
            self._exhausted = following is None
            self._read_ahead.extend(following or ())
            self._patience.working()
        return bool(self._read_ahead)

    async def _following(self) -> list[SmallFile]:
        """The next files, as soon as the window has room for one; none after the last."""
        await self._read_on()
        while self._read_ahead and not self._has_room(self._read_ahead[0]):
            await self._wait()
        files: list[SmallFile] = []
        size = 0
        while self._read_ahead and size < WRITE_BYTES and self._has_room(self._read_ahead[0]):
            file = self._read_ahead.popleft()
            self._unanswered[file.ref] = file
            self._bytes += len(file.content)
            size += len(file.content)
            files.append(file)
        return files

    def _has_room(self, file: SmallFile) -> bool:
        """Whether this one may be sent before others are answered, by what is known of every server."""
        fits = self._bytes + len(file.content) <= limits.FIRST_WINDOW
        return not self._unanswered or (fits and len(self._unanswered) < limits.MAX_UNANSWERED)

    async def _send(self, wire: Wire, files: list[SmallFile]) -> None:
        await wire.keep_authorized()
        frames: list[str | bytes] = []
        for file in files:
            frames.append(file.header.to_json())
            for piece in self._speed_limit.pieces(file.content):
                frames.append(piece)
                file.sent_bytes += len(piece)
                if self._speed_limit.is_set:
                    await wire.send_frames(frames)
                    frames = []
                    await self._speed_limit.moved(len(piece))
            frames.append(EofMessage(digest=file.digest).to_json())
        await wire.send_frames(frames)

    async def _wait(self) -> None:
        if self._failure is None:
            await self._changed.wait()
        self._changed.clear()
        if self._failure is not None:
            raise self._failure

    async def _read(self, wire: Wire) -> None:
        try:
            while True:
                message = await wire.receive()
                if isinstance(message, CompleteMessage | ErrorMessage):
                    self._answered(message)
                self._changed.set()
        except (ConnectionBroken, TransferError) as error:
            self._failure = error
            self._changed.set()

    def _answered(self, message: CompleteMessage | ErrorMessage) -> None:
        if isinstance(message, ErrorMessage) and (message.retryable or message.ref not in self._unanswered):
            raise ConnectionBroken(message.message, retry_after=asked_delay(message.error))
        if (file := self._unanswered.pop(message.ref or 0, None)) is None:
            raise BadMessage(f"the server said complete to {message.ref}, which nobody had sent")
        self._bytes -= len(file.content)
        self._patience.progressed()
        name = str(file.header.name)
        if isinstance(message, ErrorMessage):
            self._lanes.tell(Failed(name=name, error=message.error))
            return
        if not file.has(message.file.digest):
            other = DigestMismatch(
                f"the server has completed {name!r} with other content", digest=str(message.file.digest)
            )
            self._lanes.tell(Failed(name=name, error=other))
            return
        unchanged = bool(message.unchanged)
        self._lanes.tell(
            Complete(name=name, file=message.file, sent_bytes=file.sent_bytes, unchanged=unchanged, resumed_at=0)
        )
