"""A store whose catalog is lost is one again, with every published content; nothing is deleted."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import StoreRefused
from storage.local import LocalStore
from storage.progress import Silent
from storage.salvage import Salvaged, salvage
from storage.verification import Verification
from tests.storage.conformance.asking import ANN, LEAF, ask, begin_and_leave, is_there, made, names, put, upload

FILE = made(2 * LEAF + 17)
SMALL = made(1_000, 1)
HALF = made(LEAF + 100, 2)


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A store with two files, a third of the same content, and an unfinished upload."""
    async with opened(tmp_path / "data") as store:
        await upload(store, ask("large.bin", len(FILE)), FILE)
        await put(store, "small.bin", SMALL)
        await put(store, "same.bin", SMALL)
        await begin_and_leave(store, ask("half.bin", 4 * LEAF), HALF)
    return tmp_path / "data"


def opened(data: Path) -> LocalStore:
    return LocalStore(data, min_free_bytes=0)


def recovered(content: bytes) -> str:
    return f"recovered/sha256-{hashlib.sha256(content).hexdigest()}"


def contents(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def recover(data: Path) -> Salvaged:
    return salvage(data, ANN, Silent())


def lose(data: Path) -> None:
    for path in data.glob("catalog.db*"):
        path.unlink()


def scribble(data: Path) -> None:
    (data / "catalog.db").write_bytes(os.urandom(20_000))


def damage_inside(data: Path) -> None:
    """A page of the table of files, in a catalog whose first pages are as they were."""
    connection = sqlite3.connect(data / "catalog.db")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'files'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with (data / "catalog.db").open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xff" * size)


def empty(data: Path) -> None:
    (data / "catalog.db").write_bytes(b"")


@pytest.mark.parametrize("loss", [lose, scribble, damage_inside, empty])
async def test_published_contents_become_files_named_by_their_digests(data: Path, loss: Callable[[Path], None]) -> None:
    loss(data)
    assert recover(data) == Salvaged(files=2, set_aside=2)
    async with opened(data) as store:
        assert await names(store) == sorted([recovered(FILE), recovered(SMALL)])
        assert await is_there(store, recovered(FILE), FILE)
        assert await is_there(store, recovered(SMALL), SMALL)
        assert await store.unfinished(ANN) == []
        await put(store, "new.bin", b"new")
    with Verification(data) as verification:
        assert [content.damage for content in verification.contents()] == [None] * 3
    assert {SMALL, HALF} <= set(contents(data / "quarantine"))


async def test_the_catalog_of_another_store_is_set_aside(data: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "other") as store:
        await put(store, "theirs.bin", b"theirs")
    shutil.copy(tmp_path / "other" / "catalog.db", data / "catalog.db")
    theirs = (data / "catalog.db").read_bytes()
    assert recover(data).files == 2
    assert (data / "quarantine" / "catalog-1" / "catalog.db").read_bytes() == theirs
    async with opened(data) as store:
        assert await names(store) == sorted([recovered(FILE), recovered(SMALL)])


@pytest.mark.parametrize("text", [None, "", "{", '{"format": 1, "store_id": "another"}'])
async def test_names_are_kept_when_only_store_json_is_broken(data: Path, text: str | None) -> None:
    (data / "store.json").unlink()
    if text is not None:
        (data / "store.json").write_text(text)
    assert recover(data) == Salvaged(kept_catalog=True)
    async with opened(data) as store:
        assert await names(store) == ["large.bin", "same.bin", "small.bin"]
        assert len(await store.unfinished(ANN)) == 1


async def test_catalogs_that_are_lost_one_after_the_other_are_all_kept(data: Path) -> None:
    for number in (1, 2):
        scribble(data)
        recover(data)
        assert (data / "quarantine" / f"catalog-{number}" / "catalog.db").stat().st_size == 20_000
        async with opened(data) as store:
            assert len(await names(store)) == 2


def test_a_content_that_cannot_be_read_is_set_aside_and_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(data)
    (large,) = (path for path in (data / "objects").rglob("*") if path.is_file() and path.stat().st_size == len(FILE))
    whole = os.pread

    def fails(descriptor: int, size: int, offset: int) -> bytes:
        if os.fstat(descriptor).st_ino == inode:
            raise OSError(5, "Input/output error")
        return whole(descriptor, size, offset)

    inode = large.stat().st_ino
    monkeypatch.setattr(os, "pread", fails)
    done = recover(data)
    assert (done.files, done.set_aside, done.unreadable) == (1, 3, [large.name])
    assert FILE in contents(data / "quarantine")


class Interrupted(Exception):
    """Stands for a kill."""


class Interrupt:
    """Progress that ends it when so many bytes are done."""

    def __init__(self, after: int) -> None:
        self._left = after

    def begin(self, what: str, size: int) -> None:
        self.advance(0)

    def advance(self, size: int) -> None:
        self._left -= size
        if self._left <= 0:
            raise Interrupted


@pytest.mark.parametrize("after", [0, 1, LEAF, len(FILE) + 2 * len(SMALL)])
async def test_a_recovery_that_was_interrupted_leaves_nothing_that_starts_and_goes_on(data: Path, after: int) -> None:
    lose(data)
    with pytest.raises(Interrupted):
        salvage(data, ANN, Interrupt(after))
    with pytest.raises(StoreRefused, match="towline recover"):
        async with opened(data):
            pass
    assert recover(data) == Salvaged(files=2, set_aside=2)
    async with opened(data) as store:
        assert await is_there(store, recovered(FILE), FILE)


def test_a_store_that_needs_no_recovering_is_left_as_it_is(data: Path) -> None:
    with pytest.raises(StoreRefused, match="nothing needs recovering"):
        recover(data)


def test_a_store_of_another_version_is_left_as_it_is(data: Path) -> None:
    (data / "store.json").write_text('{"format": 2, "store_id": "x"}')
    with pytest.raises(StoreRefused, match="install a newer towline"):
        recover(data)


def test_a_folder_without_a_store_is_refused_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="nothing to recover"):
        recover(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_store_that_is_open_is_refused(data: Path) -> None:
    async with opened(data):
        with pytest.raises(StoreRefused, match="stop it first"):
            recover(data)
