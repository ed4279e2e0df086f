import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from tests.server import http_client, running
from transfer.origins import parse_origin
from transfer.settings import Settings

OTHER_PAGE = "https://page.example.org"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    settings = Settings(data=tmp_path / "data", allowed_origins=("http://localhost:3000",))
    async with running(settings) as url:
        yield url


async def raw_answer(url: str, request: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def refusal_of_upgrade(url: str, path: str = "/echo", **headers: str) -> Response | None:
    """The answer that refused the upgrade; None when it was accepted."""
    target = url.replace("http:", "ws:") + path
    try:
        async with connect(target, proxy=None, additional_headers=headers):
            return None
    except InvalidStatus as refused:
        return refused.response


@pytest.mark.parametrize("host", ["localhost", "LocalHost:80", "127.0.0.1:9", "[::1]", "[::1]:8000"])
async def test_the_names_of_this_machine_are_answered_to(url: str, host: str) -> None:
    async with http_client(url) as http:
        assert (await http.get("/health/live", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["page.example.org", "127.0.0.1.example.org", "localhost.", "127.0.0.2", "", "localhost@x", "[::1", "localhost:x"],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_page_whose_name_was_rebound_to_loopback_gets_421(url: str, host: str, method: str) -> None:
    async with http_client(url) as http:
        answer = await http.request(method, "/files/x", headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "forbidden"


@pytest.mark.parametrize("lines", [b"", b"host: localhost\r\nhost: localhost\r\n"])
async def test_no_host_or_two_get_421(url: str, lines: bytes) -> None:
    answer = await raw_answer(url, b"GET /health/live HTTP/1.1\r\nconnection: close\r\n" + lines + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 421 ")


async def test_an_upgrade_for_another_name_is_refused_before_it(url: str) -> None:
    parts = urlsplit(url)
    request = (
        b"GET /echo HTTP/1.1\r\nhost: page.example.org\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    answer = await raw_answer(url, request)
    assert answer.startswith(b"HTTP/1.1 421 ")
    assert b"content-type: application/problem+json" in answer.lower()
    accepted = request.replace(b"page.example.org", parts.netloc.encode())
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(accepted)
    assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", ["/ws", "/echo", "/nothing"])
@pytest.mark.parametrize("origin", [OTHER_PAGE, "null", "http://127.0.0.1", "file://", ""])
async def test_a_page_of_another_site_opens_no_websocket(url: str, path: str, origin: str) -> None:
    refused = await refusal_of_upgrade(url, path, Origin=origin)
    assert refused is not None
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"


async def test_the_servers_own_pages_and_the_allowed_ones_open_websockets(url: str) -> None:
    for origin in (url, url.upper(), "http://localhost:3000"):
        assert await refusal_of_upgrade(url, Origin=origin) is None
    assert await refusal_of_upgrade(url) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_page_of_another_site_changes_nothing(url: str, method: str) -> None:
    async with http_client(url) as http:
        for origin in (OTHER_PAGE, "null", url.replace("http:", "https:")):
            answer = await http.request(method, "/files/x", headers={"origin": origin})
            assert answer.status_code == 403
        for origin in (url, "http://localhost:3000"):
            assert (await http.request(method, "/files/x", headers={"origin": origin})).status_code != 403


async def test_reading_is_left_to_the_browsers_own_guard(url: str) -> None:
    async with http_client(url) as http:
        answer = await http.get("/files", headers={"origin": OTHER_PAGE})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_where_others_reach_it_any_name_will_do_and_origins_still_count(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", host="0.0.0.0", insecure=True)
    async with running(settings) as url, http_client(url.replace("0.0.0.0", "127.0.0.1")) as http:
        headers = {"host": "files.example.org", "origin": "http://files.example.org:80"}
        assert (await http.delete("/files/x", headers=headers)).status_code == 404
        assert (await http.delete("/files/x", headers=headers | {"origin": OTHER_PAGE})).status_code == 403
        assert (await raw_answer(url, b"GET /health/live HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_websocket_to_nowhere_is_404_before_the_upgrade(url: str) -> None:
    refused = await refusal_of_upgrade(url, "/nothing")
    assert refused is not None
    assert refused.status_code == 404
    assert b'"code":"not_found"' in refused.body


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://localhost", "http://localhost"),
        ("HTTP://LOCALHOST:80", "http://localhost"),
        ("https://a.example:443", "https://a.example"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://localhost/", None),
        ("http://user@localhost", None),
        ("http://localhost:", None),
        ("ftp://localhost", None),
        ("localhost", None),
        ("null", None),
        ("", None),
        ("http://a b", None),
        ("http://é", None),
    ],
)
def test_origins_are_equal_however_they_are_written(text: str, origin: str | None) -> None:
    parsed = parse_origin(text)
    assert (None if parsed is None else str(parsed)) == origin
