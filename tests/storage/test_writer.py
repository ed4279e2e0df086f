"""A writer on a disk that fails, or that takes its time."""

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from storage.errors import WriteFailed, WrongDigest
from storage.local import LocalStore
from tests.storage.conformance.asking import ANN, LEAF, ask, begin_and_leave, complete, is_there, made
from transfer.protocol.digest import digest_bytes
from transfer.protocol.leaves import Buffer, leaves_of


async def test_a_disk_that_fails_altogether_while_publishing_is_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking the seal off again fails as well."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    async with LocalStore(tmp_path / "data", min_free_bytes=0) as store:
        async with store.begin(ask(size=4)) as writer:
            await writer.write(0, [b"abcd"])
            with monkeypatch.context() as failing:
                failing.setattr(os, "fchmod", fail)
                with pytest.raises(WriteFailed):
                    await writer.finish(digest_bytes(b"abcd"))
        (left,) = await store.unfinished(ANN)
        assert left.offset == 4
        await complete(store, left.upload_id, ask(size=4), b"abcd")
        assert await is_there(store, "a.bin", b"abcd")


@pytest.mark.parametrize("read", ["before the write", "and hashed before it ends", "after the write"])
async def test_bytes_that_are_overwritten_while_they_are_hashed_are_hashed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    """Several connections can send the same bytes, and need not send the same. What was read is not called damaged."""
    before, other = made(3 * LEAF), made(LEAF, seed=1)
    after = before[:LEAF] + other + before[2 * LEAF :]
    pwritev, pread = os.pwritev, os.pread
    hashing, hashed, on_disk, written = (threading.Event() for _ in range(4))

    def write_late(descriptor: int, buffers: Sequence[Buffer], offset: int) -> int:
        (hashed if read == "and hashed before it ends" else hashing).wait(10)
        size = pwritev(descriptor, buffers, offset)
        on_disk.set()
        return size

    def read_late(descriptor: int, size: int, offset: int) -> bytes:
        if offset != LEAF or hashing.is_set():
            if offset == 2 * LEAF:
                hashed.set()
            return pread(descriptor, size, offset)
        if read == "after the write":
            hashing.set()
            on_disk.wait(10)
        piece = pread(descriptor, size, offset)
        hashing.set()
        if read == "before the write":
            written.wait(10)
        return piece

    async with LocalStore(tmp_path / "data", min_free_bytes=0) as store:
        left = await begin_and_leave(store, ask(size=len(before)), before)
        async with store.resume(left.upload_id, ANN) as writer:
            with monkeypatch.context() as slow:
                slow.setattr(os, "pwritev", write_late)
                slow.setattr(os, "pread", read_late)
                await writer.write(LEAF, [other])
                written.set()
                with pytest.raises(WrongDigest):
                    await writer.finish(digest_bytes(before))
            assert writer.leaves == b"".join(leaves_of([after], LEAF))
            await writer.finish(digest_bytes(after))
        assert await is_there(store, "a.bin", after)
