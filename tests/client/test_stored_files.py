"""Asking a server once which of some names it has."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import client
from client.errors import ConnectionBroken, GaveUp
from client.progress import Event, Waiting
from client.retry import GIVE_UP_AFTER, Patience
from client.stored_files import OTHERS, OTHERS_FOR_EACH, stored_files
from tests.links import Link
from tests.server import running
from transfer.protocol.digest import digest_bytes
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name
from transfer.settings import Settings


def entry(name: str) -> FileEntry:
    created = datetime(2026, 3, 1, tzinfo=UTC)
    return FileEntry(name=Name(name), size=0, digest=digest_bytes(b""), content_type="text/plain", created=created)


class Listing:
    """So many files, in order; knows what was asked for, and how far it was read."""

    def __init__(self, *names: str) -> None:
        self._names = sorted(names)
        self.prefixes: list[str] = []
        self.read = 0

    async def __call__(self, prefix: str) -> AsyncIterator[FileEntry]:
        self.prefixes.append(prefix)
        for name in self._names:
            if name.startswith(prefix):
                self.read += 1
                yield entry(name)


async def found(listing: Listing, *names: str) -> list[str]:
    return [str(file.name) async for file in stored_files(listing, set(names), Patience(), lambda _: None)]


@pytest.mark.parametrize(
    ("names", "prefix"),
    [(["a/b/1", "a/b/2"], "a/b/"), (["a/10", "a/1"], "a/1"), (["a", "b"], ""), (["photos/é"], "photos/é")],
    ids=["a folder", "one begins the other", "nothing in common", "one"],
)
async def test_what_all_names_begin_with_is_asked_for(names: list[str], prefix: str) -> None:
    listing = Listing(*names, "zzz")
    assert await found(listing, *names) == sorted(names)
    assert listing.prefixes == [prefix]


async def test_nothing_is_asked_for_no_name() -> None:
    listing = Listing("a")
    assert await found(listing) == []
    assert listing.prefixes == []


async def test_it_is_not_read_beyond_the_last_name_nor_through_many_others() -> None:
    listing = Listing("a1", "a2", "a3", "a4")
    assert await found(listing, "a1", "a3") == ["a1", "a3"]
    assert listing.read == 3
    many = Listing("a", "z", *(f"b{number:06}" for number in range(2 * OTHERS)))
    assert await found(many, "a", "z") == ["a"]
    assert many.read == 1 + OTHERS + 2 * OTHERS_FOR_EACH


async def test_a_listing_that_breaks_off_begins_anew(tmp_path: Path) -> None:
    names = [f"tree/{number:03}" for number in range(300)]
    events: list[Event] = []
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        (tmp_path / "file").write_bytes(b"content")
        async with client.connect(url) as connection:
            items = [client.Item(tmp_path / "file", name) for name in names]
            assert len([result async for result in connection.upload_many(items)]) == 300
        async with (
            Link("127.0.0.1", urlsplit(url).port or 0) as link,
            client.connect(link.url) as connection,
        ):
            link.cut_after(downstream=20_000)
            asked = connection.stored_files(names, on_event=events.append)
            assert {str(file.name) async for file in asked} == set(names)
    assert [type(event) for event in events] == [Waiting]


async def test_a_listing_that_always_breaks_off_at_the_same_place_is_given_up() -> None:
    now, attempts = 0.0, 0

    async def broken(_: str) -> AsyncIterator[FileEntry]:
        nonlocal attempts, now
        attempts, now = attempts + 1, now + GIVE_UP_AFTER
        assert attempts < 3
        yield entry("a")
        raise ConnectionBroken("broken off")

    with pytest.raises(GaveUp, match="broken off"):
        async for _ in stored_files(broken, {"a", "b"}, Patience(clock=lambda: now), lambda _: None):
            pass
    assert attempts == 2
