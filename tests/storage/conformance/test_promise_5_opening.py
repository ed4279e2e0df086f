"""Promise 5: opening a store recovers it."""

from storage.store import FileQuery, Store
from tests.storage.conformance.asking import (
    ANN,
    LEAF,
    Kept,
    ManualClock,
    ask,
    begin_and_leave,
    is_there,
    made,
    names,
    put,
    spans,
    upload,
)
from transfer.protocol.names import Name


async def test_an_empty_store_is_opened_again(kept: Kept) -> None:
    assert kept.store.healthy
    store = await kept.reopen()
    assert store.healthy
    assert (await names(store), await store.unfinished(ANN)) == ([], [])


async def test_opening_again_and_again_changes_nothing(kept: Kept, clock: ManualClock) -> None:
    upload_id, _ = await upload(kept.store, ask("file", if_exists="rename"), made(LEAF + 1))
    await put(kept.store, "small", b"small")
    await put(kept.store, "gone", b"gone")
    await kept.store.delete(Name.parse("gone"))
    clock.advance(1)
    left = await begin_and_leave(kept.store, ask("unfinished", size=4 * LEAF), made(LEAF + 9))
    before = await _seen(kept.store, upload_id)
    for _ in range(3):
        assert await _seen(await kept.reopen(), upload_id) == before
    async with kept.store.resume(left.upload_id, ANN, ask("unfinished", size=4 * LEAF), lease=left.lease) as writer:
        assert writer.durable == spans((0, LEAF + 9))
    assert await is_there(kept.store, "file", made(LEAF + 1))


async def _seen(store: Store, upload_id: str) -> object:
    files = (await store.list_files(FileQuery())).files
    return files, await store.unfinished(ANN), await store.find_completed(upload_id, ANN)
