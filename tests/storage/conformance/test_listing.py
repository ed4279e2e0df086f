"""The listing: every order, every page."""

import asyncio
import base64
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import (
    NameTaken,
)
from storage.store import FileQuery, Published, SortKey, Store, StoredFile
from tests.storage.conformance.asking import (
    SORTS,
    ManualClock,
    put,
)
from transfer.protocol.names import InvalidName, Name


def some_names() -> st.SearchStrategy[Name]:
    """Names that are near each other in one order and far in another: cases, planes, characters that SQL knows."""
    segment = st.text(st.sampled_from("aAbBzZéÉßsS09 %_*?[]^-.~!'\"k\uffee\ue000𝒳𐐀"), min_size=1, max_size=4)
    return st.lists(segment, min_size=1, max_size=3).map("/".join).map(_name_or_none).filter(bool).map(_sure)


def _name_or_none(text: str) -> Name | None:
    try:
        return Name.parse(text)
    except InvalidName:
        return None


def _sure(name: Name | None) -> Name:
    assert name is not None
    return name


@dataclass(frozen=True, slots=True)
class _Sample:
    name: Name
    size: int
    modified: datetime | None


def samples() -> st.SearchStrategy[list[_Sample]]:
    times = st.sampled_from(
        [datetime(1965, 1, 1, tzinfo=UTC), *(datetime(2026, 1, 1, 0, 0, 0, n, UTC) for n in (0, 1))]
    )
    sample = st.builds(_Sample, some_names(), st.integers(0, 3), st.none() | times)
    return st.lists(sample, max_size=12, unique_by=lambda sample: sample.name.key)


async def fill(store: Store, clock: ManualClock, wanted: list[_Sample]) -> list[StoredFile]:
    """Empty the store and put these into it, half of them later; those that exclude another are left out."""
    for file in (await store.list_files(FileQuery())).files:
        await store.delete(file.name)
    stored: list[StoredFile] = []
    for half in (wanted[::2], wanted[1::2]):
        clock.advance(1)
        for outcome in await asyncio.gather(
            *(put(store, it.name.value, b"x" * it.size, modified=it.modified) for it in half), return_exceptions=True
        ):
            if isinstance(outcome, Published):
                stored.append(outcome.file)
            else:
                assert isinstance(outcome, NameTaken)
    return stored


def expected_listing(files: list[StoredFile], query: FileQuery) -> list[StoredFile]:
    never = datetime.min.replace(tzinfo=UTC)

    def place(file: StoredFile) -> tuple[int, datetime, bytes]:
        size = file.size if query.sort == "size" else 0
        moment = {"created": file.created, "modified": file.modified or never}.get(query.sort, never)
        return size, moment, file.name.value.encode()

    return sorted(
        (
            file
            for file in files
            if file.name.value.startswith(query.prefix) and query.contains.casefold() in file.name.value.casefold()
        ),
        key=place,
        reverse=query.descending,
    )


def expected_level(files: list[StoredFile], query: FileQuery) -> list[StoredFile | str]:
    """The folders and files of one level."""
    found = expected_listing(files, query)
    below = [file.name.value.removeprefix(query.prefix).split("/") for file in found]
    folders = {f"{query.prefix}{segments[0]}/" for segments in below if len(segments) > 1}
    return [*sorted(folders), *(file for file, segments in zip(found, below, strict=True) if len(segments) == 1)]


async def levels(store: Store, query: FileQuery) -> list[list[StoredFile | str]]:
    page = await store.list_files(query)
    read_so_far: list[list[StoredFile | str]] = [[*page.folders, *page.files]]
    while page.next is not None:
        page = await store.list_files(replace(query, cursor=page.next))
        read_so_far.append([*page.folders, *page.files])
    return read_so_far


async def pages(store: Store, query: FileQuery) -> list[list[StoredFile]]:
    page = await store.list_files(query)
    read_so_far = [page.files]
    while page.next is not None:
        page = await store.list_files(replace(query, cursor=page.next))
        read_so_far.append(page.files)
    return read_so_far


examples = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(data=st.data())
@examples
async def test_every_order_and_every_page_is_exact(store: Store, clock: ManualClock, data: st.DataObject) -> None:
    stored = await fill(store, clock, data.draw(samples()))
    parts = [file.name.value[i:j] for file in stored for i in range(3) for j in range(i, i + 3)]
    some_part = st.just("") | st.sampled_from([*parts, "a", "É", "ss", "%", "_", "\U0010ffff"])
    query = FileQuery(
        prefix=data.draw(some_part),
        contains=data.draw(some_part),
        sort=data.draw(st.sampled_from(SORTS)),
        descending=data.draw(st.booleans()),
        limit=data.draw(st.integers(1, 5)),
    )
    expected = expected_listing(stored, query)
    assert await pages(store, query) == [
        expected[start : start + query.limit] for start in range(0, max(1, len(expected)), query.limit)
    ]
    assert (await store.list_files(replace(query, limit=1_000))).files == expected


@given(data=st.data())
@examples
async def test_every_level_has_its_folders_and_then_its_files(
    store: Store, clock: ManualClock, data: st.DataObject
) -> None:
    stored = await fill(store, clock, data.draw(samples()))
    starts = [file.name.value[:end] for file in stored for end in range(len(file.name.value))]
    parts = [file.name.value[i:j] for file in stored for i in range(3) for j in range(i, i + 3)]
    query = FileQuery(
        by_folder=True,
        prefix=data.draw(st.just("") | st.sampled_from([*starts, "a"])),
        contains=data.draw(st.just("") | st.sampled_from([*parts, "a"])),
        sort=data.draw(st.sampled_from(SORTS)),
        descending=data.draw(st.booleans()),
        limit=data.draw(st.integers(1, 4)),
    )
    expected = expected_level(stored, query)
    assert await levels(store, query) == [
        expected[start : start + query.limit] for start in range(0, max(1, len(expected)), query.limit)
    ]


async def test_of_folders_only_those_are_told_that_are_within_what_may_be_seen(store: Store) -> None:
    for name in ("team/ann/a", "team/bob/b", "zoo/z"):
        await put(store, name, b"content")
    for prefix, folders in (("", ["team/"]), ("team/", ["team/bob/"]), ("team/ann/", []), ("zoo/", [])):
        page = await store.list_files(FileQuery(by_folder=True, prefix=prefix, within="team/bob/"))
        assert (page.folders, page.files) == (folders, [])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", SORTS)
async def test_files_that_come_and_go_shift_no_page(
    store: Store, clock: ManualClock, sort: SortKey, descending: bool
) -> None:
    wanted = [_Sample(Name.parse(name), size, None) for name, size in zip("bdfhjl", (1, 1, 2, 2, 3, 3), strict=True)]
    stored = await fill(store, clock, wanted)
    query = FileQuery(sort=sort, descending=descending, limit=3)
    expected = expected_listing(stored, query)
    first = await store.list_files(query)
    assert first.files == expected[:3]
    assert first.next is not None
    for file in (expected[0], expected[2], expected[4]):
        await store.delete(file.name)
    second = await store.list_files(replace(query, cursor=first.next))
    assert second.files == [expected[3], expected[5]]
    assert second.next is None


async def test_an_empty_listing_has_one_empty_page(store: Store) -> None:
    assert await pages(store, FileQuery()) == [[]]
    await put(store, "a", b"content")
    assert await pages(store, FileQuery(prefix="b")) == [[]]


async def test_a_prefix_is_exact_and_a_part_ignores_case(store: Store) -> None:
    for name in ("Photos/Cat.jpg", "photos/cat.png", "photos_x", "straße/ÉTÉ.txt"):
        await put(store, name, b"content")

    async def listed(prefix: str = "", contains: str = "") -> list[str]:
        page = await store.list_files(FileQuery(prefix=prefix, contains=contains))
        return [file.name.value for file in page.files]

    assert await listed(prefix="photos") == ["photos/cat.png", "photos_x"]
    assert await listed(prefix="photos/") == ["photos/cat.png"]
    assert await listed(contains="CAT") == ["Photos/Cat.jpg", "photos/cat.png"]
    assert await listed(contains="STRASSE/été") == ["straße/ÉTÉ.txt"]
    assert await listed(prefix="P", contains=".jpg") == ["Photos/Cat.jpg"]
    assert await listed(contains="%") == []
    assert await listed(prefix="photos_") == ["photos_x"]


@pytest.mark.parametrize("sort", SORTS)
async def test_a_cursor_of_another_order_is_refused(store: Store, sort: SortKey) -> None:
    await put(store, "a", b"content")
    await put(store, "b", b"content")
    page = await store.list_files(FileQuery(sort=sort, limit=1))
    for other in SORTS:
        if other != sort:
            with pytest.raises(ValueError, match="cursor"):
                await store.list_files(FileQuery(sort=other, cursor=page.next))


@pytest.mark.parametrize("folder", ["", "/", "a//", "../", "a\0/", "/a/"], ids=ascii)
async def test_a_cursor_of_what_is_no_folder_is_refused(store: Store, folder: str) -> None:
    await put(store, "a", b"content")
    cursor = base64.urlsafe_b64encode(f"folder\n\n{folder}".encode()).decode()
    for by_folder in (True, False):
        with pytest.raises(ValueError, match="cursor"):
            await store.list_files(FileQuery(by_folder=by_folder, cursor=cursor))


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '["SORT",0]',
        '["SORT",0,"a","b"]',
        '["SORT","2026-01-01","a"]',
        '["SORT","9999-12-31T23:59:59-23:59","a"]',
        '["SORT",[],"a"]',
        '["SORT",true,"a"]',
        '["SORT",1e400,"a"]',
        f'["SORT",{2**64},"a"]',
        '["SORT",0,"\\ud800"]',
        '["SORT",0,0]',
        "SORT\n9" + "9" * 5000 + "\na",
        f"SORT\n{2**64}\na",
        "SORT\n-1\na",
        "SORT\n2026-01-01T00:00:00\na",
        "SORT\n9999-12-31T23:59:59-23:59\na",
        "SORT\n\n\x00",
        "SORT",
    ],
    ids=range(22),
)
async def test_a_forged_cursor_is_refused(store: Store, sort: SortKey, text: str) -> None:
    await put(store, "a", b"content")
    forged = base64.urlsafe_b64encode(text.replace("SORT", sort).encode()).decode()
    for cursor in (forged, forged.rstrip("="), text):
        await _refuse_or_answer(store, FileQuery(sort=sort, cursor=cursor))
        await _refuse_or_answer(store, FileQuery(sort=sort, cursor=cursor, by_folder=True))
    with pytest.raises(ValueError, match="cursor"):
        await store.list_files(FileQuery(sort=sort, cursor=text))


@given(data=st.data(), sort=st.sampled_from(SORTS))
@examples
async def test_whatever_comes_as_a_cursor_is_answered(
    store: Store, clock: ManualClock, data: st.DataObject, sort: SortKey
) -> None:
    await fill(store, clock, [_Sample(Name.parse(name), 1, None) for name in "abc"])
    page = await store.list_files(FileQuery(sort=sort, limit=1))
    assert page.next is not None
    place = data.draw(st.integers(0, len(page.next)))
    garbled = page.next[:place] + data.draw(st.text(max_size=3)) + page.next[place + data.draw(st.integers(0, 3)) :]
    for cursor in (garbled, data.draw(st.text())):
        await _refuse_or_answer(store, FileQuery(sort=sort, cursor=cursor))


async def _refuse_or_answer(store: Store, query: FileQuery) -> None:
    """A client can name a place that no page ended at: that harms nobody. It cannot make the store fail."""
    with suppress(ValueError):
        await store.list_files(query)
