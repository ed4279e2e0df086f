"""Tunnels to upstreams, from `/ws` and at `/proxy/{upstream}`, message by message."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.end_to_end.conftest import PATIENCE, Json, Peer, Service, serving, small
from tests.links import Link
from tests.server import ServerProcess, serving_apart
from tests.tokens import bearer, token_for
from tests.upstream import Handler, Upstream, echo
from transfer.app import create_app
from transfer.proxy import MAX_HOPS
from transfer.settings import Settings

MIB = 1 << 20


def entry(upstream: Upstream, **fields: object) -> Json:
    """How the operator writes it."""
    return {"url": upstream.url, "allow_private": True, **fields}


def only(upstream: Upstream, **settings: object) -> Json:
    """Settings in which it is the only one, called `plain`."""
    return {"proxy": {"upstreams": {"plain": entry(upstream)}, **settings}}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
def overrides(upstream: Upstream) -> Json:
    return only(upstream)


@asynccontextmanager
async def by_header(service: Service, name: str = "plain") -> AsyncIterator[ClientConnection]:
    """A tunnel that a header on `/ws` opened."""
    async with service.connected() as peer:
        await peer.send({"type": "proxy", "upstream": name})
        assert (await peer.receive())["type"] == "ready"
        yield peer.connection


@asynccontextmanager
async def by_path(service: Service, name: str = "plain") -> AsyncIterator[ClientConnection]:
    """A tunnel from the first frame on."""
    async with service.connected(f"/proxy/{name}") as peer:
        yield peer.connection


Opened = Callable[..., AbstractAsyncContextManager[ClientConnection]]
both_ways = pytest.mark.parametrize("opened", [by_header, by_path])


@asynccontextmanager
async def tunnel_to(handler: Handler, folder: Path, opened: Opened) -> AsyncIterator[ClientConnection]:
    """A tunnel through a server to an upstream that does this."""
    async with (
        Upstream(handler) as upstream,
        serving(folder, only(upstream)) as service,
        opened(service) as connection,
    ):
        yield connection


async def ending(connection: ClientConnection) -> tuple[int, str]:
    """The code and the reason with which the server closes."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None, "the connection was cut"
    return closed.value.rcvd.code, closed.value.rcvd.reason


# ----------------------------------------------------------------------------------------------------------- opening


async def test_ready_says_what_was_asked_for_and_not_where_it_is(peer: Peer) -> None:
    await peer.send({"type": "proxy", "upstream": "plain", "ref": 7})
    assert await peer.receive() == {"type": "ready", "ref": 7, "url": "/proxy/plain"}


async def test_an_upstream_is_also_had_by_a_url_at_its_origin(peer: Peer, upstream: Upstream) -> None:
    url = upstream.url + "some/path?and=query"
    await peer.send({"type": "proxy", "url": url})
    assert await peer.receive() == {"type": "ready", "url": url}
    await peer.connection.send("hello")
    assert await peer.connection.recv() == "hello"
    request = upstream.connections[0].request
    assert request is not None
    assert request.path == "/some/path?and=query"


@pytest.mark.parametrize("overrides", [{}])
@both_ways
async def test_out_of_the_box_there_is_the_servers_own_echo(service: Service, opened: Opened) -> None:
    async with opened(service, "echo") as connection:
        await connection.send("hello")
        assert await connection.recv() == "hello"


@pytest.mark.parametrize("overrides", [{"max_connections": 1}])
async def test_our_own_echo_is_reached_without_the_network(service: Service) -> None:
    async with service.connected("/proxy/echo") as only:
        await only.connection.send("hello")
        assert await only.connection.recv() == "hello"


async def test_a_tunnel_opens_when_all_before_it_is_answered(service: Service, peer: Peer) -> None:
    upload_id = (await peer.begin("c", 10))["upload_id"]
    await peer.send(b"12345", *small("a", b"content"), {"type": "text", "text": "b"})
    await peer.send({"type": "proxy", "upstream": "plain"})
    assert (await peer.hear("complete"))["file"]["name"] == "a"
    assert (await peer.hear("echo"))["text"] == "b"
    assert (await peer.hear("ready"))["url"] == "/proxy/plain"
    await peer.connection.send(b"through")
    assert await peer.connection.recv() == b"through"
    assert [(left["upload_id"], left["offset"]) for left in await service.unfinished()] == [(upload_id, 5)]


@pytest.mark.parametrize(
    ("offered", "chosen"), [([], None), (["chat"], "chat"), (["v9", "feed.v2", "chat"], "chat"), (["v9"], None)]
)
@pytest.mark.parametrize("by_url", [False, True])
async def test_the_upstream_chooses_the_subprotocol(
    tmp_path: Path, offered: list[Subprotocol], chosen: str | None, by_url: bool
) -> None:
    def choose(_: ServerConnection, subprotocols: list[Subprotocol]) -> Subprotocol | None:
        return Subprotocol("chat") if "chat" in subprotocols else None

    async with (
        Upstream(subprotocols=[Subprotocol("chat")], select_subprotocol=choose) as upstream,
        serving(tmp_path, only(upstream)) as service,
    ):
        if by_url:
            url = f"ws://127.0.0.1:{service.port}/proxy/plain"
            async with connect(url, subprotocols=offered or None, proxy=None) as connection:
                assert connection.subprotocol == chosen
        else:
            async with service.connected() as peer:
                await peer.send({"type": "proxy", "upstream": "plain", "subprotocols": offered})
                assert (await peer.receive()).get("subprotocol") == chosen
        request = upstream.connections[0].request
        assert request is not None
        assert request.headers.get("Sec-WebSocket-Protocol", "") == ", ".join(offered)


# ---------------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize("message", ["", "text", "ö" * 70_000, b"", b"\x00\xff", bytes(16 * MIB), "x" * 16 * MIB])
@both_ways
async def test_every_message_passes_both_ways_as_what_it_was(
    service: Service, opened: Opened, message: str | bytes
) -> None:
    async with opened(service) as connection:
        await connection.send(message)
        assert await connection.recv() == message


@both_ways
async def test_fragments_become_one_message(tmp_path: Path, opened: Opened) -> None:
    async def in_pieces(connection: ServerConnection) -> None:
        message = await connection.recv()
        await connection.send(message[at : at + 1] for at in range(len(message)))
        await connection.wait_closed()

    async with tunnel_to(in_pieces, tmp_path, opened) as connection:
        await connection.send(["ä", "", "bc", "d" * 500])
        assert await connection.recv() == "äbc" + "d" * 500


@both_ways
async def test_any_number_passes_in_both_directions_at_once(tmp_path: Path, opened: Opened) -> None:
    numbers = [str(number) if number % 2 else str(number).encode() for number in range(3_000)]

    async def count(connection: ClientConnection | ServerConnection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_send_all(connection, numbers))
            assert [await connection.recv() for _ in numbers] == numbers

    async with tunnel_to(count, tmp_path, opened) as connection:
        await count(connection)


async def _send_all(connection: ClientConnection | ServerConnection, messages: list[str | bytes]) -> None:
    for message in messages:
        await connection.send(message)


async def test_a_message_that_is_too_large_closes_with_1009_on_its_way_down(tmp_path: Path) -> None:
    async def too_much(connection: ServerConnection) -> None:
        await connection.send(bytes(16 * MIB + 1))

    async with Upstream(too_much) as upstream, serving(tmp_path, only(upstream)) as service:
        async with by_path(service) as connection:
            assert (await ending(connection))[0] in (1009, 1014)
        assert (await upstream.ended.get())[0] == 1009


# ------------------------------------------------------------------------------------------------------------ closing

CLOSES = [
    (1000, ""),
    (1000, "done"),
    (1001, ""),
    (1008, "nö"),
    (1011, "x" * 123),
    (3000, ""),
    (4999, "mine"),
    (1005, ""),
]


async def _close(connection: ClientConnection | ServerConnection, code: int, reason: str) -> None:
    await connection.close(None if code == 1005 else code, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(("code", "reason"), CLOSES)
@both_ways
async def test_what_the_client_closes_with_reaches_the_upstream(
    service: Service, upstream: Upstream, opened: Opened, code: int, reason: str
) -> None:
    async with opened(service) as connection:
        await connection.send("before")
        await connection.recv()
        await _close(connection, code, reason)
    assert await upstream.ended.get() == (code, reason)


@pytest.mark.parametrize(("code", "reason"), CLOSES)
@both_ways
async def test_what_the_upstream_closes_with_reaches_the_client_after_its_messages(
    tmp_path: Path, opened: Opened, code: int, reason: str
) -> None:
    async def leave(connection: ServerConnection) -> None:
        for _ in range(100):
            await connection.send("before")
        await _close(connection, code, reason)

    async with tunnel_to(leave, tmp_path, opened) as connection:
        for _ in range(100):
            assert await connection.recv() == "before"
        assert await ending(connection) == (code, reason)


@both_ways
async def test_an_upstream_that_breaks_off_is_a_bad_gateway(tmp_path: Path, opened: Opened) -> None:
    async def break_off(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with tunnel_to(break_off, tmp_path, opened) as connection:
        assert await ending(connection) == (1014, "the upstream is gone")


@both_ways
async def test_a_client_that_breaks_off_is_going_away(service: Service, upstream: Upstream, opened: Opened) -> None:
    async with opened(service) as connection:
        await connection.send("before")
        await connection.recv()
        connection.transport.abort()
        assert await upstream.ended.get() == (1001, "the client is gone")


async def test_a_server_that_stops_tells_both_sides(tmp_path: Path, upstream: Upstream) -> None:
    environment = {"TOWLINE_PROXY": json.dumps(only(upstream)["proxy"])}
    async with ServerProcess(tmp_path / "data", environment=environment) as server:
        url = server.url.replace("http:", "ws:") + "/proxy/plain"
        async with connect(url, proxy=None) as connection:
            await connection.send("before")
            await connection.recv()
            stopping = asyncio.create_task(server.terminate())
            assert (await ending(connection))[0] == 1012
            assert (await upstream.ended.get())[0] == 1012
            assert await stopping == 0


# -------------------------------------------------------------------------------------------------- slow, and stalled


async def test_a_slow_client_gets_the_last_message_and_the_close_behind_it(tmp_path: Path) -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.send(bytes(8 * MIB))
        await connection.close(4321, "done")

    async with (
        Upstream(leave) as upstream,
        serving(tmp_path, only(upstream)) as service,
        connect(f"ws://127.0.0.1:{service.port}/echo", proxy=None) as pace,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1)
        writer.write(HANDSHAKE)
        received = bytearray()
        while piece := await reader.read(32_768):
            received += piece
            for _ in range(5):
                await pace.send("a moment")
                await pace.recv()
        writer.close()
    assert len(received) > 8 * MIB
    assert received.endswith(b"\x88\x06" + (4321).to_bytes(2) + b"done")


HANDSHAKE = (
    b"GET /proxy/plain HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Stalled:
    """An upstream that reads nothing, and a client that has sent more than the two of them can hold."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.sent = 0

    async def read_nothing(self, connection: ServerConnection) -> None:
        await self.go_on.wait()

    async def send_until_it_stands(self, connection: ClientConnection, url: str) -> None:
        sending = asyncio.create_task(self._send(connection))
        async with connect(url, proxy=None) as other:
            before = -1
            while before != self.sent:
                before = self.sent
                for _ in range(30):
                    await other.send("still there?")
                    await other.recv()
        sending.cancel()
        await asyncio.wait([sending])

    async def _send(self, connection: ClientConnection) -> None:
        while True:
            await connection.send(bytes(MIB))
            self.sent += 1


async def test_a_client_that_is_gone_leaves_no_tunnel_behind_where_the_upstream_stalls(tmp_path: Path) -> None:
    stalled = Stalled()
    async with Upstream(stalled.read_nothing, max_queue=1, close_timeout=0.1) as upstream, Upstream() as other:
        upstreams = {"stalled": entry(upstream), "plain": entry(other)}
        proxy = {"upstreams": upstreams, "max_tunnels": 1}
        settings = Settings.model_validate({"data": tmp_path / "data", "proxy": proxy})
        async with serving_apart(create_app(settings), settings, ping_interval=0.05, ping_timeout=0.1) as (url, _):
            address = url.replace("http:", "ws:")
            async with connect(f"{address}/ws", proxy=None) as second:
                async with connect(f"{address}/proxy/stalled", proxy=None, ping_interval=None) as first:
                    await stalled.send_until_it_stands(first, f"{address}/echo")
                    first.transport.abort()
                await until_open(Peer(second))
            stalled.go_on.set()


async def test_a_server_with_a_stalled_tunnel_stops_in_time(tmp_path: Path) -> None:
    stalled = Stalled()
    async with Upstream(stalled.read_nothing, max_queue=1, close_timeout=0.1) as upstream:
        environment = {"TOWLINE_PROXY": json.dumps(only(upstream)["proxy"])}
        async with ServerProcess(tmp_path / "data", environment=environment) as server:
            address = server.url.replace("http:", "ws:")
            async with connect(f"{address}/proxy/plain", proxy=None, ping_interval=None, close_timeout=0.1) as client:
                await stalled.send_until_it_stands(client, f"{address}/echo")
                stopping = asyncio.create_task(server.terminate())
                assert (await ending(client))[0] == 1012
                assert await stopping == 0
            assert not [line for line in server.log_lines if "cut off" in line or "did not end" in line]
        stalled.go_on.set()


async def test_whoever_waits_for_a_tunnel_hears_that_the_server_stops(tmp_path: Path, upstream: Upstream) -> None:
    async with Link("127.0.0.1", upstream.port) as link:
        link.hold_after(upstream=0)
        upstreams = {"plain": {"url": f"ws://127.0.0.1:{link.port}", "allow_private": True}}
        environment = {"TOWLINE_PROXY": json.dumps({"upstreams": upstreams})}
        async with ServerProcess(tmp_path / "data", environment=environment) as server:
            async with connect(server.url.replace("http:", "ws:") + "/ws", proxy=None) as connection:
                peer = Peer(connection)
                await peer.send({"type": "proxy", "upstream": "plain", "ref": 1})
                await link.until(lambda link: link.connections == 1)
                stopping = asyncio.create_task(server.terminate())
                assert (await peer.refused("shutting_down"))["ref"] == 1
                assert await peer.closed() == 1012
            assert await stopping == 0


# --------------------------------------------------------------------------------------------------- what goes along


async def test_nothing_of_the_clients_request_goes_along(service: Service, upstream: Upstream) -> None:
    url = f"ws://127.0.0.1:{service.port}/proxy/plain?key=secret"
    token = await token_for(service.store, "alice")
    sent = bearer(token) | {"Cookie": "a=secret", "X-Forwarded-For": "192.0.2.1", "X-Mine": "secret"}
    origin = Origin(f"http://127.0.0.1:{service.port}")
    async with connect(url, additional_headers=sent, origin=origin, user_agent_header="secret", proxy=None):
        pass
    request = upstream.connections[0].request
    assert request is not None
    assert request.path == "/"
    assert {name.lower(): value for name, value in request.headers.raw_items() if name != "Sec-WebSocket-Key"} == {
        "host": f"127.0.0.1:{upstream.port}",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "user-agent": "towline",
        "towline-hops": "1",
    }


@both_ways
async def test_the_operators_headers_go_along_unseen(tmp_path: Path, opened: Opened) -> None:
    async with Upstream() as upstream:
        headers = {"Authorization": "Bearer operator", "X-Two": "2"}
        settings = {"proxy": {"upstreams": {"plain": entry(upstream, headers=headers)}}}
        async with serving(tmp_path, settings) as service, opened(service) as connection:
            await connection.close()
            assert connection.response is not None
            assert "operator" not in str(connection.response.headers)
        request = upstream.connections[0].request
        assert request is not None
        assert {name: request.headers[name] for name in headers} == headers
        assert not [record for record in service.log.records if "operator" in record.getMessage()]


async def test_no_proxy_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, service: Service, upstream: Upstream
) -> None:
    async with Upstream() as other:
        for scheme in ("http", "https", "ws", "wss", "all", "socks"):
            monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{other.port}")
        monkeypatch.setenv("no_proxy", "")
        async with by_path(service) as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"
        assert (len(upstream.connections), len(other.connections)) == (1, 0)


# ------------------------------------------------------------------------------------------------------------ refusals


async def _refuse(connection: ServerConnection) -> None:
    raise AssertionError("nobody gets here")


async def test_what_is_refused_ends_only_its_operation(peer: Peer) -> None:
    await peer.send({"type": "proxy", "upstream": "nope", "ref": 1}, b"too early", "")
    reply = await peer.refused("proxy_denied")
    assert (reply["ref"], reply["retryable"]) == (1, False)
    await peer.refused("bad_message")
    await peer.works()
    await peer.send({"type": "proxy", "upstream": "plain"})
    await peer.hear("ready")


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 500, 503])
async def test_an_upstream_that_is_no_websocket_has_failed(tmp_path: Path, status: int) -> None:
    def answer(connection: ServerConnection, _: object) -> object:
        return connection.respond(status, "an inner secret")

    async with Upstream(_refuse, process_request=answer) as upstream, serving(tmp_path, only(upstream)) as service:
        await _fails(service, "secret", str(upstream.port), "127.0.0.1")
        assert len(upstream.connections) == 0


async def test_an_upstream_that_is_not_there_has_failed(tmp_path: Path) -> None:
    async with Upstream() as upstream:
        settings = only(upstream)
    async with serving(tmp_path, settings) as service:
        await _fails(service, str(settings["proxy"]["upstreams"]["plain"]["url"]), "127.0.0.1")


async def test_a_name_that_no_resolver_knows_has_failed(tmp_path: Path) -> None:
    settings = {"proxy": {"upstreams": {"plain": "ws://nowhere.invalid/"}}}
    async with serving(tmp_path, settings) as service:
        await _fails(service, "nowhere")


async def test_an_upstream_that_does_not_answer_in_time_has_failed(tmp_path: Path) -> None:
    async with Upstream() as upstream, Link("127.0.0.1", upstream.port) as link:
        link.hold_after(upstream=0, downstream=0)
        upstreams = {"plain": {"url": f"ws://127.0.0.1:{link.port}", "allow_private": True}}
        async with serving(tmp_path, {"proxy": {"upstreams": upstreams, "open_timeout": 0.05}}) as service:
            await _fails(service, "127.0.0.1", str(link.port))


async def _fails(service: Service, *secrets: str) -> None:
    """Both ways to it fail, with nothing of what was found."""
    async with service.connected() as peer:
        await peer.send({"type": "proxy", "upstream": "plain"})
        reply = await peer.refused("proxy_failed")
        assert reply["retryable"] is True
        await peer.works()
    with pytest.raises(InvalidStatus) as refused:
        async with service.connected("/proxy/plain"):
            pass
    assert refused.value.response.status_code == 502
    body = bytes(refused.value.response.body).decode()
    assert '"code":"proxy_failed"' in body
    for secret in secrets:
        assert secret not in str(reply) + body


@pytest.mark.parametrize("name", ["localhost", "another.example.org"])
@pytest.mark.parametrize("known", [True, False])
async def test_over_tls_an_upstream_proves_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, known: bool
) -> None:
    authority, theirs = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(theirs)
    (authority if known else trustme.CA()).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with Upstream(ssl=theirs) as upstream:
        upstreams = {"plain": {"url": f"wss://localhost:{upstream.port}/", "allow_private": True}}
        async with serving(tmp_path, {"proxy": {"upstreams": upstreams}}) as service:
            if not known or name != "localhost":
                await _fails(service, "localhost")
                return
            async with by_path(service) as connection:
                await connection.send("hello")
                assert await connection.recv() == "hello"


async def test_before_the_upgrade_a_refusal_is_a_problem(service: Service) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with service.connected("/proxy/nope"):
            pass
    assert refused.value.response.status_code == 403
    assert refused.value.response.headers["Content-Type"] == "application/problem+json"
    assert b'"code":"proxy_denied"' in refused.value.response.body


@pytest.mark.parametrize(
    "fields",
    [
        *({}, {"upstream": ""}, {"url": ""}, {"upstream": 3}, {"upstream": "plain", "url": "ws://a"}),
        *({"upstream": "plain", "subprotocols": [""]}, {"upstream": "plain", "subprotocols": ["a b"]}),
        *({"upstream": "plain", "subprotocols": ["a", "a"]}, {"upstream": "plain", "subprotocols": "a"}),
        *({"upstream": "plain", "subprotocols": ["a"] * 17}, {"url": "ws://" + "a" * 2048}),
    ],
)
async def test_a_header_that_makes_no_sense_is_a_bad_message(peer: Peer, upstream: Upstream, fields: Json) -> None:
    await peer.send({"type": "proxy", **fields})
    await peer.refused("bad_message")
    await peer.works()
    assert upstream.connections == []


# -------------------------------------------------------------------------------------------------------------- limits


@both_ways
async def test_a_tunnel_without_messages_ends(tmp_path: Path, upstream: Upstream, opened: Opened) -> None:
    async with serving(tmp_path, only(upstream, idle_timeout=0.05)) as service, opened(service) as connection:
        assert await ending(connection) == (4408, "no message for 0.05 s")
        assert await upstream.ended.get() == (4408, "no message for 0.05 s")


@both_ways
async def test_a_tunnel_carries_so_many_bytes_and_no_more(tmp_path: Path, upstream: Upstream, opened: Opened) -> None:
    async with serving(tmp_path, only(upstream, max_bytes=1_000)) as service, opened(service) as connection:
        for message in ("ä" * 100, b"x" * 300):  # 200 and 300 bytes, each of them both ways
            await connection.send(message)
            assert await connection.recv() == message
        await connection.send("x")
        assert await ending(connection) == (1008, "more than 1000 bytes")
        assert await upstream.ended.get() == (1008, "more than 1000 bytes")


async def test_one_principal_has_so_many_tunnels_and_no_more(tmp_path: Path, upstream: Upstream) -> None:
    async with (
        serving(tmp_path, only(upstream, max_tunnels=2)) as service,
        service.connected() as peer,
        by_header(service),
        by_path(service) as second,
    ):
        await peer.send({"type": "proxy", "upstream": "plain"})
        assert (await peer.refused("too_many"))["limit"] == 2
        with pytest.raises(InvalidStatus) as refused:
            async with by_path(service):
                pass
        assert refused.value.response.status_code == 429
        await second.close()
        await upstream.ended.get()
        await until_open(peer)


async def until_open(peer: Peer) -> None:
    """The place of a tunnel that was closed is free as soon as its upstream has answered the close."""
    await peer.send({"type": "proxy", "upstream": "plain"})
    while (reply := await peer.receive())["type"] != "ready":
        assert reply["code"] == "too_many"
        await peer.send({"type": "proxy", "upstream": "plain"})


@pytest.mark.parametrize("hops", ["4", "5", "99999999999999999999", "-1", "", "x", "1, 1", "٣", "03"])
async def test_a_request_that_has_passed_too_many_servers_is_denied(
    service: Service, upstream: Upstream, hops: str
) -> None:
    url = f"ws://127.0.0.1:{service.port}/proxy/plain"
    headers = {"Towline-Hops": hops.encode().decode("latin-1")}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, additional_headers=headers, proxy=None):
            pass
    assert refused.value.response.status_code == 403
    assert upstream.connections == []


async def test_a_loop_of_servers_ends(tmp_path: Path) -> None:
    async with Link("127.0.0.1", 0) as link:
        loop = {"url": f"ws://127.0.0.1:{link.port}/proxy/loop", "allow_private": True}
        async with serving(tmp_path, {"proxy": {"upstreams": {"loop": loop}}}) as service:
            link.target = ("127.0.0.1", service.port)
            async with service.connected() as peer:
                await peer.send({"type": "proxy", "upstream": "loop"})
                await peer.refused("proxy_failed")
            assert link.connections == MAX_HOPS


async def test_the_echo_of_upstreams_is_plain() -> None:
    async with Upstream(echo) as upstream, connect(upstream.url, proxy=None) as connection:
        await connection.send("hello")
        assert await connection.recv() == "hello"
