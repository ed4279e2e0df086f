"""What a client puts on the wire, as a server of websockets takes it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
from websockets.asyncio.server import ServerConnection, serve

from client.wire import LENGTH_IN_64_BITS, Wire, open_wire
from transfer.protocol import limits

MUCH = 8 * limits.MIB
CONTENT = Random(1).randbytes(MUCH)


@asynccontextmanager
async def open_to_an_echo() -> AsyncIterator[Wire]:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with (
        serve(echo, "127.0.0.1", 0, max_size=None) as server,
        open_wire(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", path="/echo", max_size=MUCH) as wire,
    ):
        yield wire


@pytest.mark.parametrize(
    "size", [0, 1, 125, 126, LENGTH_IN_64_BITS - 1, LENGTH_IN_64_BITS, LENGTH_IN_64_BITS + 1, limits.MIB, MUCH]
)
async def test_a_message_of_any_length_arrives_as_it_is(size: int) -> None:
    async with open_to_an_echo() as wire:
        await wire.send_frame(CONTENT[:size])
        assert await wire.receive_through() == CONTENT[:size]


async def test_messages_of_all_lengths_arrive_together_and_in_order() -> None:
    messages: list[str | bytes] = [
        "text",
        CONTENT[:5],
        CONTENT[: 2 * LENGTH_IN_64_BITS],
        "",
        CONTENT[:LENGTH_IN_64_BITS],
        b"",
        "end",
    ]
    async with open_to_an_echo() as wire:
        await wire.send_frames(messages)
        assert [await wire.receive_through() for _ in messages] == messages
