"""Connecting to a catalog: who writes, who looks on, and who is alone with it.

What is committed is durable: `synchronous=FULL`, asserted on every connection that may write. `isolation_level = None`
with `BEGIN IMMEDIATE` is SQLAlchemy's own recipe for SQLite; the driver's default mode loses read-then-update races
between processes.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from pydantic_core import from_json, to_json
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DBAPIError

from storage.errors import NoSpace, StorageError, StoreRefused, WriteFailed
from storage.schema import SCHEMA


def connect(path: Path, *, writes: bool, journal: Literal["WAL", "DELETE"] = "WAL") -> Engine:
    """For the threads of a server; others have a function of their own below."""
    engine = sa.create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=sa.pool.SingletonThreadPool,
        json_serializer=_json_of,
        json_deserializer=from_json,
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


def _json_of(value: object) -> str:
    return to_json(value).decode()


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
    return connect(path, writes=True, journal="DELETE")


def open_writing(path: Path) -> Engine:
    """For a process that writes a catalog, also beside a server that does: one waits for the other's commit, and what
    was committed is durable."""
    return connect(path, writes=True)


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
        with connected(connect(path, writes=True)) as connection:
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
