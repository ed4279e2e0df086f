"""What a client of the crash suite does at a time: it can be attempted until the server has said that it is done."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import client
from client.progress import Event, Failed, Listener, Ready
from client.source import UploadSource
from tests.crash.history import Change, History, Upload
from transfer.protocol.leaves import STREAM_LEAF_SIZE
from transfer.protocol.messages import IfExists

_PIECE_BYTES = 300_000


class Job(Protocol):
    @property
    def changes(self) -> Iterable[Change]:
        """What it is to change, begun in the history before the first attempt."""
        ...

    async def attempt(self, connection: client.Connection, history: History, heard: Listener) -> None:
        """Do what is left of it. Raises what the client does; then it may be attempted again."""
        ...


@dataclass(slots=True)
class OneUpload:
    """One file, of bytes in memory."""

    upload: Upload
    if_exists: IfExists

    @property
    def changes(self) -> Iterable[Change]:
        return [self.upload]

    async def attempt(self, connection: client.Connection, history: History, heard: Listener) -> None:
        def listen(event: Event) -> None:
            history.heard(self.upload, event)
            heard(event)

        source = self._source(listen, history)
        await connection.upload(source, name=self.upload.name, if_exists=self.if_exists, on_event=listen)
        history.told(self.upload)

    def _source(self, heard: Listener, history: History) -> UploadSource:
        return bytes(self.upload.content.view)


@dataclass(slots=True)
class OneStream(OneUpload):
    """One file, from a pipe whose writer makes it wait before its last byte, in its first `held` attempts: its bytes
    are acked, and it is not complete."""

    held: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: int = 0

    async def attempt(self, connection: client.Connection, history: History, heard: Listener) -> None:
        self.attempts += 1
        again = self.attempts > 1

        def listen(event: Event) -> None:
            nonlocal again
            heard(event)
            if again and isinstance(event, Ready):
                again = False  # piped in once more, it is compared leaf by leaf, and the rest is dropped
                history.rewritten(self.upload, self.upload.acked - self.upload.acked % STREAM_LEAF_SIZE)

        await OneUpload.attempt(self, connection, history, listen)

    def _source(self, heard: Listener, history: History) -> UploadSource:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        view = self.upload.content.view
        for start in range(0, len(view) - 1, _PIECE_BYTES):
            yield bytes(view[start : min(start + _PIECE_BYTES, len(view) - 1)])
        if self.attempts <= self.held:
            await self.release.wait()
        yield bytes(view[-1:])


@dataclass(slots=True)
class SmallFiles:
    """Several small files, one after another without waiting for answers; each is a change of its own."""

    uploads: list[Upload]
    folder: Path

    @property
    def changes(self) -> Iterable[Change]:
        return self.uploads

    async def attempt(self, connection: client.Connection, history: History, heard: Listener) -> None:
        left = {upload.name: upload for upload in self.uploads if not upload.settled}
        items = [client.Item(self._written(upload), upload.name) for upload in left.values()]
        refused: list[Failed] = []
        async for result in connection.upload_many(items, if_exists="replace", on_event=heard):
            if isinstance(result, Failed):
                refused.append(result)
            else:
                history.told(left[result.name])
        if refused:
            raise refused[0].error

    def _written(self, upload: Upload) -> Path:
        path = self.folder / upload.name.replace("/", "-")
        path.write_bytes(upload.content.view)
        return path


@dataclass(slots=True)
class Delete:
    name: str
    change: Change

    @property
    def changes(self) -> Iterable[Change]:
        return [self.change]

    async def attempt(self, connection: client.Connection, history: History, heard: Listener) -> None:
        await connection.delete(self.name)
        history.told(self.change)


@dataclass(slots=True)
class Rename:
    name: str
    new_name: str
    change: Change

    @property
    def changes(self) -> Iterable[Change]:
        return [self.change]

    async def attempt(self, connection: client.Connection, history: History, heard: Listener) -> None:
        await connection.rename(self.name, self.new_name)
        history.told(self.change)
