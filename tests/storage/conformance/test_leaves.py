"""The checksums of leaves are those of the bytes that are there, and zeros for the rest."""

import pytest

from storage.errors import (
    WrongDigest,
)
from storage.store import Store
from tests.storage.conformance.asking import ANN, LEAF, SIZES, Kept, ask, begin_and_leave, made
from transfer.protocol.digest import digest_bytes
from transfer.protocol.leaves import ABSENT, STREAM_LEAF_SIZE, leaves_of, split_leaves
from transfer.protocol.ranges import Range


@pytest.mark.parametrize("size", SIZES)
async def test_a_whole_content_has_the_leaves_of_the_protocol(store: Store, size: int) -> None:
    content = made(size)
    async with store.begin(ask(size=size)) as writer:
        for start in range(0, size, 300_001):
            await writer.write(start, [content[start : start + 300_001]])
        assert split_leaves(writer.leaves) == leaves_of([content], LEAF)


async def test_a_leaf_that_is_not_wholly_there_is_zeros(store: Store) -> None:
    content = made(4 * LEAF)
    full = leaves_of([content], LEAF)
    async with store.begin(ask(size=5 * LEAF)) as writer:
        await writer.write(0, [content[: LEAF - 1]])
        assert split_leaves(writer.leaves) == [ABSENT]
        await writer.write(2 * LEAF, [content[2 * LEAF : 3 * LEAF + 7]])
        assert split_leaves(writer.leaves) == [ABSENT, ABSENT, full[2], ABSENT]
        await writer.write(LEAF - 1, [content[LEAF - 1 : LEAF + 5]])
        assert split_leaves(writer.leaves) == [full[0], ABSENT, full[2], ABSENT]


async def test_leaves_come_back_after_reopening(kept: Kept) -> None:
    content = made(3 * LEAF)
    full = leaves_of([content], LEAF)
    async with kept.store.begin(ask(size=3 * LEAF)) as writer:
        await writer.write(0, [content[:LEAF]])
        await writer.sync()
        await writer.write(LEAF, [content[LEAF : 2 * LEAF + 100]])
        await writer.sync()
    store = await kept.reopen()
    async with store.resume(writer.upload_id, ANN, ask(size=3 * LEAF)) as again:
        assert split_leaves(again.leaves) == [full[0], full[1], ABSENT]
        await again.write(2 * LEAF + 100, [content[2 * LEAF + 100 :]])
        assert split_leaves(again.leaves) == full


async def test_a_forgotten_leaf_is_zeros_also_after_reopening(kept: Kept) -> None:
    content = made(3 * LEAF)
    full = leaves_of([content], LEAF)
    left = await begin_and_leave(kept.store, ask(size=3 * LEAF), content)
    async with kept.store.resume(left.upload_id, ANN, ask(size=3 * LEAF)) as writer:
        await writer.forget(Range(LEAF, 2 * LEAF))
        assert split_leaves(writer.leaves) == [full[0], ABSENT, full[2]]
    store = await kept.reopen()
    async with store.resume(left.upload_id, ANN, ask(size=3 * LEAF)) as writer:
        assert split_leaves(writer.leaves) == [full[0], ABSENT, full[2]]


@pytest.mark.parametrize("size", [2 * LEAF, LEAF + 600, LEAF])
async def test_cutting_leaves_the_leaves_of_what_is_left(store: Store, size: int) -> None:
    content = made(3 * LEAF)
    left = await begin_and_leave(store, ask(size=3 * LEAF), content)
    async with store.resume(left.upload_id, ANN, ask(size=size)) as writer:
        assert split_leaves(writer.leaves) == leaves_of([content[:size]], LEAF)


async def test_the_tail_of_a_content_that_grew_is_no_leaf_any_more(store: Store) -> None:
    content = made(2 * LEAF)
    left = await begin_and_leave(store, ask(size=LEAF + 600), content[: LEAF + 600])
    async with store.resume(left.upload_id, ANN, ask(size=2 * LEAF)) as writer:
        assert split_leaves(writer.leaves) == [leaves_of([content], LEAF)[0], ABSENT]
        await writer.write(LEAF + 600, [content[LEAF + 600 :]])
        assert split_leaves(writer.leaves) == leaves_of([content], LEAF)


async def test_a_stream_has_no_tail_until_its_end_is_known(store: Store) -> None:
    content = made(STREAM_LEAF_SIZE + 5)
    async with store.begin(ask(size=None)) as writer:
        await writer.write(0, [content])
        assert split_leaves(writer.leaves) == [leaves_of([content], STREAM_LEAF_SIZE)[0], ABSENT]
        with pytest.raises(WrongDigest) as raised:
            await writer.finish(digest_bytes(b""))
        assert split_leaves(raised.value.leaves) == leaves_of([content], STREAM_LEAF_SIZE)
