"""How the tests ask a store, and what they give it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Self

import pytest

from storage.store import FileQuery, IfExists, Published, SortKey, Store, StoredFile, UploadRequest, Writer
from transfer.protocol.digest import digest_bytes
from transfer.protocol.leaves import MIN_LEAF_SIZE
from transfer.protocol.names import Name
from transfer.protocol.ranges import RangeSet

PENDING_EXPIRY = 3600.0
LEAF = MIN_LEAF_SIZE
HOW = ["small", "sized", "stream"]
SIZES = [0, 1, LEAF - 1, LEAF, LEAF + 1, 3 * LEAF + 17]
IF_EXISTS: list[IfExists] = ["error", "replace", "rename"]
SORTS: list[SortKey] = ["name", "size", "created", "modified"]
ANN, BOB = "ann", "bob"


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Kept:
    """A store that outlives being closed: `store` is it as it is open now."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self._make = make
        self.store = make()

    async def __aenter__(self) -> Self:
        await self.store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.store.__aexit__(None, None, None)

    async def reopen(self) -> Store:
        await self.store.__aexit__(None, None, None)
        self.store = self._make()
        await self.store.__aenter__()
        return self.store

    async def before_and_after_reopening(self) -> AsyncIterator[Store]:
        yield self.store
        yield await self.reopen()


# ------------------------------------------------------------------------------------------------- how tests ask


def made(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def ask(
    name: str = "a.bin",
    size: int | None = None,
    *,
    owner: str = ANN,
    if_exists: IfExists = "error",
    digest_algorithm: str = "sha256",
    modified: datetime | None = None,
    subject: str | None = None,
    via: str | None = None,
    quota: int | None = None,
    via_quota: int | None = None,
    within: str = "",
    may_compare: bool = True,
    may_replace: bool = True,
) -> UploadRequest:
    return UploadRequest(
        name=Name.parse(name),
        size=size,
        owner=owner,
        subject=subject,
        via=via,
        quota=quota,
        via_quota=via_quota,
        within=within,
        may_compare=may_compare,
        may_replace=may_replace,
        if_exists=if_exists,
        digest_algorithm=digest_algorithm,
        modified=modified,
    )


async def put(
    store: Store,
    name: str,
    content: bytes,
    *,
    if_exists: IfExists = "error",
    algorithm: str = "sha256",
    modified: datetime | None = None,
) -> Published:
    request = ask(name, len(content), if_exists=if_exists, digest_algorithm=algorithm, modified=modified)
    return await store.put(request, content, digest_bytes(content, algorithm))


async def give(store: Store, request: UploadRequest, content: bytes, how: str) -> Published:
    """Publish it as a small file, or as an upload with or without a size."""
    if how == "small":
        return await store.put(request, content, digest_bytes(content, request.digest_algorithm))
    size = len(content) if how == "sized" else None
    return (await upload(store, replace(request, size=size), content))[1]


async def begin_and_leave(store: Store, request: UploadRequest, content: bytes = b"") -> Writer:
    """An upload that has `content`, synced, and no writer."""
    async with store.begin(request) as writer:
        await writer.write(0, [content])
        await writer.sync()
    return writer


async def upload(store: Store, request: UploadRequest, content: bytes) -> tuple[str, Published]:
    async with store.begin(request) as writer:
        await writer.write(0, [content])
        return writer.upload_id, await writer.finish(digest_bytes(content, request.digest_algorithm))


async def complete(store: Store, upload_id: str, request: UploadRequest, content: bytes) -> Published:
    """Resume, send what is missing, finish."""
    async with store.resume(upload_id, request.owner, request) as writer:
        for hole in writer.received.holes(len(content)):
            await writer.write(hole.start, [content[hole.start : hole.end]])
        return await writer.finish(digest_bytes(content, request.digest_algorithm))


async def found(store: Store, name: str) -> StoredFile | None:
    return await store.find(Name.parse(name))


async def read(store: Store, file: StoredFile, *, step: int = LEAF) -> bytes:
    async with store.open(file) as content:
        whole = bytearray()
        while piece := await content.read(len(whole), step):
            whole += piece
        return bytes(whole)


async def is_there(store: Store, name: str, content: bytes) -> bool:
    file = await found(store, name)
    return file is not None and await read(store, file) == content


async def names(store: Store) -> list[str]:
    return [file.name.value for file in (await store.list_files(FileQuery())).files]


def spans(*pairs: tuple[int, int]) -> RangeSet:
    return RangeSet.of(*pairs)


async def hold(opening: AbstractAsyncContextManager[Writer]) -> "tuple[Writer, asyncio.Task[None]]":
    """Somebody who writes in a task of their own, until they are cancelled. Raises what opening raises."""
    entered: asyncio.Future[Writer] = asyncio.get_running_loop().create_future()

    async def stay() -> None:
        async with opening as writer:
            entered.set_result(writer)
            await asyncio.Event().wait()

    task = asyncio.create_task(stay())
    waiting: set[asyncio.Future[Writer] | asyncio.Task[None]] = {entered, task}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    return await entered, task


async def leave(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# ------------------------------------------------------------------------------------------------------ promise 1
