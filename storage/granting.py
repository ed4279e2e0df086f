"""Tokens and links in a catalog: of an open store, and of a data folder beside a server or before its first start."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from storage import grant_rows, quota_rows
from storage.catalog import Catalog, Work
from storage.connecting import as_storage_error, open_writing
from storage.errors import StoreRefused
from storage.grants import Grant, GrantKind
from storage.opening import FolderInUse, check_store, open_folders
from storage.store import Clock, utc_now

T = TypeVar("T")
Grants = list[Grant]


class CatalogGrants:
    """The `storage.grants.Grants` of an open store."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    async def add(self, grant: Grant) -> None:
        await self._catalog.write(lambda connection: grant_rows.add(connection, grant))

    async def find(self, grant_id: str) -> Grant | None:
        return await self._catalog.read(lambda connection: grant_rows.find(connection, grant_id))

    async def list(self, *, kind: GrantKind | None = None, subject: str | None = None) -> Grants:
        return await self._catalog.read(lambda connection: grant_rows.list_grants(connection, kind, subject))

    async def revoke(self, grant_id: str) -> None:
        now = self._clock()
        await self._catalog.write(lambda connection: grant_rows.revoke(connection, grant_id, now))

    async def revoked_of(self, grant_ids: Collection[str]) -> frozenset[str]:
        return await self._catalog.read(lambda connection: grant_rows.revoked_of(connection, grant_ids))

    async def any_tokens(self) -> bool:
        return await self._catalog.read(grant_rows.any_tokens)

    async def begin_download(self, grant_id: str, *, resumed: int | None = None, size: int = 0) -> bool:
        now = self._clock()
        if resumed is None:
            return await self._catalog.write(lambda connection: grant_rows.begin_download(connection, grant_id, now))
        return await self._catalog.write(
            lambda connection: grant_rows.resume_download(connection, grant_id, resumed, size, now)
        )

    async def not_sent(self, grant_id: str, resumed: int) -> None:
        await self._catalog.write(lambda connection: grant_rows.not_sent(connection, grant_id, resumed))


class GrantBook:
    """The same without an event loop. What it writes is durable, and a server sees it at once. Its methods raise
    WriteFailed, NoSpace, StoreRefused."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def add(self, grant: Grant) -> None:
        """Raises NotFound where its `parent` is revoked, or not there."""
        self._run(lambda connection: grant_rows.add(connection, grant))

    def find(self, grant_id: str) -> Grant | None:
        return self._run(lambda connection: grant_rows.find(connection, grant_id))

    def list(self, *, kind: GrantKind | None = None, subject: str | None = None) -> Grants:
        """The newest first."""
        return self._run(lambda connection: grant_rows.list_grants(connection, kind, subject))

    def revoke(self, grant_id: str) -> None:
        """Raises NotFound."""
        self._run(lambda connection: grant_rows.revoke(connection, grant_id, self._clock()))

    def any_tokens(self) -> bool:
        return self._run(grant_rows.any_tokens)

    def usage(self, subject: str) -> int:
        """The bytes stored and reserved of a subject."""
        return self._run(lambda connection: quota_rows.usage(connection, subject))

    def _run(self, work: Work[T]) -> T:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except DBAPIError as failed:
            raise as_storage_error(failed) from failed


@contextmanager
def opened_grants(data: Path, clock: Clock = utc_now) -> Iterator[GrantBook]:
    """The tokens and links of the store in `data`, for writing. A store is made where there is none, and one of an
    older version is brought to this one's schema, unless a server uses the folder. Blocks. Raises StoreRefused."""
    _prepare(data)
    engine = open_writing(data / "catalog.db")
    try:
        yield GrantBook(engine, clock)
    finally:
        engine.dispose()


def _prepare(data: Path) -> None:
    """The lock is not kept: a server may start while a token is being made."""
    try:
        os.close(open_folders(data))
    except FolderInUse:
        if not (data / "store.json").exists():
            raise StoreRefused(f"a server is just making the store in {data}: try again") from None
        check_store(data)


def tokens_were_made(data: Path) -> bool:
    """Whether a token was ever made for the store in `data`; not where there is no store. Blocks. Raises
    StoreRefused."""
    if not (data / "store.json").exists():
        return False
    with opened_grants(data) as book:
        return book.any_tokens()
