"""Small files in batches on a local disk: what they leave behind."""

import asyncio
import weakref
from pathlib import Path

from storage.local import LocalStore
from tests.storage.conformance.asking import ask, found
from transfer.protocol.digest import digest_bytes


async def test_nothing_is_kept_in_memory_of_what_is_stored(tmp_path: Path) -> None:
    """A batch may have 128 MiB, and the next one may not come for hours."""
    content = memoryview(b"abcd")
    kept = weakref.ref(content)
    async with LocalStore(tmp_path / "data", min_free_bytes=0) as store, asyncio.timeout(10):
        await store.put(ask(size=4), content, digest_bytes(content))
        del content
        while kept() is not None:
            await found(store, "a.bin")
