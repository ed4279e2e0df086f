"""A store of an earlier version is brought up to date when it is opened, and everybody keeps what is theirs."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from storage import catalog
from storage.backup import back_up
from storage.connecting import connected, open_alone
from storage.errors import StoreRefused
from storage.granting import opened_grants
from storage.local import LocalStore
from storage.progress import Silent
from storage.salvage import salvage
from storage.schema import SCHEMA
from storage.verification import Verification
from tests.storage.conformance.asking import ANN, BOB, LEAF, ask, begin_and_leave, complete, found, is_there, made, put
from transfer.protocol.names import Name

WHOLE = made(4 * LEAF)
HALF = 2 * LEAF + 100


def config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(catalog.__file__).parent / "migrations"))
    return config


def make_catalog(path: Path, revision: str) -> None:
    with connected(open_alone(path)) as connection:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, revision)


def columns(database: sqlite3.Connection, table: str) -> Sequence[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def make_older(data: Path, revision: str) -> None:
    """Put the rows of the store's catalog into one that is made by the migrations up to `revision`."""
    make_catalog(data / "older.db", revision)
    older = sqlite3.connect(data / "older.db")
    tables = [name for (name,) in older.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    older.execute("ATTACH ? AS newer", (str(data / "catalog.db"),))
    for table in set(tables) - {"alembic_version"}:
        names = ", ".join(columns(older, table))
        older.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM newer.{table}")
    older.commit()
    older.close()
    (data / "older.db").rename(data / "catalog.db")


@pytest.fixture
async def first_version(tmp_path: Path) -> Path:
    """A store with a file, a sized upload and a stream, as version 0001 left it."""
    data = tmp_path / "data"
    async with LocalStore(data, min_free_bytes=0) as store:
        await put(store, "a.bin", b"content")
        await begin_and_leave(store, ask("sized.bin", len(WHOLE), owner=BOB), WHOLE[:HALF])
        await begin_and_leave(store, ask("stream.bin", owner=BOB), WHOLE[:HALF])
    make_older(data, "0001")
    return data


def test_the_newest_migration_is_the_one_that_is_expected() -> None:
    assert ScriptDirectory.from_config(config()).get_current_head() == SCHEMA


async def test_everybody_keeps_files_and_uploads(first_version: Path) -> None:
    async with LocalStore(first_version, min_free_bytes=0) as store:
        file = await found(store, "a.bin")
        assert file is not None
        assert (file.owner, file.uploader, file.via) == (ANN, ANN, None)
        assert await is_there(store, "a.bin", b"content")
        assert [upload.offset for upload in await store.unfinished(BOB)] == [HALF, HALF]
        for name, size in (("sized.bin", len(WHOLE)), ("stream.bin", None)):
            upload_id = await store.find_unfinished(Name.parse(name), BOB)
            assert upload_id is not None
            published = await complete(store, upload_id, ask(name, size, owner=BOB), WHOLE)
            assert (published.file.owner, published.file.uploader) == (BOB, BOB)


async def test_a_start_without_a_header_goes_on_as_its_owner(first_version: Path) -> None:
    async with LocalStore(first_version, min_free_bytes=0) as store:
        upload_id = await store.find_unfinished(Name.parse("sized.bin"), BOB)
        assert upload_id is not None
        async with store.resume(upload_id, BOB) as writer:
            await writer.write(HALF, [WHOLE[HALF:]])
            file = (await writer.finish((await put(store, "whole.bin", WHOLE)).file.digest)).file
    assert (file.owner, file.uploader, file.via) == (BOB, BOB, None)


def test_what_counts_against_quotas_is_known(first_version: Path) -> None:
    with opened_grants(first_version):
        pass
    database = sqlite3.connect(first_version / "catalog.db")
    found = database.execute(
        "SELECT name, subject, quota, within, may_compare, may_replace, reserved FROM uploads"
    ).fetchall()
    usage = database.execute("SELECT kind, name, bytes FROM usage").fetchall()
    database.close()
    assert sorted(usage) == [("subject", ANN, 7), ("subject", BOB, len(WHOLE) + HALF)]
    assert sorted(found) == [
        ("sized.bin", BOB, None, "", 1, 1, len(WHOLE)),
        ("stream.bin", BOB, None, "", 1, 1, HALF),
    ]


def test_a_token_is_made_for_a_store_of_the_first_version(first_version: Path) -> None:
    with opened_grants(first_version) as book:
        assert not book.any_tokens()
    with opened_grants(first_version) as book:
        assert book.list() == []


def test_who_only_reads_says_that_the_server_has_to_start_first(first_version: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="start the server of this version once"), Verification(first_version):
        pass
    with pytest.raises(StoreRefused, match="start the server of this version once"):
        back_up(first_version, tmp_path / "backup", Silent())


def test_an_older_catalog_needs_no_recovering(first_version: Path) -> None:
    with pytest.raises(StoreRefused, match="nothing needs recovering"):
        salvage(first_version, ANN, Silent())
