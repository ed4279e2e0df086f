"""Tokens are made on the server's machine: beside the server, before its first start, and after it was replaced."""

import asyncio
import sqlite3
import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from storage.errors import NotFound, StoreRefused
from storage.granting import opened_grants
from storage.grants import Grant
from storage.local import LocalStore
from tests.storage.conformance.asking import names, put

TOKEN = Grant(
    grant_id="70ce2",
    kind="token",
    secret_hash=bytes(32),
    subject="ann",
    created=datetime(2026, 3, 1, 12, tzinfo=UTC),
    scopes=("upload",),
)
ADD = """
import sys
from dataclasses import replace
from pathlib import Path
from storage.granting import opened_grants
from tests.storage.test_granting import TOKEN
with opened_grants(Path(sys.argv[1])) as book:
    for number in range(int(sys.argv[2])):
        book.add(replace(TOKEN, grant_id=f"{number}"))
    for number in range(int(sys.argv[3])):
        book.revoke(f"{number}")
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def beside(data: Path, *, added: int, revoked: int = 0) -> None:
    """Another process makes tokens, named by numbers, and revokes some."""
    making = await asyncio.create_subprocess_exec(sys.executable, "-c", ADD, str(data), str(added), str(revoked))
    assert await making.wait() == 0


def pragma(connection: Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


async def test_a_server_sees_what_another_process_made_and_revoked(data: Path) -> None:
    async with LocalStore(data, min_free_bytes=0) as store:
        before = await store.grants.any_tokens()
        await beside(data, added=2, revoked=1)
        assert [before, await store.grants.any_tokens()] == [False, True]
        assert await store.grants.revoked_of(["0", "1"]) == {"0"}
        assert await store.grants.find("1") == replace(TOKEN, grant_id="1")


async def test_nothing_is_lost_while_the_server_writes_too(data: Path) -> None:
    async with LocalStore(data, min_free_bytes=0) as store:
        making = asyncio.create_task(beside(data, added=20))
        sent = 0
        while not making.done():
            await put(store, f"{sent}.bin", b"content")
            sent += 1
        await making
        assert len(await store.grants.list(kind="token")) == 20
        assert len(await names(store)) == sent


async def test_a_token_made_before_the_first_start_is_there_at_it(data: Path) -> None:
    with opened_grants(data) as book:
        assert not book.any_tokens()
        book.add(TOKEN)
        assert book.any_tokens()
    async with LocalStore(data, min_free_bytes=0) as store:
        assert await store.grants.find(TOKEN.grant_id) == TOKEN


async def test_a_server_starts_while_tokens_are_being_made(data: Path) -> None:
    with opened_grants(data) as book:
        async with LocalStore(data, min_free_bytes=0) as store:
            book.add(TOKEN)
            assert await store.grants.list() == [TOKEN]


def test_a_book_says_what_a_store_says(data: Path) -> None:
    with opened_grants(data) as book:
        book.add(TOKEN)
        link = replace(TOKEN, grant_id="link", kind="share", parent=TOKEN.grant_id)
        book.add(link)
        assert (book.find("link"), book.find("nobody")) == (link, None)
        assert book.list(kind="share", subject="ann") == [link]
        book.revoke(TOKEN.grant_id)
        assert all(grant.revoked for grant in book.list())
        with pytest.raises(NotFound):
            book.revoke("nobody")
        with pytest.raises(NotFound):
            book.add(replace(link, grant_id="late"))


def test_what_is_written_is_synced(data: Path) -> None:
    with opened_grants(data) as book:
        found = [book._run(partial(pragma, name=name)) for name in ("journal_mode", "synchronous", "busy_timeout")]
    assert found == ["wal", 2, 10_000]


async def test_a_catalog_of_an_older_version_is_not_touched_beside_its_server(data: Path) -> None:
    async with LocalStore(data, min_free_bytes=0):
        _claim_schema(data, "0001")
        with (
            pytest.raises(StoreRefused, match=r"older version's: start the server of this version once"),
            opened_grants(data),
        ):
            pass


def test_a_catalog_of_a_newer_version_is_refused(data: Path) -> None:
    with opened_grants(data):
        pass
    _claim_schema(data, "0999")
    with (
        pytest.raises(StoreRefused, match=r"schema 0999, this version reads .*: install a newer towline"),
        opened_grants(data),
    ):
        pass


async def test_a_store_that_is_just_being_made_is_waited_for(data: Path) -> None:
    async with LocalStore(data, min_free_bytes=0):
        (data / "store.json").unlink()
        with pytest.raises(StoreRefused, match=r"just making the store .*: try again"), opened_grants(data):
            pass


def _claim_schema(data: Path, schema: str) -> None:
    catalog = sqlite3.connect(data / "catalog.db", isolation_level=None)
    catalog.execute("UPDATE alembic_version SET version_num = ?", (schema,))
    catalog.close()
