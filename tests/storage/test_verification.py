"""`Verification` names what is damaged, where, and nothing else; and it changes nothing."""

import os
import sqlite3
from pathlib import Path

import pytest

from storage.errors import NotFound, StoreRefused
from storage.local import LocalStore
from storage.verification import Verification, Verified
from tests.storage.conformance.asking import LEAF, ask, begin_and_leave, made, put, upload
from transfer.protocol.names import InvalidName
from transfer.protocol.ranges import Range

FILE = made(3 * LEAF + 17)
SMALL = made(1_000, 1)
HALF = made(2 * LEAF + 100, 2)


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A store with two files and an unfinished upload."""
    async with LocalStore(tmp_path / "data", min_free_bytes=0) as store:
        await upload(store, ask("docs/large.bin", len(FILE)), FILE)
        await put(store, "small.bin", SMALL)
        await begin_and_leave(store, ask("docs/half.bin", 4 * LEAF), HALF)
    return tmp_path / "data"


def object_of(data: Path, content: bytes) -> Path:
    (found,) = (path for path in (data / "objects").rglob("*") if path.is_file() and path.read_bytes() == content)
    return found


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as stream:  # root may, whatever the mode
        stream.seek(offset)
        stream.write(content)


def times(data: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in data.rglob("*") if path.is_file()}


def writable(path: Path) -> Path:
    path.chmod(0o600)
    return path


def verified(data: Path, *names: str) -> list[Verified]:
    with Verification(data, names) as verification:
        verification.check_catalog()
        return list(verification.contents())


def damaged(data: Path, *names: str) -> dict[str, tuple[Range, ...]]:
    return {str(content.name): content.damage.ranges for content in verified(data, *names) if content.damage}


def test_everything_is_read_and_found_right(data: Path) -> None:
    read: list[int] = []
    with Verification(data, on_read=read.append) as verification:
        size, found = verification.size, list(verification.contents())
    assert sum(read) == size == len(FILE) + len(SMALL) + len(HALF)
    assert [(content.kind, content.damage) for content in found] == [("upload", None), ("file", None), ("file", None)]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(0, Range(0, LEAF)), (2 * LEAF - 1, Range(LEAF, 2 * LEAF)), (3 * LEAF + 16, Range(3 * LEAF, 3 * LEAF + 17))],
)
def test_a_flipped_bit_in_a_file_is_found_in_its_leaf(data: Path, offset: int, expected: Range) -> None:
    overwrite(writable(object_of(data, FILE)), offset, bytes([FILE[offset] ^ 4]))
    assert damaged(data) == {"docs/large.bin": (expected,)}


def test_a_flipped_bit_in_a_small_file_is_found(data: Path) -> None:
    overwrite(writable(object_of(data, SMALL)), 999, bytes([SMALL[999] ^ 128]))
    assert damaged(data) == {"small.bin": (Range(0, 1_000),)}


@pytest.mark.parametrize(
    ("offset", "expected"), [(LEAF, Range(LEAF, 2 * LEAF)), (2 * LEAF + 99, Range(2 * LEAF, 2 * LEAF + 100))]
)
def test_a_flipped_bit_in_an_unfinished_upload_is_found_in_its_leaf(data: Path, offset: int, expected: Range) -> None:
    overwrite(object_of(data, HALF), offset, bytes([HALF[offset] ^ 1]))
    assert damaged(data) == {"docs/half.bin": (expected,)}


@pytest.mark.parametrize("content", [FILE, SMALL, HALF], ids=["file", "small file", "upload"])
def test_a_content_that_is_missing_or_cut_is_found(data: Path, content: bytes) -> None:
    path = writable(object_of(data, content))
    os.truncate(path, len(content) - 1)
    assert len(damaged(data)) == 1
    path.unlink()
    assert len(damaged(data)) == 1


def test_bytes_that_were_never_durable_are_nobodys_damage(data: Path) -> None:
    with object_of(data, HALF).open("ab") as stream:
        stream.write(b"written, not synced")
    assert damaged(data) == {}


def test_names_choose_files_uploads_and_folders(data: Path) -> None:
    assert [str(content.name) for content in verified(data, "small.bin")] == ["small.bin"]
    assert [str(content.name) for content in verified(data, "docs/")] == ["docs/half.bin", "docs/large.bin"]
    assert [content.kind for content in verified(data, "docs/half.bin", "small.bin")] == ["upload", "file"]


@pytest.mark.parametrize(("name", "error"), [("doc", NotFound), ("docs/x/", NotFound), ("a//b", InvalidName)])
def test_a_name_that_is_not_there_is_refused(data: Path, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        verified(data, name)


async def test_it_works_beside_an_open_store_and_changes_nothing(data: Path) -> None:
    async with LocalStore(data, min_free_bytes=0) as store:
        before = times(data)
        assert damaged(data) == {}
        after = times(data)
        assert {path for path in after if after[path] != before.get(path)} <= {data / "catalog.db-shm"}
        assert len(await store.unfinished("ann")) == 1


async def test_what_moves_on_between_the_readings_is_no_damage(data: Path) -> None:
    """Right after something was found wrong it is dropped, or deleted, as a server does it meanwhile."""
    for content in (HALF, SMALL):
        overwrite(writable(object_of(data, content)), 0, bytes([content[0] ^ 1]))
    async with LocalStore(data, min_free_bytes=0) as store:
        (unfinished,) = await store.unfinished("ann")
        small = await store.find(ask("small.bin").name)
        assert small is not None

        def drop(size: int) -> None:
            with sqlite3.connect(data / "catalog.db") as catalog:
                catalog.execute("DELETE FROM uploads WHERE upload_id = ?", (unfinished.upload_id,))
                catalog.execute("DELETE FROM files WHERE file_id = ?", (small.file_id,))
            catalog.close()

        with Verification(data, on_read=drop) as verification:
            assert [content.damage for content in verification.contents()] == [None, None]


async def test_a_piece_that_is_repaired_between_the_readings_is_no_damage(data: Path) -> None:
    path = object_of(data, HALF)
    overwrite(path, 0, bytes([HALF[0] ^ 1]))
    with Verification(data, ["docs/half.bin"], on_read=lambda _: overwrite(path, 0, HALF[:1])) as verification:
        assert [content.damage for content in verification.contents()] == [None]


def test_a_damaged_catalog_is_named(data: Path) -> None:
    connection = sqlite3.connect(data / "catalog.db")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'files'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    overwrite(data / "catalog.db", (page - 1) * size, b"\xff" * size)
    with pytest.raises(StoreRefused, match="towline recover"):
        verified(data)


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="there is no store"):
        verified(tmp_path)
