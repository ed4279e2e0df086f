"""`towline doctor`: what it finds on ways that are disturbed in the ways of real proxies, and on one that is not."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import client
from client.credentials import Credentials
from client.errors import ConnectionBroken
from client.http import HttpApi, WhoAmI
from client.terminal import diagnosis, mending, probes
from client.terminal.columns import width_of
from client.terminal.diagnosis import Finding
from client.terminal.doctor_command import Doctor, lines_of
from client.terminal.exchange import Exchange
from client.terminal.probes import Sizes
from client.tls import tls_context
from client.token_sources import token_source
from client.wire import open_wire
from tests.client.command import Towline
from tests.links import Link, Passage, after
from tests.proxies import cuts_messages_over, gathers, keeps_streams, nginx, strips_upgrades
from tests.server import CHECKOUT, running
from tests.tls import Authority
from tests.tokens import token_for
from transfer.app import create_app
from transfer.protocol.limits import KIB, MIB
from transfer.settings import Settings

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
CHECKS = [
    *("address", "tls", "server", "between", "clock", "disk", "upgrade", "access"),
    *("buffering", "round trip", "message size", "upload", "download", "events", "idle"),
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        yield url


@pytest.fixture
async def link(server: str) -> AsyncIterator[Link]:
    async with Link("127.0.0.1", urlsplit(server).port or 0) as link:
        yield link


def doctor_for(server: str, *, token: str | None = None) -> Doctor:
    """One that is satisfied with measuring by little."""
    return Doctor(server, Credentials(server, token_source(server, given=token or (lambda: None))), speed_bytes=MIB)


async def found_by(doctor: Doctor) -> dict[str, Finding]:
    return {finding.check: finding async for finding in doctor.findings()}


def problems(found: dict[str, Finding]) -> list[str]:
    return [check for check, finding in found.items() if finding.verdict == "problem"]


# -------------------------------------------------------------------------------------------------------- a good way


async def test_a_good_way_has_no_problem_and_nothing_of_it_stays_on_the_server(towline: Towline, server: str) -> None:
    ended = await towline("doctor", "--json", "--idle", "0.1")
    *told, summary = ended.objects
    assert [each["check"] for each in told] == CHECKS
    assert {str(each["check"]) for each in told if each["verdict"] != "ok"} == set()
    assert summary == {"event": "summary", "problems": 0}
    async with client.connect(server) as connection:
        assert await connection.uploads() == []
        assert [file async for file in connection.list_files()] == []


async def test_a_download_is_measured_by_a_file_that_is_there(server: str) -> None:
    async with client.connect(server) as connection:
        await connection.upload(bytes(3_000_000), name="large.bin")
    found = await found_by(doctor_for(server))
    assert found["download"].sentence.endswith("/s, by a part of a file that is there")
    assert found["upload"].sentence.endswith("these bytes are durable")
    assert problems(found) == []


@pytest.mark.parametrize("broken", [True, False], ids=["the connection breaks", "Ctrl-C"])
async def test_of_a_measurement_that_ends_half_way_nothing_stays_on_the_server(link: Link, *, broken: bool) -> None:
    under_way = asyncio.Event()

    def happens(passage: Passage) -> None:
        under_way.set()
        if broken:
            passage.cut()

    async with HttpApi(link.url) as http, open_wire(link.url) as wire:
        link.upstream.fault = after(300_000, happens)
        measuring = asyncio.create_task(probes.upload_speed(wire, http, "", 64 * KIB, 64 * MIB))
        await under_way.wait()
        if not broken:
            measuring.cancel()
        with pytest.raises(ConnectionBroken if broken else asyncio.CancelledError):
            await measuring
        assert await http.uploads() == []


async def test_who_may_not_upload_is_measured_by_messages(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", port=0)
    app = create_app(settings)
    async with running(settings, app) as url:
        reader = await token_for(app.state.store, "bob", ["read"])
        found = await found_by(doctor_for(url, token=reader.text))
        assert found["access"].sentence == "bob may read"
        assert found["upload"].sentence.startswith("at least ")
        assert problems(found) == []
        writer = await token_for(app.state.store, "carol", ["upload"], prefix="photos/", quota=500_000)
        found = await found_by(doctor_for(url, token=writer.text))
        assert found["access"].sentence == "carol may upload; 0 bytes of a quota of 500.0 kB are used"
        assert found["upload"].sentence.endswith("these bytes are durable")
        assert found["download"].sentence.startswith("at least ")
        assert problems(found) == []
        stranger = await found_by(doctor_for(url))
        assert problems(stranger) == ["access"]
        assert f"`towline login {url}`" in stranger["access"].sentence


# ------------------------------------------------------------------------------------------------------- a bad way


async def test_a_proxy_that_strips_upgrades_is_told_with_what_mends_it(link: Link, towline: Towline) -> None:
    link.upstream.fault = strips_upgrades
    ended = await towline("doctor", "--server", link.url, code=1)
    assert "problem  upgrade" in ended.out
    assert "instead of 101" in ended.out
    for line in ("nginx:   proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;", "Caddy:", "cloud:"):
        assert line in ended.out
    assert ended.out.endswith("\n1 problem\n")


async def test_a_proxy_that_passes_on_ws_alone_is_told_and_the_rest_is_looked_at(link: Link) -> None:
    link.upstream.fault = lambda _, piece: iter([piece.replace(b"GET /echo", b"GET /nope")])
    found = await found_by(replace(doctor_for(link.url), idle_seconds=0.1))
    assert problems(found) == ["echo"]
    assert "not at /echo (it answered HTTP 404 instead of opening a WebSocket): pass" in found["echo"].sentence
    assert found["echo"].mending == mending.UPGRADE
    assert {check for check, finding in found.items() if finding.verdict == "unknown"} == {
        *("buffering", "message size", "download", "idle")
    }
    assert [*found] == [*CHECKS[: CHECKS.index("buffering")], "echo", *CHECKS[CHECKS.index("buffering") :]]


async def test_a_proxy_that_gathers_messages_is_found(link: Link) -> None:
    link.upstream.fault = gathers(16 * KIB)
    found = await found_by(replace(doctor_for(link.url), early_seconds=0.3))
    assert "buffering" in problems(found)
    held = found["buffering"].facts["held_bytes"]
    assert isinstance(held, int)
    assert held >= 15 * KIB
    assert "proxy_request_buffering off;" in found["buffering"].mending["nginx"]


async def test_a_proxy_that_keeps_the_stream_of_events_is_found(link: Link) -> None:
    link.downstream.fault = keeps_streams
    found = await found_by(doctor_for(link.url))
    assert problems(found) == ["events"]
    assert "proxy_buffering off;" in found["events"].mending["nginx"]


async def test_a_proxy_that_cuts_large_messages_is_found_with_the_size_that_passes(link: Link) -> None:
    link.upstream.fault = cuts_messages_over(64 * KIB)
    found = await found_by(doctor_for(link.url))
    assert problems(found) == ["message size"]
    assert found["message size"].facts["passed_bytes"] == 64 * KIB
    assert found["message size"].mending["Towline"][0] == "chunk_size = 65536"


async def test_a_proxy_that_cuts_silent_connections_is_found(link: Link) -> None:
    doctor = replace(doctor_for(link.url), idle_seconds=600.0)
    found = {}
    async for finding in doctor.findings():
        found[finding.check] = finding
        if finding.check == "events":  # all that is measured is
            link.idle_limit = 0.1
    assert problems(found) == ["idle"]
    assert found["idle"].sentence.startswith("a silent connection is cut after ")
    assert "proxy_read_timeout 300s;" in found["idle"].mending["nginx"]


async def test_a_chunk_size_that_doctor_proposes_lets_uploads_through(tmp_path: Path) -> None:
    async with (
        running(Settings(data=tmp_path / "data", port=0, chunk_size=64 * KIB)) as url,
        Link("127.0.0.1", urlsplit(url).port or 0) as link,
        client.connect(link.url) as connection,
    ):
        link.upstream.fault = cuts_messages_over(64 * KIB)
        assert (await connection.upload(bytes(300_000), name="large.bin")).size == 300_000


async def test_a_full_disk_is_told_in_the_servers_words(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "data", port=0, min_free_bytes=1 << 60)) as url:
        found = await found_by(doctor_for(url))
    assert problems(found) == ["upload"]
    assert found["upload"].facts["code"] == "insufficient_storage"
    assert "`towline rm` makes room" in found["upload"].sentence


async def test_a_server_that_is_not_there_is_told_with_what_to_look_at() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        found = await found_by(doctor_for(f"http://127.0.0.1:{nobody.getsockname()[1]}"))
    assert list(found) == problems(found) == ["address"]
    assert found["address"].sentence.startswith("connection refused: does `towline serve` run there")


async def test_a_certificate_that_nobody_trusts_is_told_with_what_to_type(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("127.0.0.1")
    settings = Settings(data=tmp_path / "data", port=0, tls_cert=pair.certificate, tls_key=pair.key)
    async with running(settings) as url:
        stranger = await found_by(replace(doctor_for(url), tls=tls_context(url)))
        assert problems(stranger) == ["tls"]
        assert "--ca-file" in stranger["tls"].sentence
        trusting = await found_by(replace(doctor_for(url), tls=tls_context(url, authority.file)))
        assert problems(trusting) == []
        assert trusting["tls"].sentence.startswith("TLSv1.3, the certificate is trusted")


# ------------------------------------------------------------------------------------------------------------- nginx


@pytest.mark.skipif(NGINX is None, reason="there is no nginx here")
async def test_an_nginx_that_was_told_nothing_is_found(tmp_path: Path, server: str) -> None:
    async with nginx(str(NGINX), tmp_path, server, "") as url:
        found = await found_by(doctor_for(url))
    assert problems(found) == ["upgrade"]
    assert "nginx" in found["between"].sentence


@pytest.mark.skipif(NGINX is None, reason="there is no nginx here")
@pytest.mark.parametrize("mended_by", ["what doctor says", "docs/howto/nginx.md"])
async def test_an_nginx_that_was_told_how_has_no_problem(tmp_path: Path, server: str, mended_by: str) -> None:
    lines = "\n".join([*mending.UPGRADE["nginx"], *mending.IDLE["nginx"]])
    if mended_by == "docs/howto/nginx.md":
        location = (CHECKOUT / mended_by).read_text().partition("    location / {\n")[2].partition("    }\n")[0]
        lines = location.replace("$connection_upgrade", '"upgrade"').replace("proxy_pass http://127.0.0.1:8000;", "")
    async with nginx(str(NGINX), tmp_path, server, lines) as url:
        found = await found_by(doctor_for(url))
    assert problems(found) == []
    assert "nginx" in found["between"].sentence


# ---------------------------------------------------------------------------------------------------------- verdicts

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
ANSWER = Exchange(200, {"date": "Mon, 30 Nov 2026 12:00:00 GMT"}, b'{"status":"live"}', 0.01, 0.01, NOW)


@pytest.mark.parametrize(
    ("status", "headers", "body", "sentence"),
    [
        (502, {}, b"", "a proxy answers HTTP 502: it does not reach the server behind it"),
        (301, {"location": "https://x.example/"}, b"", "it redirects to https://x.example/: give that as the server"),
        (
            404,
            {},
            b"<html>",
            "no Towline server: GET /health/live is answered with HTTP 404; check host, port and path",
        ),
        (
            200,
            {},
            b'["live"]',
            "no Towline server: GET /health/live is answered with HTTP 200; check host, port and path",
        ),
        (421, {}, b'{"code":"x","detail":"not for x"}', "it refuses to be asked (HTTP 421): not for x"),
    ],
)
def test_another_server_is_told_from_towline(status: int, headers: dict[str, str], body: bytes, sentence: str) -> None:
    found = diagnosis.of_server(replace(ANSWER, status=status, headers=headers, body=body))
    assert (found.verdict, found.sentence) == ("problem", sentence)


@pytest.mark.parametrize(
    ("date", "verdict", "words"),
    [
        ("Mon, 30 Nov 2026 12:00:30 GMT", "ok", "the same as here"),
        ("Mon, 30 Nov 2026 12:05:00 GMT", "problem", "the server's is 300 s ahead of this one"),
        ("Mon, 30 Nov 2026 11:58:00 GMT", "problem", "the server's is 120 s behind this one"),
        ("yesterday", "unknown", "no Date"),
    ],
)
def test_clocks_are_compared(date: str, verdict: str, words: str) -> None:
    found = diagnosis.of_clock(replace(ANSWER, headers={"date": date}))
    assert found.verdict == verdict
    assert words in found.sentence


def test_a_store_that_cannot_write_is_told_in_the_servers_words() -> None:
    body = b'{"code":"storage_failure","detail":"the store cannot write at the moment"}'
    found = diagnosis.of_disk(replace(ANSWER, status=503, body=body))
    assert found.verdict == "problem"
    assert found.sentence.startswith("the store cannot write at the moment: see the server's log")


@pytest.mark.parametrize(("days", "verdict"), [(90, "ok"), (3, "problem")])
def test_a_certificate_that_ends_soon_is_told(days: int, verdict: str) -> None:
    seen = replace(ANSWER, tls="TLSv1.3", valid_until=NOW + timedelta(days=days))
    assert diagnosis.of_tls("https://files.example.org", seen, NOW).verdict == verdict


def test_a_server_elsewhere_without_tls_is_noted() -> None:
    assert diagnosis.of_tls("http://files.example.org", ANSWER, NOW).verdict == "note"
    assert diagnosis.of_tls("http://[::1]:8000", ANSWER, NOW).verdict == "ok"


def test_a_slow_link_is_not_taken_for_one_that_cuts_messages() -> None:
    assert diagnosis.of_sizes(Sizes(passed=64 * KIB, failed=MIB, ended="")).verdict == "note"
    assert diagnosis.of_sizes(Sizes(passed=64 * KIB, failed=MIB, ended="closed with 1009")).verdict == "problem"


def test_a_quota_that_is_nearly_used_is_a_problem() -> None:
    caller = WhoAmI(subject="bob", scopes=("upload",), quota=1_000, used=990)
    assert "`towline rm` makes room" in diagnosis.of_access(caller).sentence


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_finding_fits_into_any_terminal(width: int) -> None:
    found = diagnosis.of_upgrade(replace(ANSWER, status=426, body=b""))
    lines = [*lines_of(found, width, painted=False)]
    settings = {line for lines in found.mending.values() for line in lines}
    assert max(map(width_of, lines)) <= width
    shown = " ".join(" ".join(lines).split())
    assert [setting for setting in settings if setting not in shown] == []
    assert shown.startswith("problem upgrade HTTP 426 instead of 101: what is in between")
    assert any("\x1b[31mproblem" in line for line in lines_of(found, width, painted=True))
