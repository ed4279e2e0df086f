"""Many small files on one connection: header, bytes and eof of each follow one another without waiting for answers.

Answers come in order and carry the file's `ref`. What was not answered when a connection broke is sent again on the
next: the server says `unchanged` for what it had published.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from client.credentials import TokenRefused
from client.errors import ConnectionBroken, SourceChanged
from client.progress import Complete, Failed, Listener, Waiting
from client.retry import Patience, asked_delay
from client.source import Source
from client.speed import SpeedLimit
from client.uploader import Opener
from client.wire import Wire
from transfer.protocol import limits
from transfer.protocol.digest import Digest, digest_bytes
from transfer.protocol.errors import TransferError
from transfer.protocol.messages import CompleteMessage, EofMessage, ErrorMessage, UploadHeader

MAX_UNANSWERED: Final = limits.MAX_UNANSWERED // 2


@dataclass(slots=True)
class SmallFile:
    """A whole file in memory; `sent_bytes` counts what went on the wire for it."""

    header: UploadHeader
    content: bytes
    digest: Digest
    sent_bytes: int = 0


async def read_small(source: Source, header: UploadHeader) -> SmallFile:
    """Read and hash a source of at most `limits.SMALL_FILE_BYTES`. Raises SourceChanged, OSError."""
    assert source.size is not None
    content = await source.read(0, source.size) if source.size else b""
    await source.check()
    if len(content) != source.size:
        raise SourceChanged(source.name)
    digest = digest_bytes(content, header.digest_algorithm)
    update = {"size": len(content), "offset": 0, "digest": digest, "modified": header.modified or source.modified}
    return SmallFile(header.model_copy(update=update), content, digest)


class Pipeline:
    """Sends small files; `results` gives one event for each, in the order of the answers."""

    def __init__(
        self,
        open_wire: Opener,
        files: AsyncIterator[SmallFile],
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
        self._next_ref = 0
        self._exhausted = False
        self._changed = asyncio.Event()
        self._results: asyncio.Queue[Complete | Failed | None] = asyncio.Queue()

    async def results(self) -> AsyncIterator[Complete | Failed]:
        """Raises GaveUp, CannotConnect, SourceChanged, OSError, and what refuses all of them: Unauthorized. Cancelling
        loses nothing that was answered."""
        running = asyncio.create_task(self._run())
        running.add_done_callback(lambda _: self._results.put_nowait(None))
        try:
            while (result := await self._results.get()) is not None:
                yield result
            await running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])

    async def _run(self) -> None:
        while not self._exhausted or self._unanswered:
            try:
                async with self._open_wire() as wire:
                    await self._converse(wire)
            except ConnectionBroken as broken:
                await self._pause(broken)
            except TokenRefused as refused:
                if not await refused.renewed():
                    raise
                await asyncio.sleep(self._patience.next_delay(refused.message))
            except TransferError as error:
                if not error.retryable:
                    raise
                await self._pause(error)

    async def _pause(self, error: ConnectionBroken | TransferError) -> None:
        reason = str(error)
        seconds = self._patience.next_delay(reason, at_least=asked_delay(error))
        first = next(iter(self._unanswered.values()), None)
        name = str(first.header.name) if first is not None else ""
        self._listener(Waiting(name=name, seconds=seconds, reason=reason))
        await asyncio.sleep(seconds)

    async def _converse(self, wire: Wire) -> None:
        self._failure: Exception | None = None
        reader = asyncio.create_task(self._read(wire))
        try:
            for ref, file in list(self._unanswered.items()):
                await self._send(wire, ref, file)
            while (following := await self._following()) is not None:
                await self._send(wire, *following)
            while self._unanswered:
                await self._wait()
        except ConnectionBroken as broken:
            await asyncio.wait([reader])  # to what the server said before it closed
            raise self._failure or broken from None
        finally:
            reader.cancel()
            await asyncio.wait([reader])

    async def _following(self) -> tuple[int, SmallFile] | None:
        """The next file, once the window has room for it; None after the last."""
        while self._unanswered and (len(self._unanswered) >= MAX_UNANSWERED or self._bytes >= limits.FIRST_WINDOW // 2):
            await self._wait()
        file = None if self._exhausted else await anext(self._files, None)
        if file is None:
            self._exhausted = True
            return None
        self._next_ref += 1
        self._unanswered[self._next_ref] = file
        self._bytes += len(file.content)
        return self._next_ref, file

    async def _send(self, wire: Wire, ref: int, file: SmallFile) -> None:
        await wire.keep_authorized()
        await wire.send(file.header.model_copy(update={"ref": ref}))
        for piece in self._speed_limit.pieces(file.content):
            await wire.send_frame(piece)
            file.sent_bytes += len(piece)
            await self._speed_limit.moved(len(piece))
        await wire.send(EofMessage(digest=file.digest))

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
            raise ConnectionBroken(message.message)
        file = self._unanswered.pop(message.ref or 0)
        self._bytes -= len(file.content)
        self._patience.progressed()
        name = str(file.header.name)
        if isinstance(message, ErrorMessage):
            self._results.put_nowait(Failed(name=name, error=message.error))
            return
        unchanged = bool(message.unchanged)
        self._results.put_nowait(
            Complete(name=name, file=message.file, sent_bytes=file.sent_bytes, unchanged=unchanged, resumed_at=0)
        )
