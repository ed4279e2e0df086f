"""A link with faults: a TCP proxy that a test puts between a client and a server, to cut, freeze, refuse and count.

    async with Link("127.0.0.1", server_port) as link:
        link.cut_after(upstream=1_000_000)
        await use(link.url)

Upstream is from client to server, downstream the way back. Nothing here sleeps: what a test waits for, it waits for
with `until`.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Self

_PIECE_BYTES = 1 << 16

Happening = Callable[["Passage"], None]
"""What a fault does to a connection: `Passage.cut`, for one."""
Fault = Callable[["Passage", bytes], "Iterable[bytes | Happening]"]
"""Sees each piece before it passes, and says what becomes of it: what is passed on, a write each, and what happens in
between. `passed_bytes` of the passage is where the piece begins."""


def no_fault(passage: "Passage", piece: bytes) -> Iterator[bytes | Happening]:
    """Everything passes as it comes."""
    yield piece


def after(count: int, happening: Happening) -> Fault:
    """As soon as so many more bytes have passed, over all connections: this happens, once."""
    left: int | None = count

    def fault(passage: "Passage", piece: bytes) -> Iterator[bytes | Happening]:
        nonlocal left
        if left is None or len(piece) < left:
            left = None if left is None else left - len(piece)
            yield piece
            return
        here, left = left, None
        yield piece[:here]
        yield happening
        yield piece[here:]

    return fault


class Way:
    """One of the two directions, over all connections of a link."""

    def __init__(self) -> None:
        self.forwarded_bytes = 0
        self.fault: Fault = no_fault


class Passage:
    """One direction of one connection: what a fault sees, and what can happen to it."""

    back: "Passage"
    """The same connection's other direction."""

    def __init__(self, number: int, way: Way, source: socket.socket, sink: socket.socket) -> None:
        self.number = number
        """Of its connection, on its link, from 0."""
        self.passed_bytes = 0
        self.is_over = False
        """Nothing more passes."""
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.way = way
        self._source = source
        self._sink = sink

    def half_close(self) -> None:
        """Tell the receiver that nothing more comes, and drop what still does."""
        if not self.is_over:
            self.is_over = True
            with suppress(OSError):  # it has gone before
                self._sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of where it comes from."""
        self._source.close()

    def cut(self) -> None:
        """End it orderly, for both sides at once."""
        self.half_close()
        self.back.half_close()

    def reset(self) -> None:
        """End it without ceremony: both sides get a reset."""
        for end in (self._source, self._sink):
            _linger_not(end)
        raise ConnectionResetError

    def stall(self) -> None:
        """Let nothing pass any more, in both directions, and tell nobody."""
        self.hold()
        self.back.hold()

    def hold(self) -> None:
        """Let nothing pass in this direction."""
        self.flowing.clear()

    async def forward(self, notify: Callable[[], None]) -> None:
        """Pass on what comes until its end; `notify` hears of every step."""
        while piece := await asyncio.get_running_loop().sock_recv(self._source, _PIECE_BYTES):
            await self.flowing.wait()
            for part in self.way.fault(self, piece):
                if callable(part):
                    part(self)
                else:
                    await self._pass(part)
                notify()
        await self.flowing.wait()
        self.half_close()

    async def _pass(self, piece: bytes) -> None:
        await self.flowing.wait()
        if piece and not self.is_over:
            self.passed_bytes += len(piece)
            self.way.forwarded_bytes += len(piece)
            await asyncio.get_running_loop().sock_sendall(self._sink, piece)


class Link:
    """Listens on a free port of 127.0.0.1 while entered, and carries each connection to the target.

    `target` may be set anew, for a server that comes back on another port. While `refusing` is true, newcomers are
    reset at once. `connections` counts those that were ever carried. One on which nothing passes for `idle_limit`
    seconds, either way, is cut, as proxies do.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.refusing = False
        self.idle_limit: float | None = None
        self.connections = 0
        self.refused_connections = 0
        self.upstream = Way()
        self.downstream = Way()
        self._listener = socket.socket()
        self._accepting: asyncio.Task[None] | None = None
        self._carriers: dict[asyncio.Task[None], tuple[Passage, Passage]] = {}
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
        return self.upstream.forwarded_bytes

    @property
    def downstream_bytes(self) -> int:
        """Bytes forwarded from the server to clients so far."""
        return self.downstream.forwarded_bytes

    def cut_after(self, *, upstream: int | None = None, downstream: int | None = None) -> None:
        """Cut every connection, once, as soon as so many more bytes have passed that way; not one more will."""
        self._happens_after(lambda _: self.cut(), upstream, downstream)

    def hold_after(self, *, upstream: int | None = None, downstream: int | None = None) -> None:
        """Hold the connection in that direction, once, as soon as so many more bytes have passed that way: not one
        more will before `thaw`. The other direction works. Of several it is the one that has passed most: a browser
        asks for something small beside the file that it sends, and what is wanted is that the file does not arrive."""
        before = {passage: passage.passed_bytes for pair in self._carriers.values() for passage in pair}

        def hold_busiest(passage: Passage) -> None:
            """Of those that go the same way, the one that has passed most since."""
            rivals = [each for pair in self._carriers.values() for each in pair if each.way is passage.way]
            open_rivals = [each for each in rivals if not each.is_over]
            max(passage, *open_rivals, key=lambda rival: rival.passed_bytes - before.get(rival, 0)).hold()

        self._happens_after(hold_busiest, upstream, downstream)

    def _happens_after(self, happening: Happening, upstream: int | None, downstream: int | None) -> None:
        for way, count in ((self.upstream, upstream), (self.downstream, downstream)):
            way.fault = no_fault if count is None else after(count, happening)

    def cut(self) -> None:
        """Cut every connection now, frozen ones included; new ones may come."""
        self.freeze()  # cancelling takes a turn of the loop, in which nothing more must pass
        for carrier in self._carriers:
            carrier.cancel()

    def freeze(self) -> None:
        """Leave the connections of this moment half-open: nothing passes, nobody is told. New ones work."""
        for passages in self._carriers.values():
            for passage in passages:
                passage.hold()

    def thaw(self) -> None:
        """Let frozen connections go on where they were, and take back what was still to happen."""
        self.upstream.fault = self.downstream.fault = no_fault
        for passages in self._carriers.values():
            for passage in passages:
                passage.flowing.set()

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
                server = socket.socket()
                passages = self._passages(client, server)
                self.connections += 1
                carrier = asyncio.create_task(self._carry(client, server, passages))
                self._carriers[carrier] = passages
                carrier.add_done_callback(self._carried)
            self._notify()

    def _carried(self, carrier: asyncio.Task[None]) -> None:
        """Both are cut, also where the task was cancelled before it had begun."""
        for passage in self._carriers.pop(carrier):
            passage.close()
        self._notify()

    def _passages(self, client: socket.socket, server: socket.socket) -> tuple[Passage, Passage]:
        up = Passage(self.connections, self.upstream, client, server)
        down = Passage(self.connections, self.downstream, server, client)
        up.back, down.back = down, up
        return up, down

    async def _carry(self, client: socket.socket, server: socket.socket, passages: tuple[Passage, Passage]) -> None:
        """Forward both ways until both sides have ended, one breaks, or this task is cancelled."""
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            await asyncio.get_running_loop().sock_connect(server, self.target)
            await self._forward_both_ways(passages)

    async def _forward_both_ways(self, passages: tuple[Passage, Passage]) -> None:
        try:
            async with asyncio.timeout(self.idle_limit) as idle, asyncio.TaskGroup() as ways:
                for passage in passages:
                    ways.create_task(passage.forward(lambda: self._moved(idle)))
        except* (OSError, TimeoutError):
            pass  # a side has gone, or both were silent: both are cut

    def _moved(self, idle: asyncio.Timeout) -> None:
        if self.idle_limit is not None:
            idle.reschedule(asyncio.get_running_loop().time() + self.idle_limit)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _reset(connection: socket.socket) -> None:
    """Close so that the peer gets a reset instead of an orderly end."""
    _linger_not(connection)
    connection.close()


def _linger_not(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
