import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from tests.server import http_client, running
from transfer.edge.host_names import parse_pattern
from transfer.edge.origins import parse_origin
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


ALLOWED_HOSTS = ("files.example.org", "*.example.net", "[::1]", "192.0.2.7")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("files.example.org", 200),
        ("Files.Example.ORG:8443", 200),
        ("a.example.net", 200),
        ("a.b.example.net:1", 200),
        ("[::1]:8000", 200),
        ("192.0.2.7", 200),
        ("example.net", 421),
        (".example.net", 421),
        ("evilexample.net", 421),
        ("files.example.org.", 421),
        ("files.example.org.evil.example", 421),
        ("x.files.example.org", 421),
        ("localhost", 421),
        ("127.0.0.1", 421),
        ("files.example.org@evil.example", 421),
        ("files.example.org, evil.example", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
async def test_where_names_are_allowed_there_are_no_others(
    tmp_path: Path, host: str, status: int, address: str
) -> None:
    settings = Settings(data=tmp_path / "data", host=address, insecure=True, allowed_hosts=ALLOWED_HOSTS)
    async with running(settings) as url, http_client(url.replace("0.0.0.0", "127.0.0.1")) as http:
        answer = await http.get("/health/live", headers={"host": host})
        assert answer.status_code == status
        if status == 421:
            assert answer.json()["code"] == "forbidden"


@pytest.mark.parametrize("lines", [b"", b"host: files.example.org\r\nhost: files.example.org\r\n"])
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS"])
async def test_where_names_are_allowed_no_host_or_two_get_421(tmp_path: Path, lines: bytes, method: bytes) -> None:
    settings = Settings(data=tmp_path / "data", allowed_hosts=ALLOWED_HOSTS, allowed_origins=(OTHER_PAGE,))
    preflight = b"origin: https://page.example.org\r\naccess-control-request-method: GET\r\nconnection: close\r\n"
    async with running(settings) as url:
        answer = await raw_answer(url, method + b" /health/live HTTP/1.1\r\n" + preflight + lines + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 421 ")


async def test_two_hosts_are_refused_wherever_it_listens(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "data", host="0.0.0.0", insecure=True)) as url:
        request = b"GET /health/live HTTP/1.1\r\nhost: a\r\nhost: a\r\nconnection: close\r\n\r\n"
        assert (await raw_answer(url, request)).startswith(b"HTTP/1.1 421 ")


async def test_upgrades_are_for_allowed_names_too(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "data", allowed_hosts=("localhost",))) as url:
        refused = await refusal_of_upgrade(url)
        assert refused is not None
        assert refused.status_code == 421
        assert await refusal_of_upgrade(url.replace("127.0.0.1", "localhost")) is None
        assert await refusal_of_upgrade(url.replace("127.0.0.1", "localhost"), "/proxy/echo") is None


@pytest.mark.parametrize(
    "text", ["", "*", "*.", "https://a.example", "a.example:80", "a..b", "*a.example", "a/b", "é.example"]
)
def test_what_is_no_name_of_a_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a host is written like files\.example\.org"):
        parse_pattern(text)


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
