"""Whose file it is decides who may put another in its place, and who may learn what it is."""

import pytest

from storage.errors import NameTaken, NotFound, NotYours
from storage.store import IfExists, Store, UploadRequest
from tests.storage.conformance.asking import (
    ANN,
    BOB,
    HOW,
    IF_EXISTS,
    ask,
    begin_and_leave,
    complete,
    found,
    give,
    hold,
    is_there,
    leave,
    names,
    put,
)
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name

CONTENT, OTHER = b"content", b"another"
LINK = "11a2"


def visitor(number: int, name: str = "a.bin", size: int | None = None) -> UploadRequest:
    return ask(
        name,
        size,
        owner=f"request:{LINK}:{number}",
        subject=ANN,
        via=LINK,
        if_exists="rename",
        may_compare=False,
        may_replace=False,
    )


def bobs(size: int | None = None, if_exists: IfExists = "error", **rights: bool) -> UploadRequest:
    return ask("a.bin", size, owner=BOB, if_exists=if_exists, **rights)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- comparing


@pytest.mark.parametrize("how", HOW)
async def test_who_may_not_compare_never_hears_unchanged_of_others_files(store: Store, how: str) -> None:
    await put(store, "a.bin", CONTENT)
    published = await give(store, bobs(len(CONTENT), "rename", may_compare=False), CONTENT, how)
    assert (published.unchanged, published.file.name) == (False, Name.parse("a (2).bin"))
    again = await give(store, bobs(len(CONTENT), "rename", may_compare=False), CONTENT, how)
    assert (again.unchanged, again.file) == (True, published.file)


@pytest.mark.parametrize("how", HOW)
async def test_who_may_not_compare_replaces_an_equal_file_too(store: Store, how: str) -> None:
    before = (await put(store, "a.bin", CONTENT)).file
    published = await give(store, bobs(len(CONTENT), "replace", may_compare=False), CONTENT, how)
    assert (published.unchanged, published.file.owner) == (False, BOB)
    assert await store.find_by_id(before.file_id) is None


@pytest.mark.parametrize("size", [None, len(CONTENT), 1])
async def test_who_may_not_compare_is_refused_at_once_and_told_nothing(store: Store, size: int | None) -> None:
    await put(store, "a.bin", CONTENT)
    with pytest.raises(NameTaken) as raised:
        async with store.begin(bobs(size, may_compare=False)):
            pass
    assert not raised.value.disclosed
    assert str(raised.value) == "the name 'a.bin' is taken"
    assert await store.unfinished(BOB) == []


async def test_a_small_file_of_who_may_not_compare_is_refused_and_tells_nothing(store: Store) -> None:
    await put(store, "a.bin", CONTENT)
    for content in (CONTENT, OTHER):
        with pytest.raises(NameTaken) as raised:
            await give(store, bobs(len(content), may_compare=False), content, "small")
        assert not raised.value.disclosed


async def test_a_name_that_is_taken_meanwhile_tells_nothing_either(store: Store) -> None:
    async with store.begin(bobs(len(CONTENT), may_compare=False)) as writer:
        await writer.write(0, [CONTENT])
        await put(store, "a.bin", CONTENT)
        with pytest.raises(NameTaken) as raised:
            await writer.finish(digest_bytes(CONTENT))
    assert not raised.value.disclosed


@pytest.mark.parametrize("if_exists", ["replace", "rename"])
async def test_a_writer_of_who_may_not_compare_does_not_know_what_is_there(store: Store, if_exists: IfExists) -> None:
    file = (await put(store, "a.bin", CONTENT)).file
    async with store.begin(bobs(9, if_exists)) as writer:
        assert writer.existing == file
    async with store.resume(writer.upload_id, BOB, bobs(9, if_exists, may_compare=False)) as writer:
        assert writer.existing is None


@pytest.mark.parametrize("if_exists", ["error", "replace"])
@pytest.mark.parametrize("taken", ["a.bin/below", "a.bin"])
async def test_what_is_in_the_way_as_a_folder_is_not_told_either(store: Store, if_exists: IfExists, taken: str) -> None:
    await put(store, taken, CONTENT)
    name = "a.bin/more" if taken == "a.bin" else "a.bin"
    request = ask(name, 1, owner=BOB, if_exists=if_exists, may_compare=False)
    with pytest.raises(NameTaken) as begun:
        async with store.begin(request):
            pass
    with pytest.raises(NameTaken) as sent:
        await give(store, request, b"1", "small")
    assert [str(raised.value) for raised in (begun, sent)] == [f"the name '{name}' is taken"] * 2


@pytest.mark.parametrize("if_exists", IF_EXISTS)
@pytest.mark.parametrize("how", HOW)
async def test_ones_own_file_is_compared_by_anybody(store: Store, how: str, if_exists: IfExists) -> None:
    request = bobs(len(CONTENT), if_exists, may_compare=False, may_replace=False)
    before = await give(store, request, CONTENT, how)
    again = await give(store, request, CONTENT, how)
    assert (again.unchanged, again.file) == (True, before.file)
    async with store.begin(bobs(9, "replace", may_compare=False)) as writer:
        assert writer.existing == before.file


# ------------------------------------------------------------------------------------------------------- replacing


@pytest.mark.parametrize("how", HOW)
async def test_who_may_not_replace_leaves_others_files(store: Store, how: str) -> None:
    file = (await put(store, "a.bin", CONTENT)).file
    with pytest.raises(NotYours):
        await give(store, bobs(len(OTHER), "replace", may_replace=False), OTHER, how)
    assert await found(store, "a.bin") == file
    assert await is_there(store, "a.bin", CONTENT)


@pytest.mark.parametrize("how", HOW)
async def test_who_may_not_replace_replaces_their_own(store: Store, how: str) -> None:
    await give(store, bobs(len(CONTENT)), CONTENT, "small")
    await give(store, bobs(len(OTHER), "replace", may_replace=False), OTHER, how)
    assert await is_there(store, "a.bin", OTHER)


@pytest.mark.parametrize("how", HOW)
async def test_who_may_not_replace_may_hear_unchanged(store: Store, how: str) -> None:
    file = (await put(store, "a.bin", CONTENT)).file
    published = await give(store, bobs(len(CONTENT), "replace", may_replace=False), CONTENT, how)
    assert (published.unchanged, published.file) == (True, file)


@pytest.mark.parametrize(("size", "may_compare"), [(1, True), (len(CONTENT), False), (None, False)])
async def test_a_replacement_is_refused_early_where_that_is_plain(
    store: Store, size: int | None, may_compare: bool
) -> None:
    await put(store, "a.bin", CONTENT)
    request = bobs(size, "replace", may_replace=False, may_compare=may_compare)
    with pytest.raises(NotYours):
        async with store.begin(request):
            pass
    writer = await begin_and_leave(store, bobs(size, "rename"))
    with pytest.raises(NotYours):
        async with store.resume(writer.upload_id, BOB, request):
            pass


async def test_somebody_elses_file_that_came_meanwhile_is_not_replaced(store: Store) -> None:
    async with store.begin(bobs(len(OTHER), "replace", may_replace=False)) as writer:
        await writer.write(0, [OTHER])
        await put(store, "a.bin", CONTENT)
        with pytest.raises(NotYours):
            await writer.finish(digest_bytes(OTHER))
    assert await is_there(store, "a.bin", CONTENT)
    published = await complete(store, writer.upload_id, bobs(len(OTHER), "rename"), OTHER)
    assert published.file.name == Name.parse("a (2).bin")


async def test_an_upload_that_goes_on_without_a_header_has_no_more_rights(store: Store) -> None:
    writer = await begin_and_leave(store, bobs(len(OTHER), "replace", may_replace=False), OTHER)
    await put(store, "a.bin", CONTENT)
    with pytest.raises(NotYours):
        async with store.resume(writer.upload_id, BOB) as again:
            await again.finish(digest_bytes(OTHER))
    writer = await begin_and_leave(store, bobs(len(OTHER), "rename", may_compare=False), CONTENT)
    async with store.resume(writer.upload_id, BOB) as again:
        assert again.existing is None
        assert not (await again.finish(digest_bytes(CONTENT))).unchanged


async def test_the_newest_header_says_what_may_be_done(store: Store) -> None:
    writer = await begin_and_leave(store, bobs(len(OTHER), "replace", may_replace=False), OTHER)
    await put(store, "a.bin", CONTENT)
    async with store.resume(writer.upload_id, BOB, bobs(len(OTHER), "replace")) as again:
        await again.finish(digest_bytes(OTHER))
    assert await is_there(store, "a.bin", OTHER)


async def test_a_refused_small_file_does_not_undo_its_neighbours(store: Store) -> None:
    await put(store, "a.bin", CONTENT)
    with pytest.raises(NotYours):
        await give(store, bobs(len(OTHER), "replace", may_replace=False), OTHER, "small")
    await give(store, ask("b.bin", 1, owner=BOB, may_replace=False), b"1", "small")
    assert await names(store) == ["a.bin", "b.bin"]


# -------------------------------------------------------------------------------------------------------- visitors


@pytest.mark.parametrize("how", HOW)
async def test_what_a_visitor_sends_again_is_unchanged_and_nobody_elses_is(store: Store, how: str) -> None:
    await put(store, "a.bin", CONTENT)  # Ann's, who made the link
    size = len(CONTENT)
    first = await give(store, visitor(1, size=size), CONTENT, how)
    assert (first.file.name, first.unchanged) == (Name.parse("a (2).bin"), False)
    second = await give(store, visitor(2, size=size), CONTENT, how)
    assert (second.file.name, second.unchanged) == (Name.parse("a (3).bin"), False)
    for number, before in ((1, first), (2, second)):
        again = await give(store, visitor(number, size=size), CONTENT, how)
        assert (again.unchanged, again.file) == (True, before.file)


async def test_a_visitor_does_not_see_what_is_there(store: Store) -> None:
    await put(store, "a.bin", CONTENT)
    async with store.begin(visitor(1)) as writer:
        assert writer.existing is None


async def test_who_made_the_link_has_the_visitors_files(store: Store) -> None:
    await give(store, visitor(1, size=len(CONTENT)), CONTENT, "small")
    request = ask("a.bin", len(CONTENT), owner=ANN, may_compare=False, may_replace=False, if_exists="replace")
    assert (await give(store, request, CONTENT, "small")).unchanged
    await give(store, ask("a.bin", 1, owner=ANN, may_replace=False, if_exists="replace"), b"1", "small")
    assert await is_there(store, "a.bin", b"1")


# -------------------------------------------------------------------------------------------------- within a prefix


def narrow(name: str = "photos/a.bin", size: int | None = None, if_exists: IfExists = "error") -> UploadRequest:
    """Of who has all rights, but only for names below photos/."""
    return ask(name, size, if_exists=if_exists, within="photos/")


@pytest.mark.parametrize("if_exists", ["error", "replace"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("content", [CONTENT, OTHER, b""], ids=["equal", "as long", "another"])
async def test_a_file_of_another_case_beyond_the_prefix_is_neither_replaced_nor_told(
    store: Store, how: str, if_exists: IfExists, content: bytes
) -> None:
    await put(store, "Photos/a.bin", CONTENT)
    with pytest.raises(NameTaken) as raised:
        await give(store, narrow(if_exists=if_exists), content, how)
    assert not raised.value.disclosed
    assert str(raised.value) == "the name 'photos/a.bin' is taken"
    assert await is_there(store, "Photos/a.bin", CONTENT)
    assert await store.unfinished(ANN) == []


async def test_an_upload_that_goes_on_without_a_header_reaches_no_further(store: Store) -> None:
    writer = await begin_and_leave(store, narrow(size=len(OTHER), if_exists="replace"), OTHER)
    await put(store, "Photos/a.bin", CONTENT)
    with pytest.raises(NameTaken):
        async with store.resume(writer.upload_id, ANN) as again:
            await again.finish(digest_bytes(OTHER))
    assert await is_there(store, "Photos/a.bin", CONTENT)


async def test_within_the_prefix_case_is_no_matter(store: Store) -> None:
    await put(store, "photos/A.bin", CONTENT)
    await give(store, narrow(size=len(OTHER), if_exists="replace"), OTHER, "small")
    assert await names(store) == ["photos/a.bin"]


@pytest.mark.parametrize("lease", [True, False])
async def test_an_upload_beyond_the_prefix_is_not_there(store: Store, *, lease: bool) -> None:
    writer, task = await hold(store.begin(ask("a.bin", len(CONTENT))))
    for request in (None, narrow(size=len(CONTENT))):
        with pytest.raises(NotFound):
            async with store.resume(
                writer.upload_id, ANN, request, lease=writer.lease if lease else None, within="photos/"
            ):
                pass
    with pytest.raises(NotFound):
        await store.cancel(writer.upload_id, ANN, within="photos/")
    await writer.write(0, [CONTENT])  # nobody has taken it over
    await writer.finish(digest_bytes(CONTENT))
    await leave(task)
