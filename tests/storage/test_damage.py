"""What the disk does not give back any more of an unfinished upload is a hole: it is sent again."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.errors import Incomplete
from storage.local import LocalStore
from tests.storage.conformance.asking import ANN, LEAF, ask, begin_and_leave, complete, is_there, made
from transfer.protocol.digest import digest_bytes
from transfer.protocol.ranges import Range

CONTENT = made(3 * LEAF + 17)
REQUEST = ask("a.bin", len(CONTENT))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalStore]:
    async with LocalStore(tmp_path / "data", min_free_bytes=0) as store:
        yield store


@pytest.fixture
async def upload_id(store: LocalStore) -> str:
    return (await begin_and_leave(store, REQUEST, CONTENT)).upload_id


def the_object(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "data" / "objects").glob("*/*")
    return path


@pytest.mark.parametrize("length", [0, 1, LEAF, 2 * LEAF + 5])
async def test_an_object_that_was_made_shorter_keeps_its_whole_leaves(
    store: LocalStore, upload_id: str, tmp_path: Path, length: int
) -> None:
    os.truncate(the_object(tmp_path), length)
    async with store.resume(upload_id, ANN, REQUEST) as writer:
        assert writer.durable.furthest == length // LEAF * LEAF
    await complete(store, upload_id, REQUEST, CONTENT)
    assert await is_there(store, "a.bin", CONTENT)


@pytest.mark.parametrize("bad", [0, LEAF, 2 * LEAF + 5, 3 * LEAF])
async def test_a_sector_that_cannot_be_read_is_sent_again(
    store: LocalStore, upload_id: str, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    pread = os.pread

    def with_bad_sector(descriptor: int, size: int, offset: int) -> bytes:
        if offset <= bad < offset + size:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", with_bad_sector)
    start = bad // LEAF * LEAF
    async with store.resume(upload_id, ANN, REQUEST) as writer:
        with pytest.raises(Incomplete) as refused:
            await writer.finish(digest_bytes(CONTENT))
    assert refused.value.holes == (Range(start, min(start + LEAF, len(CONTENT))),)
    monkeypatch.undo()  # what is written anew goes to another sector
    await complete(store, upload_id, REQUEST, CONTENT)
    assert await is_there(store, "a.bin", CONTENT)
