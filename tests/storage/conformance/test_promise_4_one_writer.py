"""Promise 4: one writer at a time has an upload; a fenced one writes nothing after the newcomer was let in."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from storage.errors import (
    Fenced,
    NameTaken,
    NotFound,
    StillWriting,
    StorageError,
    TooLong,
)
from storage.store import Store, UploadRequest, Writer
from tests.storage.conformance.asking import (
    ANN,
    BOB,
    Kept,
    ask,
    begin_and_leave,
    complete,
    hold,
    is_there,
    leave,
    put,
    read,
    spans,
)
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range


async def _write(writer: Writer) -> None:
    await writer.write(0, [b"XXXX"])


async def _sync(writer: Writer) -> None:
    await writer.sync()


async def _forget(writer: Writer) -> None:
    await writer.forget(Range(0, 4))


async def _finish(writer: Writer) -> None:
    await writer.finish(digest_bytes(b"abcd"))


async def _cancel(writer: Writer) -> None:
    await writer.cancel()


async def test_a_newcomer_takes_over_and_the_former_holder_hears_it(store: Store) -> None:
    old, task = await hold(store.begin(ask(size=8)))
    await old.write(0, [b"abcd"])
    await old.sync()
    async with store.resume(old.upload_id, ANN, ask(size=8)) as new:
        assert new.upload_id == old.upload_id
        assert new.lease != old.lease
        assert new.durable == spans((0, 4))
        with pytest.raises(Fenced):
            await task
        await new.write(4, [b"efgh"])
        await new.finish(digest_bytes(b"abcdefgh"))
    assert await is_there(store, "a.bin", b"abcdefgh")


@pytest.mark.parametrize("operation", [_write, _sync, _forget, _finish, _cancel])
async def test_a_fenced_writer_does_nothing(store: Store, operation: Callable[[Writer], Awaitable[None]]) -> None:
    old, task = await hold(store.begin(ask(size=4)))
    await old.write(0, [b"ab"])
    await old.sync()
    await old.write(2, [b"cd"])
    async with store.resume(old.upload_id, ANN, ask(size=4)) as new:
        with pytest.raises(Fenced):
            await operation(old)
        assert new.received.leading in (2, 4)  # what was not synced may be lost
        await new.write(2, [b"cd"])
        await new.sync()
        with pytest.raises(Fenced):
            await operation(old)
        assert new.durable == spans((0, 4))
        await new.finish(digest_bytes(b"abcd"))
    with pytest.raises(Fenced):
        await task
    assert await is_there(store, "a.bin", b"abcd")


async def test_a_holder_who_ignores_the_cancelling_hears_it_on_leaving(store: Store) -> None:
    entered, left = asyncio.Event(), asyncio.Event()
    left_by = ""

    async def stubborn() -> None:
        nonlocal left_by
        async with store.begin(ask(size=4)) as writer:
            left_by = writer.upload_id
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                left.set()

    task = asyncio.create_task(stubborn())
    await entered.wait()
    async with store.resume(left_by, ANN, ask(size=4)):
        assert left.is_set()
        with pytest.raises(Fenced):
            await task


@pytest.mark.parametrize("take_over_seconds", [0.0])
async def test_a_holder_who_does_not_leave_keeps_the_newcomer_out(store: Store) -> None:
    entered, leave_now = asyncio.Event(), asyncio.Event()
    writers: list[Writer] = []

    async def stuck() -> None:
        async with store.begin(ask(size=4)) as writer:
            writers.append(writer)
            await writer.write(0, [b"abcd"])
            entered.set()
            while not leave_now.is_set():
                try:
                    await leave_now.wait()
                except asyncio.CancelledError:
                    continue

    task = asyncio.create_task(stuck())
    try:
        await entered.wait()
        upload_id = writers[0].upload_id
        for _ in range(2):
            with pytest.raises(StillWriting):
                await hold(store.resume(upload_id, ANN, ask(size=4)))
        with pytest.raises(Fenced):
            await writers[0].sync()
    finally:
        leave_now.set()
    with pytest.raises(Fenced):
        await task
    published = await complete(store, upload_id, ask(size=4), b"abcd")
    assert await read(store, published.file) == b"abcd"


async def test_the_holder_comes_back_with_its_lease(store: Store) -> None:
    left = await begin_and_leave(store, ask(size=8), b"abcd")
    for _ in range(2):
        async with store.resume(left.upload_id, ANN, ask(size=8), lease=left.lease) as writer:
            assert (writer.lease, writer.durable) == (left.lease, spans((0, 4)))


async def test_the_holder_comes_back_before_it_is_gone(store: Store) -> None:
    old, task = await hold(store.begin(ask(size=4)))
    async with store.resume(old.upload_id, ANN, ask(size=4), lease=old.lease) as new:
        assert new.lease == old.lease
        with pytest.raises(Fenced):
            await task
        with pytest.raises(Fenced):
            await old.write(0, [b"XXXX"])
        await new.write(0, [b"abcd"])
        await new.finish(digest_bytes(b"abcd"))
    assert await is_there(store, "a.bin", b"abcd")


async def test_the_lease_outlives_closing_the_store(kept: Kept) -> None:
    left = await begin_and_leave(kept.store, ask(size=4), b"ab")
    store = await kept.reopen()
    async with store.resume(left.upload_id, ANN, ask(size=4), lease=left.lease) as writer:
        assert writer.lease == left.lease


@pytest.mark.parametrize("reopened", [False, True])
async def test_a_lease_that_was_taken_over_is_refused_and_disturbs_nobody(kept: Kept, reopened: bool) -> None:
    left = await begin_and_leave(kept.store, ask(size=4), b"ab")
    async with kept.store.resume(left.upload_id, ANN, ask(size=4)):
        pass
    store = await kept.reopen() if reopened else kept.store
    with pytest.raises(Fenced):
        await hold(store.resume(left.upload_id, ANN, ask(size=4), lease=left.lease))
    async with store.resume(left.upload_id, ANN, ask(size=4)) as writer:
        for lease in (left.lease, "", "neither ascii: é"):
            with pytest.raises(Fenced):
                await hold(store.resume(left.upload_id, ANN, ask(size=4), lease=lease))
        await writer.write(2, [b"cd"])
        await writer.finish(digest_bytes(b"abcd"))


async def test_strangers_find_nothing_and_disturb_nobody(store: Store) -> None:
    async with store.begin(ask(size=4)) as writer:
        for upload_id, owner in ((writer.upload_id, BOB), ("unknown", ANN), ("", ANN)):
            with pytest.raises(NotFound):
                await hold(store.resume(upload_id, owner, ask(size=4, owner=owner)))
            with pytest.raises(NotFound):
                await hold(store.resume(upload_id, owner, ask(size=4, owner=owner), lease=writer.lease))
            with pytest.raises(NotFound):
                await store.cancel(upload_id, owner)
        await writer.write(0, [b"abcd"])
        await writer.finish(digest_bytes(b"abcd"))


async def test_a_newcomer_who_is_refused_for_its_name_disturbs_nobody(store: Store) -> None:
    await put(store, "taken", b"content")
    async with store.begin(ask(size=4)) as writer:
        with pytest.raises(NameTaken):
            await hold(store.resume(writer.upload_id, ANN, ask("taken", size=4)))
        await writer.write(0, [b"abcd"])
        await writer.finish(digest_bytes(b"abcd"))
    assert await is_there(store, "a.bin", b"abcd")


async def test_of_many_newcomers_one_is_left(store: Store) -> None:
    left = await begin_and_leave(store, ask(size=8), b"abcd")
    all_but_one_are_gone = asyncio.Event()

    async def come() -> None:
        async with store.resume(left.upload_id, ANN, ask(size=8)) as writer:
            await all_but_one_are_gone.wait()
            await writer.write(4, [b"efgh"])
            await writer.finish(digest_bytes(b"abcdefgh"))

    pending = {asyncio.create_task(come()) for _ in range(10)}
    gone: set[asyncio.Task[None]] = set()
    while len(pending) > 1:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        gone |= done
    assert all(isinstance(task.exception(), Fenced) for task in gone)
    all_but_one_are_gone.set()
    await asyncio.gather(*pending)
    assert await is_there(store, "a.bin", b"abcdefgh")


async def test_leaving_lets_the_next_one_in(store: Store) -> None:
    left = await begin_and_leave(store, ask(size=4), b"ab")
    for _ in range(3):
        async with store.resume(left.upload_id, ANN, ask(size=4)) as writer:
            await writer.sync()


async def test_being_cancelled_from_outside_lets_the_next_one_in(store: Store) -> None:
    writer, task = await hold(store.begin(ask(size=4)))
    await writer.write(0, [b"ab"])
    await writer.sync()
    await leave(task)
    async with store.resume(writer.upload_id, ANN, ask(size=4), lease=writer.lease) as again:
        assert again.durable == spans((0, 2))


@pytest.mark.parametrize("error", [ZeroDivisionError(), TimeoutError(), TooLong(1, 2)])
async def test_what_the_body_raises_passes_and_the_upload_is_kept(store: Store, error: Exception) -> None:
    async def fail() -> None:
        async with store.begin(ask(size=4)) as writer:
            await writer.write(0, [b"abcd"])
            await writer.sync()
            raise error

    with pytest.raises(type(error)):
        await fail()
    (left,) = await store.unfinished(ANN)
    assert left.offset == 4
    await complete(store, left.upload_id, ask(size=4), b"abcd")


@pytest.mark.parametrize("reopened", [False, True])
async def test_without_a_request_an_upload_stays_what_it_was_to_become(kept: Kept, reopened: bool) -> None:
    request = UploadRequest(
        name=Name.parse("cat.jpg"),
        size=4,
        owner=ANN,
        if_exists="rename",
        digest_algorithm="blake3",
        modified=datetime(2020, 1, 1, tzinfo=UTC),
        content_type="image/jpeg",
        metadata={"a": "b"},
    )
    left = await begin_and_leave(kept.store, request, b"ab")
    await put(kept.store, "cat.jpg", b"another")
    store = await kept.reopen() if reopened else kept.store
    async with store.resume(left.upload_id, ANN) as writer:
        assert (writer.name, writer.size, writer.durable) == (request.name, 4, spans((0, 2)))
        await writer.write(2, [b"cd"])
        file = (await writer.finish(digest_bytes(b"abcd", "blake3"))).file
    assert (file.name.value, file.owner, file.modified) == ("cat (2).jpg", ANN, request.modified)
    assert (file.content_type, file.metadata) == ("image/jpeg", {"a": "b"})


async def test_without_a_request_a_lease_is_asked_for_all_the_same(store: Store) -> None:
    left = await begin_and_leave(store, ask(size=4), b"ab")
    async with store.resume(left.upload_id, ANN, lease=left.lease) as writer:
        assert (writer.lease, writer.durable) == (left.lease, spans((0, 2)))
    with pytest.raises(Fenced):
        await hold(store.resume(left.upload_id, ANN, lease="another"))
    with pytest.raises(NotFound):
        await hold(store.resume(left.upload_id, BOB))


async def test_the_newest_request_wins(store: Store) -> None:
    left = await begin_and_leave(store, ask("old", size=4), b"abcd")
    request = UploadRequest(
        name=Name.parse("new"),
        size=4,
        owner=ANN,
        digest_algorithm="blake3",
        modified=datetime(2020, 1, 1, tzinfo=UTC),
        content_type="text/plain",
        metadata={"a": "b"},
    )
    async with store.resume(left.upload_id, ANN, request) as writer:
        assert writer.name == request.name
        assert await store.find_unfinished(Name.parse("new"), ANN) == left.upload_id
        assert await store.find_unfinished(Name.parse("old"), ANN) is None
        file = (await writer.finish(digest_bytes(b"abcd", "blake3"))).file
    assert (file.name, file.modified, file.content_type) == (request.name, request.modified, "text/plain")
    assert file.metadata == {"a": "b"}


async def test_the_writer_drops_its_upload(kept: Kept) -> None:
    async with kept.store.begin(ask(size=4)) as writer:
        await writer.write(0, [b"abcd"])
        await writer.sync()
        await writer.cancel()
    async for store in kept.before_and_after_reopening():
        assert await store.unfinished(ANN) == []
        assert await store.find_completed(writer.upload_id, ANN) is None
        with pytest.raises(NotFound):
            await hold(store.resume(writer.upload_id, ANN, ask(size=4)))


async def test_cancelling_an_upload_drops_it(kept: Kept) -> None:
    left = await begin_and_leave(kept.store, ask(size=4), b"abcd")
    await kept.store.cancel(left.upload_id, ANN)
    async for store in kept.before_and_after_reopening():
        assert await store.unfinished(ANN) == []
        with pytest.raises(NotFound):
            await store.cancel(left.upload_id, ANN)
        with pytest.raises(NotFound):
            await hold(store.resume(left.upload_id, ANN, ask(size=4), lease=left.lease))


async def test_cancelling_an_upload_fences_whoever_writes_to_it(store: Store) -> None:
    writer, task = await hold(store.begin(ask(size=4)))
    await store.cancel(writer.upload_id, ANN)
    with pytest.raises(Fenced):
        await task
    assert await store.unfinished(ANN) == []
    with pytest.raises(StorageError):
        await writer.write(0, [b"abcd"])


async def test_an_upload_is_cancelled_once(store: Store) -> None:
    writer, task = await hold(store.begin(ask(size=4)))
    outcomes = await asyncio.gather(*(store.cancel(writer.upload_id, ANN) for _ in range(3)), return_exceptions=True)
    assert sorted(str(type(outcome)) for outcome in outcomes) == sorted(
        str(kind) for kind in (type(None), NotFound, NotFound)
    )
    with pytest.raises(Fenced):
        await task
