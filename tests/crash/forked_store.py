"""One life of a store: a forked process with a LocalStore in it, asked over a socket, that really dies.

Whatever it answered, it answered before it died; what it was asked and did not answer may be done or not. Leaves and
reservations are small in here, so that small contents have many of them.
"""

import asyncio
import contextlib
import os
import pickle
import select
import signal
import socket
import traceback
from collections.abc import Generator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import Fenced, Incomplete, StorageError
from storage.local import LocalStore
from storage.schema import completed, files
from storage.store import FileQuery, Published, StoredFile, UploadRequest, Writer
from tests.crash.model import EXPIRY, LEAF, STREAM_LEAF, Command, FileSeen, Opened, Refused, Spans, UploadSeen, View
from tests.storage.conformance.asking import ANN, BOB, hold, read
from transfer.protocol.digest import Digest
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range

OWNERS: Final = (ANN, BOB)
PATIENCE: Final = 60.0
"""Seconds after which a life that does not answer is a failure."""


class Broken(Exception):
    """A life ended with a bug: its traceback."""


class Life:
    """The parent's end. Opens the store on `data`; the clock of the store stands still at `now`."""

    def __init__(self, data: Path, now: datetime) -> None:
        self._socket, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._socket.close()
            _live(data, now, theirs)
        theirs.close()
        self._socket.settimeout(PATIENCE)
        self._answers = self._read_answers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def opened(self) -> None:
        """Wait until the store is open. Raises Broken."""
        next(self._answers)

    def ask(self, command: Command) -> object:
        self.send(command)
        return next(self._answers)

    def send(self, command: Command) -> None:
        message = pickle.dumps(command)
        self._socket.sendall(len(message).to_bytes(4) + message)

    def heard(self) -> bool:
        """Whether it has answered by now."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def last_answer(self) -> object:
        """What it said before it died; None where it died before."""
        return next(self._answers, None)

    def kill(self) -> None:
        """SIGKILL: it is dead when this returns."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def end(self) -> None:
        """Kill it, if it lives; nothing can be heard of it any more."""
        self.kill()
        self._answers.close()
        self._socket.close()

    def _read_answers(self) -> Generator[object, None, None]:
        with (
            self._socket.makefile("rb") as stream,
            contextlib.suppress(EOFError, pickle.UnpicklingError, ConnectionResetError),
        ):
            while True:
                answer: tuple[object] | str = pickle.load(stream)
                if isinstance(answer, str):
                    raise Broken(answer)
                yield answer[0]


def _live(data: Path, now: datetime, theirs: socket.socket) -> None:
    """The whole life of the child; never returns."""
    try:
        small = pytest.MonkeyPatch()
        small.setattr("storage.local.leaf_size_for", lambda size: STREAM_LEAF if size is None else LEAF)
        small.setattr("storage.space.STREAM_STEP", 1 << 16)
        with asyncio.Runner() as runner:
            runner.run(_answer_all(data, now, theirs))
    except BaseException:  # noqa: BLE001 - the parent is told
        theirs.setblocking(True)
        with contextlib.suppress(OSError):
            theirs.sendall(pickle.dumps(traceback.format_exc()))
    finally:
        os._exit(1)


async def _answer_all(data: Path, now: datetime, theirs: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=theirs)
    lived = Lived(data, now)
    async with lived.store:
        writer.write(pickle.dumps(("open",)))
        while head := await reader.read(4):
            command: Command = pickle.loads(await reader.readexactly(int.from_bytes(head)))
            try:
                writer.write(pickle.dumps((await lived.answer(command),)))
            except BaseException:
                writer.write(pickle.dumps(traceback.format_exc()))  # closing might take for ever now
                raise
            if command.name == "stop":
                break
    await writer.drain()


class Lived:
    """The child's end: every method that is no underscore's is something that can be asked."""

    def __init__(self, data: Path, now: datetime) -> None:
        self._now = now
        self.store = LocalStore(
            data, pending_expiry=EXPIRY, take_over_seconds=PATIENCE, min_free_bytes=0, clock=lambda: self._now
        )
        self._writers: dict[int, tuple[Writer, asyncio.Task[None]]] = {}
        self._damages: list[Range] = []

    async def answer(self, command: Command) -> object:
        try:
            answer: object = await getattr(self, command.name)(*command.arguments)
        except Incomplete as incomplete:
            return Refused("Incomplete", tuple((hole.start, hole.end) for hole in incomplete.holes))
        except StorageError as error:
            return Refused(type(error).__name__)
        assert not self._damages, f"bytes that nobody damaged: {self._damages}"
        return answer

    # ---------------------------------------------------------------------------------------------------- writing

    async def begin(self, writer: int, request: UploadRequest) -> Opened:
        return self._opened(writer, *await hold(self.store.begin(request)))

    async def resume(
        self, writer: int, upload_id: str, owner: str, request: UploadRequest | None, lease: str | None
    ) -> Opened:
        return self._opened(writer, *await hold(self.store.resume(upload_id, owner, request, lease=lease)))

    def _opened(self, number: int, writer: Writer, task: "asyncio.Task[None]") -> Opened:
        self._writers[number] = writer, task
        writer.on_damage = self._damages.append
        durable = [(span.start, span.end) for span in writer.durable]
        full = writer.durable.furthest // writer.leaf_size * 16
        existing = None if writer.existing is None else str(writer.existing.digest)
        return Opened(writer.upload_id, writer.lease, writer.size, durable, writer.leaves[:full], existing)

    async def write(self, number: int, offset: int, content: bytes) -> None:
        half = len(content) // 2
        await self._writers[number][0].write(offset, [content[:half], content[half:]])

    async def sync(self, number: int) -> Spans:
        return [(span.start, span.end) for span in await self._writers[number][0].sync()]

    async def forget(self, number: int, start: int, end: int) -> None:
        await self._writers[number][0].forget(Range(start, end))

    async def finish(self, number: int, said: str) -> FileSeen:
        seen = _seen(await self._writers[number][0].finish(Digest.parse(said)))
        await self.leave(number)
        return seen

    async def drop(self, number: int) -> None:
        await self._writers[number][0].cancel()
        await self.leave(number)

    async def leave(self, number: int) -> None:
        _, task = self._writers.pop(number)
        task.cancel()
        await asyncio.wait([task])

    async def haunt(self, number: int) -> list[str]:
        writer, task = self._writers[number]
        told = isinstance(task.exception(), Fenced) if task.done() and not task.cancelled() else False
        with contextlib.suppress(StorageError):
            await writer.sync()
        tries = (
            writer.write(0, [b"ghost" * 100]),
            writer.forget(Range(0, LEAF)),
            writer.finish(Digest.parse("sha256:" + "0" * 64)),
            writer.cancel(),
        )
        outcomes = ["told" if told else "not told"]
        for attempt in tries:
            try:
                await attempt
                outcomes.append("done")
            except StorageError:
                outcomes.append("refused")
        return outcomes

    async def cancel(self, upload_id: str, owner: str) -> None:
        await self.store.cancel(upload_id, owner)

    async def time_passes(self, seconds: float) -> int:
        self._now += timedelta(seconds=seconds)
        return await self.store.expire()

    async def stop(self) -> None:
        for number in list(self._writers):
            await self.leave(number)

    # ------------------------------------------------------------------------------------------------------ files

    async def put(self, request: UploadRequest, content: bytes, said: str) -> FileSeen:
        return _seen(await self.store.put(request, content, Digest.parse(said)))

    async def rename(self, name: str, new_name: str) -> FileSeen:
        return _seen(Published(await self.store.rename(Name.parse(name), Name.parse(new_name))))

    async def delete(self, name: str) -> None:
        await self.store.delete(Name.parse(name))

    async def read(self, name: str) -> bytes:
        file = await self.store.find(Name.parse(name))
        assert file is not None
        return await read(self.store, file)

    # ---------------------------------------------------------------------------------------------------- looking

    async def find(self, name: str) -> FileSeen | None:
        file = await self.store.find(Name.parse(name))
        return None if file is None else _seen(Published(file))

    async def find_unfinished(self, name: str, owner: str) -> str | None:
        return await self.store.find_unfinished(Name.parse(name), owner)

    async def find_completed(self, upload_id: str, owner: str) -> FileSeen | None:
        published = await self.store.find_completed(upload_id, owner)
        return None if published is None else _seen(published)

    async def remembered(self) -> dict[str, datetime]:
        """Not asked of the store but looked up: until they are forgotten, nothing tells two such times apart."""
        wanted = sa.select(completed.c.upload_id, completed.c.at).join(files, files.c.file_id == completed.c.file_id)

        def work(connection: Connection) -> dict[str, datetime]:
            return {row.upload_id: row.at for row in connection.execute(wanted)}

        return await self.store._catalog.read(work)

    async def look(self) -> View:
        files: list[StoredFile] = (await self.store.list_files(FileQuery())).files
        uploads = [
            UploadSeen(
                upload_id=found.upload_id,
                owner=owner,
                name=found.name.value,
                size=found.size,
                offset=found.offset,
                created=found.created,
                active=found.active,
                expires=found.expires,
            )
            for owner in OWNERS
            for found in await self.store.unfinished(owner)
        ]
        return View([_seen(Published(file)) for file in files], sorted(uploads, key=lambda seen: seen.upload_id))


def _seen(published: Published) -> FileSeen:
    file = published.file
    return FileSeen(
        file.name.value, file.size, str(file.digest), file.owner, file.created, unchanged=published.unchanged
    )
