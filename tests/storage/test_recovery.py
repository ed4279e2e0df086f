"""What a local store does when it opens, row by row of `storage.recovery`'s table, and what it refuses to open."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import Incomplete, NotFound, StoreRefused
from storage.local import LocalStore
from storage.store import FileQuery, UploadRequest
from tests.storage.conformance.asking import ManualClock
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range

MIB = 1 << 20
HALF = os.urandom(MIB // 2)
WHOLE = HALF + os.urandom(MIB // 2)
REQUEST = UploadRequest(name=Name.parse("a.bin"), size=len(WHOLE), owner="me")
Open = Callable[[], LocalStore]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def reopened(data: Path, clock: ManualClock) -> Open:
    return lambda: LocalStore(data, pending_expiry=100.0, min_free_bytes=0, clock=clock)


def objects(data: Path) -> list[Path]:
    return [path for path in (data / "objects").rglob("*") if path.is_file()]


async def begin_half(store: LocalStore) -> str:
    """An unfinished upload whose first half is durable."""
    async with store.begin(REQUEST) as writer:
        await writer.write(0, [HALF])
        await writer.sync()
        return writer.upload_id


async def names(store: LocalStore) -> list[str]:
    return [file.name.value for file in (await store.list_files(FileQuery())).files]


async def test_an_open_object_without_a_row_is_deleted(data: Path, reopened: Open) -> None:
    async with reopened():
        pass
    stray = data / "objects" / "a" / ("a" * 32)
    stray.write_bytes(b"never acknowledged")
    stray.chmod(0o600)
    async with reopened():
        assert objects(data) == []


async def test_a_published_object_without_a_row_is_moved_to_quarantine(data: Path, reopened: Open) -> None:
    async with reopened():
        pass
    stray = data / "objects" / "a" / ("a" * 32)
    stray.write_bytes(b"who knows")
    stray.chmod(0o400)
    async with reopened():
        assert objects(data) == []
        assert (data / "quarantine" / stray.name).read_bytes() == b"who knows"


async def test_what_is_beyond_the_durable_bytes_is_cut_off(data: Path, reopened: Open) -> None:
    async with reopened() as store:
        upload_id = await begin_half(store)
    (path,) = objects(data)
    with path.open("ab") as stream:
        stream.write(b"written, not synced")
    async with reopened() as store:
        assert path.stat().st_size == len(HALF)
        async with store.resume(upload_id, "me") as writer:
            assert writer.durable.leading == len(HALF)


async def test_an_object_that_is_too_short_fails_its_upload(data: Path, reopened: Open) -> None:
    async with reopened() as store:
        upload_id = await begin_half(store)
    os.truncate(objects(data)[0], 100)
    async with reopened() as store:
        assert await store.unfinished("me") == []
        assert await store.find_unfinished(REQUEST.name, "me") is None
        with pytest.raises(NotFound):
            async with store.resume(upload_id, "me"):
                pass


async def test_modes_follow_the_rows(data: Path, reopened: Open) -> None:
    async with reopened() as store:
        await store.put(REQUEST, WHOLE, digest_bytes(WHOLE))
    (path,) = objects(data)
    path.chmod(0o600)
    async with reopened() as store:
        assert path.stat().st_mode & 0o777 == 0o400
        assert await names(store) == ["a.bin"]
    async with reopened() as store:
        await store.delete(REQUEST.name)
        await begin_half(store)
    (path,) = objects(data)
    path.chmod(0o400)
    async with reopened() as store:
        assert path.stat().st_mode & 0o777 == 0o600
        assert len(await store.unfinished("me")) == 1


async def test_a_deletion_that_was_cut_short_is_finished(data: Path, reopened: Open) -> None:
    async with reopened() as store:
        await store.put(REQUEST, WHOLE, digest_bytes(WHOLE))
    (path,) = objects(data)
    with sqlite3.connect(data / "catalog.db") as catalog:
        catalog.execute("DELETE FROM files")
        catalog.execute("INSERT INTO deleting VALUES (?)", (path.name,))
    catalog.close()
    async with reopened() as store:
        assert objects(data) == []
        assert await names(store) == []
    with sqlite3.connect(data / "catalog.db") as catalog:
        assert catalog.execute("SELECT * FROM deleting").fetchall() == []
    catalog.close()


async def test_a_damaged_partial_leaf_becomes_a_hole(data: Path, reopened: Open) -> None:
    async with reopened() as store:
        upload_id = await begin_half(store)
    with objects(data)[0].open("r+b") as stream:
        stream.seek(1000)
        stream.write(bytes([HALF[1000] ^ 1]))
    async with reopened() as store, store.resume(upload_id, "me") as writer:
        assert writer.durable.leading == 0
        await writer.write(0, [WHOLE])
        await writer.finish(digest_bytes(WHOLE))


async def test_a_finish_says_that_bytes_are_missing_only_when_the_damage_was_told(data: Path, reopened: Open) -> None:
    request = UploadRequest(name=Name.parse("a.bin"), size=3 * MIB, owner="me")
    whole, told = os.urandom(3 * MIB), list[Range]()
    async with reopened() as store, store.begin(request) as writer:
        await writer.write(0, [whole])
        await writer.sync()
    with objects(data)[0].open("r+b") as stream:
        stream.write(bytes([whole[0] ^ 1]))
    async with reopened() as store, store.resume(writer.upload_id, "me") as writer:
        writer.on_damage = told.append
        while writer.received.leading:  # noqa: ASYNC110 - turn by turn of the loop: finish comes as early as it can
            await asyncio.sleep(0)
        with pytest.raises(Incomplete):
            await writer.finish(digest_bytes(whole))
        assert told == [Range(0, MIB)]


async def test_time_that_the_store_was_not_open_is_no_silence(reopened: Open, clock: ManualClock) -> None:
    async with reopened() as store:
        await begin_half(store)
    clock.advance(1_000)
    async with reopened() as store:
        assert await store.expire() == 0
        clock.advance(101)
        assert await store.expire() == 1
        assert await store.unfinished("me") == []


async def test_completed_uploads_are_remembered_over_time_that_the_store_was_not_open(
    reopened: Open, clock: ManualClock
) -> None:
    async with reopened() as store, store.begin(REQUEST) as writer:
        await writer.write(0, [WHOLE])
        published = await writer.finish(digest_bytes(WHOLE))
    clock.advance(1_000)
    async with reopened() as store:
        await store.expire()
        assert await store.find_completed(writer.upload_id, "me") == published
        clock.advance(101)
        await store.expire()
        assert await store.find_completed(writer.upload_id, "me") is None


async def test_a_connected_upload_is_not_silent(reopened: Open, clock: ManualClock) -> None:
    async with reopened() as store, store.begin(REQUEST):
        clock.advance(1_000)
        assert await store.expire() == 0


async def test_a_first_start_that_was_cut_short_is_done_again(data: Path, reopened: Open) -> None:
    async with reopened():
        pass
    (data / "store.json").unlink()
    async with reopened() as store:
        await store.put(REQUEST, WHOLE, digest_bytes(WHOLE))
        assert await names(store) == ["a.bin"]


async def test_objects_without_store_json_are_refused(data: Path, reopened: Open) -> None:
    async with reopened() as store:
        await store.put(REQUEST, WHOLE, digest_bytes(WHOLE))
    (data / "store.json").unlink()
    with pytest.raises(StoreRefused, match="towline recover"):
        async with reopened():
            pass
    assert len(objects(data)) == 1


async def test_a_missing_catalog_is_refused(data: Path, reopened: Open) -> None:
    async with reopened() as store:
        await store.put(REQUEST, WHOLE, digest_bytes(WHOLE))
    (data / "catalog.db").unlink()
    with pytest.raises(StoreRefused, match="towline recover"):
        async with reopened():
            pass
    assert len(objects(data)) == 1


async def refusal(store: LocalStore) -> str:
    """Why it does not open; empty when it does."""
    try:
        async with store:
            return ""
    except StoreRefused as refused:
        return str(refused)


async def test_a_catalog_that_is_damaged_opens_or_is_refused_whichever_page_it_is(data: Path, reopened: Open) -> None:
    async with reopened() as store:
        await store.put(REQUEST, WHOLE, digest_bytes(WHOLE))
    sound = (data / "catalog.db").read_bytes()
    sentences: list[str] = []
    for page in range(0, len(sound), 4096):
        (data / "catalog.db").write_bytes(sound[:page] + b"\xff" * 4096 + sound[page + 4096 :])
        sentences.append(await refusal(reopened()))
    assert len(list(filter(None, sentences))) >= 5
    assert [sentence for sentence in sentences if sentence and "towline recover" not in sentence] == []
    assert len(objects(data)) == 1


async def test_the_catalog_of_another_store_is_refused(data: Path, reopened: Open, tmp_path: Path) -> None:
    async with reopened(), LocalStore(tmp_path / "other", min_free_bytes=0):
        pass
    (tmp_path / "other" / "catalog.db").replace(data / "catalog.db")
    with pytest.raises(StoreRefused, match="another store"):
        async with reopened():
            pass


async def test_a_second_server_on_the_same_folder_is_refused(reopened: Open) -> None:
    async with reopened():
        with pytest.raises(StoreRefused, match="another server uses"):
            async with reopened():
                pass
