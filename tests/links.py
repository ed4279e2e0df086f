"""A link with faults: a TCP proxy that a test puts between a client and a server, to cut, freeze, refuse and count.

    async with Link("127.0.0.1", server_port) as link:
        link.cut_after(upstream=1_000_000)
        await use(link.url)

Upstream is from client to server, downstream the way back. Nothing here sleeps: what a test waits for, it waits for
with `until`.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Self

_PIECE_BYTES = 1 << 16


class Way:
    """One of the two directions, over all connections of a link."""

    def __init__(self) -> None:
        self.forwarded_bytes = 0
        self.bytes_until_cut: int | None = None

    def take(self, piece: bytes) -> bytes:
        """The part of `piece` that may still pass; it counts as forwarded from now on."""
        passing = piece if self.bytes_until_cut is None else piece[: self.bytes_until_cut]
        if self.bytes_until_cut is not None:
            self.bytes_until_cut -= len(passing)
        self.forwarded_bytes += len(passing)
        return passing

    def cuts_now(self) -> bool:
        """Whether this was the last byte before a cut; true once."""
        if self.bytes_until_cut != 0:
            return False
        self.bytes_until_cut = None
        return True


class Link:
    """Listens on a free port of 127.0.0.1 while entered, and carries each connection to the target.

    `target` may be set anew, for a server that comes back on another port. While `refusing` is true, newcomers are
    reset at once. `connections` counts those that were ever carried.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.refusing = False
        self.connections = 0
        self.refused_connections = 0
        self._upstream = Way()
        self._downstream = Way()
        self._listener = socket.socket()
        self._accepting: asyncio.Task[None] | None = None
        self._carriers: dict[asyncio.Task[None], asyncio.Event] = {}
        self._changed = asyncio.Event()

    @property
    def port(self) -> int:
        """The port to connect to instead of the server's."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """What to give a client as its server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many are carried at the moment, frozen ones included."""
        return len(self._carriers)

    @property
    def upstream_bytes(self) -> int:
        """Bytes forwarded from clients to the server so far."""
        return self._upstream.forwarded_bytes

    @property
    def downstream_bytes(self) -> int:
        """Bytes forwarded from the server to clients so far."""
        return self._downstream.forwarded_bytes

    def cut_after(self, *, upstream: int | None = None, downstream: int | None = None) -> None:
        """Cut every connection, once, as soon as so many more bytes have passed that way; not one more will."""
        self._upstream.bytes_until_cut = upstream
        self._downstream.bytes_until_cut = downstream

    def cut(self) -> None:
        """Cut every connection now, frozen ones included; new ones may come."""
        for carrier, flowing in self._carriers.items():
            flowing.clear()  # cancelling takes a turn of the loop, in which nothing more must pass
            carrier.cancel()

    def freeze(self) -> None:
        """Leave the connections of this moment half-open: nothing passes, nobody is told. New ones work."""
        for flowing in self._carriers.values():
            flowing.clear()

    def thaw(self) -> None:
        """Let frozen connections go on where they were."""
        for flowing in self._carriers.values():
            flowing.set()

    async def until(self, condition: Callable[[Self], bool]) -> None:
        """Return when `condition` is true of this link; it is looked at after every piece and every connection."""
        while not condition(self):
            await self._changed.wait()

    async def __aenter__(self) -> Self:
        self._listener.setblocking(False)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self._accepting = asyncio.create_task(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._carriers, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    async def _accept(self) -> None:
        while True:
            client, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            if self.refusing:
                self.refused_connections += 1
                _reset(client)
            else:
                self.connections += 1
                flowing = asyncio.Event()
                flowing.set()
                carrier = asyncio.create_task(self._carry(client, flowing))
                self._carriers[carrier] = flowing
                carrier.add_done_callback(self._carried)
            self._notify()

    def _carried(self, carrier: asyncio.Task[None]) -> None:
        del self._carriers[carrier]
        self._notify()

    async def _carry(self, client: socket.socket, flowing: asyncio.Event) -> None:
        """Forward both ways until both sides have ended, one breaks, or this task is cancelled: then both are cut."""
        with client, socket.socket() as server:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError):
                await asyncio.get_running_loop().sock_connect(server, self.target)
                await self._forward_both_ways(client, server, flowing)

    async def _forward_both_ways(self, client: socket.socket, server: socket.socket, flowing: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._forward(client, server, self._upstream, flowing))
                ways.create_task(self._forward(server, client, self._downstream, flowing))
        except* OSError:
            pass  # a side has gone: leaving closes the other

    async def _forward(self, source: socket.socket, sink: socket.socket, way: Way, flowing: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while piece := await loop.sock_recv(source, _PIECE_BYTES):
            await flowing.wait()
            await loop.sock_sendall(sink, way.take(piece))
            if way.cuts_now():
                self.cut()
            self._notify()
        await flowing.wait()
        sink.shutdown(socket.SHUT_WR)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _reset(connection: socket.socket) -> None:
    """Close so that the peer gets a reset instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
