"""Promise 1: what `Writer.sync` returned is there afterwards, and nothing wrong is."""

import asyncio

import pytest

from storage.errors import (
    TooLong,
)
from storage.store import Store
from tests.storage.conformance.asking import (
    ANN,
    LEAF,
    Kept,
    ask,
    begin_and_leave,
    complete,
    is_there,
    made,
    read,
    spans,
)
from transfer.protocol.digest import digest_bytes
from transfer.protocol.leaves import STREAM_LEAF_SIZE, leaves_of, split_leaves
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range


async def test_a_new_upload_has_nothing(store: Store) -> None:
    async with store.begin(ask(size=10)) as writer:
        assert (writer.received, writer.durable, writer.leaves) == (spans(), spans(), b"")
        assert (writer.name, writer.size, writer.leaf_size) == (Name.parse("a.bin"), 10, LEAF)
        assert writer.existing is None
        assert await writer.sync() == spans()


async def test_what_was_written_is_received_and_what_was_synced_is_durable(store: Store) -> None:
    async with store.begin(ask(size=100)) as writer:
        await writer.write(0, [made(30)])
        assert (writer.received, writer.durable) == (spans((0, 30)), spans())
        assert await writer.sync() == spans((0, 30))
        await writer.write(30, [made(10)])
        assert (writer.received, writer.durable) == (spans((0, 40)), spans((0, 30)))


async def test_synced_bytes_are_there_after_leaving(store: Store) -> None:
    content = made(LEAF + 500)
    left = await begin_and_leave(store, ask(size=2 * LEAF), content)
    async with store.resume(left.upload_id, ANN, ask(size=2 * LEAF)) as writer:
        assert writer.durable == writer.received == spans((0, len(content)))
        await writer.write(len(content), [b"." * (LEAF - 500)])
        published = await writer.finish(digest_bytes(content + b"." * (LEAF - 500)))
    assert await read(store, published.file) == content + b"." * (LEAF - 500)


async def test_synced_bytes_are_there_after_reopening(kept: Kept) -> None:
    content = made(LEAF + 500)
    left = await begin_and_leave(kept.store, ask(size=len(content)), content[:-100])
    store = await kept.reopen()
    async with store.resume(left.upload_id, ANN, ask(size=len(content))) as writer:
        assert writer.durable == spans((0, len(content) - 100))
    published = await complete(store, left.upload_id, ask(size=len(content)), content)
    assert await read(store, published.file) == content


async def test_synced_bytes_with_holes_are_there_after_reopening(kept: Kept) -> None:
    content, size = made(4 * LEAF + 9), 4 * LEAF + 9
    pieces = [Range(2 * LEAF, 3 * LEAF), Range(4 * LEAF, size), Range(100, 200)]
    async with kept.store.begin(ask(size=size)) as writer:
        for piece in pieces:
            await writer.write(piece.start, [content[piece.start : piece.end]])
        assert await writer.sync() == spans(*pieces)
    store = await kept.reopen()
    async with store.resume(writer.upload_id, ANN, ask(size=size)) as again:
        assert again.durable == again.received == spans(*pieces)
        assert again.durable.leading == 0
    published = await complete(store, writer.upload_id, ask(size=size), content)
    assert await read(store, published.file) == content


@pytest.mark.parametrize("reopened", [False, True])
async def test_bytes_that_were_not_synced_are_gone_or_right(kept: Kept, reopened: bool) -> None:
    content = made(2 * LEAF)
    async with kept.store.begin(ask(size=2 * LEAF)) as writer:
        await writer.write(0, [content[: LEAF + 5]])
        await writer.sync()
        await writer.write(LEAF + 5, [content[LEAF + 5 : LEAF + 90]])
    store = await kept.reopen() if reopened else kept.store
    async with store.resume(writer.upload_id, ANN, ask(size=2 * LEAF)) as again:
        assert again.durable.covers(0, LEAF + 5)
        assert again.received == again.durable
        assert spans((0, LEAF + 90)).union(again.durable) == spans((0, LEAF + 90))
    published = await complete(store, writer.upload_id, ask(size=2 * LEAF), content)
    assert await read(store, published.file) == content


async def test_a_sync_beside_writes_covers_what_was_written_before_it(store: Store) -> None:
    content = made(64 * 1000)
    async with store.begin(ask(size=len(content))) as writer:
        for start in range(0, len(content), 1000):
            durable, _ = await asyncio.gather(writer.sync(), writer.write(start, [content[start : start + 1000]]))
            assert durable.leading in (start, start + 1000)
        await asyncio.gather(writer.sync(), writer.sync())
        assert writer.durable == spans((0, len(content)))
        await writer.finish(digest_bytes(content))
    assert await is_there(store, "a.bin", content)


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("cut", [0, 700, LEAF, LEAF + 1, 2 * LEAF + 800])
async def test_a_smaller_size_cuts_for_good(kept: Kept, cut: int, reopened: bool) -> None:
    content, size = made(3 * LEAF), 3 * LEAF
    left = await begin_and_leave(kept.store, ask(size=size), content)
    async with kept.store.resume(left.upload_id, ANN, ask(size=cut)) as writer:
        assert (writer.size, writer.leaf_size) == (cut, LEAF)
        assert writer.received == writer.durable == spans((0, cut))
    store = await kept.reopen() if reopened else kept.store
    async with store.resume(left.upload_id, ANN, ask(size=size)) as writer:
        assert writer.received == writer.durable == spans((0, cut))
    other = content[:cut] + made(size - cut, seed=1)
    published = await complete(store, left.upload_id, ask(size=size), other)
    assert await read(store, published.file) == other


async def test_cutting_keeps_holes_and_forgets_what_is_above(store: Store) -> None:
    async with store.begin(ask(size=4 * LEAF)) as writer:
        await writer.write(0, [made(10)])
        await writer.write(LEAF, [made(10)])
        await writer.write(3 * LEAF, [made(LEAF)])
        await writer.sync()
    async with store.resume(writer.upload_id, ANN, ask(size=2 * LEAF)) as writer:
        assert writer.durable == spans((0, 10), (LEAF, LEAF + 10))


async def test_a_larger_size_keeps_every_byte(kept: Kept) -> None:
    content = made(2 * LEAF + 300)
    left = await begin_and_leave(kept.store, ask(size=LEAF + 300), content[: LEAF + 300])
    async with kept.store.resume(left.upload_id, ANN, ask(size=2 * LEAF + 300)) as writer:
        assert writer.durable == spans((0, LEAF + 300))
    store = await kept.reopen()
    published = await complete(store, left.upload_id, ask(size=2 * LEAF + 300), content)
    assert await read(store, published.file) == content


async def test_the_leaf_size_stays_whatever_the_size_becomes(store: Store) -> None:
    left = await begin_and_leave(store, ask(size=None), made(10))
    assert left.leaf_size == STREAM_LEAF_SIZE
    async with store.resume(left.upload_id, ANN, ask(size=20)) as writer:
        assert (writer.size, writer.leaf_size) == (20, STREAM_LEAF_SIZE)
    async with store.resume(left.upload_id, ANN, ask(size=None)) as writer:
        assert (writer.size, writer.leaf_size, writer.durable) == (None, STREAM_LEAF_SIZE, spans((0, 10)))


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize(
    "span", [Range(0, LEAF), Range(LEAF, 2 * LEAF), Range(LEAF, 2 * LEAF + 50), Range(2 * LEAF, 2 * LEAF + 50)]
)
async def test_what_is_forgotten_is_missing_at_once_and_nothing_else(kept: Kept, span: Range, reopened: bool) -> None:
    content, size = made(2 * LEAF + 50), 2 * LEAF + 50
    left = await begin_and_leave(kept.store, ask(size=size), content)
    async with kept.store.resume(left.upload_id, ANN, ask(size=size)) as writer:
        await writer.forget(span)
        assert writer.received == writer.durable == spans((0, size)).remove(*span)
    store = await kept.reopen() if reopened else kept.store
    async with store.resume(left.upload_id, ANN, ask(size=size)) as writer:
        assert writer.durable.holes(size) == (span,)
    other = content[: span.start] + made(span.size, seed=1) + content[span.end :]
    published = await complete(store, left.upload_id, ask(size=size), other)
    assert await read(store, published.file) == other


async def test_bytes_that_were_forgotten_are_written_anew_in_the_same_breath(store: Store) -> None:
    content, other = made(3 * LEAF), made(LEAF, seed=1)
    async with store.begin(ask(size=3 * LEAF)) as writer:
        await writer.write(0, [content])
        await writer.forget(Range(LEAF, 2 * LEAF))
        assert writer.received == spans((0, LEAF), (2 * LEAF, 3 * LEAF))
        await writer.write(LEAF, [other])
        changed = content[:LEAF] + other + content[2 * LEAF :]
        assert split_leaves(writer.leaves) == leaves_of([changed], LEAF)
        await writer.finish(digest_bytes(changed))
    assert await is_there(store, "a.bin", changed)


async def test_a_write_beyond_the_size_writes_nothing(store: Store) -> None:
    async with store.begin(ask(size=10)) as writer:
        await writer.write(0, [b"01234"])
        with pytest.raises(TooLong) as raised:
            await writer.write(5, [b"567", b"89", b"a"])
        assert (raised.value.size, raised.value.end) == (10, 11)
        assert writer.received == spans((0, 5))
        await writer.write(5, [b"56789"])
        await writer.finish(digest_bytes(b"0123456789"))


async def test_chunks_of_every_kind_are_written_one_after_the_other(store: Store) -> None:
    whole = b"..middle.."
    async with store.begin(ask(size=20)) as writer:
        await writer.write(0, [])
        await writer.write(0, [b""])
        assert writer.received == spans()
        await writer.write(0, [b"bytes,", bytearray(b"array,"), b"", memoryview(whole)[2:-2], b"!", b"."])
        assert writer.received == spans((0, 20))
        await writer.finish(digest_bytes(b"bytes,array,middle!."))


async def test_a_buffer_belongs_to_the_caller_again_once_it_is_written(store: Store) -> None:
    buffer = bytearray(b"first")
    async with store.begin(ask(size=10)) as writer:
        await writer.write(0, [buffer])
        buffer[:] = b"other"
        await writer.write(5, [buffer])
        await writer.finish(digest_bytes(b"firstother"))
    assert await is_there(store, "a.bin", b"firstother")


async def test_forgetting_one_leaf_keeps_what_was_durable_before_the_others(kept: Kept) -> None:
    """Both the durable bytes and those received behind the leaf end at the same place of a leaf."""
    request, content = ask(size=4 * LEAF), made(905)
    async with kept.store.begin(request) as writer:
        await writer.write(0, [content])
        await writer.sync()
        await writer.write(LEAF, [made(LEAF + 905, seed=1)])
        await writer.forget(Range(LEAF, 2 * LEAF))
    store = await kept.reopen()
    async with store.resume(writer.upload_id, ANN, request) as again:
        assert again.durable == spans((0, 905))
