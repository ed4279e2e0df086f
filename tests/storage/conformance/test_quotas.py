"""A quota counts the bytes of one's files, and of unfinished uploads what was promised to them or has come."""

import asyncio
from dataclasses import replace

import pytest

from storage.errors import NameTaken, QuotaExceeded
from storage.store import Store, UploadRequest
from tests.storage.conformance.asking import (
    ANN,
    BOB,
    HOW,
    PENDING_EXPIRY,
    Kept,
    ManualClock,
    ask,
    begin_and_leave,
    complete,
    found,
    give,
    is_there,
    names,
    put,
    spans,
)
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range

QUOTA = 10
LINK = "11a2"


def limited(name: str, size: int | None, **more: object) -> UploadRequest:
    return ask(name, size, **({"quota": QUOTA} | more))  # type: ignore[arg-type]


def visiting(name: str, size: int | None, *, visitor: int = 1, via_quota: int = QUOTA) -> UploadRequest:
    return ask(name, size, owner=f"request:{LINK}:{visitor}", subject=ANN, via=LINK, via_quota=via_quota)


def facts(refused: QuotaExceeded) -> tuple[int, int, int]:
    return refused.needed, refused.available, refused.limit


async def begins(store: Store, request: UploadRequest) -> bool:
    try:
        await begin_and_leave(store, request)
    except QuotaExceeded:
        return False
    return True


# ----------------------------------------------------------------------------------------------------- what counts


async def test_files_and_uploads_of_a_subject_count_and_nobody_elses(kept: Kept) -> None:
    store = kept.store
    await put(store, "a.bin", b"123")
    await begin_and_leave(store, ask("sized.bin", 100), b"12345")
    await begin_and_leave(store, ask("stream.bin", None), b"1234567")
    await give(store, visiting("visited.bin", 20, via_quota=1_000), bytes(20), "small")
    await begin_and_leave(store, visiting("visiting.bin", 200, via_quota=1_000))
    await give(store, ask("bobs.bin", 4, owner=BOB), b"1234", "small")
    async for store in kept.before_and_after_reopening():
        assert await store.usage(ANN) == 3 + 100 + 7 + 20 + 200
        assert await store.usage_via(LINK) == 20 + 200
        assert await store.usage(BOB) == 4
        assert (await store.usage("nobody"), await store.usage_via("nothing")) == (0, 0)


async def test_what_is_gone_does_not_count(store: Store, clock: ManualClock) -> None:
    await put(store, "a.bin", b"123")
    cancelled = await begin_and_leave(store, ask("cancelled.bin", 100))
    await begin_and_leave(store, ask("expired.bin", 1_000))
    stream = await begin_and_leave(store, ask("stream.bin", None), b"1234567")
    async with store.resume(stream.upload_id, ANN) as writer:
        await writer.forget(Range(0, 7))
        assert await store.usage(ANN) == 3 + 100 + 1_000
    await store.cancel(cancelled.upload_id, ANN)
    clock.advance(PENDING_EXPIRY + 1)
    await store.expire()
    assert await store.usage(ANN) == 3
    await store.delete(Name.parse("a.bin"))
    assert await store.usage(ANN) == 0


async def test_a_replaced_file_counts_no_more_and_a_repeated_one_not_twice(store: Store) -> None:
    await put(store, "a.bin", b"123456789")
    await put(store, "a.bin", b"1234", if_exists="replace")
    assert await store.usage(ANN) == 4
    for how in HOW:
        assert (await give(store, ask("a.bin", 4), b"1234", how)).unchanged
    assert await store.usage(ANN) == 4


# ------------------------------------------------------------------------------------------------------- the limit


@pytest.mark.parametrize("how", HOW)
async def test_the_last_byte_of_a_quota_can_be_used_and_no_more(store: Store, how: str) -> None:
    await give(store, limited("a.bin", 4), b"1234", how)
    with pytest.raises(QuotaExceeded) as refused:
        await give(store, limited("b.bin", 7), b"1234567", how)
    assert facts(refused.value) == (7, 6, QUOTA)
    for upload in await store.unfinished(ANN):
        await store.cancel(upload.upload_id, ANN)
    await give(store, limited("b.bin", 6), b"123456", how)
    assert await names(store) == ["a.bin", "b.bin"]
    assert await store.usage(ANN) == QUOTA


@pytest.mark.parametrize("how", HOW)
async def test_who_has_no_quota_is_not_counted(store: Store, how: str) -> None:
    await give(store, ask("a.bin", 4), bytes(1_000), how)
    await give(store, limited("b.bin", 4, owner=BOB), b"1234", how)
    assert await store.usage(ANN) == 1_000


async def test_a_sized_upload_is_refused_before_its_first_byte(store: Store) -> None:
    await begin_and_leave(store, limited("a.bin", 6))
    with pytest.raises(QuotaExceeded) as refused:
        async with store.begin(limited("b.bin", 5)):
            pass
    assert facts(refused.value) == (5, 4, QUOTA)
    assert len(await store.unfinished(ANN)) == 1
    assert await begins(store, limited("b.bin", 4))


async def test_of_two_uploads_at_once_only_one_has_the_last_bytes(store: Store) -> None:
    outcomes = await asyncio.gather(*(begins(store, limited(f"{number}.bin", 6)) for number in range(4)))
    assert sorted(outcomes) == [False, False, False, True]
    assert await store.usage(ANN) == 6


async def test_of_small_files_in_one_batch_as_many_are_stored_as_fit(store: Store) -> None:
    requests = [limited(f"{number}.bin", 3) for number in range(5)]
    outcomes = await asyncio.gather(
        *(give(store, request, b"123", "small") for request in requests), return_exceptions=True
    )
    refused = [facts(outcome) for outcome in outcomes if isinstance(outcome, QuotaExceeded)]
    assert refused == [(3, 1, QUOTA)] * 2
    assert len(await names(store)) == 3
    assert await store.usage(ANN) == 9


@pytest.mark.parametrize("too_many", ["ann", "bob", "link", "other"])
async def test_in_one_batch_each_quota_is_looked_at(store: Store, too_many: str) -> None:
    room = {"ann": 1_000, "bob": 1_000, "link": 1_000, "other": 1_000} | {too_many: QUOTA}
    requests = [
        request
        for number in range(5)
        for request in (
            ask(f"free {number}.bin", 3, owner="carl"),
            limited(f"ann {number}.bin", 3, quota=room["ann"]),
            limited(f"bob {number}.bin", 3, quota=room["bob"], owner=BOB),
            replace(visiting(f"link {number}.bin", 3, via_quota=room["link"]), subject="eve"),
            replace(visiting(f"other {number}.bin", 3, via_quota=room["other"]), subject="eve", via="22b3"),
        )
    ]
    await asyncio.gather(*(give(store, request, b"123", "small") for request in requests), return_exceptions=True)
    stored = await names(store)
    counts = {who: sum(name.startswith(who) for name in stored) for who in room}
    assert counts == {"ann": 5, "bob": 5, "link": 5, "other": 5} | {too_many: 3}
    assert len(stored) == 5 + sum(counts.values())


async def test_a_small_file_that_is_too_much_leaves_the_one_that_it_was_to_replace(store: Store) -> None:
    before = (await give(store, limited("a.bin", 4), b"1234", "small")).file
    await give(store, limited("b.bin", 5), b"12345", "small")
    with pytest.raises(QuotaExceeded) as refused:
        await give(store, limited("a.bin", 6, if_exists="replace"), b"123456", "small")
    assert facts(refused.value) == (6, 5, QUOTA)
    assert await found(store, "a.bin") == before
    assert await is_there(store, "a.bin", b"1234")


async def test_an_empty_file_needs_nothing(store: Store) -> None:
    await give(store, limited("a.bin", QUOTA), bytes(QUOTA), "sized")
    assert await begins(store, limited("empty.bin", 0))
    assert await begins(store, limited("stream.bin", None))


# --------------------------------------------------------------------------------------------------------- streams


async def test_a_stream_keeps_what_was_durable_before_it_was_too_much(kept: Kept) -> None:
    store = kept.store
    await put(store, "a.bin", b"123")
    async with store.begin(limited("stream.bin", None)) as writer:
        await writer.write(0, [b"12345"])
        await writer.sync()
        await writer.write(5, [b"678"])
        with pytest.raises(QuotaExceeded) as refused:
            await writer.sync()
        assert writer.durable == spans((0, 5))
    assert facts(refused.value) == (8, 7, QUOTA)
    assert await store.usage(ANN) == 3 + 5
    store = await kept.reopen()
    await store.delete(Name.parse("a.bin"))
    published = await complete(store, writer.upload_id, limited("stream.bin", None), b"12345678")
    assert published.file.size == 8
    assert await store.usage(ANN) == 8


async def test_streams_beside_each_other_do_not_pass_it_together(store: Store) -> None:
    async with store.begin(limited("1.bin", None)) as first, store.begin(limited("2.bin", None)) as second:
        await first.write(0, [b"123456"])
        await second.write(0, [b"12345"])
        outcomes = await asyncio.gather(first.sync(), second.sync(), return_exceptions=True)
        assert sorted(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == [False, True]
        assert await store.usage(ANN) == first.durable.total + second.durable.total <= QUOTA


async def test_a_stream_that_is_too_much_at_its_end_is_kept(store: Store) -> None:
    async with store.begin(limited("stream.bin", None)) as writer:
        await writer.write(0, [b"1234567"])
        await writer.sync()
        await writer.write(7, [b"8901"])
        with pytest.raises(QuotaExceeded):
            await writer.finish(digest_bytes(b"12345678901"))
    (upload,) = await store.unfinished(ANN)
    assert upload.offset == 7
    assert await names(store) == []


# ------------------------------------------------------------------------------------------------------- replacing


@pytest.mark.parametrize("how", HOW)
async def test_a_file_of_more_than_half_the_quota_can_be_replaced(store: Store, how: str) -> None:
    await give(store, limited("a.bin", 6), b"123456", "small")
    await give(store, limited("a.bin", 7, if_exists="replace"), b"abcdefg", how)
    assert await is_there(store, "a.bin", b"abcdefg")
    assert await store.usage(ANN) == 7


async def test_the_bytes_of_a_file_to_be_replaced_are_given_once(store: Store) -> None:
    await give(store, limited("a.bin", 6), b"123456", "small")
    assert await begins(store, limited("a.bin", 6, if_exists="replace"))
    assert not await begins(store, limited("a.bin", 6, if_exists="replace"))
    assert not await begins(store, limited("b.bin", 1))


async def test_a_file_that_is_not_replaced_after_all_counts(store: Store) -> None:
    await give(store, limited("a.bin", 6), b"123456", "small")
    request = limited("a.bin", 6, if_exists="replace")
    writer = await begin_and_leave(store, request, b"abcdef")
    await store.rename(Name.parse("a.bin"), Name.parse("b.bin"))
    with pytest.raises(QuotaExceeded) as refused:
        async with store.resume(writer.upload_id, ANN) as again:
            await again.finish(digest_bytes(b"abcdef"))
    assert facts(refused.value) == (6, 4, QUOTA)
    assert await names(store) == ["b.bin"]
    await store.delete(Name.parse("b.bin"))
    await complete(store, writer.upload_id, request, b"abcdef")
    assert await names(store) == ["a.bin"]


async def test_somebody_elses_file_gives_no_bytes(store: Store) -> None:
    await give(store, ask("a.bin", 9, owner=BOB), b"123456789", "small")
    await give(store, limited("b.bin", 5), b"12345", "small")
    assert not await begins(store, limited("a.bin", 6, if_exists="replace"))
    with pytest.raises(QuotaExceeded):
        await give(store, limited("a.bin", 6, if_exists="replace"), b"123456", "small")
    assert (await store.usage(BOB), await store.usage(ANN)) == (9, 5)


async def test_what_was_promised_is_kept_beside_a_replacement(store: Store) -> None:
    """The replacement was let in although both files count until it is done."""
    await give(store, limited("a.bin", 6), b"123456", "small")
    writer = await begin_and_leave(store, limited("b.bin", 4), b"1234")
    replacement = await begin_and_leave(store, limited("a.bin", 6, if_exists="replace"), b"abcdef")
    await complete(store, writer.upload_id, limited("b.bin", 4), b"1234")
    await complete(store, replacement.upload_id, limited("a.bin", 6, if_exists="replace"), b"abcdef")
    assert await store.usage(ANN) == QUOTA


@pytest.mark.parametrize("how", HOW)
async def test_who_is_over_a_smaller_quota_may_have_less(store: Store, how: str) -> None:
    await give(store, ask("a.bin", 20), bytes(20), "small")
    await give(store, ask("b.bin", 20), bytes(20), "small")
    request = ask("a.bin", 19, if_exists="replace", quota=QUOTA)
    if how == "small":
        await give(store, request, b"1" * 19, how)
        assert await store.usage(ANN) == 39
    else:
        with pytest.raises(QuotaExceeded) as refused:
            await give(store, request, b"1" * 19, how)
        assert refused.value.available == 0


# -------------------------------------------------------------------------------------------------------- going on


async def test_an_upload_that_becomes_larger_is_counted_anew(store: Store) -> None:
    await put(store, "a.bin", b"123")
    writer = await begin_and_leave(store, limited("b.bin", 5), b"12345")
    with pytest.raises(QuotaExceeded) as refused:
        async with store.resume(writer.upload_id, ANN, limited("b.bin", 8)):
            pass
    assert facts(refused.value) == (8, 7, QUOTA)
    assert await store.usage(ANN) == 3 + 5
    async with store.resume(writer.upload_id, ANN, limited("b.bin", 7)) as again:
        assert again.durable == spans((0, 5))
        assert await store.usage(ANN) == QUOTA


async def test_whoever_writes_is_not_disturbed_by_a_header_that_is_refused(store: Store) -> None:
    async with store.begin(limited("a.bin", 5)) as writer:
        with pytest.raises(QuotaExceeded):
            async with store.resume(writer.upload_id, ANN, limited("a.bin", 11)):
                pass
        await writer.write(0, [b"12345"])
        await writer.finish(digest_bytes(b"12345"))
    assert await names(store) == ["a.bin"]


async def test_a_renewed_token_has_its_own_quota(store: Store) -> None:
    writer = await begin_and_leave(store, limited("a.bin", 8), b"12345678")
    with pytest.raises(QuotaExceeded) as refused:
        async with store.resume(writer.upload_id, ANN, limited("a.bin", 8, quota=7)):
            pass
    assert facts(refused.value) == (8, 7, 7)
    async with store.resume(writer.upload_id, ANN, limited("a.bin", 12, quota=12)) as again:
        assert again.size == 12
    async with store.resume(writer.upload_id, ANN, limited("a.bin", 100, quota=None)) as again:
        assert again.size == 100


async def test_a_stream_that_goes_on_without_a_header_keeps_its_quota(kept: Kept) -> None:
    writer = await begin_and_leave(kept.store, limited("stream.bin", None), b"12345")
    store = await kept.reopen()
    async with store.resume(writer.upload_id, ANN) as again:
        await again.write(5, [b"678901"])
        with pytest.raises(QuotaExceeded):
            await again.sync()


# ---------------------------------------------------------------------------------------------------- request links


@pytest.mark.parametrize("how", HOW)
async def test_all_that_comes_through_a_link_counts_against_its_size(store: Store, how: str) -> None:
    await put(store, "anns.bin", bytes(1_000))
    await give(store, visiting("a.bin", 6), b"123456", how)
    with pytest.raises(QuotaExceeded) as refused:
        await give(store, visiting("b.bin", 5, visitor=2), b"12345", how)
    assert facts(refused.value) == (5, 4, QUOTA)
    assert refused.value.disclosed


@pytest.mark.parametrize("how", HOW)
async def test_a_links_files_count_against_its_makers_quota_too(store: Store, how: str) -> None:
    await put(store, "anns.bin", bytes(95))
    request = ask("a.bin", 6, owner="request:1:1", subject=ANN, via=LINK, via_quota=50, quota=100)
    with pytest.raises(QuotaExceeded) as refused:
        await give(store, request, b"123456", how)
    assert facts(refused.value) == (6, 5, 100)
    assert not refused.value.disclosed


async def test_a_name_that_is_taken_is_told_before_the_quota(store: Store) -> None:
    await put(store, "a.bin", bytes(QUOTA))
    with pytest.raises(NameTaken):
        await give(store, limited("a.bin", 5), b"12345", "small")
