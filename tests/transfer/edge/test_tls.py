"""What the server does as the server's end of TLS. tests/end_to_end/test_tls.py has the clients' end too."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI, Response, WebSocket
from starlette.responses import StreamingResponse
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.echoing import echo_endpoint
from tests.server import ServerProcess, alarms, serving_apart
from tests.tls import Authority, Pair, serial_of
from tests.transfer.test_engine import Connections, all_gone
from tests.transfer.test_serve import command, sentence
from transfer.edge.certificate import CertificateRefused, ServerCertificate
from transfer.engine.scope import TRANSPORT
from transfer.protocol.limits import MIB
from transfer.server import Server
from transfer.settings import Settings, WrongSetting, load_settings

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""How a client begins a handshake; the rest of what it announces is missing."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("127.0.0.1")


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> object:
    """Nothing that a client does may write a traceback, or a warning."""
    yield
    assert [record.getMessage() for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


@asynccontextmanager
async def serving(pair: Pair, **settings: object) -> AsyncIterator[tuple[str, Server]]:
    """A server with an echo, and with what fills the buffers at the other paths."""
    app = FastAPI()
    app.add_api_websocket_route("/echo", echo_endpoint)

    @app.get("/")
    async def hello() -> str:
        return "hello"

    @app.get("/much")
    async def much() -> Response:
        return StreamingResponse(bytes(MIB) for _ in range(16))

    @app.websocket("/much-and-close")
    async def much_and_close(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.scope["extensions"][TRANSPORT].set_write_buffer_limits(32 * MIB)  # so that the close gets in
        await websocket.send_bytes(bytes(16 * MIB))
        await websocket.close(4000)

    @app.websocket("/full-and-close")
    async def full_and_close(websocket: WebSocket) -> None:
        await websocket.accept()
        beneath = websocket.scope["extensions"][TRANSPORT]._beneath
        while not beneath.get_write_buffer_size():  # nothing is left above it, and less than would be paused for
            await websocket.send_bytes(bytes(1_000))
        await websocket.close(4000)

    files = {"tls_cert": pair.certificate, "tls_key": pair.key, "drain_timeout": 3_600}
    async with serving_apart(app, Settings.model_validate(files | settings)) as (url, server):
        server.server_state.connections = Connections()  # type: ignore[assignment]
        yield url, server


def https(url: str, authority: Authority) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, verify=authority.context(), trust_env=False)


async def plain(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection without TLS."""
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def secured(url: str, context: ssl.SSLContext, request: bytes = b"") -> ssl.SSLSocket:
    """A connection whose handshake is complete, and on which this was sent; nobody answers a close_notify there."""
    parts = urlsplit(url)
    connected = socket.socket()
    try:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connected.settimeout(10)
        connected.connect((parts.hostname, parts.port))
        done = context.wrap_socket(connected, server_hostname=parts.hostname)
    except BaseException:
        connected.close()
        raise
    done.sendall(request)
    return done


# ---------------------------------------------------------------------------------------------------------- handshakes


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_are_spoken(authority: Authority, pair: Pair, version: ssl.TLSVersion) -> None:
    context = authority.context()
    context.minimum_version = context.maximum_version = version
    async with serving(pair) as (url, _):
        with await asyncio.to_thread(secured, url, context) as connected:
            assert connected.version() == version.name.replace("_", ".")
            assert connected.compression() is None
            assert serial_of(connected) == pair.serial


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_tls_1_1_is_refused(authority: Authority, pair: Pair) -> None:
    context = authority.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the client is willing
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(pair) as (url, _):
        with pytest.raises(OSError, match=r"(?i)version|reset|closed|EOF"):
            await asyncio.to_thread(secured, url, context)
        async with https(url, authority) as http:
            assert (await http.get("/")).json() == "hello"


async def test_http_and_websockets_work_over_tls(authority: Authority, pair: Pair) -> None:
    async with serving(pair) as (url, server):
        assert url.startswith("https://")
        async with https(url, authority) as http:
            assert (await http.get("/")).json() == "hello"
            assert len((await http.get("/much")).content) == 16 * MIB
        address = url.replace("https:", "wss:") + "/echo"
        async with connect(address, ssl=authority.context(), proxy=None, max_size=None, compression=None) as client:
            for message in ("héllo", bytes(3 * MIB)):
                await client.send(message)
                assert await client.recv() == message
            server.stop()
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


async def test_plain_http_is_told_to_use_https(authority: Authority, pair: Pair) -> None:
    async with serving(pair) as (url, _):
        reader, writer = await plain(url)
        writer.write(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"https://" in answer


@pytest.mark.parametrize("last_words", [HELLO, HELLO + bytes(1_000), b"\x16" * 2_000, b""])
async def test_what_is_no_handshake_or_half_of_one_gives_its_place_back(
    authority: Authority, pair: Pair, last_words: bytes
) -> None:
    async with serving(pair, max_connections=1) as (url, server):
        for _ in range(3):
            reader, writer = await plain(url)
            writer.write(last_words)
            writer.write_eof()
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            await all_gone(server)
            writer.close()
        async with https(url, authority) as http:
            assert (await http.get("/")).status_code == 200


@pytest.mark.parametrize("begun", [b"", HELLO])
async def test_a_handshake_that_does_not_come_to_its_end_is_given_up(pair: Pair, begun: bytes) -> None:
    async with serving(pair, handshake_timeout=0.1) as (url, server):
        reader, writer = await plain(url)
        writer.write(begun)
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        await all_gone(server)
        writer.close()


async def test_the_time_to_a_head_goes_on_behind_the_handshake(authority: Authority, pair: Pair) -> None:
    async with serving(pair, handshake_timeout=1) as (url, _):
        with await asyncio.to_thread(secured, url, authority.context(), b"GET / HTTP/1.1\r\nhost: ") as connected:
            assert (await asyncio.to_thread(connected.recv, 12)) == b"HTTP/1.1 408"


async def test_a_handshake_that_is_not_complete_has_a_place_like_any_connection(
    authority: Authority, pair: Pair
) -> None:
    async with serving(pair, max_connections=1) as (url, _):
        _, writer = await plain(url)
        writer.write(HELLO)
        async with https(url, authority) as http:
            refused = await http.get("/")
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many")
        writer.close()


# -------------------------------------------------------------------------------------------------------------- endings


async def test_a_client_that_answers_no_close_does_not_hold_the_server_up(authority: Authority, pair: Pair) -> None:
    request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with asyncio.timeout(10), serving(pair) as (url, server):
        with await asyncio.to_thread(secured, url, authority.context(), request) as idle:
            assert (await asyncio.to_thread(idle.recv, 12)) == b"HTTP/1.1 200"
            _, half_open = await plain(url)
            half_open.write(HELLO)
            server.stop()
            await all_gone(server)
            half_open.close()


@pytest.mark.parametrize("path", ["/much", "/much-and-close", "/full-and-close"])
async def test_a_dead_peer_is_reset(
    authority: Authority, pair: Pair, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.engine.http.HTTP_PATIENCE", 0.2)
    upgrade = (
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    request = b"GET %s HTTP/1.1\r\nhost: localhost\r\n%s\r\n" % (path.encode(), b"" if path == "/much" else upgrade)
    async with asyncio.timeout(20), serving(pair) as (url, server):
        with await asyncio.to_thread(secured, url, authority.context(), request):
            await all_gone(server)


# ------------------------------------------------------------------------------------------------ certificates in files


def broken(kind: str, pair: Pair, authority: Authority) -> str:
    """Break a pair in its files; what has to stand in the sentence."""
    match kind:
        case "no certificate":
            pair.certificate.unlink()
            return f"the certificate {pair.certificate} cannot be read: no such file or directory"
        case "no key":
            pair.key.unlink()
            return f"the key {pair.key} cannot be read: no such file or directory"
        case "certificate is no PEM":
            pair.certificate.write_text("nothing")
            return f"the certificate {pair.certificate} is not one in PEM"
        case "key is no PEM":
            pair.key.write_text("nothing")
            return f"the key {pair.key} is not one in PEM, or not for this certificate"
        case "another key":
            pair.key.write_bytes(authority.issue("127.0.0.1").key.read_bytes())
            return f"the key {pair.key} is not that of the certificate {pair.certificate}"
        case _:
            pair.encrypt_key()
            return f"the key {pair.key} needs a passphrase: give one without"


BREAKAGES = ["no certificate", "no key", "certificate is no PEM", "key is no PEM", "another key", "a passphrase"]


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_pair_that_cannot_be_used_is_refused_and_the_old_one_stays(
    authority: Authority, pair: Pair, kind: str
) -> None:
    certificate = ServerCertificate(pair.certificate, pair.key)
    before = certificate.context
    said = broken(kind, pair, authority)
    with pytest.raises(CertificateRefused) as refused:
        certificate.load()
    assert str(refused.value) == said
    assert certificate.context is before


async def test_a_pair_that_cannot_be_used_ends_the_start(tmp_path: Path, authority: Authority, pair: Pair) -> None:
    said = broken("another key", pair, authority)
    assert sentence(await command(tmp_path, "--port", "0", *pair.options), 1) == said


@pytest.mark.parametrize(("there", "missing"), [("tls_cert", "tls_key"), ("tls_key", "tls_cert")])
def test_one_without_the_other_is_refused(there: str, missing: str, pair: Pair) -> None:
    flags = {"tls_cert": pair.certificate} if there == "tls_cert" else {"tls_key": pair.key}
    with pytest.raises(
        WrongSetting, match=f"^{there} is set and {missing} is not: TLS needs a certificate and its key$"
    ):
        load_settings(**flags)  # type: ignore[arg-type]


def test_a_key_that_everybody_can_read_is_told(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    ServerCertificate(pair.certificate, pair.key)
    assert caplog.records == []
    pair.key.chmod(0o644)
    ServerCertificate(pair.certificate, pair.key)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"file={pair.key}" in record.getMessage()


def test_a_certificate_that_has_expired_is_told(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    pair = authority.issue("127.0.0.1", expires=datetime(2020, 1, 1, tzinfo=UTC))
    ServerCertificate(pair.certificate, pair.key)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "has expired" in caplog.text


# -------------------------------------------------------------------------------------------------------------- SIGHUP


async def test_new_connections_see_the_new_certificate_after_sighup_and_a_broken_pair_changes_nothing(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    context = authority.context()
    async with ServerProcess(tmp_path / "data", options=pair.options) as server:
        assert server.url.startswith("https://127.0.0.1:")
        with await asyncio.to_thread(secured, server.url, context) as old:
            assert serial_of(old) == pair.serial
            newer = authority.issue("127.0.0.1", expires=datetime(2101, 2, 3, tzinfo=UTC))
            pair.replace_by(newer)
            server.send_signal(signal.SIGHUP)
            assert "2101-02-03" in await server.until_logged("reloaded the certificate")
            broken("another key", pair, authority)
            server.send_signal(signal.SIGHUP)
            assert str(pair.key) in await server.until_logged("the certificate was not reloaded")
            with await asyncio.to_thread(secured, server.url, context) as new:
                assert serial_of(new) == newer.serial
            old.sendall(b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert (await asyncio.to_thread(old.recv, 12)) == b"HTTP/1.1 200"
        assert await server.terminate() == 0
    assert len(alarms(server.log_lines)) == 1


async def test_sighup_without_a_certificate_changes_nothing(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data") as server:
        server.send_signal(signal.SIGHUP)
        await server.until_logged("nothing to reload")
        assert await server.terminate() == 0
    assert alarms(server.log_lines) == []
