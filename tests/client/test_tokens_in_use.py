"""A token that expires, is revoked, renewed or not enough while a transfer runs, against a real server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

import client
from client.connection import Connection
from client.credentials import Credentials, TokenRefused
from client.progress import Ready
from client.token_sources import token_source
from storage.store import Store
from tests.server import running
from tests.tokens import bearer, token_for
from transfer.access.tokens import Secret
from transfer.app import create_app
from transfer.protocol.errors import Forbidden, QuotaExceeded
from transfer.protocol.limits import MIB
from transfer.settings import Settings

PIECE = bytes(range(256)) * (MIB // 256)
NEVER = 1e9
"""Seconds."""


class Server:
    """One that knows alice."""

    def __init__(self, url: str, store: Store, token: Secret) -> None:
        self.url = url
        self.store = store
        self.token = token

    async def revoke(self, token: Secret) -> None:
        """Take a token from everybody who is connected by it."""
        await self.store.grants.revoke(token.grant_id)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    settings = Settings(data=tmp_path / "data", port=0)
    app = create_app(settings)
    async with running(settings, app) as url:
        yield Server(url, app.state.store, await token_for(app.state.store, "alice"))


class Keyholder:
    """A program that has a token, and may have another one later."""

    def __init__(self, token: Secret | None) -> None:
        self.token = token
        self.asked = 0

    def __call__(self) -> str | None:
        self.asked += 1
        return None if self.token is None else self.token.text

    def connection(self, url: str, *, look_again_after: float = NEVER) -> Connection:
        source = token_source(url, given=self)
        return Connection(url, credentials=Credentials(url, source, look_again_after=look_again_after))


class Transfer:
    """An upload of a stream, piece by piece, and what was told of it."""

    def __init__(self) -> None:
        self.events: list[client.Event] = []
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._told = asyncio.Event()

    def listen(self, event: client.Event) -> None:
        self.events.append(event)
        self._told.set()

    async def until(self, kind: str, offset: int) -> None:
        """Until this was told, of at least this offset."""
        while not any(type(event).__name__ == kind and getattr(event, "offset", 0) >= offset for event in self.events):
            self._told.clear()
            await self._told.wait()

    def give(self, *pieces: bytes | None) -> None:
        for piece in pieces:
            self._pieces.put_nowait(piece)

    async def pieces(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece

    def told(self, kind: str) -> int:
        return sum(type(event).__name__ == kind for event in self.events)


async def cut_off(server: Server, token: Secret) -> None:
    """Revoke a token, and see that a connection by it has ended: then all of them were told."""
    address = server.url.replace("http:", "ws:") + "/echo"
    async with connect(address, additional_headers=bearer(token), compression=None, proxy=None) as connection:
        await server.revoke(token)
        await connection.wait_closed()
        assert connection.close_code == 1008


# ------------------------------------------------------------------------------------------------------------ renewing


async def test_a_running_upload_presents_a_renewed_token_and_outlives_the_old_one(server: Server) -> None:
    holder, transfer = Keyholder(server.token), Transfer()
    async with holder.connection(server.url, look_again_after=0) as connection, asyncio.TaskGroup() as group:
        uploading = group.create_task(connection.upload(transfer.pieces(), name="a", on_event=transfer.listen))
        transfer.give(PIECE)
        await transfer.until("Ack", MIB)
        holder.token = await token_for(server.store, "alice")
        transfer.give(PIECE, PIECE)
        await transfer.until("Ack", 2 * MIB)
        await cut_off(server, server.token)
        transfer.give(PIECE, None)
        assert (await uploading).size == 4 * MIB
    assert (transfer.told("Ready"), transfer.told("Waiting")) == (1, 0), "on one connection"


async def test_an_upload_that_is_cut_goes_on_by_itself_when_there_is_another_token(server: Server) -> None:
    holder, transfer = Keyholder(server.token), Transfer()
    async with holder.connection(server.url) as connection, asyncio.TaskGroup() as group:
        uploading = group.create_task(connection.upload(transfer.pieces(), name="a", on_event=transfer.listen))
        transfer.give(PIECE)
        await transfer.until("Ack", MIB)
        holder.token = await token_for(server.store, "alice")
        await server.revoke(server.token)
        await transfer.until("Ready", MIB)
        transfer.give(PIECE, None)
        assert (await uploading).size == 2 * MIB
    assert transfer.told("Ready") == 2


async def test_an_upload_that_is_cut_says_what_stays_and_the_same_call_goes_on(server: Server, tmp_path: Path) -> None:
    holder, transfer = Keyholder(server.token), Transfer()
    async with holder.connection(server.url) as connection:
        uploading = asyncio.create_task(connection.upload(transfer.pieces(), name="a", on_event=transfer.listen))
        transfer.give(PIECE)
        await transfer.until("Ack", MIB)
        await server.revoke(server.token)
        with pytest.raises(TokenRefused) as refusal:
            await uploading
    assert str(refusal.value).endswith(
        "(the token is the one that the program gave): give a new one; "
        "what is durable stays, and the same command goes on with a new token"
    )
    again = Transfer()
    again.give(PIECE, PIECE, None)
    newer = await token_for(server.store, "alice")
    async with Keyholder(newer).connection(server.url) as connection:
        await connection.upload(again.pieces(), name="a", on_event=again.listen)
    first = next(event for event in again.events if isinstance(event, Ready))
    assert first.offset == MIB


async def test_the_token_of_somebody_else_does_not_renew(server: Server) -> None:
    holder, transfer = Keyholder(server.token), Transfer()
    async with holder.connection(server.url, look_again_after=0) as connection:
        uploading = asyncio.create_task(connection.upload(transfer.pieces(), name="a", on_event=transfer.listen))
        transfer.give(PIECE)
        await transfer.until("Ack", MIB)
        holder.token = await token_for(server.store, "mallory")
        transfer.give(PIECE)
        with pytest.raises(TokenRefused, match="another subject"):
            await uploading


async def test_texts_go_on_with_a_renewed_token(server: Server) -> None:
    holder = Keyholder(server.token)
    async with holder.connection(server.url, look_again_after=0) as connection:
        assert await connection.echo("first") == "first"
        holder.token = await token_for(server.store, "alice")
        assert await connection.echo("second") == "second"
        await cut_off(server, server.token)
        assert await connection.echo("third") == "third"


async def test_requests_go_on_with_a_renewed_token(server: Server) -> None:
    holder = Keyholder(server.token)
    async with holder.connection(server.url) as connection:
        await connection.upload(PIECE, name="a")
        holder.token = await token_for(server.store, "alice")
        await server.revoke(server.token)
        assert [file.name.value async for file in connection.list_files()] == ["a"]
        assert holder.asked == 2, "once for all, and once when it was refused"


# --------------------------------------------------------------------------------------------------------- many files


def files(folder: Path, *sizes: int) -> list[client.Item]:
    items = []
    for number, size in enumerate(sizes):
        path = folder / f"{number}"
        path.write_bytes(bytes(size))
        items.append(client.Item(path, f"{number}"))
    return items


async def results(connection: Connection, items: list[client.Item]) -> dict[str, client.Complete | client.Failed]:
    return {result.name: result async for result in connection.upload_many(items)}


SIZES = [pytest.param(100, id="small"), pytest.param(MIB + 1, id="large")]


@pytest.mark.parametrize("size", SIZES)
async def test_a_name_outside_of_the_prefix_does_not_keep_the_others(server: Server, tmp_path: Path, size: int) -> None:
    token = await token_for(server.store, "alice", ["upload"], prefix="mine/")
    items = files(tmp_path, size, size)
    items = [client.Item(items[0].path, "yours/0"), client.Item(items[1].path, "mine/1")]
    async with Keyholder(token).connection(server.url) as connection:
        found = await results(connection, items)
    failed = found["yours/0"]
    assert isinstance(failed, client.Failed)
    assert isinstance(failed.error, Forbidden)
    assert isinstance(found["mine/1"], client.Complete)


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_over_the_quota_does_not_keep_the_others(server: Server, tmp_path: Path, size: int) -> None:
    token = await token_for(server.store, "alice", ["upload"], quota=size)
    async with Keyholder(token).connection(server.url) as connection:
        found = await results(connection, files(tmp_path, size + 1, size))
    failed = found["0"]
    assert isinstance(failed, client.Failed)
    assert isinstance(failed.error, QuotaExceeded)
    assert isinstance(found["1"], client.Complete)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("has_one", [False, True], ids=["none", "unknown"])
async def test_no_good_token_stops_everything(server: Server, tmp_path: Path, size: int, has_one: bool) -> None:
    holder = Keyholder(Secret.new() if has_one else None)
    async with holder.connection(server.url) as connection:
        with pytest.raises(TokenRefused):
            await results(connection, files(tmp_path, size, size, size))


async def test_small_files_go_on_by_themselves_when_there_is_another_token(server: Server, tmp_path: Path) -> None:
    holder = Keyholder(server.token)

    async def items() -> AsyncIterator[client.Item]:
        first, *others = files(tmp_path, *[100] * 20)
        yield first
        holder.token = await token_for(server.store, "alice")
        await cut_off(server, server.token)
        for item in others:
            yield item

    async with holder.connection(server.url) as connection:
        found = [result async for result in connection.upload_many(items())]
    assert [type(result) for result in found] == [client.Complete] * 20
