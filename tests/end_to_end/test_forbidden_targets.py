"""The proxy is nobody's way into an inner network: in whatever spelling it is asked for.

`INNER` are hosts that lead inside, as an operator may have written them without `allow_private` (or as a name that was
theirs once may resolve by now); `NOT_LISTED` are what a client may ask for where another URL at the same machine is
allowed. A listener on every address of this machine sees no connection.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.end_to_end.conftest import Json, Peer, serving
from tests.namespaces import lacking_namespaces
from tests.server import CHECKOUT
from tests.upstream import Upstream
from transfer.dialing import NotAllowed, dial
from transfer.problems import shown
from transfer.upstreams import WebSocketUrl

INNER: Final = [
    # 127.0.0.1, as inet_aton(3) reads it: decimal, octal, hexadecimal, short, mixed
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F000001", "0x7f.0.0.1", "0x7f.1", "0x7f.0x1"),
    *("017700000001", "0177.0.0.1", "0177.1", "0177.0.01", "127.0.0.01", "127.0x0.0.1", "0x00000007f.1", "127.00.0.1"),
    *("127.0.0.2", "127.255.255.254", "127.127.127.127"),
    # this host, and what stands for it
    *("0", "0.0.0.0", "0x0", "00", "0.0", "localhost", "LOCALHOST", "LocalHost"),
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0:1]", "[::]", "[0::0]"),
    # IPv4 inside IPv6
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:0001]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]"),
    *("[::7f00:1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    *("[2002:7f00:0001::1]", "[2001:0:808:808::80ff:fffe]", "[2001:0:7f00:1:0:0:f7f7:f7f7]", "[fe80::5efe:127.0.0.1]"),
    *("[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::10.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:a00:1::]"),
    *(
        "[2002:a9fe:a9fe::1]",
        "[64:ff9b:1::10.0.0.1]",
        "[2606:4700::5efe:10.0.0.1]",
        "[fd12:3456::5efe:8.8.8.8]",
        "[::ffff:0.0.0.0]",
    ),
    # private networks, shared address space, link-local: the addresses of clouds' metadata among them
    *("10.0.0.1", "10.1", "167772161", "0x0a000001", "012.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254"),
    *("0xac100001", "2886729729", "192.168.0.1", "192.168.1", "3232235521", "0xc0a80001", "0300.0250.0.1"),
    *("100.64.0.1", "100.127.255.254", "169.254.0.1", "169.254.169.254", "2852039166", "0xa9fea9fe"),
    *("0251.0376.0251.0376", "169.254.43518", "0xa9.254.0251.0xfe"),
    *("[fe80::1]", "[fc00::1]", "[fd00::1]", "[fd00:ec2::254]", "[fec0::1]"),
    # documentation, benchmarks, protocols, multicast, reserved
    *("192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "4294967295", "0xffffffff"),
    *("[ff02::1]", "[ff0e::1]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[100::1]", "[2001:2::1]"),
]
"""All of them are what the machine's resolver understands, or it would be `proxy_failed`."""

NOT_LISTED: Final = [
    # another spelling of the host that is allowed
    *("ws://127.1:{port}/", "ws://2130706433:{port}/", "ws://0x7f000001:{port}/", "ws://0177.0.0.1:{port}/"),
    *("ws://localhost:{port}/", "ws://localhost.:{port}/", "ws://127.0.0.1.:{port}/", "ws://0.0.0.0:{port}/"),
    *("ws://[::1]:{port}/", "ws://[::ffff:127.0.0.1]:{port}/", "ws://127.0.0.2:{port}/", "ws://127.0.0.1%00:{port}/"),
    *("ws://127.0.0.1%2e:{port}/", "ws://%31%32%37.0.0.1:{port}/", "ws://127。0。0。1:{port}/"),
    *("ws://１２７.0.0.1:{port}/", "ws://①②⑦.0.0.1:{port}/", "ws://127.0.0.1\u00ad:{port}/"),
    *("ws://ⓛocalhost:{port}/", "ws://xn--127-0-0-1:{port}/", "ws://127.0.0.1\u200b:{port}/"),
    # user information, and what could be taken for it
    *("ws://user@127.0.0.1:{port}/", "ws://user:word@127.0.0.1:{port}/", "ws://@127.0.0.1:{port}/"),
    *(
        "ws://127.0.0.1:{port}@127.0.0.1:{port}/",
        "ws://127.0.0.1:{port}@example.org/",
        "ws://127.0.0.1:{port}\\@example.org/",
    ),
    *(
        "ws://example.org@127.0.0.1:{port}/",
        "ws://example.org#@127.0.0.1:{port}/",
        "ws://127.0.0.1:{port}#@example.org/",
    ),
    *(
        "ws://127.0.0.1:{port}%40example.org/",
        "ws://example.org\\@127.0.0.1:{port}/",
        "ws://example.org?@127.0.0.1:{port}/",
    ),
    # schemes, and none
    *("wss://127.0.0.1:{port}/", "http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "tcp://127.0.0.1:{port}/"),
    *("file:///etc/hostname", "gopher://127.0.0.1:{port}/", "unix:///tmp/socket", "javascript:ws://127.0.0.1:{port}/"),
    *(
        "//127.0.0.1:{port}/",
        "127.0.0.1:{port}",
        "ws:127.0.0.1:{port}/",
        "ws:/127.0.0.1:{port}/",
        "ws:///127.0.0.1:{port}/",
    ),
    *("ws:\\\\127.0.0.1:{port}/", " ws://127.0.0.1:{port}/", "ws://127.0.0.1:{port}/ ", "\tws://127.0.0.1:{port}/"),
    *(
        "ws://127.0.0.1:{port}/\r\nX: y",
        "ws://127.0.0.1:{port}/\n",
        "w\ns://127.0.0.1:{port}/",
        "ws+unix://127.0.0.1:{port}/",
    ),
    *("url:ws://127.0.0.1:{port}/", "view-source:ws://127.0.0.1:{port}/", "ws://127.0.0.1 :{port}/"),
    # ports
    *(
        "ws://127.0.0.1/",
        "ws://127.0.0.1:0{port}/",
        "ws://127.0.0.1:+{port}/",
        "ws://127.0.0.1:{port}.0/",
        "ws://127.0.0.1:/",
    ),
    *("ws://127.0.0.1:22/", "ws://127.0.0.1:{port}:{port}/", "ws://127.0.0.1:{high}/", "ws://127.0.0.1: {port}/"),
]
REDIRECTS: Final = [300, 301, 302, 303, 304, 305, 307, 308]


def test_the_corpus_is_large() -> None:
    spellings = {*INNER, *NOT_LISTED}
    assert len(spellings) == len(INNER) + len(NOT_LISTED)
    assert len(spellings) + len(REDIRECTS) >= 160


class Listener:
    """Listens on one port of every address of this machine, IPv6 and IPv4, and counts who comes."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self._servers = AsyncExitStack()

    async def __aenter__(self) -> "Listener":
        server = await asyncio.start_server(self._count, "0.0.0.0", 0)
        self.port = server.sockets[0].getsockname()[1]
        await self._servers.enter_async_context(server)
        await self._servers.enter_async_context(await asyncio.start_server(self._count, "::", self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._servers.aclose()

    async def _count(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with Listener() as listener:
        yield listener


async def denied(peer: Peer, **asked: str) -> None:
    """The answer repeats what was asked for, and says nothing of addresses or causes."""
    await peer.send({"type": "proxy", **asked})
    (text,) = asked.values()
    expected = f"this server does not forward to {shown(text)}: ask its operator which upstreams it has"
    assert (await peer.refused("proxy_denied"))["message"] == expected


async def test_an_entry_that_leads_inside_is_denied_in_every_spelling(tmp_path: Path, listener: Listener) -> None:
    upstreams = {f"u{number}": f"ws://{host}:{listener.port}/" for number, host in enumerate(INNER)}
    async with serving(tmp_path, {"proxy": {"upstreams": upstreams}}) as service, service.connected() as peer:
        for name, url in upstreams.items():
            await denied(peer, upstream=name)
            await denied(peer, url=url)
        await peer.works()
    assert listener.connections == 0


async def test_a_url_that_is_not_listed_is_denied_in_every_spelling(tmp_path: Path, listener: Listener) -> None:
    allowed: Json = {"url": f"ws://127.0.0.1:{listener.port}/", "allow_private": True}
    async with (
        serving(tmp_path, {"proxy": {"upstreams": {"allowed": allowed}}}) as service,
        service.connected() as peer,
    ):
        for spelling in NOT_LISTED:
            url = spelling.format(port=listener.port, high=listener.port + 65_536)
            await denied(peer, url=url)
            await denied(peer, upstream=url)
        assert listener.connections == 0
        await peer.send({"type": "proxy", "url": allowed["url"]})
        await peer.refused("proxy_failed")
    assert listener.connections == 1


@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_redirect_is_denied(tmp_path: Path, listener: Listener, status: int) -> None:
    def redirect(_: ServerConnection, request: Request) -> Response:
        location = request.path.removeprefix("/")
        return Response(status, "Elsewhere", Headers({"Location": location, "Content-Length": "0"}))

    elsewhere = [
        f"ws://127.0.0.1:{listener.port}/",
        f"http://127.0.0.1:{listener.port}/",
        f"//[::1]:{listener.port}/",
        "/",
    ]
    async with Upstream(process_request=redirect) as upstream:
        entry: Json = {"url": upstream.url, "allow_private": True}
        async with (
            serving(tmp_path, {"proxy": {"upstreams": {"moved": entry}}}) as service,
            service.connected() as peer,
        ):
            for location in elsewhere:
                await denied(peer, url=upstream.url + location)
        assert upstream.connections == []
    assert listener.connections == 0


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["127.0.0.1", "93.184.216.34"],
        ["2606:4700::1111", "::ffff:10.0.0.1"],
    ],
)
async def test_of_several_addresses_every_one_must_be_public(listener: Listener, answers: list[str]) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return answers

    with pytest.raises(NotAllowed):
        await dial(
            WebSocketUrl("ws", "rebound.example.org", listener.port),
            allow_private=False,
            headers={},
            subprotocols=[],
            resolve=resolve,
            seconds=5,
        )
    assert listener.connections == 0


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to() -> None:
    """A resolver that answers with a public address first, and with an inner one to whoever asks again. In a network
    namespace, where the public address is this machine's own."""
    if lack := lacking_namespaces():
        pytest.skip(f"not shown here: {lack}")
    command = [sys.executable, "-m", "tests.end_to_end.rebinding"]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"asked": 1, "connected": ["1.1.1.1"], "inner": 0, "answer": "through"}
