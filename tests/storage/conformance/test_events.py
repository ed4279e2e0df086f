"""A store tells what happens in it, once it is committed, and nothing else."""

import pytest

from storage.errors import NameTaken, NotFound, StorageError
from storage.events import Cancelled, Completed, Created, Deleted, Event, Progressed, Renamed, Upload
from storage.store import Published, Store, UploadRequest
from tests.storage.conformance.asking import (
    ANN,
    HOW,
    LEAF,
    PENDING_EXPIRY,
    ManualClock,
    ask,
    begin_and_leave,
    complete,
    give,
    made,
    put,
    upload,
)
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range

CONTENT = made(3 * LEAF)


def state(upload_id: str, request: UploadRequest, offset: int) -> Upload:
    return Upload(upload_id, request.name, request.size, offset, request.account)


@pytest.mark.parametrize("size", [len(CONTENT), None])
async def test_an_upload_is_told_from_its_beginning_to_its_file(
    store: Store, told: list[Event], size: int | None
) -> None:
    request = ask(size=size, owner="visitor", subject=ANN)
    async with store.begin(request) as writer:
        await writer.write(0, [CONTENT[:LEAF]])
        assert told == [Created(state(writer.upload_id, request, 0))]
        await writer.sync()
        await writer.sync()
        assert told[1:] == [Progressed(state(writer.upload_id, request, LEAF))]
        await writer.write(LEAF, [CONTENT[LEAF:]])
        published = await writer.finish(digest_bytes(CONTENT, "sha256"))
    whole = state(writer.upload_id, request, len(CONTENT))
    assert told[2:] == [Progressed(whole), Completed(published.file, whole)]


async def test_bytes_behind_a_hole_are_no_progress_and_a_rewrite_goes_back(store: Store, told: list[Event]) -> None:
    request = ask(size=len(CONTENT))
    async with store.begin(request) as writer:
        await writer.write(LEAF, [CONTENT[LEAF:]])
        await writer.sync()
        await writer.write(0, [CONTENT[:LEAF]])
        await writer.sync()
        await writer.forget(Range(LEAF, 2 * LEAF))
    offsets = [event.upload.offset for event in told if isinstance(event, Progressed)]
    assert offsets == [len(CONTENT), LEAF]


async def test_an_upload_that_is_taken_up_again_says_where_and_what_it_was_called(
    store: Store, told: list[Event]
) -> None:
    left = await begin_and_leave(store, ask("before", size=4), b"ab")
    told.clear()
    request = ask("after", size=6)
    async with store.resume(left.upload_id, ANN, request):
        assert told == [Progressed(state(left.upload_id, request, 2), before=Name.parse("before"))]


@pytest.mark.parametrize("how", ["by its writer", "from outside", "by its silence"])
async def test_an_upload_that_is_dropped_is_told(store: Store, told: list[Event], clock: ManualClock, how: str) -> None:
    request = ask(size=4)
    left = await begin_and_leave(store, request, b"ab")
    if how == "by its writer":
        async with store.resume(left.upload_id, ANN) as writer:
            await writer.cancel()
    elif how == "from outside":
        await store.cancel(left.upload_id, ANN)
    else:
        clock.advance(PENDING_EXPIRY + 1)
        assert await store.expire() == 1
    assert told[-1] == Cancelled(state(left.upload_id, request, 2), expired=how == "by its silence")
    assert sum(isinstance(event, Cancelled) for event in told) == 1


@pytest.mark.parametrize("how", HOW)
async def test_what_takes_the_place_of_a_file_is_told_after_the_end_of_that(
    store: Store, told: list[Event], how: str
) -> None:
    before = (await put(store, "A.bin", b"before")).file
    published = await give(store, ask("a.bin", 5, if_exists="replace"), b"after", how)
    assert told[-2] == Deleted(before)
    assert isinstance(told[-1], Completed)
    assert told[-1].file == published.file


async def test_a_small_file_is_told_once_and_not_when_it_was_there(store: Store, told: list[Event]) -> None:
    file = (await put(store, "a.bin", b"content")).file
    assert (await put(store, "a.bin", b"content")).unchanged
    assert told == [Completed(file)]


async def test_an_upload_of_what_is_there_ends_unchanged(store: Store, told: list[Event]) -> None:
    file = (await put(store, "a.bin", b"content")).file
    upload_id, published = await upload(store, ask(size=7), b"content")
    assert published == Published(file, unchanged=True)
    assert told[-1] == Completed(file, state(upload_id, ask(size=7), 7), unchanged=True)


async def test_files_that_are_renamed_and_deleted_are_told(store: Store, told: list[Event]) -> None:
    await put(store, "a", b"content")
    renamed = await store.rename(Name.parse("a"), Name.parse("b"))
    await store.delete(Name.parse("b"))
    assert told[1:] == [Renamed(renamed, before=Name.parse("a")), Deleted(renamed)]


async def test_what_is_refused_is_not_told(store: Store, told: list[Event]) -> None:
    await put(store, "a", b"content")
    await put(store, "b", b"content")
    left = await begin_and_leave(store, ask("c", size=4), b"ab")
    told.clear()
    with pytest.raises(NameTaken):
        await put(store, "a", b"other")
    with pytest.raises(NameTaken):
        await store.rename(Name.parse("a"), Name.parse("b"))
    with pytest.raises(NotFound):
        await store.delete(Name.parse("d"))
    with pytest.raises(NotFound):
        await store.cancel(left.upload_id, "somebody else")
    with pytest.raises(NameTaken):
        async with store.begin(ask("a", size=4)):
            pass
    assert told == []
    with pytest.raises(StorageError):
        await complete(store, left.upload_id, ask("a", size=4), b"abcd")
    assert told == []
