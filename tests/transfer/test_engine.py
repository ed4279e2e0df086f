"""What must hold before uvicorn or websockets are let move to another version."""

import asyncio
import random
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode

from tests.server import serving_apart
from transfer import engine
from transfer.echo import echo_endpoint as echo
from transfer.engine import TRANSPORT, Farewell
from transfer.protocol.limits import MAX_ECHO_BYTES, MIB
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
async def serving_app(app: FastAPI, **options: float) -> AsyncIterator[tuple[str, Server]]:
    async with serving_apart(app, Settings(drain_timeout=5), **options) as (url, server):
        server.server_state.connections = Connections()  # type: ignore[assignment]
        yield url, server


@asynccontextmanager
async def serving(endpoint: Endpoint, **options: float) -> AsyncIterator[tuple[str, Server]]:
    app = FastAPI()
    app.add_api_websocket_route("/", endpoint)
    async with serving_app(app, **options) as (url, server):
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


async def test_a_message_over_the_limit_closes_with_1009() -> None:
    async with serving(echo) as (url, _), opened(url) as client:
        await client.send(bytes(MAX_ECHO_BYTES))
        assert await client.recv() == bytes(MAX_ECHO_BYTES)
        with suppress(ConnectionClosed):
            await client.send(bytes(MAX_ECHO_BYTES + 1))
        refused = await refusal_of(client)
        assert (refused and refused.code) == 1009


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
    "last_words", [Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True), b"\xff\xff"]
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


async def test_an_http_response_that_nobody_reads_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "HTTP_PATIENCE", 0.2)
    app = FastAPI()

    @app.get("/")
    async def much() -> Response:
        return Response(bytes(16 * MIB))

    async with serving_app(app) as (url, server), Peer(url) as peer:
        await peer.send(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
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
    """Stands in for a loop: `pass_time` runs what was to be called later."""

    def __init__(self) -> None:
        self._later: Callable[[], object] | None = None

    def call_later(self, delay: float, callback: Callable[[int], object], argument: int) -> "Clock":
        self._later = lambda: callback(argument)
        return self

    def cancel(self) -> None:
        self._later = None

    def pass_time(self) -> None:
        later, self._later = self._later, None
        if later is not None:
            later()


class Pipe:
    """Stands in for a transport with so many bytes left to send."""

    def __init__(self) -> None:
        self.left = 100
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.left

    def get_extra_info(self, _: str) -> socket.socket:
        with socket.socket() as closed:
            return closed

    def abort(self) -> None:
        self.aborted = True


def test_a_slow_peer_gets_all_the_time_it_needs_and_a_dead_one_does_not() -> None:
    clock, pipe = Clock(), Pipe()
    farewell = Farewell(pipe, clock, 1.0)  # type: ignore[arg-type]
    farewell.begin()
    for left in (99, 98, 1, 0, 0):
        pipe.left = left
        clock.pass_time()
        assert not pipe.aborted
    pipe.left = 0
    farewell.end()
    farewell.begin()
    pipe.left = 5
    clock.pass_time()
    assert not pipe.aborted
    again = Farewell(pipe, clock, 1.0)  # type: ignore[arg-type]
    again.begin()
    clock.pass_time()
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
    async with serving(echo, ping_interval=0.05, ping_timeout=0.1) as (url, server), Peer(url) as peer, patience():
        await peer.upgrade()
        assert (await peer.read()).endswith(
            Frame(Opcode.CLOSE, Close(1011, "keepalive ping timeout").serialize()).serialize(mask=False)
        )
        await all_gone(server)


async def test_a_client_that_reads_nothing_is_given_up_though_we_do_not_read_either() -> None:
    async with serving(echo, ping_interval=0.05, ping_timeout=0.1) as (url, server), Peer(url) as peer, patience():
        await peer.upgrade()
        with suppress(ConnectionResetError):  # it is given up early where sending takes long
            for _ in range(3):  # one is on its way back, one waits for its turn, one keeps us from reading on
                await peer.send_frame(Opcode.BINARY, bytes(8 * MIB))
        assert await peer.was_reset()
        await all_gone(server)


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
