"""The process of a crowd: does what it is told in lines of JSON on its stdin, and answers each with one."""

import asyncio
import json
import random
import sys
import time
from collections.abc import Coroutine
from hashlib import sha256

import uvloop

from bench.crowd import MESSAGE_BYTES, PROBE_SECONDS, SLOW_PERIOD, UPLOAD_BYTES
from bench.crowd.websocket import WebSocket

CONTENT = random.Random(0).randbytes(MESSAGE_BYTES)


class Crowd:
    """The clients of one server."""

    def __init__(self, port: int, path: str) -> None:
        self._port, self._path = port, path
        self._clients: list[WebSocket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ack_seconds: list[float] = []

    async def connect(self, count: int) -> None:
        """So many more, one after another."""
        for _ in range(count):
            self._clients.append(await WebSocket.opened(self._port, self._path))

    async def leave(self) -> None:
        """All hang up."""
        for task in self._tasks:
            task.cancel()
        for client in self._clients:
            client.close()
        self._clients, self._tasks = [], set()

    async def upload_slowly(self) -> None:
        """Begin an upload on each connection; each sends a message a period from now on, at a moment of its own."""
        for number, client in enumerate(self._clients):
            client.tell(type="upload", name=f"slow/{number}-{random.getrandbits(64):x}", size=UPLOAD_BYTES)
        for client in self._clients:
            await client.told("ready")
            self._spawn(self._upload(client))

    async def echo_slowly(self) -> None:
        """Have the same messages come back, from a server that can do nothing else."""
        for client in self._clients:
            self._spawn(self._echo(client))

    async def ack_seconds(self) -> list[float]:
        """How long each message of a slow upload took to be acknowledged, since this was asked last."""
        found, self._ack_seconds = self._ack_seconds, []
        return found

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _upload(self, client: WebSocket) -> None:
        sent = acked = 0
        due = time.monotonic() + random.random() * SLOW_PERIOD
        while sent + MESSAGE_BYTES <= UPLOAD_BYTES:
            due = await _later(due)
            began, sent = time.monotonic(), sent + MESSAGE_BYTES
            await client.send(CONTENT)
            while acked < sent:
                acked = (await client.told("ack"))["offset"]
            self._ack_seconds.append(time.monotonic() - began)

    async def _echo(self, client: WebSocket) -> None:
        due = time.monotonic() + random.random() * SLOW_PERIOD
        while True:
            due = await _later(due)
            await client.send(CONTENT)
            await client.message()

    async def probe(self, seconds: float) -> list[float]:
        """Echoes on a connection of their own, one each PROBE_SECONDS: how long each took."""
        client, found = await WebSocket.opened(self._port, self._path), []
        due = end = time.monotonic()
        while due < end + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            began = time.perf_counter()
            if self._path == "/ws":
                client.tell(type="text", text="hello")
            else:
                await client.send(b"hello")
            await client.message()
            found.append(time.perf_counter() - began)
            due = max(due + PROBE_SECONDS, time.monotonic())
        client.close()
        return found

    async def upload_at_once(self, size: int, pieces: int) -> float:
        """Each connection uploads a file of so many pieces of `size` bytes, all at the same time, to its `complete`.
        Returns seconds."""
        content, digest = random.randbytes(size), sha256()
        for _ in range(pieces):
            digest.update(content)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(self._clients):
                name = f"fast/{number}-{random.getrandbits(64):x}"
                group.create_task(_upload_now(client, name, content, pieces, f"sha256:{digest.hexdigest()}"))
        return time.perf_counter() - began


async def _later(due: float) -> float:
    """Wait until it is due. Returns when the next one is."""
    await asyncio.sleep(max(0.0, due - time.monotonic()))
    return max(due + SLOW_PERIOD, time.monotonic())


async def _upload_now(client: WebSocket, name: str, content: bytes, pieces: int, digest: str) -> None:
    client.tell(type="upload", name=name, size=len(content) * pieces)
    window = (await client.told("ready"))["window"]
    acked = sent = 0
    for _ in range(pieces):
        while sent > acked and sent + len(content) - acked > window:
            ack = await client.told("ack")
            acked, window = ack["offset"], ack.get("window", window)
        await client.send(content)
        sent += len(content)
    client.tell(type="eof", digest=digest)
    await client.told("complete")


async def main() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    crowd = Crowd(int(sys.argv[1]), sys.argv[2])
    while line := await reader.readline():
        name, *arguments = json.loads(line)
        print(json.dumps(await getattr(crowd, name)(*arguments)), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
