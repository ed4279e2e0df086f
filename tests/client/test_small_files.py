"""Reading small files many at a time: what comes of each, and that none waits for one that is still to come."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

import client
from client.errors import ClientError
from client.headers import upload_header
from client.progress import Event, Waiting
from client.small_files import AT_A_TIME, BYTES_AT_A_TIME, Item, SmallFileReader
from client.source import open_source
from transfer.protocol.digest import DEFAULT_ALGORITHM, digest_bytes
from transfer.protocol.errors import BadMessage, InvalidName
from transfer.protocol.limits import PROTOCOL, SMALL_FILE_BYTES

HEADER_OF = partial(upload_header, digest_algorithm=DEFAULT_ALGORITHM)


def made(folder: Path, name: str, content: bytes) -> Item:
    (folder / name).write_bytes(content)
    return Item(folder / name, f"sent/{name}")


async def test_each_item_is_read_or_large_or_failed(tmp_path: Path) -> None:
    contents = {f"{number:03}": os.urandom(number) for number in range(3 * AT_A_TIME)}
    items = [made(tmp_path, name, content) for name, content in contents.items()]
    large = made(tmp_path, "large", bytes(SMALL_FILE_BYTES + 1))
    gone, unspeakable = Item(tmp_path / "gone", "gone"), Item(items[0].path, "../000")
    items[AT_A_TIME:AT_A_TIME] = [gone, large, unspeakable]
    reader = SmallFileReader(items, HEADER_OF)
    files = [file async for some in reader.files() for file in some]
    assert {str(file.header.name).removeprefix("sent/"): file.content for file in files} == contents
    assert all(file.digest == digest_bytes(file.content) and file.header.size == len(file.content) for file in files)
    assert len({file.header.ref for file in files}) == len(files)
    assert reader.large == [large]
    assert [(failure.name, type(failure.error)) for failure in reader.failed] == [
        ("gone", FileNotFoundError),
        ("../000", InvalidName),
    ]


async def test_what_took_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """It was a file when it was listed, and is one into which nobody writes by now."""
    items = [Item(tmp_path / name, name) for name in ("pipe", "folder")]
    os.mkfifo(items[0].path)
    items[1].path.mkdir()
    reader = SmallFileReader([*items, made(tmp_path, "file", b"read")], HEADER_OF)
    assert [file.content async for some in reader.files() for file in some] == [b"read"]
    assert [failure.name for failure in reader.failed] == ["pipe", "folder"]
    with pytest.raises(ClientError, match="pipe is not a regular file"):
        async with open_source(items[0].path):
            pass


async def test_a_hop_reads_no_more_than_is_to_be_kept(tmp_path: Path) -> None:
    items = [made(tmp_path, str(number), bytes(SMALL_FILE_BYTES)) for number in range(5)]
    sizes = [len(some) * SMALL_FILE_BYTES async for some in SmallFileReader(items, HEADER_OF).files()]
    assert sum(sizes) == 5 * SMALL_FILE_BYTES
    assert max(sizes) <= BYTES_AT_A_TIME


async def test_no_file_waits_for_an_item_that_is_still_to_come(tmp_path: Path) -> None:
    sent = asyncio.Event()

    async def coming() -> AsyncIterator[Item]:
        yield made(tmp_path, "first", b"first")
        await sent.wait()
        yield made(tmp_path, "second", b"second")

    contents: list[list[bytes]] = []
    async for some in SmallFileReader(coming(), HEADER_OF).files():
        if some:
            contents.append([file.content for file in some])
            sent.set()
    assert contents == [[b"first"], [b"second"]]


async def test_a_file_that_is_refused_for_a_while_waits_as_long_as_the_server_asks(tmp_path: Path) -> None:
    waiting: asyncio.Queue[Event] = asyncio.Queue()

    async def refuse(connection: ServerConnection) -> None:
        await connection.recv()
        error = {"type": "error", "ref": 1, "code": "too_many", "message": "too many", "retryable": True}
        await connection.send(json.dumps(error | {"retry_after": 70}))
        await connection.wait_closed()

    def listen(event: Event) -> None:
        if isinstance(event, Waiting):
            waiting.put_nowait(event)

    async with serve(refuse, "127.0.0.1", 0, subprotocols=[Subprotocol(PROTOCOL)]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with client.connect(f"http://127.0.0.1:{port}") as connection:
            uploading = asyncio.create_task(connection.upload(made(tmp_path, "file", b"read").path, on_event=listen))
            assert await waiting.get() == Waiting(name="file", seconds=70, reason="too many")
            uploading.cancel()
            await asyncio.wait([uploading])


async def test_an_answer_to_what_nobody_sent_ends_it(tmp_path: Path) -> None:
    """Nobody would wait for the right one in vain."""
    entry = {"name": "other", "size": 0, "digest": str(digest_bytes(b"")), "content_type": "text/plain", "url": "/"}
    times: dict[str, object] = {
        "created": "2026-01-01T00:00:00Z",
        "modified": None,
        "owner": "anonymous",
        "metadata": {},
    }

    async def answer(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(json.dumps({"type": "complete", "ref": 7, "file": entry | times}))
        await connection.wait_closed()

    async with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol(PROTOCOL)]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with client.connect(f"http://127.0.0.1:{port}") as connection:
            with pytest.raises(BadMessage, match="nobody had sent"):
                await connection.upload(made(tmp_path, "file", b"read").path)
