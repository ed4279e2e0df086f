"""What a writer leaves behind when it is cancelled: nothing that the catalog has recorded is cut off."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storage.catalog import Work
from storage.events import Cancelled, Created, Deleted, Event, Progressed, Renamed
from storage.local import LocalStore
from tests.storage.conformance.asking import ANN, ask, begin_and_leave, complete, found, made, put, read
from transfer.protocol.names import Name

CONTENT = made(100_000)


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
async def store(tmp_path: Path, told: list[Event]) -> AsyncIterator[LocalStore]:
    async with LocalStore(tmp_path / "data", min_free_bytes=0, tell=told.append) as store:
        yield store


async def test_a_durable_point_that_is_cancelled_while_it_is_recorded_counts(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be taken back: an object that is cut to what its writer knew would be shorter than its row."""
    queued = asyncio.Event()
    write = store._catalog.write

    async def noticed(work: Work[Any]) -> Any:
        queued.set()
        return await write(work)

    request = ask("a.bin", len(CONTENT))
    with closing(sqlite3.connect(tmp_path / "data" / "catalog.db", isolation_level=None)) as elsewhere:
        async with store.begin(request) as writer:
            await writer.write(0, [CONTENT[:60_000]])
            elsewhere.execute("BEGIN IMMEDIATE")  # commits wait for this
            monkeypatch.setattr(store._catalog, "write", noticed)
            syncing = asyncio.create_task(writer.sync())
            await queued.wait()
            syncing.cancel()
            elsewhere.execute("ROLLBACK")
    async with store.resume(writer.upload_id, ANN) as again:
        assert again.durable.furthest == 60_000
    await complete(store, writer.upload_id, request, CONTENT)
    file = await found(store, "a.bin")
    assert file is not None
    assert await read(store, file) == CONTENT


async def _begin(store: LocalStore, _: str) -> None:
    async with store.begin(ask("new", 4)):
        pass


async def _resume(store: LocalStore, upload_id: str) -> None:
    async with store.resume(upload_id, ANN):
        pass


@pytest.mark.parametrize(
    ("change", "nth", "event"),
    [
        (_begin, 1, Created),
        (_resume, 2, Progressed),
        (lambda store, upload_id: store.cancel(upload_id, ANN), 1, Cancelled),
        (lambda store, _: store.rename(Name("a"), Name("b")), 1, Renamed),
        (lambda store, _: store.delete(Name("a")), 1, Deleted),
    ],
    ids=["begin", "resume", "cancel", "rename", "delete"],
)
async def test_a_change_that_is_cancelled_while_it_is_committed_is_told(
    store: LocalStore,
    told: list[Event],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[LocalStore, str], Coroutine[Any, Any, object]],
    nth: int,
    event: type[Event],
) -> None:
    """It cannot be taken back. `nth` is the change of the catalog that counts."""
    await put(store, "a", b"content")
    left = await begin_and_leave(store, ask("left", 4), b"ab")
    told.clear()
    queued, write, writes = asyncio.Event(), store._catalog.write, 0

    async def noticed(work: Work[Any]) -> Any:
        nonlocal writes
        writes += 1
        if writes == nth:
            elsewhere.execute("BEGIN IMMEDIATE")  # commits wait for this
            queued.set()
        return await write(work)

    with closing(sqlite3.connect(tmp_path / "data" / "catalog.db", isolation_level=None)) as elsewhere:
        monkeypatch.setattr(store._catalog, "write", noticed)
        changing = asyncio.create_task(change(store, left.upload_id))
        await queued.wait()
        changing.cancel()
        await asyncio.sleep(0)
        elsewhere.execute("ROLLBACK")
        await asyncio.wait([changing])
    assert changing.cancelled()
    assert [type(one) for one in told] == [event]
