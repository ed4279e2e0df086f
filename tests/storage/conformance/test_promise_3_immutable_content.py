"""Promise 3: published content is immutable; `replace` swaps which content a name means."""

import pytest

from storage.errors import (
    NameTaken,
    NotFound,
)
from storage.store import Store
from tests.storage.conformance.asking import (
    LEAF,
    Kept,
    ManualClock,
    ask,
    found,
    is_there,
    made,
    names,
    put,
    read,
    upload,
)
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name


async def test_content_is_read_from_anywhere_to_its_end(store: Store) -> None:
    content = made(1000)
    published = await put(store, "a.bin", content)
    async with store.open(published.file) as opened:
        assert opened.file == published.file
        assert await opened.read(0, 10) == content[:10]
        assert await opened.read(990, 100) == content[990:]
        assert await opened.read(1000, 10) == b""
        assert await opened.read(5000, 10) == b""
        assert await opened.read(500, 0) == b""


async def test_a_buffer_belongs_to_the_caller_again_once_it_is_published(store: Store) -> None:
    buffer = bytearray(b"content")
    published = await store.put(ask(), buffer, digest_bytes(buffer))
    buffer[:] = b"changed"
    assert await read(store, published.file) == b"content"


async def test_content_is_readable_to_its_end_after_it_was_deleted(store: Store) -> None:
    content = made(LEAF + 1)
    _, published = await upload(store, ask(), content)
    async with store.open(published.file) as opened:
        beginning = await opened.read(0, 100)
        await store.delete(Name.parse("a.bin"))
        assert await names(store) == []
        assert beginning + await opened.read(100, LEAF + 1) == content
    with pytest.raises(NotFound):
        await read(store, published.file)


async def test_replacing_swaps_which_content_a_name_means(store: Store) -> None:
    before = await put(store, "a.bin", b"before")
    async with store.open(before.file) as opened:
        _, after = await upload(store, ask(if_exists="replace"), b"after")
        assert await found(store, "a.bin") == after.file
        assert await opened.read(0, 100) == b"before"
    assert after.file.file_id != before.file.file_id
    assert await names(store) == ["a.bin"]
    assert await read(store, after.file) == b"after"
    with pytest.raises(NotFound):
        await read(store, before.file)


async def test_what_was_replaced_is_gone_after_reopening(kept: Kept) -> None:
    before = await put(kept.store, "a.bin", b"before")
    await put(kept.store, "a.bin", b"after", if_exists="replace")
    store = await kept.reopen()
    assert await is_there(store, "a.bin", b"after")
    with pytest.raises(NotFound):
        await read(store, before.file)


async def test_a_renamed_file_keeps_everything_else(kept: Kept, clock: ManualClock) -> None:
    before = await put(kept.store, "old/name", b"content")
    clock.advance(100)
    renamed = await kept.store.rename(Name.parse("old/name"), Name.parse("new/name"))
    assert renamed == before.file._replace(name=Name.parse("new/name"))
    assert await read(kept.store, before.file) == b"content"
    store = await kept.reopen()
    assert await found(store, "old/name") is None
    assert await found(store, "new/name") == renamed
    assert await names(store) == ["new/name"]
    await put(store, "old/name", b"other content")


@pytest.mark.parametrize(("there", "new_name"), [("b", "b"), ("B", "b"), ("b/c", "b"), ("b", "b/c"), ("b", "B/c/d")])
async def test_a_file_cannot_be_renamed_to_a_name_that_is_taken(store: Store, there: str, new_name: str) -> None:
    await put(store, "a", b"content")
    await put(store, there, b"content")
    with pytest.raises(NameTaken) as raised:
        await store.rename(Name.parse("a"), Name.parse(new_name))
    assert raised.value.name == Name.parse(new_name)
    assert sorted(await names(store)) == sorted(["a", there])


@pytest.mark.parametrize(
    ("name", "new_name"), [("cat.jpg", "Cat.JPG"), ("cat.jpg", "cat.jpg"), ("a", "a/b"), ("a/b", "A"), ("ß", "SS")]
)
async def test_a_file_does_not_stand_in_its_own_way(store: Store, name: str, new_name: str) -> None:
    before = await put(store, name, b"content")
    renamed = await store.rename(Name.parse(name), Name.parse(new_name))
    assert renamed == before.file._replace(name=Name.parse(new_name))
    assert await names(store) == [new_name]


async def test_what_is_not_there_is_neither_renamed_nor_deleted(store: Store) -> None:
    await put(store, "Cat", b"content")
    for name in ("dog", "cat", "Cat/below"):
        with pytest.raises(NotFound):
            await store.rename(Name.parse(name), Name.parse("new"))
        with pytest.raises(NotFound):
            await store.delete(Name.parse(name))
    assert await names(store) == ["Cat"]


async def test_a_deleted_file_is_gone_and_its_name_free(kept: Kept) -> None:
    before = await put(kept.store, "a", b"content")
    await kept.store.delete(Name.parse("a"))
    with pytest.raises(NotFound):
        await kept.store.delete(Name.parse("a"))
    async for store in kept.before_and_after_reopening():
        assert await found(store, "a") is None
        with pytest.raises(NotFound):
            await read(store, before.file)
    again = await put(kept.store, "a/b", b"content")
    assert not again.unchanged
