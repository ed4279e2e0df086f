"""What the reference store does beyond the suite: losing for certain what others may lose."""

import pytest

from storage.errors import Fenced
from storage.memory import MemoryStore
from storage.store import utc_now
from tests.storage.conformance.asking import ANN, ask, begin_and_leave, hold, is_there, spans
from transfer.protocol.digest import digest_bytes


async def test_leaving_loses_what_was_not_synced() -> None:
    async with MemoryStore() as store:
        async with store.begin(ask(size=6)) as writer:
            await writer.write(0, [b"ab"])
            await writer.sync()
            await writer.write(2, [b"cd"])
            await writer.write(0, [b"XX"])
        async with store.resume(writer.upload_id, ANN) as again:
            assert again.received == again.durable == spans((0, 2))
            await again.write(2, [b"efgh"])
            await again.finish(digest_bytes(b"abefgh"))
        assert await is_there(store, "a.bin", b"abefgh")


async def test_a_power_cut_fences_every_writer_and_leaves_what_was_synced() -> None:
    async with MemoryStore() as store:
        first, first_task = await hold(store.begin(ask("a", size=4)))
        await first.write(0, [b"ab"])
        await first.sync()
        await first.write(2, [b"cd"])
        second, second_task = await hold(store.begin(ask("b", size=4)))
        store.lose_unsynced()
        for writer, task in ((first, first_task), (second, second_task)):
            with pytest.raises(Fenced):
                await writer.sync()
            with pytest.raises(Fenced):
                await task
        assert {left.upload_id: left.offset for left in await store.unfinished(ANN)} == {
            first.upload_id: 2,
            second.upload_id: 0,
        }
        async with store.resume(first.upload_id, ANN) as again:
            assert again.received == again.durable == spans((0, 2))


async def test_a_writer_is_of_no_use_after_it_was_left() -> None:
    async with MemoryStore() as store:
        left = await begin_and_leave(store, ask(size=4), b"ab")
        with pytest.raises(Fenced):
            await left.write(2, [b"cd"])


def test_times_are_in_utc() -> None:
    offset = utc_now().utcoffset()
    assert offset is not None
    assert not offset
