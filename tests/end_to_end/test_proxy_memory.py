"""A reader who stalls stops the sender behind the other end of a tunnel, and the server holds next to nothing."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection

from tests.server import ServerProcess
from tests.upstream import Upstream

MIB = 1 << 20
MESSAGES = 1_024
"""Of 1 MiB each."""
ON_THE_WAY = 48
"""Messages that may be sent and not received: in sockets' buffers, mostly."""
GROWTH = 64 * MIB
ROUND_TRIPS = 30


@dataclass
class Stream:
    """A sender that goes on until all is sent, and a reader who waits for a word."""

    sent: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, connection: ClientConnection | ServerConnection) -> None:
        message = bytes(MIB)
        for _ in range(MESSAGES):
            await connection.send(message)
            self.sent += 1

    async def receive(self, connection: ClientConnection | ServerConnection) -> None:
        received = len(await connection.recv())
        self.begun.set()
        await self.go_on.wait()
        while received < MESSAGES * MIB:
            received += len(await connection.recv())

    async def until_it_stands(self, url: str) -> None:
        """Until not one more message was sent while the server answered many times."""
        await self.begun.wait()
        async with connect(url, proxy=None, compression=None) as other:
            before = -1
            while before != self.sent:
                before = self.sent
                for _ in range(ROUND_TRIPS):
                    await other.send("still there?")
                    await other.recv()


def memory_of(server: ServerProcess, kind: str) -> int:
    """`VmRSS` or `VmHWM` of proc(5), in bytes."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(rf"^{kind}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@asynccontextmanager
async def tunnel(folder: Path, upstream: Upstream) -> AsyncIterator[tuple[ServerProcess, str, ClientConnection]]:
    proxy = {"upstreams": {"plain": {"url": upstream.url, "allow_private": True}}}
    async with ServerProcess(folder / "data", environment={"TOWLINE_PROXY": json.dumps(proxy)}) as server:
        url = server.url.replace("http:", "ws:")
        async with connect(url + "/proxy/plain", proxy=None, compression=None, max_queue=1, max_size=None) as client:
            yield server, url, client


@pytest.mark.parametrize("way", ["down", "up"])
async def test_a_gibibyte_waits_for_its_reader_outside_of_the_server(tmp_path: Path, way: str) -> None:
    stream = Stream()
    far, near = (stream.send, stream.receive) if way == "down" else (stream.receive, stream.send)
    async with Upstream(far, max_queue=1) as upstream, tunnel(tmp_path, upstream) as (server, url, client):
        before = memory_of(server, "VmRSS")
        async with asyncio.TaskGroup() as group:
            group.create_task(near(client))
            await stream.until_it_stands(url + "/echo")
            assert stream.sent < ON_THE_WAY
            stream.go_on.set()
        if way == "up":
            await client.close()
            assert await upstream.ended.get() == (1000, "")
        assert stream.sent == MESSAGES
        assert memory_of(server, "VmHWM") - before < GROWTH
