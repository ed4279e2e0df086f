"""Two cannot both be promised the last gigabyte."""

import asyncio
import os
from pathlib import Path

import pytest

from storage.errors import NoSpace
from storage.local import LocalStore
from storage.space import LINGER, Space
from storage.store import FileQuery, Published, UploadRequest
from tests.storage.conformance.asking import ManualClock
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name

GIB = 1 << 30


@pytest.fixture
def space(tmp_path: Path, clock: ManualClock) -> Space:
    """Reservations on a disk on which about a gigabyte is left above the floor."""
    status = os.statvfs(tmp_path)
    return Space(tmp_path, clock, min_free_bytes=status.f_bavail * status.f_frsize - GIB)


def test_the_second_half_and_a_bit_more_is_refused(space: Space) -> None:
    space.reserve("a", GIB // 2)
    with pytest.raises(NoSpace) as refused:
        space.reserve("b", GIB // 2 + GIB // 4)
    assert refused.value.needed == GIB // 2 + GIB // 4
    assert 0 < refused.value.available <= GIB // 2 + GIB // 8


def test_a_stream_reserves_ahead_no_more_than_there_is(space: Space) -> None:
    space.reserve("a", GIB // 2)
    space.reserve_ahead("b", GIB // 4, GIB)
    assert GIB * 3 // 8 < space.outstanding("b") <= GIB * 5 // 8
    with pytest.raises(NoSpace):
        space.reserve_ahead("c", GIB // 4, GIB)
    assert space.outstanding("c") == 0


def test_a_new_reservation_takes_the_place_of_the_old_one(space: Space) -> None:
    space.reserve("a", GIB // 2)
    space.reserve("a", GIB * 3 // 4)
    with pytest.raises(NoSpace):
        space.reserve("a", 2 * GIB)
    assert space.outstanding("a") == GIB * 3 // 4


def test_what_was_written_is_not_promised_any_more(space: Space) -> None:
    space.reserve("a", GIB // 2)
    space.used("a", GIB // 2)
    space.reserve("b", GIB * 3 // 4)


def test_a_reservation_holds_for_ten_minutes_after_its_writer(space: Space, clock: ManualClock) -> None:
    space.reserve("a", GIB * 3 // 4)
    space.linger("a")
    with pytest.raises(NoSpace):
        space.reserve("b", GIB // 2)
    clock.advance(LINGER.total_seconds() + 1)
    space.reserve("b", GIB // 2)


def test_released_space_is_free_at_once(space: Space) -> None:
    space.reserve("a", GIB * 3 // 4)
    space.release("a")
    space.reserve("b", GIB * 3 // 4)


async def test_an_upload_that_does_not_fit_is_refused_before_its_first_byte(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    floor = status.f_bavail * status.f_frsize - GIB
    async with LocalStore(tmp_path / "data", min_free_bytes=floor) as store:
        request = UploadRequest(name=Name.parse("large"), size=GIB * 3 // 4, owner="me")
        async with store.begin(request):
            with pytest.raises(NoSpace):
                async with store.begin(request):
                    pass
        assert len(await store.unfinished("me")) == 1
        assert len([path for path in (tmp_path / "data" / "objects").rglob("*") if path.is_file()]) == 1


async def test_on_a_full_disk_small_files_are_refused_one_by_one(tmp_path: Path) -> None:
    """What is stored already needs no space, and nothing needs none."""

    async def put(store: LocalStore, name: str, content: bytes) -> Published:
        request = UploadRequest(name=Name.parse(name), size=len(content), owner="ann")
        return await store.put(request, content, digest_bytes(content))

    async with LocalStore(tmp_path / "data") as store:
        before = await put(store, "there", b"content")
    async with LocalStore(tmp_path / "data", min_free_bytes=1 << 62) as store:
        outcomes = await asyncio.gather(
            put(store, "new", b"content"),
            put(store, "there", b"content"),
            put(store, "empty", b""),
            return_exceptions=True,
        )
        stored = {file.name.value: file for file in (await store.list_files(FileQuery())).files}
    assert repr(outcomes[0]) == repr(NoSpace(7, 0))
    assert list(outcomes[1:]) == [Published(before.file, unchanged=True), Published(stored["empty"])]
    assert stored.keys() == {"empty", "there"}
