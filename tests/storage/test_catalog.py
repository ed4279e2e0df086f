"""The catalog: settings that durability hangs on, batches, and migrations that make what the code expects."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection

from storage.catalog import Catalog
from storage.connecting import migrate
from storage.errors import NotFound, WriteFailed
from storage.schema import deleting, metadata


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    path = tmp_path / "catalog.db"
    migrate(path)
    catalog = Catalog(path)
    catalog.open()
    yield catalog
    await asyncio.to_thread(catalog.close)


def insert(key: str) -> sa.Insert:
    return sa.insert(deleting).values(object_id=key)


async def keys(catalog: Catalog) -> list[str]:
    return await catalog.read(lambda connection: sorted(connection.execute(sa.select(deleting)).scalars()))


async def test_every_commit_is_synced(catalog: Catalog) -> None:
    def pragmas(connection: Connection) -> tuple[object, object]:
        return (
            connection.exec_driver_sql("PRAGMA journal_mode").scalar_one(),
            connection.exec_driver_sql("PRAGMA synchronous").scalar_one(),
        )

    assert await catalog.write(pragmas) == ("wal", 2)
    assert await catalog.read(pragmas) == ("wal", 2)


async def test_one_that_is_refused_does_not_undo_its_neighbours(catalog: Catalog) -> None:
    def refuse(connection: Connection) -> None:
        connection.execute(insert("refused"))
        raise NotFound("it")

    results = await asyncio.gather(
        catalog.write(lambda connection: connection.execute(insert("before")).rowcount),
        catalog.write(refuse),
        catalog.write(lambda connection: connection.execute(insert("after")).rowcount),
        return_exceptions=True,
    )
    assert isinstance(results[1], NotFound)
    assert await keys(catalog) == ["after", "before"]


async def test_read_then_update_loses_nothing_beside_another_process(catalog: Catalog, tmp_path: Path) -> None:
    """The driver's default mode lost most of these: another connection counts at the same time."""

    def count(connection: Connection) -> None:
        before = connection.execute(sa.select(sa.func.count()).select_from(deleting)).scalar_one()
        connection.execute(insert(f"{before:04}"))

    def count_beside() -> None:
        other = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None, timeout=30)
        for _ in range(100):
            other.execute("BEGIN IMMEDIATE")
            (before,) = other.execute("SELECT count(*) FROM deleting").fetchone()
            other.execute("INSERT INTO deleting VALUES (?)", (f"{before:04}",))
            other.execute("COMMIT")
        other.close()

    beside = asyncio.create_task(asyncio.to_thread(count_beside))
    for _ in range(100):
        await catalog.write(count)
    await beside
    assert await keys(catalog) == [f"{number:04}" for number in range(200)]


def test_the_migrations_make_what_the_code_expects(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    migrate(path)
    migrate(path)
    engine = sa.create_engine(sa.engine.URL.create("sqlite", database=str(path)))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_a_catalog_that_failed_is_repaired_and_goes_on(catalog: Catalog) -> None:
    await catalog.write(lambda connection: connection.execute(insert("before")).rowcount)
    with pytest.raises(WriteFailed):
        await catalog.write(lambda connection: connection.exec_driver_sql("SELECT * FROM nowhere").rowcount)
    health = [catalog.healthy]
    await catalog.write(lambda connection: connection.execute(insert("after")).rowcount)
    assert [*health, catalog.healthy] == [False, True]
    assert await keys(catalog) == ["after", "before"]


async def test_a_long_search_holds_up_no_look_up(catalog: Catalog) -> None:
    going_on, goes_on = threading.Event(), threading.Event()

    def long_search(_: Connection) -> bool:
        going_on.set()
        return goes_on.wait(30)

    search = asyncio.create_task(catalog.search(long_search))
    await asyncio.to_thread(going_on.wait)
    assert await keys(catalog) == []
    assert not search.done()
    goes_on.set()
    assert await search


async def test_a_statement_that_is_wrong_fails_alone(catalog: Catalog) -> None:
    await catalog.write(lambda connection: connection.execute(insert("twice")).rowcount)
    results = await asyncio.gather(
        catalog.write(lambda connection: connection.execute(insert("before")).rowcount),
        catalog.write(lambda connection: connection.execute(insert("twice")).rowcount),
        catalog.write(lambda connection: connection.execute(insert("after")).rowcount),
        return_exceptions=True,
    )
    assert isinstance(results[1], sa.exc.IntegrityError)
    assert catalog.healthy
    assert await keys(catalog) == ["after", "before", "twice"]
