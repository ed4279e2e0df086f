"""Small files in batches: one sync and one commit make many of them durable.

The first of a batch waits for nobody; what is queued by the time it is taken goes along. Objects are created and
written, one syncfs(2) makes contents and folder entries durable, one commit their rows, and only then is anybody told.
What is stored already is looked up first and not written again: after a break a client sends much of that.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy.engine import Connection

from storage import file_rows, quota_rows
from storage.disk import translated
from storage.errors import NameTaken, NoSpace, NotYours, QuotaExceeded, StorageError, WriteFailed, WrongDigest
from storage.events import of_published
from storage.naming import may_know
from storage.objects import PUBLISHED_MODE, Objects, new_object_id, write_all
from storage.quota import is_limited
from storage.store import Published, StoredFile, UploadRequest
from storage.vacancies import Vacancies
from storage.writer import Workplace
from transfer.protocol.digest import Digest, digest_bytes
from transfer.protocol.leaves import Buffer

MAX_BATCH: Final = 128
logger = logging.getLogger("towline.storage")


@dataclass(slots=True, kw_only=True)
class _SmallFile:
    request: UploadRequest
    content: Buffer
    digest: Digest
    answer: "asyncio.Future[Published]"
    stored: StoredFile | None = None
    """The file that has its name and, if that is true of it, its digest: nothing needs to be written then."""
    object_id: str = ""
    """Of the object that was written for it."""
    outcome: Published | StorageError | None = None
    """How it ends, once that is known; of what is to be written when its row is made."""


@dataclass(slots=True)
class _Batch:
    files: list[_SmallFile]
    key: str = field(default_factory=new_object_id)
    """Under which space is reserved for it."""

    @property
    def name_keys(self) -> set[str]:
        return {small.request.name.key for small in self.files}

    @property
    def to_write(self) -> list[_SmallFile]:
        """Those of which nothing is known yet."""
        return [small for small in self.files if small.outcome is None]


class SmallFiles:
    """Publishes small files; run `work` in a task."""

    def __init__(self, workplace: Workplace, objects: Objects) -> None:
        self._workplace = workplace
        self._objects = objects
        self._queue: asyncio.Queue[_SmallFile | None] = asyncio.Queue()

    async def put(self, request: UploadRequest, content: Buffer, digest: Digest) -> Published:
        """Cancelled before its batch is committed, it is not published; later it may be, or not. Raises what
        `Store.put` does."""
        answer: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_SmallFile(request=request, content=content, digest=digest, answer=answer))
        return await answer

    def stop(self) -> None:
        """Let `work` end after what is queued."""
        self._queue.put_nowait(None)

    async def work(self) -> None:
        """While the rows of one batch are recorded, the next one is written."""
        async with asyncio.TaskGroup() as group:
            recording: asyncio.Task[None] | None = None
            before = set[str]()
            while (first := await self._queue.get()) is not None:
                batch = _Batch([first, *self._queued(MAX_BATCH - 1)])
                with _refusing(batch):
                    await self._write(batch, before)
                if recording is not None:
                    await recording
                recording, before = group.create_task(self._record(batch)), batch.name_keys
                del first, batch  # nothing may come for hours, and they have up to 128 MiB

    def _queued(self, most: int) -> Iterator[_SmallFile]:
        """What waits already."""
        while most and not self._queue.empty():
            following = self._queue.get_nowait()
            if following is None:
                self.stop()
                return
            most -= 1
            yield following

    async def _write(self, batch: _Batch, before: set[str]) -> None:
        """`before` are the keys of the batch that may still be recorded: of what files before it may replace, it is not
        known what is stored when a file's turn comes."""
        names = [small.request.name for small in batch.files]
        found = await self._workplace.catalog.read(lambda connection: file_rows.find_files(connection, names))
        unsettled = set(before)
        for small in batch.files:
            if (key := small.request.name.key) not in unsettled:
                small.stored = _same(small, found.get(small.request.name))
            unsettled.add(key)
        self._promise(batch)
        await self._workplace.disk.call(self._write_now, batch.files)

    async def _record(self, batch: _Batch) -> None:
        with _refusing(batch):
            try:
                written = await self._still_wanted(batch.to_write)
                disposable = await self._recorded(written) if written else []
            finally:
                self._workplace.space.release(batch.key)
            for small in batch.files:
                self._tell(small)
                _answer(small)
            self._workplace.dispose(disposable)
            published = [small.object_id for small in written if isinstance(small.outcome, Published)]
            await self._workplace.disk.call(self._seal_now, published)

    def _tell(self, small: _SmallFile) -> None:
        if isinstance(small.outcome, Published):
            for event in of_published(small.outcome):
                self._workplace.tell(event)

    def _promise(self, batch: _Batch) -> None:
        """Space for all that is new; where there is less, for those that fit one after another."""
        new = [small for small in batch.files if small.stored is None]
        space = self._workplace.space
        with suppress(NoSpace):
            space.reserve(batch.key, sum(len(small.content) for small in new))
            return
        promised = 0
        for small in new:
            try:
                space.reserve(batch.key, promised + len(small.content))
            except NoSpace as refused:
                small.outcome = NoSpace(len(small.content), max(0, refused.available - promised))
            else:
                promised += len(small.content)

    async def _still_wanted(self, written: list[_SmallFile]) -> list[_SmallFile]:
        """Those for which somebody waits: whoever was cut while the disk was slow publishes nothing afterwards."""
        wanted = [small for small in written if not small.answer.cancelled()]
        if given_up := [small.object_id for small in written if small.answer.cancelled()]:
            await self._workplace.disk.call(self._unlink_now, given_up)
        return wanted

    async def _recorded(self, written: list[_SmallFile]) -> list[str]:
        """Their rows, in one commit. Returns the objects that are to be unlinked."""
        try:
            return await self._workplace.catalog.write(lambda connection: self._rows(connection, written))
        except WriteFailed:  # rows may name the objects: the next start deletes those that have none
            raise
        except StorageError:
            await self._workplace.disk.call(self._unlink_now, [small.object_id for small in written])
            raise

    def _unlink_now(self, object_ids: list[str]) -> None:
        """Delete what no row names. What cannot be deleted now is deleted by the next start."""
        for object_id in object_ids:
            try:
                self._objects.unlink(object_id)
            except OSError as failed:
                logger.error("object %s could not be deleted: %s", object_id, failed)

    def _write_now(self, batch: list[_SmallFile]) -> None:
        """Check digests, create and write what is right and new, sync it all at once. Raises OSError for the whole
        batch."""
        descriptors: list[int] = []
        object_ids: list[str] = []
        try:
            for small in batch:
                small.outcome = small.outcome or _known(small)
                if small.outcome is not None:
                    continue
                small.object_id = new_object_id()
                descriptors.append(self._objects.create(small.object_id))
                object_ids.append(small.object_id)
                write_all(descriptors[-1], 0, [small.content])
            if object_ids:
                self._objects.sync_all(object_ids, descriptors)
        except OSError:
            self._unlink_now(object_ids)
            raise
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _rows(self, connection: Connection, written: list[_SmallFile]) -> list[str]:
        """Those whose names are free become rows together, the others one by one, after those before them."""
        vacancies = Vacancies(connection, (small.request.name for small in written))
        now = self._workplace.clock()
        free: list[_SmallFile] = []
        for small in written:
            if vacancies.is_free(small.request.name):
                vacancies.take(small.request.name)
                free.append(small)
            else:
                self._rows_together(connection, free, now)
                free = []
                small.outcome = self._row(connection, small, now)
                if isinstance(small.outcome, Published):
                    vacancies.take(small.outcome.file.name)
        self._rows_together(connection, free, now)
        return file_rows.disposable(connection)

    def _rows_together(self, connection: Connection, free: list[_SmallFile], now: datetime) -> None:
        """At once, where that is within all quotas; else those that have one follow one by one, as many as fit."""
        if not self._inserted(connection, free, now):
            self._inserted(connection, [small for small in free if not is_limited(small.request)], now)
            for small in filter(lambda small: is_limited(small.request), free):
                small.outcome = self._row(connection, small, now)

    def _inserted(self, connection: Connection, free: list[_SmallFile], now: datetime) -> bool:
        """Whether all of them have rows now; where a quota is exceeded none has."""
        limited = {_purse(small.request): small for small in free if is_limited(small.request)}
        files = [_new_file(small, now) for small in free]
        try:
            with connection.begin_nested() if limited else nullcontext():
                file_rows.insert_files(connection, files)
                for small in limited.values():
                    quota_rows.check(connection, small.request, len(small.content))
        except QuotaExceeded:
            return False
        for small, file in zip(free, files, strict=True):
            small.outcome = Published(file)
        return True

    def _row(self, connection: Connection, small: _SmallFile, now: datetime) -> Published | StorageError:
        size = len(small.content)
        try:
            with connection.begin_nested() if is_limited(small.request) else nullcontext():
                return file_rows.publish(connection, small.request, small.digest, size, small.object_id, now)
        except (NameTaken, NotYours, QuotaExceeded) as refused:
            file_rows.dispose(connection, [small.object_id])
            return refused

    def _seal_now(self, object_ids: list[str]) -> None:
        for object_id in object_ids:
            with suppress(FileNotFoundError):  # unchanged, replaced or deleted meanwhile
                self._objects.chmod(object_id, PUBLISHED_MODE)


def _same(small: _SmallFile, file: StoredFile | None) -> StoredFile | None:
    """The file, if it has this content already, and the caller may know that."""
    return file if file is not None and file.digest == small.digest and may_know(small.request, file) else None


def _known(small: _SmallFile) -> Published | StorageError | None:
    """What can be said of it without writing it."""
    actual = digest_bytes(small.content, small.digest.algorithm)
    if actual != small.digest:
        return WrongDigest(small.digest, actual)
    return Published(small.stored, unchanged=True) if small.stored is not None else None


def _new_file(small: _SmallFile, now: datetime) -> StoredFile:
    request = small.request
    return file_rows.new_file(request, request.name, small.digest, len(small.content), small.object_id, now)


def _purse(request: UploadRequest) -> tuple[object, ...]:
    """What is the same of requests that take from the same quotas."""
    return request.account, request.quota, request.via, request.via_quota


def _answer(small: _SmallFile) -> None:
    if small.answer.done():
        return
    if isinstance(small.outcome, StorageError):
        small.answer.set_exception(small.outcome)
    elif small.outcome is not None:
        small.answer.set_result(small.outcome)


@contextmanager
def _refusing(batch: _Batch) -> Iterator[None]:
    """What fails here refuses the whole batch, or what of it has no answer yet."""
    try:
        yield
    except OSError as failed:
        logger.error("a batch of %d small files failed: %s", len(batch.files), failed)
        _refuse(batch, translated(failed))
    except StorageError as refused:
        _refuse(batch, refused)


def _refuse(batch: _Batch, error: StorageError) -> None:
    for small in batch.files:
        small.outcome = error
        _answer(small)
