"""Unfinished uploads: who finds them, and when they are dropped."""

from datetime import timedelta

import pytest

from storage.errors import NotFound, TooManyUploads
from storage.store import Store
from tests.storage.conformance.asking import (
    ANN,
    BOB,
    PENDING_EXPIRY,
    Kept,
    ManualClock,
    ask,
    begin_and_leave,
    complete,
    found,
    hold,
    is_there,
    made,
    upload,
)
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name


async def test_they_are_listed_to_their_owner_the_most_recent_first(kept: Kept, clock: ManualClock) -> None:
    begun = clock.now
    first = await begin_and_leave(kept.store, ask("first", size=100), made(30))
    clock.advance(10)
    await begin_and_leave(kept.store, ask("foreign", owner=BOB), made(3))
    second = await begin_and_leave(kept.store, ask("second", size=None), made(5))
    clock.advance(10)
    async for store in kept.before_and_after_reopening():
        newer, older = await store.unfinished(ANN)
        assert (newer.upload_id, newer.name.value, newer.size, newer.offset) == (
            second.upload_id,
            "second",
            None,
            5,
        )
        assert (older.upload_id, older.name.value, older.size, older.offset) == (first.upload_id, "first", 100, 30)
        assert (older.created, older.active) == (begun, begun)
        assert older.expires == begun + timedelta(seconds=PENDING_EXPIRY)
    async with kept.store.resume(first.upload_id, ANN, ask("first", size=100)) as writer:
        await writer.write(30, [made(10)])
        await writer.sync()
    assert [left.upload_id for left in await kept.store.unfinished(ANN)] == [first.upload_id, second.upload_id]
    assert (await kept.store.unfinished(ANN))[0].created == begun
    assert (await kept.store.unfinished(ANN))[0].active == clock.now


async def test_the_offset_ends_at_the_first_hole(store: Store) -> None:
    async with store.begin(ask(size=100)) as writer:
        await writer.write(0, [made(10)])
        await writer.write(20, [made(10)])
        await writer.sync()
        assert [left.offset for left in await store.unfinished(ANN)] == [10]


async def test_the_most_recent_one_of_a_name_is_found(kept: Kept, clock: ManualClock) -> None:
    uploads = []
    for request in (ask("a"), ask("a"), ask("A"), ask("a/b"), ask("a", owner=BOB)):
        uploads.append((await begin_and_leave(kept.store, request)).upload_id)
        clock.advance(1)
    async for store in kept.before_and_after_reopening():
        for name, owner, upload_id in (("a", ANN, uploads[1]), ("A", ANN, uploads[2]), ("a", BOB, uploads[4])):
            assert await store.find_unfinished(Name.parse(name), owner) == upload_id
        assert await store.find_unfinished(Name.parse("b"), ANN) is None
        assert await store.find_unfinished(Name.parse("A"), BOB) is None
    async with kept.store.resume(uploads[0], ANN, ask("a")):
        assert await kept.store.find_unfinished(Name.parse("a"), ANN) == uploads[0]


async def test_an_upload_that_was_silent_for_too_long_is_dropped(kept: Kept, clock: ManualClock) -> None:
    old = await begin_and_leave(kept.store, ask("old", size=4), b"ab")
    clock.advance(PENDING_EXPIRY / 2)
    young = await begin_and_leave(kept.store, ask("young", size=4), b"ab")
    assert await kept.store.expire() == 0
    clock.advance(PENDING_EXPIRY / 2 + 1)
    assert await kept.store.expire() == 1
    assert await kept.store.expire() == 0
    async for store in kept.before_and_after_reopening():
        assert [left.upload_id for left in await store.unfinished(ANN)] == [young.upload_id]
        with pytest.raises(NotFound):
            await hold(store.resume(old.upload_id, ANN, ask("old", size=4)))


async def test_coming_back_begins_the_silence_anew(store: Store, clock: ManualClock) -> None:
    left = await begin_and_leave(store, ask(size=4), b"ab")
    clock.advance(PENDING_EXPIRY - 1)
    async with store.resume(left.upload_id, ANN, ask(size=4)):
        pass
    clock.advance(PENDING_EXPIRY - 1)
    assert await store.expire() == 0
    await complete(store, left.upload_id, ask(size=4), b"abcd")
    assert await is_there(store, "a.bin", b"abcd")


async def test_a_connected_upload_is_not_silent(store: Store, clock: ManualClock) -> None:
    async with store.begin(ask(size=4)) as writer:
        await writer.write(0, [b"ab"])
        await writer.sync()
        clock.advance(10 * PENDING_EXPIRY)
        assert await store.expire() == 0
        await writer.write(2, [b"cd"])
        await writer.finish(digest_bytes(b"abcd"))
    assert await is_there(store, "a.bin", b"abcd")


async def test_while_somebody_is_connected_the_silence_has_not_begun(store: Store, clock: ManualClock) -> None:
    """Were the process killed now, its bytes would be kept for as long as those of anybody who left now."""
    async with store.begin(ask(size=4)):
        clock.advance(10 * PENDING_EXPIRY)
        await store.expire()
        (shown,) = await store.unfinished(ANN)
        assert shown.active == clock.now


async def test_the_silence_begins_when_the_writer_leaves(store: Store, clock: ManualClock) -> None:
    async with store.begin(ask(size=4)) as writer:
        clock.advance(10 * PENDING_EXPIRY)
    assert await store.expire() == 0
    clock.advance(PENDING_EXPIRY + 1)
    assert await store.expire() == 1
    with pytest.raises(NotFound):
        await hold(store.resume(writer.upload_id, ANN, ask(size=4)))


async def test_completed_uploads_are_forgotten_as_late_as_unfinished_ones(store: Store, clock: ManualClock) -> None:
    clock.advance(PENDING_EXPIRY)
    upload_id, published = await upload(store, ask(), b"content")
    clock.advance(PENDING_EXPIRY - 1)
    assert await store.expire() == 0
    assert await store.find_completed(upload_id, ANN) == published
    clock.advance(2)
    assert await store.expire() == 0
    assert await store.find_completed(upload_id, ANN) is None
    assert await found(store, "a.bin") == published.file


@pytest.mark.parametrize("max_unfinished_uploads", [2])
async def test_each_owner_may_have_so_many_and_no_more(kept: Kept) -> None:
    first = await begin_and_leave(kept.store, ask("first"), made(1))
    await begin_and_leave(kept.store, ask("second"), made(1))
    async for store in kept.before_and_after_reopening():
        with pytest.raises(TooManyUploads) as refused:
            async with store.begin(ask("third")):
                pytest.fail("it began")
        assert refused.value.limit == 2
        assert {left.name.value for left in await store.unfinished(ANN)} == {"first", "second"}
    async with kept.store.resume(first.upload_id, ANN):
        pass  # what has begun goes on
    await begin_and_leave(kept.store, ask("another's", owner=BOB))
    await kept.store.cancel(first.upload_id, ANN)
    await begin_and_leave(kept.store, ask("third"))


@pytest.mark.parametrize("max_unfinished_uploads", [2])
async def test_through_one_link_there_are_so_many_whatever_its_visitors_call_themselves(kept: Kept) -> None:
    for visitor in ("one", "two"):
        await begin_and_leave(kept.store, ask(visitor, owner=visitor, subject=ANN, via="link"))
    async for store in kept.before_and_after_reopening():
        with pytest.raises(TooManyUploads):
            async with store.begin(ask("three", owner="three", subject=ANN, via="link")):
                pytest.fail("it began")
    await begin_and_leave(kept.store, ask("four", owner="four", subject=ANN, via="another link"))
    await begin_and_leave(kept.store, ask("five"))
