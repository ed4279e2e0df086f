"""The store on a local disk: objects in a folder, a catalog in SQLite.

    <data>/
      store.json     format and id of this store; written last of all at the first start
      catalog.db     what exists; bears the store's id
      objects/       contents, named by ids of the store's own
      quarantine/    what recovery did not understand
      serve.lock     excludes a second server

What is visible is decided by catalog rows alone; names never touch the file system.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import DBAPIError

from storage import file_rows, listing_rows, quota_rows, recovery, upload_rows
from storage.batch import SmallFiles
from storage.catalog import Catalog
from storage.disk import Disk, drained, opened, translated
from storage.errors import Fenced, NotFound, Replaced, StorageError, StoreRefused, TooManyUploads, WriteFailed
from storage.events import Cancelled, Created, Deleted, Progressed, Renamed, Tell, Upload, tell_nobody
from storage.expiry import drop_silent
from storage.granting import CatalogGrants
from storage.grants import Grants
from storage.group import Group, Member
from storage.lease import Work, lock_object
from storage.naming import check_early
from storage.objects import Objects, new_object_id
from storage.opening import open_folders
from storage.resuming import cut_and_seal, examine
from storage.schema import uploads
from storage.space import Space
from storage.store import (
    Clock,
    FilePage,
    FileQuery,
    Published,
    StoredFile,
    UnfinishedUpload,
    UploadRequest,
    Writer,
    any_file,
    utc_now,
)
from storage.writer import LocalWriter, ObjectState, Workplace
from transfer.protocol.digest import Digest
from transfer.protocol.leaves import NO_TAIL, Buffer, leaf_size_for
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet

T = TypeVar("T")
logger = logging.getLogger("towline.storage")


class LocalContent:
    """An open published content."""

    def __init__(self, file: StoredFile, descriptor: int, disk: Disk) -> None:
        self.file = file
        self._descriptor = descriptor
        self._disk = disk

    async def read(self, offset: int, size: int) -> bytes:
        try:
            return await self._disk.call(os.pread, self._descriptor, size, offset)
        except OSError as failed:
            raise translated(failed) from failed


class LocalStore:
    """A `storage.store.Store` on the folder `data`. `min_free_bytes` of the disk are never promised to anybody, and no
    owner begins more than `max_unfinished_uploads`. What happens in it is told by `tell`."""

    def __init__(
        self,
        data: Path,
        *,
        pending_expiry: float = 86_400.0,
        take_over_seconds: float = 2.0,
        min_free_bytes: int | None = None,
        max_unfinished_uploads: int | None = None,
        clock: Clock = utc_now,
        tell: Tell = tell_nobody,
    ) -> None:
        self._data = data
        self._tell = tell
        self._max_unfinished_uploads = max_unfinished_uploads
        self._pending_expiry = pending_expiry
        self.take_over_seconds = take_over_seconds
        self._min_free_bytes = min_free_bytes
        self._clock = clock
        self._groups: dict[str, Group] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    # ------------------------------------------------------------------------------------------ opening, closing

    async def __aenter__(self) -> Self:
        """Open and recover. Raises StoreRefused."""
        try:
            await self._open()
        except StoreRefused:
            raise
        except (OSError, DBAPIError, StorageError) as failed:
            raise StoreRefused(f"cannot use the data directory {self._data}: {_cause(failed)}") from failed
        return self

    async def _open(self) -> None:
        async with AsyncExitStack() as stack:
            self._disk = Disk()
            stack.callback(self._disk.close)
            lock = await self._disk.call(open_folders, self._data)
            stack.callback(os.close, lock)
            self._objects = Objects(self._data / "objects")
            stack.callback(self._objects.close)
            self._catalog = Catalog(self._data / "catalog.db")
            self._catalog.open()
            stack.push_async_callback(asyncio.to_thread, self._catalog.close)
            self._space = Space(self._data, self._clock, self._min_free_bytes)
            self._workplace = Workplace(
                disk=self._disk,
                catalog=self._catalog,
                space=self._space,
                clock=self._clock,
                dispose=self._dispose,
                tell=self._tell,
            )
            self._grants = CatalogGrants(self._catalog, self._clock)
            await self._recover()
            self._small_files = SmallFiles(self._workplace, self._objects)
            stack.push_async_callback(self._finish_background)
            self._worker = asyncio.create_task(self._small_files.work())
            self._stack = stack.pop_all()

    async def __aexit__(self, *exc_info: object) -> None:
        async with self._stack:
            self._small_files.stop()
            await self._worker
            try:
                await self._catalog.write(lambda connection: recovery.note_alive(connection, self._clock()))
            except StorageError as failed:
                logger.error("the time of closing could not be noted: %s", failed)

    async def _recover(self) -> None:
        known = await self._catalog.read(recovery.load_known)
        failed = await self._disk.call(recovery.mend_objects, self._objects, known, self._data / "quarantine")
        now = self._clock()
        await self._catalog.write(lambda connection: recovery.settle_rows(connection, known, failed, now))

    async def _finish_background(self) -> None:
        for group in self._groups.values():
            group.close_if_unused()
        while self._background:
            await asyncio.wait(self._background)

    @property
    def healthy(self) -> bool:
        return self._catalog.healthy

    @property
    def grants(self) -> Grants:
        return self._grants

    # -------------------------------------------------------------------------------------------------- writing

    @asynccontextmanager
    async def begin(self, request: UploadRequest) -> AsyncIterator[Writer]:
        upload_id, object_id, lease = secrets.token_hex(16), new_object_id(), secrets.token_hex(16)
        self._space.reserve(upload_id, request.size or 0)
        try:
            descriptor = await self._created(object_id)
            try:
                await lock_object(descriptor, self.take_over_seconds)
                existing = await self._insert(request, upload_id, object_id, lease)
            except BaseException as failed:
                await asyncio.shield(self._disk.call(os.close, descriptor))
                if _has_no_row(failed):
                    await asyncio.shield(self._disk.call(self._unlink_now, [object_id]))
                raise
        except BaseException:
            self._space.release(upload_id)
            raise
        work = Work()
        writer = LocalWriter(
            self._workplace,
            work,
            request,
            ObjectState(),
            upload_id=upload_id,
            object_id=object_id,
            lease=lease,
            epoch=1,
            leaf_size=leaf_size_for(request.size),
            descriptor=descriptor,
            existing=existing,
        )
        self._tell(Created(Upload(upload_id, request.name, request.size, 0, request.account)))
        group, member = self._gathered(writer, work)
        async with group.joined(member):
            yield member

    async def _created(self, object_id: str) -> int:
        """A new object, open; cancelled, there is none."""
        try:
            return await self._opened(self._create_now, object_id)
        except asyncio.CancelledError:
            await asyncio.shield(self._disk.call(self._unlink_now, [object_id]))
            raise

    def _create_now(self, object_id: str) -> int:
        descriptor = self._objects.create(object_id)
        try:
            self._objects.sync_entries([object_id])
        except OSError:
            os.close(descriptor)
            self._unlink_now([object_id])
            raise
        return descriptor

    def _unlink_now(self, object_ids: list[str]) -> None:
        """Delete what no row names. What cannot be deleted now is deleted when the store is opened next."""
        for object_id in object_ids:
            try:
                self._objects.unlink(object_id)
            except OSError as failed:
                logger.error("an object could not be deleted, the next start does it: %s", failed)

    async def _insert(self, request: UploadRequest, upload_id: str, object_id: str, lease: str) -> StoredFile | None:
        now = self._clock()
        values = upload_rows.request_values(request) | upload_rows.durable_values(RangeSet(), NO_TAIL, request.size)
        values |= {
            "upload_id": upload_id,
            "object_id": object_id,
            "owner": request.owner,
            "leaf_size": leaf_size_for(request.size),
            "epoch": 1,
            "lease": lease,
            "failed": False,
            "created": now,
            "active": now,
        }

        def work(connection: Connection) -> StoredFile | None:
            existing = _check_name(connection, request)
            limit = self._max_unfinished_uploads
            if limit is not None and upload_rows.count_unfinished(connection, request) >= limit:
                raise TooManyUploads(limit)
            connection.execute(sa.insert(uploads).values(values))
            if request.size:
                upload_rows.check_promise(connection, request, request.size)
            return existing

        return await self._catalog.write(work)

    @asynccontextmanager
    async def resume(
        self,
        upload_id: str,
        owner: str,
        request: UploadRequest | None = None,
        *,
        lease: str | None = None,
        within: str = "",
    ) -> AsyncIterator[Writer]:
        async with self._turns.setdefault(upload_id, asyncio.Lock()):  # newcomers queue
            group, member = await self._taken_over(upload_id, owner, request, lease, within)
        async with group.joined(member):
            yield member

    @asynccontextmanager
    async def join(
        self, upload_id: str, owner: str, lease: str, span: Range | None = None, *, within: str = ""
    ) -> AsyncIterator[Writer]:
        async with self._turns.setdefault(upload_id, asyncio.Lock()):
            group = self._groups.get(upload_id)
            if group is not None and group.admits(owner, lease, within):
                member = group.seat(span)
            else:
                group, member = await self._taken_over(upload_id, owner, None, lease, within, span)
            await group.share(member)
        async with group.joined(member):
            yield member

    async def _taken_over(
        self,
        upload_id: str,
        owner: str,
        request: UploadRequest | None,
        lease: str | None,
        within: str,
        span: Range | None = None,
    ) -> tuple[Group, Member]:
        """Whoever writes is fenced, and the upload opened anew."""
        epoch, wanted, existing = await self._catalog.write(
            lambda connection: _take_lease(connection, upload_id, owner, within, request, lease)
        )
        if (holders := self._groups.get(upload_id)) is not None:
            await holders.fence()
        # what the former holders recorded until their fence is in the catalog now
        row, leaves = await self._catalog.read(lambda connection: _load_upload(connection, upload_id, owner))
        if row.epoch != epoch:  # a newcomer in another process: their lease is not ours to use
            raise Fenced
        work = Work()
        return self._gathered(await self._open_writer(work, row, leaves, wanted, existing), work, span)

    def _gathered(self, writer: LocalWriter, work: Work, span: Range | None = None) -> tuple[Group, Member]:
        """A new group, and its first member."""
        group = self._groups[writer.upload_id] = Group(self, writer, work)
        return group, group.seat(span)

    def forget(self, group: Group) -> None:
        """Of a group whose writer is closed."""
        if self._groups.get(group.writer.upload_id) is group:
            del self._groups[group.writer.upload_id]

    async def _open_writer(
        self,
        work: Work,
        row: Row[Any],
        leaves: dict[int, bytes],
        request: UploadRequest,
        existing: StoredFile | None,
    ) -> LocalWriter:
        durable = upload_rows.ranges_of(row.durable)
        size = request.size
        kept = durable.total if size is None else durable.intersection(RangeSet.of((0, size))).total
        self._space.reserve(row.upload_id, 0 if size is None else size - kept)
        descriptor = await self._opened(lambda: self._objects.open(row.object_id, write=True))
        try:
            await lock_object(descriptor, self.take_over_seconds)
            before = ObjectState(durable, leaves, upload_rows.tail_of(row))
            state, tail_hasher = await self._on_disk(examine, descriptor, before, row.leaf_size, size)
            await self._record_resume(row, request, state, leaves.keys() - state.leaves.keys())
            self._tell(_taken_up(row, request, state))
            await self._on_disk(cut_and_seal, descriptor, state)
        except BaseException:
            self._space.linger(row.upload_id)
            await asyncio.shield(self._disk.call(os.close, descriptor))
            raise
        return LocalWriter(
            self._workplace,
            work,
            request,
            state,
            upload_id=row.upload_id,
            object_id=row.object_id,
            lease=row.lease,
            epoch=row.epoch,
            leaf_size=row.leaf_size,
            descriptor=descriptor,
            existing=existing,
            tail_hasher=tail_hasher,
        )

    async def _record_resume(
        self, row: Row[Any], request: UploadRequest, state: ObjectState, dropped: set[int]
    ) -> None:
        values = upload_rows.request_values(request)
        values |= upload_rows.durable_values(state.durable, state.tail, request.size)
        values["active"] = self._clock()

        def work(connection: Connection) -> None:
            upload_rows.update_upload(connection, row.upload_id, row.epoch, values)
            upload_rows.save_leaves(connection, row.object_id, state.leaves, dropped)

        await self._catalog.write(work)

    async def _on_disk(self, function: Callable[..., T], *arguments: object) -> T:
        """Outside of a hold. Cancelling waits: a descriptor must not be closed, and perhaps be another object's, while
        a thread still uses it."""
        return await self._translated(drained(self._disk.call(function, *arguments)))

    async def _opened(self, function: Callable[..., int], *arguments: object) -> int:
        """The same for what opens a descriptor."""
        return await self._translated(opened(self._disk.call(function, *arguments)))

    async def _translated(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it; what the kernel says becomes what a store says."""
        try:
            return await work
        except OSError as failed:
            logger.error("the disk failed: %s", failed)
            raise translated(failed) from failed

    async def find_unfinished(self, name: Name, owner: str) -> str | None:
        return await self._catalog.read(lambda connection: upload_rows.most_recent_upload(connection, name, owner))

    async def find_completed(self, upload_id: str, owner: str) -> Published | None:
        return await self._catalog.read(lambda connection: upload_rows.find_completed(connection, upload_id, owner))

    async def put(self, request: UploadRequest, content: Buffer, digest: Digest) -> Published:
        return await self._small_files.put(request, content, digest)

    async def cancel(self, upload_id: str, owner: str, *, within: str = "") -> None:
        def work(connection: Connection) -> tuple[Upload, list[str]]:
            row = upload_rows.find_upload(connection, upload_id, owner, within)
            return upload_rows.upload_event(row), upload_rows.drop_upload(connection, upload_id, owner, within)

        async with self._turns.setdefault(upload_id, asyncio.Lock()):
            await self._catalog.read(lambda connection: upload_rows.find_upload(connection, upload_id, owner, within))
            if (holders := self._groups.get(upload_id)) is not None:
                await holders.fence()
            dropped, disposable = await self._catalog.write(work)
            self._dispose(disposable)
            self._space.release(upload_id)
            self._tell(Cancelled(dropped))
        self._turns.pop(upload_id, None)

    async def unfinished(self, owner: str) -> list[UnfinishedUpload]:
        pending_expiry = self._pending_expiry
        return await self._catalog.read(lambda connection: upload_rows.unfinished(connection, owner, pending_expiry))

    async def expire(self) -> int:
        now, connected = self._clock(), set(self._groups)

        def work(connection: Connection) -> tuple[list[Upload], list[str]]:
            return drop_silent(connection, now, self._pending_expiry, connected), file_rows.disposable(connection)

        dropped, disposable = await self._catalog.write(work)
        self._turns = {key: turn for key, turn in self._turns.items() if turn.locked() or key in self._groups}
        self._dispose(disposable)
        for upload in dropped:
            self._tell(Cancelled(upload, expired=True))
        return len(dropped)

    # ---------------------------------------------------------------------------------------------------- files

    async def find(self, name: Name) -> StoredFile | None:
        return await self._catalog.read(lambda connection: file_rows.find_file(connection, name))

    async def find_by_id(self, file_id: str) -> StoredFile | None:
        return await self._catalog.read(lambda connection: file_rows.find_file_by_id(connection, file_id))

    @asynccontextmanager
    async def open(self, file: StoredFile) -> AsyncIterator[LocalContent]:
        try:
            descriptor = await opened(self._disk.call(self._objects.open, file.file_id))
        except FileNotFoundError:
            raise NotFound(f"the file {str(file.name)!r}") from None
        except OSError as failed:
            raise translated(failed) from failed
        try:
            yield LocalContent(file, descriptor, self._disk)
        finally:
            await asyncio.shield(self._disk.call(os.close, descriptor))  # of a deleted file it frees the blocks

    async def usage(self, subject: str) -> int:
        return await self._catalog.read(lambda connection: quota_rows.usage(connection, subject))

    async def usage_via(self, link: str) -> int:
        return await self._catalog.read(lambda connection: quota_rows.usage_via(connection, link))

    async def list_files(self, query: FileQuery) -> FilePage:
        read = self._catalog.search if listing_rows.may_take_long(query) else self._catalog.read
        return await read(lambda connection: listing_rows.list_files(connection, query))

    async def rename(self, name: Name, new_name: Name) -> StoredFile:
        file = await self._catalog.write(lambda connection: file_rows.rename_file(connection, name, new_name))
        self._tell(Renamed(file, before=name))
        return file

    async def delete(self, name: Name, *, is_meant: Callable[[StoredFile], bool] = any_file) -> None:
        def work(connection: Connection) -> tuple[StoredFile, list[str]]:
            file = file_rows.find_file(connection, name)
            if file is None:
                raise NotFound(f"the file {str(name)!r}")
            if not is_meant(file):
                raise Replaced(name)
            file_rows.delete_file(connection, file)
            return file, file_rows.disposable(connection)

        file, disposable = await self._catalog.write(work)
        self._dispose(disposable)
        self._tell(Deleted(file))

    def _dispose(self, object_ids: list[str]) -> None:
        """Unlink in the background: it can take a second. What is left is done at the next start."""
        if object_ids:
            self.spawn(self._unlink(object_ids))

    async def _unlink(self, object_ids: list[str]) -> None:
        try:
            await self._disk.call(self._objects.delete, object_ids)
            await self._catalog.write(lambda connection: file_rows.disposed(connection, object_ids))
        except (OSError, StorageError) as failed:
            logger.error("%d objects could not be deleted, the next start does it: %s", len(object_ids), failed)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it in the background, before the store is closed."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _cause(failed: Exception) -> str:
    """What went wrong, in the words of whoever said it."""
    if isinstance(failed, DBAPIError):
        return str(failed.orig)
    return (failed.strerror or str(failed)).lower() if isinstance(failed, OSError) else str(failed)


def _has_no_row(failed: BaseException) -> bool:
    """Whether an insert that ended so has changed nothing: a failed or a cancelled one may have."""
    return isinstance(failed, StorageError) and not isinstance(failed, WriteFailed)


def _check_name(connection: Connection, request: UploadRequest) -> StoredFile | None:
    def look_up(name: Name) -> Any:
        return file_rows.occupant(connection, name)

    return check_early(request, look_up)


def _take_lease(
    connection: Connection, upload_id: str, owner: str, within: str, request: UploadRequest | None, lease: str | None
) -> tuple[int, UploadRequest, StoredFile | None]:
    """Raise the epoch, so that the former holder records nothing any more. Returns it, and what the upload is to
    become. What was promised to it is not asked again, only what it, or its account, is now in place of that."""
    row = upload_rows.find_upload(connection, upload_id, owner, within)
    if lease is not None and not secrets.compare_digest(lease.encode(), row.lease.encode()):
        raise Fenced
    wanted = request or upload_rows.request_of(row)
    existing = _check_name(connection, wanted)
    epoch: int = row.epoch + 1
    taken = {"epoch": epoch, "lease": lease or secrets.token_hex(16)}
    reserved = upload_rows.ranges_of(row.durable).total if wanted.size is None else wanted.size
    counted = upload_rows.account_values(wanted)
    upload_rows.update_upload(connection, upload_id, row.epoch, taken | counted | {"reserved": reserved})
    if reserved > row.reserved or any(row._mapping[column] != value for column, value in counted.items()):
        upload_rows.check_promise(connection, wanted, reserved)
    return epoch, wanted, existing


def _taken_up(row: Row[Any], request: UploadRequest, state: ObjectState) -> Progressed:
    upload = Upload(row.upload_id, request.name, request.size, state.durable.leading, request.account)
    return Progressed(upload, before=Name.parse(row.name))


def _load_upload(connection: Connection, upload_id: str, owner: str) -> tuple[Row[Any], dict[int, bytes]]:
    row = upload_rows.find_upload(connection, upload_id, owner)
    return row, upload_rows.load_leaves(connection, row.object_id)
