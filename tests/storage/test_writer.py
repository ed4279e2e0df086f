"""A writer on a disk that fails."""

import errno
import os
from pathlib import Path

import pytest

from storage.errors import WriteFailed
from storage.local import LocalStore
from tests.storage.conformance.asking import ANN, ask, complete, is_there
from transfer.protocol.digest import digest_bytes


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
