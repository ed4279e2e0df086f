"""Promise 4 for several writers: those of one lease write beside each other, and one who was fenced writes nothing."""

import pytest

from storage.errors import Fenced, Incomplete, NotFound, WrongDigest
from storage.store import Store
from tests.storage.conformance.asking import (
    ANN,
    BOB,
    LEAF,
    Kept,
    ask,
    begin_and_leave,
    hold,
    is_there,
    leave,
    made,
    spans,
)
from transfer.protocol.digest import digest_bytes
from transfer.protocol.leaves import leaves_of
from transfer.protocol.ranges import Range


async def test_who_has_the_lease_writes_beside_its_holder(store: Store) -> None:
    """What one of them makes durable, is durable for all."""
    first, task = await hold(store.begin(ask(size=8)))
    async with store.join(first.upload_id, ANN, first.lease, Range(4, 8)) as second:
        assert (second.lease, second.size, second.name) == (first.lease, 8, first.name)
        await second.write(4, [b"efgh"])
        await first.write(0, [b"abcd"])
        await first.sync()
        assert second.durable == first.durable == spans((0, 8))
    published = await first.finish(digest_bytes(b"abcdefgh"))
    assert published.file.size == 8
    await leave(task)
    assert await is_there(store, "a.bin", b"abcdefgh")


async def test_one_who_leaves_takes_nobody_along(store: Store) -> None:
    first, task = await hold(store.begin(ask(size=4)))
    async with store.join(first.upload_id, ANN, first.lease, Range(0, 2)) as second:
        await leave(task)
        await second.write(0, [b"abcd"])
        await second.finish(digest_bytes(b"abcd"))
    assert await is_there(store, "a.bin", b"abcd")


async def test_a_range_that_overlaps_an_older_one_takes_its_place(store: Store) -> None:
    """Its connection may be half-open. Who writes something else goes on."""
    whole, holding = await hold(store.begin(ask(size=8)))
    elsewhere, going_on = await hold(store.join(whole.upload_id, ANN, whole.lease, Range(0, 2)))
    older, replaced = await hold(store.join(whole.upload_id, ANN, whole.lease, Range(2, 6)))
    async with store.join(whole.upload_id, ANN, whole.lease, Range(4, 8)) as newer:
        with pytest.raises(Fenced):
            await replaced
        with pytest.raises(Fenced):
            await older.write(2, [b"XXXX"])
        await newer.write(2, [b"cdefgh"])
        await elsewhere.write(0, [b"ab"])
    await leave(going_on)
    await whole.finish(digest_bytes(b"abcdefgh"))
    await leave(holding)
    assert await is_there(store, "a.bin", b"abcdefgh")


async def test_a_newcomer_without_the_lease_fences_all_of_them(store: Store) -> None:
    first, holding = await hold(store.begin(ask(size=4)))
    second, beside = await hold(store.join(first.upload_id, ANN, first.lease, Range(2, 4)))
    async with store.resume(first.upload_id, ANN, ask(size=4)) as newcomer:
        for old, task in ((first, holding), (second, beside)):
            with pytest.raises(Fenced):
                await task
            with pytest.raises(Fenced):
                await old.write(0, [b"XX"])
        with pytest.raises(Fenced):
            await hold(store.join(first.upload_id, ANN, first.lease, Range(2, 4)))
        await newcomer.write(0, [b"abcd"])
        await newcomer.finish(digest_bytes(b"abcd"))
    assert await is_there(store, "a.bin", b"abcd")


async def test_the_lease_alone_lets_nobody_in(store: Store) -> None:
    async with store.begin(ask(size=4)) as writer:
        for upload_id, owner, within in ((writer.upload_id, BOB, ""), ("?", ANN, ""), (writer.upload_id, ANN, "b/")):
            with pytest.raises(NotFound):
                await hold(store.join(upload_id, owner, writer.lease, within=within))
        for lease in ("", "neither ascii: é"):
            with pytest.raises(Fenced):
                await hold(store.join(writer.upload_id, ANN, lease))
        await writer.write(0, [b"abcd"])
        await writer.finish(digest_bytes(b"abcd"))


@pytest.mark.parametrize("reopened", [False, True])
async def test_where_nobody_writes_joining_is_resuming(kept: Kept, reopened: bool) -> None:
    left = await begin_and_leave(kept.store, ask(size=4), b"ab")
    store = await kept.reopen() if reopened else kept.store
    for _ in range(2):
        async with store.join(left.upload_id, ANN, left.lease, Range(2, 4)) as writer:
            assert (writer.lease, writer.durable) == (left.lease, spans((0, 2)))
    async with store.join(left.upload_id, ANN, left.lease) as writer:
        await writer.write(2, [b"cd"])
        await writer.finish(digest_bytes(b"abcd"))
    assert await is_there(store, "a.bin", b"abcd")


async def test_what_is_not_whole_disturbs_nobody_when_it_is_to_be_finished(store: Store) -> None:
    first, task = await hold(store.begin(ask(size=4)))
    async with store.join(first.upload_id, ANN, first.lease) as hasty:
        with pytest.raises(Incomplete):
            await hasty.finish(digest_bytes(b"abcd"))
    await first.write(0, [b"abcd"])
    await first.finish(digest_bytes(b"abcd"))
    await leave(task)
    assert await is_there(store, "a.bin", b"abcd")


@pytest.mark.parametrize("right", [False, True])
async def test_finishing_fences_the_others_first(store: Store, right: bool) -> None:
    """Nothing is written to what is compared, nor to what is published."""
    first, task = await hold(store.begin(ask(size=4)))
    async with store.join(first.upload_id, ANN, first.lease) as last:
        await last.write(0, [b"abcd"])
        if right:
            await last.finish(digest_bytes(b"abcd"))
        else:
            with pytest.raises(WrongDigest):
                await last.finish(digest_bytes(b"XXXX"))
        with pytest.raises(Fenced):
            await task
        with pytest.raises(Fenced):
            await first.write(0, [b"XXXX"])
    if not right:
        async with store.join(first.upload_id, ANN, first.lease) as last:
            await last.finish(digest_bytes(b"abcd"))
    assert await is_there(store, "a.bin", b"abcd")


async def test_dropping_fences_the_others(store: Store) -> None:
    first, task = await hold(store.begin(ask(size=4)))
    async with store.join(first.upload_id, ANN, first.lease, Range(0, 2)) as other:
        await other.cancel()
        with pytest.raises(Fenced):
            await task
    with pytest.raises(NotFound):
        await hold(store.join(first.upload_id, ANN, first.lease))
    assert await store.unfinished(ANN) == []


async def test_bytes_of_several_that_come_by_turns_have_their_leaves(store: Store) -> None:
    data = made(4 * LEAF)
    first, task = await hold(store.begin(ask(size=len(data))))
    async with store.join(first.upload_id, ANN, first.lease, Range(2 * LEAF, 4 * LEAF)) as second:
        for at in range(0, 2 * LEAF, LEAF // 4):
            await first.write(at, [data[at : at + LEAF // 4]])
            await second.write(2 * LEAF + at, [data[2 * LEAF + at : 2 * LEAF + at + LEAF // 4]])
        assert second.leaves == b"".join(leaves_of([data], LEAF))
    await leave(task)


@pytest.mark.parametrize(("at", "begun"), [(0, LEAF // 2), (LEAF, LEAF + LEAF // 2)], ids=["begun", "the last one"])
async def test_a_leaf_that_another_overwrites_has_the_checksum_of_what_is_there(
    store: Store, at: int, begun: int
) -> None:
    """Both are of one client, whose file may have changed in between."""
    data = made(LEAF + LEAF // 2)
    later = data[:at] + b"changed" + data[at + 7 :]
    first, task = await hold(store.begin(ask(size=len(data))))
    async with store.join(first.upload_id, ANN, first.lease) as second:
        await first.write(0, [data[:begun]])
        await second.write(at, [b"changed"])
        await first.write(begun, [data[begun:]])
        with pytest.raises(WrongDigest) as wrong:
            await second.finish(digest_bytes(data))
        assert wrong.value.leaves == b"".join(leaves_of([later], LEAF))
        with pytest.raises(Fenced):
            await task


async def test_what_comes_out_of_order_is_hashed_while_the_rest_arrives(store: Store) -> None:
    data = made(3 * LEAF + 5)
    async with store.begin(ask(size=len(data))) as writer:
        await writer.write(LEAF, [data[LEAF : 2 * LEAF + 7]])
        await writer.write(0, [data[:LEAF]])
        while writer.hashed_offset < 2 * LEAF:
            await writer.sync()
        await writer.write(2 * LEAF + 7, [data[2 * LEAF + 7 :]])
        await writer.finish(digest_bytes(data))
    assert await is_there(store, "a.bin", data)
