"""Promise 2: a file is listed when it is whole and its digest matched; never a partial one, never a wrong one."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from storage.errors import (
    Incomplete,
    NameTaken,
    NotFound,
    WrongDigest,
)
from storage.store import FileQuery, Published, Store, UploadRequest
from tests.storage.conformance.asking import (
    ANN,
    BOB,
    LEAF,
    SIZES,
    Kept,
    ManualClock,
    ask,
    begin_and_leave,
    found,
    hold,
    is_there,
    made,
    names,
    put,
    read,
    spans,
    upload,
)
from transfer.protocol.digest import ALGORITHMS, digest_bytes
from transfer.protocol.leaves import STREAM_LEAF_SIZE, differing, leaves_of, split_leaves
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", SIZES)
async def test_a_file_of_any_size_is_published_as_it_was_sent(store: Store, size: int, algorithm: str) -> None:
    content = made(size)
    async with store.begin(ask(size=size, digest_algorithm=algorithm)) as writer:
        for start in range(0, size, 700_001):
            await writer.write(start, [content[start : start + 700_001]])
        published = await writer.finish(digest_bytes(content, algorithm))
    assert not published.unchanged
    assert (published.file.size, published.file.digest) == (size, digest_bytes(content, algorithm))
    assert await found(store, "a.bin") == published.file
    assert await read(store, published.file, step=500_000) == content


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [0, 1, 4096, LEAF])
async def test_a_small_file_of_any_size_is_published_as_it_was_sent(store: Store, size: int, algorithm: str) -> None:
    content = made(size)
    published = await put(store, "a.bin", content, algorithm=algorithm)
    assert not published.unchanged
    assert (published.file.size, published.file.digest) == (size, digest_bytes(content, algorithm))
    assert await is_there(store, "a.bin", content)


async def test_a_file_keeps_what_its_request_said(kept: Kept, clock: ManualClock) -> None:
    request = UploadRequest(
        name=Name.parse("photos/cat.jpg"),
        size=3,
        owner=BOB,
        modified=datetime(1999, 12, 31, 23, 59, 59, 123456, tzinfo=UTC),
        content_type="image/jpeg",
        metadata={"camera": "Ø 1", "": "", "\0 '\"\\": "\u2028 \U0001f600 \\u0041"},
    )
    _, uploaded = await upload(kept.store, request, b"cat")
    before_1970 = datetime(1901, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
    small = replace(request, name=Name.parse("photos/kitten '\U0001f600'.jpg"), modified=before_1970)
    stored = await kept.store.put(small, b"cat", digest_bytes(b"cat"))
    for file, asked in ((uploaded.file, request), (stored.file, small)):
        assert (file.name, file.size, file.owner, file.modified) == (asked.name, 3, BOB, asked.modified)
        assert (file.content_type, file.metadata) == (asked.content_type, asked.metadata)
        assert file.created == clock.now
    assert uploaded.file.file_id != stored.file.file_id
    store = await kept.reopen()
    assert await found(store, "photos/cat.jpg") == uploaded.file
    assert await found(store, small.name.value) == stored.file


async def test_an_unfinished_upload_is_no_file(kept: Kept) -> None:
    await begin_and_leave(kept.store, ask(size=4), b"whole"[:4])
    async for store in kept.before_and_after_reopening():
        assert await found(store, "a.bin") is None
        assert await names(store) == []


async def test_a_finished_upload_is_no_upload_any_more(store: Store) -> None:
    upload_id, published = await upload(store, ask(), b"done")
    assert await store.unfinished(ANN) == []
    assert await store.find_unfinished(Name.parse("a.bin"), ANN) is None
    assert await store.find_completed(upload_id, ANN) == published
    with pytest.raises(NotFound):
        await hold(store.resume(upload_id, ANN, ask()))


async def test_a_published_file_is_there_after_reopening(kept: Kept) -> None:
    upload_id, published = await upload(kept.store, ask("a.bin"), made(LEAF + 1))
    small = await put(kept.store, "b.bin", b"small")
    store = await kept.reopen()
    assert (await store.list_files(FileQuery())).files == [published.file, small.file]
    assert await store.find_completed(upload_id, ANN) == published
    assert await is_there(store, "a.bin", made(LEAF + 1))
    assert await is_there(store, "b.bin", b"small")


async def test_the_size_of_a_stream_is_what_was_received(store: Store) -> None:
    _, published = await upload(store, ask(size=None), made(LEAF + 3))
    assert published.file.size == LEAF + 3
    _, empty = await upload(store, ask("empty", size=None), b"")
    assert empty.file.size == 0


async def test_finishing_needs_no_sync_and_no_order(store: Store) -> None:
    content = made(2 * LEAF + 10)
    async with store.begin(ask(size=len(content))) as writer:
        for start, end in ((2 * LEAF + 4, 2 * LEAF + 10), (50, 2 * LEAF), (0, 50), (2 * LEAF, 2 * LEAF + 4)):
            await writer.write(start, [content[start:end]])
        published = await writer.finish(digest_bytes(content))
    assert await read(store, published.file) == content


@pytest.mark.parametrize(
    ("size", "sent", "holes"),
    [
        (10, [(0, 9)], [(9, 10)]),
        (10, [], [(0, 10)]),
        (10, [(2, 4), (6, 10)], [(0, 2), (4, 6)]),
        (None, [(3, 5)], [(0, 3)]),
    ],
)
async def test_a_hole_keeps_the_upload_unfinished_and_is_named(
    store: Store, size: int | None, sent: list[tuple[int, int]], holes: list[tuple[int, int]]
) -> None:
    end = 10 if size is not None else 5
    content = made(end)
    async with store.begin(ask(size=size)) as writer:
        for start, stop in sent:
            await writer.write(start, [content[start:stop]])
        with pytest.raises(Incomplete) as raised:
            await writer.finish(digest_bytes(content))
        assert (raised.value.size, list(raised.value.holes)) == (end, holes)
        assert await names(store) == []
        for hole in raised.value.holes:
            await writer.write(hole.start, [content[hole.start : hole.end]])
        await writer.finish(digest_bytes(content))
    assert await is_there(store, "a.bin", content)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_another_digest_publishes_nothing_and_keeps_every_byte(kept: Kept, algorithm: str) -> None:
    content = made(2 * LEAF + 5)
    request, right = ask(size=len(content), digest_algorithm=algorithm), digest_bytes(content, algorithm)
    wrong = digest_bytes(b"something else", algorithm)
    async with kept.store.begin(request) as writer:
        await writer.write(0, [content])
        with pytest.raises(WrongDigest) as raised:
            await writer.finish(wrong)
    assert (raised.value.expected, raised.value.actual) == (wrong, right)
    assert split_leaves(raised.value.leaves) == leaves_of([content], LEAF)
    store = await kept.reopen()
    assert await names(store) == []
    async with store.resume(writer.upload_id, ANN, request) as again:
        assert again.durable == spans((0, len(content)))
        await again.finish(right)
    assert await is_there(store, "a.bin", content)


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("damaged", [0, LEAF + 9, 3 * LEAF - 1, 3 * LEAF + 4])
async def test_a_wrong_digest_is_repaired_leaf_by_leaf(kept: Kept, damaged: int, reopened: bool) -> None:
    right, size = made(3 * LEAF + 5), 3 * LEAF + 5
    wrong = right[:damaged] + bytes([right[damaged] ^ 1]) + right[damaged + 1 :]
    async with kept.store.begin(ask(size=size)) as writer:
        await writer.write(0, [wrong])
        with pytest.raises(WrongDigest) as raised:
            await writer.finish(digest_bytes(right))
    repairs = differing(leaves_of([right], LEAF), split_leaves(raised.value.leaves), LEAF, size)
    assert [span.start for span in repairs] == [damaged - damaged % LEAF]
    store = await kept.reopen() if reopened else kept.store
    async with store.resume(writer.upload_id, ANN, ask(size=size)) as again:
        for span in repairs:
            await again.forget(span)
            await again.write(span.start, [right[span.start : span.end]])
        await again.finish(digest_bytes(right))
    assert await is_there(store, "a.bin", right)


async def test_a_repair_needs_no_new_writer(store: Store) -> None:
    right = made(2 * LEAF)
    async with store.begin(ask(size=2 * LEAF)) as writer:
        await writer.write(0, [right[:LEAF], made(LEAF, seed=1)])
        with pytest.raises(WrongDigest):
            await writer.finish(digest_bytes(right))
        await writer.forget(Range(LEAF, 2 * LEAF))
        await writer.write(LEAF, [right[LEAF:]])
        await writer.finish(digest_bytes(right))
    assert await is_there(store, "a.bin", right)


@pytest.mark.parametrize("end", [0, STREAM_LEAF_SIZE])
async def test_a_stream_whose_end_is_forgotten_is_published_without_it(kept: Kept, end: int) -> None:
    content = made(STREAM_LEAF_SIZE + 5)
    async with kept.store.begin(ask()) as writer:
        await writer.write(0, [content])
        await writer.sync()
        await writer.forget(Range(end, len(content)))
        published = await writer.finish(digest_bytes(content[:end]))
    assert published.file.size == end
    async for store in kept.before_and_after_reopening():
        assert await is_there(store, "a.bin", content[:end])


async def test_the_leaves_of_a_wrong_content_are_whole_in_whatever_order_it_came(store: Store) -> None:
    content = made(LEAF + 10)
    async with store.begin(ask(size=len(content))) as writer:
        for start, end in ((LEAF + 4, LEAF + 10), (LEAF, LEAF + 4), (500, LEAF), (0, 500)):
            await writer.write(start, [content[start:end]])
        with pytest.raises(WrongDigest) as raised:
            await writer.finish(digest_bytes(b""))
    assert split_leaves(raised.value.leaves) == leaves_of([content], LEAF)


async def test_a_small_file_with_another_digest_is_not_published(store: Store) -> None:
    with pytest.raises(WrongDigest) as raised:
        await store.put(ask(), b"right", digest_bytes(b"wrong"))
    assert (raised.value.expected, raised.value.actual) == (digest_bytes(b"wrong"), digest_bytes(b"right"))
    assert raised.value.leaves == b""
    assert await names(store) == []


async def test_one_bad_small_file_spoils_no_other_of_its_batch(store: Store) -> None:
    await put(store, "taken", b"before")
    outcomes = await asyncio.gather(
        put(store, "good", b"good"),
        store.put(ask("bad"), b"right", digest_bytes(b"wrong")),
        put(store, "taken", b"after"),
        put(store, "taken/below", b"below"),
        put(store, "fine", b"fine"),
        return_exceptions=True,
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Published, WrongDigest, NameTaken, NameTaken, Published]
    assert await names(store) == ["fine", "good", "taken"]


async def test_many_small_files_at_once_are_all_published_and_each_name_once(kept: Kept) -> None:
    contents = {f"{number:03}.bin": made(100, seed=number) for number in range(100)}
    distinct = [put(kept.store, name, content) for name, content in contents.items()]
    same = [put(kept.store, "same.bin", b"the same content") for _ in range(50)]
    fought_over = [put(kept.store, "fought.bin", made(50, seed=1000 + number)) for number in range(50)]
    shuffled = [*distinct, *same, *fought_over]
    order = list(range(200))
    random.Random(0).shuffle(order)
    by_place = dict(
        zip(order, await asyncio.gather(*(shuffled[i] for i in order), return_exceptions=True), strict=True)
    )
    outcomes = [by_place[place] for place in range(200)]

    assert all(isinstance(outcome, Published) and not outcome.unchanged for outcome in outcomes[:100])
    agreed = [outcome for outcome in outcomes[100:150] if isinstance(outcome, Published)]
    assert len(agreed) == 50
    assert sum(not published.unchanged for published in agreed) == 1
    assert len({published.file.file_id for published in agreed}) == 1
    winners = [number for number, outcome in enumerate(outcomes[150:]) if isinstance(outcome, Published)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, NameTaken) for outcome in outcomes[150:]) == 49

    store = await kept.reopen()
    assert await names(store) == sorted([*contents, "same.bin", "fought.bin"])
    for name, content in contents.items():
        assert await is_there(store, name, content)
    assert await is_there(store, "fought.bin", made(50, seed=1000 + winners[0]))


async def test_small_files_at_once_stand_in_each_others_way_as_one_after_another(store: Store) -> None:
    await put(store, "there/below", b"before")
    wanted = ["a", "a/b", "c/d", "c", "E", "e", "there", "there/other", "There/Below", "c/d/f", "g"]
    outcomes = await asyncio.gather(*(put(store, name, name.encode()) for name in wanted), return_exceptions=True)
    published = [name for name, outcome in zip(wanted, outcomes, strict=True) if isinstance(outcome, Published)]
    assert published == ["a", "c/d", "E", "there/other", "g"]
    assert all(isinstance(outcome, Published | NameTaken) for outcome in outcomes)
    assert await names(store) == sorted([*published, "there/below"])


async def test_small_files_at_once_get_different_numbers(store: Store) -> None:
    requests = [ask("cat.jpg", if_exists="rename") for _ in range(3)] + [ask("cat (3).jpg")]
    contents = [bytes([number]) for number in range(4)]
    outcomes = await asyncio.gather(
        *(
            store.put(request, content, digest_bytes(content))
            for request, content in zip(requests, contents, strict=True)
        ),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Published, Published, Published, NameTaken]
    assert await names(store) == ["cat (2).jpg", "cat (3).jpg", "cat.jpg"]


@pytest.mark.parametrize("between", [0, 127], ids=["in one batch", "in the next one"])
async def test_small_files_of_one_name_replace_each_other_in_the_order_in_which_they_came(
    store: Store, between: int
) -> None:
    """Also where the last is what was stored before all of them."""
    await put(store, "a", b"before")
    later = [("a", b"other"), *((f"b/{number}", b"") for number in range(between)), ("a", b"before")]
    requests = [(ask(name, if_exists="replace"), content) for name, content in later]
    await asyncio.gather(*(store.put(request, content, digest_bytes(content)) for request, content in requests))
    assert await is_there(store, "a", b"before")


async def test_a_completed_upload_is_known_to_its_owner_alone(store: Store) -> None:
    upload_id, published = await upload(store, ask(), b"mine")
    assert await store.find_completed(upload_id, ANN) == published
    assert await store.find_completed(upload_id, BOB) is None
    assert await store.find_completed("unknown", ANN) is None
    left = await begin_and_leave(store, ask("b.bin"), b"unfinished")
    assert await store.find_completed(left.upload_id, ANN) is None


async def test_a_completed_upload_is_known_by_the_name_its_file_has_now(store: Store) -> None:
    upload_id, published = await upload(store, ask("old"), b"content")
    renamed = await store.rename(Name.parse("old"), Name.parse("new"))
    assert await store.find_completed(upload_id, ANN) == Published(renamed)
    assert renamed == published.file._replace(name=Name.parse("new"))


@pytest.mark.parametrize("end", ["deleted", "replaced"])
async def test_a_completed_upload_is_forgotten_with_its_file(store: Store, end: str) -> None:
    upload_id, _ = await upload(store, ask(), b"content")
    if end == "deleted":
        await store.delete(Name.parse("a.bin"))
    else:
        await put(store, "a.bin", b"other", if_exists="replace")
    assert await store.find_completed(upload_id, ANN) is None
