"""What a writer leaves behind when it is cancelled: nothing that the catalog has recorded is cut off."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storage.catalog import Work
from storage.local import LocalStore
from tests.storage.conformance.asking import ANN, ask, complete, found, made, read

CONTENT = made(100_000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalStore]:
    async with LocalStore(tmp_path / "data", min_free_bytes=0) as store:
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
