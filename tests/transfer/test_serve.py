import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from storage.errors import StoreRefused, WriteFailed
from storage.granting import opened_grants
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.store import utc_now
from tests.server import CHECKOUT, ServerProcess, http_client, running, serving_apart
from tests.tokens import bearer
from tests.transfer.access.identity_provider import SUBJECT, Provider
from tests.transfer.seeds import put
from transfer import health, problems
from transfer.app import create_app, expiring
from transfer.grants.issuing import new_token
from transfer.protocol.limits import MAX_ECHO_BYTES, MIB
from transfer.server import open_listener, url_of, warn_of_readers
from transfer.settings import Settings


def opened(url: str, path: str) -> connect:
    return connect(url.replace("http:", "ws:") + path, proxy=None, compression=None, max_size=None)


async def command(folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run `towline serve` in a folder to its end: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "transfer.cli", *options),
        stdout=PIPE,
        stderr=PIPE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | dict(environment or {}),
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


def events(log_lines: list[str]) -> list[dict[str, Any]]:
    """What a server logged: every line is an event."""
    return [json.loads(line) for line in log_lines]


async def seeded(data: Path, name: str, content: bytes) -> None:
    async with LocalStore(data) as store:
        await put(store, name, content)


# -------------------------------------------------------------------------------------------------- starting, stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_and_stops_with_0_when_told(tmp_path: Path, number: signal.Signals) -> None:
    async with ServerProcess(tmp_path / "data") as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]*", server.url)
        async with http_client(server.url) as http:
            assert (await http.get("/health/ready")).status_code == 200
            assert await server.terminate(number) == 0
    assert server.further_output == ""
    assert events(server.log_lines)


@pytest.mark.parametrize("path", ["/ws", "/echo"])
async def test_websockets_are_closed_with_1012(tmp_path: Path, path: str) -> None:
    async with ServerProcess(tmp_path / "data") as server, opened(server.url, path) as client:
        ended = asyncio.create_task(server.terminate())
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert await ended == 0
    assert {event["level"] for event in events(server.log_lines)} == {"info"}


async def test_a_download_that_has_begun_is_finished(tmp_path: Path) -> None:
    content = os.urandom(24 * MIB)
    await seeded(tmp_path / "data", "a", content)
    async with ServerProcess(tmp_path / "data") as server, http_client(server.url) as http:
        async with http.stream("GET", "/files/a") as answer:
            pieces = answer.aiter_raw()
            received = hashlib.sha256(await anext(pieces))
            ended = asyncio.create_task(server.terminate())
            await server.until_logged("stopping")
            async for piece in pieces:
                received.update(piece)
        assert received.digest() == hashlib.sha256(content).digest()
        assert await ended == 0


async def test_what_takes_longer_than_the_drain_timeout_is_cut_off(tmp_path: Path) -> None:
    await seeded(tmp_path / "data", "a", bytes(64 * MIB))
    environment = {"TOWLINE_DRAIN_TIMEOUT": "0.3"}
    async with (
        ServerProcess(tmp_path / "data", environment=environment) as server,
        http_client(server.url) as http,
        http.stream("GET", "/files/a"),
    ):
        assert await server.terminate() == 0
    cut_off = next(event for event in events(server.log_lines) if event["event"] == "cut off")
    assert (cut_off["connections"], cut_off["drain_timeout"]) == (1, 0.3)


async def test_it_comes_back_on_its_port_with_its_files_after_a_kill(tmp_path: Path) -> None:
    await seeded(tmp_path / "data", "a", b"cargo")
    async with ServerProcess(tmp_path / "data") as server:
        url = server.url
        await server.kill()
        await server.restart()
        assert server.url == url
        async with http_client(server.url) as http:
            assert (await http.get("/files/a")).content == b"cargo"


# ----------------------------------------------------------------------------------------------------------- refusals


def sentence(result: tuple[int, str, str], exit_code: int) -> str:
    """What it said when it refused: one line on stderr."""
    code, output, errors = result
    assert (code, output) == (exit_code, ""), result
    assert errors.startswith("towline: ")
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    return errors.removeprefix("towline: ").rstrip("\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
async def test_others_are_let_in_only_when_that_is_meant(tmp_path: Path, host: str) -> None:
    said = sentence(await command(tmp_path, "--host", host, "--port", "0"), 2)
    assert host in said
    assert "towline token create SUBJECT --data " in said
    assert "--insecure" in said
    assert not (tmp_path / "towline-data").exists()


async def test_who_is_behind_a_proxy_is_reached_by_others_too(tmp_path: Path) -> None:
    environment = {"TOWLINE_FORWARDED_PEERS": "127.0.0.1"}
    said = sentence(await command(tmp_path, "--port", "0", environment=environment), 2)
    assert said.startswith("what forwarded_peers are in front of can be reached by other machines")


async def test_others_are_let_in_when_that_is_meant(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data", options=["--host", "0.0.0.0", "--insecure"]) as server:
        assert server.url == f"http://0.0.0.0:{server.port}"
        async with http_client(f"http://127.0.0.2:{server.port}") as http:
            assert (await http.get("/health/live")).status_code == 200
        await server.until_logged("without TLS, whoever is on the way can read what is sent, tokens too")


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"host": "0.0.0.0"}, True),
        ({"host": "127.0.0.1"}, False),
        ({"host": "0.0.0.0", "forwarded_peers": ["10.0.0.1"]}, False),
        ({"host": "0.0.0.0", "tls_cert": "cert.pem", "tls_key": "key.pem"}, False),
    ],
    ids=["others reach it", "loopback", "behind a proxy", "TLS"],
)
def test_that_others_can_read_what_is_sent_is_told_once(
    settings: dict[str, Any], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_readers(Settings.model_validate(settings))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned


async def test_others_are_let_in_when_they_have_to_show_a_token(tmp_path: Path) -> None:
    secret, grant = new_token("alice", ["read"], now=utc_now())
    with opened_grants(tmp_path / "data") as book:
        book.add(grant)
    async with (
        ServerProcess(tmp_path / "data", options=["--host", "0.0.0.0"]) as server,
        http_client(f"http://127.0.0.2:{server.port}") as http,
    ):
        assert (await http.get("/files")).status_code == 401
        assert (await http.get("/files", headers=bearer(secret))).status_code == 200


async def test_others_are_let_in_with_tokens_of_an_identity_provider(tmp_path: Path) -> None:
    provider = Provider(tmp_path)
    environment = {"TOWLINE_JWT": provider.settings().model_dump_json()}
    async with (
        ServerProcess(tmp_path / "data", options=["--host", "0.0.0.0"], environment=environment) as server,
        http_client(f"http://127.0.0.2:{server.port}") as http,
    ):
        assert (await http.get("/whoami")).status_code == 401
        who = await http.get("/whoami", headers={"Authorization": f"Bearer {provider.token()}"})
        assert who.json()["subject"] == SUBJECT


async def test_keys_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "towline.toml").write_text(
        '[jwt]\nissuer = "https://a.example"\naudience = "b"\nalgorithm = "RS256"\nkey_file = "nowhere.pem"\n'
    )
    assert "nowhere.pem" in sentence(await command(tmp_path, "--port", "0"), 2)


async def test_an_address_in_use_is_told(tmp_path: Path) -> None:
    with open_listener("127.0.0.1", 0) as other:
        port = str(other.getsockname()[1])
        said = sentence(await command(tmp_path, "--port", port), 1)
    assert said == f"cannot listen on 127.0.0.1 port {port}: address already in use"


async def test_a_data_folder_in_use_is_told(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data"):
        said = sentence(await command(tmp_path, "--port", "0", "--data", "data"), 1)
    assert "another server uses" in said


async def test_a_wrong_setting_is_told(tmp_path: Path) -> None:
    (tmp_path / "towline.toml").write_text("windw = 5")
    said = sentence(await command(tmp_path), 2)
    assert said == "windw in towline.toml: there is no such setting; did you mean window?"


async def test_help_teaches_with_examples(tmp_path: Path) -> None:
    code, output, errors = await command(tmp_path, "--help", environment={"COLUMNS": "100"})
    assert (code, errors) == (0, "")
    for part in ("towline serve --port 9000 --data /srv/towline", "towline.toml", "TOWLINE_PORT", "--insecure"):
        assert part in output


async def test_other_commands_do_not_wait_for_the_framework_to_load(tmp_path: Path) -> None:
    code = "import sys, transfer.cli; print({'fastapi', 'uvicorn', 'sqlalchemy'} & set(sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE, cwd=CHECKOUT)
    output, _ = await process.communicate()
    assert output == b"set()\n"


async def test_a_store_that_refuses_ends_the_start(tmp_path: Path) -> None:
    async with LocalStore(tmp_path / "data"):
        with pytest.raises(StoreRefused):
            async with running(Settings(data=tmp_path / "data")):
                pytest.fail("it started")


# --------------------------------------------------------------------------------------------------------------- parts


async def test_ipv6_addresses_stand_in_brackets(tmp_path: Path) -> None:
    try:
        open_listener("::1", 0).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with running(Settings(data=tmp_path / "data", host="[::1]")) as url, http_client(url) as http:
        assert re.fullmatch(r"http://\[::1\]:[0-9]+", url)
        assert (await http.get("/health/live")).status_code == 200


def test_localhost_is_ipv4_where_there_is_a_choice() -> None:
    with open_listener("localhost", 0) as listener:
        assert listener.family == socket.AF_INET
        assert url_of(listener).startswith("http://127.0.0.1:")


async def test_echo_sends_every_message_back_unchanged(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "data")) as url, opened(url, "/echo") as client:
        for message in ("", b"", "héllo \x00 €", os.urandom(1000), "x" * MAX_ECHO_BYTES, os.urandom(MAX_ECHO_BYTES)):
            await client.send(message)
            assert await client.recv() == message


async def test_the_store_of_an_application_is_open_while_it_serves(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    app = create_app(settings)
    async with running(settings, app) as url, http_client(url) as http:
        await put(app.state.store, "a", b"cargo")
        assert (await http.get("/files/a")).content == b"cargo"
    async with LocalStore(tmp_path / "data") as store:
        assert await store.unfinished("anonymous") == []


async def test_the_application_also_works_with_a_server_that_drives_its_lifespan(tmp_path: Path) -> None:
    app = create_app(Settings(data=tmp_path / "data"))
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    outgoing: asyncio.Queue[Message] = asyncio.Queue()
    serving = asyncio.create_task(app({"type": "lifespan"}, incoming.get, outgoing.put))
    await incoming.put({"type": "lifespan.startup"})
    assert (await outgoing.get())["type"] == "lifespan.startup.complete"
    assert app.state.store.healthy
    await incoming.put({"type": "lifespan.shutdown"})
    assert (await outgoing.get())["type"] == "lifespan.shutdown.complete"
    await serving


class CannotWrite(MemoryStore):
    """A store that is not well."""

    @property
    def healthy(self) -> bool:
        return False


async def test_a_store_that_cannot_write_is_not_ready() -> None:
    app = FastAPI()
    app.include_router(health.router(CannotWrite()))
    problems.install(app)
    async with serving_apart(app, Settings()) as (url, _), http_client(url) as http:
        assert (await http.get("/health/live")).status_code == 200
        answer = await http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "storage_failure"


class FailsAtFirst(MemoryStore):
    """A store whose first attempt to expire anything fails."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = 0
        self.again = asyncio.Event()

    async def expire(self) -> int:
        self.attempts += 1
        if self.attempts == 1:
            raise WriteFailed
        self.again.set()
        return 3


async def test_expiry_goes_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "towline")
    store = FailsAtFirst()
    async with expiring(store, interval=0):
        await store.again.wait()
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith("silent uploads could not be dropped, the next try is in 0 s: a write or sync failed")
    assert messages[1] == "dropped 3 silent uploads"
