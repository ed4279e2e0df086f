"""Tunnels as the library and the command hold them."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

import client
from tests.client.command import Towline
from tests.server import running
from tests.upstream import Handler, Upstream, echo
from transfer.protocol.errors import BadMessage, ProxyDenied, ProxyFailed
from transfer.protocol.limits import PROTOCOL
from transfer.settings import Settings

BINARY = b"\x00\xff binary"


async def banner(connection: ServerConnection) -> None:
    """Says something first, and ends in order when it hears `bye`."""
    await connection.send("welcome")
    await connection.send(BINARY)
    try:
        async for message in connection:
            if message == "bye":
                await connection.close(1000, "so long")
            elif message == "out":
                await connection.close(4321, "thrown out")
            else:
                await connection.send(message)
    except ConnectionClosed:
        return


async def hostile(connection: ServerConnection) -> None:
    await connection.recv()
    await connection.send("\x1b[31mred\nnext\u202e")
    await connection.wait_closed()


def satisfied(code: int) -> Handler:
    """A server with a tunnel that has enough after the first message, says so at length, and closes with this code."""

    async def handle(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send('{"type":"ready","url":"/proxy/satisfied"}')
        await connection.recv()
        for number in range(100):
            await connection.send(f"enough {number}")
        closing = asyncio.create_task(connection.close(code))
        with suppress(ConnectionClosed):
            while True:
                await connection.recv()
        await closing

    return handle


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async with (
        Upstream(echo) as plain,
        Upstream(echo, subprotocols=[Subprotocol("chat")]) as chat,
        Upstream(banner) as with_banner,
        Upstream(hostile) as bad,
    ):
        urls = {"plain": plain.url, "chat": chat.url, "banner": with_banner.url, "hostile": bad.url}
        upstreams = {name: {"url": url, "allow_private": True} for name, url in urls.items()}
        gone = {"gone": {"url": "ws://127.0.0.1:1/", "allow_private": True}}
        settings = Settings.model_validate(
            {"data": tmp_path / "data", "proxy": {"upstreams": upstreams | gone | {"echo": "/echo"}}}
        )
        async with running(settings) as url:
            yield url


# ----------------------------------------------------------------------------------------------------------- library


async def test_messages_go_out_and_come_back(server: str) -> None:
    async with client.connect(server) as connection, connection.proxy("chat", subprotocols=["chat"]) as tunnel:
        assert (tunnel.url, tunnel.subprotocol) == ("/proxy/chat", "chat")
        for message in ("text", b"bytes", "", b"", "x" * (16 << 20)):
            await tunnel.send(message)
            assert await tunnel.recv() == message


async def test_iteration_ends_where_the_other_end_closes_in_order(server: str) -> None:
    async with client.connect(server) as connection, connection.proxy("banner") as tunnel:
        await tunnel.send("hello")
        await tunnel.send("bye")
        assert [message async for message in tunnel] == ["welcome", BINARY, "hello"]
        with pytest.raises(client.TunnelClosed, match="the tunnel was closed with 1000: so long"):
            await tunnel.recv()


async def test_another_close_is_raised_with_its_code_and_reason(server: str) -> None:
    async with client.connect(server) as connection, connection.proxy("banner") as tunnel:
        await tunnel.send("out")
        with pytest.raises(client.TunnelClosed) as closed:
            [message async for message in tunnel]
        assert (closed.value.code, closed.value.reason) == (4321, "thrown out")
        with pytest.raises(client.TunnelClosed):
            await tunnel.send("more")


async def test_what_arrived_before_the_close_can_still_be_received(server: str) -> None:
    async with client.connect(server) as connection, connection.proxy("banner") as tunnel:
        await tunnel.send("out")
        with pytest.raises(client.TunnelClosed):
            await _send_for_ever(tunnel)
        assert await tunnel.recv() == "welcome"


async def _send_for_ever(tunnel: client.Tunnel) -> None:
    while True:
        await tunnel.send("more")
        await asyncio.sleep(0)  # what comes has to be read meanwhile


async def test_other_operations_go_on_beside_a_tunnel(server: str) -> None:
    async with client.connect(server) as connection, connection.proxy("echo") as tunnel:
        await connection.upload(b"content", name="a")
        assert await connection.echo("hello") == "hello"
        await tunnel.send("hello")
        assert await tunnel.recv() == "hello"


async def test_refusals_are_the_protocols_errors(server: str) -> None:
    for target, error in (("nope", ProxyDenied), ("ws://127.0.0.1/", ProxyDenied), ("gone", ProxyFailed)):
        with pytest.raises(error):
            async with client.connect(server) as connection, connection.proxy(target):
                pass
    with pytest.raises(BadMessage, match="upstream"):
        async with client.connect(server) as connection, connection.proxy(""):
            pass
    with pytest.raises(BadMessage, match="subprotocols"):
        async with client.connect(server) as connection, connection.proxy("plain", subprotocols=["a b"]):
            pass


# ----------------------------------------------------------------------------------------------------------- command


async def test_each_text_is_sent_and_its_answer_printed(towline: Towline) -> None:
    ended = await towline("proxy", "plain", "hello", "ö ö")
    assert (ended.out, ended.err) == ("hello\nö ö\n", "")
    ended = await towline("proxy", "plain", "hello", "--json")
    assert ended.objects == [{"event": "message", "text": "hello"}]


async def test_lines_go_out_and_messages_come_in(towline: Towline) -> None:
    ended = await towline("proxy", "plain", "--wait", "0.2", stdin="a\r\nö\n\nlast".encode())
    assert ended.out == "a\nö\n\nlast\n"


async def test_it_ends_when_the_other_end_closes(towline: Towline) -> None:
    async with towline.begun("proxy", "banner", "--json", "--hex") as process:
        assert process.stdin is not None
        process.stdin.write(b"bye\n")  # and stdin stays open
        await process.stdin.drain()
        assert process.stdout is not None
        lines = [json.loads(line) for line in (await process.stdout.read()).splitlines()]
        assert await process.wait() == 0
    assert lines == [
        {"event": "message", "text": "welcome"},
        {"event": "message", "hex": BINARY.hex()},
        {"event": "closed", "message": "the other end has closed the tunnel"},
    ]


@pytest.mark.parametrize(("close_code", "code"), [(1000, 0), (4321, 1)])
async def test_the_close_decides_how_it_ends_while_lines_still_go_out(
    tmp_path: Path, close_code: int, code: int
) -> None:
    async with Upstream(satisfied(close_code), subprotocols=[Subprotocol(PROTOCOL)]) as server:
        towline = Towline(tmp_path, server.url.replace("ws:", "http:"))
        ended = await towline("proxy", "satisfied", stdin=b"a line of text\n" * 400_000, code=code)
    assert ended.out == "".join(f"enough {number}\n" for number in range(100))
    closed = ["the other end has closed the tunnel", "towline: the tunnel was closed with 4321"][code]
    assert ended.err == f"{closed}\n"


async def test_a_close_that_is_no_ordinary_one_is_an_error(towline: Towline) -> None:
    ended = await towline("proxy", "banner", stdin=b"out\n", code=1)
    assert "towline: the tunnel was closed with 4321: thrown out" in ended.err
    ended = await towline("proxy", "banner", "out", "x", "y", "--json", code=1)
    assert ended.the("error")["code"] == "tunnel_closed"


async def test_binary_messages_are_announced_shown_or_kept(towline: Towline) -> None:
    ended = await towline("proxy", "banner", "a", "b")
    assert ended.out == "welcome\n"
    assert ended.err == "a binary message of 9 bytes: --hex shows it, --output keeps it\n"
    ended = await towline("proxy", "banner", "a", "b", "--hex")
    assert ended.out == "welcome\n" + BINARY.hex() + "\n"
    for count in (1, 2):
        ended = await towline("proxy", "banner", "a", "b", "-o", "kept.bin")
        assert ended.out == "welcome\n"
        assert towline.read("kept.bin") == BINARY * count


async def test_a_terminal_obeys_nothing_that_comes_through(towline: Towline) -> None:
    assert (await towline("proxy", "hostile", "x")).out == "\x1b[31mred\nnext\u202e\n"
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "client.cli", "proxy", "hostile", "x"),
        stdout=theirs,
        cwd=towline.folder,
        env=towline.environment | {"PYTHONUTF8": "1"},
    )
    os.close(theirs)
    assert await process.wait() == 0
    assert os.read(ours, 1_000).decode().replace("\r", "") == "\\x1b[31mred\nnext\\u202e\n"
    os.close(ours)


async def test_a_subprotocol_is_offered_and_named(towline: Towline) -> None:
    ended = await towline("proxy", "chat", "hello", "--subprotocol", "v9", "--subprotocol", "chat")
    assert ended.err == "the upstream chose the subprotocol chat\n"
    assert ended.out == "hello\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nope", "x"], 1, "this server does not forward to 'nope': ask its operator"),
        (["gone", "x"], 1, "the upstream 'gone' cannot be reached, or is no WebSocket: try again later"),
        (["plain", "x", "--subprotocol", "a b"], 1, "subprotocols"),
        (["plain", "--hex", "-o", "x"], 2, "--hex prints what --output would keep"),
        (["plain", "x", "-o", "no/such/folder"], 1, "no/such/folder: no such file or directory"),
        ([], 2, "Missing argument"),
    ],
)
async def test_what_is_wrong_is_said(towline: Towline, arguments: list[str], code: int, words: str) -> None:
    assert words in (await towline("proxy", *arguments, code=code)).err


async def test_a_line_that_is_no_text_is_refused(towline: Towline) -> None:
    ended = await towline("proxy", "plain", stdin=b"fine\n\xff\xfe\n", code=1)
    assert "a line of stdin is not UTF-8 text: b'\\xff\\xfe'" in ended.err
