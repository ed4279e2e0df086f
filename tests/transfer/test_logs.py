"""The log of a real server, at a terminal and in a pipe, whatever its clients send; and its lines by themselves."""

import asyncio
import json
import logging
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.end_to_end.conftest import Frame, Json, eof, header
from tests.server import CHECKOUT, STARTED, ServerProcess
from transfer import logs

FORMATS = ("json", "human")
ESCAPE = "\x1b"
CONTROL = [chr(code) for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))] + list("\u2028\u2029\u202e\u200b\ud800")
Fields = dict[str, Any]


def opened(url: str, path: str = "/ws", **options: Any) -> connect:
    return connect(url.replace("http:", "ws:") + path, proxy=None, compression=None, **options)


async def answers(connection: ClientConnection, *frames: Frame) -> list[Json]:
    """Send frames, then a text, and return what was answered before that."""
    for frame in (*frames, {"type": "text", "text": "over"}):
        await connection.send(json.dumps(frame) if isinstance(frame, dict) else frame)
    replies: list[Json] = []
    async for answer in connection:
        replies.append(json.loads(answer))
        if replies[-1].get("text") == "over":
            break
    return replies[:-1]


def events(lines: list[str]) -> list[Fields]:
    """Every line is one JSON object in ASCII, without a control character."""
    assert all(line.isascii() and line.isprintable() for line in lines), lines
    return [json.loads(line) for line in lines]


# ------------------------------------------------------------------------------------------------------------ in a pipe


async def test_a_session_is_one_line_when_it_opens_and_one_when_it_ends(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data") as server:
        async with opened(server.url) as connection:
            peer = "{}:{}".format(*connection.local_address[:2])
            content = os.urandom(1000)
            await answers(connection, header("a", 1000, offset=0), content, eof(content))
        await server.until_logged("session ended")
        assert await server.terminate() == 0
    first, last = (event for event in events(server.log_lines) if event["logger"] == "towline.session")
    assert (first["event"], first["peer"], first["level"]) == ("session opened", peer, "info")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", first["time"])
    assert isinstance(last.pop("seconds"), float)
    assert last.pop("time") >= first["time"]
    assert last == {
        "level": "info",
        "logger": "towline.session",
        "event": "session ended",
        "peer": peer,
        "principal": "anonymous",
        "mode": "upload+text",
        "bytes": 1004,
        "outcome": "closed 1000",
    }


@pytest.mark.parametrize(("path", "mode"), [("/ws", "none"), ("/echo", "echo")])
async def test_the_mode_says_what_a_session_was_used_for(tmp_path: Path, path: str, mode: str) -> None:
    async with ServerProcess(tmp_path / "data") as server:
        async with opened(server.url, path) as connection:
            await connection.ping()
        ended = json.loads(await server.until_logged("session ended"))
    assert (ended["mode"], ended["bytes"], ended["outcome"]) == (mode, 0, "closed 1000")


@pytest.mark.parametrize("way", ["header", "path"])
async def test_a_tunnel_is_one_session(tmp_path: Path, way: str) -> None:
    async with ServerProcess(tmp_path / "data") as server:
        async with opened(server.url, "/ws" if way == "header" else "/proxy/echo") as connection:
            if way == "header":
                await connection.send(json.dumps({"type": "proxy", "upstream": "echo"}))
                assert json.loads(await connection.recv())["type"] == "ready"
            await connection.send(b"cargo")
            assert await connection.recv() == b"cargo"
        for mode in ("proxy", "echo"):
            await server.until_logged(f'"mode":"{mode}"')
    ended = [event for event in events(server.log_lines) if event["event"] == "session ended"]
    assert sorted((event["mode"], event["bytes"], event["outcome"]) for event in ended) == [
        ("echo", 5, "closed 1000"),
        ("proxy", 10, "closed 1000"),
    ]


async def test_the_outcome_names_the_error_that_closed_a_session(tmp_path: Path) -> None:
    async with (
        ServerProcess(tmp_path / "data") as server,
        opened(server.url) as old,
        opened(server.url) as newcomer,
    ):
        await old.send(json.dumps(header("a", 10)))
        await old.recv()
        await answers(newcomer, header("a", 10))
        await old.wait_closed()
        ended = json.loads(await server.until_logged("session ended"))
    assert ended["outcome"] == "superseded"


async def test_requests_have_no_lines(tmp_path: Path) -> None:
    """A machine that asks for its health each second would drown the rest."""
    async with ServerProcess(tmp_path / "data", environment={"TOWLINE_LOG_LEVEL": "debug"}) as server:
        for request in (b"GET /health/live?a=secret", b"GET /nothing?a=secret", b"GET /ws?a=secret", b"POST /files"):
            await exchange(server.port, request + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert await server.terminate() == 0
    assert [event["event"] for event in events(server.log_lines)] == ["stopping", "stopped"]


async def test_only_what_is_important_enough_is_logged(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data", environment={"TOWLINE_LOG_LEVEL": "warning"}) as server:
        async with opened(server.url) as connection:
            await answers(connection, {"type": "nothing"})
        assert await server.terminate() == 0
    assert server.log_lines == []


# ------------------------------------------------------------------------------------------------------------- secrets


async def test_no_query_string_no_token_and_no_whole_id_is_logged(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data", environment={"TOWLINE_LOG_LEVEL": "debug"}) as server:
        async with opened(server.url, "/ws?key=hunter2") as connection:
            (ready, _) = await answers(connection, header("a", 10))
            mine = {"upload_id": ready["upload_id"], "lease": ready["lease"]}
            secretive: list[Frame] = [
                '{"type":"auth","token":"hunter2"',
                {"type": "upload", **mine},
                header("a", 10, **mine, range=[0, 11]),
                header("a", 10, **mine, offset=ready["upload_id"]),
                header("a", 10, **mine, metadata={"token": 5}),
                {"type": "eof", **mine},
                {"type": "proxy", "url": "ws://hunter2:hunter2@127.0.0.1/feed?token=hunter2"},
                {"type": "proxy", "url": "ws://localhost/feed?token=hunter2#hunter2"},
                header("a", 10, upload_id=ready["upload_id"][::-1]),
            ]
            for frame in secretive:
                (reply,) = await answers(connection, frame)
                assert reply["type"] == "error"
        async with opened(server.url, "/ws") as connection:
            await connection.send(json.dumps({"type": "auth", "token": "hunter2"}))
            assert json.loads(await connection.recv())["code"] == "unauthorized"
        with pytest.raises(InvalidStatus) as refused:
            async with opened(server.url, subprotocols=[Subprotocol("bearer"), Subprotocol("hunter2")]):
                pass
        assert b"speaks towline.v1, which is none of the 2 offered subprotocols" in refused.value.response.body
        for path in ("/echo?token=hunter2", "/nothing?token=hunter2"):
            try:
                async with opened(server.url, path):
                    pass
            except InvalidStatus:
                pass
        assert await server.terminate() == 0
    text = "\n".join(server.log_lines)
    for secret in ("hunter2", ready["upload_id"], ready["upload_id"][::-1], ready["lease"]):
        assert secret not in text
    assert sum(event["event"] == "refused" for event in events(server.log_lines)) == len(secretive) + 2


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("the field size is wrong: not a number, got '5'", "the field size is wrong: not a number, got…"),
        ('not strict JSON: no value: \'{"token"', "not strict JSON: no value…"),
        ("the field a is wrong: got {'token': 1}", "the field a is wrong: got…"),
        ("cancel without an upload: send a header first", "cancel without an upload: send a header first"),
        ("", ""),
    ],
)
def test_a_sentence_is_logged_up_to_what_it_quotes(sentence: str, kept: str) -> None:
    assert logs.without_quotes(sentence) == kept


# ------------------------------------------------------------------------------------------------------ hostile clients


async def exchange(port: int, request: bytes) -> bytes:
    """Send something over a connection of its own, and read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def upgrade(*, path: bytes = b"/ws", host: bytes = b"localhost", subprotocol: bytes = b"towline.v1") -> bytes:
    return (
        b"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n" % (path, host, subprotocol)
    )


HOSTILE_TEXTS = (
    "\x1b[2J\x1b]0;owned\x07",
    "a\nrefused code=exists\r",
    "\x9b31m",
    "\u202eevil\u2028",
    '"} {"a":"',
    "x" * 5_000,
)


async def misbehave(url: str, port: int) -> None:
    """Everything that a client chooses, with what a terminal or a program that reads lines would obey."""
    async with opened(url, subprotocols=[Subprotocol("towline.v1")]) as connection:
        for text in HOSTILE_TEXTS:
            await answers(
                connection,
                header(text, 1, offset=0),
                {"type": text},
                {"type": text, "name": text, text: text},
                header("a", 1, digest_algorithm=text),
                header("a", 1, modified=text, offset=5),
                text,
            )
    await exchange(port, upgrade(subprotocol=b"chat, " + b"y" * 5_000))
    await exchange(port, upgrade(subprotocol=b"chat\x9b31m, \x9d0;owned\x07"))
    await exchange(port, upgrade(subprotocol=b"\xe2\x80\xae\xff"))
    await exchange(port, upgrade(host=b"evil\x9b2J.example"))
    await exchange(port, upgrade(path=b"/%1B%5B2J%0Anothing"))
    await exchange(port, b"GET /%1B%5B2J HTTP/1.1\r\nHost: \x9b2J\r\nConnection: close\r\n\r\n")
    await exchange(port, b"\x1b[2J\r\n\r\n")


async def test_what_hostile_clients_send_is_escaped_in_a_pipe(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data") as server:
        await misbehave(server.url, server.port)
        assert await server.terminate() == 0
    said = events(server.log_lines)
    assert {event["event"] for event in said} == {
        *("session opened", "session ended", "refused", "stopping", "stopped"),
        "Invalid HTTP request received.",
    }
    assert {event["code"] for event in said if event["event"] == "refused"} == {
        *("bad_message", "invalid_name", "unsupported_type", "unsupported_digest", "subprotocol")
    }
    assert max(map(len, server.log_lines)) < 8_000


@asynccontextmanager
async def at_terminal(folder: Path, environment: dict[str, str]) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """A server whose stderr is a terminal: its URL, and what is shown there."""
    shown, stderr = os.openpty()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(shown, "rb", buffering=0)
    )
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "transfer.cli", "--port", "0"),
        stdout=PIPE,
        stderr=stderr,
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(CHECKOUT), "TERM": "xterm"} | environment,
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().rstrip("\n").removeprefix(STARTED), reader
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        os.close(stderr)
        transport.close()


async def lines_until(reader: asyncio.StreamReader, text: str) -> list[str]:
    """What a terminal was sent, up to the line with `text`."""
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        lines.append((await reader.readuntil(b"\r\n")).decode().removesuffix("\r\n"))
    return lines


async def test_what_hostile_clients_send_does_not_reach_a_terminal_raw(tmp_path: Path) -> None:
    async with at_terminal(tmp_path, {"NO_COLOR": "1"}) as (url, reader):
        reading = asyncio.create_task(lines_until(reader, "mode=echo"))
        await misbehave(url, int(url.rpartition(":")[2]))
        async with opened(url, "/echo"):
            pass
        lines = await reading
    assert all(line.isprintable() for line in lines), lines
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[(info     |warning  )\] ", line) for line in lines), lines
    assert any("session opened" in line and "peer=127.0.0.1:" in line for line in lines)
    assert any("session ended" in line and " principal=anonymous mode=text+upload bytes=" in line for line in lines)


async def test_a_terminal_is_shown_colours_around_what_is_shown_as_text(tmp_path: Path) -> None:
    async with at_terminal(tmp_path, {}) as (url, reader):
        async with opened(url) as connection:
            await answers(connection, {"type": "\x1b[2J"})
        *_, line = await lines_until(reader, "refused")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
    assert plain != line
    assert plain.isprintable()
    assert r"type '\\x1b[2J' is not known here" in plain


@pytest.mark.parametrize(("name", "value"), [("TOWLINE_LOG_FORMAT", "json"), ("TERM", "dumb")])
async def test_colours_are_left_out_where_they_are_not_wanted(tmp_path: Path, name: str, value: str) -> None:
    async with at_terminal(tmp_path, {name: value}) as (url, reader):
        async with opened(url):
            pass
        (line,) = await lines_until(reader, "session opened")
    assert ESCAPE not in line
    assert line.startswith("{") is (value == "json")


async def test_a_pipe_gets_lines_for_people_when_that_is_wanted(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data", environment={"TOWLINE_LOG_FORMAT": "human"}) as server:
        assert await server.terminate() == 0
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[info     \] stopping +\[towline\.server\].*", server.log_lines[0]
    )


# -------------------------------------------------------------------------------------------------------------- a line


class Lines(logging.Filter):
    """Keeps what would be written, and lets nobody else have it: a report of pytest's cannot carry half a surrogate
    pair from one process to another."""

    def __init__(self, log_format: logs.LogFormat) -> None:
        super().__init__()
        self._formatter = logs.formatter(log_format, is_terminal=False)
        self.lines: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.lines.append(self._formatter.format(record))
        return False


@pytest.fixture(params=FORMATS)
def lines(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What `towline.test` writes in each format."""
    caplog.set_level("INFO", "towline")
    kept = Lines(request.param)
    logger = logging.getLogger("towline.test")
    logger.addFilter(kept)
    yield kept.lines
    logger.removeFilter(kept)


@pytest.mark.parametrize("character", CONTROL, ids=lambda character: f"{ord(character):04x}")
def test_every_control_character_is_escaped(lines: list[str], character: str) -> None:
    text = f"a{character}b"
    logs.logger("towline.test").info("told", text=text)
    logs.logger("towline.test").info(text)
    logging.getLogger("towline.test").info("object %s", text)
    assert all(line.isprintable() for line in lines), lines
    assert [line for line in lines if text in line] == []
    if lines[0].startswith("{"):
        assert [json.loads(line).get("text", json.loads(line)["event"]) for line in lines] == [
            text,
            text,
            f"object {text}",
        ]


def test_a_value_cannot_pass_for_another_field(lines: list[str]) -> None:
    logs.logger("towline.test").info("told", text="b outcome=closed", empty="")
    assert ("text='b outcome=closed' empty=''" in lines[0]) or json.loads(lines[0])["text"] == "b outcome=closed"


def test_a_long_value_is_cut(lines: list[str]) -> None:
    logs.logger("towline.test").info("told", text="x" * 100_000)
    logging.getLogger("towline.test").info("x" * 100_000)
    assert all(len(line) < 1_200 for line in lines)


def test_a_traceback_names_no_whole_id_and_can_begin_no_line(lines: list[str]) -> None:
    upload_id = "0123456789abcdef" * 2
    for log in (logs.logger("towline.test"), logging.getLogger("towline.test")):
        try:
            raise LookupError(f"{upload_id}\n2026-01-01 [info] forged\x1b[2J")
        except LookupError:
            log.exception("a bug")
    assert len(lines) == 2
    for line in lines:
        assert "LookupError: 012345" in line
        assert "0123456789abcdef" not in line
        first, *others = line.split("\n")
        assert "a bug" in first
        assert all(other.startswith("    ") for other in others)
        assert all(part.isprintable() for part in (first, *others))


def test_another_programs_handlers_show_an_event_as_a_line_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "towline")
    logs.logger("towline.test").info("told", text="a\x1b[2J", size=3)
    assert caplog.messages == [r"told text='a\x1b[2J' size=3"]
