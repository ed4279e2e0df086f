"""Names are one namespace: who gets a name that is taken, and what stands in whose way."""

import pytest

from storage.errors import NameTaken, Replaced
from storage.store import FileQuery, IfExists, Published, Store, UploadRequest
from tests.storage.conformance.asking import (
    ANN,
    IF_EXISTS,
    Kept,
    ask,
    begin_and_leave,
    found,
    hold,
    is_there,
    names,
    put,
    spans,
    upload,
)
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name


async def test_a_taken_name_is_refused_at_the_end(store: Store) -> None:
    before = await put(store, "a.bin", b"before")
    async with store.begin(ask(size=6)) as writer:
        assert writer.existing == before.file
        await writer.write(0, [b"other!"])
        with pytest.raises(NameTaken) as raised:
            await writer.finish(digest_bytes(b"other!"))
    assert (raised.value.name, raised.value.existing) == (Name.parse("a.bin"), before.file)
    with pytest.raises(NameTaken) as raised:
        await put(store, "a.bin", b"other!")
    assert raised.value.existing == before.file
    assert await is_there(store, "a.bin", b"before")


async def test_a_taken_name_is_refused_before_the_first_byte_when_the_sizes_differ(store: Store) -> None:
    before = await put(store, "a.bin", b"before")
    left = await begin_and_leave(store, ask("b.bin", size=7))
    for opening in (store.begin(ask(size=7)), store.resume(left.upload_id, ANN, ask(size=7))):
        with pytest.raises(NameTaken) as raised:
            await hold(opening)
        assert raised.value.existing == before.file
    assert len(await store.unfinished(ANN)) == 1


@pytest.mark.parametrize("request_", [ask(size=None), ask(size=7, if_exists="replace"), ask(if_exists="rename")])
async def test_a_taken_name_is_no_obstacle_while_it_may_go_well(store: Store, request_: UploadRequest) -> None:
    before = await put(store, "a.bin", b"before")
    async with store.begin(request_) as writer:
        assert writer.existing == before.file


@pytest.mark.parametrize("if_exists", ["replace", "rename"])
@pytest.mark.parametrize("reopened", [False, True])
async def test_an_upload_refused_for_its_name_is_kept_and_needs_no_byte_again(
    kept: Kept, if_exists: IfExists, reopened: bool
) -> None:
    await put(kept.store, "cat.jpg", b"before")
    async with kept.store.begin(ask("cat.jpg", size=6)) as writer:
        await writer.write(0, [b"other!"])
        with pytest.raises(NameTaken):
            await writer.finish(digest_bytes(b"other!"))
    store = await kept.reopen() if reopened else kept.store
    async with store.resume(writer.upload_id, ANN, ask("cat.jpg", size=6, if_exists=if_exists)) as again:
        assert again.durable == spans((0, 6))
        published = await again.finish(digest_bytes(b"other!"))
    assert published.file.name.value == ("cat.jpg" if if_exists == "replace" else "cat (2).jpg")
    assert await is_there(store, published.file.name.value, b"other!")


async def test_the_same_writer_may_finish_once_the_name_is_free(store: Store) -> None:
    await put(store, "a.bin", b"before")
    async with store.begin(ask(size=6)) as writer:
        await writer.write(0, [b"other!"])
        with pytest.raises(NameTaken):
            await writer.finish(digest_bytes(b"other!"))
        await store.delete(Name.parse("a.bin"))
        await writer.finish(digest_bytes(b"other!"))
    assert await is_there(store, "a.bin", b"other!")


async def test_only_the_file_that_is_meant_is_deleted(store: Store) -> None:
    file = (await put(store, "a.bin", b"before")).file
    with pytest.raises(Replaced):
        await store.delete(file.name, is_meant=lambda there: there.digest == digest_bytes(b"other!"))
    assert await is_there(store, "a.bin", b"before")
    await store.delete(file.name, is_meant=lambda there: there == file)
    assert await store.find(file.name) is None


async def test_of_two_uploads_of_a_name_the_first_to_finish_has_it(store: Store) -> None:
    async with store.begin(ask(size=1)) as first, store.begin(ask(size=1)) as second:
        await first.write(0, [b"1"])
        await second.write(0, [b"2"])
        await second.finish(digest_bytes(b"2"))
        with pytest.raises(NameTaken):
            await first.finish(digest_bytes(b"1"))
    assert await is_there(store, "a.bin", b"2")


async def test_renaming_counts_up_to_the_first_free_name(store: Store) -> None:
    await put(store, "photos/cat.jpg", b"1")
    for number in (2, 3, 4):
        published = await put(store, "photos/cat.jpg", b"%d" % number, if_exists="rename")
        assert published.file.name.value == f"photos/cat ({number}).jpg"
    await store.delete(Name.parse("photos/cat (3).jpg"))
    _, published = await upload(store, ask("photos/cat.jpg", if_exists="rename"), b"5")
    assert published.file.name.value == "photos/cat (3).jpg"


async def test_renaming_finds_its_content_under_a_candidate(store: Store) -> None:
    await put(store, "cat.jpg", b"1")
    second = await put(store, "cat.jpg", b"2", if_exists="rename")
    again = await put(store, "cat.jpg", b"2", if_exists="rename")
    assert again == Published(second.file, unchanged=True)
    upload_id, again = await upload(store, ask("cat.jpg", if_exists="rename"), b"2")
    assert again == Published(second.file, unchanged=True)
    assert await store.find_completed(upload_id, ANN) == again
    assert await names(store) == ["cat (2).jpg", "cat.jpg"]


@pytest.mark.parametrize("if_exists", IF_EXISTS)
async def test_what_is_stored_already_is_unchanged(kept: Kept, if_exists: IfExists) -> None:
    before = await put(kept.store, "a.bin", b"content")
    assert await put(kept.store, "a.bin", b"content", if_exists=if_exists) == Published(before.file, unchanged=True)
    request = ask(size=7, if_exists=if_exists)
    upload_id, published = await upload(kept.store, request, b"content")
    assert published == Published(before.file, unchanged=True)
    async for store in kept.before_and_after_reopening():
        assert await store.unfinished(ANN) == []
        assert await store.find_completed(upload_id, ANN) == published
        assert (await store.list_files(FileQuery())).files == [before.file]
        assert await is_there(store, "a.bin", b"content")


@pytest.mark.parametrize("if_exists", IF_EXISTS)
async def test_a_digest_of_another_algorithm_counts_as_other_content(store: Store, if_exists: IfExists) -> None:
    await put(store, "cat.jpg", b"content", algorithm="sha256")
    adding = put(store, "cat.jpg", b"content", algorithm="blake3", if_exists=if_exists)
    if if_exists == "error":
        with pytest.raises(NameTaken):
            await adding
        return
    published = await adding
    assert not published.unchanged
    assert published.file.digest == digest_bytes(b"content", "blake3")
    assert await names(store) == (["cat.jpg"] if if_exists == "replace" else ["cat (2).jpg", "cat.jpg"])


async def test_names_that_differ_in_case_alone_are_one_name(store: Store) -> None:
    before = await put(store, "Straße/Cat.JPG", b"before")
    assert await found(store, "straße/cat.jpg") is None
    for name in ("straße/cat.jpg", "STRASSE/CAT.jpg"):
        with pytest.raises(NameTaken) as raised:
            await put(store, name, b"after")
        assert raised.value.existing == before.file
    numbered = await put(store, "straße/cat.jpg", b"after", if_exists="rename")
    assert numbered.file.name.value == "straße/cat (2).jpg"
    replaced = await put(store, "strasse/cat.jpg", b"after", if_exists="replace")
    assert replaced.file.name.value == "strasse/cat.jpg"
    assert await names(store) == ["strasse/cat.jpg", "straße/cat (2).jpg"]


async def test_the_same_content_under_another_case_is_not_what_is_stored(store: Store) -> None:
    await put(store, "cat.jpg", b"content")
    with pytest.raises(NameTaken):
        await put(store, "Cat.jpg", b"content")
    replaced = await put(store, "Cat.jpg", b"content", if_exists="replace")
    assert not replaced.unchanged
    assert await names(store) == ["Cat.jpg"]


@pytest.mark.parametrize("if_exists", ["error", "replace"])
@pytest.mark.parametrize(
    ("there", "asked"),
    [("a", "a/b"), ("a/b", "a"), ("a/b", "A/B/c/d"), ("x/a/b/c", "x/A"), ("Straße", "STRASSE/b")],
)
async def test_a_file_and_a_folder_exclude_each_other(
    store: Store, there: str, asked: str, if_exists: IfExists
) -> None:
    stored = await put(store, there, b"content")
    with pytest.raises(NameTaken) as raised:
        await put(store, asked, b"content", if_exists=if_exists)
    assert (raised.value.name, raised.value.existing) == (Name.parse(asked), None)
    assert raised.value.conflict == stored.file.name
    with pytest.raises(NameTaken):
        await hold(store.begin(ask(asked, if_exists=if_exists)))
    assert (await store.unfinished(ANN), await names(store)) == ([], [there])


async def test_renaming_steps_aside_for_a_folder_but_not_out_of_a_file(store: Store) -> None:
    await put(store, "a/b", b"content")
    beside = await put(store, "a", b"content", if_exists="rename")
    assert beside.file.name.value == "a (2)"
    with pytest.raises(NameTaken) as raised:
        await put(store, "a/b/c", b"content", if_exists="rename")
    assert raised.value.conflict == Name.parse("a/b")


async def test_a_folder_that_came_meanwhile_refuses_the_file_at_the_end(store: Store) -> None:
    async with store.begin(ask("a", size=1)) as writer:
        await writer.write(0, [b"1"])
        await put(store, "a/b", b"content")
        with pytest.raises(NameTaken) as raised:
            await writer.finish(digest_bytes(b"1"))
        assert raised.value.conflict == Name.parse("a/b")
        await store.delete(Name.parse("a/b"))
        await writer.finish(digest_bytes(b"1"))


@pytest.mark.parametrize("beside", ["ab", "a b", "a-b", "a.b", "a0", "a (2)/x"])
async def test_names_that_only_begin_alike_do_not_exclude_each_other(store: Store, beside: str) -> None:
    await put(store, "a", b"content")
    await put(store, beside, b"content")
    await put(store, "b/" + beside, b"content")
    await put(store, "b/a", b"content")
    assert len(await names(store)) == 4
