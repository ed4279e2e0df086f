"""What other users of the machine can read of a store: nothing."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.local import LocalStore
from tests.storage.conformance.asking import put

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def readable_by_others(data: Path) -> list[str]:
    """Files that have a mode for somebody else."""
    return [path.name for path in data.rglob("*") if path.is_file() and path.stat().st_mode & OTHERS]


@pytest.fixture(autouse=True)
def _open_handed() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


async def test_the_folder_is_the_servers_own(tmp_path: Path) -> None:
    async with LocalStore(tmp_path / "data", min_free_bytes=0):
        assert not (tmp_path / "data").stat().st_mode & OTHERS


async def test_a_catalog_in_a_folder_that_others_look_into_is_not_theirs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    async with LocalStore(data, min_free_bytes=0) as store:
        await put(store, "a", b"content")
        assert (data / "catalog.db-wal").exists()
        assert set(readable_by_others(data)) <= {"store.json"}


async def test_a_catalog_that_was_theirs_is_so_no_longer(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with LocalStore(data, min_free_bytes=0) as store:
        await put(store, "a", b"content")
    (data / "catalog.db").chmod(0o644)
    async with LocalStore(data, min_free_bytes=0) as store:
        await put(store, "b", b"content")
        assert set(readable_by_others(data)) <= {"store.json"}
