"""The newcomer wins: one writer at a time, the others are told and stay away, and nothing of theirs lands later."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import client
from tests.end_to_end.scene import MIB, Recorder, content, names, sha256, stored
from tests.links import Link
from tests.server import running
from transfer.protocol.errors import Superseded
from transfer.settings import Settings

DATA = content(3 * MIB)
HEADER: dict[str, Any] = {"type": "upload", "name": "a.bin", "size": len(DATA)}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data")) as url:
        yield url


@asynccontextmanager
async def socket(url: str) -> AsyncIterator[ClientConnection]:
    """A raw WebSocket, as any other client has one."""
    async with connect(url.replace("http", "ws") + "/ws", compression=None, proxy=None) as websocket:
        yield websocket


async def ask(websocket: ClientConnection, **message: Any) -> dict[str, Any]:
    """Send a message; returns the next answer that is no ack."""
    await websocket.send(json.dumps(message))
    return await answer(websocket)


async def answer(websocket: ClientConnection) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(await websocket.recv())
        if message["type"] != "ack":
            return message


async def assert_superseded(websocket: ClientConnection) -> None:
    assert (await answer(websocket))["code"] == "superseded"
    with pytest.raises(ConnectionClosed) as closed:
        await websocket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4409


async def finish(websocket: ClientConnection, offset: int) -> dict[str, Any]:
    for start in range(offset, len(DATA), MIB):
        await websocket.send(DATA[start : start + MIB])
    return await ask(websocket, type="eof", digest=sha256(DATA))


async def test_an_idle_holder_is_told_and_closed(url: str) -> None:
    async with socket(url) as old, socket(url) as newcomer:
        first = await ask(old, **HEADER)
        ready = await ask(newcomer, **HEADER)
        assert ready["upload_id"] == first["upload_id"]
        assert ready["lease"] != first["lease"]
        await assert_superseded(old)
        assert (await finish(newcomer, ready["offset"]))["type"] == "complete"
    assert await stored(url, "a.bin") == DATA


async def test_what_the_old_holder_sends_after_the_newcomers_ready_is_not_written(url: str) -> None:
    async with socket(url) as old, socket(url) as newcomer:
        await ask(old, **HEADER)
        ready = await ask(newcomer, **HEADER)
        with suppress(ConnectionClosed):
            for _ in range(3):
                await old.send(bytes(MIB))
        assert (await finish(newcomer, ready["offset"]))["file"]["digest"] == sha256(DATA)


async def test_a_holder_comes_back_with_its_lease(url: str) -> None:
    async with socket(url) as old, socket(url) as again:
        first = await ask(old, **HEADER)
        await old.send(DATA[:MIB])
        ready = await ask(again, **HEADER, upload_id=first["upload_id"], lease=first["lease"])
        assert ready["lease"] == first["lease"]
        assert (await finish(again, ready["offset"]))["type"] == "complete"


async def test_a_superseded_holder_cannot_come_back_with_its_old_lease(url: str) -> None:
    async with socket(url) as old, socket(url) as newcomer, socket(url) as again:
        first = await ask(old, **HEADER)
        ready = await ask(newcomer, **HEADER)
        refused = await ask(again, **HEADER, upload_id=first["upload_id"], lease=first["lease"])
        assert refused["code"] == "superseded"
        assert (await finish(newcomer, ready["offset"]))["type"] == "complete"


async def test_a_frozen_holder_does_not_stop_the_newcomer(url: str) -> None:
    async with (
        Link("127.0.0.1", int(url.rpartition(":")[2])) as link,
        socket(url) as newcomer,
        socket(link.url) as old,
    ):
        await ask(old, **HEADER)
        await old.send(DATA[:MIB])
        link.freeze()
        async with asyncio.timeout(20):
            ready = await ask(newcomer, **HEADER)
        assert (await finish(newcomer, ready["offset"]))["type"] == "complete"
        link.cut()


async def test_twenty_contenders_and_one_digest(url: str) -> None:
    async def contend() -> bool:
        async with socket(url) as websocket:
            with suppress(ConnectionClosed):
                ready = await ask(websocket, **HEADER, if_exists="replace")
                if ready["type"] == "ready":
                    return bool((await finish(websocket, ready["offset"]))["type"] == "complete")
        return False

    outcomes = await asyncio.gather(*(contend() for _ in range(20)))
    assert any(outcomes)
    assert await names(url) == ["a.bin"]
    assert await stored(url, "a.bin") == DATA


async def test_two_clients_on_one_upload(url: str, tmp_path: Path) -> None:
    path, first, second = tmp_path / "large.bin", Recorder(), Recorder()
    path.write_bytes(content(64 * MIB))
    loser = asyncio.create_task(client.upload(url, path, on_event=first))
    await first.acked(8 * MIB)
    await client.upload(url, path, on_event=second)
    with pytest.raises(Superseded):
        await loser
    assert second.complete.resumed_at >= 8 * MIB
    assert await stored(url, "large.bin") == content(64 * MIB)
