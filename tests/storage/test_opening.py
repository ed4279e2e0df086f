"""A catalog that a crash left half written is not a damaged one."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from storage.errors import StoreRefused
from storage.local import LocalStore
from storage.opening import check_store
from storage.progress import Silent
from storage.salvage import salvage
from tests.storage.conformance.asking import names, put

HALF = """
import os, signal, sqlite3, sys
catalog = sqlite3.connect(sys.argv[1], isolation_level=None)
catalog.execute("PRAGMA journal_mode=DELETE")
catalog.execute("PRAGMA cache_size=1")  # so that pages go to the disk before the commit
catalog.execute("BEGIN IMMEDIATE")
catalog.execute("DELETE FROM files")
catalog.executemany("INSERT INTO facts VALUES (?, ?)", ((f"fact {n}", "x" * 2_000) for n in range(200)))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
async def half_written(tmp_path: Path) -> Path:
    """A store with one file, whose catalog has a transaction to be rolled back: a hot journal."""
    data = tmp_path / "data"
    async with LocalStore(data, min_free_bytes=0) as store:
        await put(store, "kept.txt", b"kept")
    writing = await asyncio.create_subprocess_exec(sys.executable, "-c", HALF, str(data / "catalog.db"))
    assert await writing.wait() == -signal.SIGKILL
    assert (data / "catalog.db-journal").stat().st_size > 0
    return data


async def test_a_start_undoes_it(half_written: Path) -> None:
    async with LocalStore(half_written, min_free_bytes=0) as store:
        assert await names(store) == ["kept.txt"]


async def test_who_may_only_read_says_what_to_do(half_written: Path) -> None:
    with pytest.raises(StoreRefused, match="start the server once"):
        check_store(half_written)


async def test_it_needs_no_recovering(half_written: Path) -> None:
    with pytest.raises(StoreRefused, match="nothing needs recovering"):
        salvage(half_written, "anonymous", Silent())
