"""What must hold before uvicorn or websockets are let move to another version."""

import asyncio
import gc
import json
import random
import select
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close, Frame, Opcode

from tests.echoing import echo_endpoint as echo
from tests.server import serving_apart
from transfer import admission
from transfer.engine.config import ConnectionLimits, EngineConfig
from transfer.engine.farewell import Farewell
from transfer.engine.http import HTTP_PATIENCE, HttpProtocol
from transfer.engine.payloads import PayloadReader
from transfer.engine.scope import TRANSPORT
from transfer.engine.websocket import WebSocketProtocol
from transfer.protocol.limits import MAX_ECHO_BYTES, MAX_HEAD_BYTES, MAX_HEAD_FIELDS, MAX_MESSAGE_BYTES, MIB
from transfer.server import Server
from transfer.settings import Settings

Endpoint = Callable[[WebSocket], Awaitable[None]]
UPGRADE = (
    b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.fixture
def quiet_log(caplog: pytest.LogCaptureFixture) -> object:
    """Nothing that a client does may write a traceback, or anything worse than a warning."""
    yield
    assert [record.getMessage() for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


class Connections(set[object]):
    """The connections of a server; says when one has gone."""

    def __init__(self) -> None:
        super().__init__()
        self.fewer = asyncio.Event()

    def remove(self, connection: object) -> None:
        super().remove(connection)
        self.fewer.set()

    def discard(self, connection: object) -> None:
        super().discard(connection)
        self.fewer.set()


async def all_gone(server: Server) -> None:
    """Return when no connection is left; raises TimeoutError when one stays."""
    connections = server.server_state.connections
    assert isinstance(connections, Connections)
    async with asyncio.timeout(5):
        while connections:
            connections.fewer.clear()
            await connections.fewer.wait()


@asynccontextmanager
async def serving_app(
    app: FastAPI, settings: Settings | None = None, **options: float
) -> AsyncIterator[tuple[str, Server]]:
    async with serving_apart(app, settings or Settings(drain_timeout=5), **options) as (url, server):
        server.server_state.connections = Connections()  # type: ignore[assignment]
        yield url, server


@asynccontextmanager
async def serving(
    endpoint: Endpoint, settings: Settings | None = None, **options: float
) -> AsyncIterator[tuple[str, Server]]:
    app = FastAPI()
    app.add_api_websocket_route("/", endpoint)
    async with serving_app(app, settings, **options) as (url, server):
        yield url, server


def opened(url: str) -> connect:
    return connect(url.replace("http:", "ws:"), proxy=None, compression=None, max_size=None)


def patience() -> asyncio.Timeout:
    """What is to happen happens well within this."""
    return asyncio.timeout(10)


class Peer:
    """A client that reads only when it is told to."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)

    async def __aenter__(self) -> "Peer":
        await asyncio.get_running_loop().sock_connect(self._socket, self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def send_frame(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        await self.send(Frame(opcode, data, fin).serialize(mask=True))

    async def read(self, end: bytes | None = None) -> bytes:
        """What comes until it ends with `end`, or until the server closes."""
        data = b""
        while end is None or not data.endswith(end):
            piece = await asyncio.get_running_loop().sock_recv(self._socket, 1 if end else 65_536)
            if not piece:
                break
            data += piece
        return data

    async def reads_up_to(self, end: bytes) -> None:
        """Much comes, and then this, before the server closes; what comes after it may be read as well."""
        data = b""
        while end not in data:
            piece = await asyncio.get_running_loop().sock_recv(self._socket, 65_536)
            assert piece
            data = data[-len(end) :] + piece

    async def hears(self, end: bytes) -> None:
        """Something that ends with this comes, before the server closes."""
        assert (await self.read(end)).endswith(end)

    async def read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += await asyncio.get_running_loop().sock_recv(self._socket, size - len(data))
        return data

    def send_now(self, *frames: Frame) -> None:
        """Without a turn of the loop; what is sent has to fit into the system's buffers."""
        data = b"".join(frame.serialize(mask=True) for frame in frames)
        assert self._socket.send(data) == len(data)

    async def upgrade(self) -> None:
        await self.send(UPGRADE)
        assert (await self.read(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")

    async def was_reset(self, seconds: float = 10.0) -> bool:
        """Whether the server resets the connection; not a byte is read to find out."""
        poller = select.poll()
        poller.register(self._socket, select.POLLRDHUP)
        events = await asyncio.to_thread(poller.poll, seconds * 1000)
        return bool(events)


# ------------------------------------------------------------------------------------------------------------- text


async def refusal_of(connection: ClientConnection) -> Close | None:
    """The close that the server sent, if it sent one."""
    try:
        while True:
            await connection.recv()
    except ConnectionClosed as closed:
        return closed.rcvd


@pytest.mark.parametrize("fragments", [[b"\xff"], [b"good \xc3", b"bad"], [b"", b"\xed\xa0\x80"]])
async def test_invalid_utf8_closes_with_1007_and_no_word_in_the_log(
    fragments: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        heard.set_result(await websocket.receive())

    async with serving(endpoint) as (url, _), opened(url) as client:
        await client.send(fragments, text=True)
        refused = await refusal_of(client)
        assert (refused and refused.code) == 1007
        assert (await heard)["code"] == 1007
    assert caplog.records == []


async def test_a_character_may_be_split_between_fragments() -> None:
    async with serving(echo) as (url, _), opened(url) as client:
        await client.send([b"\xc3", b"\xa9"], text=True)
        assert await client.recv() == "é"


async def takes_all(websocket: WebSocket) -> None:
    """An endpoint without wishes of its own."""
    await websocket.accept()
    while (await websocket.receive())["type"] == "websocket.receive":
        await websocket.send_text("taken")


async def test_most_of_a_long_message_is_read_to_where_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere, message = 0, random.Random(1).randbytes(MIB)

    class Reader(PayloadReader):
        def feed_data(self, data: bytes | bytearray) -> None:
            nonlocal elsewhere
            elsewhere += len(data)
            super().feed_data(data)

    monkeypatch.setattr("transfer.engine.websocket.PayloadReader", Reader)
    async with serving(echo) as (url, _), opened(url) as client:
        await client.send(message)
        assert await client.recv() == message
    assert 0 < elsewhere < MIB // 2


@pytest.mark.parametrize(
    "begun",
    [
        [Frame(Opcode.BINARY, bytes(2 * MIB)).serialize(mask=True)[:MIB]],
        [Frame(Opcode.BINARY, bytes(MIB), fin=False).serialize(mask=True)],
        [Frame(opcode, bytes(MIB), fin=False).serialize(mask=True) for opcode in (Opcode.BINARY, Opcode.CONT)],
    ],
    ids=["payload", "fragment", "fragments"],
)
async def test_a_message_that_a_lost_connection_has_begun_takes_no_memory_any_more(begun: list[bytes]) -> None:
    async with serving(takes_all) as (url, server):
        async with opened(url) as client:
            await client.send(bytes(MIB))  # the place of one payload is kept
            await client.recv()
        await all_gone(server)
        gc.disable()
        tracemalloc.start()
        try:
            async with Peer(url) as peer:
                await peer.upgrade()
                await peer.send(b"".join(begun))
            await all_gone(server)
            left, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert left < MIB // 2 < peak


limited = pytest.mark.parametrize(("endpoint", "limit"), [(takes_all, MAX_MESSAGE_BYTES), (echo, MAX_ECHO_BYTES)])


def binary_head(size: int, *, fin: bool = True) -> bytes:
    """The beginning of a binary frame of at least 64 KiB: what comes before its content."""
    return bytes([0x82 if fin else 0x02, 0xFF]) + size.to_bytes(8, "big") + bytes(4)


@limited
async def test_a_message_over_the_limit_closes_with_1009_and_is_heard_out(endpoint: Endpoint, limit: int) -> None:
    async with serving(endpoint) as (url, _), opened(url) as client:
        await client.send(bytes(limit))
        assert await client.recv()
        with suppress(ConnectionClosed):
            await client.send(bytes(2 * limit))
        refused = await refusal_of(client)
        assert (refused and refused.code) == 1009


@limited
@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_message_over_the_limit_is_refused_before_it_has_come(
    endpoint: Endpoint, limit: int, pieces: int
) -> None:
    async with serving(endpoint) as (url, server), Peer(url) as peer, patience():
        await peer.upgrade()
        if pieces == 2:
            await peer.send(binary_head(MIB, fin=False) + bytes(MIB))
            await peer.send(b"\x80" + binary_head(limit - MIB + 1)[1:])
        else:
            await peer.send(binary_head(limit + 1))
        assert (await peer.read_exactly(4))[2:] == (1009).to_bytes(2, "big")
        await peer.send(bytes(MIB))
        await peer.read()  # to the end: it was no reset
        await all_gone(server)


# ----------------------------------------------------------------------------------------------------------- endings


@pytest.mark.parametrize("ending", ["returns", "closes"])
async def test_a_dead_peer_with_a_full_buffer_is_reset_when_the_application_is_done(ending: str) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.scope["extensions"][TRANSPORT].set_write_buffer_limits(32 * MIB)  # so that the close gets in
        await websocket.send_bytes(bytes(16 * MIB))
        if ending == "closes":
            await websocket.close(4000)
            await websocket.receive()
            await websocket.receive()

    async with serving(endpoint) as (url, server), Peer(url) as peer:
        await peer.upgrade()
        assert await peer.was_reset()
        await all_gone(server)


@pytest.mark.parametrize(
    "last_words",
    [Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True), b"\xff\xff"],
    ids=["close", "nonsense"],  # masks are random, and names of tests are not
)
async def test_a_dead_peer_is_reset_though_the_application_still_sends(last_words: bytes) -> None:
    stuck = asyncio.Event()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_bytes(bytes(16 * MIB))
        stuck.set()
        await websocket.send_bytes(b"more")

    async with serving(endpoint) as (url, server), Peer(url) as peer:
        await peer.upgrade()
        await stuck.wait()
        await peer.send(last_words)
        assert await peer.was_reset()
        await all_gone(server)


async def test_a_peer_may_vanish_with_its_echo_on_the_way() -> None:
    async with serving(echo) as (url, server):
        async with Peer(url) as peer:
            await peer.upgrade()
            for _ in range(2):
                await peer.send_frame(Opcode.BINARY, bytes(8 * MIB))
        await all_gone(server)


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
@pytest.mark.parametrize("pieces", [1, 16])
async def test_an_http_response_that_nobody_reads_is_reset(
    connection: bytes, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.engine.http.HTTP_PATIENCE", 0.2)
    app = FastAPI()

    @app.get("/")
    async def much() -> Response:
        return StreamingResponse(bytes(16 * MIB // pieces) for _ in range(pieces))

    async with serving_app(app) as (url, server), Peer(url) as peer:
        await peer.send(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: %s\r\n\r\n" % connection)
        assert await peer.was_reset()
        await all_gone(server)


async def test_a_close_inside_a_fragmented_message_is_a_clean_close() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        heard.set_result(await websocket.receive())

    async with serving(endpoint) as (url, server), Peer(url) as peer, patience():
        await peer.upgrade()
        close = Frame(Opcode.CLOSE, Close(4000, "enough").serialize())
        await peer.send_frame(Opcode.TEXT, b"not all", fin=False)
        await peer.send(close.serialize(mask=True))
        assert await peer.read() == close.serialize(mask=False)
        assert await heard == {"type": "websocket.disconnect", "code": 4000, "reason": "enough"}
        await all_gone(server)


async def test_an_application_can_abort() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_bytes(bytes(16 * MIB))
        websocket.scope["extensions"][TRANSPORT].abort()
        assert (await websocket.receive())["type"] == "websocket.disconnect"

    async with serving(endpoint) as (url, server), opened(url) as client:
        assert await refusal_of(client) is None
        await all_gone(server)


class Clock:
    """Stands in for a loop: `pass_time` runs what was to be called until then."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: object) -> "Timer":
        self._timers.append(Timer(self._now + delay, callback, arguments))
        return self._timers[-1]

    def pass_time(self, seconds: float) -> None:
        until = self._now + seconds
        while due := [timer for timer in self._timers if timer.at <= until]:
            timer = min(due, key=lambda timer: timer.at)
            self._timers.remove(timer)
            self._now = timer.at
            if not timer.cancelled:
                timer.callback(*timer.arguments)
        self._now = until


@dataclass(slots=True)
class Timer:
    """What a Clock calls later."""

    at: float
    callback: Callable[..., object]
    arguments: tuple[object, ...]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Pipe:
    """Stands in for a transport with so many bytes left to send."""

    def __init__(self, socket: socket.socket) -> None:
        self.left = 100
        self.aborted = False
        self._socket = socket

    def get_write_buffer_size(self) -> int:
        return self.left

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self._socket if name == "socket" else None

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with socket.socket(type=socket.SOCK_DGRAM) as unused:
        yield Pipe(unused)


def test_a_slow_peer_gets_all_the_time_it_needs_and_a_dead_one_does_not(pipe: Pipe) -> None:
    clock = Clock()
    farewell = Farewell(pipe, clock, 1.0)  # type: ignore[arg-type]
    farewell.begin()
    for left in (99, 98, 1, 0, 0):
        clock.pass_time(0.7)
        pipe.left = left
        clock.pass_time(0.25)
        assert not pipe.aborted
    farewell.end()
    farewell.begin()
    pipe.left = 5
    clock.pass_time(10)
    assert not pipe.aborted
    again = Farewell(pipe, clock, 1.0)  # type: ignore[arg-type]
    again.begin()
    clock.pass_time(0.9)
    assert not pipe.aborted
    clock.pass_time(0.1)
    assert pipe.aborted


def test_each_time_that_a_response_waits_for_its_reader_the_patience_begins_anew(pipe: Pipe) -> None:
    clock = Clock()
    config = EngineConfig(web(), ConnectionLimits(handshake_timeout=3_600), ws=WebSocketProtocol, log_config=None)
    protocol = HttpProtocol(config, ServerState(), {}, clock)  # type: ignore[arg-type]
    protocol.connection_made(pipe)  # type: ignore[arg-type]
    for _ in range(3):
        protocol.pause_writing()
        clock.pass_time(HTTP_PATIENCE - 1)
        protocol.resume_writing()
        clock.pass_time(HTTP_PATIENCE)
    assert not pipe.aborted
    protocol.pause_writing()
    clock.pass_time(HTTP_PATIENCE)
    assert pipe.aborted


async def test_clients_that_are_sending_read_1012_when_the_server_stops() -> None:
    received = asyncio.Event()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        while (await websocket.receive())["type"] == "websocket.receive":
            received.set()

    async def send_without_end(client: ClientConnection) -> None:
        while True:
            await client.send(bytes(MIB))

    async with serving(endpoint) as (url, server), opened(url) as client:
        sending = asyncio.create_task(send_without_end(client))
        await received.wait()
        server.stop()
        refused = await refusal_of(client)
        assert (refused and refused.code) == 1012
        with pytest.raises(ConnectionClosed):
            await sending


async def test_an_upgrade_without_an_answer_is_told_to_come_back_later_when_the_server_stops() -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def endpoint(websocket: WebSocket) -> None:
        arrived.set()
        await go_on.wait()
        with pytest.raises(WebSocketDisconnect):
            await websocket.accept()

    async with serving(endpoint) as (url, server), Peer(url) as peer, patience():
        await peer.send(UPGRADE)
        await arrived.wait()
        server.stop()
        head, _, body = (await peer.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 10" in head
        assert (json.loads(body)["code"], json.loads(body)["retryable"]) == ("shutting_down", True)
        go_on.set()


async def test_a_client_is_heard_out_after_1012_so_that_it_reads_that_and_not_a_reset() -> None:
    async with serving(echo) as (url, server), Peer(url) as peer, patience():
        await peer.upgrade()
        server.stop()
        close = Frame(Opcode.CLOSE, Close(1012, "").serialize())
        assert await peer.read(close.serialize(mask=False)) == close.serialize(mask=False)
        for _ in range(16):
            await peer.send_frame(Opcode.BINARY, bytes(MIB))
        await peer.send(close.serialize(mask=True))
        assert await peer.read() == b""


async def test_what_never_ends_is_cut_off_and_then_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("transfer.server.AFTER_ABORT_SECONDS", 0.1)
    app, begun = FastAPI(), asyncio.Semaphore(0)

    @app.get("/request")
    async def request() -> None:
        begun.release()
        await asyncio.Event().wait()

    @app.websocket("/unanswered")
    async def unanswered(websocket: WebSocket) -> None:
        begun.release()
        await asyncio.Event().wait()

    @app.websocket("/accepted")
    async def accepted(websocket: WebSocket) -> None:
        await websocket.accept()
        begun.release()
        await asyncio.Event().wait()

    async with AsyncExitStack() as stack, serving_apart(app, Settings(drain_timeout=0.1)) as (url, _):
        for path in (b"/unanswered", b"/accepted"):
            peer = await stack.enter_async_context(Peer(url))
            await peer.send(UPGRADE.replace(b"GET /", b"GET " + path))
            await begun.acquire()
        peer = await stack.enter_async_context(Peer(url))
        await peer.send(b"GET /request HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await begun.acquire()
    messages = [record.getMessage() for record in caplog.records]
    assert messages[1:] == ["a request did not end in time"] * 3


async def test_an_application_that_sends_after_the_engine_has_closed_hears_that_the_client_is_gone() -> None:
    outcome = asyncio.get_running_loop().create_future()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.scope["extensions"][TRANSPORT].set_write_buffer_limits(32 * MIB)  # so that no send waits
        await websocket.send_bytes(bytes(16 * MIB))
        while (message := await websocket.receive())["type"] == "websocket.receive":
            pass
        try:
            await websocket.send_text("too late")
        except WebSocketDisconnect:
            outcome.set_result(message["code"])

    async with serving(endpoint) as (url, _), Peer(url) as peer, patience():
        await peer.upgrade()
        await peer.send(b"\xff\xff")
        assert await outcome == 1002


# --------------------------------------------------------------------------------------------------------- keepalive


async def test_a_client_is_not_given_up_while_we_are_the_ones_who_do_not_read() -> None:
    go_on = asyncio.Event()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await go_on.wait()
        for _ in range(2):
            await websocket.send_bytes(await websocket.receive_bytes())

    async with serving(endpoint, ping_interval=0.05, ping_timeout=0.1) as (url, _), opened(url) as client:
        await client.send(b"one")
        await client.send(b"two")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await client.wait_closed()
        go_on.set()
        assert [await client.recv(), await client.recv()] == [b"one", b"two"]


async def test_a_client_that_answers_no_ping_is_given_up() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        heard.set_result(await websocket.receive())

    async with serving(endpoint, ping_interval=0.05, ping_timeout=0.1) as (url, server), Peer(url) as peer, patience():
        await peer.upgrade()
        assert (await peer.read()).endswith(
            Frame(Opcode.CLOSE, Close(1011, "keepalive ping timeout").serialize()).serialize(mask=False)
        )
        assert (await heard)["code"] == 1006
        await all_gone(server)


async def test_a_client_that_reads_nothing_is_given_up_though_we_do_not_read_either() -> None:
    async with serving(echo, ping_interval=0.05, ping_timeout=0.1) as (url, server), Peer(url) as peer, patience():
        await peer.upgrade()
        with suppress(ConnectionResetError):  # it is given up early where sending takes long
            for _ in range(3):  # one is on its way back, one waits for its turn, one keeps us from reading on
                await peer.send_frame(Opcode.BINARY, bytes(8 * MIB))
        assert await peer.was_reset()
        await all_gone(server)


async def test_of_the_pings_of_a_peer_that_reads_nothing_the_last_one_is_answered() -> None:
    left_to_send = asyncio.get_running_loop().create_future()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive()
        left_to_send.set_result(websocket.scope["extensions"][TRANSPORT].get_write_buffer_size())
        await websocket.receive()

    async with serving(endpoint) as (url, _), Peer(url) as peer, patience():
        await peer.upgrade()
        pings = Frame(Opcode.PING, bytes(125)).serialize(mask=True) * 8_192
        for _ in range(16):
            await peer.send(pings)
        await peer.send_frame(Opcode.PING, b"the last one")
        await peer.send_frame(Opcode.TEXT, b"")
        assert await left_to_send < MIB
        await peer.reads_up_to(Frame(Opcode.PONG, b"the last one").serialize(mask=False))


async def test_a_client_is_not_given_up_because_this_process_was_held_up() -> None:
    loop = asyncio.get_running_loop()
    async with serving(echo, ping_interval=0.05, ping_timeout=1.0) as (url, _), Peer(url) as peer, patience():
        await peer.upgrade()
        await peer.hears(b"\x89\x04")
        ping = await peer.read_exactly(4)
        chunk = bytes(1 << 19)
        peer.send_now(Frame(Opcode.BINARY, chunk), Frame(Opcode.PONG, ping))
        until = loop.time() + 1.6
        while loop.time() < until:  # nothing else runs: the answer is late, and behind more than one read takes
            pass
        await peer.read_exactly(len(chunk))
        await peer.send_frame(Opcode.TEXT, b"still there")
        await peer.hears(b"still there")


# --------------------------------------------------------------------------------------------------------- handshake


@pytest.mark.parametrize(
    "request_bytes",
    [
        UPGRADE.replace(b"\r\n\r\n", b"\r\n" + b"x: y\r\n" * 200 + b"\r\n"),
        UPGRADE.replace(b"\r\n\r\n", b"\r\nx: " + b"y" * 9_000 + b"\r\n\r\n"),
        UPGRADE.replace(b"GET /", b"GET /" + b"y" * 9_000),
        UPGRADE.replace(b"GET /", b"GET /\xff"),
        UPGRADE.replace(b"GET /", b"GET /?\xff"),
        UPGRADE.replace(b"GET", b"POST"),
        UPGRADE.replace(b"AAAA=", b"AAA="),
        UPGRADE.replace(b"-version: 13", b"-version: 12"),
        UPGRADE.replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\nhello"),
        UPGRADE.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        UPGRADE.replace(b"host", b"h\xffst"),
        UPGRADE.replace(b"host:", b"host :"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10,
        b"GET http://[::1 HTTP/1.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
async def test_what_is_no_handshake_is_answered_and_not_left_hanging(request_bytes: bytes) -> None:
    async with serving(echo) as (url, _), Peer(url) as peer, patience():
        await peer.send(request_bytes)
        assert (await peer.read(b"\r\n")).split()[1][:1] in (b"4", b"5")


@pytest.mark.parametrize(
    ("before", "begin", "end"),
    [(b"", b"GET /echo?", b" HTTP/1.1\r\n"), (b"GET /echo HTTP/1.1\r\n", b"x: ", b"\r\n")],
)
async def test_a_line_of_an_upgrade_may_be_so_long_and_no_longer(before: bytes, begin: bytes, end: bytes) -> None:
    rest = UPGRADE.partition(b"\r\n")[2]
    async with serving_app(web()) as (url, _), patience():
        for size, status in ((8_192, 101), (8_193, 431)):
            async with Peer(url) as peer:
                await peer.send(before + begin + b"y" * (size - len(begin) - len(end)) + end + rest)
                assert int((await peer.read(b"\r\n")).split()[1]) == status
                if status == 431:
                    body = (await peer.read()).partition(b"\r\n\r\n")[2]
                    assert (json.loads(body)["code"], json.loads(body)["limit"]) == ("too_large", 8_192)


@pytest.mark.parametrize("early", [b"\x89\x80aaaa", b"\x88\x80aaaa", b"\x81\x85aaaahello", b"\xff\xff"])
async def test_frames_before_the_answer_to_the_handshake_end_the_connection(early: bytes) -> None:
    arrived, answer = asyncio.Event(), asyncio.Event()
    gone = asyncio.get_running_loop().create_future()

    async def endpoint(websocket: WebSocket) -> None:
        arrived.set()
        await answer.wait()
        try:
            await websocket.accept()
            await websocket.send_text("hello")
        finally:
            gone.set_result(await websocket.receive())

    async with serving(endpoint) as (url, _), Peer(url) as peer:
        await peer.send(UPGRADE)
        await arrived.wait()
        await peer.send(early)
        assert await peer.was_reset()
        answer.set()
        assert (await gone)["type"] == "websocket.disconnect"


def noisy_frame(noise: random.Random) -> bytes:
    """A masked frame that may be in order, and may not."""
    opcode, data = noise.choice(list(Opcode)), noise.randbytes(noise.randrange(126))
    fin = noise.choice([0x80, 0x80, 0])
    frame = bytearray([fin | opcode, 0x80 | len(data), 0, 0, 0, 0]) + data
    if noise.random() < 0.2:
        frame[noise.randrange(2)] ^= 1 << noise.randrange(8)
    return bytes(frame)


@pytest.mark.parametrize("seed", range(30))
async def test_noise_ends_the_connection_and_nothing_else(seed: int) -> None:
    noise = random.Random(seed)
    async with serving(echo) as (url, server):
        async with Peer(url) as peer:
            await peer.upgrade()
            with suppress(OSError):
                for _ in range(20):
                    await peer.send(noisy_frame(noise))
        await all_gone(server)
        async with opened(url) as client:
            await client.send("still there")
            assert await client.recv() == "still there"


# ------------------------------------------------------------------------------------------------------------ limits

QUICK = Settings(drain_timeout=5, handshake_timeout=0.2)
PATIENT = Settings(drain_timeout=5, handshake_timeout=3600)
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"


async def answer(peer: Peer) -> tuple[int, bytes]:
    """The one response that a server gives before it closes: its status and body."""
    head, _, body = (await peer.read()).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def web() -> FastAPI:
    """An application with one small answer, which takes its request's body first."""
    app = FastAPI()

    @app.api_route("/", methods=["GET", "POST"])
    async def root(request: Request) -> Response:
        try:
            return Response(await request.body())
        except ClientDisconnect:
            return Response(status_code=400)

    app.add_api_websocket_route("/echo", echo)
    return app


async def test_a_connection_that_never_asks_for_anything_is_closed() -> None:
    async with serving_app(web(), QUICK) as (url, server), Peer(url) as peer, patience():
        assert await peer.read() == b""
        await all_gone(server)


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nhost: local", UPGRADE[:-2], b"\r\n"])
async def test_a_request_whose_head_does_not_come_to_its_end_is_answered_408(begun: bytes) -> None:
    async with serving_app(web(), QUICK) as (url, server), Peer(url) as peer, patience():
        await peer.send(begun)
        status, body = await answer(peer)
        assert (status, json.loads(body)["code"], json.loads(body)["retryable"]) == (408, "timeout", True)
        await all_gone(server)


@pytest.mark.parametrize("begun", [GET, b"\r\n", b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nab"])
async def test_the_same_goes_for_the_next_request_of_a_connection(begun: bytes) -> None:
    async with serving_app(web(), QUICK) as (url, server), Peer(url) as peer, patience():
        await peer.send(GET + b"content-length: 5\r\n\r\nfirst")
        await peer.hears(b"first")
        await peer.send(begun)
        assert (await answer(peer))[0] == 408
        await all_gone(server)


async def test_a_body_that_does_not_come_to_its_end_is_answered_408() -> None:
    async with serving_app(web(), QUICK) as (url, server), Peer(url) as peer, patience():
        await peer.send(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nab")
        assert (await answer(peer))[0] == 408
        await all_gone(server)


async def test_a_body_that_nobody_waits_for_does_not_hold_the_connection() -> None:
    app = FastAPI()

    @app.post("/")
    async def root() -> Response:
        return Response(b"answered")

    async with serving_app(app, QUICK) as (url, server), Peer(url) as peer, patience():
        await peer.send(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nab")
        await peer.hears(b"answered")
        assert await peer.read() == b""
        await all_gone(server)


@pytest.mark.parametrize("more", [b"", b"connection: upgrade\r\nupgrade: h2c\r\n"])
async def test_a_request_may_be_worked_on_for_longer_than_it_may_take_to_come(more: bytes) -> None:
    app, go_on = FastAPI(), asyncio.Event()

    @app.get("/")
    async def slow() -> Response:
        await go_on.wait()
        return Response(b"at last")

    async with serving_app(app, QUICK) as (url, _), Peer(url) as peer, patience():
        await peer.send(GET + more + b"\r\n")
        async with Peer(url) as other:  # whose time is over after that of the first
            assert await other.read() == b""
        go_on.set()
        await peer.hears(b"at last")


async def test_what_waits_for_an_earlier_answer_is_not_too_slow() -> None:
    app, go_on = FastAPI(), asyncio.Event()

    @app.post("/")
    async def slow(request: Request) -> Response:
        await go_on.wait()
        return Response(await request.body())

    post = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
    async with serving_app(app, QUICK) as (url, _), Peer(url) as peer, patience():
        await peer.send(post % 0 + post % 5 + b"ab")
        async with Peer(url) as other:
            assert await other.read() == b""
        go_on.set()
        await peer.send(b"cde")
        await peer.hears(b"abcde")


async def test_a_request_that_others_wait_behind_hears_that_its_client_is_gone() -> None:
    app, heard = FastAPI(), asyncio.Event()

    @app.get("/")
    async def endless(request: Request) -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        heard.set()
        return Response()

    async with serving_app(app, Settings(drain_timeout=0.1)) as (url, _), patience():
        async with Peer(url) as peer:
            await peer.send((GET + b"\r\n") * 3)
        await heard.wait()


async def test_half_a_head_behind_a_request_does_not_get_its_answer() -> None:
    app = FastAPI()

    @app.get("/")
    async def never() -> None:
        await asyncio.Event().wait()

    async with serving_app(app, Settings(drain_timeout=0.1, handshake_timeout=0.2)) as (url, _), Peer(url) as peer:
        await peer.send(GET + b"\r\n" + GET)
        assert await peer.read() == b""


async def test_an_upgrade_that_is_not_answered_in_time_is_cut() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.receive()
        heard.set_result(await websocket.receive())

    async with serving(endpoint, QUICK) as (url, server), Peer(url) as peer:
        await peer.send(UPGRADE)
        assert await peer.was_reset()
        assert (await heard)["type"] == "websocket.disconnect"
        await all_gone(server)


async def test_an_upgrade_that_was_answered_has_no_deadline() -> None:
    async with serving(echo, QUICK) as (url, _), Peer(url) as peer, patience():
        await peer.upgrade()
        async with Peer(url) as other:
            assert await other.read() == b""
        await peer.send_frame(Opcode.TEXT, b"still there")
        await peer.hears(b"still there")


def head_of(size: int) -> bytes:
    """A request whose head has this size."""
    return GET + b"x: " + b"y" * (size - len(GET) - 7) + b"\r\n\r\n"


@pytest.mark.parametrize("pieces", [1, 3, 1_000])
async def test_a_head_may_be_so_long_and_no_longer(pieces: int) -> None:
    async with serving_app(web(), PATIENT) as (url, _), patience():
        for size, status in ((MAX_HEAD_BYTES, 200), (MAX_HEAD_BYTES + 1, 431), (40 * MAX_HEAD_BYTES, 431)):
            async with Peer(url) as peer:
                request = head_of(size)
                with suppress(OSError):  # it is refused before all is sent
                    for at in range(0, size, -(-size // pieces)):
                        await peer.send(request[at : at + -(-size // pieces)])
                    assert int((await peer.read(b"\r\n")).split()[1]) == status
                    if status == 431:
                        body = (await peer.read()).partition(b"\r\n\r\n")[2]
                        assert (json.loads(body)["code"], json.loads(body)["limit"]) == ("too_large", MAX_HEAD_BYTES)


@pytest.mark.parametrize("request_bytes", [GET, UPGRADE[:-2].replace(b"GET /", b"GET /echo")])
async def test_a_head_may_have_so_many_fields_and_no_more(request_bytes: bytes) -> None:
    room = MAX_HEAD_FIELDS - (request_bytes.count(b"\r\n") - 1)
    async with serving_app(web(), PATIENT) as (url, _), patience():
        for more, status in ((0, (200, 101)), (1, (431,))):
            async with Peer(url) as peer:
                await peer.send(request_bytes + b"x: y\r\n" * (room + more) + b"\r\n")
                assert int((await peer.read(b"\r\n")).split()[1]) in status


async def test_each_request_of_a_connection_has_the_same_limits() -> None:
    async with serving_app(web(), PATIENT) as (url, _), Peer(url) as peer, patience():
        for _ in range(4):
            await peer.send(head_of(MAX_HEAD_BYTES // 2).replace(b"\r\nh", b"\r\ncontent-length: 2\r\nh") + b"ok")
            await peer.hears(b"\r\n\r\nok")
        await peer.send(GET + b"x: y\r\n" * MAX_HEAD_FIELDS + b"\r\n")
        assert (await answer(peer))[0] == 431


async def test_the_surplus_is_told_to_come_back_later_whatever_it_asks() -> None:
    settings = Settings(drain_timeout=5, max_connections=2)
    async with serving_app(web(), settings) as (url, server), patience():
        async with Peer(url) as first, opened(url + "/echo") as second:
            await first.send(GET + b"\r\n")
            await first.hears(b"\r\n\r\n")
            for request in (GET + b"\r\n", UPGRADE, b"nonsense"):
                async with Peer(url) as surplus:
                    await surplus.send(request)
                    head, _, body = (await surplus.read()).partition(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 503 ")
                    assert b"\r\nretry-after: 10" in head
                    assert json.loads(body)["code"] == "too_many"
            await second.send("still there")
            assert await second.recv() == "still there"
        await all_gone(server)
        async with opened(url + "/echo") as third:
            await third.send("a place again")
            assert await third.recv() == "a place again"


async def test_connections_that_come_too_fast_are_told_to_slow_down() -> None:
    settings = Settings(drain_timeout=5, connection_rate=0.000_1, connection_burst=2)
    async with (
        serving_app(web(), settings) as (url, _),
        patience(),
        Peer(url) as first,
        opened(url + "/echo") as second,
    ):
        for request in (GET + b"\r\n", UPGRADE):
            async with Peer(url) as too_fast:
                await too_fast.send(request)
                head, _, body = (await too_fast.read()).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 503 ")
                assert b"\r\nretry-after: 1\r\n" in head
                assert (json.loads(body)["code"], json.loads(body)["retryable"]) == ("too_many", True)
                assert "a second" in json.loads(body)["detail"]
        for _ in range(3):
            await first.send(GET + b"\r\n")
            await first.hears(b"\r\n\r\n")
        await second.send("not too fast")
        assert await second.recv() == "not too fast"


async def test_an_upgraded_connection_has_one_place() -> None:
    settings = Settings(drain_timeout=5, max_connections_per_address=1)
    async with serving_app(web(), settings) as (url, server), patience():
        for _ in range(3):
            async with opened(url + "/echo") as client:
                with pytest.raises(InvalidStatus) as refused:
                    await opened(url + "/echo")
                assert refused.value.response.status_code == 503
                await client.send("still there")
                assert await client.recv() == "still there"
            await all_gone(server)


async def test_a_surplus_that_asks_for_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SURPLUS_SECONDS", 0.05)
    settings = Settings(drain_timeout=5, max_connections=1)
    async with serving_app(web(), settings) as (url, _), opened(url + "/echo"), Peer(url) as surplus:
        assert await surplus.was_reset()


async def test_a_surplus_beyond_the_surplus_is_reset_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SURPLUS_SECONDS", 3_600)
    monkeypatch.setattr(admission, "MAX_SURPLUS", 1)
    settings = Settings(drain_timeout=5, max_connections=1)
    async with (
        serving_app(web(), settings) as (url, _),
        opened(url + "/echo"),
        Peer(url) as waits,
        Peer(url) as surplus,
    ):
        assert await surplus.was_reset()
        await waits.send(GET + b"\r\n")
        assert (await answer(waits))[0] == 503


# ---------------------------------------------------------------------------------------------------------- assembly

CLOSE_TOO_LATE = Frame(Opcode.CLOSE, Close(4408, "message not complete in time").serialize()).serialize(mask=False)


@pytest.mark.parametrize(
    "begun",
    [
        Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=True),
        Frame(Opcode.BINARY, bytes(1_000)).serialize(mask=True)[:-1],
        Frame(Opcode.BINARY, b"", fin=False).serialize(mask=True)
        + Frame(Opcode.CONT, b"", fin=False).serialize(mask=True),
        Frame(Opcode.PING, b"abc").serialize(mask=True)[:-1],
    ],
    ids=["fragment", "long", "fragments", "ping"],
)
async def test_a_message_that_does_not_come_to_its_end_closes_with_4408(begun: bytes) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        heard.set_result(await websocket.receive())

    settings = Settings(drain_timeout=5, message_timeout=0.1)
    async with serving(endpoint, settings) as (url, server), Peer(url) as peer, patience():
        await peer.upgrade()
        await peer.send(begun)
        assert await peer.read() == CLOSE_TOO_LATE
        assert (await heard)["code"] == 4408
        await all_gone(server)


async def test_endless_tiny_fragments_do_not_make_a_message_live() -> None:
    settings = Settings(drain_timeout=5, message_timeout=0.1)
    async with serving(echo, settings) as (url, server), Peer(url) as peer, patience():
        await peer.upgrade()
        await peer.send_frame(Opcode.TEXT, b"", fin=False)
        closing = asyncio.create_task(peer.read())
        with suppress(OSError):
            while not closing.done():
                await peer.send_frame(Opcode.CONT, b"", fin=False)
                await asyncio.sleep(0)
        with suppress(OSError):  # it goes on sending into a closed connection, and may be reset for that
            assert await closing == CLOSE_TOO_LATE
        await all_gone(server)


async def test_messages_that_come_fast_enough_may_take_as_long_as_they_need() -> None:
    settings = Settings(drain_timeout=5, message_timeout=0.1, min_upload_rate=1)
    async with serving(echo, settings) as (url, _), Peer(url) as peer, Peer(url) as slow, patience():
        await peer.upgrade()
        await slow.upgrade()
        await slow.send_frame(Opcode.TEXT, b"", fin=False)
        reading = asyncio.create_task(slow.read())
        content, frames = b"", 0
        await peer.send_frame(Opcode.BINARY, b"", fin=False)
        while not reading.done():
            content, frames = content + b"x", frames + 1
            await peer.send_frame(Opcode.CONT, b"x", fin=False)
            await asyncio.sleep(0)
        assert reading.result() == CLOSE_TOO_LATE
        await peer.send_frame(Opcode.CONT, b"!")
        await peer.hears(b"x!")
        assert len(content) == frames


async def test_each_message_has_a_time_of_its_own() -> None:
    settings = Settings(drain_timeout=5, message_timeout=0.2, min_upload_rate=1e9)
    frame = Frame(Opcode.TEXT, b"xy").serialize(mask=True)
    async with serving(echo, settings) as (url, _), Peer(url) as peer, patience():
        await peer.upgrade()
        await peer.send(frame[:-1])
        for _ in range(4):
            async with Peer(url) as late:
                await late.upgrade()
                await late.send(frame[:-1])
                reading = asyncio.create_task(late.read())
                while not reading.done():
                    await peer.send(frame[-1:] + frame[:-1])  # one is complete, and the next has begun
                    await peer.hears(b"xy")
                assert reading.result() == CLOSE_TOO_LATE


async def test_a_message_that_we_do_not_read_is_not_late() -> None:
    go_on = asyncio.Event()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await go_on.wait()
        for _ in range(2):
            await websocket.send_bytes(await websocket.receive_bytes())

    settings = Settings(drain_timeout=5, message_timeout=0.1)
    async with serving(endpoint, settings) as (url, _), Peer(url) as peer, Peer(url) as late, patience():
        await peer.upgrade()
        second = Frame(Opcode.BINARY, b"second").serialize(mask=True)
        await peer.send(Frame(Opcode.BINARY, b"first").serialize(mask=True) + second[:-1])
        await late.upgrade()
        await late.send_frame(Opcode.TEXT, b"a", fin=False)
        assert await late.read() == CLOSE_TOO_LATE
        go_on.set()
        await peer.hears(b"first")
        await peer.send(second[-1:])
        await peer.hears(b"second")
