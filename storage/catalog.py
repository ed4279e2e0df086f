"""The catalog of an open store: what exists, on SQLite through SQLAlchemy Core.

Writes run in one thread that takes what is queued, runs each piece of work in a savepoint of its own and commits
them together: one sync serves all. Reads run in another thread, and what may take long in a third. What a `write`
returned is durable (see `storage.connecting`).
"""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from storage.connecting import as_storage_error, connect
from storage.errors import NoSpace, StorageError, WriteFailed

T = TypeVar("T")
Work = Callable[[Connection], T]
logger = logging.getLogger("towline.catalog")

MAX_BATCH: Final = 64
RETRY_SECONDS: Final = 1.0
_OF_ONE_JOB: Final = (DataError, IntegrityError, ProgrammingError)
"""What the driver raises about a statement, not about the disk."""


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Work[T]
    future: "asyncio.Future[T]"
    loop: asyncio.AbstractEventLoop

    def settle(self, result: T | None, error: BaseException | None) -> None:
        def in_loop() -> None:
            if self.future.cancelled():
                return
            if error is not None:
                self.future.set_exception(error)
            else:
                self.future.set_result(result)  # type: ignore[arg-type]

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(in_loop)


class _Reader:
    """A thread and its connection, which never locks writers out. What it is given waits its turn."""

    def __init__(self, path: Path, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._engine = connect(path, writes=False)

    async def run(self, work: Work[T]) -> T:
        def in_thread() -> T:
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except DBAPIError as failed:
                raise as_storage_error(failed) from failed

        return await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)

    def close(self) -> None:
        """Blocks until what it was given is done."""
        self._thread.submit(self._engine.dispose).result()
        self._thread.shutdown()


class Catalog:
    """The catalog of an open store. Use `open` and `close`; `read` and `write` raise WriteFailed or NoSpace.

    What a `write` that raised WriteFailed was to change is unknown until the next one succeeds: nothing that it may
    have named can be unlinked. One that raised NoSpace has changed nothing. While the catalog is not `healthy`, each
    write tries to repair it and raises WriteFailed at once when that fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_batches, name="towline-catalog", daemon=True)
        self._reader = _Reader(path, "towline-catalog-read")
        self._searcher = _Reader(path, "towline-catalog-search")
        self.healthy = True

    def open(self) -> None:
        self._writer.start()

    def close(self) -> None:
        """Finish what is queued, then stop. Blocks."""
        self._jobs.put(None)
        self._writer.join()
        self._reader.close()
        self._searcher.close()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and return its result once that is durable. Cancelling does not undo it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, future, loop))
        return await future

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a snapshot. Others wait for it: it must not look at every row."""
        return await self._reader.run(work)

    async def search(self, work: Work[T]) -> T:
        """The same for what may look at every row; only other searches wait for it."""
        return await self._searcher.run(work)

    # ------------------------------------------------------------------------------------------ the writing thread

    def _write_batches(self) -> None:
        engine = connect(self._path, writes=True)
        last = False
        while not last:
            batch, last = self._next_batch()
            try:
                if not self.healthy:
                    self._repair(engine)
                self._commit(engine, batch)
            except (DBAPIError, sqlite3.Error, StorageError) as failed:
                self._fail(engine, batch, failed)
            del batch  # what is to be done holds what it is about, and nothing may come for hours
        engine.dispose()

    def _next_batch(self) -> tuple[list[_Job[Any]], bool]:
        """What is queued, and whether that was the last. Waits for the first; while the catalog is not healthy, no
        longer than until it is time to try to repair it."""
        batch: list[_Job[Any]] = []
        try:
            job = self._jobs.get(timeout=None if self.healthy else RETRY_SECONDS)
            while job is not None and len(batch) < MAX_BATCH - 1:
                batch.append(job)
                job = self._jobs.get_nowait()
        except queue.Empty:
            return batch, False
        if job is not None:
            batch.append(job)
        return batch, job is None

    def _commit(self, engine: Engine, batch: list[_Job[Any]]) -> None:
        with engine.begin() as connection:
            outcomes = [_attempt(connection, job.work) for job in batch]
        for job, (result, error) in zip(batch, outcomes, strict=True):
            job.settle(result, error)

    def _fail(self, engine: Engine, batch: list[_Job[Any]], failed: Exception) -> None:
        """Tell who waits. A full disk rolled back cleanly; after anything else the connection is not trusted, and
        nothing is written before a repair."""
        logger.error("the catalog failed: %s", failed.orig if isinstance(failed, DBAPIError) else failed)
        error = as_storage_error(failed)
        if not isinstance(error, NoSpace):
            self.healthy = False
            engine.dispose()
        for waiting in batch:
            waiting.settle(None, error)

    def _repair(self, engine: Engine) -> None:
        """Go on with a new connection, once a checkpoint succeeds: it also drops what a failed sync left in the log,
        of which a crash would have made a commit. Raises what the driver raises, or WriteFailed."""
        connection = engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (busy, *_) = cursor.fetchone() or (1,)
        finally:
            connection.close()
        if busy:
            raise WriteFailed
        self.healthy = True
        logger.info("the catalog can be written again")


def _attempt(connection: Connection, work: Work[T]) -> tuple[T | None, BaseException | None]:
    """Run one piece of work in a savepoint: what it refuses does not undo its neighbours. Like a future, it hands any
    exception on to whoever waits for the result."""
    connection.exec_driver_sql("SAVEPOINT job")
    try:
        result, refused = work(connection), None
    except Exception as error:
        if isinstance(error, DBAPIError) and not isinstance(error, _OF_ONE_JOB):
            raise
        connection.exec_driver_sql("ROLLBACK TO job")
        result, refused = None, error
    connection.exec_driver_sql("RELEASE job")
    return result, refused
