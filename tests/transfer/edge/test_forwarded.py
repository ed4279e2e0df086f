"""Whom the server takes for the client behind a reverse proxy, and whom not."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI, Request, WebSocket
from websockets.asyncio.client import connect

from tests.end_to_end.conftest import serving
from tests.server import http_client, running, serving_apart
from transfer.edge.forwarded import Forwarded, client_of
from transfer.edge.peers import Peers, parse_address
from transfer.settings import Settings

PROXY = ["127.0.0.1"]
INNER = ["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"]
Fields = Sequence[tuple[str, str]]
FOR, PROTO, HOST = "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"


@asynccontextmanager
async def telling(peers: Sequence[str]) -> AsyncIterator[str]:
    """A server that says what it knows of its client."""
    app = FastAPI()

    @app.get("/")
    async def tell(request: Request) -> list[str | None]:
        assert request.client is not None
        return [request.client.host, request.scope["scheme"], *request.headers.getlist("host")]

    @app.websocket("/")
    async def tell_again(websocket: WebSocket) -> None:
        assert websocket.client is not None
        await websocket.accept()
        await websocket.send_json([websocket.client.host, websocket.scope["scheme"], websocket.headers["host"]])
        await websocket.close()

    app.add_middleware(Forwarded, peers=peers)
    async with serving_apart(app, Settings()) as (url, _):
        yield url


async def told(url: str, fields: Fields) -> list[str]:
    async with http_client(url) as http:
        known: list[str] = (await http.get("/", headers=[("host", "own.example"), *fields])).json()
    return known


OWN = ("127.0.0.1", "http", "own.example")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], OWN),
        ([(FOR, "203.0.113.9")], ("203.0.113.9", *OWN[1:])),
        ([(FOR, "198.51.100.1, 203.0.113.9")], ("203.0.113.9", *OWN[1:])),
        ([(FOR, "203.0.113.9, 10.1.2.3, 10.9.9.9")], ("203.0.113.9", *OWN[1:])),
        ([(FOR, "198.51.100.1"), (FOR, "203.0.113.9"), (FOR, "10.1.2.3")], ("203.0.113.9", *OWN[1:])),
        ([(FOR, "10.7.7.7, 10.1.2.3")], ("10.7.7.7", *OWN[1:])),
        ([(FOR, "203.0.113.9:4711")], ("203.0.113.9", *OWN[1:])),
        ([(FOR, "2001:db8::9")], ("2001:db8::9", *OWN[1:])),
        ([(FOR, "[2001:db8::9]")], ("2001:db8::9", *OWN[1:])),
        ([(FOR, "[2001:DB8::9]:4711, 2001:db8:1::7")], ("2001:db8::9", *OWN[1:])),
        ([(FOR, "::ffff:203.0.113.9")], ("203.0.113.9", *OWN[1:])),
        ([(FOR, "203.0.113.9, ::ffff:10.1.2.3")], ("203.0.113.9", *OWN[1:])),
        ([(FOR, "203.0.113.9, nonsense")], OWN),
        ([(FOR, "203.0.113.9, nonsense, 10.1.2.3")], ("10.1.2.3", *OWN[1:])),
        ([(FOR, "nonsense, 203.0.113.9")], ("203.0.113.9", *OWN[1:])),
        ([(FOR, "")], OWN),
        ([(FOR, ",,")], OWN),
        ([(FOR, "unknown")], OWN),
        ([(FOR, "203.0.113.9:port")], OWN),
        ([(FOR, "203.0.113.999")], OWN),
        ([(FOR, "[203.0.113.9")], OWN),
        ([(FOR, ", ".join(["203.0.113.9"] * 800))], ("203.0.113.9", *OWN[1:])),
        ([(PROTO, "https")], (OWN[0], "https", OWN[2])),
        ([(PROTO, "HTTPS")], (OWN[0], "https", OWN[2])),
        ([(PROTO, "wss")], (OWN[0], "https", OWN[2])),
        ([(PROTO, "http")], OWN),
        ([(PROTO, "https, http")], OWN),
        ([(PROTO, "https"), (PROTO, "https")], OWN),
        ([(PROTO, "gopher")], OWN),
        ([(HOST, "files.example.org")], (*OWN[:2], "files.example.org")),
        ([(HOST, "files.example.org:8443")], (*OWN[:2], "files.example.org:8443")),
        ([(HOST, "a.example, b.example")], OWN),
        ([(HOST, "a.example"), (HOST, "b.example")], OWN),
        ([(HOST, "a.example/path")], OWN),
        ([(HOST, "")], OWN),
        ([("forwarded", "for=203.0.113.9;proto=https;host=a.example")], OWN),
        (
            [(FOR, "203.0.113.9"), (PROTO, "https"), (HOST, "files.example.org")],
            ("203.0.113.9", "https", "files.example.org"),
        ),
    ],
)
async def test_what_a_proxy_says_of_its_client(fields: Fields, expected: tuple[str, str, str]) -> None:
    async with telling(INNER) as url:
        assert await told(url, fields) == list(expected)


@pytest.mark.parametrize("peers", [[], ["10.0.0.0/8"], ["127.0.0.2", "::1"]])
async def test_nobody_else_is_believed(peers: list[str]) -> None:
    fields = [(FOR, "203.0.113.9"), (PROTO, "https"), (HOST, "files.example.org")]
    async with telling(peers) as url:
        assert await told(url, fields) == list(OWN)


async def test_a_websocket_is_one_still() -> None:
    fields = [(FOR, "203.0.113.9"), (PROTO, "https"), (HOST, "files.example.org")]
    async with (
        telling(PROXY) as url,
        connect(url.replace("http:", "ws:"), proxy=None, additional_headers=fields) as client,
    ):
        assert json.loads(await client.recv()) == ["203.0.113.9", "wss", "files.example.org"]


def test_a_client_that_claims_to_be_a_proxy_is_a_client() -> None:
    """What it sends stands before what the proxy adds."""
    peer = parse_address("10.0.0.1")
    assert peer is not None
    for claimed in ("10.0.0.2", "127.0.0.1", "198.51.100.1, 10.0.0.3"):
        hops = [*claimed.split(", "), "203.0.113.9"]
        assert str(client_of(hops, peer, Peers(["10.0.0.0/8"]))) == "203.0.113.9"


async def test_the_log_says_who_the_client_is(tmp_path: Path) -> None:
    async with serving(tmp_path, {"forwarded_peers": PROXY}) as service:
        address = f"ws://127.0.0.1:{service.port}/echo"
        async with connect(address, proxy=None, additional_headers={FOR: "2001:db8::9"}) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
    peers = [event["peer"].rpartition(":")[0] for event in service.log.events if event["event"] == "session opened"]
    assert peers == ["2001:db8::9"]


async def test_the_page_of_the_forwarded_host_is_the_servers_own(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path / "data", forwarded_peers=("127.0.0.1",), allowed_hosts=("files.example.org", "*.example.net")
    )
    async with running(settings) as url, http_client(url) as http:

        async def status(origin: str, host: str = "files.example.org") -> int:
            fields = {PROTO: "https", HOST: host, "origin": origin}
            answer: httpx2.Response = await http.delete("/files/x", headers=fields)
            return answer.status_code

        assert await status("https://files.example.org") == 404
        assert await status("http://files.example.org") == 403
        assert await status(url) == 403
        assert await status("https://files.example.org", "other.example.org") == 421


async def test_without_allowed_hosts_a_proxy_does_not_open_loopback_to_other_names(tmp_path: Path) -> None:
    async with (
        running(Settings(data=tmp_path / "data", forwarded_peers=("127.0.0.1",))) as url,
        http_client(url) as http,
    ):
        assert (await http.get("/health/live", headers={HOST: "files.example.org"})).status_code == 421
        assert (await http.get("/health/live")).status_code == 200
