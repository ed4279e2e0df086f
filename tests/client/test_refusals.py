"""What a client makes of a request or an upgrade that a server refuses, and whom it tells its token."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

import client
from client.connection import Connection
from client.credentials import Credentials, TokenRefused
from client.errors import CannotConnect, ConnectionBroken, GaveUp
from client.http import HttpApi
from client.kept_tokens import KeptTokens
from client.problem import seconds_of
from client.progress import Event, Listener, Waiting
from client.retry import Patience, asked_delay
from client.terminal.running import loop_factory
from client.token_sources import token_source
from client.wire import open_wire
from tests.client.answering import answering, closing_first, leaving
from tests.tls import Authority
from transfer.protocol.errors import Forbidden, ProxyDenied, ShuttingDown, TooMany, TransferError, UnknownError

TOKEN = "towline_0123456789ab_" + "0123456789abcdef" * 4
PROBLEM = "application/problem+json"


def problem(code: str, *, retryable: bool = False, **facts: object) -> bytes:
    return json.dumps({"code": code, "detail": f"it is {code}", "retryable": retryable, **facts}).encode()


def credentials_for(server: str, token: str = TOKEN) -> Credentials:
    return Credentials(server, token_source(server, given=token))


async def upgrade(server: str) -> None:
    async with open_wire(server, credentials_for(server)):
        pass


async def request(server: str) -> None:
    async with HttpApi(server, credentials_for(server)) as api:
        await api.uploads()


Ask = Callable[[str], Awaitable[None]]
either = pytest.mark.parametrize("ask", [upgrade, request])


async def failure(ask: Ask, url: str) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at which
        await ask(url)
    return caught.value


# ------------------------------------------------------------------------------------------------------------ problems


@either
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("401 Unauthorized", "unauthorized", TokenRefused),
        ("403 Forbidden", "forbidden", Forbidden),
        ("421 Misdirected Request", "forbidden", Forbidden),
        ("403 Forbidden", "proxy_denied", ProxyDenied),
        ("503 Service Unavailable", "shutting_down", ShuttingDown),
        ("429 Too Many Requests", "too_many", TooMany),
        ("410 Gone", "moved", UnknownError),
    ],
)
async def test_a_refusal_is_the_error_of_its_code(ask: Ask, status: str, code: str, kind: type[TransferError]) -> None:
    async with answering(status, PROBLEM, problem(code, limit=5)) as url:
        error = await failure(ask, url)
    assert isinstance(error, kind)
    assert error.code == code
    assert str(error).startswith(f"it is {code}")
    assert error.facts == {"limit": 5}


@either
@pytest.mark.parametrize("body", [b"", b"not json", b'{"title":"no code"}', b"\xff", b'{"code":5}'])
async def test_a_problem_that_says_nothing_leaves_the_status(ask: Ask, body: bytes) -> None:
    async with answering("404 Not Found", PROBLEM, body) as url:
        error = await failure(ask, url)
    assert isinstance(error, CannotConnect)
    assert "it answered HTTP 404" in str(error) or "something that was not expected" in str(error)
    assert "Towline server" in str(error)


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "426 Upgrade Required"])
async def test_an_upgrade_that_arrived_as_none_is_told_with_who_looks_closer(status: str) -> None:
    async with answering(status, PROBLEM, problem("not_found")) as url:
        error = await failure(upgrade, url)
    assert isinstance(error, CannotConnect)
    assert "instead of opening a WebSocket" in str(error)
    assert str(error).endswith("`towline doctor` looks closer")


@either
@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "429 Too Many Requests"])
async def test_a_proxy_that_has_lost_its_server_may_find_it_again(ask: Ask, status: str) -> None:
    async with answering(status, "text/html", b"<html>", "Retry-After: 7") as url:
        error = await failure(ask, url)
    assert isinstance(error, ConnectionBroken)
    assert asked_delay(error) == 7


@either
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_a_server_that_says_when_to_come_back_is_waited_for_so_long(ask: Ask, status: str) -> None:
    async with answering(status, PROBLEM, problem("too_many"), "Retry-After: 11") as url:
        error = await failure(ask, url)
    assert isinstance(error, TooMany)
    assert (error.retryable, asked_delay(error)) == (True, 11)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, loop_factory()], ids=["library", "command"])
def test_a_server_that_leaves_as_soon_as_it_has_upgraded_may_be_asked_again(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """There is no socket any more of which to ask anything."""

    async def hear(url: str) -> None:
        async with open_wire(url, congestion="auto") as wire:
            wire.connected("")
            wire.tcp_info()
            await wire.receive()

    with leaving(1012) as url, asyncio.Runner(loop_factory=loop) as runner:
        for _ in range(10):
            with pytest.raises(ConnectionBroken):
                runner.run(hear(url))


# ----------------------------------------------------------------------------------------------------------- patience


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("120", 120), (" 5 ", 5), (None, None), ("", None), ("-1", None), ("1.5", None), ("soon", None)],
)
def test_seconds_of_retry_after_are_read(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_a_time_of_retry_after_is_read() -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    assert 3_500 < (seconds_of(format_datetime(later, usegmt=True)) or 0) <= 3_600
    assert seconds_of("Sun, 06 Nov 1994 08:49:37 GMT") == 0


def test_no_attempt_comes_sooner_than_the_server_asked_for() -> None:
    patience = Patience(give_up_after=600, clock=lambda: 0.0)
    assert patience.next_delay(at_least=90) == 90
    assert patience.next_delay(at_least=0) < 5


def test_a_server_cannot_make_one_wait_longer_than_one_is_willing_to() -> None:
    times = iter((0.0, 0.0, 60.0))
    patience = Patience(give_up_after=60, clock=lambda: next(times))
    assert patience.next_delay(at_least=1e9) == 60
    with pytest.raises(GaveUp):
        patience.next_delay()


async def upload(connection: Connection, file: Path, listener: Listener) -> None:
    await connection.upload(file, on_event=listener)


async def upload_many(connection: Connection, file: Path, listener: Listener) -> None:
    async for _ in connection.upload_many([client.Item(file, "x")], on_event=listener):
        pass


async def download(connection: Connection, file: Path, listener: Listener) -> None:
    await connection.download("x", file.parent / "copy", on_event=listener)


@pytest.mark.parametrize("content_type", [PROBLEM, "text/html"])
@pytest.mark.parametrize("transfer", [upload, upload_many, download])
async def test_a_transfer_waits_as_long_as_the_server_asks(
    tmp_path: Path, content_type: str, transfer: Callable[[Connection, Path, Listener], Awaitable[None]]
) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"x")
    waiting: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
    async with (
        answering("503 Service Unavailable", content_type, problem("too_many"), "Retry-After: 3000") as url,
        client.connect(url, token=TOKEN, give_up_after=9_000) as connection,
    ):
        transferring = asyncio.ensure_future(transfer(connection, file, waiting.set_result))
        event = await waiting
        transferring.cancel()
        await asyncio.wait([transferring])
    assert isinstance(event, Waiting)
    assert event.seconds == 3_000


# ------------------------------------------------------------------------------------------------------------- tokens


@either
async def test_the_token_is_presented_to_the_server(ask: Ask) -> None:
    heads: list[str] = []
    async with answering("403 Forbidden", PROBLEM, problem("forbidden"), heads=heads) as url:
        await failure(ask, url)
    (head,) = heads
    assert head.count("uthorization: ") == 1
    assert f"uthorization: Bearer {TOKEN}\r\n" in head
    assert TOKEN not in head.partition("\r\n")[0]


@either
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed_and_says_where_it_leads(ask: Ask, status: str) -> None:
    heads: list[str] = []
    async with answering("200 OK", "text/html", b"", heads=heads) as elsewhere:
        location = elsewhere.replace("http:", "ws:") if ask is upgrade else elsewhere
        async with answering(status, "text/html", b"", f"Location: {location}/there") as url:
            error = await failure(ask, url)
    assert isinstance(error, CannotConnect)
    assert str(error).endswith(f"it redirects to {location}/there: give that instead")
    assert heads == []


async def test_a_request_whose_token_is_not_taken_looks_once_for_another_one() -> None:
    tokens, heads = iter(("old", "new", "new")), list[str]()
    async with answering("401 Unauthorized", PROBLEM, problem("unauthorized"), heads=heads) as url:
        credentials = Credentials(url, token_source(url, given=lambda: next(tokens)))
        async with HttpApi(url, credentials) as api:
            with pytest.raises(TokenRefused, match="the one that the program gave"):
                await api.uploads()
    assert [f"Bearer {token}\r\n" in head for token, head in zip(("old", "new"), heads, strict=True)] == [True, True]


async def test_a_token_of_another_server_is_not_presented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    heads: list[str] = []
    async with answering("403 Forbidden", PROBLEM, problem("forbidden"), heads=heads) as url:
        KeptTokens().keep(f"{url}/team", SecretStr(TOKEN), "file")
        for server in (url, f"{url}/team"):
            async with client.connect(server) as connection:
                with pytest.raises(Forbidden):
                    await connection.uploads()
    assert [TOKEN in head for head in heads] == [False, True]


async def test_no_log_has_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("towline.client.wire").setLevel(logging.DEBUG)
    try:
        async with answering("403 Forbidden", PROBLEM, problem("forbidden")) as url:
            for ask in (upgrade, request):
                await failure(ask, url)
    finally:
        logging.getLogger("towline.client.wire").setLevel(logging.NOTSET)
    assert caplog.records
    assert TOKEN not in caplog.text


async def test_a_server_that_leaves_before_the_upgrade_is_tried_again(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with closing_first(authority.issue("127.0.0.1")) as url, pytest.raises(ConnectionBroken):
        async with open_wire(url, tls=authority.context()):
            pass
