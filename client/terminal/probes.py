"""What `towline doctor` tries out on a server's WebSockets and downloads. Each takes its seconds, and leaves nothing.

On `/echo` every message comes back as it was, so what a proxy does to messages shows there; how fast bytes become
durable shows in an upload that is cancelled before it is complete.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from typing import Final

from client.errors import CannotConnect, ConnectionBroken, TunnelClosed
from client.http import HttpApi
from client.wire import Wire
from transfer.protocol import limits
from transfer.protocol.errors import TransferError
from transfer.protocol.messages import (
    AckMessage,
    CancelledMessage,
    CancelMessage,
    EchoMessage,
    ErrorMessage,
    FileEntry,
    ReadyMessage,
    TextHeader,
    UploadHeader,
)
from transfer.protocol.names import Name

REFUSALS: Final = (TransferError, CannotConnect, ConnectionBroken, TunnelClosed, TimeoutError)
"""What a probe raises where it finds nothing out."""
EchoOpener = Callable[[], AbstractAsyncContextManager[Wire]]
TRIPS: Final = 5
MESSAGE_SECONDS: Final = 20.0
DROP_SECONDS: Final = 5.0
SIZES: Final = tuple(limits.KIB << doublings for doublings in range(11))
"""1 KiB to 1 MiB, which is what an upload sends."""
ROUND_SECONDS: Final = 1.0
"""A measurement of speed is good enough when it took so long."""
SPEED_BYTES: Final = 64 * limits.MIB
"""And when it moved so much."""
FIRST_ROUND_BYTES: Final = 256 * limits.KIB
WORTH_READING: Final = limits.MIB
"""A file smaller than that says nothing about speed."""


@dataclass(frozen=True, slots=True)
class Early:
    """When the first small message came back, if it did; `held_bytes` had to follow it first."""

    seconds: float | None
    held_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """The largest message that got through, and the smallest that did not, and how that ended: empty where it only was
    not back in time."""

    passed: int
    failed: int | None = None
    ended: str = ""


@dataclass(frozen=True, slots=True)
class Speed:
    """Bytes a second, one way. It `is_bound` where it is not less, but may be more."""

    check: str
    rate: float
    measured_by: str
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class Idle:
    """How long a connection stayed silent, and when it ended by that."""

    seconds: float
    ended_after: float | None = None
    ended: str = ""


async def round_trips(wire: Wire) -> list[float]:
    """Seconds of some texts, there and back. Raises ConnectionBroken, TransferError, TimeoutError."""
    taken: list[float] = []
    for _ in range(TRIPS):
        began = time.perf_counter()
        await wire.send(TextHeader(text="towline doctor"))
        async with asyncio.timeout(MESSAGE_SECONDS):
            answer = await wire.receive()
        if isinstance(answer, ErrorMessage):
            raise answer.error
        if isinstance(answer, EchoMessage):
            taken.append(time.perf_counter() - began)
    return taken


async def early_message(wire: Wire, seconds: float) -> Early:
    """Send a small message and look whether it is back in so many seconds, and else after how many bytes more."""
    began = time.perf_counter()
    await wire.send_through(b"towline")
    if await _came_back(wire, seconds):
        return Early(time.perf_counter() - began)
    sent = 0
    for size in SIZES:
        await wire.send_through(bytes(size))
        sent += size
        if await _came_back(wire, seconds / 6):
            return Early(time.perf_counter() - began, held_bytes=sent)
    return Early(None)


async def _came_back(wire: Wire, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await wire.receive_through()
    except TimeoutError:
        return False
    return True


async def largest_message(open_echo: EchoOpener) -> Sizes:
    """The largest of `SIZES` that comes back, trying the largest first: that is all there is to do on a good way."""
    if (refused := await _refusal_of(open_echo, SIZES[-1])) is None:
        return Sizes(SIZES[-1])
    passed, failed, ended = 0, SIZES[-1], refused
    for size in SIZES[:-1]:
        if (refused := await _refusal_of(open_echo, size)) is not None:
            return Sizes(passed, size, refused)
        passed = size
    return Sizes(passed, failed, ended)


async def _refusal_of(open_echo: EchoOpener, size: int) -> str | None:
    """How a connection ends by a message of this size: empty when it takes too long, None when the message is back."""
    try:
        async with open_echo() as wire, asyncio.timeout(MESSAGE_SECONDS):
            await wire.send_through(os.urandom(size))
            await wire.receive_through()
    except TunnelClosed as closed:
        return f"closed with {closed.code}" + (f" {closed.reason}" if closed.reason else "")
    except TimeoutError:
        return ""
    except ConnectionBroken as broken:
        return str(broken)
    return None


async def silence(open_echo: EchoOpener, seconds: float) -> Idle:
    """Keep a connection on which this side says nothing, not even a ping, and then use it."""
    async with open_echo() as wire:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                await wire.receive_through()
        except TimeoutError:
            return await _still_there(wire, seconds)
        except TunnelClosed as closed:
            return Idle(seconds, time.perf_counter() - began, f"closed with {closed.code}")
        return Idle(seconds)


async def _still_there(wire: Wire, seconds: float) -> Idle:
    """A connection may be gone without anybody being told."""
    try:
        await wire.send_through(b"towline")
        if await _came_back(wire, MESSAGE_SECONDS):
            return Idle(seconds)
    except TunnelClosed as closed:
        return Idle(seconds, seconds, f"closed with {closed.code}")
    return Idle(seconds, seconds, "without a word")


# ------------------------------------------------------------------------------------------------------------- speed


async def upload_speed(wire: Wire, http: HttpApi, prefix: str, message_bytes: int, most_bytes: int) -> Speed:
    """How fast bytes become durable: of an upload below the caller's `prefix` that is cancelled before it is a file; by
    `http` where this is cancelled, or the connection breaks. Raises TransferError for who may not, or has no room, and
    ConnectionBroken."""
    name = Name.parse(f"{prefix}towline-doctor-{secrets.token_hex(8)}")
    await wire.send(UploadHeader(name=name, size=most_bytes, resume=False))
    ready = await _answer(wire)
    assert isinstance(ready, ReadyMessage)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_drop, http, ready.upload_id)
        rate = await _durable_rate(wire, min(ready.chunk_size, message_bytes), most_bytes)
        await wire.send(CancelMessage())
        while not isinstance(await _answer(wire), CancelledMessage):
            pass
        stack.pop_all()
    return Speed("upload", rate, "an upload that was cancelled; these bytes are durable")


async def _drop(http: HttpApi, upload_id: str) -> None:
    """Cancel an upload, where the server can be reached: else it goes when the server drops what is silent."""
    with suppress(*REFUSALS):  # what led here says more
        async with asyncio.timeout(DROP_SECONDS):
            await http.cancel(upload_id)


async def _durable_rate(wire: Wire, message_bytes: int, most_bytes: int) -> float:
    """Rounds that grow, each until all of it is acknowledged, up to the first that takes long enough."""
    chunk, sent, size = os.urandom(message_bytes), 0, FIRST_ROUND_BYTES
    while True:
        began, round_end = time.perf_counter(), min(most_bytes, sent + size)
        moved = round_end - sent
        while sent < round_end:
            await wire.send_frame(chunk[: round_end - sent])
            sent += len(chunk[: round_end - sent])
        while not (isinstance(ack := await _answer(wire), AckMessage) and ack.offset >= round_end):
            pass
        taken = time.perf_counter() - began
        if taken >= ROUND_SECONDS or sent == most_bytes:
            return moved / taken
        size *= 4


async def _answer(wire: Wire) -> object:
    async with asyncio.timeout(limits.MESSAGE_SECONDS):
        answer = await wire.receive()
    if isinstance(answer, ErrorMessage):
        raise answer.error
    return answer


async def download_speed(http: HttpApi, most_bytes: int) -> Speed | None:
    """How fast the largest file that is there comes, or its beginning; None where none is large enough. Raises
    TransferError for who may not read."""
    largest = await _largest(http)
    if largest is None or largest.size < WORTH_READING:
        return None
    async with http.open_content(str(largest.name)) as content:
        began, received = time.perf_counter(), 0
        async with aclosing(_until(content.chunks, began + ROUND_SECONDS)) as chunks:
            async for chunk in chunks:
                received += len(chunk)
                if received >= most_bytes:
                    break
        return Speed("download", received / (time.perf_counter() - began), "a part of a file that is there")


async def _largest(http: HttpApi) -> FileEntry | None:
    async with aclosing(http.list_files(sort="-size")) as files:  # type: ignore[type-var]
        async for file in files:
            return file
    return None


async def _until(chunks: AsyncIterator[bytes], end: float) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        yield chunk
        if time.perf_counter() >= end:
            return


async def echo_speed(wire: Wire, check: str, message_bytes: int, most_bytes: int) -> Speed:
    """How fast messages come back: the slower way of the two decides, so each of them is at least as fast."""
    message, count = os.urandom(message_bytes), 1
    while True:
        began = time.perf_counter()
        async with asyncio.timeout(limits.MESSAGE_SECONDS), asyncio.TaskGroup() as both_ways:
            both_ways.create_task(_receive_all(wire, count))
            for _ in range(count):
                await wire.send_through(message)
        taken = time.perf_counter() - began
        if taken >= ROUND_SECONDS or count * message_bytes >= most_bytes:
            return Speed(check, count * message_bytes / taken, "messages that came back", is_bound=True)
        count *= 4


async def _receive_all(wire: Wire, count: int) -> None:
    for _ in range(count):
        await wire.receive_through()
