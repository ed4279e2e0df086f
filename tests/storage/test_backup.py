"""A backup is a store of its own, whole or not there, whatever the store does meanwhile."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.backup import UNFINISHED, back_up
from storage.errors import StoreRefused
from storage.local import LocalStore
from storage.progress import Silent
from storage.verification import Verification
from tests.storage.conformance.asking import (
    ANN,
    LEAF,
    ask,
    begin_and_leave,
    complete,
    is_there,
    made,
    names,
    put,
    spans,
    upload,
)
from tests.storage.test_granting import TOKEN
from transfer.protocol.ranges import Range

FILE = made(2 * LEAF + 17)
SMALL = made(1_000, 1)
WHOLE = made(4 * LEAF, 2)
HALF = 2 * LEAF + 100


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A store with two files and an unfinished upload."""
    async with opened(tmp_path / "data") as store:
        await upload(store, ask("large.bin", len(FILE)), FILE)
        await put(store, "small.bin", SMALL)
        await begin_and_leave(store, ask("half.bin", len(WHOLE)), WHOLE[:HALF])
    return tmp_path / "data"


def opened(data: Path) -> LocalStore:
    return LocalStore(data, min_free_bytes=0)


def damaged(data: Path) -> list[str]:
    with Verification(data) as verification:
        verification.check_catalog()
        return [str(content.name) for content in verification.contents() if content.damage]


def objects(data: Path) -> dict[str, Path]:
    return {path.name: path for path in (data / "objects").rglob("*") if path.is_file()}


def inodes(paths: dict[str, Path]) -> dict[str, int]:
    return {name: path.stat().st_ino for name, path in paths.items()}


class Act:
    """Progress that does something once, when `after` bytes are done: 0 is right after the catalog was copied."""

    def __init__(self, after: int, action: Callable[[], None]) -> None:
        self._left = after
        self._action: Callable[[], None] | None = action

    def begin(self, what: str, size: int) -> None:
        self.advance(0)

    def advance(self, size: int) -> None:
        self._left -= size
        if self._left <= 0 and self._action is not None:
            action, self._action = self._action, None
            action()


class Interrupted(Exception):
    """Stands for a kill."""


def interrupt() -> None:
    raise Interrupted


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another file system."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)


async def test_tokens_and_links_are_in_a_backup(data: Path, tmp_path: Path) -> None:
    async with opened(data) as store:
        await store.grants.add(TOKEN)
        back_up(data, tmp_path / "backup", Silent())
        await store.grants.revoke(TOKEN.grant_id)
    async with opened(tmp_path / "backup") as store:
        assert await store.grants.list() == [TOKEN]


async def test_a_backup_of_an_open_store_is_a_store_with_everything_in_it(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "backups" / "monday"
    async with opened(data):
        done = back_up(data, target, Silent())
    assert (done.files, done.uploads, done.lost) == (2, 1, [])
    assert (done.linked_bytes, done.copied_bytes) == (len(FILE) + len(SMALL), HALF)
    assert damaged(target) == []
    async with opened(target) as store:
        assert await is_there(store, "large.bin", FILE)
        assert await is_there(store, "small.bin", SMALL)
        (unfinished,) = await store.unfinished(ANN)
        assert unfinished.offset == HALF
        await complete(store, unfinished.upload_id, ask("half.bin", len(WHOLE)), WHOLE)
        await store.delete(ask("large.bin").name)
    assert damaged(data) == []
    async with opened(data) as store:
        assert await names(store) == ["large.bin", "small.bin"]
        assert await is_there(store, "large.bin", FILE)
        assert (await store.unfinished(ANN))[0].offset == HALF


@pytest.mark.usefixtures("no_links")
def test_contents_are_copied_where_they_cannot_be_linked(data: Path, tmp_path: Path) -> None:
    done = back_up(data, tmp_path / "backup", Silent())
    assert (done.linked_bytes, done.copied_bytes) == (0, len(FILE) + len(SMALL) + HALF)
    assert damaged(tmp_path / "backup") == []
    copies = objects(tmp_path / "backup")
    assert sorted(path.stat().st_mode & 0o777 for path in copies.values()) == [0o400, 0o400, 0o600]
    assert {path.stat().st_ino for path in objects(data).values()}.isdisjoint(inodes(copies).values())
    parts = {"catalog.db", "objects", "quarantine", "serve.lock", "store.json"}
    assert {path.name for path in (tmp_path / "backup").iterdir()} == parts


@pytest.mark.usefixtures("no_links")
@pytest.mark.parametrize("after", [0, 500, LEAF, 2 * LEAF, len(FILE) + len(SMALL) + HALF])
def test_a_backup_that_was_interrupted_is_not_there_and_the_next_goes_on(
    data: Path, tmp_path: Path, after: int
) -> None:
    target, growing = tmp_path / "backup", tmp_path / f"backup{UNFINISHED}"
    with pytest.raises(Interrupted):
        back_up(data, target, Act(after, interrupt))
    assert not target.exists()
    kept = inodes({name: path for name, path in objects(growing).items() if not path.stat().st_mode & 0o200})
    done = back_up(data, target, Silent())
    assert damaged(target) == []
    assert not growing.exists()
    assert kept.items() <= inodes(objects(target)).items()
    sizes = {name: path.stat().st_size for name, path in objects(target).items()}
    assert done.copied_bytes == sum(sizes.values()) - sum(sizes[name] for name in kept)


async def test_what_is_deleted_while_the_backup_is_made_is_left_out(data: Path, tmp_path: Path) -> None:
    async def meanwhile() -> None:
        async with opened(data) as store:
            (unfinished,) = await store.unfinished(ANN)
            await store.delete(ask("small.bin").name)
            await store.cancel(unfinished.upload_id, ANN)
            await put(store, "new.bin", SMALL)

    loop = asyncio.get_running_loop()
    act = Act(0, lambda: asyncio.run_coroutine_threadsafe(meanwhile(), loop).result())
    done = await asyncio.to_thread(back_up, data, tmp_path / "backup", act)
    assert (done.files, done.uploads, done.lost) == (1, 0, [])
    assert damaged(tmp_path / "backup") == []
    async with opened(tmp_path / "backup") as store:
        assert await names(store) == ["large.bin"]
        assert await store.unfinished(ANN) == []
        assert await store.find_completed("any", ANN) is None


async def test_what_is_written_anew_while_the_backup_is_made_becomes_a_hole(data: Path, tmp_path: Path) -> None:
    async def meanwhile() -> None:
        async with opened(data) as store:
            (unfinished,) = await store.unfinished(ANN)
            async with store.resume(unfinished.upload_id, ANN) as writer:
                await writer.forget(Range(LEAF, 2 * LEAF))
                await writer.write(LEAF, [made(LEAF // 2, 9)])

    loop = asyncio.get_running_loop()
    act = Act(0, lambda: asyncio.run_coroutine_threadsafe(meanwhile(), loop).result())
    await asyncio.to_thread(back_up, data, tmp_path / "backup", act)
    assert damaged(tmp_path / "backup") == []
    async with opened(tmp_path / "backup") as store:
        (unfinished,) = await store.unfinished(ANN)
        async with store.resume(unfinished.upload_id, ANN) as writer:
            assert writer.durable == spans((0, LEAF), (2 * LEAF, HALF))
        await complete(store, unfinished.upload_id, ask("half.bin", len(WHOLE)), WHOLE)
        assert await is_there(store, "half.bin", WHOLE)


def test_a_content_that_the_disk_has_lost_is_named_and_left_out(data: Path, tmp_path: Path) -> None:
    (lost,) = (path for path in objects(data).values() if path.stat().st_size == len(SMALL))
    lost.unlink()
    assert back_up(data, tmp_path / "backup", Silent()).lost == [ask("small.bin").name]
    assert damaged(tmp_path / "backup") == []


def test_a_target_that_has_something_in_it_is_refused(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    target.mkdir()
    back_up(data, target, Silent())
    with pytest.raises(StoreRefused, match="is there already"):
        back_up(data, target, Silent())


@pytest.mark.parametrize("name", ["catalog.db-journal", "catalog.db-wal", "catalog.db-shm", "store.json.new"])
def test_what_a_killed_backup_had_open_is_made_anew(data: Path, tmp_path: Path, name: str) -> None:
    growing = tmp_path / f"backup{UNFINISHED}"
    growing.mkdir()
    (growing / name).write_bytes(b"half")
    back_up(data, tmp_path / "backup", Silent())
    assert damaged(tmp_path / "backup") == []
    assert not (tmp_path / "backup" / name).exists()


def test_a_folder_that_only_looks_like_an_unfinished_backup_is_left_alone(data: Path, tmp_path: Path) -> None:
    theirs = tmp_path / f"backup{UNFINISHED}"
    theirs.mkdir()
    (theirs / "diary.txt").write_text("mine")
    with pytest.raises(StoreRefused, match=r"it holds diary\.txt"):
        back_up(data, tmp_path / "backup", Silent())
    assert (theirs / "diary.txt").read_text() == "mine"


def test_a_target_inside_of_the_data_is_refused(data: Path) -> None:
    with pytest.raises(StoreRefused, match="is inside of"):
        back_up(data, data / "objects" / "backup", Silent())


def test_a_second_backup_to_the_same_place_is_refused(data: Path, tmp_path: Path) -> None:
    def second() -> None:
        with pytest.raises(StoreRefused, match="another backup"):
            back_up(data, tmp_path / "backup", Silent())

    back_up(data, tmp_path / "backup", Act(0, second))
