"""Small files in batches: one sync and one commit make many of them durable.

The first of a batch waits for nobody; what is queued by the time it is taken goes along. Objects are created and
written, one syncfs(2) makes contents and folder entries durable, one commit their rows, and only then is anybody told.
"""

import asyncio
import logging
import os
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Final

from sqlalchemy.engine import Connection

from storage import rows
from storage.disk import translated
from storage.errors import NameTaken, NotYours, QuotaExceeded, StorageError, WriteFailed, WrongDigest
from storage.objects import PUBLISHED_MODE, Objects, new_object_id, write_all
from storage.quota import is_limited
from storage.store import Published, UploadRequest
from storage.writer import Workplace
from transfer.protocol.digest import Digest, digest_bytes
from transfer.protocol.leaves import Buffer

MAX_BATCH: Final = 64
logger = logging.getLogger("towline.storage")


@dataclass(slots=True, kw_only=True)
class _SmallFile:
    request: UploadRequest
    content: Buffer
    digest: Digest
    answer: "asyncio.Future[Published]"
    object_id: str = ""
    refused: StorageError | None = None


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
        while (first := await self._queue.get()) is not None:
            batch = [first]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                following = self._queue.get_nowait()
                if following is None:
                    self.stop()
                    break
                batch.append(following)
            try:
                await self._publish(batch)
            except OSError as failed:
                logger.error("a batch of %d small files failed: %s", len(batch), failed)
                _refuse(batch, translated(failed))
            except StorageError as refused:
                _refuse(batch, refused)

    async def _publish(self, batch: list[_SmallFile]) -> None:
        await self._workplace.disk.call(self._write_now, batch)
        good = await self._still_wanted([small for small in batch if small.refused is None])
        outcomes, disposable = await self._recorded(good)
        for small in batch:
            if small.answer.done():
                continue
            outcome = small.refused or outcomes[small.object_id]
            if isinstance(outcome, StorageError):
                small.answer.set_exception(outcome)
            else:
                small.answer.set_result(outcome)
        self._workplace.dispose(disposable)
        published = [key for key, outcome in outcomes.items() if isinstance(outcome, Published)]
        await self._workplace.disk.call(self._seal_now, published)

    async def _still_wanted(self, written: list[_SmallFile]) -> list[_SmallFile]:
        """Those for which somebody waits: whoever was cut while the disk was slow publishes nothing afterwards."""
        wanted = [small for small in written if not small.answer.cancelled()]
        if given_up := [small.object_id for small in written if small.answer.cancelled()]:
            await self._workplace.disk.call(self._unlink_now, given_up)
        return wanted

    async def _recorded(self, batch: list[_SmallFile]) -> tuple[dict[str, Published | StorageError], list[str]]:
        try:
            return await self._workplace.catalog.write(lambda connection: self._rows(connection, batch))
        except WriteFailed:  # rows may name the objects: the next start deletes those that have none
            raise
        except StorageError:
            await self._workplace.disk.call(self._unlink_now, [small.object_id for small in batch])
            raise

    def _unlink_now(self, object_ids: list[str]) -> None:
        """Delete what no row names. What cannot be deleted now is deleted by the next start."""
        for object_id in object_ids:
            try:
                self._objects.unlink(object_id)
            except OSError as failed:
                logger.error("object %s could not be deleted: %s", object_id, failed)

    def _write_now(self, batch: list[_SmallFile]) -> None:
        """Check digests, create and write what is right, sync it all at once. Raises OSError for the whole batch."""
        descriptors: list[int] = []
        object_ids: list[str] = []
        try:
            for small in batch:
                actual = digest_bytes(small.content, small.digest.algorithm)
                if actual != small.digest:
                    small.refused = WrongDigest(small.digest, actual)
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

    def _rows(
        self, connection: Connection, batch: list[_SmallFile]
    ) -> tuple[dict[str, Published | StorageError], list[str]]:
        outcomes: dict[str, Published | StorageError] = {}
        now = self._workplace.clock()
        for small in batch:
            size = len(small.content)
            try:
                with connection.begin_nested() if is_limited(small.request) else nullcontext():
                    outcomes[small.object_id] = rows.publish(
                        connection, small.request, small.digest, size, small.object_id, now
                    )
            except (NameTaken, NotYours, QuotaExceeded) as refused:
                outcomes[small.object_id] = refused
                rows.dispose(connection, [small.object_id])
        return outcomes, rows.disposable(connection)

    def _seal_now(self, object_ids: list[str]) -> None:
        for object_id in object_ids:
            with suppress(FileNotFoundError):  # unchanged, replaced or deleted meanwhile
                self._objects.chmod(object_id, PUBLISHED_MODE)


def _refuse(batch: list[_SmallFile], error: StorageError) -> None:
    for small in batch:
        if not small.answer.done():
            small.answer.set_exception(error)
