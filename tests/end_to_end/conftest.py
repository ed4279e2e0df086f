"""A server in this process whose log and data directory are looked at in the end, and raw connections to it."""

import asyncio
import hashlib
import json
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from storage.local import LocalStore
from tests import evidence
from tests.server import http_client, serving_apart
from transfer.app import create_app
from transfer.pace.pacing import Clock
from transfer.server import Server
from transfer.settings import Settings

PATIENCE = 60.0
"""Seconds after which a test that waits has failed; nothing is measured with it."""
Json = dict[str, Any]
Frame = Json | str | bytes

_WHILE_RUNNING = {"store.json", "catalog.db", "catalog.db-wal", "catalog.db-shm", "objects", "quarantine", "serve.lock"}


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def header(name: str, size: int | None = None, **fields: object) -> Json:
    return {"type": "upload", "name": name, "size": size, **fields}


def eof(content: bytes, **fields: object) -> Json:
    return {"type": "eof", "digest": digest(content), **fields}


def small(name: str, content: bytes, **fields: object) -> list[Frame]:
    """The frames of a file that waits for no `ready`."""
    return [header(name, len(content), offset=0, **fields), *([content] if content else []), eof(content)]


class Peer:
    """One connection of the plain websockets client: what it sends and hears are frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, *frames: Frame) -> None:
        for frame in frames:
            await self.connection.send(_on_the_wire(frame))

    def send_at_once(self, *frames: Frame) -> None:
        """In one write, so that the server has all of them before it can have answered one."""
        protocol = self.connection.protocol
        for frame in map(_on_the_wire, frames):
            if isinstance(frame, str):
                protocol.send_text(frame.encode())
            else:
                protocol.send_binary(frame)
        self.connection.transport.write(b"".join(protocol.data_to_send()))

    async def receive(self) -> Json:
        """The next reply, whatever it is."""
        async with asyncio.timeout(PATIENCE):
            reply: Json = json.loads(await self.connection.recv(decode=True))
        evidence.reply(reply)
        return reply

    async def hear(self, kind: str) -> Json:
        """The next reply that is no interim one: it is of this type. Acks and progress may come at any time."""
        while (reply := await self.receive())["type"] != kind:
            assert reply["type"] in ("ack", "verifying"), f"expected {kind}, got {reply}"
        return reply

    async def refused(self, code: str) -> Json:
        """The next reply is this error: it is checked for what all errors have."""
        reply = await self.hear("error")
        assert reply["code"] == code, reply
        assert reply["message"]
        assert isinstance(reply["retryable"], bool)
        return reply

    async def acked(self, offset: int) -> Json:
        """The ack of exactly this offset, after smaller ones."""
        while (reply := await self.receive())["offset"] != offset:
            assert reply["type"] == "ack"
            assert reply["offset"] < offset, reply
        assert reply["type"] == "ack"
        return reply

    async def closed(self) -> int:
        """The code with which the server closes; nothing else comes before."""
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectionClosed) as closed:
                await self.connection.recv()
        assert closed.value.rcvd is not None, "the connection was cut"
        return closed.value.rcvd.code

    async def begin(self, name: str, size: int | None, **fields: object) -> Json:
        """A header, and its `ready`."""
        await self.send(header(name, size, **fields))
        return await self.hear("ready")

    async def complete(self, content: bytes, ready: Json) -> Json:
        """Send what `ready` wants of a content without holes, and hear that it is complete."""
        await self.send(*chunks(content[ready["offset"] :]), eof(content))
        return await self.hear("complete")

    async def hold(self, name: str, size: int | None, content: bytes, **fields: object) -> Json:
        """An upload whose first bytes are durable; its operation goes on. Returns its `ready`."""
        ready = await self.begin(name, size, **fields)
        await self.send(*chunks(content))
        await self.acked(len(content))
        return ready

    async def leave_unfinished(self, name: str, size: int | None, content: bytes, **fields: object) -> Json:
        """An upload whose first bytes are durable, and whose operation another one has ended. Returns its `ready`."""
        ready = await self.begin(name, size, **fields)
        await self.send(*chunks(content), {"type": "text", "text": "the next header"})
        await self.hear("echo")
        return ready

    async def works(self) -> None:
        """The connection takes a file, of a new name in `afterwards/`, and an echo, as if nothing had been."""
        content = secrets.token_bytes(16)
        frames = small(f"afterwards/{content.hex()}", content)
        await self.send(*frames, {"type": "text", "text": "still there?"})
        complete = await self.hear("complete")
        assert complete["file"]["digest"] == digest(content)
        assert await self.receive() == {"type": "echo", "text": "still there?"}


def _on_the_wire(frame: Frame) -> str | bytes:
    return json.dumps(frame) if isinstance(frame, dict) else frame


def chunks(content: bytes, size: int = 1 << 20) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


class Log(logging.Handler):
    """Everything that the server's process logs: all of Towline's, and warnings of everybody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._something = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self._something.set()

    async def until(self, text: str) -> None:
        """Until a line with this text is there, of what this loop logs."""
        async with asyncio.timeout(PATIENCE):
            while not any(text in record.getMessage() for record in self.records):
                self._something.clear()
                await self._something.wait()

    @property
    def refusals(self) -> list[str]:
        """The code of each event that tells of a refusal."""
        return [event["code"] for event in self.events if event["event"] == "refused"]

    @property
    def events(self) -> list[Json]:
        """What was logged with fields."""
        return [dict(record.msg) for record in self.records if isinstance(record.msg, dict)]

    @property
    def alarms(self) -> list[str]:
        """What an operator would look into: warnings and worse."""
        return [record.getMessage() for record in self.records if record.levelno >= logging.WARNING]

    @property
    def tracebacks(self) -> list[str]:
        return [record.getMessage() for record in self.records if record.exc_info]


class Service:
    """A running server and what it leaves behind."""

    def __init__(self, url: str, data: Path, log: Log, store: LocalStore, server: Server) -> None:
        self.url = url
        self.data = data
        self.log = log
        self.store = store
        self.server = server

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @asynccontextmanager
    async def connected(self, path: str = "/ws", *, port: int | None = None) -> AsyncIterator[Peer]:
        """A connection; to another `port` where something stands between."""
        async with connect(
            f"ws://127.0.0.1:{port or self.port}{path}",
            subprotocols=[Subprotocol("towline.v1")] if path == "/ws" else None,
            compression=None,
            max_size=None,
            proxy=None,
            close_timeout=PATIENCE,
        ) as connection:
            yield Peer(connection)

    def http(self) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        return http_client(self.url)

    async def stored(self, name: str) -> bytes:
        """The content that is published under a name."""
        async with self.http() as http:
            answer = await http.get(f"/files/{name}")
            return answer.raise_for_status().content

    async def names(self) -> list[str]:
        async with self.http() as http:
            return [file["name"] for file in (await http.get("/files")).json()["files"]]

    async def unfinished(self) -> list[Json]:
        async with self.http() as http:
            uploads: list[Json] = (await http.get("/uploads")).json()["uploads"]
            return uploads

    def object_of(self, upload_id: str) -> Path:
        """The file on the server's disk that has an unfinished upload's bytes."""
        (object_id,) = self._rows("SELECT object_id FROM uploads WHERE upload_id = ?", upload_id)
        return self.data / "objects" / object_id[0] / object_id

    def _rows(self, statement: str, *values: str) -> list[str]:
        with closing(sqlite3.connect(self.data / "catalog.db")) as catalog:
            return [row[0] for row in catalog.execute(statement, values)]

    def strays(self) -> list[str]:
        """What lies in the data directory and should not, once the server has ended."""
        unfinished = set(self._rows("SELECT object_id FROM uploads"))
        published = set(self._rows("SELECT file_id FROM files"))
        deleting = self._rows("SELECT object_id FROM deleting")
        modes = dict.fromkeys(unfinished, 0o600) | dict.fromkeys(published, 0o400)
        found = {path.name: path for path in (self.data / "objects").rglob("*") if path.is_file()}
        return [
            *(f"{path.name} at the top" for path in self.data.iterdir() if path.name not in _WHILE_RUNNING),
            *(f"{path.name} in quarantine" for path in (self.data / "quarantine").iterdir()),
            *(f"object {key} without a row" for key in found.keys() - modes.keys()),
            *(f"row {key} without an object" for key in modes.keys() - found.keys()),
            *(f"object {key} to be deleted" for key in deleting),
            *(f"leaves of object {key}" for key in set(self._rows("SELECT object_id FROM leaves")) - modes.keys()),
            *(
                f"object {key} has the wrong mode"
                for key in found.keys() & modes.keys()
                if found[key].stat().st_mode & 0o777 != modes[key]
            ),
        ]


@pytest.fixture
def overrides() -> Json:
    """Settings that differ from the defaults; a test that wants some parametrizes it."""
    return {}


@asynccontextmanager
async def serving(folder: Path, overrides: Json, clock: Clock | None = None) -> AsyncIterator[Service]:
    """A server. Whatever a test does to it, it logs no traceback and leaves nothing that should not be there."""
    log, towline = Log(), logging.getLogger("towline")
    before = towline.level
    logging.getLogger().addHandler(log)
    towline.setLevel(logging.INFO)
    try:
        defaults = {"data": folder / "data", "min_free_bytes": 0, "take_over_seconds": PATIENCE}
        settings = Settings.model_validate(defaults | overrides)
        app = create_app(settings, clock)
        async with serving_apart(app, settings) as (url, server):
            service = Service(url, settings.data, log, app.state.store, server)
            yield service
        assert log.tracebacks == []
        assert service.strays() == []
    finally:
        towline.setLevel(before)
        logging.getLogger().removeHandler(log)


@pytest.fixture
async def service(tmp_path: Path, overrides: Json) -> AsyncIterator[Service]:
    """A server for one test."""
    async with serving(tmp_path, overrides) as service:
        yield service


@pytest.fixture
async def peer(service: Service) -> AsyncIterator[Peer]:
    """A connection to the server."""
    async with service.connected() as peer:
        yield peer
