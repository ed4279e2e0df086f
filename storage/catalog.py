"""The catalog: what exists, on SQLite through SQLAlchemy Core.

Writes run in one thread that takes what is queued, runs each piece of work in a savepoint of its own and commits
them together: one sync serves all. Reads run in another thread, and what may take long in a third. What a `write`
returned is durable (WAL with `synchronous=FULL`, asserted on every connection).

`isolation_level = None` with `BEGIN IMMEDIATE` is SQLAlchemy's own recipe for SQLite; the driver's default mode loses
read-then-update races between processes.
"""

import asyncio
import contextlib
import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Dialect, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.types import TypeDecorator

from storage.errors import NoSpace, StorageError, StoreRefused, WriteFailed

T = TypeVar("T")
Work = Callable[[Connection], T]
logger = logging.getLogger("towline.catalog")

MAX_BATCH: Final = 64
RETRY_SECONDS: Final = 1.0
SCHEMA: Final = "0002"
"""The newest migration."""
_JSON: Final = json.JSONDecoder()
_OF_ONE_JOB: Final = (DataError, IntegrityError, ProgrammingError)
"""What the driver raises about a statement, not about the disk."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEVER: Final = -(1 << 62)
"""In microseconds since 1970, before every time: what has none comes first, and can be compared."""


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970: exact, and in order."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[int | None], datetime | None]:
        return _moment_at  # itself, with nothing around it: there are two in every row of a listing


def _moment_at(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(0, 0, microseconds)


metadata = sa.MetaData()

facts = sa.Table(
    "facts",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    comment="store_id; alive: when this store was last known to be open, in microseconds since 1970",
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("upload_id", sa.Text, primary_key=True),
    sa.Column("object_id", sa.Text, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger),
    sa.Column("if_exists", sa.Text, nullable=False),
    sa.Column("digest_algorithm", sa.Text, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("modified", Moment),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("leaf_size", sa.BigInteger, nullable=False),
    sa.Column("durable", sa.JSON, nullable=False, comment="ranges as [[start, end], …]"),
    sa.Column("tail_length", sa.BigInteger, nullable=False),
    sa.Column("tail_checksum", sa.LargeBinary, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("lease", sa.Text, nullable=False),
    sa.Column("failed", sa.Boolean, nullable=False, comment="the object was shorter than its durable ranges"),
    sa.Column("created", Moment, nullable=False),
    sa.Column("active", Moment, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, comment="whose the file becomes"),
    sa.Column("via", sa.Text, comment="the request link that it comes through"),
    sa.Column("quota", sa.BigInteger),
    sa.Column("via_quota", sa.BigInteger),
    sa.Column("within", sa.Text, nullable=False, comment="what may be compared and replaced begins so"),
    sa.Column("may_compare", sa.Boolean, nullable=False),
    sa.Column("may_replace", sa.Boolean, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False, comment="bytes that count against quotas"),
    sa.Index("uploads_by_owner", "owner", "name", "active"),
    sa.Index("uploads_by_via", "via"),
)

leaves = sa.Table(
    "leaves",
    metadata,
    sa.Column("object_id", sa.Text, primary_key=True),
    sa.Column("segment", sa.BigInteger, primary_key=True),
    sa.Column("checksums", sa.LargeBinary, nullable=False),
    comment="checksums of full leaves, 64 to a row, zeros for absent ones",
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("file_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("name_key", sa.Text, nullable=False, unique=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("modified", Moment),
    sa.Column("created", Moment, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("uploader", sa.Text, nullable=False),
    sa.Column("via", sa.Text, comment="the request link that it came through"),
    sa.Column("modified_or_never", sa.BigInteger, sa.Computed(f"coalesce(modified, {NEVER})", persisted=False)),
    sa.Index("files_by_name", "name", "name_key"),
    sa.Index("files_by_size", "size", "name"),
    sa.Index("files_by_created", "created", "name"),
    sa.Index("files_by_modified", "modified_or_never", "name"),
)

completed = sa.Table(
    "completed",
    metadata,
    sa.Column("upload_id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("file_id", sa.Text, nullable=False),
    sa.Column("unchanged", sa.Boolean, nullable=False),
    sa.Column("wanted", sa.Text, comment="the name that it was to have"),
    sa.Column("at", Moment, nullable=False, index=True),
)

deleting = sa.Table(
    "deleting",
    metadata,
    sa.Column("object_id", sa.Text, primary_key=True),
    comment="objects whose rows are gone and whose files are still to be unlinked",
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True, comment="subject or via"),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    comment="sums over files and uploads, which triggers on them keep",
)

grants = sa.Table(
    "grants",
    metadata,
    sa.Column("grant_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("expires", Moment),
    sa.Column("revoked", Moment),
    sa.Column("parent", sa.Text),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("quota", sa.BigInteger),
    sa.Column("account_quota", sa.BigInteger),
    sa.Column("file_id", sa.Text),
    sa.Column("downloads", sa.BigInteger),
    sa.Column("begun", sa.BigInteger, nullable=False),
    sa.Column("resumed_bytes", sa.BigInteger, nullable=False),
    sa.Column("password_hash", sa.Text),
    sa.Index("grants_by_kind", "kind", "subject", "created"),
)


def _read_json(text: str) -> object:
    """What a column of JSON holds: it was written here, with no space around, for which `json.loads` looks first."""
    value, _ = _JSON.raw_decode(text)
    return value


def _connect(path: Path, *, writes: bool, journal: Literal["WAL", "DELETE"] = "WAL") -> Engine:
    engine = sa.create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=sa.pool.SingletonThreadPool,
        json_deserializer=_read_json,
    )

    @event.listens_for(engine, "connect")
    def prepare(driver: DBAPIConnection, _record: object) -> None:
        driver.isolation_level = None
        cursor = driver.cursor()
        for pragma in (f"journal_mode={journal}", "synchronous=FULL", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.execute("PRAGMA synchronous")
        if cursor.fetchone() != (2,):
            raise WriteFailed
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextlib.contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A transaction on an engine that is used for nothing else: committed, and nothing stays open."""
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def open_alone(path: Path) -> Engine:
    """For a catalog that nobody else uses: it is one file, with no log beside it, whenever nothing is being written."""
    return _connect(path, writes=True, journal="DELETE")


def open_writing(path: Path) -> Engine:
    """For a process that writes a catalog, also beside a server that does: one waits for the other's commit, and what
    was committed is durable."""
    return _connect(path, writes=True)


def open_beside(path: Path, *, alone: bool = False) -> Engine:
    """For a process that looks at a catalog while a server may be writing it: reads snapshots, and writes nothing.
    Who is `alone` with it undoes what a crash left half written, as SQLite does before it reads.
    What is run on it raises StoreRefused."""
    mode = "rw" if alone else "ro"
    address = URL.create("sqlite", database=path.absolute().as_uri(), query={"mode": mode, "uri": "true"})
    engine = sa.create_engine(address, poolclass=sa.pool.SingletonThreadPool)

    @event.listens_for(engine, "connect")
    def prepare(driver: DBAPIConnection, _record: object) -> None:
        driver.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")  # several reads, one snapshot

    @event.listens_for(engine, "handle_error")
    def refuse(context: ExceptionContext) -> None:
        failed = context.original_exception
        advice = "start the server once" if _is_half_written(failed) else "run towline recover"
        raise StoreRefused(f"the catalog of {path.parent} cannot be read ({failed}): {advice}") from failed

    return engine


def _is_half_written(failed: BaseException) -> bool:
    """Whether nothing is damaged: a crash came, and who may only read may not undo what it cut short."""
    return getattr(failed, "sqlite_errorname", "").startswith("SQLITE_READONLY")


def migrate(path: Path) -> None:
    """Make the catalog at `path`, or bring it to the newest schema. Raises StoreRefused, NoSpace, WriteFailed."""
    try:
        with connected(_connect(path, writes=True)) as connection:
            if _schema_of(connection) != SCHEMA:
                _upgrade(connection)
    except DBAPIError as failed:
        raise as_storage_error(failed) from failed


def _schema_of(connection: Connection) -> str | None:
    """Which migration a catalog has seen last; None before the first."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    schema: str = connection.execute(sa.select(sa.text("version_num FROM alembic_version"))).scalar_one()
    return schema


def _upgrade(connection: Connection) -> None:
    from alembic import command  # 9 MiB, and most starts find nothing to do
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


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
        self._engine = _connect(path, writes=False)

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
        engine = _connect(self._path, writes=True)
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


def as_storage_error(failed: Exception) -> StorageError:
    """What a failure of the catalog's driver means to whoever asked."""
    if isinstance(failed, StorageError):
        return failed
    cause = failed.orig if isinstance(failed, DBAPIError) else failed
    if getattr(cause, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreRefused(f"the catalog is damaged ({cause}): stop the server and run towline recover")
    if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return NoSpace(0, 0)
    return WriteFailed()
