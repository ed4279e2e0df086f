"""Clients and servers with TLS between them. tests/transfer/edge/test_tls.py has what the server alone does."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

import client
from client.errors import CannotConnect, ConnectionBroken
from client.progress import Event, Waiting
from tests.client.command import CONTENT, Towline
from tests.links import Link
from tests.server import ServerProcess, alarms, running
from tests.tls import Authority, Pair
from transfer.settings import Settings

MUCH = os.urandom(3_000_000)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("127.0.0.1")


@pytest.fixture
async def url(tmp_path: Path, pair: Pair) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data", tls_cert=pair.certificate, tls_key=pair.key)) as url:
        yield url


@pytest.fixture
def towline(tmp_path: Path, url: str) -> Towline:
    folder = tmp_path / "here"
    folder.mkdir()
    return Towline(folder, url)


# --------------------------------------------------------------------------------------------------------------- trust


async def test_the_command_trusts_the_authorities_of_a_file(towline: Towline, authority: Authority) -> None:
    towline.write("a")
    await towline("upload", "a", "--ca-file", str(authority.file))
    assert (await towline("proxy", "echo", "hello", "--ca-file", str(authority.file))).out == "hello\n"
    towline.environment["TOWLINE_CA_FILE"] = str(authority.file)
    assert (await towline("ls")).out == "a\n"
    await towline("download", "a", "-o", "b")
    assert towline.read("b") == CONTENT


async def test_the_command_ends_with_1_where_it_does_not_trust(towline: Towline) -> None:
    towline.write("a")
    for arguments in (["upload", "a"], ["ls"]):
        refused = await towline(*arguments, code=1)
        assert "its certificate is not trusted" in refused.err
        assert "--ca-file" in refused.err


async def over_websocket(connection: client.Connection) -> None:
    await connection.upload(b"content", name="a")


async def over_http(connection: client.Connection) -> None:
    await connection.uploads()


async def through_a_tunnel(connection: client.Connection) -> None:
    async with connection.proxy("echo"):
        pass


async def downloading(connection: client.Connection) -> None:
    await connection.download("a")


Use = Callable[[client.Connection], Awaitable[None]]
all_ways = pytest.mark.parametrize("use", [over_websocket, over_http, through_a_tunnel, downloading])


async def refusal(server: str, use: Use, ca_file: Path | None) -> str:
    """Why a client does not talk to a server; it does not try for long."""
    async with asyncio.timeout(10):
        async with client.connect(server, ca_file=ca_file) as connection:
            with pytest.raises(CannotConnect) as refused:
                await use(connection)
    assert refused.value.server == server
    return refused.value.reason


@all_ways
async def test_an_authority_that_is_not_known_is_refused_at_once(url: str, use: Use, tmp_path: Path) -> None:
    for ca_file in (None, Authority(tmp_path, "another").file):
        reason = await refusal(url, use, ca_file)
        assert reason.startswith("its certificate is not trusted (")
        assert reason.endswith("): give the file of its authority with --ca-file or TOWLINE_CA_FILE")


@all_ways
async def test_a_certificate_for_another_name_is_refused_at_once(url: str, use: Use, authority: Authority) -> None:
    reason = await refusal(url.replace("127.0.0.1", "localhost"), use, authority.file)
    assert reason.startswith("its certificate is for another name (")
    assert "'localhost'" in reason


@all_ways
async def test_a_server_without_tls_is_told_apart(tmp_path: Path, use: Use, authority: Authority) -> None:
    async with running(Settings(data=tmp_path / "plain")) as url:
        reason = await refusal(url.replace("http:", "https:"), use, authority.file)
    assert reason == "it does not speak TLS: write http:// instead of https://"


@all_ways
async def test_plain_http_to_a_server_with_tls_is_refused_at_once(url: str, use: Use) -> None:
    async with client.connect(url.replace("https:", "http:")) as connection:
        with pytest.raises((CannotConnect, client.TransferError), match=r"HTTP 400|write https://"):
            await use(connection)


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "cannot be read: no such file or directory"), ("nothing", "no certificates in PEM")]
)
def test_a_file_without_authorities_is_told(tmp_path: Path, content: str | None, problem: str) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CannotConnect, match=problem) as refused:
        client.connect("https://files.example.org", ca_file=file)
    assert str(file) in str(refused.value)


async def test_each_single_call_trusts_a_file(url: str, authority: Authority, tmp_path: Path) -> None:
    ca_file = str(authority.file)
    await client.upload(url, b"content", name="a", ca_file=ca_file)
    assert [str(file.name) for file in await client.list_files(url, ca_file=ca_file)] == ["a"]
    assert (await client.download(url, "a", tmp_path / "a", ca_file=ca_file)).read_bytes() == b"content"
    assert await client.echo(url, "hello", ca_file=ca_file) == "hello"


async def test_the_servers_own_pages_are_those_with_https(url: str, authority: Authority) -> None:
    async with httpx2.AsyncClient(base_url=url, verify=authority.context(), trust_env=False) as http:
        assert (await http.delete("/files/x", headers={"origin": url})).status_code == 404
        assert (await http.delete("/files/x", headers={"origin": url.replace("https:", "http:")})).status_code == 403


# ------------------------------------------------------------------------------------------------------------- breaks


async def test_an_upload_goes_on_after_a_break(url: str, authority: Authority) -> None:
    async with Link("127.0.0.1", int(url.rpartition(":")[2])) as link:
        link.cut_after(upstream=len(MUCH) // 2)
        through = f"https://127.0.0.1:{link.port}"
        async with client.connect(through, ca_file=authority.file) as connection:
            file = await connection.upload(MUCH, name="a")
        assert (file.size, link.connections) == (len(MUCH), 2)


async def test_an_upload_does_not_notice_that_the_certificate_is_replaced(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    async with (
        ServerProcess(tmp_path / "data", options=pair.options) as server,
        Link("127.0.0.1", server.port) as link,
    ):
        link.hold_after(upstream=len(MUCH) // 2)
        async with client.connect(f"https://127.0.0.1:{link.port}", ca_file=authority.file) as connection:
            uploading = asyncio.create_task(connection.upload(MUCH, name="a"))
            await link.until(lambda link: link.upstream_bytes == len(MUCH) // 2)
            pair.replace_by(authority.issue("127.0.0.1"))
            server.send_signal(signal.SIGHUP)
            await server.until_logged("reloaded the certificate")
            link.thaw()
            assert (await uploading).size == len(MUCH)
            assert link.connections == 1
        assert await server.terminate() == 0
    assert alarms(server.log_lines) == []


async def test_clients_go_on_by_themselves_after_a_server_with_tls_was_stopped(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    waiting = asyncio.Event()

    def listener(event: Event) -> None:
        if isinstance(event, Waiting):
            waiting.set()

    async with (
        ServerProcess(tmp_path / "data", options=pair.options) as server,
        Link("127.0.0.1", server.port) as link,
    ):
        link.hold_after(upstream=len(MUCH) // 2)
        async with client.connect(f"https://127.0.0.1:{link.port}", ca_file=authority.file) as connection:
            uploading = asyncio.create_task(connection.upload(MUCH, name="a", on_event=listener))
            await link.until(lambda link: link.upstream_bytes == len(MUCH) // 2)
            ending = asyncio.create_task(server.terminate())
            await server.until_logged("stopping")
            link.thaw()
            assert await ending == 0
            await waiting.wait()
            await server.restart()
            assert (await uploading).size == len(MUCH)
    assert alarms(server.log_lines) == []


async def test_a_server_that_is_away_is_tried_again(authority: Authority) -> None:
    async with client.connect("https://127.0.0.1:1", ca_file=authority.file) as connection:
        with pytest.raises(ConnectionBroken, match="refused"):
            await connection.uploads()
