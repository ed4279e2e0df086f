"""Clients that hold what they get and give nothing: half-open handshakes, and uploads that trickle.

    async with Attack(server.url, half_open=500, trickling=500) as attack: ...

They are a process of their own, and come back as soon as they are hung up on. Entered, all of them hold a connection.
"""

import argparse
import asyncio
import base64
import json
import secrets
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode

from transfer.descriptors import raise_descriptor_limit

TRICKLE_SECONDS = 1.0
SIZE = 1 << 20


class Held(NamedTuple):
    """How many connections they have at a moment, and how often they had to come back so far."""

    half_open: int
    trickling: int
    returns: int


class Attack:
    """The attackers' process."""

    def __init__(self, url: str, *, half_open: int, trickling: int) -> None:
        self._arguments = [url, str(half_open), str(trickling)]
        self._process: Process

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, *self._arguments, stdin=PIPE, stdout=PIPE
        )
        await self._line()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def held(self) -> Held:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return Held(*json.loads(await self._line()))

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the attackers have ended"
        return line


class Attackers:
    """The connections that the attackers have."""

    def __init__(self, url: str, half_open: int, trickling: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._wanted = half_open, trickling
        self._held = [0, 0]
        self._returns = -half_open - trickling
        self.all_there = asyncio.Event()

    @property
    def held(self) -> Held:
        return Held(self._held[0], self._held[1], self._returns)

    async def attack(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind, count in enumerate(self._wanted):
                for number in range(count):
                    group.create_task(self._again_and_again(kind, number))

    async def _again_and_again(self, kind: int, number: int) -> None:
        while True:
            self._returns += 1
            with suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    await (self._trickle(reader, writer, number) if kind else self._half_open(reader, writer))
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.05)

    async def _half_open(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /ws HTTP/1.1\r\nhost: loc")
        await self._hold(0, reader)

    async def _trickle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        writer.write(
            f"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        header = {"type": "upload", "name": f"trickling/{number}", "size": SIZE}
        writer.write(Frame(Opcode.TEXT, json.dumps(header).encode()).serialize(mask=True))
        await reader.readuntil(b'"ready"')
        async with asyncio.TaskGroup() as group:
            drops = group.create_task(self._drop_by_drop(writer))
            await self._hold(1, reader)
            drops.cancel()

    async def _drop_by_drop(self, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(Frame(Opcode.BINARY, b"x").serialize(mask=True))
            await asyncio.sleep(TRICKLE_SECONDS)

    async def _hold(self, kind: int, reader: asyncio.StreamReader) -> None:
        """Until the server ends it; what it says is dropped."""
        self._held[kind] += 1
        if tuple(self._held) == self._wanted:
            self.all_there.set()
        try:
            while await reader.read(1 << 16):
                pass
        finally:
            self._held[kind] -= 1


async def main(url: str, half_open: int, trickling: int) -> None:
    """Attack until stdin ends; say when all are there, and for each line that is read, how many are held."""
    attackers = Attackers(url, half_open, trickling)
    attacking = asyncio.create_task(attackers.attack())
    await attackers.all_there.wait()
    print("all there", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(attackers.held), flush=True)
    attacking.cancel()
    await asyncio.wait([attacking])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("half_open", type=int)
    parser.add_argument("trickling", type=int)
    raise_descriptor_limit()
    asyncio.run(main(**vars(parser.parse_args())))
